"""The exact cut by the ffmpeg command line: the one file that runs it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from pathlib import Path

from vidbench.errors import MissingError
from vidbench.video.clip import UnusableError
from vidbench.video.recode import Coding, Pictures, beyond, encoder, inspect, muxer, out_clock, retimed, steps
from vidbench.video.span import Extent, Frames, Source, Span, exact_s, extent_of
from vidbench.video.wholeness import is_cut_off

NEEDED = (5, 1)
"""The oldest release that knows all options that are given here."""

_REMEDY = "Install ffmpeg, as with `apt install ffmpeg`, or leave out --engine ffmpeg: PyAV makes the same frames."
_UNKNOWN_COLOUR = 2


def require_ffmpeg() -> str:
    """The release of the ffmpeg that will be run, as "5.1.9".

    Raises:
        MissingError: There is none, or it is too old.
    """
    if shutil.which("ffmpeg") is None:
        raise MissingError("--engine ffmpeg: no ffmpeg on the path", _REMEDY)
    done = subprocess.run(["ffmpeg", "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    match = re.match(r"ffmpeg version (\S+)", done.stdout)
    if done.returncode or not match:
        raise MissingError("--engine ffmpeg: the ffmpeg on the path does not run", _REMEDY)
    # builds from a working copy have no number
    number = re.match(r"n?(\d+)\.(\d+)", match[1])
    if number and (int(number[1]), int(number[2])) < NEEDED:
        raise MissingError(f"--engine ffmpeg: ffmpeg {match[1]} is older than {NEEDED[0]}.{NEEDED[1]}", _REMEDY)
    return match[1]


def recode(source: Source, span: Span, target: Path, container: str, coding: Coding) -> tuple[Extent, Pictures]:
    """Decode a span and encode it into `target`; the frames, times and size of `vidbench.video.recode.recode`.

    Raises:
        UnusableError: A frame of the span cannot be decoded, there is none, or it cannot be encoded.
        OSError: The disk is full.
    """
    first, last = source.ticks(span)
    extent = extent_of(source, first, last)
    if not extent.times:
        raise UnusableError("empty", beyond(span))
    for seek in (True, False) if span.start_s and source.indexed else (False,):
        words = command(source, span, extent, target, container, coding, seek=seek)
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode == 0:
            break
        problem = _problem(done.stderr)
        if "No space left on device" in problem:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    else:
        raise UnusableError("truncated" if is_cut_off(source.path) else "corrupt", f"ffmpeg: {problem}")
    return extent, _checked(source, span, extent, target, container, coding)


def command(
    source: Source, span: Span, extent: Extent, target: Path, container: str, coding: Coding, *, seek: bool
) -> list[str]:
    """The words of the command line; `seek` begins at the key frame before the span, not at the file's start."""
    time_base, _ = out_clock(source, coding)
    chain = ",".join(
        f"{name}={args}" if args else name for name, args in steps(source, span, extent, coding, container)
    )
    name, options = encoder(coding, container)
    words = ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-copyts"]
    words += ["-threads", "1"]
    if seek:
        words += ["-noaccurate_seek", "-ss", f"{float(exact_s(span.start_s)):.6f}"]
    words += ["-i", str(source.path.absolute()), "-map", f"0:{source.index}", "-map_metadata", "-1"]
    words += ["-map_chapters", "-1", "-vf", chain, "-autoscale", "0", "-fps_mode", "passthrough"]
    words += ["-enc_time_base", f"{time_base.numerator}:{time_base.denominator}"]
    words += ["-c:v", name, "-threads:v", "1"]
    for option, value in options.items():
        words += [f"-{option}:v", value]
    marks = zip(("color_primaries", "color_trc", "colorspace"), source.colour[1:], strict=True)
    for option, number in marks:
        if number != _UNKNOWN_COLOUR:
            words += [f"-{option}:v", str(number)]
    for option, value in muxer(container, time_base).items():
        words += [f"-{option}", value]
    return [*words, "-f", container, "-y", str(target.absolute())]


def _checked(source: Source, span: Span, extent: Extent, target: Path, container: str, coding: Coding) -> Pictures:
    """The new file, which must hold every frame of the span; what the packets promise, decoding decides."""
    time_base, _ = out_clock(source, coding)
    expected = retimed(source, span, extent, coding, container)
    try:
        return inspect(target, container, expected, time_base)
    except UnusableError:
        frames = Frames(source, *source.ticks(span))
        for _ in frames:
            pass
        if frames.extent.times == extent.times:
            raise
        return inspect(target, container, retimed(source, span, frames.extent, coding, container), time_base)


def _problem(stderr: bytes) -> str:
    """The first complaint of ffmpeg; later ones follow from it."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    full = next((line for line in lines if "No space left on device" in line), None)
    return full or (re.sub(r"^\[[^]]*\] ", "", lines[0]) if lines else "no reason given")
