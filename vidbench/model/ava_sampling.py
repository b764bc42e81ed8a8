"""Which frames and which pixels a detector of AVA is shown: the clip around a moment, and boxes in its frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidbench.video.sampling import scaled_size

Boxes = NDArray[np.float64]


def ava_clip_indices(centre: int, frames: int, stride: int, total: int) -> tuple[int, ...]:
    """The frames of a clip around a moment; those before the first and after the last frame repeat these.

    Source: PySlowFast `slowfast/datasets/utils.py`, `get_sequence`, with half of `frames * stride` before the centre.

    Args:
        centre: Index of the frame that is asked about.
        frames: Of the clip, T.
        stride: Frames between two of them.
        total: Frames of the video.

    Returns:
        `frames` indices, rising, each in `[0, total)`. The centre is the one at place `frames // 2` where `frames` is
        even and nothing is clamped.

    Raises:
        ValueError: The centre is no frame of the video, or a count is not positive.
    """
    if frames < 1 or stride < 1 or not 0 <= centre < total:
        raise ValueError(f"no clip of {frames = } x {stride = } around {centre = } of {total = } frames")
    start = centre - frames * stride // 2
    return tuple(min(max(start + place * stride, 0), total - 1) for place in range(frames))


def boxes_in_clip(boxes: ArrayLike, width: int, height: int, short_side: int = 256) -> Boxes:
    """Boxes of a frame as pixels of the same frame scaled to a short side, without a crop.

    They are clipped to the frame before and after scaling; the last pixel's coordinate is its size less one. Both
    coordinates are scaled by the ratio of the longer side, whose scaled length is rounded down
    (`vidbench.video.sampling.scaled_size`): that is what PySlowFast's AVA test does
    (`slowfast/datasets/ava_dataset.py`, `cv2_transform.py`: `scale_boxes`, `clip_boxes_to_image`).

    Args:
        boxes: `(M, 4)`: x1, y1, x2, y2 as fractions of the frame.
        width: Of the frame in pixels, before scaling.
        height: Likewise.
        short_side: Of the scaled frame, in pixels.

    Returns:
        `(M, 4)` float64 pixels of the scaled frame; a new array.

    Raises:
        ValueError: Another shape, or a value that is NaN or infinite.
    """
    pixels = np.array(boxes, dtype=np.float64)
    if pixels.size == 0:
        pixels = pixels.reshape(0, 4)
    if pixels.ndim != 2 or pixels.shape[1] != 4 or not np.isfinite(pixels).all():
        raise ValueError(f"expected finite (M, 4) boxes, got {pixels.shape = }")
    pixels *= (width, height, width, height)
    pixels = _clipped(pixels, width, height)
    wide, high = scaled_size(width, height, short_side)
    if (wide, high) != (width, height):
        pixels *= high / height if width < height else wide / width
    return _clipped(pixels, wide, high)


def _clipped(boxes: Boxes, width: int, height: int) -> Boxes:
    last = np.array((width - 1.0, height - 1.0, width - 1.0, height - 1.0))
    clipped: Boxes = np.minimum(np.maximum(boxes, 0.0), last)
    return clipped
