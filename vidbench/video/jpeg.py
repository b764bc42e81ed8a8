"""One video to numbered JPEG files at a steady rate, with PyAV."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from av.codec.context import Flags
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from vidbench.video.clip import UnusableError
from vidbench.video.steady import Plan, Reader

FINEST = 2
"""The best quality there is: libav's encoder raises 1 to 2, so FFmpeg's `-q:v 1` writes the same files as `-q:v 2`."""

Reason = Literal["missing", "empty", "corrupt", "truncated", "no_video", "unsupported"]

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
    with Reader(source, options.threads) as reader:
        plan = Plan(reader, options.from_s, options.to_s)
        with _Press(reader, folder, name, options) as press:
            for frame, numbers in plan.every() if options.fps is None else plan.paced(options.fps):
                press.put(frame, numbers)
        reader.check_end()
        if not press.files:
            raise UnusableError("empty", f"ends after {float(reader.end_s):.3f} s: nothing of it lies in the span")
        end_s = None if plan.complete else round(float(reader.end_s), 6)
        return Written(press.files, press.bytes, *press.size, reader.fps, plan.lead, end_s)


class _Press:
    """Encodes and writes pictures, in threads of its own where more than one is asked for.

    Attributes:
        files: Files written.
        bytes: Of all of them.
        size: Width and height of the pictures.
    """

    def __init__(self, reader: Reader, folder: Path, name: Callable[[int], str], options: JpegOptions) -> None:
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
