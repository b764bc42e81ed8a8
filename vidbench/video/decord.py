"""Decoding by decord: the one file that imports it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vidbench.errors import MissingError
from vidbench.video.clip import Frames, VideoError
from vidbench.video.decoder import Decoder, Wanted
from vidbench.video.fit import Fit
from vidbench.video.gather import gather
from vidbench.video.pyav import probe


def load() -> Decoder:
    """The decoder, once the library is known to load.

    Raises:
        ModuleNotFoundError: decord is not installed.
        MissingError: It is, and does not load.
    """
    _library()
    return decode


def decode(path: Path, wanted: Wanted, fit: Fit | None = None) -> Frames:
    """Decode a video and keep the frames that `wanted` names, in the size of `fit`; see `Decoder`.

    Codec, size and frame rate are the container's as PyAV reads it, so that every decoder samples by the same
    facts; frames are counted as decord returns them.
    """
    info = probe(path)
    if _is_turned(path):
        # it turns frames for display, and then gives (64, 48, 4) for some sizes: rows with their padding
        raise VideoError("a display rotation, which decord reads wrongly for some frame sizes")
    return gather(info, wanted, lambda: _play(path), fit)


def _library() -> Any:
    try:
        import decord
    except ModuleNotFoundError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise MissingError(
            f"decoder 'decord' cannot load: {first}", "Take another decoder: its last release is of 2021."
        ) from error
    # else its FFmpeg prints every fault of a video to stderr
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _is_turned(path: Path) -> bool:
    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0), None)
            return frame is not None and frame.rotation != 0
    except av.error.FFmpegError:
        return False


def _play(path: Path) -> Iterator[NDArray[np.uint8]]:
    library = _library()
    count = 0
    try:
        reader = library.VideoReader(str(path), num_threads=1)
        for _ in range(len(reader)):
            frame: NDArray[np.uint8] = reader.next().asnumpy()
            yield frame
            count += 1
    except StopIteration:
        return
    except (RuntimeError, ValueError, IndexError, library.DECORDError) as error:
        raise VideoError(f"decord stops after {count} frames: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = str(error)
    if "cannot find video stream" in text:
        # what it says of a codec that its FFmpeg does not have
        return "it finds no video stream that it can decode"
    # "[12:08:42] /path/of/the/build.cc:151: the message"
    first = (text.splitlines() or [""])[0]
    return first.split(".cc:", 1)[-1].partition(": ")[2] or first or type(error).__name__
