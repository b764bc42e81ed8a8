"""The windows of a video, one after the other: decoded in one pass, a few frames in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vidbench.video.clip import VideoError, VideoInfo
from vidbench.video.sampling import clip_span, frame_indices
from vidbench.video.stream import picture_stream

P = TypeVar("P")


@dataclass(frozen=True)
class Window:
    """One clip's place in a video.

    Attributes:
        start: Its first frame.
        end: The frame after its last one; at most the number of frames.
        indices: The frames that the network sees, ascending; the last one repeats in a video shorter than a clip.
    """

    start: int
    end: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Filled(Generic[P]):
    """A window and what was decoded for it.

    Attributes:
        window: The place.
        start_s: When its first frame is shown, in seconds from the start of the container.
        end_s: When its last frame ends, likewise.
        pictures: One for each of its indices.
    """

    window: Window
    start_s: float
    end_s: float
    pictures: tuple[P, ...]


class MiscountError(Exception):
    """Decoding gave another number of frames than the container tells: the windows have to be planned again.

    Attributes:
        frames: How many there are.
    """

    def __init__(self, frames: int) -> None:
        super().__init__(f"decoding gave {frames} frames")
        self.frames = frames


def plan_windows(
    total: int, fps: Fraction, frames: int, stride: int, hop_s: float | None, target_fps: int = 30
) -> tuple[Window, ...]:
    """The windows that cover a video: one every `hop_s`, and a last one that ends with the video.

    Within a window frames are chosen as evaluation does (`frame_indices`). A video shorter than a clip is one
    window, in which the last frame repeats.

    Args:
        total: Frames of the video, at least 1.
        fps: Its frame rate.
        frames: Frames of a clip.
        stride: Frames at `target_fps` between two of them.
        hop_s: Seconds from the start of one window to the next; None is the clip's own length, so that the
            windows touch.
        target_fps: The rate that `stride` is counted at.

    Example: 150 frames at 30 fps, 8 frames x stride 5, no hop: frames 0-40, 40-80, 80-120 and 110-150.
    """
    span = clip_span(frames, stride, fps, target_fps)
    hop = span if hop_s is None else hop_s * float(fps)
    # less than a frame would give the same window again and again
    hop = max(hop, 1.0)
    last = max(total - span, 0.0)
    # a remainder below half a frame is the rounding of a rate such as 30000/1001, and no part of the video
    count = max(math.ceil((last - 0.5) / hop), 0)
    starts = [number * hop for number in range(count)] + [last]
    windows = []
    for start in starts:
        first = int(start)
        end = min(max(math.ceil(start + span - 1e-6), first + 1), total)
        windows.append(Window(first, end, frame_indices(start, span, frames, total)))
    return tuple(windows)


def fill_windows(
    info: VideoInfo, windows: tuple[Window, ...], prepare: Callable[[NDArray[np.uint8]], P]
) -> Iterator[Filled[P]]:
    """Decode a video once and give each window as soon as its last frame is there.

    Only frames that a window still waits for are kept, as `prepare` makes them.

    Args:
        info: The facts of the video, of `vidbench.video.pyav.probe`.
        windows: Of `plan_windows`, by rising start.
        prepare: Makes of a frame, `(H, W, 3)` uint8 RGB, what is kept of it.

    Raises:
        VideoError: The video cannot be decoded to its end.
        MiscountError: There are more or fewer frames than `info` tells; what was given may be misplaced.
    """
    wanted: set[int] = {index for window in windows for index in (*window.indices, window.start, window.end - 1)}
    shown: set[int] = {index for window in windows for index in window.indices}
    kept: dict[int, P] = {}
    times: dict[int, tuple[float, float]] = {}
    waiting = 0
    count = 0
    shape: tuple[int, ...] | None = None
    for frame, start_s, end_s in timed_frames(info):
        if count in wanted:
            times[count] = (start_s, end_s)
        if count in shown:
            image: NDArray[np.uint8] = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
            shape = shape or image.shape
            if image.shape != shape:
                raise VideoError(f"the frame size changes at frame {count}")
            kept[count] = prepare(image)
        count += 1
        while waiting < len(windows) and windows[waiting].end <= count:
            window = windows[waiting]
            yield Filled(
                window,
                times[window.start][0],
                times[window.end - 1][1],
                tuple(kept[index] for index in window.indices),
            )
            waiting += 1
            needed_from = windows[waiting].start if waiting < len(windows) else count
            for store in (kept, times):
                for index in [index for index in store if index < needed_from]:
                    del store[index]
    if count != info.frames:
        if count == 0:
            raise VideoError(f"no frame of {info.frames} could be decoded")
        raise MiscountError(count)


def timed_frames(info: VideoInfo) -> Iterator[tuple[VideoFrame, float, float]]:
    """Every frame of a video in order, with its start and end in seconds from the start of the container.

    A frame without a time is placed by its number and the average rate.

    Raises:
        VideoError: The file cannot be opened, or decoding fails on the way.
    """
    count = 0
    try:
        with av.open(str(info.path), mode="r") as container:
            stream = picture_stream(container)
            if stream is None or stream.codec_context is None:
                raise VideoError("no video stream, or no decoder for its codec")
            stream.thread_type = "AUTO"
            origin = (container.start_time or 0) / av.time_base
            step = float(1 / info.fps)
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise VideoError(f"frame {count} is damaged")
                start_s = count * step if frame.time is None else frame.time - origin
                lasts = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else step
                yield frame, round(start_s, 6), round(start_s + lasts, 6)
                count += 1
    except (av.error.FFmpegError, OSError) as error:
        reason = str(getattr(error, "strerror", None) or error) or type(error).__name__
        raise VideoError(f"decoding stops after {count} of {info.frames} frames: {reason.splitlines()[0]}") from error
