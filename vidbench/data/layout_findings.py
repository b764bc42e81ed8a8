"""What is wrong with a data folder, gathered so that a fault of a thousand lines is told once."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from vidbench.errors import InputError
from vidbench.formats.framelist import read_lines

PYSLOWFAST = "PySlowFast"
MMACTION2 = "MMAction2"
PYTORCHVIDEO = "PyTorchVideo"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LayoutFinding:
    """A fault of a data folder.

    Attributes:
        place: `file:line`, or the path alone.
        problem: What is wrong.
        fails: The loaders that would fail, or quietly read something else.
        remedy: What mends it.
        more: Further places with the same fault.
    """

    place: str
    problem: str
    fails: tuple[str, ...]
    remedy: str
    more: int = 0


class Findings:
    """The faults so far, in the order in which they were found."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, LayoutFinding] = {}

    def add(
        self,
        place: Path | str,
        line: int | None,
        problem: str,
        fails: Iterable[str],
        remedy: str,
        same: Hashable = None,
    ) -> None:
        """Add a fault; of several with the same `same` the first is told, with the number of the others."""
        where = str(place) if line is None else f"{place}:{line}"
        key = (str(place), problem, line) if same is None else (str(place), same)
        held = self._by_key.get(key)
        if held is None:
            self._by_key[key] = LayoutFinding(where, problem, tuple(fails), remedy)
        else:
            self._by_key[key] = replace(held, more=held.more + 1)

    def all(self) -> tuple[LayoutFinding, ...]:
        """All of them."""
        return tuple(self._by_key.values())


def rows_of(
    path: Path, parse: Callable[[str], Iterable[T]], found: Findings, fails: Callable[[str], Iterable[str]]
) -> Iterator[tuple[int, str, T]]:
    """`(line number, line, row)` of every line that can be read; each other one is a finding.

    Args:
        path: The file.
        parse: Gives the row of one line, or none.
        found: Where the faults go.
        fails: The loaders that stumble, from the reason that `parse` gives.
    """
    number = 0
    try:
        for number, text in enumerate(read_lines(path), start=1):
            line = text.rstrip("\r\n")
            try:
                rows = tuple(parse(line))
            except InputError as error:
                reason = re.sub(r"^.*?:\d+: ", "", error.message.splitlines()[0])
                # of one fault a line each, but not a page of them
                same = re.sub(r"\d+|'[^']*'", "#", reason)
                found.add(path, number, reason, fails(reason), error.remedy, same)
                continue
            for row in rows:
                yield number, line, row
    except InputError as error:
        every = (PYSLOWFAST, MMACTION2, PYTORCHVIDEO)
        found.add(path, number + 1, error.message.rpartition(": ")[2], every, error.remedy or "Save it as UTF-8 text.")
