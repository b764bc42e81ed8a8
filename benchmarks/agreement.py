"""Robust accuracy in the fast and in the reference layout, on a trained network and held-out clips."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from vidbench.attack.run import AttackRequest, run_attack
from vidbench.data.synthetic import CLASSES, SyntheticRequest, render


def main() -> None:
    """PGD at several radii on clips that the network was not trained on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", help="the run folder of `model finetune`, as demo/model")
    parser.add_argument("--clips", type=int, default=200)
    options = parser.parse_args()
    per_class = -(-options.clips // len(CLASSES))
    with tempfile.TemporaryDirectory() as folder:
        data = render(
            SyntheticRequest(out=Path(folder) / "data", train_per_class=1, val_per_class=per_class, seed=4321)
        )
        curves = {}
        for layout in ("reference", "fast"):
            request = AttackRequest(
                model=options.model, attack="pgd", data=data.lists["val"], eps="1/255,2/255,4/255,8/255",
                layout=layout, batch=16, limit=per_class * len(CLASSES), out=Path(folder) / layout,
            )  # fmt: skip
            curves[layout] = run_attack(request).summary["curve"]
    print("| eps | clips | reference | fast | points apart |\n|---|---|---|---|---|")
    for slow, fast in zip(curves["reference"], curves["fast"], strict=True):
        apart = 100 * abs(slow["robust_accuracy"] - fast["robust_accuracy"])
        print(
            f"| {slow['eps']} | {slow['clips']} | {slow['robust_accuracy']:.1%} | "
            f"{fast['robust_accuracy']:.1%} | {apart:.1f} |"
        )


if __name__ == "__main__":
    main()
