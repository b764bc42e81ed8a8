"""Where persons meet, trackers confuse them: tracks are cut there, and boxes given back once it is known who is who."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidbench.label.motion import motion
from vidbench.label.pieces import Array, Numbers, Piece, Rows, meetings
from vidbench.label.seen import GRID_FPS

_IOU, _PART = 0.3, 0.6
"""Two persons meet from this overlap on, or with this part of the smaller box covered."""
_LONGEST_S = 2.0
"""Who stay together for longer are left to the tracker: how they came says nothing about how they go."""
_CLEAR_S = 0.3
"""Shorter stretches between two meetings belong to them, as they do not tell a speed."""
_GHOST_S = 1.0
"""So long someone who is lost is looked for where motion leads: behind another person, or in that one's box."""
_LEAST = 5
"""Pieces of fewer boxes meet nobody: they are often false."""
_REACH = 0.6
"""Heights between a box and where a person should be, from which on it is someone else's."""
_OWN = 0.15
"""A box of the person's own track may be so many heights farther off."""


@dataclass(frozen=True)
class _Place:
    """Where a person without a box should be.

    Attributes:
        person: Number of the chain.
        centre: `(2,)` in pixels.
        height: In pixels.
        origins: The pieces that it was and will be.
    """

    person: int
    centre: Array
    height: float
    origins: tuple[int, ...]


def cut(pieces: Sequence[Piece], step: int) -> tuple[list[Piece], list[Piece]]:
    """Cut pieces where they meet: the stretches that are clearly of one person, and those between.

    A piece without a clear stretch stays as it is.

    Args:
        pieces: Of a video.
        step: Moments of the grid from one picture to the next.

    Returns:
        The clear stretches, and the others. Those of a piece have its number as `origin`.
    """
    clear: list[Piece] = []
    tangled: list[Piece] = []
    for origin, (piece, spans) in enumerate(zip(pieces, _spans(pieces, step), strict=True)):
        within = np.zeros(len(piece.numbers), dtype=bool)
        for first, last in spans:
            # a picture more on both sides, where boxes already touch
            within |= (piece.numbers >= first - step) & (piece.numbers <= last + step)
        for rows in _runs(~within) if within.any() else ():
            if piece.numbers[rows[-1]] - piece.numbers[rows[0]] < _CLEAR_S * GRID_FPS:
                within[rows] = True
        if within.all() or not within.any():
            clear.append(piece)
            continue
        clear += [piece.stretch(rows, origin) for rows in _runs(~within)]
        tangled += [piece.stretch(rows, origin) for rows in _runs(within)]
    return clear, tangled


