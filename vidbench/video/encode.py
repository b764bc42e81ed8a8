"""Write frames to an H.264 video in an mp4 file, with PyAV."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

__all__ = ["encode", "encode_lossless"]


def encode(
    path: Path,
    frames: Iterable[npt.NDArray[np.uint8]],
    fps: Fraction,
    *,
    crf: int = 18,
    preset: str = "veryfast",
    gop: int = 12,
) -> int:
    """Write ``frames`` to ``path`` as H.264 (yuv420p, no audio) and return how many there were.

    Args:
        path: The file to write; its folder must exist. The file appears under this name only when it is
            complete: until then it is ``path`` plus ``.part``, which is removed if anything fails.
        frames: RGB pictures of one size, each (height, width, 3) uint8, height and width even.
        fps: Frames per second; frame ``i`` is shown at exactly ``i / fps`` seconds.
        crf: x264's constant rate factor, 0 (lossless) to 51 (worst).
        preset: x264's speed preset.
        gop: The greatest distance between key frames, in frames.

    Raises:
        ValueError: There are no frames, or one has the wrong shape, type or size.
    """
    # x264's macroblock tree gives other bytes from run to run, even with one thread.
    options = {"crf": str(crf), "preset": preset, "g": str(gop), "mbtree": "0"}
    partial = path.with_name(path.name + ".part")
    try:
        count = _write(partial, frames, Fraction(fps), options)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return count


def encode_lossless(path: Path, frames: Iterable[npt.NDArray[np.uint8]], fps: Fraction) -> int:
    """Write ``frames`` to ``path`` as FFV1 in Matroska, without any loss, and return how many there were.

    Args:
        path: The file to write, as in `encode`.
        frames: RGB pictures of one size, each (height, width, 3) uint8.
        fps: Frames per second.

    Raises:
        ValueError: There are no frames, or one has the wrong shape or type.
    """
    partial = path.with_name(path.name + ".part")
    size: tuple[int, int] | None = None
    count = 0
    try:
        with av.open(str(partial), "w", format="matroska") as container:
            # RGB in another order: FFV1 has no other of 8 bits, and nothing is rounded
            stream = container.add_stream("ffv1", rate=Fraction(fps), options={"level": "3", "slicecrc": "1"})
            stream.pix_fmt = "bgr0"
            stream.thread_count = 1
            for count, picture in enumerate(frames, start=1):
                if size is None:
                    size = (picture.shape[0], picture.shape[1])
                    stream.height, stream.width = size
                _check(picture, size)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
                    format="bgr0"
                )
                frame.pts, frame.time_base = count - 1, 1 / Fraction(fps)
                container.mux(stream.encode(frame))
            if count == 0:
                raise ValueError("a video needs at least one frame")
            container.mux(stream.encode(None))
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return count


def _write(path: Path, frames: Iterable[npt.NDArray[np.uint8]], fps: Fraction, options: dict[str, str]) -> int:
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    _check(first, None)
    height, width = first.shape[:2]
    # The name ends in ".part", so the container cannot be guessed from it.
    # The movie's clock defaults to milliseconds, which would round the duration.
    clock = {"movie_timescale": str(fps.numerator)}
    with av.open(str(path), "w", format="mp4", options=clock) as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = 1 / fps
        # More threads would make the bytes depend on the machine.
        stream.thread_count = 1
        # One converter for the whole video: making one per frame costs more than the encoding.
        converter = VideoReformatter()
        count = 0
        picture: npt.NDArray[np.uint8] | None = first
        while picture is not None:
            _check(picture, (height, width))
            colour = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            # One thread: a frame is small, and waking the pool costs more than the conversion.
            frame = converter.reformat(colour, format="yuv420p", threads=1)
            frame.pts, frame.duration, frame.time_base = count, 1, 1 / fps
            container.mux(stream.encode(frame))
            count += 1
            picture = next(pictures, None)
        container.mux(stream.encode(None))
    return count


def _check(picture: npt.NDArray[np.uint8], size: tuple[int, int] | None) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a frame must be (height, width, 3) uint8, not {picture.shape} {picture.dtype}")
    if size is None and (picture.shape[0] % 2 or picture.shape[1] % 2):
        raise ValueError(f"H.264 in yuv420p needs an even height and width, not {picture.shape[:2]}")
    if size is not None and picture.shape[:2] != size:
        raise ValueError(f"every frame must be {size}, like the first one, not {picture.shape[:2]}")
