"""An evaluation as TensorBoard events: the one file that imports tensorboard."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidbench.errors import MissingError, disk_errors
from vidbench.model.gradcam import heat_colours

Json = dict[str, Any]
FOLDER = "tensorboard"
PRODUCTS = (f"{FOLDER}/events.out.tfevents.*",)
"""Patterns of what is written into a run folder, for `RunDir.open`."""
SCALARS = (
    "top1", "top1_low", "top1_high", "top5", "mean_class_accuracy", "mean_ap", "mean_ap_low", "mean_ap_high",
)  # fmt: skip
_MOST_SCALARS = 50
_MATRIX_SIDE = 400


def require_tensorboard() -> None:
    """Refuse early, before anything is evaluated.

    Raises:
        MissingError: The extra `tensorboard` is not installed.
    """
    _writers()


def _writers() -> tuple[Any, Any]:
    """`(torch.utils.tensorboard.SummaryWriter, hparams)`."""
    try:
        writer = importlib.import_module("torch.utils.tensorboard")
        summary = importlib.import_module("torch.utils.tensorboard.summary")
    except ImportError as error:
        raise MissingError(
            f"TensorBoard events need the package {error.name or 'tensorboard'!r}",
            "pip install 'vidbench[tensorboard]'",
        ) from error
    return writer.SummaryWriter, summary.hparams


def write_events(folder: Path, summary: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Path:
    """Write `<folder>/tensorboard/`, in place of what an earlier call wrote there.

    Tags: `accuracy/top1` and the other figures of the summary; `class accuracy`, or `class average precision` of
    several labels, as a histogram, and of at most 50 classes as scalars `class accuracy/<name>`; `confusion`, rows
    true and columns predicted, shaded by the share of the row; `confused`, the largest of them as a table;
    `misses/<n>`, the strips of `examples` and their captions; settings and figures as hyperparameters.

    Args:
        folder: The run folder; the files of `examples` are relative to it.
        summary: `summary.json` of `model eval`.
        settings: What the run was asked for, its hyperparameters.

    Returns:
        The folder that `tensorboard --logdir` takes.

    Raises:
        MissingError: The extra `tensorboard` is not installed.
    """
    make_writer, hparams = _writers()
    place = folder / FOLDER
    work = folder / f".{FOLDER}.{os.getpid()}.tmp"
    with disk_errors(place):
        shutil.rmtree(work, ignore_errors=True)
        try:
            writer = make_writer(log_dir=str(work))
            _write(writer, hparams, folder, summary, settings or {})
            writer.close()
            place.mkdir(parents=True, exist_ok=True)
            # only what such a writer made: the folder may hold files of the user's
            for old in place.glob("events.out.tfevents.*"):
                old.unlink()
            for new in work.iterdir():
                new.replace(place / new.name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return place


def _write(writer: Any, hparams: Any, folder: Path, summary: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    figures = {
        f"accuracy/{name}": float(summary[name]) for name in SCALARS if isinstance(summary.get(name), int | float)
    }
    for tag, value in figures.items():
        writer.add_scalar(tag, value, 0)
    for name in ("clips", "evaluated", "failed"):
        if name in summary:
            writer.add_scalar(f"clips/{name}", float(summary[name]), 0)
    classes = [one for one in summary.get("per_class") or () if one["clips"]]
    # of several labels there are no right answers, but an average precision
    of_class = "class accuracy" if all("correct" in one for one in classes) else "class average precision"
    shares = [
        (one["class"], one["correct"] / one["clips"] if "correct" in one else one["average_precision"])
        for one in classes
    ]
    if shares:
        writer.add_histogram(of_class, np.array([share for _, share in shares]), 0, bins=20)
    if len(shares) <= _MOST_SCALARS:
        for name, share in shares:
            writer.add_scalar(f"{of_class}/{name}", share, 0)
    if summary.get("confusion"):
        writer.add_image("confusion", confusion_picture(summary["confusion"]), 0, dataformats="HWC")
    pairs = summary.get("confused") or ()
    if pairs:
        writer.add_text("confused", _pair_table(pairs), 0)
    for number, example in enumerate(summary.get("examples") or ()):
        with Image.open(folder / example["file"]) as picture:
            writer.add_image(f"misses/{number:02}", np.array(picture.convert("RGB")), 0, dataformats="HWC")
        writer.add_text(f"misses/{number:02}", example.get("caption", ""), 0)
    # written into the same file: `add_hparams` would start a second run in a folder of its own
    asked = {
        name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in settings.items()
    }
    asked = {"model": str(summary.get("model", "")), **asked}
    for part in hparams(asked, figures):
        writer.file_writer.add_summary(part, 0)


def confusion_picture(counts: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """`(S, S, 3)`: a field per pair of classes, shaded by the share of the true class's clips."""
    matrix = np.array(counts, dtype=np.float64)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    field = max(1, _MATRIX_SIDE // len(matrix))
    return heat_colours(np.kron(shares, np.ones((field, field))))


def _pair_table(pairs: Sequence[Mapping[str, Any]]) -> str:
    rows = [f"| {_cell(one['true'])} | {_cell(one['predicted'])} | {one['clips']} | {one['of']} |" for one in pairs]
    return "\n".join(["| true class | predicted class | clips | of |", "|---|---|---|---|", *rows])


def _cell(name: object) -> str:
    return str(name).replace("|", "\\|").replace("\n", " ")


class TrainingEvents:
    """The course of a training as events, written as it goes; what `folder` held of an earlier start is replaced.

    Tags, all over the number of the step: `step/loss` and `step/lr` of every step; `epoch/train_loss`,
    `epoch/train_top1`, `epoch/val_top1`, `epoch/val_mean_ap` and `epoch/val_robust_top1`, what there is of them, where
    an epoch ends.

    Raises:
        MissingError: The extra `tensorboard` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        make_writer, _ = _writers()
        place = folder / FOLDER
        with disk_errors(place):
            place.mkdir(parents=True, exist_ok=True)
            for old in place.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = make_writer(log_dir=str(place))

    def step(self, row: Mapping[str, Any]) -> None:
        """A step: `step`, `lr` and `loss`."""
        self._writer.add_scalar("step/loss", row["loss"], row["step"])
        self._writer.add_scalar("step/lr", row["lr"], row["step"])

    def epoch(self, record: Mapping[str, Any], step: int) -> None:
        """A line of `epochs.jsonl`, and the number of its last step."""
        for name in ("train_loss", "train_top1", "val_top1", "val_mean_ap", "val_robust_top1"):
            if record.get(name) is not None:
                self._writer.add_scalar(f"epoch/{name}", record[name], step)

    def close(self) -> None:
        """Nothing more comes."""
        self._writer.close()