def _runs(which: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[Rows]:
    """Successive rows that are set."""
    rows = np.flatnonzero(which)
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []


def _spans(pieces: Sequence[Piece], step: int) -> list[list[tuple[int, int]]]:
    """For each piece, first and last moment of each meeting that is not too long."""
    able = [number for number, piece in enumerate(pieces) if len(piece.numbers) >= _LEAST]
    moments: dict[tuple[int, int], list[int]] = {}
    for pairs, iou, part, numbers in meetings([_with_ghosts(pieces[n], step) for n in able], min(_IOU, _PART)):
        close = (iou >= _IOU) | (part >= _PART)
        for (one, other), number in zip(pairs[close].tolist(), numbers[close].tolist(), strict=True):
            moments.setdefault((able[one], able[other]), []).append(number)
    spans: list[list[tuple[int, int]]] = [[] for _ in pieces]
    for (one, other), found in moments.items():
        first, second = pieces[one], pieces[other]
        # who follows the other may well be the same person
        if first.shot != second.shot or first.numbers[0] > second.numbers[-1] or second.numbers[0] > first.numbers[-1]:
            continue
        at = np.sort(found)
        # at least one of the two is really there
        at = at[np.isin(at, first.numbers) | np.isin(at, second.numbers)]
        for run in np.split(at, np.flatnonzero(np.diff(at) > _CLEAR_S * GRID_FPS) + 1) if len(at) else ():
            if run[-1] - run[0] <= _LONGEST_S * GRID_FPS:
                spans[one].append((int(run[0]), int(run[-1])))
                spans[other].append((int(run[0]), int(run[-1])))
    return spans


def _with_ghosts(piece: Piece, step: int) -> Piece:
    """The piece with boxes also where it should be while it is not seen."""
    numbers, boxes = [piece.numbers], [piece.boxes]
    for row in np.flatnonzero(np.diff(piece.numbers) > step).tolist():
        at = np.arange(piece.numbers[row] + step, piece.numbers[row + 1], step)
        part = ((at - piece.numbers[row]) / (piece.numbers[row + 1] - piece.numbers[row]))[:, None]
        numbers.append(at)
        boxes.append((1 - part) * piece.boxes[row] + part * piece.boxes[row + 1])
    away = np.arange(step, round(_GHOST_S * GRID_FPS) + 1, step)
    for last in (False, True):
        end = motion(piece, last=last)
        later = away if last else -away
        centre = end.place + end.speed * (later / GRID_FPS)[:, None]
        numbers.append(piece.numbers[-1 if last else 0] + later)
        boxes.append(np.concatenate((centre - end.size / 2, centre + end.size / 2), axis=1))
    every = np.concatenate(numbers)
    order = np.argsort(every, kind="stable")
    none = np.zeros(len(every))
    return Piece(every[order], np.concatenate(boxes)[order], none, none.astype(np.int64), piece.shot, [])


def give_back(chains: Sequence[Piece], tangled: Sequence[Piece]) -> list[Piece]:
    """Give boxes of meetings to persons: moment by moment to who should be there.

    Args:
        chains: Of clear stretches.
        tangled: The other stretches.

    Returns:
        The chains with their boxes; boxes that nobody should have are pieces of their own.
    """
    if not tangled:
        return list(chains)
    numbers = np.concatenate([piece.numbers for piece in tangled])
    boxes = np.concatenate([piece.boxes for piece in tangled])
    scores = np.concatenate([piece.scores for piece in tangled])
    tracks = np.concatenate([piece.tracks for piece in tangled])
    lengths = [len(piece.numbers) for piece in tangled]
    origins = np.repeat([piece.origin for piece in tangled], lengths)
    wanted: dict[int, list[_Place]] = {}
    for moment, place in _places(chains, tangled, np.unique(numbers)):
        wanted.setdefault(moment, []).append(place)
    persons = np.full(len(numbers), -1)
    order = np.argsort(numbers, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        there = wanted.get(int(numbers[rows[0]]), [])
        if not there:
            continue
        centres = (boxes[rows, :2] + boxes[rows, 2:]) / 2
        apart = np.array([place.centre for place in there])[:, None] - centres[None]
        off = np.hypot(apart[..., 0], apart[..., 1]) / np.array([[place.height] for place in there])
        own = np.array([np.isin(origins[rows], place.origins) for place in there])
        cost = np.where(off > _REACH, 100.0, off - _OWN * own)
        for one, other in zip(*linear_sum_assignment(cost), strict=True):
            if off[one, other] <= _REACH:
                persons[rows[other]] = there[one].person
    found = []
    for person, chain in enumerate(chains):
        mine = persons == person
        found.append(chain.with_boxes(numbers[mine], boxes[mine], scores[mine], tracks[mine]) if mine.any() else chain)
    for piece, nobody in zip(tangled, np.split(persons < 0, np.cumsum(lengths)[:-1]), strict=True):
        if nobody.any():
            found.append(replace(piece.stretch(np.flatnonzero(nobody), -1), looks=[]))
    return found


def _places(chains: Sequence[Piece], tangled: Sequence[Piece], moments: Numbers) -> Iterator[tuple[int, _Place]]:
    """Where persons should be at those moments of meetings that they have no box at."""
    by_origin: dict[int, list[Piece]] = {}
    for piece in tangled:
        by_origin.setdefault(piece.origin, []).append(piece)
    shots = {piece.shot for piece in tangled}
    for person, chain in enumerate(chains):
        if chain.shot not in shots:
            continue
        parts = chain.parts or [chain]
        # beyond its ends a person is where its own track says
        for own in by_origin.get(parts[0].origin, []):
            if own.numbers[-1] < parts[0].numbers[0]:
                yield from _own_places(person, own)
        for own in by_origin.get(parts[-1].origin, []):
            if own.numbers[0] > parts[-1].numbers[-1]:
                yield from _own_places(person, own)
        for before, after in pairwise(parts):
            low, high = int(before.numbers[-1]), int(after.numbers[0])
            at = moments[np.searchsorted(moments, low, side="right") : np.searchsorted(moments, high)]
            if not len(at):
                continue
            one, other = motion(before, last=True), motion(after, last=False)
            for moment in at.tolist():
                part = (moment - low) / (high - low)
                centre = (1 - part) * one.place + part * other.place
                height = (1 - part) * one.height + part * other.height
                yield moment, _Place(person, centre, height, (before.origin, after.origin))


def _own_places(person: int, own: Piece) -> Iterator[tuple[int, _Place]]:
    for moment, box in zip(own.numbers.tolist(), own.boxes, strict=True):
        yield moment, _Place(person, (box[:2] + box[2:]) / 2, float(box[3] - box[1]), (own.origin,))
