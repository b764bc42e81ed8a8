"""Square Linf on a small network: forward passes and seconds of ours and of the Adversarial Robustness Toolbox."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from timing import in_turns, report
from torch import Tensor, nn

from vidbench.attack.algorithms.square import Square, SquareSettings
from vidbench.attack.art_bridge import import_art
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget

DATA = Path(__file__).parents[1] / "tests" / "parity" / "attacks"
EPS = 8 / 255
PUBLISHED = "on another small network, 100 queries: auto-attack a392200 took 100.6 passes, the toolbox 288.9"


class Folded(nn.Module):
    """The network as the toolbox can attack it: frames and channels are the channels of an image."""

    def __init__(self, net: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.net, self.shape = net, shape
        self.rows = 0

    def forward(self, images: Tensor) -> Tensor:
        self.rows += len(images)
        logits: Tensor = self.net(images.view(-1, *self.shape))
        return logits


def small_net() -> nn.Module:
    """The network of the parity tests."""
    net = nn.Sequential(
        nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool3d((1, 2, 2)),
        nn.Conv3d(8, 12, 3, padding=1), nn.ReLU(), nn.AvgPool3d((2, 4, 4)),
        nn.Flatten(), nn.Linear(96, 5),
    )  # fmt: skip
    net.load_state_dict({key: torch.from_numpy(value) for key, value in np.load(DATA / "model.npz").items()})
    return net.eval().requires_grad_(False)


def main() -> None:
    """Rounds on the same clips."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--clips", type=int, default=48)
    options = parser.parse_args()
    data = np.load(DATA / "clips.npz")
    clips, labels = torch.from_numpy(data["x"])[: options.clips], torch.from_numpy(data["y"])[: options.clips]
    net, shape = small_net(), tuple(clips.shape[1:])
    folded = clips.flatten(1, 2).contiguous().numpy()
    wrapped = Folded(net, shape)
    estimators, evasion = import_art()
    model = estimators.PyTorchClassifier(
        wrapped, nn.CrossEntropyLoss(), folded.shape[1:], 5, clip_values=(0.0, 1.0), device_type="cpu"
    )
    art = evasion.SquareAttack(
        model, norm=np.inf, eps=EPS, max_iter=options.queries, p_init=0.8, batch_size=len(clips), verbose=False
    )
    batch = Batch(clips, Goal(labels), [str(row) for row in range(len(clips))], 0, len(clips))
    passes, withstand = {}, {}

    def theirs() -> None:
        wrapped.rows = 0
        np.random.seed(0)
        attacked = art.generate(folded, labels.numpy())
        passes["toolbox"] = wrapped.rows / len(clips)
        withstand["toolbox"] = int((wrapped(torch.from_numpy(attacked)).argmax(1) == labels).sum())

    def ours() -> None:
        settings = SquareSettings(queries=options.queries)
        outcome = Square().run(Target(net, 5), batch, Budget("linf", EPS), settings)
        passes["vidbench"] = float(outcome.forwards.double().mean())
        withstand["vidbench"] = len(clips) - int(outcome.reached.sum())

    seconds = in_turns({"toolbox": theirs, "vidbench": ours}, options.rounds)
    notes = [
        f"{name}: {passes[name]:.1f} forward passes per clip, {withstand[name]} of {len(clips)} clips withstand"
        for name in passes
    ]
    report(
        f"Square Linf 8/255, {options.queries} queries, {len(clips)} clips of {shape}", seconds, "toolbox",
        [*notes, PUBLISHED],
    )  # fmt: skip


if __name__ == "__main__":
    main()
