"""Tracking by overlap alone: a person is where the box was in the picture before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vidbench.label.seen import GRID_FPS, Found, Picture
from vidbench.label.trackers import TrackerSettings

Array = NDArray[np.float64]
Pairs = NDArray[np.intp]

LEAST_IOU = 0.2
"""A walker at 4 box widths a second, seen 10 times a second, overlaps the box before by 0.43."""
LONGEST_MISS_S = 0.3
"""Without a guess where persons go, an old box is soon someone else's place."""


class IouTracker:
    """Follows boxes by their overlap with the last ones (Bochinski et al. 2017, here with a best assignment).

    Each picture's boxes go to the tracks with which they overlap the most in sum (Hungarian method), from `LEAST_IOU`
    on. A track that is missed stays where it was, for at most `LONGEST_MISS_S`, or `settings.max_age_s` if that is
    less; at rates below that, for one picture. Every box has a number: without motion and looks, it is the plain
    measure of the others.

    Args:
        settings: Rate and patience.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._patience = max(min(settings.max_age_s, LONGEST_MISS_S), 1 / settings.rate)
        self._next = 0
        self._boxes: Array = np.empty((0, 4))
        self._tracks = np.empty(0, dtype=np.int64)
        self._last = np.empty(0, dtype=np.int64)

    def update(self, picture: Picture, found: Found) -> NDArray[np.int64]:
        """See `vidbench.label.seen.Tracker`."""
        alive = picture.number - self._last <= round(self._patience * GRID_FPS)
        self._boxes, self._tracks, self._last = self._boxes[alive], self._tracks[alive], self._last[alive]
        rows, columns = assign(1 - overlaps(self._boxes, found.boxes), 1 - LEAST_IOU)
        numbers = np.full(len(found.boxes), -1, dtype=np.int64)
        numbers[columns] = self._tracks[rows]
        fresh = numbers < 0
        numbers[fresh] = np.arange(self._next, self._next + int(fresh.sum()))
        self._next += int(fresh.sum())
        missed = ~np.isin(self._tracks, numbers)
        self._boxes = np.concatenate((self._boxes[missed], found.boxes))
        self._tracks = np.concatenate((self._tracks[missed], numbers))
        self._last = np.concatenate((self._last[missed], np.full(len(numbers), picture.number, dtype=np.int64)))
        return numbers

    def looks(self) -> None:
        """It does not look."""
        return None

    def reset(self) -> None:
        """Forget all tracks; numbers go on."""
        self._boxes, self._tracks, self._last = self._boxes[:0], self._tracks[:0], self._last[:0]


def build(settings: TrackerSettings) -> IouTracker:
    """A tracker for one video."""
    return IouTracker(settings)


def overlaps(first: Array, second: Array) -> Array:
    """`(N, M)`: intersection over union of boxes `(N, 4)` and `(M, 4)`, x1, y1, x2, y2; 0 for boxes without area."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - both
    result: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return result


def row_overlaps(first: Array, second: Array) -> Array:
    """`(N,)`: intersection over union of boxes `(N, 4)` and `(N, 4)`, row by row; 0 for boxes without area."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) for boxes in (first, second)]
    union = areas[0] + areas[1] - both
    result: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return result


def assign(cost: Array, most: float) -> tuple[Pairs, Pairs]:
    """Rows and columns that belong together: as many pairs as there may be at a cost of at most `most`, cheapest first.

    Args:
        cost: `(N, M)`; may be infinite.
        most: A dearer pair is none.
    """
    allowed = cost <= most
    if not allowed.any():
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    rows, columns = linear_sum_assignment(np.where(allowed, cost, most + 1e-5))
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]
