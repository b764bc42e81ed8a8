"""Resident memory of `model eval` over lists of growing length, 400 classes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidbench.model.checkpoint import ModelInfo, save_model
from vidbench.model.resolve import build
from vidbench.model.zoo import MODELS
from vidbench.video.encode import encode

CLASSES = 400


def make_set(folder: Path, count: int) -> Path:
    """A list of `count` names of eight videos of one second."""
    generator = np.random.default_rng(0)
    for index in range(8):
        frames = (generator.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(40))
        encode(folder / f"{index}.mp4", frames, Fraction(30))
    names = folder / "names"
    names.mkdir()
    for index in range(count):
        (names / f"{index}.mp4").hardlink_to(folder / f"{index % 8}.mp4")
    (folder / "list.txt").write_text("".join(f"names/{i}.mp4 {i % CLASSES}\n" for i in range(count)))
    return folder / "list.txt"


def main() -> None:
    """One run per length."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lengths", type=int, nargs="*", default=[100, 2000, 20_000])
    lengths = parser.parse_args().lengths
    print("| videos | peak of the process, MB | s | videos/s |\n|---|---|---|---|")
    for count in lengths:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            clips = make_set(folder, count)
            card = MODELS.get("x3d_tiny")
            classes = tuple(f"class {index}" for index in range(CLASSES))
            network = build(card, CLASSES, classes, seed=0).net
            info = ModelInfo("x3d_tiny", classes, card.preprocess, "random")
            save_model(folder / "model", network.state_dict(), info)
            words = [
                "-q",
                "model",
                "eval",
                folder / "model",
                clips,
                "--views",
                "1x1",
                "--out",
                folder / "run",
                "--json",
            ]
            started = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "vidbench", *map(str, words)], stdout=subprocess.PIPE)
            assert process.stdout is not None
            found = json.loads(process.stdout.read())
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            assert status == 0
            assert found["summary"]["evaluated"] == count
            print(f"| {count} | {usage.ru_maxrss / 1024:.0f} | {seconds:.0f} | {count / seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
