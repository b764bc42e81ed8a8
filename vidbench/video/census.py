"""One video, judged: what its container claims, what decodes, and what kind of file that makes it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vidbench.video.clip import VideoError
from vidbench.video.decoder import DECODERS
from vidbench.video.gather import NoFramesError
from vidbench.video.stream import picture_stream
from vidbench.video.wholeness import missing_bytes, why_unopened

Level = Literal["quick", "sampled", "full"]
SAMPLES = 5
"""Keyframes that level `sampled` decodes, first and last among them; after the last it goes on to the end."""
STRICT = {"err_detect": "explode"}
"""Without it FFmpeg conceals damage and returns every frame of a video with flipped bits."""

_LARGEST_SIDE = 16384
_LARGEST_FPS = 1000
# the video as such is readable, this FFmpeg lacks what it takes
_LACKING = (av.error.DecoderNotFoundError, av.error.PatchWelcomeError)


@dataclass(frozen=True)
class Census:
    """What a file turned out to be.

    Attributes:
        kind: One of `vidbench.formats.manifest.CLASSES`, but for `short` and `duplicate`, which are not about
            one file alone.
        detail: Why, in a few words.
        frames: Frames decoded without damage (level full), else frames in the container; None where it did not open.
        declared: Frames that the container claims, None where it claims none.
        fps: Average frames per second.
        width: Pixels, as coded.
        height: Pixels, as coded.
        codec: FFmpeg's name.
    """

    kind: str
    detail: str = ""
    frames: int | None = None
    declared: int | None = None
    fps: Fraction | None = None
    width: int | None = None
    height: int | None = None
    codec: str | None = None

    @property
    def duration_s(self) -> float | None:
        """Seconds: frames over fps."""
        return round(float(self.frames / self.fps), 6) if self.frames is not None and self.fps else None


@dataclass
class _Pass:
    """What one walk through the packets of a stream found."""

    packets: int = 0
    hidden: int = 0
    decoded: int = 0
    damaged: int = 0
    interlaced: bool = False
    error: BaseException | None = None
    cut: BaseException | None = None


def take(path: Path, level: Level = "full", decoder: str = "pyav") -> Census:
    """Check a video.

    `quick` opens the file and counts its packets: it finds what is empty, cut off or no video. `sampled` decodes at
    some keyframes besides. `full` decodes every frame, strictly, by one thread, so that the answer does not depend
    on the machine; a decoder other than PyAV then has to return as many frames.

    What it cannot find: a flipped bit that decodes, which VP9 and AV1 have more of than H.264. The sha256 of a
    manifest finds those.

    Raises:
        MissingError: `decoder` is not installed or does not load.
    """
    if not path.is_file():
        return Census("missing", "no such file" if not path.exists() else "not a file")
    if path.stat().st_size == 0:
        return Census("empty", "zero bytes")
    gone = missing_bytes(path)
    try:
        with av.open(str(path), mode="r") as container:
            found = _container(container, level, gone)
    except VideoError as error:
        return Census("unsupported", str(error))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        return Census(*why_unopened(path, error))
    if level == "full" and decoder != "pyav" and found.kind in ("ok", "vfr"):
        return _second(path, found, decoder)
    return found


def _container(container: InputContainer, level: Level, gone: str) -> Census:
    if not len(container.streams):
        return Census("truncated", gone) if gone else Census("empty", "a container without streams")
    stream = picture_stream(container)
    if stream is None or container.format.name.endswith("_pipe") or container.format.name in ("image2", "tty"):
        kinds = sorted({"picture" if one.type == "video" else one.type for one in container.streams})
        return Census("no_video", f"no video, only {' and '.join(kinds)}")
    if stream.codec_context is None:
        raise VideoError("no decoder for its codec")
    context = stream.codec_context
    context.options = dict(STRICT)
    context.thread_count = 1
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    fps = Fraction(rate) if rate and rate > 0 else None
    found = _Pass()
    times: list[int] = []
    keys: list[int] = []
    _walk(container, stream, found, times, keys, decode=level == "full")
    if level == "sampled" and found.packets and found.error is None:
        _sample(container, stream, found, keys)
    shown = found.packets - found.hidden
    facts = Census(
        "ok",
        "",
        found.decoded if level == "full" else shown,
        stream.frames or None,
        fps,
        context.width or None,
        context.height or None,
        # "av1", where the name is that of the library which decodes it
        context.codec.canonical_name,
    )
    kind, detail = _judge(facts, found, gone, level)
    if kind == "ok" and (uneven := _uneven(times)):
        kind, detail = "vfr", uneven
    return Census(kind, detail, facts.frames, facts.declared, fps, facts.width, facts.height, facts.codec)


def _walk(
    container: InputContainer, stream: VideoStream, found: _Pass, times: list[int], keys: list[int], *, decode: bool
) -> None:
    try:
        for packet in container.demux(stream):
            if packet.size:
                found.packets += 1
                found.hidden += packet.is_discard
                if packet.pts is not None and not packet.is_discard:
                    times.append(packet.pts)
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
            if decode and found.error is None:
                with _faults(found):
                    for frame in packet.decode():
                        found.damaged += frame.is_corrupt
                        found.decoded += not frame.is_corrupt
                        found.interlaced |= frame.interlaced_frame
    except (av.error.FFmpegError, OSError) as error:
        found.cut = error
    if decode and (found.error is not None or found.cut is not None) and stream.codec_context.is_open:
        # frames that came before the fault may still wait in the decoder
        with _faults(_Pass()):
            late = [frame for frame in stream.codec_context.decode(None) if not frame.is_corrupt]
            found.decoded += len(late)


def _sample(container: InputContainer, stream: VideoStream, found: _Pass, keys: list[int]) -> None:
    last = len(keys) - 1
    spots = sorted({round(last * number / (SAMPLES - 1)) for number in range(SAMPLES)}) if keys else []
    for spot in spots:
        with _faults(found):
            container.seek(keys[spot], stream=stream, backward=True)
            for frame in container.decode(stream):
                found.damaged += frame.is_corrupt
                found.decoded += not frame.is_corrupt
                if spot != last:
                    break
        if found.error is not None:
            return


@contextmanager
def _faults(found: _Pass) -> Iterator[None]:
    try:
        yield
    except av.error.EOFError:
        return
    except (av.error.FFmpegError, ValueError) as error:
        found.error = error


def _judge(facts: Census, found: _Pass, gone: str, level: Level) -> tuple[str, str]:
    packets, declared = found.packets, facts.declared or 0
    total = max(packets, declared)
    if gone or packets < declared:
        there = facts.frames if level == "full" else packets
        of = f" of {total}" if declared else ""
        return "truncated", ", ".join(part for part in (f"{there}{of} frames are there", gone) if part)
    if found.cut is not None:
        return "corrupt", f"the container is damaged after {packets} frames: {_reason(found.cut)}"
    if packets == 0:
        return "empty", "a video stream without frames"
    if isinstance(found.error, _LACKING) or (level != "quick" and not (found.decoded or found.damaged or found.error)):
        told = f"not decoded: {_reason(found.error)}" if found.error else "no frame was returned, and no error"
        return "unsupported", f"{facts.codec}: {told}"
    if found.error is not None:
        where = f"after {found.decoded} of {total} frames" if level == "full" else "at a sampled frame"
        return "corrupt", f"decoding fails {where}: {_reason(found.error)}"
    if found.damaged:
        return "corrupt", f"{found.damaged} of {total} frames are damaged"
    shown = packets - found.hidden
    # the two fields of an interlaced frame may be packets of their own
    if level == "full" and found.decoded * (2 if found.interlaced else 1) < shown:
        return "corrupt", f"{found.decoded} of {shown} frames decode"
    if not facts.width or not facts.height or max(facts.width, facts.height) > _LARGEST_SIDE:
        return "corrupt", f"a frame size of {facts.width}x{facts.height}"
    if facts.fps is None or facts.fps > _LARGEST_FPS:
        return "corrupt", "no frame rate" if facts.fps is None else f"a frame rate of {float(facts.fps):g}"
    return "ok", ""


def _uneven(times: list[int]) -> str:
    """How frame times stray from an even rate, in words; empty where they do not.

    Containers round times, so an interval counts from half as far again as the usual one, and a slow drift from
    one frame.
    """
    times = sorted(times)
    steps = [after - before for before, after in pairwise(times)]
    if len(steps) < 2:
        return ""
    usual = statistics.median(steps)
    odd = sum(not 0.5 * usual <= step <= 1.5 * usual for step in steps)
    # clocks too coarse for the rate: 1/30 s in steps of 1/50 s
    if usual >= 3 and odd:
        return f"variable frame rate: {odd} of {len(steps)} intervals are not the usual one"
    mean = (times[-1] - times[0]) / len(steps)
    drift = max(abs(time - times[0] - mean * number) for number, time in enumerate(times))
    return f"variable frame rate: frames are up to {drift / mean:.1f} intervals off" if drift > mean else ""


def _second(path: Path, found: Census, name: str) -> Census:
    """The same video by the decoder that will be used: it has to return what PyAV returned."""

    def unlike(detail: str, frames: int) -> Census:
        return Census(
            "unsupported", detail, frames, found.declared, found.fps, found.width, found.height, found.codec
        )  # fmt: skip

    try:
        frames = DECODERS.get(name)(path, lambda info: (0,)).info.frames
    except NoFramesError:
        return unlike(f"{name} returns none of {found.frames} frames, and no error", 0)
    except VideoError as error:
        return unlike(str(error) if str(error).startswith(name) else f"{name}: {error}", 0)
    return found if frames == found.frames else unlike(f"{name} returns {frames} of {found.frames} frames", frames)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).splitlines()[0] if text else type(error).__name__
