"""Frames handed from one process to another without being copied through a pipe."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidbench.video.clip import Frames, VideoError, VideoInfo

_LEAST = 1 << 20
# of this process: what it parked last
_held: list[int] = []


@dataclass(frozen=True)
class Parked:
    """Frames in memory that another process may map.

    The memory is a file without a name (`memfd_create`), not a part of /dev/shm, which containers keep small. It
    stays until the process that parked it parks the next frames or ends; who has mapped it keeps it.

    Attributes:
        info: As of `Frames`.
        indices: Likewise.
        shape: Of the array.
        dtype: Of the array, as numpy spells it.
        owner: The process.
        number: Its file descriptor.
    """

    info: VideoInfo
    indices: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    owner: int
    number: int

    def take(self) -> Frames:
        """The frames, in this process.

        Raises:
            VideoError: The process that parked them is gone.
        """
        try:
            file = os.open(f"/proc/{self.owner}/fd/{self.number}", os.O_RDWR)
        except OSError as error:
            raise VideoError(f"the decoder's process is gone: {error.strerror}") from None
        try:
            memory = mmap.mmap(file, 0)
        finally:
            os.close(file)
        data: np.ndarray[tuple[int, ...], Any] = np.frombuffer(memory, dtype=self.dtype).reshape(self.shape)
        return Frames(self.info, self.indices, data)


def park(frames: Frames) -> Frames | Parked:
    """Park frames for another process; small ones, and those of a system that cannot, stay as they are."""
    while _held:
        os.close(_held.pop())
    if frames.data.nbytes < _LEAST or not hasattr(os, "memfd_create") or not os.path.isdir("/proc/self/fd"):
        return frames
    number = os.memfd_create("frames", os.MFD_CLOEXEC)
    _held.append(number)
    # written rather than mapped: the kernel then fills whole pages, with no fault for each of them
    left = np.ascontiguousarray(frames.data).reshape(-1).view(np.uint8).data
    while left:
        left = left[os.write(number, left) :]
    return Parked(frames.info, frames.indices, frames.data.shape, frames.data.dtype.str, os.getpid(), number)
