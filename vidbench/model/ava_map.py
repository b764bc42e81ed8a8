"""Average precision of boxes with actions: which detections are right, and the area under precision over recall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Reals = NDArray[np.floating]

IOU = 0.5
"""The overlap from which a detection is right."""

_PAIRS = 1_000_000
"""Pairs of a detection and a box of the ground truth that are in memory at once, about."""


@dataclass(frozen=True)
class Boxes:
    """Boxes with one action each, as columns.

    Attributes:
        image: (N,) number of the image, 0 or more.
        action: (N,) number of the action, 0 or more.
        box: (N, 4) x1, y1, x2, y2, in one unit for all boxes; float64, or float32 for a scorer that counts so.
        score: (N,) higher is more certain, finite, of any range; of ground truth it only sorts.
    """

    image: Ints
    action: Ints
    box: Reals
    score: Reals

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: Ints | Bools) -> Boxes:
        """Some of the boxes, by index or mask, in that order."""
        return Boxes(self.image[rows], self.action[rows], self.box[rows], self.score[rows])


def claims(detections: Boxes, truth: Boxes) -> Ints:
    """Which box of the ground truth each detection finds; those that find one are right.

    A detection is compared with the boxes of its image and action. It claims the one that it overlaps most, the
    first of them where several are equal. It is right where the overlap is `IOU` or more and no detection above it
    claimed that box; one that comes second gets no other box.

    Args:
        detections: In the order in which they claim; within an image and action that order decides.
        truth: In the order in which equal overlaps are settled.

    Returns:
        (N,) the row of the box in `truth` for each detection; -1 where it is wrong.
    """
    width = int(max(detections.action.max(initial=0), truth.action.max(initial=0))) + 1
    keys = truth.image * width + truth.action
    by_key = np.argsort(keys, kind="stable")
    keys, wanted = keys[by_key], detections.image * width + detections.action
    first = np.searchsorted(keys, wanted, "left")
    many = np.searchsorted(keys, wanted, "right") - first
    rows = np.flatnonzero(many)
    claimants, claimed = [], []
    for part in _parts(rows, many[rows]):
        at, best = _best(detections, truth, by_key, part, first[part], many[part])
        claimants.append(at)
        claimed.append(best)
    found = np.full(len(detections), -1, dtype=np.int64)
    if claimants:
        boxes, foremost = np.unique(np.concatenate(claimed), return_index=True)
        found[np.concatenate(claimants)[foremost]] = boxes
    return found


def true_positives(detections: Boxes, truth: Boxes) -> Bools:
    """Which detections are right, (N,): those that find a box of the ground truth, see `claims`."""
    right: Bools = claims(detections, truth) >= 0
    return right


def overlap(one: Reals, other: Reals) -> Reals:
    """Intersection over union of boxes pair by pair.

    Widths and areas are taken in the type of the boxes and products of widths in float64, as the published scorers
    do; with float32 boxes the last digits depend on it.

    Args:
        one: (N, 4) x1, y1, x2, y2.
        other: (N, 4).

    Returns:
        (N,) float64; nan where neither box has an area.
    """
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    width, height = np.maximum(sides, 0).astype(np.float64, copy=False).T
    both = height * width
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Reals = both / (_area(one) + _area(other) - both)
    return shares


def average_precision(scores: Reals, right: Bools, positives: int) -> float:
    """The area under precision over recall, where precision at a recall is the best at that recall or more.

    This is the rule of Pascal VOC since 2010. Detections of one score are ranked one by one, the later of them
    first: a stable sort by rising score, read backwards. The published scorers sort likewise, though with numpy's
    unstable sort, whose order of equal scores differs from machine to machine; with distinct scores it is the same.

    Args:
        scores: (N,).
        right: (N,) whether the detection is right.
        positives: Boxes of the ground truth.

    Returns:
        In [0, 1]; 0 without detections; nan without positives.
    """
    if not positives:
        return float("nan")
    hits = right[np.argsort(scores, kind="stable")[::-1]]
    ranks = np.flatnonzero(hits)
    # recall rises at right detections alone, by one share each; between them precision only falls
    precision = np.arange(1, len(ranks) + 1) / (ranks + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.arange(len(ranks) + 1) / positives
    return float((np.diff(recall) * best).sum())


def by_action(actions: Ints) -> dict[int, Ints]:
    """The rows of each action that there is, in their order."""
    order = np.argsort(actions, kind="stable")
    found, starts = np.unique(actions[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True)) if len(found) else {}


def _area(box: Reals) -> Reals:
    sides = box[:, 2:] - box[:, :2]
    area: Reals = sides[:, 0] * sides[:, 1]
    return area


def _parts(rows: Ints, many: Ints) -> list[Ints]:
    """The detections in parts of about `_PAIRS` pairs."""
    if not len(rows):
        return []
    number = np.cumsum(many) // _PAIRS
    return np.split(rows, np.flatnonzero(np.diff(number)) + 1)


def _best(detections: Boxes, truth: Boxes, by_key: Ints, rows: Ints, first: Ints, many: Ints) -> tuple[Ints, Ints]:
    """The detections that overlap some box enough, and the box that each overlaps most."""
    starts = np.cumsum(many) - many
    place = np.repeat(np.arange(len(rows)), many)
    boxes = by_key[np.repeat(first - starts, many) + np.arange(len(place))]
    shares = overlap(detections.box[np.repeat(rows, many)], truth.box[boxes])
    most = np.maximum.reduceat(shares, starts)
    top = np.flatnonzero((shares == most[place]) & (shares >= IOU))
    foremost = top[np.diff(place[top], prepend=-1) > 0]
    return rows[place[foremost]], boxes[foremost]
