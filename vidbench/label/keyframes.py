"""From the persons of a video to what is stored: their boxes at the keyframes, and where they were in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidbench.formats.labelset import BoxT, Doubt, Row, TrackPath, box_of
from vidbench.label.linking import PersonTrack
from vidbench.label.seen import GRID_FPS

SHORT_KEYFRAMES = 2
"""A person at fewer keyframes deserves a look."""
CROWDED_IOU = 0.5
"""From this overlap on two persons may be confused."""


@dataclass(frozen=True)
class Kept:
    """What is stored of a video.

    Attributes:
        rows: By second and person, persons counted from 0 by their first keyframe, from left to right.
        paths: One for each person, of the same number.
        passing: Persons who were at no keyframe and are left out.
        flat: Boxes at keyframes without an area after rounding to three decimals, left out.
    """

    rows: tuple[Row, ...]
    paths: tuple[TrackPath, ...]
    passing: int
    flat: int


def keyframe_range(pictures: int, margin: int) -> tuple[int, int]:
    """The first and the last keyframe of a video, in seconds; the last is less than the first where there is none.

    The keyframe of second t is what the video shows at t. Of the seconds 0 to T, T the last whole second that the
    video reaches, `margin` are left out at both ends: an action is judged from the 1.5 s on both sides, and readers
    take clips of about two seconds around.

    Args:
        pictures: Moments of the grid of 30 a second that the video has.
        margin: Seconds, 0 or more.

    Example: 300 pictures, 10 s, margin 2: 2 to 8.
    """
    last = pictures // GRID_FPS - margin
    # without a margin, second T itself may lie behind the last picture
    last = min(last, (pictures - 1) // GRID_FPS)
    return margin, max(last, -1)


def keep(persons: Sequence[PersonTrack], seconds: range, width: int, height: int) -> Kept:
    """Take the boxes of the persons at the keyframes.

    Args:
        persons: Of a video, with boxes in pixels.
        seconds: The keyframes.
        width: Of the upright picture, in pixels.
        height: Likewise.
    """
    size = np.array((width, height, width, height), dtype=np.float64)
    first, last = seconds.start * GRID_FPS, (seconds.stop - 1) * GRID_FPS
    flat = 0
    found: list[tuple[PersonTrack, dict[int, tuple[BoxT, float]]]] = []
    for person in persons:
        there: dict[int, tuple[BoxT, float]] = {}
        fractions = (person.boxes / size).tolist()
        for number, box, score in zip(person.numbers.tolist(), fractions, person.scores.tolist(), strict=True):
            if number % GRID_FPS or not first <= number <= last:
                continue
            fraction = box_of(*box)
            if fraction is None:
                flat += 1
            else:
                there[number // GRID_FPS] = fraction, min(max(score, 0.0), 1.0)
        if there:
            found.append((person, there))
    found.sort(key=lambda one: (min(one[1]), one[1][min(one[1])][0][0]))
    crowded = _crowded(found)
    rows = [
        Row(
            second,
            number,
            box,
            None if second * GRID_FPS in person.drawn else round(score, 4),
            None,
            number,
            False,
            _doubts(person, second, len(there), (second, number) in crowded),
        )
        for number, (person, there) in enumerate(found)
        for second, (box, score) in there.items()
    ]
    paths = [_path(number, person, size) for number, (person, _) in enumerate(found)]
    return Kept(tuple(sorted(rows, key=lambda row: row.key)), tuple(paths), len(persons) - len(found), flat)


def _doubts(person: PersonTrack, second: int, keyframes: int, crowded: bool) -> tuple[Doubt, ...]:
    moment = second * GRID_FPS
    since = range(moment - GRID_FPS + 1, moment + 1)
    doubts: list[Doubt] = []
    if any(number in since for number in person.joined):
        doubts.append("joined")
    if any(number in since for number in person.weak):
        doubts.append("weak")
    if keyframes < SHORT_KEYFRAMES:
        doubts.append("short")
    if crowded:
        doubts.append("crowded")
    if moment in person.drawn:
        doubts.append("drawn")
    return tuple(doubts)


def _crowded(found: Sequence[tuple[PersonTrack, dict[int, tuple[BoxT, float]]]]) -> set[tuple[int, int]]:
    """Second and number of the boxes that overlap another one."""
    at: dict[int, list[tuple[int, BoxT]]] = {}
    for number, (_, there) in enumerate(found):
        for second, (box, _) in there.items():
            at.setdefault(second, []).append((number, box))
    crowded: set[tuple[int, int]] = set()
    for second, boxes in at.items():
        overlap = _ious(np.array([box for _, box in boxes]))
        np.fill_diagonal(overlap, 0.0)
        for row in np.flatnonzero(overlap.max(axis=1) >= CROWDED_IOU).tolist() if len(boxes) > 1 else ():
            crowded.add((second, boxes[row][0]))
    return crowded


def _ious(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.prod(np.clip(high - low, 0.0, None), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    overlap: NDArray[np.float64] = both / (area[:, None] + area[None] - both)
    return overlap


def _path(number: int, person: PersonTrack, size: NDArray[np.float64]) -> TrackPath:
    kept = [
        (moment, box)
        for moment, values in zip(person.numbers.tolist(), (person.boxes / size).tolist(), strict=True)
        if (box := box_of(*values)) is not None
    ]
    return TrackPath(number, tuple(moment for moment, _ in kept), tuple(box for _, box in kept))
