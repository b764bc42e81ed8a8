"""The list of videos with any number of classes each: lines of `path 3,17,42`, or `path -` for none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError
from vidbench.formats.kinetics import decode_list, line_errors, path_problem

NONE = "-"
"""How a video of no class is written: a line without a label would look like one that lost it."""

_SHAPE = (
    "A line is `path labels`: a path without blanks, one blank, class numbers with commas between, as 3,17,42, "
    "or - for a video of no class."
)
_LABELS = re.compile("-|[0-9]{1,18}(?:,[0-9]{1,18})*")
_MEANT = re.compile("[0-9,-]+")


@dataclass(frozen=True, slots=True)
class LabelsLine:
    """One video of a list.

    Attributes:
        path: The path as it is written, without blanks.
        labels: The class numbers, ascending, each once; empty for a video of no class.
        line: The line in the file, from 1.
    """

    path: str
    labels: tuple[int, ...]
    line: int


def decode_label_sets(data: bytes, source: str | Path) -> tuple[LabelsLine, ...]:
    """Read the bytes of a list; a list of `path label` is one, too.

    Paths, blanks, line ends and the encoding are as in `vidbench.formats.kinetics.decode_list`. The order of a
    line's classes means nothing.

    Raises:
        InputError: Not UTF-8, malformed lines, a class twice in a line, or no line at all.
    """
    problems: list[tuple[int, str]] = []
    sets: dict[int, tuple[int, ...]] = {}
    plain: list[bytes] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        body = line.removesuffix(b"\r")
        path, blank, last = body.rpartition(b" ")
        text = last.decode("latin-1")
        if blank and _MEANT.fullmatch(text):
            problem = _problem(text)
            if problem:
                problems.append((number, problem))
            else:
                sets[number] = () if text == NONE else tuple(sorted(map(int, text.split(","))))
                line = path + b" 0" + line[len(body) :]
        plain.append(line)
    if problems:
        raise line_errors(source, problems, _SHAPE)
    rows = decode_list(b"\n".join(plain), source)
    return tuple(LabelsLine(row.path, sets[row.line], row.line) for row in rows)


def dump_label_sets(rows: Iterable[LabelsLine]) -> str:
    """The text of a list, one LF after every line; `decode_label_sets` reads it back.

    Raises:
        InputError: A path or class that no reader of the list could read back.
    """
    parts = []
    for row in rows:
        labels = ",".join(map(str, sorted(row.labels))) or NONE
        bad = path_problem(row.path)
        problem = _problem(labels)
        if bad or problem:
            reason, remedy = bad or (problem, _SHAPE)
            raise InputError(f"cannot write {row.path!r} into a list: {reason}", remedy)
        parts.append(f"{row.path} {labels}\n")
    return "".join(parts)


def _problem(text: str) -> str | None:
    if re.fullmatch("-[0-9]+", text):
        return f"the label {text} is negative; classes count from 0"
    if not _LABELS.fullmatch(text):
        return f"the labels {text[:80]!r}, not as 3,17,42 or -"
    numbers = [] if text == NONE else [int(label) for label in text.split(",")]
    twice = next((number for number in numbers if numbers.count(number) > 1), None)
    return None if twice is None else f"the label {twice} twice in one line"
