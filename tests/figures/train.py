"""Train the tests' person detector: a tiny YOLO from scratch, on drawn persons of the world "train" alone.

    nice -n 5 .venv/bin/python -m tests.figures.train

needs the extra `label`; writes `figures.pt` beside this file. No network is used: nothing pretrained, no fonts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from tests.figures.scenes import KINDS, Kind, Truth, scene

HERE = Path(__file__).parent
SIZES = ((320, 240), (320, 180), (320, 320), (240, 320))
SMALLEST = 0.15  # persons less visible than that are not taught

# One class; strides 8, 16 and 32, as in the family's larger detectors, with a tenth of their channels.
NETWORK = {
    "nc": 1,
    "reg_max": 8,
    "backbone": [
        [-1, 1, "Conv", [12, 3, 2]],
        [-1, 1, "Conv", [24, 3, 2]],
        [-1, 1, "C2f", [24, True]],
        [-1, 1, "Conv", [36, 3, 2]],
        [-1, 1, "C2f", [36, True]],
        [-1, 1, "Conv", [56, 3, 2]],
        [-1, 1, "C2f", [56, True]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "C2f", [64, True]],
        [-1, 1, "SPPF", [64, 5]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 6], 1, "Concat", [1]],
        [-1, 1, "C2f", [56]],
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 4], 1, "Concat", [1]],
        [-1, 1, "C2f", [36]],
        [-1, 1, "Conv", [36, 3, 2]],
        [[-1, 12], 1, "Concat", [1]],
        [-1, 1, "C2f", [56]],
        [-1, 1, "Conv", [56, 3, 2]],
        [[-1, 9], 1, "Concat", [1]],
        [-1, 1, "C2f", [64]],
        [[15, 18, 21], 1, "Detect", ["nc"]],
    ],
}


def write_set(folder: Path, scenes: int, each: int, seed: int) -> Path:
    """Render so many scenes, keep `each` pictures of each, and write them as Ultralytics' YOLO folders want it."""
    weights: dict[Kind, float] = dict.fromkeys(KINDS, 1.0) | {"crowd": 2.0, "crossing": 4.0, "cut": 0.0, "empty": 1.5}
    rng = np.random.default_rng(seed)
    chances = np.array([weights[kind] for kind in KINDS])
    for name in ("images", "labels"):
        for part in ("train", "val"):
            (folder / name / part).mkdir(parents=True)
    for number in range(scenes):
        # the package wants a second set; the test world, rendered elsewhere, is the one that counts
        part = "train" if number else "val"
        kind = KINDS[rng.choice(len(KINDS), p=chances / chances.sum())]
        size = SIZES[number % len(SIZES)]
        # one picture a second: a second later everybody stands elsewhere, in another phase
        drawn = scene(kind, 10_000 * (seed + 1) + number, world="train", size=size, seconds=float(each), fps=1.0,
                      identical=bool(rng.random() < 0.1))  # fmt: skip
        for index, (picture, truths) in enumerate(drawn.rendered()):
            image = Image.fromarray(picture)
            if rng.random() < 0.3:
                image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.0))))
            name = f"{number:05d}_{index}"
            image.save(folder / "images" / part / f"{name}.jpg", quality=int(rng.integers(55, 96)))
            lines = "".join(_line(truth, size) for truth in truths if truth.visible >= SMALLEST)
            (folder / "labels" / part / f"{name}.txt").write_text(lines)
    listing = folder / "set.yaml"
    listing.write_text(
        json.dumps({"path": str(folder), "train": "images/train", "val": "images/val", "names": {0: "person"}})
    )
    return listing


def _line(truth: Truth, size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = truth.box
    width, height = size
    numbers = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return "0 " + " ".join(f"{number:.6f}" for number in numbers) + "\n"


def train(folder: Path, given: argparse.Namespace) -> None:
    """Write the pictures into `folder`, train, and save the network in half precision."""
    # read at import: no telemetry, no version check, no installation, no file in the home folder
    os.environ.update(
        YOLO_OFFLINE="1", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false", YOLO_CONFIG_DIR=str(folder / "settings"),
        OMP_WAIT_POLICY="passive",  # threads that wait leave the cores to others
    )  # fmt: skip
    (folder / "settings").mkdir(parents=True)
    import torch
    from ultralytics.models import YOLO
    from ultralytics.utils import SETTINGS

    SETTINGS.update({"sync": False})  # type: ignore[no-untyped-call]
    listing = write_set(folder / "set", given.scenes, given.each, given.seed)
    plan = folder / "figures.yaml"
    plan.write_text(json.dumps(NETWORK))
    model = YOLO(given.start or plan, task="detect")
    model.add_callback("on_train_start", _hasten)
    # nbs: a step of the optimiser for each batch; the package's own 64 would make few steps of many pictures
    model.train(
        data=str(listing), epochs=given.epochs, imgsz=320, batch=8, nbs=8, device="cpu", workers=0, cache="ram", seed=0,
        optimizer="AdamW", lr0=given.rate, lrf=0.02, cos_lr=True, weight_decay=0.0005,
        warmup_epochs=0.3, warmup_bias_lr=0.0,
        mosaic=0.0, scale=0.3, translate=0.1, fliplr=0.5, hsv_h=0.5, hsv_s=0.6, hsv_v=0.4, erasing=0.0,
        plots=False, val=False, amp=False, save_period=-1, project=str(folder), name="run", verbose=False,
    )  # fmt: skip
    stored = torch.load(folder / "run" / "weights" / "last.pt", map_location="cpu", weights_only=False)
    # what remains is the network and its class; nothing of the machine that trained it
    keep = {"model": stored["model"], "train_args": {"task": "detect", "imgsz": 320, "single_cls": False}, "epoch": -1}
    keep["model"].args = {"task": "detect", "imgsz": 320}
    torch.save(keep, given.out)


def _hasten(trainer: Any) -> None:
    """All cores, which the package does not take, and passes in bfloat16, which it has on graphics cards alone."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    net = trainer.model.to(memory_format=torch.channels_last)
    exact = net.predict

    def predict(*given: Any, **named: Any) -> dict[str, Any]:
        with torch.autocast("cpu", torch.bfloat16):
            answer = exact(*given, **named)
        return {name: part.float() if isinstance(part, torch.Tensor) else [level.float() for level in part]
                for name, part in answer.items()}  # fmt: skip

    net.predict = predict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "figures.pt")
    parser.add_argument("--start", type=Path, help="weights to go on from; without it, from scratch")
    parser.add_argument("--seed", type=int, default=0, help="other seeds render other scenes")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--each", type=int, default=4, help="pictures of each scene")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.002)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), given)


if __name__ == "__main__":
    main()
