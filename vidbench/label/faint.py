"""Boxes that were too unsure for the tracker: they begin nobody, but show where a person is who is missed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidbench.label.iou_tracker import assign, overlaps
from vidbench.label.motion import motion
from vidbench.label.pieces import Array, Numbers, Piece
from vidbench.label.seen import GRID_FPS, Found

_LEAST_IOU = 0.5
"""With the place where the person should be."""
_TAKEN_IOU = 0.6
"""A faint box that overlaps another person's so much is that person's."""
_END_S = 0.5
"""So long someone who is no longer, or not yet, found is looked for."""


@dataclass(frozen=True)
class Faint:
    """Faint boxes of a video.

    Attributes:
        numbers: `(n,)` their moments, never falling.
        boxes: `(n, 4)` x1, y1, x2, y2 in pixels.
        scores: `(n,)`.
    """

    numbers: Numbers
    boxes: Array
    scores: Array


class FaintBuilder:
    """Gathers the faint boxes of a video."""

    def __init__(self) -> None:
        self._numbers, self._boxes, self._scores = array("q"), array("d"), array("d")

    def add(self, number: int, found: Found, tracks: Numbers) -> None:
        """Take in those of a picture, and what the tracker gave to nobody (-1); pictures by rising number."""
        left = tracks < 0
        self._numbers.extend([number] * (int(left.sum()) + len(found.faint_scores)))
        for boxes, scores in ((found.boxes[left], found.scores[left]), (found.faint_boxes, found.faint_scores)):
            self._boxes.extend(boxes.ravel().tolist())
            self._scores.extend(scores.tolist())

    def faint(self) -> Faint:
        """All so far."""
        return Faint(
            np.array(self._numbers, dtype=np.int64),
            np.array(self._boxes, dtype=np.float64).reshape(-1, 4),
            np.array(self._scores, dtype=np.float64),
        )


def with_faint(
    chains: Sequence[Piece], faint: Faint, bounds: dict[int, tuple[int, int]], longest_s: float, step: int
) -> list[Piece]:
    """Give faint boxes to persons who are missed where these lie; persons are weak at these moments.

    In gaps a person should be between the boxes around, beyond its ends where motion leads, without a break of more
    than a picture.

    Args:
        chains: Persons.
        faint: The boxes.
        bounds: First and last picture of each shot.
        longest_s: The longest gap that is looked at.
        step: Moments of the grid from one picture to the next.
    """
    moments = np.unique(faint.numbers)
    missed: dict[int, list[tuple[int, Array]]] = {}
    there: dict[int, list[Array]] = {}
    for person, chain in enumerate(chains):
        for row in np.flatnonzero(np.isin(chain.numbers, moments)).tolist():
            there.setdefault(int(chain.numbers[row]), []).append(chain.boxes[row])
        first, last = bounds[chain.shot]
        for number, box in _missed(chain, longest_s, step):
            if first <= number <= last:
                missed.setdefault(number, []).append((person, box))
    given: dict[int, list[tuple[int, int]]] = {}
    for number in moments.tolist():
        wanted = missed.get(number)
        if not wanted:
            continue
        low, high = np.searchsorted(faint.numbers, (number, number + 1))
        rows = np.arange(low, high)
        if number in there:
            rows = rows[overlaps(faint.boxes[rows], np.array(there[number])).max(axis=1) < _TAKEN_IOU]
        cost = 1 - overlaps(np.array([box for _, box in wanted]), faint.boxes[rows])
        for one, other in zip(*assign(cost, 1 - _LEAST_IOU), strict=True):
            given.setdefault(wanted[one][0], []).append((number, int(rows[other])))
    return [
        _filled(chain, faint, _unbroken(chain, given[person], step)) if person in given else chain
        for person, chain in enumerate(chains)
    ]


def _missed(chain: Piece, longest_s: float, step: int) -> Iterator[tuple[int, Array]]:
    """Moments without a box, and where the person should be."""
    numbers, boxes = chain.numbers, chain.boxes
    gaps = np.diff(numbers)
    for row in np.flatnonzero((gaps > step) & (gaps <= longest_s * GRID_FPS)).tolist():
        for number in range(int(numbers[row]) + step, int(numbers[row + 1]), step):
            part = (number - numbers[row]) / gaps[row]
            yield number, (1 - part) * boxes[row] + part * boxes[row + 1]
    for last in (False, True):
        end, at = motion(chain, last=last), -1 if last else 0
        for away in range(step, round(_END_S * GRID_FPS) + 1, step):
            later = away if last else -away
            yield int(numbers[at]) + later, boxes[at] + np.tile(end.speed * (later / GRID_FPS), 2)


def _unbroken(chain: Piece, given: list[tuple[int, int]], step: int) -> list[int]:
    """Rows of faint boxes; beyond the ends those that follow each other."""
    first, last = int(chain.numbers[0]), int(chain.numbers[-1])
    rows = [row for number, row in given if first < number < last]
    for number, row in sorted(given):
        if last < number <= last + 2 * step:
            rows.append(row)
            last = number
    for number, row in sorted(given, reverse=True):
        if first > number >= first - 2 * step:
            rows.append(row)
            first = number
    return rows


def _filled(chain: Piece, faint: Faint, rows: list[int]) -> Piece:
    numbers = faint.numbers[rows]
    before = np.maximum(np.searchsorted(chain.numbers, numbers) - 1, 0)
    more = chain.with_boxes(numbers, faint.boxes[rows], faint.scores[rows], chain.tracks[before])
    return replace(more, weak=chain.weak | set(numbers.tolist()))
