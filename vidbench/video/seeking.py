"""Reading a stretch of the same video again and again: from the key frame before it, to its last frame, and no more."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vidbench.video.clip import Frames, VideoInfo
from vidbench.video.decoder import ONE_THREAD, Wanted
from vidbench.video.fit import Fit, pixels
from vidbench.video.pyav import decode
from vidbench.video.stream import picture_stream


@dataclass(frozen=True)
class _Index:
    """Where the frames of a video are.

    Attributes:
        info: The video.
        times: Of the frames in the order that they are shown in, in ticks of the stream.
        keys: Which of them are key frames; ascending, the first is 0.
        mark: Size and time of change of the file.
    """

    info: VideoInfo
    times: Sequence[int]
    keys: Sequence[int]
    mark: tuple[int, int]


class Seeking:
    """PyAV as a `Decoder` that remembers videos: the same frames, with less decoding from the second time on.

    The first time a video is decoded to its end, so that it is known to be whole and its frames are counted. Later a
    stretch is decoded from the key frame before it. Every frame on the way has to carry the time that the index
    tells; where one does not, as in files whose frames carry no times, the video is decoded from its beginning. Safe
    to use from several threads.
    """

    def __init__(self) -> None:
        self._known: dict[Path, _Index | None] = {}

    def __call__(self, path: Path, wanted: Wanted, fit: Fit | None = None) -> Frames:
        """As `Decoder`."""
        index = self._known.get(path)
        if index is not None and index.mark == _mark(path):
            indices = tuple(sorted(set(wanted(index.info))))
            data = _stretch(path, index, indices, fit)
            if data is not None:
                return Frames(index.info, indices, data)
            self._known[path] = None
        frames = decode(path, wanted, fit)
        # a video that is kept whole is not asked for again
        if path not in self._known and len(frames.indices) < frames.info.frames:
            self._known[path] = _index(path, frames.info)
        return frames


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _index(path: Path, info: VideoInfo) -> _Index | None:
    """None where packets do not say at which times frames are shown."""
    mark = _mark(path)
    with av.open(str(path)) as container:
        stream = picture_stream(container)
        packets = [(packet.pts, packet.is_keyframe) for packet in container.demux(stream) if packet.size]
    if mark is None or len(packets) != info.frames or any(pts is None for pts, _ in packets):
        return None
    packets.sort()
    times = [int(pts) for pts, _ in packets if pts is not None]
    keys = array("q", (number for number, (_, key) in enumerate(packets) if key))
    if not keys or keys[0] != 0 or len(set(times)) < len(times):
        return None
    return _Index(info, _compact(times), keys, mark)


def _compact(times: list[int]) -> Sequence[int]:
    """The same numbers; evenly spaced ones, the most usual, take no memory."""
    step = times[1] - times[0] if len(times) > 1 else 1
    even = range(times[0], times[0] + step * len(times), step)
    return even if times == list(even) else array("q", times)


def _stretch(path: Path, index: _Index, indices: tuple[int, ...], fit: Fit | None) -> NDArray[Any] | None:
    """The frames, one array; None where the file does not give what the index tells."""
    first, last = indices[0], indices[-1]
    key = index.keys[bisect_right(index.keys, first) - 1]
    rows = {number: row for row, number in enumerate(indices)}
    data: NDArray[Any] | None = None
    scaler = VideoReformatter()
    due = key
    try:
        with av.open(str(path)) as container:
            stream = picture_stream(container)
            if stream is None:
                return None
            stream.thread_type = "NONE" if ONE_THREAD.items() <= os.environ.items() else "AUTO"
            if key:
                container.seek(index.times[key], stream=stream)
            for frame in container.decode(stream):
                if frame.pts is None:
                    return None
                if frame.pts < index.times[key]:
                    # shown before the key frame: it refers to what lies before it, too
                    continue
                size = (frame.width, frame.height)
                if frame.is_corrupt or frame.pts != index.times[due] or size != (index.info.width, index.info.height):
                    return None
                if due in rows:
                    image = (
                        pixels(scaler.reformat(frame, format="rgb24", threads=1))
                        if fit is None
                        else fit.frame(frame, scaler)
                    )
                    if data is None:
                        data = np.empty((len(rows), *image.shape), image.dtype)
                    data[rows[due]] = image
                due += 1
                if due > last:
                    return data
    except (av.error.FFmpegError, OSError):
        return None
    return None
