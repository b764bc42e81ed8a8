"""PGD-10 Linf on X3D-S: ours against the Adversarial Robustness Toolbox, and what makes ours faster."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from timing import in_turns, report

from vidbench.attack.art_bridge import import_art
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.model.layout import fast_layout
from vidbench.model.resolve import build
from vidbench.model.zoo import MODELS

EPS, STEP, STEPS = 8 / 255, "2/255", 10


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
    with torch.no_grad():
        # what the network says of each, so that every clip is still to be broken
        labels = fast(clips).argmax(1)
    estimators, evasion = import_art()
    wrapped = estimators.PyTorchClassifier(
        Plain(theirs), torch.nn.CrossEntropyLoss(), tuple(clips.shape[1:]), 400,
        clip_values=(0.0, 1.0), device_type="cpu",
    )  # fmt: skip
    art = evasion.ProjectedGradientDescent(
        wrapped, norm=np.inf, eps=EPS, eps_step=2 / 255, max_iter=STEPS, batch_size=options.clips, verbose=False
    )
    found: dict[str, torch.Tensor] = {}
    reached: dict[str, torch.Tensor] = {}
    pgd = ATTACKS.get("pgd")
    goal = Goal(labels)
    batch = Batch(clips, goal, [str(row) for row in range(len(clips))], width=options.clips)

    def own(name: str, model: torch.nn.Module, *, keep: str = "last", precision: str = "fp32") -> Outcome:
        settings = parse_settings(pgd, {"steps": str(STEPS), "step": STEP, "random_start": "false", "keep": keep})
        outcome = pgd.run(Target(model, 400, precision=precision), batch, Budget("linf", EPS), settings)
        found[name] = outcome.clips
        # a success counts where float32 says so
        with torch.no_grad():
            reached[name] = outcome.reached if precision == "fp32" else goal.reached(fast(outcome.clips))
        return outcome

    work = {
        "toolbox": lambda: found.update(art=torch.from_numpy(art.generate(clips.numpy(), labels.numpy()))),
        "vidbench, reference layout": lambda: own("reference", reference),
        "vidbench, fast layout": lambda: own("fast", fast),
        "vidbench, fast layout, bf16 crafting, float32 confirmation": lambda: own("bf16", fast, precision="bf16"),
        "vidbench, fast layout, ends at the first success": lambda: own("early", fast, keep="first"),
    }  # fmt: skip
    seconds = in_turns(work, options.rounds)
    notes = []
    for name in ("reference", "fast"):
        apart = (found["art"] - found[name]).abs()
        count = int((apart > 1e-6).sum())
        notes.append(
            f"{name} layout: largest difference of an iterate {float(apart.max()):.1e}; "
            f"{count} of {apart.numel()} values differ by more than 1e-6"
        )
    broken = ", ".join(f"{name} {int(values.sum())}" for name, values in reached.items())
    notes.append(f"broken clips of {len(clips)}: {broken}")
    title = f"PGD-10 Linf on X3D-S, {options.clips} clips of 13x{side}x{side}, no random start"
    report(title, seconds, "toolbox", notes)


if __name__ == "__main__":
    main()
