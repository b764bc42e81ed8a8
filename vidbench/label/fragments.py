"""Pieces of tracks that are no persons of their own: duplicates, parts of bodies, and what fits a gap of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidbench.label.iou_tracker import row_overlaps
from vidbench.label.pieces import Piece, meetings

_INSIDE = 0.85
"""A box of which so much is covered by another one's lies in it."""
_OFTEN = 0.7
"""In so many of its boxes a part of a body lies in the person's."""
_SMALLER, _LESS_SURE = 0.75, 0.1
"""Of the person's height at most, and of the person's score at least so much less: a child before an adult is seen as
well as the adult, a torso is not."""
_FITS_IOU = 0.5
"""With the place where a person should be who is missed for a moment."""


def merge_duplicates(pieces: list[Piece], least: float) -> list[Piece]:
    """Pieces that lie on another one wherever both are there, for most of their own time, go into it.

    Args:
        pieces: Of a video.
        least: IoU from which on two boxes lie on each other.
    """
    counts: dict[tuple[int, int], int] = {}
    for pairs, iou, _, _ in meetings(pieces, least):
        for pair in map(tuple, pairs[iou >= least].tolist()):
            counts[pair] = counts.get(pair, 0) + 1
    goes_into = list(range(len(pieces)))
    merged = list(pieces)
    for (one, other), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        first, second = _root(goes_into, one), _root(goes_into, other)
        if first == second:
            continue
        shared = len(np.intersect1d(pieces[one].numbers, pieces[other].numbers))
        if count < 0.8 * shared or shared < 0.5 * min(len(pieces[one].numbers), len(pieces[other].numbers)):
            continue
        keep, lose = (first, second) if len(merged[first].numbers) >= len(merged[second].numbers) else (second, first)
        goes_into[lose] = keep
        fresh = ~np.isin(merged[lose].numbers, merged[keep].numbers)
        merged[keep] = _union(merged[keep], merged[lose], fresh)
    return [piece for number, piece in enumerate(merged) if goes_into[number] == number]


def _root(goes_into: list[int], number: int) -> int:
    while goes_into[number] != number:
        number = goes_into[number]
    return number


def _union(long: Piece, short: Piece, fresh: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Piece:
    return long.with_boxes(short.numbers[fresh], short.boxes[fresh], short.scores[fresh], short.tracks[fresh])


def without_body_parts(pieces: Sequence[Piece]) -> list[Piece]:
    """Without pieces that lie in one person's boxes, much smaller and less sure than these."""
    counts: dict[tuple[int, int], int] = {}
    for pairs, _, part, _ in meetings(pieces, _INSIDE):
        for pair in map(tuple, pairs[part >= _INSIDE].tolist()):
            counts[pair] = counts.get(pair, 0) + 1
    gone = set[int]()
    for pair, count in counts.items():
        small, large = sorted(pair, key=lambda number: _height(pieces[number]))
        inner, person = pieces[small], pieces[large]
        if (
            count >= _OFTEN * len(inner.numbers)
            and _height(inner) <= _SMALLER * _height(person)
            and inner.scores.mean() <= person.scores.mean() - _LESS_SURE
        ):
            gone.add(small)
    return [piece for number, piece in enumerate(pieces) if number not in gone]


def _height(piece: Piece) -> float:
    return float(np.median(piece.boxes[:, 3] - piece.boxes[:, 1]))


def into_gaps(pieces: Sequence[Piece], step: int) -> list[Piece]:
    """Pieces that lie in a gap of another one, all just where it should be, go into it.

    Args:
        pieces: Of a video.
        step: Moments of the grid from one picture to the next.
    """
    firsts = np.array([piece.numbers[0] for piece in pieces])
    order = np.argsort(firsts, kind="stable")
    begins = firsts[order]
    merged, gone = list(pieces), set[int]()
    for number, piece in enumerate(pieces):
        for row in np.flatnonzero(np.diff(piece.numbers) > step).tolist() if number not in gone else ():
            low, high = piece.numbers[row], piece.numbers[row + 1]
            first, last = np.searchsorted(begins, low, side="right"), np.searchsorted(begins, high)
            for other in order[first:last].tolist():
                short = merged[other]
                if short.numbers[-1] >= high or short.shot != piece.shot or other in gone:
                    continue
                part = ((short.numbers - low) / (high - low))[:, None]
                wanted = (1 - part) * piece.boxes[row] + part * piece.boxes[row + 1]
                if row_overlaps(wanted, short.boxes).min() >= _FITS_IOU:
                    gone.add(other)
                    merged[number] = merged[number].with_boxes(short.numbers, short.boxes, short.scores, short.tracks)
                    break
    return [piece for number, piece in enumerate(merged) if number not in gone]
