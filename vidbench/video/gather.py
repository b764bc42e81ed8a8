"""The wanted frames out of a library that gives all of them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidbench.video.clip import Frames, VideoError, VideoInfo
from vidbench.video.decoder import Wanted
from vidbench.video.fit import Fit


class NoFramesError(VideoError):
    """A library that returned no frame of a video, and no error either."""


def gather(
    info: VideoInfo, wanted: Wanted, play: Callable[[], Iterator[NDArray[np.uint8]]], fit: Fit | None = None
) -> Frames:
    """Keep the frames that `wanted` names, for libraries that give all frames in order.

    Args:
        info: The container's facts; its number of frames is what is believed until the frames are counted.
        wanted: As in `Decoder`.
        play: Begins anew at each call and gives every frame, `(H, W, 3)` uint8 RGB of `info`'s size.
        fit: The size that the frames get; None keeps theirs.

    Raises:
        VideoError: `play` raised it, gave no frame, or gave one of another size.
    """
    indices = _checked(wanted(info), info)
    kept, count = _keep(info, set(indices), play(), fit)
    if count == 0:
        raise NoFramesError(f"no frame of {info.frames} was returned, and no error")
    if count != info.frames:
        # edit lists and hidden frames make packets and frames differ; decoding is what counts
        info = VideoInfo(info.path, info.codec, info.width, info.height, info.fps, count)
        again = _checked(wanted(info), info)
        if again != indices:
            indices = again
            kept, _ = _keep(info, set(indices), play(), fit)
    return Frames(info, indices, np.stack([kept[index] for index in indices]))


def _checked(indices: Iterable[int], info: VideoInfo) -> tuple[int, ...]:
    chosen = tuple(sorted(set(indices)))
    if not chosen or chosen[0] < 0 or chosen[-1] >= info.frames:
        raise ValueError(f"indices must lie in [0, {info.frames}), got {chosen[:1]} to {chosen[-1:]}")
    return chosen


def _keep(
    info: VideoInfo, wanted: set[int], frames: Iterator[NDArray[np.uint8]], fit: Fit | None
) -> tuple[dict[int, NDArray[Any]], int]:
    kept: dict[int, NDArray[Any]] = {}
    count = 0
    for frame in frames:
        if frame.shape != (info.height, info.width, 3):
            raise VideoError(f"frame {count} has the shape {frame.shape}, not that of the video")
        if count in wanted:
            kept[count] = frame.copy() if fit is None else fit.image(frame)
        count += 1
    return kept, count
