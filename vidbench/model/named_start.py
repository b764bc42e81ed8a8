"""A start by its name: which file it needs, its tensors under the network's names, and the input it wants."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidbench.errors import InputError, UsageError
from vidbench.model.card import ModelCard, Preprocess
from vidbench.model.start_load import StartReport, load_start
from vidbench.model.starts import HEAD, NETWORK, SCRATCH, Task, find_start, names
from vidbench.model.torchvision_video import build_torchvision
from vidbench.model.variant import Variant
from vidbench.model.weights import require
from vidbench.progress import Reporter
from vidbench.runs import file_sha256

Json = dict[str, Any]
SUPERVISED = "supervised"
TASKS: dict[str, Task] = {"classify": "recognition", "multilabel": "charades", "detect": "ava"}
"""Whose input a start gets when it is trained for a task: the comparison's of that task."""
_FRONT = 2


@dataclass(frozen=True)
class NamedStart:
    """A published start, read and checked.

    Attributes:
        name: Of the start.
        title: Its method.
        tensors: Its trunk by the network's names, without a head.
        preprocess: The input that the comparison feeds it with for the task; clips have red first.
        variant: What the network has other than the catalogue's; its head is the user's own.
        source: The file.
        sha256: Of it.
        report: What reading it did.
    """

    name: str
    title: str
    tensors: dict[str, Tensor]
    preprocess: Preprocess
    variant: Variant
    source: Path
    sha256: str
    report: StartReport

    def record(self) -> Json:
        """What a run keeps of it."""
        start = find_start(self.name)
        return {
            "name": self.name,
            "title": self.title,
            "paper": f"arXiv:{start.paper}",
            "file": str(self.source),
            "sha256": self.sha256,
            "loaded": self.report.loaded,
            "left_over": len(self.report.left_over),
            "left_over_fronts": fronts(self.report.left_over),
            "bn_eps": self.variant.bn_eps,
            "layers": self.variant.layers,
            "colours": "rgb",
            "trained_with_colours": self.report.input.colours,
            "preprocess": asdict(self.preprocess),
            "remarks": list(self.report.remarks),
        }

    def lines(self) -> tuple[str, ...]:
        """What the user is told, a line each."""
        report = self.report
        left = ", ".join(f"{front}* ({count})" for front, count in fronts(report.left_over).items())
        told = [
            f"start {self.name} ({self.title}): {report.loaded} tensors of {self.source}",
            f"left over, as expected: {left}" if left else "nothing was left over",
        ]
        if self.variant.bn_eps is not None:
            told.append(f"epsilon of batch normalisation: {self.variant.bn_eps:g}")
        if self.variant.layers:
            told.append(f"layers: those of {self.variant.layers} in layer4, with twice the time steps")
        if report.counters:
            told.append(f"counters of batches that the file does not hold, now 0: {len(report.counters)}")
        return (*told, *report.remarks)


def is_named(init: str) -> bool:
    """Whether `init` is the name of a published start, however it is written; "scratch" is none."""
    plain = init.strip().lower().replace("-", "_")
    return plain in names()


def check_checkpoint(init: str, checkpoint: Path | None) -> None:
    """Whether `init` and `checkpoint` go together.

    Raises:
        UsageError: A file for a start that takes none, or none for one that needs it.
    """
    if checkpoint is not None and init.strip().lower() == SCRATCH:
        raise UsageError("--checkpoint goes with a start that is a file; scratch is random", "Leave --checkpoint out.")
    if checkpoint is not None and not is_named(init):
        raise UsageError(
            f"--checkpoint says where the file of a named start is; --init {init} names none",
            f"Named starts are {', '.join(names())}. A file of other weights is given as --init FILE.",
        )
    if checkpoint is None and is_named(init) and find_start(init).name != SUPERVISED:
        raise UsageError(
            f"--init {init} needs its published file, {find_start(init).file}",
            f"Say --init {init} --checkpoint FILE, or --init ./{init} for a file or folder of that name.",
        )


def named_start(
    init: str, checkpoint: Path | None, card: ModelCard, task: Task, pull: bool, reporter: Reporter
) -> NamedStart:
    """Read a start's published file, exactly, and tell what that did.

    Args:
        init: The start's name, in any spelling that `is_named` takes.
        checkpoint: Its file; None for "supervised" takes the catalogue's own weights.
        card: The network that is trained.
        task: What for: whose input it gets.
        pull: Download the catalogue's weights where they are wanted and missing.
        reporter: Hears what was read, changed and left.

    Raises:
        UsageError: A checkpoint that does not go with the start.
        UnknownNameError: No start is called so.
        InputError: The network is another; the file is missing, another start's, lacks tensors or holds unknown ones.
        MissingError: The catalogue's weights are not here.
    """
    check_checkpoint(init, checkpoint)
    start = find_start(init)
    if card.name != NETWORK:
        raise InputError(
            f"--init {init}: the published starts are those of {NETWORK}, not of {card.name}",
            f"Train {NETWORK}, or start {card.name} from scratch, pretrained or a file.",
        )
    path = require(card, pull=pull, reporter=reporter) if checkpoint is None else checkpoint
    if not path.is_file():
        raise InputError(f"--checkpoint {path}: no such file", f"The published file is called {start.file}.")
    with torch.random.fork_rng(devices=[]):
        net = build_torchvision(NETWORK, 1)
    # the trunk alone: a fresh head takes the file's place, whatever the number of classes
    net.add_module(HEAD.rstrip("."), nn.Identity())
    report = load_start(start.name, path, net, task)
    found = NamedStart(
        name=start.name,
        title=start.title,
        tensors=net.state_dict(),
        preprocess=report.input.preprocess,
        variant=replace(report.variant, head=True),
        source=path,
        sha256=file_sha256(path),
        report=report,
    )
    for line in found.lines():
        reporter.info(line)
    return found


def input_line(size: Preprocess) -> str:
    """The clips that a named start is fed, as the user is told."""
    return (
        f"input: {size.frames} frames x stride {size.stride} at {size.target_fps} fps, {size.crop} px, mean "
        f"{_numbers(size.mean)}, std {_numbers(size.std)}, red first"
    )


def fronts(listed: tuple[str, ...]) -> dict[str, int]:
    """The names of tensors by their first two parts, and how many of each."""
    return dict(Counter(".".join(name.split(".")[:_FRONT]) for name in listed))


def _numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)
