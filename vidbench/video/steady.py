"""The pictures of a video at a steady rate, one by one, as libav's fps filter chooses them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidbench.video.clip import UnusableError
from vidbench.video.stream import picture_stream
from vidbench.video.wholeness import told, why_unopened

GRID_FPS = 30
"""The rate at which AVA's frames are counted."""

_GLANCE = 48
_MICROSECOND = Fraction(1, 1_000_000)
_BACK_S = (Fraction(1, 2), Fraction(5), Fraction(40))
_JUMP_S = 60


@dataclass(frozen=True)
class Picture:
    """What a video shows at a moment of the grid.

    Attributes:
        number: Of the grid of 30 a second, from 0; the moment is `number / 30` seconds from the container's start, and
            second t is number `30 * t`. `write_jpegs` at 30 fps puts it into the file of number + 1.
        image: `(H, W, 3)` uint8 RGB, upright; not to be changed, as a frame that is on for long is given again.
    """

    number: int
    image: NDArray[np.uint8]

    @property
    def time_s(self) -> float:
        """When it is shown, in seconds from the start of the container."""
        return self.number / GRID_FPS


class Steady:
    """The pictures of a video at every n-th moment of the grid; iterate once.

    Attributes:
        end: Moments of the grid that the video has: the number after the last. Known when the iteration has ended.
        lead: Moments at the start that show the first picture before its time, as the video starts late.
        decoded: Frames decoded so far.
        fps: Average frames a second of the video.
    """

    def __init__(
        self,
        path: Path,
        *,
        every: int = 1,
        from_s: Fraction = Fraction(0),
        to_s: Fraction | None = None,
        threads: int = 1,
        glance: Callable[[NDArray[np.uint8]], None] | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            path: The video.
            every: Give every n-th moment of the grid, counted from number 0.
            from_s: Where to begin, in seconds from the start of the container; a multiple of 1/30.
            to_s: Where to end, not included; None is the end of the video.
            threads: Threads that decode.
            glance: Told of every frame that is shown at some moment, also at those that are not given, before its
                pictures are: `(h, w, 3)` uint8 RGB with a shorter side of 48 pixels, as it was decoded.
        """
        if every < 1 or (from_s * GRID_FPS).denominator != 1:
            raise ValueError(f"no grid: {every = }, {from_s = }")
        self._path, self._every, self._from_s, self._to_s, self._threads = path, every, from_s, to_s, threads
        self._glance = glance
        self.end = self.lead = self.decoded = 0
        self.fps = Fraction(0)

    def __iter__(self) -> Iterator[Picture]:
        """The pictures, by rising number.

        Raises:
            UnusableError: The video is missing, damaged, cut off or has no frames.
        """
        first = int(self._from_s * GRID_FPS)
        scaler, small = VideoReformatter(), VideoReformatter()
        with Reader(self._path, self._threads) as reader:
            self.fps = reader.fps
            plan = Plan(reader, self._from_s, self._to_s)
            self.end = first
            for frame, numbers in plan.paced(Fraction(GRID_FPS)):
                self.lead, self.decoded = plan.lead, reader.decoded
                wanted = [first + n for n in numbers if (first + n) % self._every == 0]
                self.end = first + numbers.stop
                if self._glance is not None:
                    self._glance(_thumbnail(frame, small))
                if wanted:
                    image = upright(frame, scaler)
                    for number in wanted:
                        yield Picture(number, image)
            self.decoded = reader.decoded
            reader.check_end()
            if self.end == first and self._from_s == 0:
                raise UnusableError("empty", "a video without frames")


def _thumbnail(frame: VideoFrame, scaler: VideoReformatter) -> NDArray[np.uint8]:
    scale = _GLANCE / min(frame.width, frame.height)
    width, height = (max(_GLANCE, round(side * scale)) for side in (frame.width, frame.height))
    small = scaler.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=1)
    return np.asarray(small.to_ndarray(), dtype=np.uint8)


def upright(frame: VideoFrame, scaler: VideoReformatter) -> NDArray[np.uint8]:
    """`(H, W, 3)` uint8 RGB of a frame, turned as the container asks for."""
    small = scaler.reformat(frame, format="rgb24", threads=1)
    image: NDArray[np.uint8] = np.asarray(small.to_ndarray(), dtype=np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, k=turns)) if turns else image


class Reader:
    """The frames of a video with their times, from a moment on."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        self._threads = threads
        self._open()
        tick = self.stream.time_base
        rate = self.stream.average_rate or self.stream.guessed_rate or self.stream.base_rate
        if not tick or not rate or rate <= 0:
            self.container.close()
            raise UnusableError("corrupt", "no frame rate")
        self.tick = Fraction(tick)
        self.fps = Fraction(rate)
        self.zero = round((self.container.start_time or 0) * _MICROSECOND / self.tick)
        self.duration_s = None if self.container.duration is None else self.container.duration * _MICROSECOND
        # AVI has a rate in place of times, and what libav makes of it is wrong where frames are reordered
        self._counted = self.container.format.name == "avi"
        self.end_s = Fraction(0)
        self.decoded = 0
        self._packets = 0
        self._from_start = True
        self._ended = False

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def frames(self, begin_s: Fraction) -> Iterator[tuple[VideoFrame, Fraction]]:
        """Frames and their times in seconds, the first one at or before `begin_s` where there is one."""
        for back_s in _BACK_S:
            if begin_s - back_s < 1 or self._counted:
                break
            found = self._sought(begin_s, begin_s - back_s)
            if found is not None:
                return found
        if not self._from_start:
            self.container.close()
            self._open()
            self._from_start = True
        return self._timed(self._decoded())

    def check_end(self) -> None:
        """Refuse a video whose frames ran out before the end that its container tells.

        Raises:
            UnusableError: It is cut off.
        """
        if not self._ended:
            return
        declared = self._declared_end()
        missing = Fraction(0) if declared is None else declared - self.end_s
        counted = self._from_start and self.stream.frames > self._packets
        if missing > 1 or (counted and missing * self.fps > Fraction(3, 2)):
            raise UnusableError(
                "truncated", f"cut off: ends after {float(self.end_s):.3f} of {float(declared or 0):.3f} s"
            )

    def _open(self) -> None:
        if not self._path.is_file():
            raise UnusableError("missing", "no such file")
        if self._path.stat().st_size == 0:
            raise UnusableError("empty", "empty file (zero bytes)")
        try:
            self.container: InputContainer = av.open(str(self._path), mode="r")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise UnusableError(*why_unopened(self._path, error)) from error
        try:
            self.stream = self._best()
        except BaseException:
            self.container.close()
            raise

    def _best(self) -> VideoStream:
        stream = picture_stream(self.container)
        if stream is None:
            raise UnusableError("no_video", "no video stream")
        if stream.codec_context is None:
            raise UnusableError("unsupported", "no decoder for its codec")
        stream.thread_type = "FRAME" if self._threads > 1 else "NONE"
        stream.codec_context.thread_count = self._threads
        # without it damage is concealed, and every frame comes
        stream.codec_context.options = {"err_detect": "explode"}
        return stream

    def _sought(self, begin_s: Fraction, target_s: Fraction) -> Iterator[tuple[VideoFrame, Fraction]] | None:
        self._from_start = False
        try:
            self.container.seek(self.zero + math.floor(target_s / self.tick), stream=self.stream)
        except av.error.FFmpegError:
            return None
        frames = self._timed(self._decoded())
        first = next(frames, None)
        if first is None or first[1] > begin_s:
            self._ended = False
            return None
        return chain((first,), frames)

    def _timed(self, frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, Fraction]]:
        counted = self._counted
        for count, frame in enumerate(frames):
            if not count and frame.pts is None:
                counted = True
                if not self._from_start:
                    return
            if counted:
                time_s = count / self.fps
            elif frame.pts is not None:
                time_s = (frame.pts - self.zero) * self.tick
            else:
                raise UnusableError("unsupported", f"frames without times after {float(self.end_s):.3f} s")
            self.end_s = time_s + (frame.duration * self.tick if frame.duration else 1 / self.fps)
            yield frame, time_s

    def _decoded(self) -> Iterator[VideoFrame]:
        size: tuple[int, int] | None = None
        try:
            for packet in self._packets_to_decode():
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise UnusableError("corrupt", f"damaged at {float(self.end_s):.3f} s")
                    if size not in (None, (frame.width, frame.height)):
                        raise UnusableError("corrupt", f"the frame size changes at {float(self.end_s):.3f} s")
                    size = frame.width, frame.height
                    self.decoded += 1
                    yield frame
        except (av.error.FFmpegError, OSError) as error:
            raise UnusableError("corrupt", f"damaged at {float(self.end_s):.3f} s: {told(error)}") from error
        self._ended = True

    def _packets_to_decode(self) -> Iterator[Packet[VideoStream]]:
        key: int | None = None
        skipping = not self._from_start
        for packet in self.container.demux(self.stream):
            if packet.is_corrupt:
                raise UnusableError("truncated", f"cut off after {float(self.end_s):.3f} s")
            self._packets += packet.size > 0
            if skipping and packet.size:
                # frames before the keyframe in time refer to others that were not read
                if key is None and not packet.is_keyframe:
                    continue
                if key is None:
                    key = packet.pts
                elif packet.pts is not None and packet.pts < key:
                    continue
            yield packet

    def _declared_end(self) -> Fraction | None:
        if self.stream.duration:
            start = self.stream.start_time if self.stream.start_time is not None else self.zero
            return (start - self.zero + self.stream.duration) * self.tick
        told = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", self.stream.metadata.get("DURATION", ""))
        length = int(told[1]) * 3600 + int(told[2]) * 60 + Fraction(told[3]) if told else None
        if length is None and len(self.container.streams) == 1:
            length = self.duration_s
        # Matroska's lengths count from its time 0; the sound may be longer without any fault
        return None if length is None else length - max(self.zero, 0) * self.tick


