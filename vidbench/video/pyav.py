"""Decoding by PyAV: chosen frames of a video for models, and its facts."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidbench.video.clip import Frames, VideoError, VideoInfo
from vidbench.video.decoder import ONE_THREAD, Wanted
from vidbench.video.fit import Fit, pixels
from vidbench.video.stream import picture_stream


def probe(path: Path) -> VideoInfo:
    """The facts of the best video stream, as FFmpeg chooses it, without decoding; frames are counted by their packets.

    Raises:
        VideoError: No such file, not a video, no video stream, or cut off.
    """
    with _open(path) as container:
        return _info(path, container)


def decode(path: Path, wanted: Wanted, fit: Fit | None = None) -> Frames:
    """Decode a video once and keep the frames that `wanted` names, in the size of `fit`; see `Decoder`."""
    with _open(path) as container:
        info = _info(path, container)
    indices = _checked(wanted(info), info)
    # opened again rather than rewound: a bare stream, as of an .h264 file, has no index to seek by
    with _open(path) as container:
        data, count = _decode_pass(container, info, indices, fit)
    if count != info.frames:
        # edit lists and hidden frames make packets and frames differ; decoding is what counts
        if count == 0:
            raise VideoError(f"no frame of {info.frames} could be decoded")
        info = VideoInfo(info.path, info.codec, info.width, info.height, info.fps, count)
        again = _checked(wanted(info), info)
        if again != indices:
            indices = again
            with _open(path) as container:
                data, _ = _decode_pass(container, info, indices, fit)
    assert data is not None
    return Frames(info, indices, data)


def _checked(indices: object, info: VideoInfo) -> tuple[int, ...]:
    chosen = tuple(sorted(set(indices)))  # type: ignore[call-overload]
    if not chosen or chosen[0] < 0 or chosen[-1] >= info.frames:
        raise ValueError(f"indices must lie in [0, {info.frames}), got {chosen[:1]} to {chosen[-1:]}")
    return chosen


def _open(path: Path) -> InputContainer:
    if not path.is_file():
        raise VideoError("no such file")
    if path.stat().st_size == 0:
        raise VideoError("empty file (zero bytes)")
    try:
        return av.open(str(path), mode="r")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"not a readable video: {_reason(error)}") from error


def _info(path: Path, container: InputContainer) -> VideoInfo:
    stream = _stream(container)
    packets = 0
    try:
        for packet in container.demux(stream):
            # a packet without bytes is the flush at the end
            packets += packet.size > 0
    except av.error.FFmpegError as error:
        raise VideoError(f"cut off or damaged: {_reason(error)}") from error
    if packets == 0:
        raise VideoError("a video stream without frames")
    if stream.frames > packets:
        raise VideoError(f"cut off: {packets} of {stream.frames} frames are there")
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    if not rate or rate <= 0:
        raise VideoError("no frame rate")
    context = stream.codec_context
    return VideoInfo(path, context.name, context.width, context.height, Fraction(rate), packets)


def _stream(container: InputContainer) -> VideoStream:
    stream = picture_stream(container)
    if stream is None:
        raise VideoError("no video stream")
    if stream.codec_context is None:
        raise VideoError("no decoder for its codec")
    stream.thread_type = "NONE" if ONE_THREAD.items() <= os.environ.items() else "AUTO"
    return stream


def _decode_pass(
    container: InputContainer, info: VideoInfo, wanted: tuple[int, ...], fit: Fit | None
) -> tuple[NDArray[Any] | None, int]:
    """The wanted frames, in one array, and the number of frames that there are."""
    rows = {index: row for row, index in enumerate(wanted)}
    data: NDArray[Any] | None = None
    count = 0
    size: tuple[int, int] | None = None
    scaler = VideoReformatter()
    try:
        for frame in container.decode(_stream(container)):
            if frame.is_corrupt:
                raise VideoError(f"frame {count} is damaged")
            if count in rows:
                size = size or (frame.width, frame.height)
                if (frame.width, frame.height) != size:
                    raise VideoError(f"the frame size changes at frame {count}")
                # one scaler for all frames: `to_ndarray` makes one for each, which took half of the time
                image = (
                    pixels(scaler.reformat(frame, format="rgb24", threads=1))
                    if fit is None
                    else fit.frame(frame, scaler)
                )
                if data is None:
                    data = np.empty((len(rows), *image.shape), image.dtype)
                data[rows[count]] = image
            count += 1
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"decoding stops after {count} of {info.frames} frames: {_reason(error)}") from error
    return data, count


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).splitlines()[0] if text else type(error).__name__
