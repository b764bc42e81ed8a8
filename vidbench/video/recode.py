"""The pictures of a span to a new file: the filters, the encoder, the container, and a look at the result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidbench.video.clip import UnusableError
from vidbench.video.span import Extent, Frames, Source, Span, Step, extent_of, opened

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
}
"""The endings that can be written, and FFmpeg's names of their containers."""

_TIMING = ("trim", "setpts", "fps", "tpad")
_TIMED = ("mp4", "mov")
"""Containers that keep any time exactly; Matroska keeps milliseconds, AVI the rate alone."""


@dataclass(frozen=True)
class Coding:
    """How the pictures are encoded.

    Attributes:
        short_side: Pixels of the shorter side, even; None keeps the size.
        fps: Frames per second; None keeps each frame and its time.
        crf: x264's constant rate factor, 0 to 51; VP9's, which goes to 63, in proportion.
        preset: x264's speed preset.
    """

    short_side: int | None = None
    fps: Fraction | None = None
    crf: int = 18
    preset: str = "fast"


@dataclass(frozen=True)
class Pictures:
    """What is in a new file.

    Attributes:
        times: The frames' times in ticks, ascending.
        time_base: Seconds that a tick lasts.
        end: The tick at which the last frame ends.
        width: Pixels.
        height: Pixels.
        fps: Frames per second, on average.
    """

    times: tuple[int, ...]
    time_base: Fraction
    end: int
    width: int
    height: int
    fps: Fraction

    @property
    def duration_s(self) -> float:
        """Seconds from 0 to the end of the last frame."""
        return float(self.end * self.time_base)


def container_of(name: str) -> str:
    """FFmpeg's name of the container that a file name asks for.

    Raises:
        UnusableError: There is none that can be written.
    """
    ending = Path(name).suffix.lower()
    if ending not in CONTAINERS:
        raise UnusableError(
            "unsupported", f"no {ending or 'file without an ending'} is written, only {' '.join(CONTAINERS)}"
        )
    return CONTAINERS[ending]