class Plan:
    """Which frame is shown at which numbers.

    Attributes:
        lead: Numbers at the start that show the first frame before its time.
        complete: Whether the video lasts until the end of the span.
    """

    def __init__(self, reader: Reader, from_s: Fraction, to_s: Fraction | None) -> None:
        self._reader = reader
        self._from_s, self._to_s = from_s, to_s
        self.lead = 0
        self.complete = self._to_s is None

    def paced(self, fps: Fraction) -> Iterator[tuple[VideoFrame, range]]:
        """Frames and the numbers, from 0, that show them at a steady rate."""
        end = None if self._to_s is None else math.ceil((self._to_s - self._from_s) * fps)
        shown: VideoFrame | None = None
        done = 0
        for frame, time_s in self._reader.frames(self._from_s):
            number = self._number(time_s, fps)
            if shown is None:
                self.lead = max(0, number if end is None else min(number, end))
            elif number > done:
                until = number if end is None else min(number, end)
                self._refuse_jump(number, time_s, fps)
                yield shown, range(done, until)
                done = until
            if end is not None and number >= end:
                self.complete = True
                return
            shown = frame
        if shown is not None:
            last = self._number(self._reader.end_s, fps)
            until = last if end is None else min(last, end)
            if until > done:
                yield shown, range(done, until)
            self.complete = end is None or until >= end

    def every(self) -> Iterator[tuple[VideoFrame, range]]:
        """Every frame of the span, a number each."""
        done = 0
        for frame, time_s in self._reader.frames(self._from_s):
            if self._to_s is not None and time_s >= self._to_s:
                self.complete = True
                return
            if time_s >= self._from_s:
                yield frame, range(done, done + 1)
                done += 1
        if self._to_s is not None:
            self.complete = self._reader.end_s + Fraction(1, 2) / self._reader.fps >= self._to_s

    def _number(self, time_s: Fraction, fps: Fraction) -> int:
        return math.floor((time_s - self._from_s) * fps + Fraction(1, 2))

    def _refuse_jump(self, number: int, time_s: Fraction, fps: Fraction) -> None:
        duration_s = self._reader.duration_s
        if duration_s is not None and time_s > duration_s + _JUMP_S and number > _JUMP_S * fps:
            raise UnusableError("corrupt", f"its time jumps to {float(time_s):.3f} of {float(duration_s):.3f} s")
