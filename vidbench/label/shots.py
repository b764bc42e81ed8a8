"""Shot changes, seen from one sampled picture to the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROWS, _COLUMNS = 18, 32
_SAMPLES = 4
"""Pixels across a cell that are looked at."""
_LEVELS = 6
"""Steps of each colour in the histogram."""
_CHANGED = 0.08
"""A cell is another one from this mean difference of its colours on, of a range of 1."""
_LEAST_CHANGED, _LEAST_COLOURS = 0.35, 0.3
"""Part of the cells that a cut changes, and part of the picture that has other colours then, at the least."""
_LEAST_BOTH = 0.8
"""The two together."""
_TIMES_USUAL, _MOST_ASKED = 2.0, 1.6
"""How much more than in the pictures before a cut changes."""
_CORNERS = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]])
_SHIFT = 2, 5
"""Cells down and to the right that a camera turns between two pictures."""
_DIMMEST, _BRIGHTEST = 0.4, 2.5
"""How much the light may change and the scene be the same."""


class ShotWatch:
    """Tells hard cuts, with the picture before in mind and nothing else.

    A picture is made small. The light of the one before is fitted to it (one gain and one offset for all colours), so
    that a lamp or a fade to black changes little. It is a cut where many of the cells are others, much of the picture
    has other colours, no shift brings them back as where the camera turns, and all at once: twice as much as in the
    pictures before. A slow dissolve is no cut.
    """

    def __init__(self) -> None:
        self._before: Array | None = None
        self._usual = 0.0

    def is_cut(self, image: NDArray[np.uint8]) -> bool:
        """Whether a new shot begins with this picture, `(H, W, 3)` RGB; never so for the first one."""
        small = _small(image)
        before, self._before = self._before, small
        if before is None:
            return False
        changed, colours = _change(before, small)
        much = changed + colours
        cut = (
            changed >= _LEAST_CHANGED
            and colours >= _LEAST_COLOURS
            and much >= max(_LEAST_BOTH, min(_TIMES_USUAL * self._usual, _MOST_ASKED))
            and not _moved(before, small)
        )
        # of the new shot nothing is known yet
        self._usual = 0.0 if cut else max(much, 0.7 * self._usual)
        return cut


def _small(image: NDArray[np.uint8]) -> Array:
    """`(18, 32, 3)` mean colours in [0, 1], of a few pixels each."""
    height, width = image.shape[:2]
    rows = (np.arange(_ROWS * _SAMPLES) * height) // (_ROWS * _SAMPLES)
    columns = (np.arange(_COLUMNS * _SAMPLES) * width) // (_COLUMNS * _SAMPLES)
    cells = image[rows[:, None], columns[None, :]].reshape(_ROWS, _SAMPLES, _COLUMNS, _SAMPLES, 3)
    small: Array = cells.mean(axis=(1, 3)) / 255
    return small


def _change(before: Array, after: Array) -> tuple[float, float]:
    """Which part of the cells is another, and which part of the picture has other colours."""
    # the flatter picture must be told from the richer one, so the fit goes both ways
    ways = [_one_way(before, after), _one_way(after, before)]
    return max(changed for changed, _ in ways), max(colours for _, colours in ways)


def _moved(before: Array, after: Array) -> bool:
    """Whether the camera has just turned: some shift brings most cells back."""
    for down in range(-_SHIFT[0], _SHIFT[0] + 1):
        for right in range(-_SHIFT[1], _SHIFT[1] + 1):
            off = np.abs(_part(after, down, right) - _part(before, -down, -right)).mean(axis=2)
            if float((off > _CHANGED).mean()) < _LEAST_CHANGED:
                return True
    return False


def _part(small: Array, down: int, right: int) -> Array:
    """What two pictures share of which the one is shifted."""
    rows = slice(max(down, 0), _ROWS + min(down, 0))
    return small[rows, max(right, 0) : _COLUMNS + min(right, 0)]


def _one_way(source: Array, target: Array) -> tuple[float, float]:
    lit = _in_light_of(source, target)
    changed = float((np.abs(target - lit).mean(axis=2) > _CHANGED).mean())
    return changed, float(np.abs(_histogram(lit) - _histogram(target)).sum() / 2)


def _in_light_of(source: Array, target: Array) -> Array:
    """The one picture in the light of the other: a gain and an offset, fitted to the cells that fit best."""
    flat, wanted = source.reshape(-1, 3), target.reshape(-1, 3)
    kept = np.ones(len(flat), dtype=bool)
    gain, offset = 1.0, 0.0
    for _ in range(3):
        x, y = flat[kept].ravel(), wanted[kept].ravel()
        spread = float(x.var())
        gain = float(((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 1e-6 else 1.0
        gain = min(max(gain, _DIMMEST), _BRIGHTEST)
        offset = float(y.mean() - gain * x.mean())
        off = np.abs(wanted - gain * flat - offset).mean(axis=1)
        kept = off <= np.median(off)
    return np.clip(gain * source + offset, 0, 1)


def _histogram(small: Array) -> Array:
    """Parts of the picture by colour, softened so that a colour at the edge of a bin counts for both."""
    scaled = small.reshape(-1, 1, 3) * _LEVELS
    low = np.minimum(np.floor(scaled), _LEVELS - 1)
    part = scaled - low
    weight = np.prod(np.where(_CORNERS, part, 1 - part), axis=2)
    place = ((low + _CORNERS) @ ((_LEVELS + 1) ** 2, _LEVELS + 1, 1)).astype(np.intp)
    total = np.bincount(place.ravel(), weight.ravel(), (_LEVELS + 1) ** 3)
    histogram: Array = total / len(scaled)
    return histogram
