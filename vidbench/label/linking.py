"""After the video: pieces of tracks to persons: duplicates merged, gaps bridged, short ones dropped, all renumbered."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vidbench.label.seen import GRID_FPS, Found, Tracklet

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
Rows = NDArray[np.intp]
Look = NDArray[np.float32]

BREAK_S = 0.5
"""A track that was out of sight for longer is two pieces, to be joined or not when both sides are known."""
_MEAN_OF = 5
"""Looks at either end of a piece of which the mean is kept."""
_WINDOW_S, _FIT_S = 1.2, 0.6
"""Where boxes of the whole person are looked for, and how long the stretch of them is that tells a speed."""
_LEAST_FIT_S = 0.15
_FARTHEST_LOOK = 0.5
"""Cosine distance of looks from which on there is no join."""
_ALIKE = 0.2
"""Below it looks do not tell two persons apart."""
_MET_IOU, _MET_PART, _APART_IOU = 0.3, 0.7, 0.1
"""Two persons meet from this overlap on, or with this part of the smaller box hidden, and part below that overlap."""
_LEAST_STEP_IOU = 0.1


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


@dataclass
class _Open:
    """A piece that may go on."""

    shot: int
    numbers: array[int] = field(default_factory=lambda: array("q"))
    boxes: array[float] = field(default_factory=lambda: array("d"))
    scores: array[float] = field(default_factory=lambda: array("d"))
    first: list[Look] = field(default_factory=list)
    last: deque[Look] = field(default_factory=lambda: deque(maxlen=_MEAN_OF))

    def close(self, track: int) -> Tracklet:
        return Tracklet(
            track,
            np.array(self.numbers, dtype=np.int64),
            np.array(self.boxes, dtype=np.float64).reshape(-1, 4),
            np.array(self.scores, dtype=np.float64),
            self.shot,
            _mean(self.first),
            _mean(self.last),
        )


class TrackletBuilder:
    """Gathers what a tracker says, picture by picture, into pieces of tracks.

    A track that the tracker confirms late is one piece from its first box on, as its number was told from the start.
    Boxes without a track (-1) are left out. In memory there are, for each box, its corners, score and moment; looks
    are kept as the means of the first and the last five of a piece.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._done: list[Tracklet] = []
        self._shots: list[tuple[int, int]] = []
        self._before: int | None = None

    def add(self, number: int, found: Found, tracks: Numbers, looks: Look | None, shot: int) -> None:
        """Take in a picture; all pictures, also those without a person, by rising number.

        Args:
            number: Of the picture on the grid of 30 a second.
            found: What the detector found.
            tracks: `(N,)` what the tracker said.
            looks: `(N, D)` unit vectors, or None.
            shot: From 0, never falling.
        """
        if shot >= len(self._shots):
            self._shots += [(number, number)] * (shot + 1 - len(self._shots))
        self._shots[shot] = self._shots[shot][0], number
        for track, piece in list(self._open.items()):
            unseen = number - piece.numbers[-1]
            missed = self._before is not None and piece.numbers[-1] != self._before
            if piece.shot != shot or (missed and unseen > BREAK_S * GRID_FPS):
                self._done.append(self._open.pop(track).close(track))
        for row in np.flatnonzero(tracks >= 0).tolist():
            piece = self._open.setdefault(int(tracks[row]), _Open(shot))
            piece.numbers.append(number)
            piece.boxes.extend(found.boxes[row].tolist())
            piece.scores.append(float(found.scores[row]))
            if looks is not None:
                if len(piece.first) < _MEAN_OF:
                    piece.first.append(looks[row].copy())
                piece.last.append(looks[row].copy())
        self._before = number

    @property
    def shots(self) -> tuple[tuple[int, int], ...]:
        """The first and the last picture of each shot, with or without persons."""
        return tuple(self._shots)

    def tracklets(self) -> tuple[Tracklet, ...]:
        """All pieces so far, by first number and track."""
        pieces = [*self._done, *(piece.close(track) for track, piece in self._open.items())]
        return tuple(sorted(pieces, key=lambda piece: (int(piece.numbers[0]), piece.track)))


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
    pieces = _merge_duplicates([_piece(one) for one in tracklets if len(one.numbers)], settings.duplicate_iou)
    if not pieces:
        return ()
    bounds = _bounds(pieces, shots)
    chains = [
        chain
        for chain in _join(pieces, settings)
        if not chain.short(settings) or chain.cut_short(bounds, GRID_FPS // settings.rate)
    ]
    chains.sort(key=lambda chain: (int(chain.numbers[0]), float(chain.boxes[0, 0])))
    weak = _parted(chains)
    return tuple(
        _filled(
            PersonTrack(
                person,
                chain.numbers,
                chain.boxes,
                chain.scores,
                chain.tracks,
                frozenset(chain.joined),
                frozenset(chain.weak | weak[person] | _jumps(chain) | _short(chain, settings)),
            ),
            settings.fill_s,
        )
        for person, chain in enumerate(chains)
    )


@dataclass
class _Piece:
    """A tracklet, merged from several perhaps, or a chain of them."""

    numbers: Numbers
    boxes: Array
    scores: Array
    tracks: Numbers
    shot: int
    looks: list[Look]
    joined: set[int] = field(default_factory=set)
    weak: set[int] = field(default_factory=set)

    def short(self, settings: LinkSettings) -> bool:
        seconds = float(self.numbers[-1] - self.numbers[0]) / GRID_FPS
        return len(self.numbers) < settings.min_hits or seconds < settings.min_duration_s

    def cut_short(self, bounds: dict[int, tuple[int, int]], step: int) -> bool:
        first, last = bounds[self.shot]
        return bool(self.numbers[0] < first + step or self.numbers[-1] > last - step)


def _piece(one: Tracklet) -> _Piece:
    looks = [look for look in (one.first_look, one.last_look) if look is not None]
    return _Piece(
        one.numbers, one.boxes, one.scores, np.full(len(one.numbers), one.track, dtype=np.int64), one.shot, looks
    )


def _bounds(pieces: Sequence[_Piece], shots: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    bounds = dict(enumerate(shots))
    for piece in pieces if not shots else ():
        first, last = bounds.get(piece.shot, (int(piece.numbers[0]), int(piece.numbers[-1])))
        bounds[piece.shot] = min(first, int(piece.numbers[0])), max(last, int(piece.numbers[-1]))
    return bounds


def _merge_duplicates(pieces: list[_Piece], least: float) -> list[_Piece]:
    """Pieces that lie on another one wherever both are there, for most of their own time, go into it."""
    counts: dict[tuple[int, int], int] = {}
    for pairs, iou, _, _ in _meetings(pieces, least):
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


def _union(long: _Piece, short: _Piece) -> _Piece:
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


def _join(pieces: list[_Piece], settings: LinkSettings) -> list[_Piece]:
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


def _chain(pieces: list[_Piece], number: int, next_of: dict[int, tuple[int, bool]]) -> _Piece:
    parts, joined, weak = [pieces[number]], set[int](), set[int]()
    while number in next_of:
        number, doubtful = next_of[number]
        parts.append(pieces[number])
        moment = int(pieces[number].numbers[0])
        joined.add(moment)
        if doubtful:
            weak.add(moment)
    return _Piece(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.tracks for part in parts]),
        parts[0].shot,
        [look for part in parts for look in part.looks],
        joined,
        weak,
    )


