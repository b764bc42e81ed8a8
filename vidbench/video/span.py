"""A span of a video: where it begins and ends in the file's own clock, and its frames, every one or an error."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidbench.video.clip import UnusableError
from vidbench.video.stream import picture_stream
from vidbench.video.wholeness import is_cut_off, told, why_unopened

Reason = Literal["missing", "truncated", "corrupt", "no_video", "unsupported", "empty"]
Step = tuple[str, str]
"""A filter of libavfilter and its arguments."""

_BACK_S = (0, 5, 60)
"""How far before a span a seek may have to begin, as some containers find their way by guessing."""
_STRICT = {"err_detect": "explode"}


@dataclass(frozen=True)
class Span:
    """Seconds of a video, half-open; a frame belongs to it when its time since the file's start does.

    Attributes:
        start_s: 0 or more.
        end_s: After `start_s`; None is the end of the video.
    """

    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class Source:
    """What has to be known of a video before it is cut.

    Attributes:
        path: The file.
        index: The stream's place in the file.
        codec: FFmpeg's name of the codec.
        time_base: Seconds that a tick lasts.
        origin: The file's start, in ticks.
        rate: Frames per second, on average.
        frames: How many there are, where the container says so, else 0.
        width: Pixels of a frame as it is decoded.
        height: Pixels, likewise.
        pix_fmt: Pixel format, as "yuv420p".
        sample_aspect: Shape of a pixel; None where the file does not say.
        turn: The filters that put a frame upright, as the file's display matrix says.
        interlaced: Whether a frame holds two fields.
        colour: Range, primaries, transfer and matrix, as FFmpeg numbers them.
        indexed: Whether the container says where its key frames are; others are searched by guessing.
    """

    path: Path
    index: int
    codec: str
    time_base: Fraction
    origin: int
    rate: Fraction
    frames: int
    width: int
    height: int
    pix_fmt: str
    sample_aspect: Fraction | None
    turn: tuple[Step, ...]
    interlaced: bool
    colour: tuple[int, int, int, int]
    indexed: bool

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height after `turn`."""
        if any(name == "transpose" for name, _ in self.turn):
            return self.height, self.width
        return self.width, self.height

    def ticks(self, span: Span) -> tuple[int, int | None]:
        """The first tick of a span, and the first one after it."""
        first = self.origin + math.ceil(exact_s(span.start_s) / self.time_base)
        if span.end_s is None:
            return first, None
        return first, self.origin + math.ceil(exact_s(span.end_s) / self.time_base)


def exact_s(seconds: float) -> Fraction:
    """Seconds as they were typed: 0.1 is a tenth, not the nearest binary number."""
    return Fraction(repr(seconds))


def look(path: Path) -> Source:
    """The facts of a video; decodes its first frame.

    Raises:
        UnusableError: It cannot be read.
    """
    with opened(path) as (container, stream):
        frame = _first_frame(path, container, stream)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        if not rate or rate <= 0 or not stream.time_base:
            raise UnusableError("unsupported", "no frame rate")
        untimed = container.format.name == "avi"
        if untimed and stream.codec_context.name in ("h264", "hevc") and stream.codec_context.has_b_frames:
            raise UnusableError("unsupported", "AVI does not keep the times of reordered frames")
        return Source(
            path=path,
            index=stream.index,
            codec=stream.codec_context.name,
            time_base=stream.time_base,
            # the first frame of an AVI is late by the decoder's delay
            origin=(_Clock().time(frame) or 0) if untimed else _origin(container, stream),
            rate=Fraction(rate),
            frames=stream.frames,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name,
            sample_aspect=stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or None,
            turn=_turn(frame),
            interlaced=frame.interlaced_frame,
            colour=(int(frame.color_range), int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)),
            indexed=any(name in ("mov", "matroska", "avi") for name in container.format.name.split(",")),
        )


