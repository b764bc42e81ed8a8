"""The loss of every step: `steps.csv`, and TensorBoard where it is wanted."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vidbench.errors import disk_errors
from vidbench.model.events import TrainingEvents
from vidbench.runs import write_text_atomic

Json = dict[str, Any]
STEPS = "steps.csv"
COLUMNS = ("step", "epoch", "lr", "loss")


class StepLog:
    """Grows by a line for every step; lines after the step that a run resumes from are dropped.

    Args:
        folder: The run folder.
        step: The step that the training stands at.
        epochs: The lines of the finished epochs, for TensorBoard.
        tensorboard: Write events; those of an earlier start are replaced by what the log says.
    """

    def __init__(self, folder: Path, step: int, epochs: Mapping[str, Json], tensorboard: bool) -> None:
        self.path = folder / STEPS
        kept = [row for row in read_steps(self.path) if row["step"] <= step]
        lines = [",".join(COLUMNS), *(_line(row) for row in kept)]
        write_text_atomic(self.path, "\n".join(lines) + "\n")
        self._events = TrainingEvents(folder) if tensorboard else None
        if self._events is not None:
            ends = {row["epoch"]: row["step"] for row in kept}
            for row in kept:
                self._events.step(row)
            for key in sorted(epochs):
                self._events.epoch(epochs[key], ends.get(epochs[key]["epoch"], 0))

    def __enter__(self) -> Self:
        self._stream = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if self._events is not None:
            self._events.close()

    def step(self, step: int, epoch: int, lr: float, loss: float) -> None:
        """A step was taken: its number, its epoch, its rate, and the mean loss of its clips."""
        row = {"step": step, "epoch": epoch, "lr": lr, "loss": loss}
        with disk_errors(self.path):
            self._stream.write(_line(row) + "\n")
            self._stream.flush()
        if self._events is not None:
            self._events.step(row)

    def sync(self) -> None:
        """On disk are all lines so far: a state that is stored next is never ahead of them."""
        with disk_errors(self.path):
            os.fsync(self._stream.fileno())

    def epoch(self, record: Json, step: int) -> None:
        """An epoch was finished with a step."""
        if self._events is not None:
            self._events.epoch(record, step)


class NoLog:
    """In place of a log, in a process that keeps none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def step(self, step: int, epoch: int, lr: float, loss: float) -> None:
        """Nothing is written."""

    def sync(self) -> None:
        """Nothing is there to be written."""

    def epoch(self, record: Json, step: int) -> None:
        """Nothing is written."""


def _line(row: Json) -> str:
    # the shortest text that is the same number again
    return ",".join(repr(row[name]) for name in COLUMNS)


def read_steps(path: Path) -> list[Json]:
    """The whole lines of a log: `step` and `epoch` as integers, `lr` and `loss` as floats; empty without a file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [
        {"step": int(row["step"]), "epoch": int(row["epoch"]), "lr": float(row["lr"]), "loss": float(row["loss"])}
        for row in csv.DictReader(whole.splitlines())
    ]
