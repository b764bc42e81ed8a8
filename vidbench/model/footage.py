"""Decoded videos for training: kept in memory while they fit, and cut into random clips."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.model.zoo import Preprocess
from vidbench.video.clip import VideoError, VideoInfo
from vidbench.video.decoder import Decoder
from vidbench.video.sampling import random_view, scaled_size, spatial_crop, temporal_views
from vidbench.video.transforms import scale


@dataclass(frozen=True)
class Footage:
    """All frames of one video, scaled down for training.

    Attributes:
        info: The video.
        images: `(frames, 3, H, W)` uint8, shorter side at most the store's.
    """

    info: VideoInfo
    images: Tensor

    def random_clip(self, preprocess: Preprocess, jitter: float, flip: float, generator: torch.Generator) -> Tensor:
        """A clip at a random time, scale and place: `(3, T, S, S)` float32 in [0, 1].

        The short side is uniform in [crop, jitter * crop] and one scale, crop and flip serve all
        frames of the clip.
        """
        draw = torch.rand(5, generator=generator).tolist()
        indices = random_view(
            self.info.frames, self.info.fps, preprocess.frames, preprocess.stride, draw[0], preprocess.target_fps
        )
        short_side = round(preprocess.crop * (1 + draw[1] * (jitter - 1)))
        images = _scaled(self.images[list(indices)], short_side)
        left = int(draw[2] * (images.shape[3] - preprocess.crop + 1))
        top = int(draw[3] * (images.shape[2] - preprocess.crop + 1))
        images = images[:, :, top : top + preprocess.crop, left : left + preprocess.crop]
        if draw[4] < flip:
            images = images.flip(3)
        return images.transpose(0, 1)

    def centre_clip(self, preprocess: Preprocess) -> Tensor:
        """The single view of the test protocol, from the scaled-down frames: `(3, T, S, S)`."""
        (indices,) = temporal_views(
            self.info.frames, self.info.fps, preprocess.frames, preprocess.stride, 1, preprocess.target_fps
        )
        images = _scaled(self.images[list(indices)], preprocess.short_side)
        left, top, right, bottom = spatial_crop(images.shape[3], images.shape[2], preprocess.crop, 1)
        return images[:, :, top:bottom, left:right].transpose(0, 1)


def _scaled(images: Tensor, short_side: int) -> Tensor:
    width, height = scaled_size(images.shape[3], images.shape[2], short_side)
    floats = images.float().div_(255.0)
    if (height, width) == tuple(images.shape[2:]):
        return floats
    return functional.interpolate(floats, size=(height, width), mode="bilinear", align_corners=False)


class FootageStore:
    """Decodes videos once and keeps them while memory lasts; safe to use from several threads.

    Args:
        decode: The decoder.
        short_side: Pixels that larger videos are scaled down to before they are kept.
        budget: Bytes of frames to keep; videos beyond it are decoded each time they are asked for.
    """

    def __init__(self, decode: Decoder, short_side: int, budget: int) -> None:
        self._decode, self._short_side, self._budget = decode, short_side, budget
        self._kept: dict[Path, Footage | VideoError] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def footage(self, path: Path) -> Footage:
        """The frames of a video.

        Raises:
            VideoError: It cannot be decoded; the second call says so without trying again.
        """
        found = self._kept.get(path)
        if isinstance(found, VideoError):
            raise found
        if found is not None:
            return found
        try:
            footage = self._read(path)
        except VideoError as error:
            self._kept[path] = error
            raise
        size = footage.images.nbytes
        with self._lock:
            if self._bytes + size <= self._budget and path not in self._kept:
                self._kept[path] = footage
                self._bytes += size
        return footage

    def _read(self, path: Path) -> Footage:
        frames = self._decode(path, lambda info: range(info.frames))
        height, width = frames.data.shape[1:3]
        if min(height, width) <= self._short_side:
            return Footage(frames.info, torch.from_numpy(frames.data).permute(0, 3, 1, 2).contiguous())
        images = scale(frames, self._short_side)
        return Footage(frames.info, images.mul_(255.0).round_().to(torch.uint8))