@contextmanager
def opened(path: Path, strict: bool = False) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file's container and its first video stream that is not cover art.

    Decoding takes one thread, so that an error belongs to the packet that was given last.

    Args:
        path: The file.
        strict: Make the decoder raise where it would otherwise conceal damage.

    Raises:
        UnusableError: It cannot be opened, or has no video.
    """
    if not path.is_file():
        raise UnusableError("missing", "no such file")
    if path.stat().st_size == 0:
        raise UnusableError("empty", "empty file (zero bytes)")
    try:
        # an absolute path cannot be taken for an address or an option
        container = av.open(str(path.absolute()), mode="r")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnusableError(*why_unopened(path, error)) from error
    with container:
        yield container, _video(container, strict)


def _video(container: InputContainer, strict: bool) -> VideoStream:
    stream = picture_stream(container)
    if stream is None:
        raise UnusableError("no_video", "no video stream")
    if stream.codec_context is None:
        raise UnusableError("unsupported", "no decoder for its codec")
    stream.thread_count = 1
    if strict:
        stream.codec_context.options = _STRICT
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    return stream


def _first_frame(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    problem = "no frame could be decoded"
    try:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    return frame
            except av.error.FFmpegError as error:
                problem = told(error)
    except (av.error.FFmpegError, OSError) as error:
        problem = told(error)
    raise UnusableError("truncated" if is_cut_off(path) else "corrupt", problem)


def _origin(container: InputContainer, stream: VideoStream) -> int:
    """The container's start in ticks; it is told in microseconds, which ticks need not be whole numbers of."""
    assert stream.time_base
    # the library's type hints forget that a container may not tell its start
    told_us = cast("int | None", container.start_time)
    if told_us is None:
        return stream.start_time or 0
    start = Fraction(told_us, av.time_base)
    if start < 0:
        # sound that a decoder needs before the first second it plays is no part of the film
        return min(0, stream.start_time or 0)
    if stream.start_time is not None and abs(stream.start_time * stream.time_base - start) <= Fraction(1, av.time_base):
        return stream.start_time
    return round(start / stream.time_base)


def _turn(frame: VideoFrame) -> tuple[Step, ...]:
    """The filters that ffmpeg's autorotation would take, for quarter turns and mirrors."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return ()
    a, b, _, c, d = struct.unpack("=5i", bytes(cast("bytes", matrix))[:20])
    if (a, b, c, d).count(0) != 2 or (a == 0) != (d == 0):
        raise UnusableError("unsupported", f"turned by {frame.rotation} degrees, which is no quarter turn")
    if a == 0:
        kind = ("cclock_flip" if c > 0 else "clock") if b > 0 else ("clock_flip" if c < 0 else "cclock")
        return (("transpose", kind),)
    return (*((("hflip", ""),) if a < 0 else ()), *((("vflip", ""),) if d < 0 else ()))


@dataclass(frozen=True)
class Extent:
    """What of a span a video holds.

    Attributes:
        times: The frames' times in ticks of the source, ascending.
        end: The tick at which the last one ends; where the video goes on, the first one after the span.
        went_past: Whether the video goes on after the span.
    """

    times: tuple[int, ...]
    end: int
    went_past: bool


class Frames:
    """The frames of a span, in the order of their times; iterate it once."""

    def __init__(self, source: Source, first: int, last: int | None) -> None:
        self.source, self.first, self.last = source, first, last
        self._times: list[int] = []
        self._end = first
        self._went_past = False
        self._clock = _Clock()

    @property
    def extent(self) -> Extent:
        """What there was; complete after the last frame."""
        end = self._end if self.last is None or not self._went_past else self.last
        return Extent(tuple(self._times), end, self._went_past)

    def __iter__(self) -> Iterator[VideoFrame]:
        """Each frame of the span with its time in `pts`.

        Decoding begins at a key frame at or before the span, or, where that gives an error before the first frame
        of the span, as some open groups of pictures do, at the beginning of the file.

        Raises:
            UnusableError: A frame cannot be decoded, has no time, or not a later one than the frame before.
        """
        for sought in (True, False):
            try:
                yield from self._pass(sought)
            except _Unready:
                continue
            return

    def _pass(self, sought: bool) -> Iterator[VideoFrame]:
        self._clock = _Clock()
        packets = 0
        problem = ""
        key = None
        with _from_key(self.source, self.first if sought else None, strict=True) as (container, stream, sought):
            try:
                for packet in container.demux(stream):
                    packets += packet.size > 0
                    if packet.is_keyframe and packet.pts is not None and (key is None or packet.pts <= self.first):
                        # a decoder starts afresh here; what went wrong before does not matter
                        key, problem = packet.pts, ""
                    try:
                        frames = packet.decode()
                    except av.error.EOFError:
                        frames = []
                    except av.error.FFmpegError as error:
                        if packet.pts is None or key is None or packet.pts >= key:
                            problem = problem or told(error)
                        frames = []
                    for frame in frames:
                        yield from self._given(frame, problem, sought)
                        if self._went_past:
                            return
                    if problem and len(self._times):
                        raise self._broken(problem)
            except (av.error.FFmpegError, OSError) as error:
                raise self._broken(told(error)) from error
        if problem:
            raise _Unready if sought and not len(self._times) else self._broken(problem)
        _refuse_cut_off(self.source, None if sought else packets)

    def _given(self, frame: VideoFrame, problem: str, sought: bool) -> Iterator[VideoFrame]:
        pts = self._clock.time(frame)
        if pts is None:
            raise UnusableError("unsupported", "a frame without a time")
        if pts < self.first:
            return
        if self.last is not None and pts >= self.last and not problem:
            self._went_past = True
            return
        if (problem or frame.is_corrupt) and sought and not len(self._times):
            raise _Unready
        if problem or frame.is_corrupt:
            raise self._broken(problem or f"frame {len(self._times)} of the span is damaged")
        if (frame.width, frame.height) != (self.source.width, self.source.height):
            raise UnusableError("unsupported", f"the size changes to {frame.width}x{frame.height} within the video")
        if self._times and pts <= self._times[-1]:
            raise UnusableError("corrupt", f"frame {len(self._times)} of the span is not later than the one before")
        frame.pts = pts
        self._times.append(pts)
        self._end = pts + (frame.duration or round(1 / self.source.rate / self.source.time_base))
        yield frame

    def _broken(self, problem: str) -> UnusableError:
        reason: Reason = "truncated" if is_cut_off(self.source.path) else "corrupt"
        return UnusableError(reason, f"decoding stops after {len(self._times)} frames of the span: {problem}")


class _Unready(Exception):
    """Decoding from the key frame before the span did not work."""


class _Clock:
    """The time of a decoded frame, from two clocks of which either may be wrong.

    Source: FFmpeg's `best_effort_timestamp`: the presentation time, unless it runs backwards more often.
    """

    def __init__(self) -> None:
        self._faults = [0, 0]
        self._last: list[int | None] = [None, None]

    def time(self, frame: VideoFrame) -> int | None:
        """The frame's time in ticks; None where it cannot be known."""
        pts, dts = frame.pts, frame.dts
        for place, value in enumerate((pts, dts)):
            if value is not None:
                last = self._last[place]
                self._faults[place] += last is not None and value <= last
                self._last[place] = value
        if pts is None:
            self._last[0] = dts
        if dts is None and pts is not None:
            self._last[1] = pts
        return pts if pts is not None and (self._faults[0] <= self._faults[1] or dts is None) else dts


