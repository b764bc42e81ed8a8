"""Frames made small while they are decoded, so that a video never lies in memory at its full size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vidbench.video.sampling import Resize, Spatial, scaled_size


@dataclass(frozen=True)
class Fit:
    """The size that frames get as they leave the decoder.

    "decode" is FFmpeg's bilinear scaler, whose filter grows with the reduction, to uint8: what PySlowFast's test
    gets from its decoder (`max_spatial_scale` in `slowfast/datasets/decoder.py`). "exact" is bilinear without that
    growth and without rounding, to float32 in [0, 255]: `torch.nn.functional.interpolate` as PySlowFast's and
    pytorchvideo's transforms call it on frames of full size.

    Attributes:
        short_side: Pixels of the shorter side.
        how: "decode" or "exact".
        spatial: Whose rounding of the longer side.
        fixed: Width and height that every frame gets whatever its shape; None keeps the shape.
    """

    short_side: int
    how: Resize = "decode"
    spatial: Spatial = "pyslowfast"
    fixed: tuple[int, int] | None = None

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that frames of such a size get."""
        return self.fixed or scaled_size(width, height, self.short_side, self.spatial)

    def frame(self, frame: av.VideoFrame, scaler: Any) -> NDArray[Any]:
        """A decoded frame as `(h, w, 3)`; `scaler` is an `av` `VideoReformatter` that is kept for a video."""
        if self.how == "exact":
            return self.image(pixels(scaler.reformat(frame, format="rgb24", threads=1)))
        wide, high = self.size(frame.width, frame.height)
        return pixels(scaler.reformat(frame, wide, high, "rgb24", interpolation="BILINEAR", threads=1))

    def image(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """The same of an `(H, W, 3)` uint8 RGB image."""
        if self.how == "decode":
            # no other library's scaler: the pixels must not depend on what decoded them
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            return self.frame(frame, av.video.reformatter.VideoReformatter())
        height, width = image.shape[:2]
        return bilinear(image, *self.size(width, height))


def pixels(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The `(H, W, 3)` of a frame in rgb24, in its own memory: valid until the frame is gone or used again."""
    plane = frame.planes[0]
    rows: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width * 3].reshape(frame.height, frame.width, 3)


def bilinear(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float32]:
    """An `(H, W, 3)` uint8 image at another size, `(height, width, 3)` float32 in [0, 255], not rounded.

    Half-pixel centres, edges repeated, no antialiasing: `torch.nn.functional.interpolate` with `mode="bilinear"` and
    `align_corners=False` gives the same to the order of float32 sums. In numpy, so that a process that decodes needs
    no torch.
    """
    if image.shape[:2] == (height, width):
        return image.astype(np.float32)
    above, below, down = _taps(image.shape[0], height)
    left, right, across = _pixel_taps(image.shape[1], width)
    # pixels side by side as one row of numbers: numpy works on long rows several times as fast as on threes
    flat = image.reshape(image.shape[0], -1)
    rows = flat[above] * (1 - down)[:, None]
    rows += flat[below] * down[:, None]
    # "clip" skips a check of each place; all of them are in range
    result: NDArray[np.float32] = rows.take(left, axis=1, mode="clip")
    result *= 1 - across
    other = rows.take(right, axis=1, mode="clip")
    other *= across
    result += other
    return result.reshape(height, width, 3)


@lru_cache(maxsize=64)
def _pixel_taps(size: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The taps of rows whose numbers are the three channels of each pixel in turn."""
    before, after, share = _taps(size, wanted)
    channels = np.arange(3)
    return (
        (before[:, None] * 3 + channels).ravel(),
        (after[:, None] * 3 + channels).ravel(),
        np.repeat(share, 3),
    )


@lru_cache(maxsize=64)
def _taps(size: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Of each wanted pixel along one axis: the pixels before and after it, and the share of the latter."""
    # in float32, as torch reckons them: a share that is off by its rounding would show in the fifth digit
    centres = np.arange(wanted, dtype=np.float32) + np.float32(0.5)
    places = np.maximum(centres * np.float32(size / wanted) - np.float32(0.5), 0)
    first = places.astype(np.intp)
    return first, np.minimum(first + 1, size - 1), (places - first).astype(np.float32)
