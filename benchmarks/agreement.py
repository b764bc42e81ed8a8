"""Robust accuracy, and what it costs, in all the ways of computing it: on a trained network and held-out clips."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from vidbench.attack.run import AttackRequest, run_attack
from vidbench.data.synthetic import CLASSES, SyntheticRequest, render

SWEEP = ",".join(f"{level}/255" for level in range(1, 9))
ALL_STEPS = {"keep": "last", "random_start": "false"}
WAYS: dict[str, dict[str, Any]] = {
    "the toolbox": {"engine": "art", "layout": "reference", "attack_settings": {"random_start": "false"}},
    "ours, as the toolbox": {"layout": "reference", "attack_settings": ALL_STEPS},
    "ours, fast layout": {"attack_settings": ALL_STEPS},
    "ours, fast layout, bf16": {"attack_settings": ALL_STEPS, "precision": "bf16"},
    "ours, first success": {"attack_settings": {"random_start": "false"}},
    "ours, first success, bf16": {"attack_settings": {"random_start": "false"}, "precision": "bf16"},
    "ours, first success, 8 radii": {"attack_settings": {"random_start": "false"}, "eps": SWEEP},
}


def main() -> None:
    """PGD-10 Linf 8/255 on clips that the network was not trained on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", help="the run folder of `model finetune`, as demo/model")
    parser.add_argument("--clips", type=int, default=200)
    options = parser.parse_args()
    per_class = -(-options.clips // len(CLASSES))
    print("| way | clips | robust | passes forward | back | s |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = render(
            SyntheticRequest(out=Path(folder) / "data", train_per_class=1, val_per_class=per_class, seed=4321)
        )
        for number, (name, more) in enumerate(WAYS.items()):
            asked = {"eps": "8/255", "realism": "none", "batch": 16, **more}
            request = AttackRequest(
                model=options.model, attack="pgd", data=data.lists["val"], limit=per_class * len(CLASSES),
                out=Path(folder) / str(number), **asked,
            )  # fmt: skip
            started = time.perf_counter()
            (column,) = run_attack(request).summary["columns"]
            seconds = time.perf_counter() - started
            point = column["curve"][-1]
            passes = [point[which] / point["clips"] for which in ("forwards", "backwards")]
            print(
                f"| {name} | {point['clips']} | {point['robust_accuracy']:.1%} | {passes[0]:.2f} | {passes[1]:.2f} | "
                f"{seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