def scaled_even(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the shorter side at `short_side`, the other at the nearest even number.

    As ffmpeg's `scale=-2:short_side`, or `scale=short_side:-2` where the video is upright.
    """

    def other(long: int, short: int) -> int:
        # half up, in whole numbers, as av_rescale does
        return (2 * short_side * long + 2 * short) // (4 * short) * 2

    return (short_side, other(height, width)) if width < height else (other(width, height), short_side)


def out_size(source: Source, coding: Coding) -> tuple[int, int]:
    """Width and height of the new file.

    Raises:
        UnusableError: It cannot be encoded.
    """
    if coding.short_side is None:
        return source.upright_size
    return scaled_even(*source.upright_size, coding.short_side)


def steps(source: Source, span: Span, extent: Extent | None, coding: Coding, container: str) -> list[Step]:
    """The filters that make the new pictures from the decoded ones, but for turning them upright.

    Args:
        source: The video.
        span: What of it.
        extent: What the span holds; another frame rate needs to know it.
        coding: How pictures are encoded.
        container: FFmpeg's name of the container.
    """
    first, last = source.ticks(span)
    width, height = out_size(source, coding)
    if container != "webm" and (width % 2 or height % 2):
        raise UnusableError("unsupported", f"H.264 needs even sides, not {width}x{height}: give a short side")
    found = [
        ("trim", f"start_pts={first}" + ("" if last is None else f":end_pts={last}")),
        # AVI has no times to keep
        ("setpts", "PTS-STARTPTS" if container == "avi" else f"PTS-{first}"),
    ]
    if coding.fps is not None:
        assert extent
        found += _constant(source, extent, coding.fps, extent.times[0] if container == "avi" else first)
    if (width, height) != source.upright_size:
        found.append(("scale", f"w={width}:h={height}:flags=bicubic"))
    # full-range video keeps its range, which x264 writes down and VP9's encoder does not take
    found.append(("format", "pix_fmts=yuv420p" if container == "webm" else "pix_fmts=yuv420p|yuvj420p"))
    if source.sample_aspect is not None:
        aspect = source.sample_aspect
        if any(name == "transpose" for name, _ in source.turn):
            aspect = 1 / aspect
        found.append(("setsar", f"{aspect.numerator}/{aspect.denominator}"))
    return found


def _constant(source: Source, extent: Extent, fps: Fraction, zero: int) -> list[Step]:
    """The filters to a constant rate: each picture is the one whose time is nearest, until the last frame ends.

    How long the last frame of all is shown, versions of libavfilter see differently; it is held as long as needed.
    """
    ratio = source.time_base * fps
    stop = max(rescaled(extent.end - zero, ratio), rescaled(extent.times[-1] - zero, ratio) + 1)
    held = math.ceil((extent.end - extent.times[-1]) * source.time_base * source.rate + source.rate / fps) + 1
    return [
        ("tpad", f"stop={held}:stop_mode=clone"),
        ("fps", f"fps={fps.numerator}/{fps.denominator}"),
        ("trim", f"end_pts={stop}"),
    ]


def encoder(coding: Coding, container: str) -> tuple[str, dict[str, str]]:
    """FFmpeg's name of the encoder and its options; with one thread they give the same bytes every time."""
    if container == "webm":
        crf = round(coding.crf * 63 / 51)
        return "libvpx-vp9", {
            "crf": str(crf), "b": "0", "deadline": "realtime", "cpu-used": "6", "lag-in-frames": "0",
            "auto-alt-ref": "0", "row-mt": "0",
        }  # fmt: skip
    # x264's macroblock tree gives other bytes from run to run, even with one thread
    options = {"crf": str(coding.crf), "preset": coding.preset, "mbtree": "0"}
    return "libx264", {**options, "bf": "0"} if container == "avi" else options


def muxer(container: str, time_base: Fraction) -> dict[str, str]:
    """Options of a container: no random identifiers, the index in front, edit lists as exact as the frames."""
    options = {"fflags": "+bitexact"}
    if container in _TIMED:
        clock = time_base.denominator
        while clock < 10_000:
            # as the muxer chooses the clock of the track
            clock *= 2
        options |= {"movflags": "+faststart", "movie_timescale": str(clock)}
    return options


def out_clock(source: Source, coding: Coding) -> tuple[Fraction, Fraction]:
    """The new file's ticks in seconds and its frames per second."""
    if coding.fps is not None:
        return 1 / coding.fps, coding.fps
    return source.time_base, source.rate


def recode(source: Source, span: Span, target: Path, container: str, coding: Coding) -> tuple[Extent, Pictures]:
    """Decode a span and encode it into `target`, with PyAV.

    Raises:
        UnusableError: A frame of the span cannot be decoded, there is none, or it cannot be encoded.
        OSError: The disk is full, or the like.
    """
    time_base, rate = out_clock(source, coding)
    extent = None if coding.fps is None else extent_of(source, *source.ticks(span))
    if extent and not extent.times:
        raise UnusableError("empty", beyond(span))
    frames = Frames(source, *source.ticks(span))
    pictures = _filtered(frames, source, steps(source, span, extent, coding, container))
    name, options = encoder(coding, container)
    times: list[int] = []
    with written(target, container, time_base) as out:
        stream: VideoStream | None = None
        for picture in pictures:
            if stream is None:
                stream = _stream(out, name, options, picture, source, time_base, rate)
            if picture.pts is None or picture.time_base != time_base:
                raise UnusableError("unsupported", f"filters gave the clock {picture.time_base}, not {time_base}")
            times.append(picture.pts)
            # the encoder chooses the kind of each picture, not the source
            picture.pict_type = 0
            for packet in stream.encode(picture):
                out.mux(packet)
        if stream is None:
            raise UnusableError("empty", beyond(span))
        for packet in stream.encode(None):
            out.mux(packet)
    return frames.extent, inspect(target, container, times, time_base)


def beyond(span: Span) -> str:
    """What is said of a span without frames."""
    return (
        f"no frame from {span.start_s:g} s on"
        if span.end_s is None
        else (f"no frame from {span.start_s:g} to {span.end_s:g} s")
    )


def written(target: Path, container: str, time_base: Fraction) -> OutputContainer:
    """A new file of a container, open for writing."""
    return av.open(
        str(target.absolute()), "w", format=container, container_options=muxer(container, time_base)
    )  # fmt: skip


def retimed(source: Source, span: Span, extent: Extent, coding: Coding, container: str) -> tuple[int, ...]:
    """The times in ticks of the new file that `recode` gives to frames of the times in `extent`."""
    chain = [step for step in steps(source, span, extent, coding, container) if step[0] in _TIMING]
    graph = None
    found: list[int] = []
    for time, following in zip(extent.times, (*extent.times[1:], extent.end), strict=True):
        frame = VideoFrame(16, 16, "gray")
        frame.pts, frame.duration = time, following - time
        graph = graph or _graph(source, frame, chain)
        graph.vpush(frame)
        found += [picture.pts or 0 for picture in _pulled(graph)]
    if graph is not None:
        graph.vpush(None)
        found += [picture.pts or 0 for picture in _pulled(graph)]
    return tuple(found)


def _filtered(frames: Frames, source: Source, chain: list[Step]) -> Iterator[VideoFrame]:
    """Frames through filters, with as little delay as these have."""
    graph: av.filter.Graph | None = None
    for frame in frames:
        if graph is None:
            graph = _graph(source, frame, [*source.turn, *chain])
        graph.vpush(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.vpush(None)
        yield from _pulled(graph)


def _pulled(graph: av.filter.Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _graph(source: Source, frame: VideoFrame, chain: list[Step]) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1
    aspect = source.sample_aspect or Fraction(0, 1)
    nodes = [
        graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base=str(source.time_base),
            frame_rate=str(source.rate),
            pixel_aspect=f"{aspect.numerator}/{aspect.denominator}",
            colorspace=str(int(frame.colorspace)),
            range=str(int(frame.color_range)),
        )
    ]
    nodes += [graph.add(name, args or None) for name, args in chain]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def _stream(
    out: OutputContainer,
    name: str,
    options: dict[str, str],
    picture: VideoFrame,
    source: Source,
    time_base: Fraction,
    rate: Fraction,
) -> VideoStream:
    stream = out.add_stream(name, rate=rate, options=options)
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, picture.format.name
    stream.time_base = context.time_base = time_base
    stream.thread_count = 1
    if source.sample_aspect is not None:
        turned = any(step == "transpose" for step, _ in source.turn)
        context.sample_aspect_ratio = 1 / source.sample_aspect if turned else source.sample_aspect
    context.color_range = int(picture.color_range)
    _, context.color_primaries, context.color_trc, context.colorspace = source.colour
    return stream


def rescaled(ticks: int, ratio: Fraction) -> int:
    """Ticks in ticks of another clock, to the nearest one; as a fraction it would take ten times as long."""
    return (2 * ticks * ratio.numerator + ratio.denominator) // (2 * ratio.denominator)


def inspect(path: Path, container: str, times: Sequence[int] | None, time_base: Fraction) -> Pictures:
    """What a new file holds, read back; it must be what was put in.

    Args:
        path: The file.
        container: FFmpeg's name of its container.
        times: The times that it must have, in ticks; None takes them as they are.
        time_base: Seconds that a tick lasts.

    Raises:
        UnusableError: It holds other frames or other times.
    """
    with opened(path) as (held, stream):
        assert stream.time_base
        clock = stream.time_base
        packets = [
            (packet.pts, packet.duration or 0)
            for packet in held.demux(stream)
            if packet.size and packet.pts is not None
        ]
        width, height = stream.codec_context.width, stream.codec_context.height
    ratio = clock / time_base
    there = sorted((rescaled(pts, ratio), duration) for pts, duration in packets)
    found = [pts for pts, _ in there]
    if times is not None:
        if len(found) != len(times):
            raise UnusableError("corrupt", f"{len(found)} of {len(times)} frames were written")
        # Matroska rounds to milliseconds
        slack = 0 if container in _TIMED else Fraction(1, 1000) / time_base
        if container != "avi" and any(abs(a - b) > slack for a, b in zip(found, times, strict=True)):
            raise UnusableError("corrupt", "frames were written with other times")
        found = list(times)
    elif container == "avi":
        # it tells the rate alone
        found = list(range(len(found)))
    if not found:
        raise UnusableError("empty", "no frame was written")
    last = rescaled(there[-1][1], ratio) or (found[-1] - found[-2] if len(found) > 1 else 1)
    # the last frame may be shown for a moment only
    steps_s = (found[-1] - found[0]) * time_base
    fps = (len(found) - 1) / steps_s if steps_s else 1 / (last * time_base)
    return Pictures(tuple(found), time_base, found[-1] + last, width, height, fps)
