"""One video to numbered JPEG files at a steady rate, with PyAV."""

from __future__ import annotations

import math
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidbench.video.clip import UnusableError
from vidbench.video.stream import picture_stream
from vidbench.video.wholeness import told, why_unopened

FINEST = 2
"""The best quality there is: libav's encoder raises 1 to 2, so FFmpeg's `-q:v 1` writes the same files as `-q:v 2`."""

Reason = Literal["missing", "empty", "corrupt", "truncated", "no_video", "unsupported"]

_MICROSECOND = Fraction(1, 1_000_000)
_BACK_S = (Fraction(1, 2), Fraction(5), Fraction(40))
_JUMP_S = 60
_STEP = Fraction(1, 30)
_FULL = 2
# exactly what FFmpeg's scaler did until version 5; that of version 8 rounds down, which darkens by half a level
_FULL_RANGE = "y=clip(round((val-16)*255/219)\\,0\\,255)" + "".join(
    f":{plane}=clip(round((val-128)*255/224+128)\\,0\\,255)" for plane in "uv"
)
_TURNS = {90: ("transpose", "cclock"), -90: ("transpose", "clock")}


@dataclass(frozen=True)
class JpegOptions:
    """What to take of a video.

    Attributes:
        fps: Pictures a second; None keeps every frame of the source.
        from_s: Where the span begins, in seconds from the start of the container.
        to_s: Where it ends, not included; None is the end of the video.
        short_side: Pixels of the shorter side; None keeps the size.
        quality: libav's qscale, 1 (best) to 31; 1 is the same as 2.
        threads: Threads that decode, and as many that encode.
    """

    fps: Fraction | None = Fraction(30)
    from_s: Fraction = Fraction(0)
    to_s: Fraction | None = None
    short_side: int | None = None
    quality: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        frames: JPEG files.
        bytes: Of all of them.
        width: Pixels of a picture.
        height: Pixels, likewise.
        source_fps: Average frames per second of the video.
        lead: Files at the start that show the first picture before its time, as the video starts late.
        end_s: Where the span ends before `to_s`, in seconds from the container's start; None where it does not.
    """

    frames: int
    bytes: int
    width: int
    height: int
    source_fps: Fraction
    lead: int
    end_s: float | None


def write_jpegs(source: Path, folder: Path, name: Callable[[int], str], options: JpegOptions) -> Written:
    """Write the pictures of a video into a folder; the same bytes for any number of threads.

    Time 0 is the start of the container, as players and FFmpeg's `-ss` count. Picture n, from 0, is what
    libav's fps filter (round=near, start_time=0) puts at `from_s + n / fps`: the last frame that begins less
    than half a step after it. A frame that began before `from_s` and is still on then counts, so a span is
    exactly its part of the whole video. A video that ends before `to_s` gives fewer pictures. A frame that is
    shown more than once is encoded once.

    Colours become full range and keep their matrix, pixels keep their shape, and a rotation that the container
    asks for is applied, as FFmpeg does when it writes JPEG files.

    Args:
        source: The video; of several streams the one that FFmpeg takes for the best.
        folder: An empty folder.
        name: The name of a file for its number, from 1.
        options: What to take.

    Raises:
        UnusableError: The video is missing, damaged, cut off, or nothing of it lies in the span.
    """
    with _Reader(source, options.threads) as reader:
        plan = _Plan(reader, options)
        with _Press(reader, folder, name, options) as press:
            for frame, numbers in plan.every() if options.fps is None else plan.paced(options.fps):
                press.put(frame, numbers)
        reader.check_end()
        if not press.files:
            raise UnusableError("empty", f"ends after {float(reader.end_s):.3f} s: nothing of it lies in the span")
        end_s = None if plan.complete else round(float(reader.end_s), 6)
        return Written(press.files, press.bytes, *press.size, reader.fps, plan.lead, end_s)


class _Reader:
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
        self._packets = 0
        self._from_start = True
        self._ended = False

    def __enter__(self) -> _Reader:
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
        count = 0
        try:
            for packet in self._packets_to_decode():
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise UnusableError("corrupt", f"damaged at {float(self.end_s):.3f} s")
                    if size not in (None, (frame.width, frame.height)):
                        raise UnusableError("corrupt", f"the frame size changes at {float(self.end_s):.3f} s")
                    size = frame.width, frame.height
                    count += 1
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


class _Plan:
    """Which frame is shown at which numbers.

    Attributes:
        lead: Numbers at the start that show the first frame before its time.
        complete: Whether the video lasts until the end of the span.
    """

    def __init__(self, reader: _Reader, options: JpegOptions) -> None:
        self._reader = reader
        self._from_s, self._to_s = options.from_s, options.to_s
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


class _Press:
    """Encodes and writes pictures, in threads of its own where more than one is asked for.

    Attributes:
        files: Files written.
        bytes: Of all of them.
        size: Width and height of the pictures.
    """

    def __init__(self, reader: _Reader, folder: Path, name: Callable[[int], str], options: JpegOptions) -> None:
        self._shape = reader.stream.sample_aspect_ratio or Fraction(1)
        self._folder, self._name, self._options = folder, name, options
        self._pool = ThreadPoolExecutor(options.threads) if options.threads > 1 else None
        self._waiting: deque[Future[int]] = deque()
        self._own = threading.local()
        self.files = 0
        self.bytes = 0
        self.size = (0, 0)

    def __enter__(self) -> _Press:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            while self._waiting and kind is None:
                self._take()
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def put(self, frame: VideoFrame, numbers: range) -> None:
        """Write a frame under its numbers, from 0."""
        if not self.files and not self._waiting:
            self.size = _size(frame, self._options.short_side)
        self.files += len(numbers)
        if self._pool is None:
            self.bytes += self._write(frame, numbers)
            return
        self._waiting.append(self._pool.submit(self._write, frame, numbers))
        if len(self._waiting) > 2 * self._options.threads:
            self._take()

    def _take(self) -> None:
        self.bytes += self._waiting.popleft().result()

    def _write(self, frame: VideoFrame, numbers: range) -> int:
        encoder: _Encoder | None = getattr(self._own, "encoder", None)
        if encoder is None:
            encoder = self._own.encoder = _Encoder(self.size, self._options.quality, self._shape)
        data = encoder.jpeg(frame)
        for number in numbers:
            _write_new(os.path.join(self._folder, self._name(number + 1)), data)
        return len(data) * len(numbers)


class _Encoder:
    """Frames of one size to JPEG; for one thread."""

    def __init__(self, size: tuple[int, int], quality: int, shape: Fraction) -> None:
        self._size, self._quality, self._shape = size, quality, shape
        self._kind: tuple[object, ...] = ()
        self._count = 0

    def jpeg(self, frame: VideoFrame) -> bytes:
        """The bytes of a JPEG file."""
        kind = (frame.format.name, frame.colorspace, frame.color_range, frame.rotation)
        if kind != self._kind:
            self._graph = _graph(frame, self._size)
            self._codec: VideoCodecContext | None = None
            self._kind = kind
        self._graph.vpush(frame)
        picture = self._graph.vpull()
        if not isinstance(picture, VideoFrame):
            raise TypeError(f"expected a video frame, got {picture!r}")
        if self._codec is None:
            self._codec = _codec(picture, self._quality, self._shape)
        self._count += 1
        # of its own kind, as an I frame of the source means nothing here
        picture.pict_type = 0
        picture.color_range = _FULL
        picture.time_base, picture.pts = _STEP, self._count
        return b"".join(bytes(packet) for packet in self._codec.encode(picture))


def _graph(frame: VideoFrame, size: tuple[int, int]) -> Graph:
    """From a frame as it was decoded to full-range YUV of the wanted size."""
    kind = frame.format
    rgb = kind.is_rgb or kind.has_palette
    full = not rgb and (kind.name.startswith("yuvj") or frame.color_range == _FULL)
    target = f"yuv{'j' if full else ''}{_chroma(frame)}p"
    filters: list[tuple[str, str]] = []
    turned = round(frame.rotation / 90) * 90
    if turned in _TURNS:
        filters.append(_TURNS[turned])
    elif abs(turned) == 180:
        filters += [("hflip", ""), ("vflip", "")]
    if size != _size(frame, None):
        filters.append(("scale", f"{size[0]}:{size[1]}:flags=bicubic"))
    if kind.name.replace("yuvj", "yuv") != target.replace("yuvj", "yuv"):
        filters.append(("format", target))
    if not full:
        filters.append(("lutyuv", _FULL_RANGE))
    graph = Graph()
    graph.threads = 1
    pad = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={kind.name}:time_base=1/1"
        f":colorspace={frame.colorspace}:range={frame.color_range}",
    )
    for name, options in [*filters, ("buffersink", "")]:
        following = graph.add(name, options)
        pad.link_to(following)
        pad = following
    graph.configure()
    return graph


def _codec(picture: VideoFrame, quality: int, shape: Fraction) -> VideoCodecContext:
    codec = VideoCodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = picture.width, picture.height, picture.format.name
    codec.color_range = _FULL
    codec.time_base = _STEP
    codec.sample_aspect_ratio = shape
    codec.thread_count = 1
    codec.qscale = True
    # a frame asks for a quality of its own, which PyAV leaves at 0; the bounds make it the wanted one
    codec.options = {"qmin": (step := str(max(quality, FINEST))), "qmax": step}
    # without the name and version of the encoder in every file
    codec.flags |= Flags.bitexact
    return codec


def _chroma(frame: VideoFrame) -> str:
    """The nearest of the three samplings that JPEG files have."""
    kind = frame.format
    if kind.is_rgb or kind.has_palette:
        return "444"
    if len(kind.components) < 3:
        return "420"
    wide = kind.chroma_width(frame.width) == frame.width
    high = kind.chroma_height(frame.height) == frame.height
    return "444" if wide else "422" if high else "420"


def _size(frame: VideoFrame, short_side: int | None) -> tuple[int, int]:
    """Width and height as shown, the longer side even, as by FFmpeg's `scale=-2:N`."""
    width, height = frame.width, frame.height
    if round(frame.rotation / 90) % 2:
        width, height = height, width
    if short_side is None or min(width, height) == short_side:
        return width, height
    long_side = max(
        2, 2 * math.floor(Fraction(max(width, height) * short_side, 2 * min(width, height)) + Fraction(1, 2))
    )
    return (short_side, long_side) if width < height else (long_side, short_side)


def _write_new(path: str, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
    finally:
        os.close(handle)
