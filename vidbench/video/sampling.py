"""Which frames and which crops a view of a video takes: arithmetic on integers.

Frames are counted, not timed: a video of variable rate is taken as if its frames were evenly spaced at its average
rate. PySlowFast, MMAction2 and torchvision do so too (they read the average rate and number the frames);
pytorchvideo compares each frame's own time, so of such a video it takes other frames than `pytorchvideo_views` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
Indices = tuple[tuple[int, ...], ...]
Spatial = Literal["pyslowfast", "mmaction2"]
Resize = Literal["decode", "exact"]


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
    _check(total)
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


def temporal_views(total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30) -> Indices:
    """PySlowFast's Kinetics test: starts at `delta * k / K`, frames evenly over `stride * frames` of them.

    The arguments and the answer are those of every rule in this module.

    Args:
        total: Frames of the video, at least 1.
        fps: Its average frames per second.
        frames: Indices of a view, T.
        stride: Frames between two of them at `target_fps`, tau.
        views: Clips over time, K.
        target_fps: The rate that `stride` is counted at.

    Returns:
        K tuples of T indices in [0, total).

    Raises:
        ValueError: `total` is below 1.
    """
    span = clip_span(frames, stride, fps, target_fps)
    return tuple(frame_indices(start, span, frames, total) for start in view_starts(total, span, views))


def offset_views(total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30) -> Indices:
    """PySlowFast's test of MViT (`USE_OFFSET_SAMPLING`): starts at `k * floor(delta / (K - 1))`.

    One view starts at `floor(delta / 2)`. Frames within a view are those of `temporal_views`.

    Source: PySlowFast `slowfast/datasets/decoder.py`, `get_start_end_idx`.

    Example: 300 frames at 30 per second, 16x4, 5 views: 0, 59, 118, 177, 236.
    """
    span = clip_span(frames, stride, fps, target_fps)
    delta = max(total - span, 0.0)
    first, gap = (math.floor(delta / 2), 0) if views == 1 else (0, math.floor(delta / (views - 1)))
    return tuple(frame_indices(first + gap * view, span, frames, total) for view in range(views))


def pytorchvideo_views(
    total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30
) -> Indices:
    """The rule of pytorchvideo's data set: clips of `frames * stride / target_fps` seconds up to the video's end.

    Starts at `k * (duration - clip) / (K - 1)` seconds, one view at 0; frames with start <= time < end; of those,
    T evenly spaced. A video shorter than the clip is stretched over the T indices, not padded. The clip's length is
    rounded to a floating-point number as in the reference, which shows where a frame lies at the very end of a clip.

    The rule is that of the repository's main branch; release 0.1.5 divides by K instead of K - 1. The duration is
    `total / fps`, which for files of constant rate is what the reference reads. Where no frame lies in a clip (shorter
    than the time between two frames) the reference fails; here the frame on show at the clip's start is taken.

    Source: pytorchvideo `data/clip_sampling.py`, `ConstantClipsPerVideoSampler`; `data/encoded_video_pyav.py`;
    `transforms/functional.py`, `uniform_temporal_subsample`.
    """
    _check(total)
    # a floating-point number of seconds, then exact fractions: 1.6 is a little more than 8/5
    clip = Fraction(frames * stride / target_fps)
    gap = max(total / fps - clip, Fraction(0)) / max(views - 1, 1)
    found = []
    for view in range(views):
        start = gap * view
        first = math.ceil(start * fps)
        stop = min(math.ceil((start + clip) * fps), total)
        if first >= stop:
            first = min(math.floor(start * fps), total - 1)
            stop = first + 1
        places = np.clip(_linspace32(0, stop - first - 1, frames), 0, stop - first - 1)
        found.append(tuple((places.astype(np.int64) + first).tolist()))
    return tuple(found)


def mmaction2_views(total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30) -> Indices:
    """MMAction2's test: every `stride`-th frame of the file, whatever its rate (`fps`, `target_fps` unused).

    Starts at `round(k * delta / (K - 1))` with `delta = max(total - (T - 1) * tau - 1, 0)`, one view at
    `delta // 2`; clips of one frame in the middle of K equal parts. Past the end the video starts over
    (`out_of_bound_opt="loop"`), so a view of a short video is not ascending.

    Source: MMAction2 `mmaction/datasets/transforms/loading.py`, `SampleFrames(test_mode=True)`.

    Example: 10 frames, 4x12, any view: 0, 2, 4, 6.
    """
    _check(total)
    delta = max(total - (frames - 1) * stride - 1, 0)
    return _looped(total, _even_starts(delta, views), np.arange(frames) * stride)


def mmaction2_fps_views(
    total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30
) -> Indices:
    """MMAction2's test with `target_fps`: a clip covers `T * tau` frames of that rate, as PySlowFast's does.

    Starts at `k * floor(delta / (K - 1))` with `delta = max(total - T * tau * fps / target_fps, 0)`, one view at
    `floor(delta / 2)`; steps within a clip are cut to integers before the start is added, in float64. Past the end
    the video starts over, as in `mmaction2_views`.

    Source: MMAction2 `mmaction/datasets/transforms/loading.py`, `SampleFrames(test_mode=True, target_fps=...)`.
    """
    _check(total)
    span = max(1.0, frames * stride * (float(fps) / target_fps))
    delta = max(total - span, 0.0)
    starts = np.array([delta // 2]) if views == 1 else np.arange(views) * np.floor(delta / (views - 1))
    return _looped(total, starts, np.linspace(0, span - 1, frames).astype(np.int32))


def _even_starts(delta: int, views: int) -> NDArray[np.int64]:
    if views == 1:
        return np.array([delta // 2])
    # halves to the even number, as round() in Python and numpy
    return np.round(np.arange(views) * (delta / (views - 1))).astype(np.int64)


def _looped(total: int, starts: NDArray[Any], steps: NDArray[Any]) -> Indices:
    views, frames = len(starts), len(steps)
    if frames == 1:  # images, not clips
        part = total / views
        starts = np.arange(views) * part + part / 2.0
    places = np.mod(starts[:, None] + steps[None, :], total).astype(np.int64)
    return tuple(map(tuple, places.tolist()))


def charades_views(total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30) -> Indices:
    """PySlowFast's Charades test: every `stride`-th frame of the list (`fps`, `target_fps` unused).

    Starts at `round(k * delta / (K - 1))` with `delta = max(total - (T - 1) * tau - 1, 0)`; past the end the last
    frame repeats. The reference divides by zero for one view: here it starts in the middle, at `delta // 2`.

    Source: PySlowFast `slowfast/datasets/charades.py`, `get_seq_frames`.
    """
    _check(total)
    delta = max(total - (frames - 1) * stride - 1, 0)
    places = np.minimum(_even_starts(delta, views)[:, None] + np.arange(frames) * stride, total - 1)
    return tuple(map(tuple, places.tolist()))


def segment_views(total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30) -> Indices:
    """PySlowFast's Something-Something test: the middle of each of T equal parts of the whole video.

    Only `total`, `frames` and `views` matter. All views over time are the same, as in the reference: take one.

    Source: PySlowFast `slowfast/datasets/ssv2.py`, `get_seq_frames`.

    Example: 10 frames, T = 8: 0, 1, 2, 3, 5, 6, 7, 8.
    """
    _check(total)
    edges = np.round((total - 1) / frames * np.arange(frames + 1)).astype(np.int64)
    return (tuple(((edges[:-1] + edges[1:]) // 2).tolist()),) * views


def torchvision_views(total: int, fps: Fraction, frames: int, stride: int, views: int, target_fps: int = 30) -> Indices:
    """The rule of torchvision's references: T frames in a row of the video at `target_fps / stride` per second.

    `stride=2` of 30 is the 15 frames per second that most of its weights were measured at, `stride=4` 7.5. Starts
    are `floor(linspace(0, places - 1, K))` over all places where a clip fits into the resampled video. The
    reference skips a video that is shorter than a clip; here its last frame repeats.

    Source: torchvision `datasets/video_utils.py`, `VideoClips`; `datasets/samplers/clip_sampler.py`,
    `UniformClipSampler`, with the video on its own: in a longer list the float32 starts can round differently.
    """
    _check(total)
    rate, source = target_fps / stride, float(fps)
    step = source / rate
    count = -(-total // int(step)) if step.is_integer() else math.floor(total * rate / source)
    starts = np.floor(_linspace32(0, max(count - frames, 0), views)).astype(np.int64)
    places = np.minimum(starts[:, None] + np.arange(frames), max(count - 1, 0))
    # float32, as the reference counts
    indices = np.floor(places.astype(np.float32) * np.float32(step)).astype(np.int64)
    return tuple(map(tuple, np.minimum(indices, total - 1).tolist()))


def _check(total: int) -> None:
    if total < 1:
        raise ValueError(f"a video without frames has no indices: {total = }")


def random_view(
    total: int, fps: Fraction, frames: int, stride: int, place: float, target_fps: int = 30
) -> tuple[int, ...]:
    """Frame indices of one clip for training; `place` in [0, 1) says where between the two ends."""
    span = clip_span(frames, stride, fps, target_fps)
    return frame_indices(place * max(total - span, 0.0), span, frames, total)


def random_strided_view(total: int, frames: int, stride: int, place: float) -> tuple[int, ...]:
    """One clip for training of every `stride`-th frame, whatever the rate; `place` in [0, 1) says where.

    The first frame is uniform over all at which the clip fits. Of a video that is shorter than the clip it is uniform
    from so many frames before the video's beginning that the clip ends with it; the first and the last frame repeat.

    Source: PySlowFast `slowfast/datasets/charades.py`, `get_seq_frames` in training.
    """
    _check(total)
    last = total - ((frames - 1) * stride + 1)
    first = min(last, 0) + int(place * (abs(last) + 1))
    return tuple(min(max(first + number * stride, 0), total - 1) for number in range(frames))


def random_segment_view(total: int, frames: int, places: Sequence[float]) -> tuple[int, ...]:
    """One clip for training of a frame from each of `frames` equal parts; `places` in [0, 1) say where in each.

    Source: PySlowFast `slowfast/datasets/ssv2.py`, `get_seq_frames` in training.
    """
    _check(total)
    edges = np.round((total - 1) / frames * np.arange(frames + 1)).astype(np.int64)
    ends = zip(edges[:-1].tolist(), edges[1:].tolist(), places, strict=True)
    return tuple(first + int(place * (last - first + 1)) for first, last, place in ends)


def scaled_size(width: int, height: int, short_side: int, rule: Spatial = "pyslowfast") -> tuple[int, int]:
    """Width and height after the shorter side has become `short_side`.

    Args:
        width: Pixels.
        height: Pixels.
        short_side: Pixels of the shorter side afterwards.
        rule: "pyslowfast" rounds the longer side down, "mmaction2" to the nearest (halves up).

    Source: PySlowFast `slowfast/datasets/transform.py`, `random_short_side_scale_jitter`; MMAction2 `Resize` with
    `scale=(-1, short_side)`, which is mmcv's `rescale_size`.
    """
    if rule == "mmaction2":
        factor = short_side / min(width, height)
        return int(width * factor + 0.5), int(height * factor + 0.5)
    if min(width, height) == short_side:  # 340 / 312 * 312 is a little less than 340
        return width, height
    if width < height:
        return short_side, math.floor(height / width * short_side)
    return math.floor(width / height * short_side), short_side


def spatial_crop(width: int, height: int, size: int, place: int, rule: Spatial = "pyslowfast") -> Box:
    """A square crop `x0, y0, x1, y1` (half-open) of a frame of `width` x `height` pixels.

    Args:
        width: Of the scaled frame.
        height: Of the scaled frame.
        size: Side of the crop; at most the shorter side.
        place: 0 left or top, 1 centre, 2 right or bottom; along the longer side.
        rule: "pyslowfast" rounds the centre up and ends at the far edge; "mmaction2" rounds it down, and its right
            or bottom crop is twice the centre's offset, a pixel before the edge where the rest is odd.

    Raises:
        ValueError: The crop does not fit; or MMAction2's left or right crop is not as high as the frame (or as wide,
            of an upright one), which its `ThreeCrop` asks for.

    Source: PySlowFast `slowfast/datasets/transform.py`, `uniform_crop`; MMAction2
    `mmaction/datasets/transforms/processing.py`, `CenterCrop` and `ThreeCrop`.
    """
    if size > min(width, height):
        raise ValueError(f"a crop of {size} does not fit into {width}x{height}")
    if rule == "mmaction2":
        if place != 1 and size not in (width, height):
            raise ValueError(f"MMAction2 takes three crops of the shorter side only, not {size} of {width}x{height}")
        left, top = (width - size) // 2, (height - size) // 2
        if place != 1:
            left, top = left * place, top * place
        return left, top, left + size, top + size
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
