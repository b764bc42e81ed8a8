"""Published starts: their files read, mapped name by name, and loaded into R(2+1)D-18 with the layers they need."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from vidbench.errors import InputError
from vidbench.model.checkpoint import BESIDE, StateFile, load_strict, read_state
from vidbench.model.starts import (
    HEAD,
    NETWORK,
    SCRATCH,
    Start,
    StartInput,
    Task,
    changed_names,
    find_start,
    recognise,
)
from vidbench.model.torchvision_video import build_torchvision
from vidbench.model.variant import Variant, apply_variant

_COUNTER = "num_batches_tracked"
_NAMED = 20


@dataclass(frozen=True)
class StartReport:
    """What loading a start did.

    Attributes:
        start: Its name.
        source: The file.
        input: What the network now wants: normalised clips, red first whatever the start was trained with.
        variant: What was changed in the network.
        loaded: Tensors of the network that got values of the file.
        left_over: Tensors of the file that were not wanted, by their names there.
        replaced: Tensors of the network's own head, which kept their fresh values.
        counters: Counters of batches that the file does not hold; they are zero.
        remarks: What else there is to know, a sentence each.
    """

    start: str
    source: Path
    input: StartInput
    variant: Variant
    loaded: int
    left_over: tuple[str, ...]
    replaced: tuple[str, ...]
    counters: tuple[str, ...]
    remarks: tuple[str, ...]


def load_start(
    name: str, path: Path, net: nn.Module, task: Task = "recognition", leave: tuple[str, ...] = ()
) -> StartReport:
    """Read a start's published file into a network, exactly; the network is untouched where this raises.

    Args:
        name: Of the start, in any spelling that `find_start` takes.
        path: Its file. Objects beside the tensors, such as options, are not made: reading runs no code.
        net: torchvision's `r2plus1d_18` with a head of any number of classes, or with its trunk alone. Epsilon of
            batch normalisation is set, and layers are exchanged, where the start needs it.
        task: What it is for, which decides its input. A start fed blue first gets the input channels of its first
            convolution reversed, so that the network takes clips with red first.
        leave: Fronts of names that the file may hold beside what is known; no tensor of the trunk is left.

    Raises:
        UnknownNameError: No start is called so.
        InputError: The file cannot be read, is another start's (which is named), lacks tensors, or holds others than
            expected (they are listed); or the network is another.
    """
    if name.strip().lower() == SCRATCH:
        raise InputError("a start from scratch has no file: its weights are random", "Leave the file out.")
    start = find_start(name)
    held = net.state_dict()
    if "stem.0.weight" not in held or "layer4.0.conv1.1.weight" not in held:
        raise InputError(f"the starts are those of {NETWORK}; this network is another")
    source = read_state(path, BESIDE)
    mapped, left_over = _mapped(start, path, whole_names(source), leave)
    remarks = [start.note] if start.note else []
    if source.container != start.container:
        found, usual = source.container or "no key", start.container or "no key"
        remarks.append(f"the tensors lie under {found} of the file; those of the published one under {usual}")
    if not any(ours.startswith(HEAD) for ours in held):
        # a trunk alone, as detectors have it
        left_over += tuple(theirs for theirs, _ in mapped.values() if (start.target(theirs) or "").startswith(HEAD))
        mapped = {ours: pair for ours, pair in mapped.items() if not ours.startswith(HEAD)}
    tensors = {ours: value for ours, (_, value) in mapped.items()}
    counters = _counters(tensors)
    tensors |= {counter: torch.tensor(0) for counter in counters}
    wanted = start.input(task)
    if wanted.colours == "bgr" and tensors["stem.0.weight"].ndim == 5:
        tensors["stem.0.weight"] = tensors["stem.0.weight"].flip(1)
        remarks.append("the input channels of the first convolution were reversed: clips have red first here")
    report = _load(start, path, net, tensors)
    return StartReport(
        start=start.name,
        source=path,
        input=wanted,
        variant=start.variant,
        loaded=report[0] - len(counters),
        left_over=left_over,
        replaced=report[1],
        counters=counters,
        remarks=tuple(remarks),
    )


def whole_names(source: StateFile) -> dict[str, Tensor]:
    """The tensors of a file by the names they have there, with what `read_state` took off their front."""
    front = "".join(source.prefixes)
    return {front + name: value for name, value in source.tensors.items()}


@cache
def network_names() -> frozenset[str]:
    """The names of the tensors of torchvision's network."""
    with torch.device("meta"):
        return frozenset(build_torchvision(NETWORK, 1).state_dict())


def _mapped(
    start: Start, path: Path, held: Mapping[str, Tensor], leave: tuple[str, ...]
) -> tuple[dict[str, tuple[str, Tensor]], tuple[str, ...]]:
    """By the network's names, the file's name and the tensor; and the names that are left over."""
    found: dict[str, tuple[str, Tensor]] = {}
    left, unknown = [], []
    for name, value in held.items():
        ours = start.target(name)
        if ours is not None:
            found[ours] = (name, value)
        elif start.is_left(name) or (leave and name.startswith(leave)):
            left.append(name)
        else:
            unknown.append(name)
    trunk = changed_names((name for name in network_names() if not name.startswith(HEAD)), start.variant)
    missing = sorted(name for name in trunk - found.keys() if not name.endswith(_COUNTER))
    strange = sorted(theirs for ours, (theirs, _) in found.items() if ours not in trunk and not ours.startswith(HEAD))
    if not missing and not strange and not unknown:
        return found, tuple(left)
    others = [other for other in recognise(held, network_names()) if other != start.name]
    if others and (missing or strange or start.name not in recognise(held, network_names())):
        raise InputError(
            f"{path} is not the file of {start.name}: by its names it is that of {' or '.join(others)}",
            f"Name it as what it is: {' or '.join(f'--layout {other}' for other in others)}; in a training --init.",
        )
    if not missing and not strange:
        raise InputError(
            f"{path}: tensors that the file of {start.name} is not expected to hold: {_first(unknown)}",
            "Where they are heads or helpers of its training, --leave FRONT leaves those whose names begin so.",
        )
    parts = (("missing", missing), ("unexpected", [*strange, *unknown]))
    raise InputError(
        f"{path} is not the file of {start.name}: "
        + "; ".join(f"{label}: {_first(listed)}" for label, listed in parts if listed),
        f"The published file is called {start.file}{f' ({start.note})' if start.note else ''}.",
    )


def _counters(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Counters that stand beside no mean: torch wrote none before version 0.4.1."""
    means = [name.removesuffix("running_mean") for name in tensors if name.endswith(".running_mean")]
    return tuple(front + _COUNTER for front in means if front + _COUNTER not in tensors)


def _load(start: Start, path: Path, net: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[int, tuple[str, ...]]:
    """How many tensors of the network were loaded, and those of its head that were not."""
    trial = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        # the exchanged layers' fresh weights are overwritten
        apply_variant(trial, start.variant)
        head = HEAD if any(name.startswith(HEAD) for name in trial.state_dict()) else None
        try:
            report = load_strict(trial, tensors, source=str(path), allow_replaced_head=head)
        except InputError as error:
            raise InputError(error.message, f"{start.name}: {start.note}." if start.note else error.remedy) from error
        apply_variant(net, start.variant)
    net.load_state_dict(trial.state_dict(), strict=True)
    return report.loaded, report.replaced


def _first(listed: list[str]) -> str:
    more = f", ... ({len(listed)} in all)" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
