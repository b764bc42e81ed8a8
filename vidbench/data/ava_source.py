"""One video of an AVA set as pictures on AVA's grid of 30 a second: image files of a frame list, or a video file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidbench.data.frame_sets import FrameRows
from vidbench.video.images import decode_images
from vidbench.video.moments import read_moments

if TYPE_CHECKING:
    from vidbench.video.fit import Fit


@dataclass(frozen=True)
class Pictures:
    """Pictures of one video.

    Attributes:
        data: `(N, H, W, 3)` RGB in [0, 255]: uint8, or float32 where they were scaled without rounding.
        width: Of the video before any scaling, in pixels.
        height: Likewise.
    """

    data: NDArray[Any]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class AvaSource:
    """How the pictures of one video are opened, in any process or thread.

    Attributes:
        video: Its name in the annotations.
        path: The video file; of a frame list its first image.
        count: Pictures of the grid that there are.
        frames: Where the rows of a frame list are; None for a video file.
        from_s: Of a video file: where picture 0 lies, in seconds from the start of the container.
    """

    video: str
    path: Path
    count: int
    frames: FrameRows | None = None
    from_s: int = 0

    def read(self, indices: Sequence[int], fit: Fit | None = None) -> Pictures:
        """Pictures by number, a row for each, repeated ones too; only what they need is decoded.

        Args:
            indices: Each in [0, count), at least one.
            fit: The size that they get; None keeps theirs.

        Raises:
            VideoError: They cannot be read.
        """
        numbers = sorted(set(indices))
        if not numbers or numbers[0] < 0 or numbers[-1] >= self.count:
            raise ValueError(f"pictures {numbers[:1]} to {numbers[-1:]} of {self.count}")
        if self.frames is not None:
            frames = decode_images(self.path, self.frames.files(), lambda info: numbers, fit)
            data, width, height = frames.data, frames.info.width, frames.info.height
        else:
            data, width, height = read_moments(self.path, numbers, from_s=Fraction(self.from_s), fit=fit)
        if list(indices) != numbers:
            data = data[np.searchsorted(numbers, indices)]
        return Pictures(data, width, height)
