"""A video as the clips of its views: decoded once, scaled once, cropped per view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vidbench.errors import UsageError
from vidbench.model.zoo import Preprocess
from vidbench.video.clip import VideoInfo
from vidbench.video.decoder import Decoder
from vidbench.video.sampling import Box, spatial_crop, spatial_places, temporal_views
from vidbench.video.transforms import clip_of, crop, scale


@dataclass(frozen=True)
class Views:
    """Temporal x spatial views of the test protocol, as "10x3"."""

    temporal: int
    spatial: int

    @classmethod
    def parse(cls, text: str) -> Views:
        """Read "KxC", K >= 1 temporal and C of 1 or 3 spatial views."""
        temporal, times, spatial = text.partition("x")
        if not times or not temporal.isdecimal() or spatial not in ("1", "3") or not 1 <= int(temporal) <= 100:
            raise UsageError(f"--views {text!r} is not KxC", "Say 10x3, 10x1, 1x1: K clips over time, 1 or 3 crops.")
        return cls(int(temporal), int(spatial))

    def __str__(self) -> str:
        return f"{self.temporal}x{self.spatial}"

    def side(self, preprocess: Preprocess) -> tuple[int, int]:
        """Short side and crop in pixels: PySlowFast scales to the test crop when it takes three crops."""
        if self.spatial == 1:
            return preprocess.short_side, preprocess.crop
        return preprocess.wide, preprocess.wide


@dataclass(frozen=True)
class VideoViews:
    """The views of one video.

    Attributes:
        info: The video.
        images: `(n, 3, H, W)` float32 in [0, 1]: the frames that any view needs, scaled.
        places: For each temporal view, where its frames are in `images`.
        boxes: For each spatial view, its crop.
    """

    info: VideoInfo
    images: Tensor
    places: tuple[tuple[int, ...], ...]
    boxes: tuple[Box, ...]

    def __len__(self) -> int:
        return len(self.places) * len(self.boxes)

    def clip(self, view: int) -> Tensor:
        """`(3, T, S, S)` of view `k * spatial + s`, PySlowFast's order."""
        place, box = divmod(view, len(self.boxes))
        return clip_of(crop(self.images, self.boxes[box]), list(self.places[place]))

    def batches(self, size: int) -> Iterator[Tensor]:
        """All views in order, `(<= size, 3, T, S, S)` at a time."""
        for start in range(0, len(self), size):
            yield torch.stack([self.clip(view) for view in range(start, min(start + size, len(self)))])


def read_views(path: Path, preprocess: Preprocess, views: Views, decode: Decoder) -> VideoViews:
    """Decode one video once and prepare all its views.

    Raises:
        VideoError: The video cannot be decoded.
    """

    def indices(info: VideoInfo) -> tuple[tuple[int, ...], ...]:
        return temporal_views(
            info.frames, info.fps, preprocess.frames, preprocess.stride, views.temporal, preprocess.target_fps
        )

    frames = decode(path, lambda info: {index for view in indices(info) for index in view})
    at = {index: place for place, index in enumerate(frames.indices)}
    places = tuple(tuple(at[index] for index in view) for view in indices(frames.info))
    short_side, size = views.side(preprocess)
    images = scale(frames, short_side)
    height, width = images.shape[2:]
    boxes = tuple(spatial_crop(width, height, size, place) for place in spatial_places(views.spatial))
    return VideoViews(frames.info, images, places, boxes)
