"""After the video: pieces of tracks to persons: duplicates merged, gaps bridged, short ones dropped, all renumbered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vidbench.label.doubts import jumps, parted
from vidbench.label.pieces import ALIKE, Array, Look, Numbers, Piece, Rows, look_distance, meetings, piece_of
from vidbench.label.seen import GRID_FPS, Tracklet

_WINDOW_S, _FIT_S = 1.2, 0.6
"""Where boxes of the whole person are looked for, and how long the stretch of them is that tells a speed."""
_LEAST_FIT_S = 0.15
_FARTHEST_LOOK = 0.5
"""Cosine distance of looks from which on there is no join."""


@dataclass(frozen=True)
class LinkSettings:
    """How pieces become persons.

    Attributes:
        rate: Pictures a second that were looked at.
        gap_s: How long a person may be out of sight and be taken for the same one, in seconds.
        min_hits: Persons with fewer boxes are dropped, but for those cut short by a shot's or the video's end.
        min_duration_s: Likewise for the seconds from the first to the last box.
        duplicate_iou: Two pieces that overlap at least so much whenever both are there are one person.
        fill_s: At keyframes, a box is drawn between neighbours that are at most so many seconds apart; 0 draws none.
    """

    rate: int = 10
    gap_s: float = 2.0
    min_hits: int = 3
    min_duration_s: float = 0.0
    duplicate_iou: float = 0.8
    fill_s: float = 0.5


@dataclass(frozen=True)
class PersonTrack:
    """A person of a video.

    Attributes:
        person: From 0, by first appearance; at the same moment from left to right.
        numbers: `(n,)` rising moments of the grid of 30 a second.
        boxes: `(n, 4)` x1, y1, x2, y2 in pixels.
        scores: `(n,)` the detector's; 0 where the box is drawn.
        tracks: `(n,)` the tracker's number behind each box; that of the box before where the box is drawn.
        joined: First numbers after a gap that was bridged.
        weak: Numbers at which the link to the boxes before is doubtful: two persons who may be confused have just
            parted, another join was nearly as good, the box jumps, or the track is short.
        drawn: Numbers of boxes that no detector gave.
    """

    person: int
    numbers: Numbers
    boxes: Array
    scores: Array
    tracks: Numbers
    joined: frozenset[int] = frozenset()
    weak: frozenset[int] = frozenset()
    drawn: frozenset[int] = frozenset()


def link(
    tracklets: Sequence[Tracklet], settings: LinkSettings, shots: Sequence[tuple[int, int]] = ()
) -> tuple[PersonTrack, ...]:
    """Put the persons of a video together.

    1. Duplicates: two pieces on one person at the same time become one.
    2. Joins: within a shot, an end and a later beginning are joined where place, speed, size and looks agree. All
       joins of a video are chosen together, for the best sum (Hungarian method). Both sides tell their speed, from
       boxes of the whole person, as boxes shrink where an obstacle hides a part. Where looks are alike, or there are
       none, place and speed decide. What a tracker bridged itself is easier to join again.
    3. Short ones are dropped, but never those that a shot's or the video's first or last picture cuts short: a person
       who has just come when the video ends is there. Such a one is marked weak.
    4. Persons are numbered by first appearance, at the same moment from left to right.
    5. Keyframes (each whole second) where a box is missing for a moment get one, drawn between its neighbours.
    6. Doubtful links are marked.

    Args:
        tracklets: Of one video.
        settings: How.
        shots: First and last picture of each shot, as `TrackletBuilder.shots` has them; without it a shot goes from
            the first to the last box in it.

    Returns:
        Persons by number. A person belongs to one shot: who comes back after a cut is someone new.
    """
    pieces = _merge_duplicates([piece_of(one) for one in tracklets if len(one.numbers)], settings.duplicate_iou)
    if not pieces:
        return ()
    bounds = _bounds(pieces, shots)
    chains = [
        chain
        for chain in _join(pieces, settings)
        if not _is_short(chain, settings) or chain.cut_short(bounds, GRID_FPS // settings.rate)
    ]
    chains.sort(key=lambda chain: (int(chain.numbers[0]), float(chain.boxes[0, 0])))
    weak = parted(chains)
    return tuple(
        _filled(
            PersonTrack(
                person,
                chain.numbers,
                chain.boxes,
                chain.scores,
                chain.tracks,
                frozenset(chain.joined),
                frozenset(chain.weak | weak[person] | jumps(chain) | _short(chain, settings)),
            ),
            settings.fill_s,
        )
        for person, chain in enumerate(chains)
    )


def _bounds(pieces: Sequence[Piece], shots: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    bounds = dict(enumerate(shots))
    for piece in pieces if not shots else ():
        first, last = bounds.get(piece.shot, (int(piece.numbers[0]), int(piece.numbers[-1])))
        bounds[piece.shot] = min(first, int(piece.numbers[0])), max(last, int(piece.numbers[-1]))
    return bounds


def _merge_duplicates(pieces: list[Piece], least: float) -> list[Piece]:
    """Pieces that lie on another one wherever both are there, for most of their own time, go into it."""
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
        long, short = pieces[one], pieces[other]
        shared = len(np.intersect1d(long.numbers, short.numbers))
        if count < 0.8 * shared or shared < 0.5 * min(len(long.numbers), len(short.numbers)):
            continue
        keep, lose = (first, second) if len(merged[first].numbers) >= len(merged[second].numbers) else (second, first)
        goes_into[lose] = keep
        merged[keep] = _union(merged[keep], merged[lose])
    return [piece for number, piece in enumerate(merged) if goes_into[number] == number]


def _root(goes_into: list[int], number: int) -> int:
    while goes_into[number] != number:
        number = goes_into[number]
    return number


def _union(long: Piece, short: Piece) -> Piece:
    fresh = ~np.isin(short.numbers, long.numbers)
    order = np.argsort(np.concatenate((long.numbers, short.numbers[fresh])), kind="stable")
    return replace(
        long,
        numbers=np.concatenate((long.numbers, short.numbers[fresh]))[order],
        boxes=np.concatenate((long.boxes, short.boxes[fresh]))[order],
        scores=np.concatenate((long.scores, short.scores[fresh]))[order],
        tracks=np.concatenate((long.tracks, short.tracks[fresh]))[order],
    )


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
    """

    time: Array
    place: Array
    speed: Array
    known: NDArray[np.bool_]
    height: Array
    look: list[Look | None]


