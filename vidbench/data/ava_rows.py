"""The rows of AVA's box files, gathered by keyframe and box; quick enough for the million rows of AVA."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidbench.errors import InputError
from vidbench.formats import ava
from vidbench.formats.framelist import read_lines

Moment = tuple[str, int]
"""A video and a second."""
Corners = tuple[float, float, float, float]

_FRACTION = r"(?:0(?:\.[0-9]{1,12})?|1(?:\.0{1,12})?)"
_ROW = re.compile(
    rf'([^,"\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+),([0-9]{{1,6}}),({_FRACTION}),({_FRACTION}),({_FRACTION}),({_FRACTION}),'
    rf"(-1|[1-9][0-9]{{0,8}}|),([0-9]{{1,12}}|{_FRACTION})\r?\n?"
)
_Row = tuple[str, int, Corners, int, float]
_Parse = Callable[[Iterable[str], Path], Sequence[object]]
NONE = -1
"""The action of a box that matches no person with an action."""


@dataclass(slots=True)
class Held:
    """A box at a keyframe.

    Attributes:
        score: Of the detector; 1 in ground truth. The highest where several rows have the box.
        labels: Actions, from 1, in the order of the file.
        line: Where the box is first, from 1.
    """

    score: float
    line: int
    labels: list[int] = field(default_factory=list)


@dataclass(slots=True)
class BoxFile:
    """A file of boxes.

    Attributes:
        path: The file.
        rows: Rows with a box.
        boxes: The boxes of each keyframe that has any, in the order of the file.
        labelled: Whether any row has an action.
        below: Rows whose score was too low.
        flat: Rows whose box has no area, left out.
        repeated: Rows that say what an earlier one said, and the first of them.
        first_repeated: Its line.
        actions: The first line of each action.
    """

    path: Path
    rows: int = 0
    boxes: dict[Moment, dict[Corners, Held]] = field(default_factory=dict)
    labelled: bool = False
    below: int = 0
    flat: int = 0
    repeated: int = 0
    first_repeated: int = 0
    actions: dict[int, int] = field(default_factory=dict)


def read_truth(path: Path) -> BoxFile:
    """Ground truth, `ava_train_v2.2.csv`.

    Raises:
        InputError: The file cannot be read or has malformed lines, each as `file:line: reason`: a box outside the
            image, without area or without an action, an action below 1.
    """
    return _gather(path, ava.parse_labels, None)


def read_detected(path: Path, min_score: float) -> BoxFile:
    """Boxes of a detector, with actions or without; those whose score is lower are counted and left out.

    Raises:
        InputError: The file cannot be read or has malformed lines, each as `file:line: reason`.
    """
    return _gather(path, ava.parse_predicted, min_score)


def _gather(path: Path, parse: _Parse, min_score: float | None) -> BoxFile:
    found = BoxFile(path)
    for line, text in enumerate(read_lines(path), start=1):
        row = _quick(text, min_score is None) or _careful(text, path, parse)
        if row is not None:
            _take(found, line, row, min_score)
    return found


def _quick(text: str, truth: bool) -> _Row | None:
    """A row as nearly all are; None where the careful reader has to look."""
    match = _ROW.fullmatch(text)
    if match is None:
        return None
    x1, y1, x2, y2, last = map(float, match.group(3, 4, 5, 6, 8))
    if truth:
        if match[7] in ("", "-1") or not (x1 < x2 and y1 < y2) or "." in match[8]:
            return None
        last = 1.0
    elif not (x1 <= x2 and y1 <= y2) or last > 1:
        return None
    return match[1], int(match[2]), (x1, y1, x2, y2), int(match[7] or NONE), last


def _careful(text: str, path: Path, parse: _Parse) -> _Row | None:
    try:
        rows = parse([text], path)
    except InputError:
        # read as a whole, all its malformed lines are told, with their numbers
        ava.load(path, parse)
        raise
    row = rows[0] if rows else None
    if not isinstance(row, ava.Label | ava.Predicted):
        # an empty line, or a second without a box
        return None
    box = (float(row.box.x1), float(row.box.y1), float(row.box.x2), float(row.box.y2))
    if isinstance(row, ava.Label):
        return row.video, row.second, box, row.action, 1.0
    return row.video, row.second, box, NONE if row.action is None else row.action, float(row.score)


def _take(found: BoxFile, line: int, row: _Row, min_score: float | None) -> None:
    video, second, box, action, score = row
    found.rows += 1
    if min_score is not None and score < min_score:
        found.below += 1
        return
    if not (box[0] < box[2] and box[1] < box[3]):
        found.flat += 1
        return
    held = found.boxes.setdefault((video, second), {}).get(box)
    if held is None:
        held = found.boxes[video, second][box] = Held(score, line)
    elif action in held.labels or (action == NONE and not held.labels):
        found.first_repeated = found.first_repeated or line
        found.repeated += 1
    held.score = max(held.score, score)
    if action != NONE:
        found.labelled = True
        found.actions.setdefault(action, line)
        if action not in held.labels:
            held.labels.append(action)
