"""The persons of one video: a box each at a second, a number each over time, one pose each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.label.check_rules.columns import Corners
from vidbench.label.check_rules.rule import Findings, rule

BOX_TEXT = rule(
    "box-text",
    "error",
    "Write the box of a person at a second with the same digits in every row.",
    pyslowfast="makes two persons of one, as it knows persons by the text of their boxes",
)
BOX_DIFFERS = rule(
    "box-differs",
    "error",
    "Keep one of the boxes in all rows of the person at this second.",
    every="makes two persons of one, each with a part of the actions",
)
BOXES_EQUAL = rule(
    "boxes-equal",
    "error",
    "Take one of the persons out, or draw the two boxes apart.",
    every="makes one person of two, with the actions of both, as it knows persons by their boxes",
)
BOXES_CLOSE = rule(
    "boxes-close",
    "warning",
    "Move an edge of one box by 0.01.",
    pytorchvideo="makes one person of two, with the actions of both, as it compares two decimals",
)
DUPLICATE = rule(
    "row-twice",
    "warning",
    "Keep one of the rows.",
    pyslowfast="its scorer counts the person twice, and one of the two is never found",
    mmaction2="its scorer counts the person twice, and one of the two is never found",
)
ID_SHARED = rule(
    "id-shared", "warning", "Give each person a number of its own; no loader looks at them, but tracks are wrong."
)
ID_CHANGES = rule(
    "id-changes", "warning", "Keep the number of a person from second to second; no loader looks at them."
)
POSE_NONE = rule("pose-none", "warning", "Add the pose: in AVA each person has exactly one.")
POSE_MANY = rule("pose-many", "warning", "Keep one pose: in AVA each person has exactly one.")

LINK_IOU = 0.5
"""Boxes of neighbouring seconds that overlap more than this, and no other more, are taken for one person."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A row.

    Attributes:
        line: Where it stands.
        person: Its number; None where it has none that can be read.
        box: x1, y1, x2, y2.
        text: The box as it is written.
        action: None where there is none that can be read.
    """

    line: int
    person: int | None
    box: Corners
    text: str
    action: int | None


def check_people(
    path: Path, video: str, seconds: Mapping[int, Sequence[Labelled]], poses: Collection[int], found: Findings
) -> int:
    """Check the persons of a video; gives how many boxes could be followed into the next second.

    Args:
        path: The file.
        video: The video's name.
        seconds: Its rows by second.
        poses: The actions that are poses; empty where that is not known.
        found: Where findings go.
    """
    links = 0
    before: tuple[int, list[Labelled]] | None = None
    for second in sorted(seconds):
        here = _at_second(path, f"{video} {second:04d}", seconds[second], poses, found)
        if before is not None and before[0] == second - 1:
            links += _links(path, f"{video} {second:04d}", before[1], here, found)
        before = second, here
    return links


def iou(a: Corners, b: Corners) -> float:
    """The area that two boxes share, of the area that they cover."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _at_second(
    path: Path, moment: str, rows: Sequence[Labelled], poses: Collection[int], found: Findings
) -> list[Labelled]:
    """Check the rows of a second; gives the first row of each box."""
    by_text: dict[str, Labelled] = {}
    by_person: dict[int, Labelled] = {}
    actions: dict[Corners, set[int]] = {}
    taken: set[tuple[str, int | None, int | None]] = set()
    for row in rows:
        key = row.text, row.person, row.action
        if row.action is not None and key in taken:
            told = f"{moment}: person {row.person} with action {row.action} is there before"
            found.add(DUPLICATE, path, row.line, told)
        taken.add(key)
        held = by_text.setdefault(row.text, row)
        if held.person != row.person:
            told = f"{moment}: person {row.person} has the box of person {held.person}"
            found.add(BOXES_EQUAL, path, row.line, told)
        if row.person is not None:
            _one_box(path, moment, by_person.setdefault(row.person, row), row, found)
        _pose(path, moment, row, actions.setdefault(row.box, set()), poses, found)
    here = list(by_text.values())
    _close(path, moment, here, found)
    if poses:
        for row in here:
            if not actions[row.box] and row.action is not None:
                found.add(POSE_NONE, path, row.line, f"{moment}: person {row.person} has no pose")
    return here