def _join(pieces: list[Piece], settings: LinkSettings) -> list[Piece]:
    """The chains of pieces with the best sum of gains."""
    ends, starts = _ends(pieces, last=True), _ends(pieces, last=False)
    before, after = _candidates(pieces, ends, starts, settings.gap_s)
    cost = _costs(pieces, ends, starts, before, after, settings.gap_s)
    good = cost < 1
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
    parts, joined, weak = [pieces[number]], set[int](), set[int]()
    while number in next_of:
        number, doubtful = next_of[number]
        parts.append(pieces[number])
        moment = int(pieces[number].numbers[0])
        joined.add(moment)
        if doubtful:
            weak.add(moment)
    return Piece(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.tracks for part in parts]),
        parts[0].shot,
        [look for part in parts for look in part.looks],
        joined,
        weak,
    )


def _candidates(pieces: list[Piece], ends: _Ends, starts: _Ends, gap_s: float) -> tuple[Rows, Rows]:
    """Pairs of pieces of a shot of which the second begins after the first ends, soon enough or by the same track."""
    order = np.argsort(starts.time, kind="stable")
    sorted_starts = starts.time[order]
    low = np.searchsorted(sorted_starts, ends.time, side="right")
    high = np.searchsorted(sorted_starts, ends.time + gap_s + 1e-9, side="right")
    counts = high - low
    before = np.repeat(np.arange(len(pieces)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    after = order[np.repeat(low, counts) + offsets]
    by_track: dict[tuple[int, int], int] = {}
    again = []
    for number in order.tolist():
        key = pieces[number].shot, int(pieces[number].tracks[0])
        if key in by_track and starts.time[number] > ends.time[by_track[key]] + gap_s:
            again.append((by_track[key], number))
        by_track[key] = number
    more = np.array(again, dtype=np.intp).reshape(-1, 2)
    before, after = np.concatenate((before, more[:, 0])), np.concatenate((after, more[:, 1]))
    shots = np.array([piece.shot for piece in pieces])
    same = shots[before] == shots[after]
    return before[same], after[same]


def _costs(pieces: list[Piece], ends: _Ends, starts: _Ends, before: Rows, after: Rows, gap_s: float) -> Array:
    """What speaks against each join; from 1 on it is none."""
    gap = starts.time[after] - ends.time[before]
    height = (ends.height[before] + starts.height[after]) / 2
    forward = ends.place[before] + ends.speed[before] * gap[:, None] - starts.place[after]
    backward = starts.place[after] - starts.speed[after] * gap[:, None] - ends.place[before]
    known = np.stack((ends.known[before], starts.known[after]))
    off = np.stack((np.hypot(*forward.T), np.hypot(*backward.T))) / height
    # the longer out of sight, the more a person may have turned or stopped; an unknown speed is the usual one
    reach = 0.15 + np.where(known, 0.4, 0.8) * gap
    motion = np.where(known.any(axis=0) & ~known, np.inf, off / reach)
    motion = np.where(np.isinf(motion), motion[::-1], motion).mean(axis=0)
    size = np.abs(np.log(ends.height[before] / starts.height[after]))
    look = np.array(
        [look_distance(ends.look[one], starts.look[other]) for one, other in zip(before, after, strict=True)]
    ).reshape(len(before))
    cost = 0.3 * motion + size + 0.1 * np.minimum(gap / max(gap_s, 1e-9), 1)
    # alike or not told, looks say nothing for a join, only different ones against it
    cost = cost + np.clip((look - ALIKE) / (_FARTHEST_LOOK - ALIKE), 0, 1)
    tracks = (np.array([piece.tracks[-1] for piece in pieces]), np.array([piece.tracks[0] for piece in pieces]))
    same: Array = np.where(tracks[0][before] == tracks[1][after], 0.6 * cost, cost)
    return same


def _components(before: Rows, after: Rows, count: int) -> Iterator[Rows]:
    """Joins that compete with each other, group by group."""
    if not len(before):
        return
    graph = coo_array((np.ones(len(before)), (before, after + count)), shape=(2 * count, 2 * count))
    labels = connected_components(graph, directed=False)[1][before]
    order = np.argsort(labels, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _ends(pieces: list[Piece], *, last: bool) -> _Ends:
    found = [_end(piece, last=last) for piece in pieces]
    place, speed, known, height = zip(*found, strict=True)
    at = -1 if last else 0
    return _Ends(
        np.array([piece.numbers[at] for piece in pieces]) / GRID_FPS,
        np.array(place),
        np.array(speed),
        np.array(known),
        np.array(height),
        [piece.looks[at] if piece.looks else None for piece in pieces],
    )


def _end(piece: Piece, *, last: bool) -> tuple[Array, Array, bool, float]:
    """Place, speed, whether that is known, and height of the whole person at an end of a piece."""
    times = piece.numbers / GRID_FPS
    at = float(times[-1] if last else times[0])
    near = np.abs(times - at) <= 2 * _WINDOW_S
    times, boxes = times[near], piece.boxes[near]
    size = boxes[:, 2:] - boxes[:, :2]
    usual = np.median(size, axis=0)
    whole = (np.abs(times - at) <= _WINDOW_S) & (size[:, 0] >= 0.75 * usual[0]) & (size[:, 1] >= 0.85 * usual[1])
    if not whole.any():
        whole = np.abs(times - at) <= _FIT_S
    nearest = times[whole][np.argmin(np.abs(times[whole] - at))]
    whole &= np.abs(times - nearest) <= _FIT_S
    times, boxes = times[whole], boxes[whole]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    middle, mean = times.mean(), centre.mean(axis=0)
    if times[-1] - times[0] < _LEAST_FIT_S:
        return centre[-1 if last else 0], np.zeros(2), False, float(usual[1])
    speed = ((times - middle) @ (centre - mean)) / ((times - middle) ** 2).sum()
    return mean + speed * (at - middle), speed, True, float(usual[1])


def _is_short(chain: Piece, settings: LinkSettings) -> bool:
    seconds = float(chain.numbers[-1] - chain.numbers[0]) / GRID_FPS
    return len(chain.numbers) < settings.min_hits or seconds < settings.min_duration_s


def _short(chain: Piece, settings: LinkSettings) -> set[int]:
    return {int(number) for number in chain.numbers} if _is_short(chain, settings) else set()


def _filled(person: PersonTrack, fill_s: float) -> PersonTrack:
    """With boxes drawn at the whole seconds that it was missed at for a moment."""
    numbers = person.numbers
    low = numbers[:-1] // GRID_FPS + 1
    wanted = [
        (row, int(low[row]) * GRID_FPS)
        for row in np.flatnonzero(np.diff(numbers) <= fill_s * GRID_FPS).tolist()
        if low[row] * GRID_FPS < numbers[row + 1]
    ]
    if not wanted:
        return person
    rows = np.array([row for row, _ in wanted])
    moments = np.array([number for _, number in wanted], dtype=np.int64)
    part = ((moments - numbers[rows]) / (numbers[rows + 1] - numbers[rows]))[:, None]
    drawn = (1 - part) * person.boxes[rows] + part * person.boxes[rows + 1]
    return replace(
        person,
        numbers=np.insert(numbers, rows + 1, moments),
        boxes=np.insert(person.boxes, rows + 1, drawn, axis=0),
        scores=np.insert(person.scores, rows + 1, 0.0),
        tracks=np.insert(person.tracks, rows + 1, person.tracks[rows]),
        drawn=frozenset(moments.tolist()),
    )
