"""Where a person is, how large and how fast, at an end of a piece of track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidbench.label.pieces import Array, Piece
from vidbench.label.seen import GRID_FPS

_WINDOW_S, _FIT_S = 1.2, 0.6
"""Where boxes of the whole person are looked for, and how long the stretch of them is that tells a speed."""
_LEAST_FIT_S = 0.15


@dataclass(frozen=True)
class Motion:
    """At an end of a piece.

    Attributes:
        place: `(2,)` centre of the whole person, in pixels.
        speed: `(2,)` pixels a second; 0 where it is not known.
        known: Whether it is.
        size: `(2,)` width and height of the whole person, in pixels.
    """

    place: Array
    speed: Array
    known: bool
    size: Array

    @property
    def height(self) -> float:
        """Of the whole person, in pixels."""
        return float(self.size[1])


def motion(piece: Piece, *, last: bool) -> Motion:
    """By the nearest boxes of the whole person, as boxes shrink where an obstacle or the picture's edge hides some."""
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
        return Motion(centre[-1 if last else 0], np.zeros(2), False, usual)
    speed = ((times - middle) @ (centre - mean)) / ((times - middle) ** 2).sum()
    return Motion(mean + speed * (at - middle), speed, True, usual)
