"""Frames of videos for training: whole short videos are kept in memory while it lasts, of others what a clip needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidbench.data.clips import ClipItem, decode_item
from vidbench.video.clip import VideoError, VideoInfo
from vidbench.video.decoder import Decoder
from vidbench.video.fit import Fit, bilinear

Choice = Callable[[VideoInfo], Sequence[int]]
"""The frames of a clip, in its order, with repeats; the same each time it is asked of the same video."""

_WHOLE = 8
"""A video is kept whole where it takes at most one part in so many of the memory."""


@dataclass(frozen=True)
class Footage:
    """Frames of one video.

    Attributes:
        info: The video, with the number of frames that decoding found.
        indices: Which frames, one for each image.
        images: `(n, 3, H, W)` uint8 RGB, its memory channels-last; the shorter side at most the store's.
    """

    info: VideoInfo
    indices: tuple[int, ...]
    images: Tensor


@dataclass(frozen=True)
class Shrunk(Fit):
    """Frames whose shorter side is above `short_side` get it, bilinear and rounded; smaller ones stay as they are."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that frames of such a size get."""
        return (width, height) if min(width, height) <= self.short_side else super().size(width, height)

    def image(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """An `(H, W, 3)` uint8 image, in memory of its own."""
        height, width = image.shape[:2]
        wanted = self.size(width, height)
        if wanted == (width, height):
            return image.copy()
        scaled = bilinear(image, *wanted)
        return np.rint(scaled, out=scaled).astype(np.uint8)


class FootageStore:
    """Reads the frames of clips and keeps what will be wanted again; safe to use from several threads.

    What is kept and what is read anew are the same numbers: frames are scaled one by one as they leave the decoder.

    Args:
        decode: The decoder of videos.
        short_side: Pixels that the shorter side of larger frames is scaled down to.
        budget: Bytes of frames to keep. A video that takes more than an eighth of it, or that does not fit in with
            those kept before, is read for each clip anew, and of it the clip's frames alone are scaled and held.
    """

    def __init__(self, decode: Decoder, short_side: int, budget: int) -> None:
        self._decode, self._budget = decode, budget
        self._fit = Shrunk(short_side, "exact")
        self._whole: dict[Path, Footage | VideoError] = {}
        self._clips: dict[Path, Footage] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def clip(self, item: ClipItem, chosen: Choice, again: bool = False) -> Footage:
        """The frames of a clip, in the order of `chosen`.

        Args:
            item: A video, an image, or the rows of a frame list.
            chosen: Which frames.
            again: These very frames will be asked for again: they are kept rather than the whole video.

        Raises:
            VideoError: It cannot be read; the second call says so without trying again.
        """
        held = self._whole.get(item.path)
        if isinstance(held, VideoError):
            raise held
        if held is None and again:
            held = self._clips.get(item.path)
        if held is not None:
            indices = tuple(chosen(held.info))
            if set(indices) <= set(held.indices):
                return _taken(held, indices)
        try:
            read = self._read(item, chosen, again)
        except VideoError as error:
            self._whole[item.path] = error
            raise
        self._keep(item.path, read, again)
        return _taken(read, tuple(chosen(read.info)))

    def _read(self, item: ClipItem, chosen: Choice, again: bool) -> Footage:
        def wanted(info: VideoInfo) -> Sequence[int]:
            width, height = self._fit.size(info.width, info.height)
            size = info.frames * width * height * 3
            whole = size <= self._budget // _WHOLE and self._bytes + size <= self._budget
            return range(info.frames) if whole and not again else chosen(info)

        frames = decode_item(item, wanted, self._decode, self._fit)
        return Footage(frames.info, frames.indices, torch.from_numpy(frames.data).permute(0, 3, 1, 2))

    def _keep(self, path: Path, read: Footage, again: bool) -> None:
        if not again and len(read.indices) < read.info.frames:
            return
        kept: dict[Path, Any] = self._clips if again else self._whole
        with self._lock:
            if self._bytes + read.images.nbytes <= self._budget and path not in kept:
                kept[path] = read
                self._bytes += read.images.nbytes


def _taken(held: Footage, indices: tuple[int, ...]) -> Footage:
    at = {index: row for row, index in enumerate(held.indices)}
    return Footage(held.info, indices, held.images[[at[index] for index in indices]])
