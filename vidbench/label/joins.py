"""Which end of a piece of track goes on in which later beginning: place, speed, size and looks, all joins at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vidbench.label.motion import motion
from vidbench.label.pieces import ALIKE, Array, Look, Piece, Rows, look_distance
from vidbench.label.seen import GRID_FPS

_NEAR, _PACE, _PACE_UNKNOWN = 0.1, 0.2, 0.8
"""How far off a person may usually be, in heights, and how much more for each second, by whether its speed is known."""
_TURN_NEAR, _TURN_PACE, _TURN_MOST = 0.15, 0.4, 0.9
"""The same for who turns or stops meanwhile, and what that costs at most."""
_FARTHEST_LOOK = 0.5
"""Cosine distance of looks from which on there is no join."""
_BRIEF_S, _BRIEF_COST = 0.5, 0.5
"""Gaps that are bridged first, and what that may cost. Who has no known speed then is not looked for for longer."""
_AT_ONCE, _AT_ONCE_PACE, _AT_ONCE_COST = 2, 1.5, 0.3
"""Pictures within which another piece goes on, alone and no farther off than so many heights a second, and the cost of
that: a tracker lost who turned round."""
_MET_S = 1.5
"""A meeting may take so much longer than another gap: it is known where the person was, if not who."""
_OWN, _OWN_MOST = 0.1, 0.9
"""What was one track before it was cut costs so much less, and at most so much."""


@dataclass(frozen=True)
class _Ends:
    """The beginnings or the ends of all pieces.

    Attributes:
        time: `(N,)` seconds.
        place: `(N, 2)` centre of the whole person then, in pixels.
        speed: `(N, 2)` pixels a second; 0 where it is not known.
        known: `(N,)` whether it is.
        height: `(N,)` of the whole person, in pixels.
        look: One for each piece, or None.
        track: `(N,)` the tracker's number.
        origin: `(N,)` the number of the piece that it was cut from.
    """

    time: Array
    place: Array
    speed: Array
    known: NDArray[np.bool_]
    height: Array
    look: list[Look | None]
    track: NDArray[np.int64]
    origin: NDArray[np.int64]


def join(pieces: list[Piece], gap_s: float, rate: int) -> list[Piece]:
    """Join pieces to chains: over short gaps first, so that speeds are known, then over longer ones.

    Args:
        pieces: Of a video.
        gap_s: How long a person may be out of sight, in seconds.
        rate: Pictures a second that were looked at.
    """
    # at low rates, pieces of a single box are the rule
    brief = max(_BRIEF_S, 2 / rate)
    chains = pieces
    if brief < gap_s:
        chains = _joined(pieces, brief, brief, rate, _BRIEF_COST, again=False)
    return _joined(chains, gap_s, brief, rate, 1.0, again=True)


def _joined(pieces: list[Piece], gap_s: float, brief_s: float, rate: int, most: float, *, again: bool) -> list[Piece]:
    """The chains of pieces with the best sum of gains."""
    ends, starts = _ends(pieces, last=True), _ends(pieces, last=False)
    before, after = _candidates(pieces, ends, starts, gap_s, again=again)
    cost = _costs(ends, starts, before, after, gap_s, brief_s)
    if not again:
        alone = _alone(pieces, ends, starts, before, after, _AT_ONCE / rate)
        cost[alone] = np.minimum(cost[alone], _AT_ONCE_COST)
    good = cost < most
    before, after, cost = before[good], after[good], cost[good]
    next_of: dict[int, tuple[int, bool]] = {}
    for rows in _components(before, after, len(pieces)):
        left, row = np.unique(before[rows], return_inverse=True)
        right, column = np.unique(after[rows], return_inverse=True)
        gain = np.zeros((len(left), len(right)))
        gain[row, column] = 1 - cost[rows]
        for one, other in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if gain[one, other] > 0:
                rival = max(np.delete(gain[one], other).max(initial=0), np.delete(gain[:, other], one).max(initial=0))
                doubtful = gain[one, other] < 0.4 or rival > gain[one, other] - 0.2
                next_of[int(left[one])] = int(right[other]), bool(doubtful)
    follows = {other for other, _ in next_of.values()}
    return [_chain(pieces, number, next_of) for number in range(len(pieces)) if number not in follows]


def _chain(pieces: list[Piece], number: int, next_of: dict[int, tuple[int, bool]]) -> Piece:
    parts = [pieces[number]]
    joined, weak = set(parts[0].joined), set(parts[0].weak)
    while number in next_of:
        number, doubtful = next_of[number]
        part, moment = pieces[number], int(pieces[number].numbers[0])
        # what only a cut had parted was no gap
        if not _of_one(_origin(parts[-1], last=True), _origin(part, last=False)):
            joined.add(moment)
        if doubtful:
            weak.add(moment)
        parts.append(part)
        joined |= part.joined
        weak |= part.weak
    if len(parts) == 1:
        return parts[0]
    return Piece(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.tracks for part in parts]),
        parts[0].shot,
        [look for part in parts for look in part.looks],
        joined,
        weak,
        parts=[one for part in parts for one in part.parts or [part]],
    )


def _origin(piece: Piece, *, last: bool) -> int:
    return (piece.parts or [piece])[-1 if last else 0].origin


def _of_one(one: int, other: int) -> bool:
    return one == other >= 0


def _candidates(pieces: list[Piece], ends: _Ends, starts: _Ends, gap_s: float, *, again: bool) -> tuple[Rows, Rows]:
    """Pairs of pieces of a shot of which the second begins after the first ends, soon enough or by the same track."""
    order = np.argsort(starts.time, kind="stable")
    sorted_starts = starts.time[order]
    longest = gap_s + _MET_S if again else gap_s
    low = np.searchsorted(sorted_starts, ends.time, side="right")
    high = np.searchsorted(sorted_starts, ends.time + longest + 1e-9, side="right")
    counts = high - low
    before = np.repeat(np.arange(len(pieces)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    after = order[np.repeat(low, counts) + offsets]
    # longer gaps are for those who were cut out of a meeting, or were one track to the tracker
    near = starts.time[after] - ends.time[before] <= gap_s + 1e-9
    near |= (ends.origin[before] >= 0) & (starts.origin[after] >= 0)
    near |= again & (ends.track[before] == starts.track[after])
    before, after = before[near], after[near]
    by_track: dict[tuple[int, int], int] = {}
    more: list[tuple[int, int]] = []
    for number in order.tolist() if again else ():
        key = pieces[number].shot, int(starts.track[number])
        if key in by_track and starts.time[number] > ends.time[by_track[key]] + longest:
            more.append((by_track[key], number))
        # whom the tracker has seen since in another piece is there, not here
        for track in np.unique(pieces[number].tracks).tolist():
            by_track.pop((pieces[number].shot, track), None)
        by_track[pieces[number].shot, int(ends.track[number])] = number
    pairs = np.array(more, dtype=np.intp).reshape(-1, 2)
    before, after = np.concatenate((before, pairs[:, 0])), np.concatenate((after, pairs[:, 1]))
    shots = np.array([piece.shot for piece in pieces])
    same = shots[before] == shots[after]
    return before[same], after[same]


def _costs(ends: _Ends, starts: _Ends, before: Rows, after: Rows, gap_s: float, brief_s: float) -> Array:
    """What speaks against each join; from 1 on it is none."""
    gap = starts.time[after] - ends.time[before]
    height = (ends.height[before] + starts.height[after]) / 2
    forward = ends.place[before] + ends.speed[before] * gap[:, None] - starts.place[after]
    backward = starts.place[after] - starts.speed[after] * gap[:, None] - ends.place[before]
    known = np.stack((ends.known[before], starts.known[after]))
    off = np.stack((np.hypot(*forward.T), np.hypot(*backward.T))) / height
    # an unknown speed is the usual one
    reach = _NEAR + np.where(known, _PACE, _PACE_UNKNOWN) * gap
    way = np.where(known.any(axis=0) & ~known, np.inf, off / reach)
    way = np.where(np.isinf(way), way[::-1], way).mean(axis=0)
    way = np.where((gap > brief_s + 1e-9) & ~known.all(axis=0), np.inf, way)
    size = np.abs(np.log(ends.height[before] / starts.height[after]))
    look = np.array(
        [look_distance(ends.look[one], starts.look[other]) for one, other in zip(before, after, strict=True)]
    ).reshape(len(before))
    # alike or not told, looks say nothing for a join, only different ones against it
    unlike = size + np.clip((look - ALIKE) / (_FARTHEST_LOOK - ALIKE), 0, 1)
    rest = unlike + 0.1 * np.minimum(gap / max(gap_s, 1e-9), 1)
    # most people walk on: what is off their way costs much (the logarithm of a heavy-tailed likelihood), but as who
    # turns is far off, too, it is no join only where a turn does not reach
    turned = way * reach.mean(axis=0) / (_TURN_NEAR + _TURN_PACE * gap)
    cost = 0.35 * np.log1p(way**2) + rest
    cost = np.where(0.3 * turned + rest < 1, np.minimum(cost, _TURN_MOST), cost)
    own = (ends.origin[before] == starts.origin[after]) & (ends.origin[before] >= 0)
    again = ends.track[before] == starts.track[after]
    found: Array = np.where(own, np.clip(cost - _OWN, 0, _OWN_MOST), np.where(again, 0.6 * cost, cost))
    return found


def _alone(pieces: list[Piece], ends: _Ends, starts: _Ends, before: Rows, after: Rows, gap_s: float) -> Rows:
    """Joins of two pieces of which the second goes on at once where the first was, with nobody else who may do so."""
    gap = starts.time[after] - ends.time[before]
    last = np.array([piece.boxes[-1] for piece in pieces])[before]
    first = np.array([piece.boxes[0] for piece in pieces])[after]
    apart = (last[:, :2] + last[:, 2:] - first[:, :2] - first[:, 2:]) / 2
    height = (ends.height[before] + starts.height[after]) / 2
    like = np.abs(np.log(ends.height[before] / starts.height[after])) < _AT_ONCE_COST
    like &= np.array(
        [look_distance(ends.look[one], starts.look[other]) < ALIKE for one, other in zip(before, after, strict=True)],
        dtype=bool,
    ).reshape(len(before))
    near = np.flatnonzero(
        like & (gap <= gap_s + 1e-9) & (np.hypot(*apart.T) <= (_TURN_NEAR + _AT_ONCE_PACE * gap) * height)
    )
    following: dict[int, list[int]] = {}
    leading: dict[int, list[int]] = {}
    for one, other in zip(before[near].tolist(), after[near].tolist(), strict=True):
        following.setdefault(one, []).append(other)
        leading.setdefault(other, []).append(one)
    # who comes when the other has gone is no other person
    return near[
        [
            all(starts.time[rival] > ends.time[other] for rival in following[one] if rival != other)
            and all(ends.time[rival] < starts.time[one] for rival in leading[other] if rival != one)
            for one, other in zip(before[near].tolist(), after[near].tolist(), strict=True)
        ]
    ]


def _components(before: Rows, after: Rows, count: int) -> Iterator[Rows]:
    """Joins that compete with each other, group by group."""
    if not len(before):
        return
    graph = coo_array((np.ones(len(before)), (before, after + count)), shape=(2 * count, 2 * count))
    labels = connected_components(graph, directed=False)[1][before]
    order = np.argsort(labels, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _ends(pieces: list[Piece], *, last: bool) -> _Ends:
    found = [motion(piece, last=last) for piece in pieces]
    at = -1 if last else 0
    return _Ends(
        np.array([piece.numbers[at] for piece in pieces]) / GRID_FPS,
        np.array([one.place for one in found]),
        np.array([one.speed for one in found]),
        np.array([one.known for one in found]),
        np.array([one.height for one in found]),
        [piece.looks[at] if piece.looks else None for piece in pieces],
        np.array([piece.tracks[at] for piece in pieces]),
        np.array([_origin(piece, last=last) for piece in pieces]),
    )
