"""Do lower precisions answer as fp32 does? A network trained by a fixed recipe, on clips that it has not seen."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from vidbench.data.synthetic import CLASSES, SyntheticRequest, render
from vidbench.model.evaluate import EvaluateRequest, evaluate
from vidbench.model.finetune import finetune
from vidbench.model.finetune_request import FinetuneRequest


def main() -> None:
    """Train x3d_tiny on 300 rendered videos as `vidbench demo` does, then score 252 others in each precision."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, help="a run folder of `model finetune` instead of training one")
    parser.add_argument("--epochs", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = options.model
        if model is None:
            data = render(SyntheticRequest(out=folder / "train", train_per_class=50, val_per_class=1, seed=0))
            request = FinetuneRequest(
                model="x3d_tiny", clips=data.lists["train"], classes=data.out / "classes.txt", epochs=options.epochs,
                out=folder / "model", lr=0.01, jitter=1.0, flip=0.0,
            )  # fmt: skip
            model = finetune(request).out
        held_out = render(SyntheticRequest(out=folder / "held", train_per_class=1, val_per_class=42, seed=4321))
        answers: dict[str, dict[str, list[float]]] = {}
        print("| precision | videos | top-1 | same answer as fp32 | largest difference of a probability | s |")
        print("|---|---|---|---|---|---|")
        for precision in ("fp32", "bf16", "fp16"):
            started = time.perf_counter()
            run = evaluate(
                EvaluateRequest(
                    model=str(model), clips=held_out.lists["val"], views="2x3", precision=precision, misses=0,
                    out=folder / precision,
                )
            )  # fmt: skip
            seconds = time.perf_counter() - started
            lines = (run.out / "clips.jsonl").read_text().splitlines()
            answers[precision] = {record["key"]: record["scores"] for record in map(json.loads, lines)}
            pairs = [(answers["fp32"][key], scores) for key, scores in answers[precision].items()]
            same = sum(one.index(max(one)) == other.index(max(other)) for one, other in pairs)
            apart = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
            print(
                f"| {precision} | {len(pairs)} | {run.summary['top1']:.1%} | {same / len(pairs):.1%} | {apart:.1e} | "
                f"{seconds:.1f} |",
                flush=True,
            )
    print(f"\n{len(CLASSES)} classes")


if __name__ == "__main__":
    main()