def _one_box(path: Path, moment: str, held: Labelled, row: Labelled, found: Findings) -> None:
    if held.text == row.text:
        return
    who = f"{moment}: person {row.person} has the boxes {held.text} (line {held.line}) and {row.text}"
    if held.box == row.box:
        found.add(BOX_TEXT, path, row.line, f"{who}, which are one box")
    elif iou(held.box, row.box) >= LINK_IOU:
        found.add(BOX_DIFFERS, path, row.line, who)
    else:
        found.add(ID_SHARED, path, row.line, f"{who}, which are two persons")


def _pose(path: Path, moment: str, row: Labelled, held: set[int], poses: Collection[int], found: Findings) -> None:
    if row.action is None or row.action not in poses or row.action in held:
        return
    if len(held) == 1:
        told = f"{moment}: person {row.person} has the poses {next(iter(held))} and {row.action}"
        found.add(POSE_MANY, path, row.line, told)
    held.add(row.action)


def _close(path: Path, moment: str, here: Sequence[Labelled], found: Findings) -> None:
    """Boxes of different persons that are equal as numbers, or at two decimals."""
    if len(here) < 2:
        return
    rough: dict[str, Labelled] = {}
    for row in here:
        x1, y1, x2, y2 = row.box
        held = rough.setdefault(f"{x1:.2f},{y1:.2f},{x2:.2f},{y2:.2f}", row)
        if held.person == row.person:
            continue
        if held.box == row.box:
            told = f"{moment}: person {row.person} has the box of person {held.person}"
            found.add(BOXES_EQUAL, path, row.line, told)
        else:
            told = f"{moment}: persons {held.person} (line {held.line}) and {row.person} have one box at two decimals"
            found.add(BOXES_CLOSE, path, row.line, told)


def _links(path: Path, moment: str, before: Sequence[Labelled], here: Sequence[Labelled], found: Findings) -> int:
    """Follow boxes into the next second; gives how many could be followed."""
    pairs = _pairs([row.box for row in before], [row.box for row in here])
    count = 0
    for a, b in pairs:
        old, new = before[a], here[b]
        if old.person is None or new.person is None:
            continue
        count += 1
        if old.person != new.person:
            told = f"{moment}: person {new.person} stands where person {old.person} was a second before"
            found.add(ID_CHANGES, path, new.line, f"{told} (line {old.line})")
    return count


def _pairs(before: Sequence[Corners], here: Sequence[Corners]) -> list[tuple[int, int]]:
    """Boxes that are each other's best overlap, and overlap more than `LINK_IOU`."""
    if len(before) * len(here) > 64:
        return _pairs_of_many(np.array(before), np.array(here))
    overlaps = [[iou(a, b) for b in here] for a in before]
    pairs = []
    for a, row in enumerate(overlaps):
        best = max(row, default=0.0)
        if best > LINK_IOU:
            b = row.index(best)
            if all(other[b] <= best for other in overlaps):
                pairs.append((a, b))
    return pairs


def _pairs_of_many(before: np.ndarray[tuple[int, int]], here: np.ndarray[tuple[int, int]]) -> list[tuple[int, int]]:
    low = np.maximum(before[:, None, :2], here[None, :, :2])
    high = np.minimum(before[:, None, 2:], here[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    overlaps = both / (_areas(before)[:, None] + _areas(here)[None, :] - both)
    best = overlaps.argmax(axis=1)
    return [
        (a, int(b)) for a, b in enumerate(best) if overlaps[a, b] > LINK_IOU and overlaps[a, b] >= overlaps[:, b].max()
    ]


def _areas(boxes: np.ndarray[tuple[int, int]]) -> np.ndarray[tuple[int]]:
    areas: np.ndarray[tuple[int]] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas
