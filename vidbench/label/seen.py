"""What passes between the stages of detect-track: what a detector finds in pictures, and what a tracker makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidbench.video.steady import GRID_FPS, Picture

__all__ = ["GRID_FPS", "Detector", "Found", "Picture", "Tracker", "Tracklet"]


@dataclass(frozen=True)
class Found:
    """The persons that a detector finds in a picture.

    Attributes:
        boxes: `(N, 4)` float64: x1, y1, x2, y2 in pixels of the upright picture, within it, with an area.
        scores: `(N,)` float64 in [0, 1], falling.
        faint_boxes: `(M, 4)`: of what lies somewhat below the least score; trackers do not see it.
        faint_scores: `(M,)` likewise.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    faint_boxes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)))
    faint_scores: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        for boxes, scores in ((self.boxes, self.scores), (self.faint_boxes, self.faint_scores)):
            if boxes.shape != (len(scores), 4):
                raise ValueError(f"expected ({len(scores)}, 4) boxes, got {boxes.shape}")


class Detector(Protocol):
    """Finds persons; made for one video, by the catalogue of detectors."""

    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """What it finds in each picture, which all have one size.

        Raises:
            ValueError: The network gives values that are not finite.
        """


class Tracker(Protocol):
    """Tells which of the persons of a picture is which of the pictures before; made for one video."""

    def update(self, picture: Picture, found: Found) -> NDArray[np.int64]:
        """Take the next picture; pictures come at a steady rate.

        Returns:
            `(N,)`: for each box the number of its track, those not yet confirmed included; -1 where it has none.
            Numbers are never used again.
        """

    def looks(self) -> NDArray[np.float32] | None:
        """`(N, D)`: how each box of the last picture looks, in unit vectors; None for a tracker that does not look."""

    def reset(self) -> None:
        """Forget all tracks, as after a shot change; numbers go on."""


@dataclass(frozen=True)
class Tracklet:
    """An unbroken piece of a track, within one shot.

    Attributes:
        track: The tracker's number.
        numbers: `(n,)` int64, rising: moments of the grid of 30 a second.
        boxes: `(n, 4)` float64, in pixels.
        scores: `(n,)` float64.
        shot: Which shot of the video, from 0.
        first_look: `(D,)` mean of the first few looks, a unit vector; None for a tracker that does not look.
        last_look: Of the last few.
    """

    track: int
    numbers: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    shot: int = 0
    first_look: NDArray[np.float32] | None = None
    last_look: NDArray[np.float32] | None = None
