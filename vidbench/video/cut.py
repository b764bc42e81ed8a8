"""A span of one video to a file of its own: exact or smart, by PyAV or ffmpeg, with or without its sound."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.packet import Packet
from av.stream import Stream

from vidbench.video import ffmpeg, recode
from vidbench.video.clip import UnusableError
from vidbench.video.recode import Coding, Pictures, container_of, muxer
from vidbench.video.smart import NotSmart, smart_cut
from vidbench.video.span import Extent, Source, Span, exact_s, look
from vidbench.video.wholeness import told

Mode = Literal["exact", "smart"]
Engine = Literal["pyav", "ffmpeg"]

_SAME_RATE = Fraction(1, 1000)

__all__ = ["Coding", "Cut", "Engine", "Mode", "Span", "cut"]


@dataclass(frozen=True)
class Cut:
    """What came of a cut.

    Attributes:
        mode: How it was made in the end.
        why: Where smart was asked for and exact was done, why; else empty.
        short: Where the video ends before the span does, what there is; else empty.
        frames: How many there are.
        fps: Frames per second, on average.
        width: Pixels.
        height: Pixels.
        duration_s: Seconds to the end of the last frame.
        sound: FFmpeg's name of the sound's codec; empty where the file has none.
    """

    mode: Mode
    why: str
    short: str
    frames: int
    fps: Fraction
    width: int
    height: int
    duration_s: float
    sound: str


def cut(
    path: Path,
    span: Span,
    target: Path,
    coding: Coding,
    *,
    name: str,
    mode: Mode = "exact",
    engine: Engine = "pyav",
    sound: bool = False,
) -> Cut:
    """Write the frames of a span to `target`, every one of them or none.

    A frame belongs to the span when its time since the file's start does. Its new time is that time less the
    span's start, to the tick, so a first frame that is shown a little after the start keeps this distance; AVI,
    which tells no times, begins with the first frame. Frames are turned upright as the file's display matrix
    asks. The file has 8-bit 4:2:0 pictures, and what is known of the source's colours and pixel shape.

    Args:
        path: The video.
        span: What of it.
        target: The file to write, under any name; removed where the cut fails.
        coding: How pictures are encoded.
        name: The file name that `target` will have, whose ending says the container.
        mode: "smart" copies whole groups of pictures where the stream allows it.
        engine: What encodes exact cuts; the frames, times and size are the same with either.
        sound: Copy the first sound track, whole packets within the span.

    Raises:
        UnusableError: The video cannot be cut.
        OSError: The disk is full, or the like.
    """
    silent = target.with_name(target.name + ".silent" + target.suffix) if sound else target
    try:
        container = container_of(name)
        source = look(path)
        extent, pictures, done, why = _pictures(source, span, silent, container, coding, mode, engine)
        codec = _add_sound(source, span, silent, target, container, pictures) if sound else ""
    except av.error.FFmpegError as error:
        target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise
        raise UnusableError("unsupported", f"cannot be encoded: {told(error)}") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        if sound:
            silent.unlink(missing_ok=True)
    return Cut(
        mode=done,
        why=why,
        short=_short(source, span, extent),
        frames=len(pictures.times),
        fps=_rate(pictures, source.rate if coding.fps is None else coding.fps),
        width=pictures.width,
        height=pictures.height,
        duration_s=pictures.duration_s,
        sound=codec,
    )


def _pictures(
    source: Source, span: Span, target: Path, container: str, coding: Coding, mode: Mode, engine: Engine
) -> tuple[Extent, Pictures, Mode, str]:
    why = ""
    if mode == "smart":
        try:
            return *smart_cut(source, span, target, container, coding), "smart", ""
        except NotSmart as reason:
            why = str(reason)
    make = ffmpeg.recode if engine == "ffmpeg" else recode.recode
    return *make(source, span, target, container, coding), "exact", why


def _rate(pictures: Pictures, named: Fraction) -> Fraction:
    """The rate by its name, as 30000/1001, where what was measured is the same but for rounded times."""
    same = len(pictures.times) == 1 or abs(pictures.fps / named - 1) < _SAME_RATE
    return named if same else pictures.fps.limit_denominator(1_000_000)


def _short(source: Source, span: Span, extent: Extent) -> str:
    """What is there of a span that the video does not fill, by more than a frame; empty where it does."""
    if span.end_s is None or extent.went_past:
        return ""
    end_s = (extent.end - source.origin) * source.time_base
    missing_s = exact_s(span.end_s) - end_s
    if missing_s <= 1 / source.rate:
        return ""
    have, want = float(end_s) - span.start_s, span.end_s - span.start_s
    return f"the video ends at {float(end_s):.3f} s: {have:.3f} of {want:g} s are there"


def _add_sound(source: Source, span: Span, silent: Path, target: Path, container: str, pictures: Pictures) -> str:
    """Put the pictures of one file and the sound of another together; gives the sound's codec."""
    with av.open(str(source.path.absolute())) as heard:
        track = next(iter(heard.streams.audio), None)
        if track is None or track.codec_context is None:
            silent.replace(target)
            return ""
        codec = track.codec_context.name
        with (
            av.open(str(silent.absolute())) as seen,
            av.open(
                str(target.absolute()), "w", format=container, container_options=muxer(container, pictures.time_base)
            ) as out,
        ):
            try:
                streams = out.add_stream_from_template(seen.streams.video[0]), out.add_stream_from_template(track)
            except ValueError as error:
                raise UnusableError("unsupported", f"{container} takes no {codec} sound: cut without it") from error
            both = heapq.merge(_packets(seen.streams.video[0]), _heard(track, source, span), key=lambda pair: pair[0])
            for _, packet in both:
                packet.stream = streams[packet.stream.type == "audio"]
                out.mux(packet)
    recode.inspect(target, container, pictures.times, pictures.time_base)
    return codec


def _packets(stream: Stream) -> Iterator[tuple[float, Packet[Stream]]]:
    time_base = stream.time_base or Fraction(1)
    last = 0.0
    for packet in stream.container.demux(stream):  # type: ignore[attr-defined]
        if packet.size:
            last = last if packet.dts is None else float(packet.dts * time_base)
            yield last, packet


def _heard(track: Stream, source: Source, span: Span) -> Iterator[tuple[float, Packet[Stream]]]:
    """The sound's packets that begin within the span, with times from its start."""
    time_base = track.time_base or Fraction(1)
    start = source.origin * source.time_base + exact_s(span.start_s)
    shift = math.ceil(start / time_base)
    end = None if span.end_s is None else source.origin * source.time_base + exact_s(span.end_s)
    if span.start_s:
        # a second early, as sound may be stored behind the pictures
        place = math.floor((start - 1) / time_base)
        track.container.seek(max(place, 0), stream=track)  # type: ignore[attr-defined]
    for _, packet in _packets(track):
        if packet.pts is None or (span.start_s and packet.pts < shift):
            continue
        if end is not None and packet.pts * time_base >= end:
            if packet.pts * time_base >= end + 1:
                return
            continue
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        yield float(packet.pts * time_base), packet
