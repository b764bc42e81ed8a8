"""Who never moves, in a picture that never changes, is most often no person: the same look, taken many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidbench.label.linking import PersonTrack
from vidbench.label.seen import GRID_FPS, Found, Picture

_CELLS, _PIXELS = 12, 72
"""Rows and columns of the mean brightness that is compared, and of the pixels that it is taken from, at least."""
_ENOUGH = 10
"""After so many looks that all saw a change nobody looks any more."""
_SAME = 8.0
"""Of 255: no cell of a place changes more while nothing happens there; compression changes some."""
_LEAST_S = 3.0
"""Shorter tracks say too little."""
_STILL = 0.5
"""Part of the looks at a place that see no change; others may pass before it."""
_WITHIN, _OFTEN = 0.1, 0.8
"""An unmoving box keeps its edges within so many heights, in so many of its pictures."""
_UNSURE = 0.6
"""Median score from which on even one look shows a person: a sitter, or a still film."""


@dataclass
class _Place:
    """Where a track began.

    Attributes:
        corner: x1, y1, x2, y2 in whole pixels.
        cells: `(12, 12)` mean brightness then.
        looks: How often it was looked at since.
        same: How often nothing had changed.
    """

    corner: tuple[int, int, int, int]
    cells: NDArray[np.float32]
    looks: int = 0
    same: int = 0


class StillWatch:
    """Looks again and again at the places where tracks began, as long as they go on; keeps a few numbers of each."""

    def __init__(self) -> None:
        self._places: dict[int, _Place] = {}

    def add(self, picture: Picture, found: Found, tracks: NDArray[np.int64]) -> None:
        """Take in a picture with what the tracker said, pictures by rising number."""
        for row in np.flatnonzero(tracks >= 0).tolist():
            place = self._places.get(int(tracks[row]))
            if place is None:
                x1, y1 = (int(value) for value in np.floor(found.boxes[row, :2]))
                x2, y2 = (int(value) for value in np.ceil(found.boxes[row, 2:]))
                corner = x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)
                self._places[int(tracks[row])] = _Place(corner, _cells(picture.image, corner))
            elif place.same or place.looks < _ENOUGH:
                place.looks += 1
                place.same += bool(np.abs(_cells(picture.image, place.corner) - place.cells).max() <= _SAME)

    def unchanged(self, tracks: Sequence[int]) -> float:
        """Part of the looks at where these tracks began that saw no change, 0 to 1; 0 without a look."""
        places = [self._places[track] for track in tracks if track in self._places]
        looks = sum(place.looks for place in places)
        return sum(place.same for place in places) / looks if looks else 0.0


def without_still(persons: Sequence[PersonTrack], watch: StillWatch) -> tuple[PersonTrack, ...]:
    """Without those who are no persons most likely: box and picture never change, and the detector is not sure.

    Detections of an unchanging picture are one and the same piece of evidence, however many they are; a track is
    believed for its many detections. So one that is all the same is believed only where a single one would be.

    Args:
        persons: Of a video.
        watch: What changed where their tracks began.
    """
    return tuple(person for person in persons if not _is_still(person, watch))


def _is_still(person: PersonTrack, watch: StillWatch) -> bool:
    if person.numbers[-1] - person.numbers[0] < _LEAST_S * GRID_FPS:
        return False
    if float(np.median(person.scores[person.scores > 0])) >= _UNSURE:
        return False
    usual = np.median(person.boxes, axis=0)
    moved = np.abs(person.boxes - usual).max(axis=1) / (usual[3] - usual[1])
    if float((moved <= _WITHIN).mean()) < _OFTEN:
        return False
    return watch.unchanged(np.unique(person.tracks).tolist()) >= _STILL


def _cells(image: NDArray[np.uint8], corner: tuple[int, int, int, int]) -> NDArray[np.float32]:
    x1, y1, x2, y2 = corner
    down, across = max(1, (y2 - y1) // _PIXELS), max(1, (x2 - x1) // _PIXELS)
    grey = image[y1:y2:down, x1:x2:across].mean(axis=2, dtype=np.float32)
    rows = np.linspace(0, grey.shape[0], min(_CELLS, grey.shape[0]), endpoint=False).astype(int)
    columns = np.linspace(0, grey.shape[1], min(_CELLS, grey.shape[1]), endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    sizes = np.outer(np.diff(rows, append=grey.shape[0]), np.diff(columns, append=grey.shape[1]))
    cells: NDArray[np.float32] = (sums / sizes).astype(np.float32)
    return cells
