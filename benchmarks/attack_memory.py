"""Peak memory of an attack, and of the model's own forward and backward pass on as many clips; each in a process."""

from __future__ import annotations

import resource
import subprocess
import sys

import torch

from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.model.layout import fast_layout
from vidbench.model.resolve import build
from vidbench.model.zoo import MODELS

WIDTH = 4


def measure(what: str) -> None:
    """Print what one piece of work adds to the process."""
    card = MODELS.get("x3d_s")
    network = fast_layout(build(card, 400, (), seed=0).eval())
    size = card.preprocess
    clips = torch.rand(WIDTH, 3, size.frames, size.crop, size.crop, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = network(clips[:1]).argmax(1).expand(WIDTH)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if what == "model":
        for _ in range(3):
            point = clips.clone().requires_grad_(True)
            torch.autograd.grad(torch.nn.functional.cross_entropy(network(point), labels), point)
    else:
        method = ATTACKS.get(what)
        given = {"steps": "3"} if "steps" in method.settings.model_fields else {}
        batch = Batch(clips, Goal(labels), [str(row) for row in range(WIDTH)], 0, WIDTH)
        method.run(Target(network.logits, 400), batch, Budget("linf", 0.1 / 255), parse_settings(method, given))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    """One process for each."""
    found = {}
    print(
        f"| X3D-S, {WIDTH} clips at a time | MB above the network and the clips | of the model's own |\n|---|---|---|"
    )
    for what in ("model", "fgsm", "pgd", "mi-fgsm", "apgd-ce"):
        done = subprocess.run([sys.executable, __file__, what], check=True, capture_output=True, text=True)
        found[what] = float(done.stdout)
        print(f"| {what} | {found[what]:.0f} | {found[what] / found['model']:.2f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        main()
