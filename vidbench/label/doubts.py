"""Which links of a person's track deserve a look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidbench.label.iou_tracker import row_overlaps
from vidbench.label.pieces import ALIKE, Piece, look_distance, mean_look, meetings
from vidbench.label.seen import GRID_FPS

_MET_IOU, _MET_PART, _APART_IOU = 0.3, 0.7, 0.1
"""Two persons meet from this overlap on, or with this part of the smaller box hidden, and part below that overlap."""
_LEAST_STEP_IOU = 0.1


def parted(chains: Sequence[Piece]) -> list[set[int]]:
    """For each person the moments when one that may have been confused with it has just gone another way."""
    met: dict[tuple[int, int], list[int]] = {}
    touching: dict[tuple[int, int], set[int]] = {}
    for pairs, iou, part, numbers in meetings(chains, _APART_IOU):
        for (one, other), overlap, covered, number in zip(
            pairs.tolist(), iou.tolist(), part.tolist(), numbers.tolist(), strict=True
        ):
            touching.setdefault((one, other), set()).add(number)
            if overlap >= _MET_IOU or covered >= _MET_PART:
                met.setdefault((one, other), []).append(number)
    weak: list[set[int]] = [set() for _ in chains]
    for (one, other), moments in met.items():
        if look_distance(mean_look(chains[one].looks), mean_look(chains[other].looks)) > ALIKE:
            continue
        shared = np.intersect1d(chains[one].numbers, chains[other].numbers)
        apart = shared[~np.isin(shared, list(touching[one, other]))]
        after = np.unique(np.searchsorted(apart, moments, side="right"))
        for number in apart[after[after < len(apart)]].tolist():
            weak[one].add(number)
            weak[other].add(number)
    return weak


def jumps(chain: Piece) -> set[int]:
    """Moments whose box lies neither where the one before was nor where its motion would have led."""
    boxes, times = chain.boxes, chain.numbers / GRID_FPS
    if len(boxes) < 2:
        return set()
    # from the second step on there is a speed
    step = np.diff(times)[:, None]
    guess = boxes[:-1].copy()
    guess[1:] += (boxes[1:-1] - boxes[:-2]) / step[:-1] * step[1:]
    off = np.maximum(row_overlaps(boxes[:-1], boxes[1:]), row_overlaps(guess, boxes[1:])) < _LEAST_STEP_IOU
    return {int(number) for number in chain.numbers[1:][off]} - chain.joined
