"""What a tracker says, gathered into pieces of tracks."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from vidbench.label.pieces import Look, Numbers, mean_look
from vidbench.label.seen import GRID_FPS, Found, Tracklet

BREAK_S = 0.5
"""A track that was out of sight for longer is two pieces, to be joined or not when both sides are known."""
_MEAN_OF = 5
"""Looks at either end of a piece of which the mean is kept."""


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
            mean_look(self.first),
            mean_look(self.last),
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
