"""PGD-10 Linf on X3D-S: ours against the Adversarial Robustness Toolbox."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from timing import in_turns, report

from vidbench.attack.art_bridge import import_art
from vidbench.attack.gradient import Goal, projected_gradient
from vidbench.attack.threat import Budget
from vidbench.model.layout import fast_layout
from vidbench.model.resolve import build
from vidbench.model.zoo import MODELS

EPS, STEP, STEPS = 8 / 255, 2 / 255, 10


class Plain(torch.nn.Module):
    """A network as a user of the toolbox would hand it over: normalising inside, parameters trainable."""

    def __init__(self, classifier: torch.nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.classifier(clips)


def main() -> None:
    """Rounds on the same clips."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=4)
    options = parser.parse_args()
    card = MODELS.get("x3d_s")
    theirs = build(card, 400, (), seed=0).eval()
    reference = build(card, 400, (), seed=0).eval().requires_grad_(False)
    fast = fast_layout(reference)
    side = card.preprocess.crop
    generator = torch.Generator().manual_seed(0)
    clips = torch.rand(options.clips, 3, card.preprocess.frames, side, side, generator=generator)
    labels = torch.randint(0, 400, (options.clips,), generator=generator)
    estimators, evasion = import_art()
    wrapped = estimators.PyTorchClassifier(
        Plain(theirs), torch.nn.CrossEntropyLoss(), tuple(clips.shape[1:]), 400,
        clip_values=(0.0, 1.0), device_type="cpu",
    )  # fmt: skip
    art = evasion.ProjectedGradientDescent(
        wrapped, norm=np.inf, eps=EPS, eps_step=STEP, max_iter=STEPS, batch_size=options.clips, verbose=False
    )
    found: dict[str, torch.Tensor] = {}

    def own(model: torch.nn.Module) -> torch.Tensor:
        outcome = projected_gradient(
            model, clips, Goal(labels), Budget("linf", EPS), steps=STEPS, step_size=STEP, stop_early=False
        )
        return outcome.clips

    work = {
        "toolbox": lambda: found.update(art=torch.from_numpy(art.generate(clips.numpy(), labels.numpy()))),
        "vidbench, reference layout": lambda: found.update(reference=own(reference)),
        "vidbench, fast layout": lambda: found.update(fast=own(fast)),
    }
    seconds = in_turns(work, options.rounds)
    notes = []
    for name in ("reference", "fast"):
        apart = (found["art"] - found[name]).abs()
        count = int((apart > 1e-6).sum())
        notes.append(
            f"{name} layout: largest difference of an iterate {float(apart.max()):.1e}; "
            f"{count} of {apart.numel()} values differ by more than 1e-6"
        )
    title = f"PGD-10 Linf on X3D-S, {options.clips} clips of 13x{side}x{side}, no random start, no early stop"
    report(title, seconds, "toolbox", notes)


if __name__ == "__main__":
    main()
