"""Pieces of tracks as they are put together, and where two of them meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vidbench.label.seen import Tracklet

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
Rows = NDArray[np.intp]
Look = NDArray[np.float32]

ALIKE = 0.2
"""Cosine distance below which looks do not tell two persons apart."""


@dataclass
class Piece:
    """A tracklet, merged from several perhaps, a stretch of one, or a chain of them.

    Attributes:
        numbers: `(n,)` rising moments.
        boxes: `(n, 4)` x1, y1, x2, y2 in pixels.
        scores: `(n,)` the detector's.
        tracks: `(n,)` the tracker's number behind each box.
        shot: Which shot of the video.
        looks: At the beginning first, at the end last; none where they are not known.
        joined: First moments after a gap that was bridged.
        weak: Moments whose link is doubtful.
        origin: Stretches of one piece have one number; -1 where nothing was cut.
        parts: What a chain was made of, in order; empty for what is none.
    """

    numbers: Numbers
    boxes: Array
    scores: Array
    tracks: Numbers
    shot: int
    looks: list[Look]
    joined: set[int] = field(default_factory=set)
    weak: set[int] = field(default_factory=set)
    origin: int = -1
    parts: list[Piece] = field(default_factory=list)

    def cut_short(self, bounds: dict[int, tuple[int, int]], step: int) -> bool:
        """Whether it begins with the first or ends with the last picture of its shot."""
        first, last = bounds[self.shot]
        return bool(self.numbers[0] < first + step or self.numbers[-1] > last - step)

    def stretch(self, rows: Rows, origin: int) -> Piece:
        """Some successive boxes; looks are known at the ends of the whole alone."""
        looks = self.looks[:1] if rows[0] == 0 else self.looks[-1:] if rows[-1] == len(self.numbers) - 1 else []
        return Piece(
            self.numbers[rows], self.boxes[rows], self.scores[rows], self.tracks[rows], self.shot, looks, origin=origin
        )

    def with_boxes(self, numbers: Numbers, boxes: Array, scores: Array, tracks: Numbers) -> Piece:
        """With more boxes, at moments that it has none at."""
        every = np.concatenate((self.numbers, numbers))
        order = np.argsort(every, kind="stable")
        return replace(
            self,
            numbers=every[order],
            boxes=np.concatenate((self.boxes, boxes))[order],
            scores=np.concatenate((self.scores, scores))[order],
            tracks=np.concatenate((self.tracks, tracks))[order],
        )


def piece_of(one: Tracklet) -> Piece:
    """A tracklet as a piece."""
    looks = [look for look in (one.first_look, one.last_look) if look is not None]
    return Piece(
        one.numbers, one.boxes, one.scores, np.full(len(one.numbers), one.track, dtype=np.int64), one.shot, looks
    )


def meetings(pieces: Sequence[Piece], least: float) -> Iterator[tuple[Rows, Array, Array, Numbers]]:
    """Where two boxes of a moment overlap: pairs of pieces `(n, 2)`, the smaller number first, IoU, part of the
    smaller box that is covered, and moment; those with an IoU or a part of at least `least`.
    """
    if not pieces:
        return
    owner = np.repeat(np.arange(len(pieces)), [len(piece.numbers) for piece in pieces])
    numbers = np.concatenate([piece.numbers for piece in pieces])
    order = np.argsort(numbers, kind="stable")
    owner, numbers = owner[order], numbers[order]
    boxes = np.concatenate([piece.boxes for piece in pieces])[order]
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    rows = np.arange(len(numbers))
    for step in range(1, len(numbers)):
        # boxes of one moment lie side by side
        rows = rows[rows < len(numbers) - step]
        rows = rows[numbers[rows] == numbers[rows + step]]
        if not len(rows):
            return
        others = rows + step
        low = np.maximum(boxes[rows, :2], boxes[others, :2])
        high = np.minimum(boxes[rows, 2:], boxes[others, 2:])
        both = np.prod(np.maximum(high - low, 0), axis=1)
        iou = both / (area[rows] + area[others] - both)
        part = both / np.minimum(area[rows], area[others])
        near = (iou >= least) | (part >= least)
        yield (
            np.sort(np.stack((owner[rows], owner[others]), axis=1)[near], axis=1),
            iou[near],
            part[near],
            numbers[rows][near],
        )


def mean_look(looks: Sequence[Look] | deque[Look]) -> Look | None:
    """The unit vector of several looks; None of none."""
    if not looks:
        return None
    total = np.sum(looks, axis=0, dtype=np.float32)
    norm = float(np.linalg.norm(total))
    return np.asarray(total / norm if norm > 0 else total, dtype=np.float32)


def look_distance(one: Look | None, other: Look | None) -> float:
    """Cosine distance; 0 where one of them is not told."""
    return 0.0 if one is None or other is None else 1.0 - float(one @ other)
