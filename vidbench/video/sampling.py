"""Which frames and which crops a view of a video takes: arithmetic on integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Box = tuple[int, int, int, int]


def clip_span(frames: int, stride: int, fps: Fraction, target_fps: int = 30) -> float:
    """Frames of the source that a clip covers: `stride * frames / target_fps * fps`.

    Source: PySlowFast `slowfast/datasets/decoder.py`, `temporal_sampling` and its callers.
    """
    return stride * frames / target_fps * float(fps)


def view_starts(total: int, span: float, views: int) -> tuple[float, ...]:
    """First frames of `views` clips, spread evenly; the last one starts before the last possible place.

    `delta * k / views` with `delta = max(total - span, 0)`: the rule of PySlowFast's test loop
    without offset sampling (`get_start_end_idx`), which the published numbers of the 10-view
    protocols were measured with.

    Example: 300 frames, span 80, 10 views: 0, 22, 44, ..., 198.
    """
    delta = max(total - span, 0.0)
    return tuple(delta * view / views for view in range(views))


def frame_indices(start: float, span: float, frames: int, total: int) -> tuple[int, ...]:
    """`frames` indices from `start` to `start + span - 1`, clamped to the video, cut to integers.

    `linspace(start, start + span - 1, frames)` in float32 as PySlowFast's `temporal_sampling`
    computes it: the spacing is `(span - 1) / (frames - 1)`, not the stride, and a video that is
    shorter than the clip repeats its last frame.

    Example: start 0, span 64, 8 frames: 0, 9, 18, 27, 36, 45, 54, 63.
    """
    if total < 1:
        raise ValueError(f"a video without frames has no indices: {total = }")
    # a clip shorter than one source frame would run backwards
    places = _linspace32(start, max(start, start + span - 1), frames)
    return tuple(int(place) for place in np.clip(places, 0, total - 1))


def _linspace32(start: float, end: float, steps: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    # torch.linspace steps up from the start in the first half and down from the end in the second, in
    # float32 with fused multiply-add; truncation to integers shows the difference from a plain linspace.
    # A float64 product of two such numbers is exact, so rounding its sum once does the same.
    first, last = np.float32(start), np.float32(end)
    if steps == 1:
        return np.array([first], dtype=np.float32)
    step = np.float64(np.float32((last - first) / np.float32(steps - 1)))
    number = np.arange(steps, dtype=np.float64)
    rising = np.float64(first) + step * number
    falling = np.float64(last) - step * (steps - 1 - number)
    return np.where(np.arange(steps) < steps // 2, rising, falling).astype(np.float32)


def temporal_views(
    total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30
) -> tuple[tuple[int, ...], ...]:
    """Frame indices of all temporal views of one video: `views` tuples of `frames` indices."""
    span = clip_span(frames, stride, fps, target_fps)
    return tuple(frame_indices(start, span, frames, total) for start in view_starts(total, span, views))


def random_view(
    total: int, fps: Fraction, frames: int, stride: int, place: float, target_fps: int = 30
) -> tuple[int, ...]:
    """Frame indices of one clip for training; `place` in [0, 1) says where between the two ends."""
    span = clip_span(frames, stride, fps, target_fps)
    return frame_indices(place * max(total - span, 0.0), span, frames, total)


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height after the shorter side has become `short_side`; the longer one is rounded down.

    Source: PySlowFast `slowfast/datasets/transform.py`, `random_short_side_scale_jitter`.
    """
    if width < height:
        return short_side, math.floor(height / width * short_side)
    return math.floor(width / height * short_side), short_side


def spatial_crop(width: int, height: int, size: int, place: int) -> Box:
    """A square crop `x0, y0, x1, y1` (half-open) of a frame of `width` x `height` pixels.

    Args:
        width: Of the scaled frame.
        height: Of the scaled frame.
        size: Side of the crop; at most the shorter side.
        place: 0 left or top, 1 centre, 2 right or bottom; along the longer side.

    Source: PySlowFast `slowfast/datasets/transform.py`, `uniform_crop`.
    """
    if size > min(width, height):
        raise ValueError(f"a crop of {size} does not fit into {width}x{height}")
    left, top = math.ceil((width - size) / 2), math.ceil((height - size) / 2)
    if height > width:
        top = (0, top, height - size)[place]
    else:
        left = (0, left, width - size)[place]
    return left, top, left + size, top + size


def spatial_places(views: int) -> Sequence[int]:
    """The crops of one or three spatial views: the centre, or left/centre/right (top/centre/bottom)."""
    if views == 1:
        return (1,)
    if views == 3:
        return (0, 1, 2)
    raise ValueError(f"1 or 3 spatial views, not {views}")
