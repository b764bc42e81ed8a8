"""Where the persons of a video were between its keyframes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidbench.formats.labelset import Row, TrackPath
from vidbench.video.steady import GRID_FPS

_GAP = GRID_FPS


@dataclass(frozen=True, slots=True)
class _Path:
    numbers: NDArray[np.int32]
    boxes: NDArray[np.float32]


class Between:
    """The paths of a video's tracks, in little memory."""

    def __init__(self, paths: Iterable[TrackPath]) -> None:
        """Take them as `paths.jsonl` holds them."""
        self._paths = {
            one.track: _Path(np.array(one.numbers, dtype=np.int32), np.array(one.boxes, dtype=np.float32))
            for one in paths
            if one.numbers
        }

    def boxes(self, rows: Iterable[Row], numbers: Sequence[int]) -> dict[int, list[list[float] | None]]:
        """The box of each person at moments of the grid of 30 a second.

        A person's keyframes nearest in time say which track it follows. At a keyframe its row's own box is given, as
        somebody may have drawn it anew.

        Args:
            rows: Rows around the moments.
            numbers: The moments, rising.

        Returns:
            By person; None where its track is not known, is not there, or was lost for more than a second.
        """
        persons: dict[int, list[Row]] = {}
        for row in rows:
            persons.setdefault(row.person, []).append(row)
        return {person: [self._at(held, number) for number in numbers] for person, held in sorted(persons.items())}

    def _at(self, rows: list[Row], number: int) -> list[float] | None:
        nearest = min(rows, key=lambda row: abs(row.second * GRID_FPS - number))
        if nearest.second * GRID_FPS == number:
            return list(nearest.box)
        path = self._paths.get(nearest.track) if nearest.track is not None else None
        if path is None:
            return None
        right = int(np.searchsorted(path.numbers, number))
        if right == len(path.numbers) or (right == 0 and path.numbers[0] != number):
            return None
        left = right if path.numbers[right] == number else right - 1
        gap = int(path.numbers[right] - path.numbers[left])
        if gap > _GAP:
            return None
        share = (number - int(path.numbers[left])) / gap if gap else 0.0
        box = path.boxes[left] * (1 - share) + path.boxes[right] * share
        return [round(value, 3) for value in box.tolist()]
