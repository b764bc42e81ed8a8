"""After the video: pieces of tracks to persons: duplicates merged, gaps bridged, short ones dropped, all renumbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidbench.label.crossings import cut, give_back
from vidbench.label.doubts import jumps, parted
from vidbench.label.faint import Faint, with_faint
from vidbench.label.fragments import into_gaps, merge_duplicates, without_body_parts
from vidbench.label.joins import join
from vidbench.label.pieces import Array, Numbers, Piece, piece_of
from vidbench.label.seen import GRID_FPS, Tracklet

_LEAST_RATE = 5
"""Pictures a second that show how two persons come and go when they meet."""


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
    gap_s: float = 3.0
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
            parted, another join was nearly as good, the box jumps or scores below the least, or the track is short.
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
    tracklets: Sequence[Tracklet],
    settings: LinkSettings,
    shots: Sequence[tuple[int, int]] = (),
    faint: Faint | None = None,
) -> tuple[PersonTrack, ...]:
    """Put the persons of a video together.

    1. Two pieces on one person at the same time become one; parts of bodies are left out.
    2. Tracks are cut where persons meet: whom the tracker took for whom there says little.
    3. Joins: within a shot, an end and a later beginning are joined where place, speed, size and looks agree. All
       joins of a video are chosen together, for the best sum (Hungarian method). Both sides tell their speed, from
       boxes of the whole person, as boxes shrink where an obstacle hides a part. Where looks are alike, or there are
       none, place and speed decide. What a tracker bridged itself is easier to join again.
    4. Boxes of a meeting go to who should be there.
    5. Short ones are dropped, but never those that a shot's or the video's first or last picture cuts short: a person
       who has just come when the video ends is there. Such a one is marked weak.
    6. Where a person is missed, a box below the detector's least score shows it; such boxes are marked weak.
    7. Persons are numbered by first appearance, at the same moment from left to right.
    8. Keyframes (each whole second) where a box is missing for a moment get one, drawn between its neighbours.
    9. Doubtful links are marked.

    Args:
        tracklets: Of one video.
        settings: How.
        shots: First and last picture of each shot, as `TrackletBuilder.shots` has them; without it a shot goes from
            the first to the last box in it.
        faint: Boxes below the least score.

    Returns:
        Persons by number. A person belongs to one shot: who comes back after a cut is someone new.
    """
    pieces = merge_duplicates([piece_of(one) for one in tracklets if len(one.numbers)], settings.duplicate_iou)
    if not pieces:
        return ()
    bounds, step = _bounds(pieces, shots), GRID_FPS // settings.rate
    chains = [
        chain
        for chain in _untangled(into_gaps(without_body_parts(pieces), step), settings)
        if not _is_short(chain, settings) or chain.cut_short(bounds, step)
    ]
    if faint is not None:
        chains = with_faint(chains, faint, bounds, settings.gap_s, step)
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


def _untangled(pieces: list[Piece], settings: LinkSettings) -> list[Piece]:
    # at lower rates, a meeting is over from one picture to the next
    if settings.rate < _LEAST_RATE:
        return join(pieces, settings.gap_s, settings.rate)
    parts, tangles = cut(pieces, GRID_FPS // settings.rate)
    return give_back(join(without_body_parts(parts), settings.gap_s, settings.rate), tangles)


def _bounds(pieces: Sequence[Piece], shots: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    bounds = dict(enumerate(shots))
    for piece in pieces if not shots else ():
        first, last = bounds.get(piece.shot, (int(piece.numbers[0]), int(piece.numbers[-1])))
        bounds[piece.shot] = min(first, int(piece.numbers[0])), max(last, int(piece.numbers[-1]))
    return bounds


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