@contextmanager
def _from_key(source: Source, first: int | None, strict: bool) -> Iterator[tuple[InputContainer, VideoStream, bool]]:
    """A file opened at a key frame at or before a tick, or else at its beginning, and whether it was the former."""
    ahead = 0 if first is None else first - source.origin
    for back_s in _BACK_S:
        back = math.ceil(back_s / source.time_base)
        if first is None or ahead <= back:
            break
        with opened(source.path, strict) as (container, stream):
            if _sought(container, stream, first - back, first):
                yield container, stream, True
                return
    with opened(source.path, strict) as (container, stream):
        yield container, stream, False


def _sought(container: InputContainer, stream: VideoStream, place: int, first: int) -> bool:
    """Go to the key frame at or before a tick; False where the container goes astray."""
    try:
        container.seek(place, stream=stream)
        packet = next((packet for packet in container.demux(stream) if packet.size), None)
        if packet is None or not packet.is_keyframe or packet.pts is None or packet.pts > first:
            return False
        # the packet is taken; go to the same place again
        container.seek(place, stream=stream)
    except av.error.FFmpegError:
        return False
    return True


def packets_of(source: Source, first: int, last: int | None) -> Iterator[Packet[VideoStream]]:
    """The packets from the key frame at or before `first` until all that are shown before `last` are given.

    Raises:
        UnusableError: The file cannot be read to that point.
    """
    count = 0
    with _from_key(source, first, strict=False) as (container, stream, sought):
        try:
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                count += 1
                yield packet
                if last is not None and packet.dts is not None and packet.dts >= last:
                    return
        except (av.error.FFmpegError, OSError) as error:
            raise UnusableError("truncated" if is_cut_off(source.path) else "corrupt", told(error)) from error
    _refuse_cut_off(source, None if sought else count)


def extent_of(source: Source, first: int, last: int | None) -> Extent:
    """What of a span a video holds by its packets, without decoding.

    Raises:
        UnusableError: The file cannot be read to the end of the span, or does not tell the times.
    """
    shown = []
    went_past = False
    for packet in packets_of(source, first, last):
        if packet.pts is None:
            raise UnusableError("unsupported", "a packet without a time")
        if last is not None and packet.pts >= last:
            went_past = True
        elif packet.pts >= first and not packet.is_discard:
            shown.append((packet.pts, packet.duration or 0))
    shown.sort()
    end = shown[-1][0] + (shown[-1][1] or round(1 / source.rate / source.time_base)) if shown else first
    if last is not None and went_past:
        end = last
    return Extent(tuple(pts for pts, _ in shown), end, went_past)


def _refuse_cut_off(source: Source, packets: int | None) -> None:
    """The file ended before the span did: it must have ended where it says.

    Args:
        source: The video.
        packets: How many there were, where all were counted.
    """
    if is_cut_off(source.path) or (packets is not None and packets < source.frames):
        have = f": {packets} of {source.frames} frames are there" if packets is not None and source.frames else ""
        raise UnusableError("truncated", f"the file is cut off{have}")
