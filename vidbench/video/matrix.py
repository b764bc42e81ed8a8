"""Tiny clips in every codec, and how many of their frames each decoder returns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from vidbench.errors import MissingError
from vidbench.video.clip import VideoError
from vidbench.video.decoder import DECODERS
from vidbench.video.gather import NoFramesError

FRAMES = 30
SIZE = (64, 48)


@dataclass(frozen=True)
class Codec:
    """A codec of the matrix.

    Attributes:
        name: As people write it.
        encoders: FFmpeg's encoders, the first that is there is taken.
        file: The clip's file name.
        options: Of the encoder.
    """

    name: str
    encoders: tuple[str, ...]
    file: str
    options: tuple[tuple[str, str], ...] = ()


CODECS = (
    Codec("H.264", ("libx264", "libopenh264"), "h264.mp4"),
    Codec("HEVC", ("libx265",), "hevc.mp4", (("x265-params", "log-level=none"), ("preset", "ultrafast"))),
    Codec("VP9", ("libvpx-vp9",), "vp9.webm", (("cpu-used", "8"), ("deadline", "realtime"))),
    Codec("AV1", ("libsvtav1", "libaom-av1"), "av1.mp4"),
)


@dataclass(frozen=True)
class Cell:
    """One place of the matrix: a decoder at a clip."""

    codec: str
    path: str
    decoder: str


def render(codec: Codec, folder: str) -> str:
    """Write a clip of `FRAMES` frames into a folder; gives why not, or nothing."""
    # SVT-AV1 prints its settings to stderr
    os.environ.setdefault("SVT_LOG", "1")
    name = next((name for name in codec.encoders if name in av.codecs_available and _encodes(name)), None)
    if name is None:
        return f"PyAV has no encoder {' or '.join(codec.encoders)}"
    width, height = SIZE
    try:
        with av.open(str(Path(folder) / codec.file), "w") as container:
            stream = container.add_stream(
                name, rate=30, options=dict(codec.options) if name == codec.encoders[0] else {}
            )
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for index in range(FRAMES):
                picture = np.full((height, width, 3), 40 + 5 * index, dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        return f"{name}: {error}"
    return ""


def count(cell: Cell) -> str:
    """What a decoder makes of a clip: "30/30", "0/30 (no error)", "error: ...", "not installed", "cannot load: ..."."""
    try:
        decode = DECODERS.get(cell.decoder)
    except MissingError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            return "not installed"
        return f"cannot load: {error.message.rpartition('cannot load: ')[2]}"
    try:
        found = decode(Path(cell.path), lambda info: (0,)).info.frames
    except NoFramesError:
        return f"0/{FRAMES} (no error)"
    except VideoError as error:
        return f"error: {error}"
    return f"{found}/{FRAMES}"


def _encodes(name: str) -> bool:
    try:
        return av.Codec(name, "w").is_encoder
    except ValueError:
        return False
