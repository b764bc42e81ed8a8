"""The windows and keyframes of a video, one after the other: decoded in one pass, a few frames in memory at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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

TIME_SLACK_S = 6e-4
"""Containers round the times of frames, Matroska to milliseconds; a frame that begins this much late is on time."""


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
class Keyframe(Generic[P]):
    """A moment of a video and the clip around it.

    Attributes:
        number: Of the keyframe, from 0.
        time_s: When it is: number times hop, in seconds from the start of the container.
        frame: The frame that is shown then.
        indices: The frames of the clip, ascending; the first and last of the video repeat at its ends.
        image: The frame that is shown then, `(H, W, 3)` uint8 RGB, upright, in its own size.
        pictures: One for each of the indices.
    """

    number: int
    time_s: float
    frame: int
    indices: tuple[int, ...]
    image: NDArray[np.uint8]
    pictures: tuple[P, ...]


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


def watch_keyframes(
    info: VideoInfo,
    hop_s: float,
    frames: int,
    stride: int,
    prepare: Callable[[NDArray[np.uint8]], P],
    target_fps: int = 30,
) -> Iterator[Keyframe[P]]:
    """Decode a video once and give each keyframe, one every `hop_s` from 0, as soon as its clip is there.

    The clip of a keyframe at t seconds is that of PySlowFast's `get_sequence`, `range(c - T * tau // 2,
    c + T * tau // 2, tau)` clamped to the video, counted in seconds at `target_fps`: its j-th frame is the one that
    is shown at `t + (j * tau - T * tau // 2) / target_fps`. At a constant `target_fps` these are the same frames;
    at any other rate, or a variable one, they are the nearest in time that do not lie ahead.

    Only frames that a clip still waits for are kept, as `prepare` makes them.

    Args:
        info: The facts of the video; the number of frames is not relied on.
        hop_s: Seconds between keyframes.
        frames: Frames of a clip, T.
        stride: Frames at `target_fps` between two of them, tau.
        prepare: Makes of a frame, `(H, W, 3)` uint8 RGB and upright, what is kept of it.
        target_fps: The rate that `stride` is counted at.

    Raises:
        VideoError: The video cannot be decoded to its end.
    """
    steps = [(number * stride - frames * stride // 2) / target_fps for number in range(frames)]
    waiting: deque[_Waiting[P]] = deque()
    begun = count = 0
    shape: tuple[int, ...] | None = None
    for frame, until, end in _shown_until(info):
        image: NDArray[np.uint8] | None = None
        picture: P | None = None
        while begun * hop_s + steps[0] + TIME_SLACK_S < until and begun * hop_s + TIME_SLACK_S < end:
            waiting.append(_Waiting(begun, begun * hop_s))
            begun += 1
        while waiting and waiting[-1].time_s + TIME_SLACK_S >= end:
            # its clip begins within the video, but the moment itself is past the end
            waiting.pop()
        for one in waiting:
            centre = one.frame is None and one.time_s + TIME_SLACK_S < until
            shown = []
            for step in steps[len(one.indices) :]:
                if one.time_s + step + TIME_SLACK_S >= until:
                    break
                shown.append(count)
            if not centre and not shown:
                continue
            if image is None:
                image = upright(frame)
                shape = shape or image.shape
                if image.shape != shape:
                    raise VideoError(f"the frame size changes at frame {count}")
            if centre:
                one.frame, one.image = count, image
            if shown:
                picture = prepare(image) if picture is None else picture
                one.indices.extend(shown)
                one.pictures.extend([picture] * len(shown))
        count += 1
        while waiting and waiting[0].frame is not None and len(waiting[0].indices) == frames:
            yield waiting.popleft().whole()
    if count == 0:
        raise VideoError(f"no frame of {info.frames} could be decoded")


def _shown_until(info: VideoInfo) -> Iterator[tuple[VideoFrame, float, float]]:
    """Every frame, with the time at which the next one is shown, and that at which the video ends.

    Both are infinite, or not known yet, but for the last frame: what is shown after it is still that frame.
    """
    held: VideoFrame | None = None
    latest = last_end = 0.0
    for frame, start_s, end_s in timed_frames(info):
        latest = max(latest, start_s)
        if held is not None:
            yield held, latest, math.inf
        held, last_end = frame, max(end_s, latest)
    if held is not None:
        yield held, math.inf, last_end


@dataclass
class _Waiting(Generic[P]):
    """A keyframe whose clip is not complete."""

    number: int
    time_s: float
    frame: int | None = None
    image: NDArray[np.uint8] | None = None
    indices: list[int] = field(default_factory=list)
    pictures: list[P] = field(default_factory=list)

    def whole(self) -> Keyframe[P]:
        assert self.frame is not None
        assert self.image is not None
        return Keyframe(self.number, self.time_s, self.frame, tuple(self.indices), self.image, tuple(self.pictures))


def upright(frame: VideoFrame) -> NDArray[np.uint8]:
    """`(H, W, 3)` RGB of a frame, turned as the container asks for."""
    image: NDArray[np.uint8] = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    turns = frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0
    return np.ascontiguousarray(np.rot90(image, k=turns)) if turns else image


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
