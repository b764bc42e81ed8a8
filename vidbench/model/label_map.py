"""Label maps: which classes a scorer of action detections counts, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vidbench.errors import UnknownNameError
from vidbench.formats import ava
from vidbench.formats.framelist import read_lines
from vidbench.formats.kinetics import line_errors
from vidbench.formats.labels import table

AVA_LISTS = ("ava_80", "ava_60")
"""AVA's 80 actions, and the 60 of them that its benchmark counts, with their ids."""

_NAME = re.compile(r"(?:(?P<id>[0-9]{1,6})\s*:\s*)?(?:(?:pose|object|person)\s*:\s*)?(?P<name>\S.*)")
_SHAPE = "A line is `stand` or `12: stand`: an id, from 1, for all names or for none; a line with # says nothing."


def load_classes(labels: str) -> dict[int, str]:
    """Numbers and names of the classes that count, by rising number.

    Args:
        labels: "ava_60" or "ava_80", or the path of an action list, or of a file with a name a line.

    Raises:
        UnknownNameError: Neither.
        InputError: The file cannot be read or is malformed, as `file:line: reason`.
    """
    if labels in AVA_LISTS:
        return dict(table(labels))
    path = Path(labels)
    if not path.is_file():
        raise UnknownNameError("label map", labels, AVA_LISTS, f"There are {', '.join(AVA_LISTS)}; or give a file.")
    lines = [line.removeprefix("\ufeff") for line in read_lines(path)]
    if any(re.match(r"(item|label)\s*\{", line) for line in lines):
        actions, _ = ava.parse_actions(lines, path)
        found = {action.id: action.name for action in actions}
    else:
        found = _names(lines, path)
    return dict(sorted(found.items()))


def _names(lines: Iterable[str], source: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    problems: list[tuple[int, str]] = []
    numbered: bool | None = None
    for line, text in enumerate(lines, start=1):
        told = text.strip()
        if not told or told.startswith("#"):
            continue
        match = _NAME.fullmatch(told)
        if match is None or not told.isprintable():
            problems.append((line, f"{told!r} is no class"))
            continue
        if numbered is None:
            numbered = match["id"] is not None
        number = int(match["id"]) if match["id"] else len(names) + 1
        if numbered != (match["id"] is not None):
            problems.append((line, "some names have an id and some have none"))
        elif number < 1 or number in names or match["name"] in names.values():
            problems.append((line, f"number {number} or name {match['name']!r} is there twice, or below 1"))
        names.setdefault(number, match["name"])
    if not names and not problems:
        problems.append((1, "no classes"))
    if problems:
        raise line_errors(source, problems, _SHAPE)
    return names
