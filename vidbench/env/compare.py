"""`vidbench env diff`: what differs between the environments of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidbench.runs import read_environment

# what decides results more often than the rest comes first
_FIRST = ("vidbench", "python", "torch", "torchvision", "pytorchvideo", "numpy", "av")


@dataclass(frozen=True)
class Difference:
    """One thing that is otherwise.

    Attributes:
        part: "machine", "variable" or "package".
        name: Of the thing.
        first: Its value in the first run; None where it is not there.
        second: Likewise.
    """

    part: Literal["machine", "variable", "package"]
    name: str
    first: str | None
    second: str | None


@dataclass(frozen=True)
class Comparison:
    """Two runs, and what differs; nothing where both ran in the same."""

    first: Path
    second: Path
    differences: tuple[Difference, ...]


def compare_runs(first: Path, second: Path) -> Comparison:
    """Compare what two runs recorded of their environments when they were last started.

    Raises:
        InputError: One of them is no run folder, or recorded none.
    """
    return Comparison(first, second, compare(read_environment(first), read_environment(second)))


def compare(one: Mapping[str, Any], two: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The differences of two environments (`vidbench.provenance.environment`), the weightiest first."""
    found: list[Difference] = []
    machine = [name for name in dict.fromkeys((*one, *two)) if name not in ("variables", "packages")]
    for name in machine:
        pair = (_told(one.get(name)), _told(two.get(name)))
        if pair[0] != pair[1]:
            found.append(Difference("machine", name, *pair))
    parts: tuple[tuple[Literal["variable", "package"], str], ...] = (("package", "packages"), ("variable", "variables"))
    for part, key in parts:
        ours, theirs = one.get(key) or {}, two.get(key) or {}
        for name in sorted({*ours, *theirs}, key=_weight):
            if ours.get(name) != theirs.get(name):
                found.append(Difference(part, name, _told(ours.get(name)), _told(theirs.get(name))))
    return tuple(sorted(found, key=lambda item: _weight(item.name)[0]))


def _weight(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _told(value: object) -> str | None:
    if value is None or value == "" or value == []:
        return None
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
