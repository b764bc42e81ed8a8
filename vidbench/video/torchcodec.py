"""Decoding by TorchCodec: the one file that imports it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidbench.errors import MissingError
from vidbench.video.clip import Frames, VideoError
from vidbench.video.decoder import Decoder, Wanted
from vidbench.video.fit import Fit
from vidbench.video.gather import gather
from vidbench.video.pyav import probe

CHUNK = 16
"""Frames that are decoded at a time: more would only take memory."""


def load() -> Decoder:
    """The decoder, once the library is known to load.

    Raises:
        ModuleNotFoundError: TorchCodec is not installed.
        MissingError: It is, and does not load, as without FFmpeg's libraries.
    """
    _library()
    return decode


def decode(path: Path, wanted: Wanted, fit: Fit | None = None) -> Frames:
    """Decode a video and keep the frames that `wanted` names, in the size of `fit`; see `Decoder`.

    Codec, size and frame rate are the container's as PyAV reads it, so that every decoder samples by the same
    facts; frames are counted as TorchCodec returns them.
    """
    info = probe(path)
    return gather(info, wanted, lambda: _play(path), fit)


def _library() -> Any:
    try:
        from torchcodec import decoders
    except ModuleNotFoundError:
        raise
    except Exception as error:
        # its own text is a page of every FFmpeg version that it tried
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise MissingError(
            f"decoder 'torchcodec' cannot load: {first}",
            "It needs FFmpeg's shared libraries (Debian: apt install ffmpeg) and a torch of its own version.",
        ) from error
    return decoders


def _play(path: Path) -> Iterator[NDArray[np.uint8]]:
    count = 0
    try:
        # one thread: callers decode several videos at a time
        decoder = _library().VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
        total = len(decoder)
        # it turns frames as the display should; ours are as coded
        turns = round(float(getattr(decoder.metadata, "rotation", None) or 0) / 90)
        for start in range(0, total, CHUNK):
            batch = decoder.get_frames_in_range(start, min(start + CHUNK, total)).data.numpy()
            for frame in batch:
                yield np.rot90(frame, -turns) if turns % 4 else frame
                count += 1
    except (RuntimeError, ValueError, IndexError) as error:
        raise VideoError(f"torchcodec stops after {count} frames: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    # "function, /path/of/the/build.cpp:41, the message"
    text = " ".join(str(error).split())
    return text.split(".cpp:", 1)[-1].partition(", ")[2] or text or type(error).__name__
