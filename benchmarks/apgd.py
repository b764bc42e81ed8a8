"""Auto-PGD: network passes per clip, ours against the Adversarial Robustness Toolbox, on the tests' small network."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from timing import in_turns, report
from torch import nn

from vidbench.attack.art_bridge import import_art
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm

DATA = Path(__file__).parents[1] / "tests" / "parity" / "attacks"
CASES: tuple[tuple[Norm, float], ...] = (("linf", 8 / 255), ("l2", 0.5), ("l1", 8.0))


class Counter:
    """Clips that went through a layer, forwards and backwards."""

    def __init__(self, layer: nn.Module) -> None:
        self.forwards = self.backwards = 0
        layer.register_forward_hook(self._forward)
        layer.register_full_backward_hook(self._backward)

    def _forward(self, layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        self.forwards += len(output)

    def _backward(self, layer: nn.Module, inputs: object, outputs: tuple[torch.Tensor]) -> None:
        self.backwards += len(outputs[0])

    def taken(self, clips: int) -> tuple[float, float]:
        """Passes per clip since the last call."""
        found = self.forwards / clips, self.backwards / clips
        self.forwards = self.backwards = 0
        return found


def small_net() -> nn.Sequential:
    """The network of the parity tests."""
    net = nn.Sequential(
        nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool3d((1, 2, 2)),
        nn.Conv3d(8, 12, 3, padding=1), nn.ReLU(), nn.AvgPool3d((2, 4, 4)),
        nn.Flatten(), nn.Linear(96, 5),
    )  # fmt: skip
    net.load_state_dict({key: torch.from_numpy(value) for key, value in np.load(DATA / "model.npz").items()})
    return net.eval()


def main() -> None:
    """The same clips, radii and iterations; one run from a random start each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    estimators, evasion = import_art()
    net = small_net()
    # the toolbox calls the layers one by one, not the network
    counter = Counter(net[-1])
    data = np.load(DATA / "clips.npz")
    right = np.flatnonzero(data["pred"] == data["y"])
    clips, labels = data["x"][right], data["y"][right]
    batch = Batch(torch.from_numpy(clips), Goal(torch.from_numpy(labels)), [str(key) for key in right], 0, 16)
    wrapped = estimators.PyTorchClassifier(
        net, nn.CrossEntropyLoss(), clips.shape[1:], 5, clip_values=(0.0, 1.0), device_type="cpu"
    )
    method = ATTACKS.get("apgd-ce")
    settings = parse_settings(method, {"steps": str(options.steps)})
    print("| norm | whose | forwards per clip | backwards per clip | robust |\n|---|---|---|---|---|")
    seconds: dict[str, list[float]] = {}
    for norm, eps in CASES:
        attack = evasion.AutoProjectedGradientDescent(
            wrapped, norm={"linf": np.inf, "l2": 2, "l1": 1}[norm], eps=eps, eps_step=2 * eps, max_iter=options.steps,
            nb_random_init=1, batch_size=16, loss_type="cross_entropy", verbose=False,
        )  # fmt: skip

        def ours(norm: Norm = norm, eps: float = eps) -> None:
            outcome = method.run(Target(net, 5), batch, Budget(norm, eps), settings)
            line(norm, "ours", counter, len(right), outcome)

        def theirs(norm: Norm = norm, attack: object = attack) -> None:
            np.random.seed(0)
            found = attack.generate(clips, labels)  # type: ignore[attr-defined]
            taken = counter.taken(len(right))
            with torch.no_grad():
                robust = int((net(torch.from_numpy(found)).argmax(1).numpy() == labels).sum())
            counter.taken(len(right))
            print(f"| {norm} | the toolbox | {taken[0]:.1f} | {taken[1]:.1f} | {robust} |", flush=True)

        for name, values in in_turns({"ours": ours, "the toolbox": theirs}, options.rounds).items():
            seconds[f"{name}, {norm}"] = values
    print()
    for norm, _ in CASES:
        pair = {name: seconds[f"{name}, {norm}"] for name in ("ours", "the toolbox")}
        report(f"APGD-CE, {norm}, {options.steps} steps, {len(right)} clips", pair, "the toolbox", [])


def line(norm: Norm, whose: str, counter: Counter, count: int, outcome: Outcome) -> None:
    """A row of the table."""
    taken = counter.taken(count)
    print(f"| {norm} | {whose} | {taken[0]:.1f} | {taken[1]:.1f} | {int((~outcome.reached).sum())} |", flush=True)


if __name__ == "__main__":
    main()
