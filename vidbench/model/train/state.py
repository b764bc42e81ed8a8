"""The state of a training: everything that going on needs, in one file that is whole or old."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import torch

from vidbench.errors import InputError, disk_errors

Json = dict[str, Any]
LAYOUT = 2
"""Of the file; 1 was written after whole epochs alone, without a number."""


@dataclass
class Position:
    """Where a training is, and what it has counted in the epoch so far.

    Attributes:
        epoch: The epoch that is under way, from 1.
        batch: Batches of it that are done; always at the end of an optimizer step.
        step: Optimizer steps since the start of the training.
        loss_sum: Losses of the epoch's things (clips, or boxes), summed.
        right: How many of them were right.
        seen: Clips that were taken.
        lr: Learning rate of the last step.
        seconds: Spent on the epoch.
        things: Things that were taken.
        data_seconds: Of those spent, waiting for clips.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    lr: float = 0.0
    seconds: float = 0.0
    things: int = 0
    data_seconds: float = 0.0

    def next_epoch(self) -> Position:
        """The beginning of the epoch that follows."""
        return Position(epoch=self.epoch + 1, step=self.step)

    def to_json(self) -> Json:
        """For a file."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass
class State:
    """What is stored beside the weights of model, average, optimizer and scaler.

    Attributes:
        position: Where the training is.
        best_epoch: The epoch whose weights are kept; 0 before the first.
        best_val: Its validation figure.
        failures: Clips that could not be decoded so far, by key.
        record: The line of the last finished epoch.
    """

    position: Position = field(default_factory=Position)
    best_epoch: int = 0
    best_val: float | None = None
    failures: dict[str, Json] = field(default_factory=dict)
    record: Json | None = None


def random_state(device: torch.device) -> Json:
    """The states of the generators that networks draw from."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random(state: Json, device: torch.device) -> None:
    """Go on drawing where `random_state` was taken."""
    torch.set_rng_state(state["cpu"].cpu())
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def write_state(path: Path, content: Json) -> None:
    """Store tensors and plain values; a reader finds the old file or the whole new one, also after a power cut."""
    temporary = path.with_name(f".{path.name}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("wb") as stream:
                _save(content, stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _save(content: Json, stream: IO[bytes]) -> None:
    try:
        torch.save(content, stream)
    except RuntimeError as error:
        # torch closes its archive after a failed write, fails at that, too, and tells of this alone
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def pack(state: State, parts: Json) -> Json:
    """The content of the file: `state`, and the state dicts of `parts`."""
    return {
        "layout": LAYOUT,
        "position": state.position.to_json(),
        "best_epoch": state.best_epoch,
        "best_val": state.best_val,
        "failures": state.failures,
        "record": state.record,
        **parts,
    }


def read_state_file(path: Path, device: torch.device, stream: IO[bytes] | None = None) -> tuple[State, Json]:
    """What `pack` made: the state, and the whole content.

    Args:
        path: The file.
        device: Where its tensors go.
        stream: Its content, where the file itself is in another process's reach.

    Raises:
        InputError: The file is damaged, or another program or an earlier version wrote it.
    """
    try:
        content = torch.load(path if stream is None else stream, weights_only=True, map_location=device)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: the state of the training cannot be read: {reason}", "Start again with --overwrite."
        ) from error
    if not isinstance(content, dict) or content.get("layout") != LAYOUT:
        raise InputError(
            f"{path}: the state of a training that an earlier version wrote; it cannot be taken up",
            "Start again with --overwrite, or with --init FOLDER --out OTHER from a finished model.",
        )
    position = content["position"]
    state = State(
        # things were not counted where they were clips
        Position(**{"things": position["seen"], **position}),
        content["best_epoch"],
        content["best_val"],
        content["failures"],
        content["record"],
    )
    return state, content