def _candidates(pieces: list[_Piece], ends: _Ends, starts: _Ends, gap_s: float) -> tuple[Rows, Rows]:
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


def _costs(pieces: list[_Piece], ends: _Ends, starts: _Ends, before: Rows, after: Rows, gap_s: float) -> Array:
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
        [_distance(ends.look[one], starts.look[other]) for one, other in zip(before, after, strict=True)]
    ).reshape(len(before))
    cost = 0.3 * motion + size + 0.1 * np.minimum(gap / max(gap_s, 1e-9), 1)
    # alike or not told, looks say nothing for a join, only different ones against it
    cost = cost + np.clip((look - _ALIKE) / (_FARTHEST_LOOK - _ALIKE), 0, 1)
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


def _ends(pieces: list[_Piece], *, last: bool) -> _Ends:
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


def _end(piece: _Piece, *, last: bool) -> tuple[Array, Array, bool, float]:
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


def _meetings(pieces: Sequence[_Piece], least: float) -> Iterator[tuple[Rows, Array, Array, Numbers]]:
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


def _parted(chains: list[_Piece]) -> list[set[int]]:
    """For each person the moments when one that may have been confused with it has just gone another way."""
    met: dict[tuple[int, int], list[int]] = {}
    touching: dict[tuple[int, int], set[int]] = {}
    for pairs, iou, part, numbers in _meetings(chains, _APART_IOU):
        for (one, other), overlap, covered, number in zip(
            pairs.tolist(), iou.tolist(), part.tolist(), numbers.tolist(), strict=True
        ):
            touching.setdefault((one, other), set()).add(number)
            if overlap >= _MET_IOU or covered >= _MET_PART:
                met.setdefault((one, other), []).append(number)
    weak: list[set[int]] = [set() for _ in chains]
    for (one, other), moments in met.items():
        if _distance(_mean(chains[one].looks), _mean(chains[other].looks)) > _ALIKE:
            continue
        shared = np.intersect1d(chains[one].numbers, chains[other].numbers)
        apart = shared[~np.isin(shared, list(touching[one, other]))]
        after = np.unique(np.searchsorted(apart, moments, side="right"))
        for number in apart[after[after < len(apart)]].tolist():
            weak[one].add(number)
            weak[other].add(number)
    return weak


def _jumps(chain: _Piece) -> set[int]:
    """Moments whose box lies neither where the one before was nor where its motion would have led."""
    boxes, times = chain.boxes, chain.numbers / GRID_FPS
    if len(boxes) < 2:
        return set()
    # from the second step on there is a speed
    step = np.diff(times)[:, None]
    guess = boxes[:-1].copy()
    guess[1:] += (boxes[1:-1] - boxes[:-2]) / step[:-1] * step[1:]
    off = np.maximum(_row_ious(boxes[:-1], boxes[1:]), _row_ious(guess, boxes[1:])) < _LEAST_STEP_IOU
    return {int(number) for number in chain.numbers[1:][off]} - chain.joined


def _row_ious(first: Array, second: Array) -> Array:
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) for boxes in (first, second)]
    union = areas[0] + areas[1] - both
    result: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return result


def _short(chain: _Piece, settings: LinkSettings) -> set[int]:
    return {int(number) for number in chain.numbers} if chain.short(settings) else set()


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


def _mean(looks: Sequence[Look] | deque[Look]) -> Look | None:
    if not looks:
        return None
    total = np.sum(looks, axis=0, dtype=np.float32)
    norm = float(np.linalg.norm(total))
    return np.asarray(total / norm if norm > 0 else total, dtype=np.float32)


def _distance(one: Look | None, other: Look | None) -> float:
    """Cosine distance; 0 where one of them is not told."""
    return 0.0 if one is None or other is None else 1.0 - float(one @ other)
