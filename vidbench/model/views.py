"""A video as the clips of its views: decoded once, scaled once, cropped per view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.model.card import Preprocess
from vidbench.model.protocol import Protocol
from vidbench.video.clip import Frames, VideoInfo
from vidbench.video.sampling import Box, spatial_crop


@dataclass(frozen=True)
class VideoViews:
    """The views of one video.

    Attributes:
        info: The video.
        images: `(n, H, W, 3)` in [0, 255], uint8 or float32: the frames that any view needs, scaled.
        places: For each temporal view, where its frames are in `images`.
        boxes: For each spatial view, its crop.
    """

    info: VideoInfo
    images: Tensor
    places: tuple[tuple[int, ...], ...]
    boxes: tuple[Box, ...]

    def __len__(self) -> int:
        return len(self.places) * len(self.boxes)

    def frames(self, view: int) -> Iterator[Tensor]:
        """The T frames `(S, S, 3)` in [0, 255] of view `k * spatial + s`, PySlowFast's order; nothing is copied."""
        place, box = divmod(view, len(self.boxes))
        left, top, right, bottom = self.boxes[box]
        for index in self.places[place]:
            yield self.images[index, top:bottom, left:right]

    def raw(self, view: int) -> Tensor:
        """The same as `(T, S, S, 3)`."""
        return torch.stack(list(self.frames(view)))

    def clip(self, view: int) -> Tensor:
        """The same as `(3, T, S, S)` float32 in [0, 1]."""
        return clips_of([(self, view)])[0]

    def batches(self, size: int) -> Iterator[Tensor]:
        """All views in order, `(<= size, 3, T, S, S)` float32 in [0, 1] at a time."""
        for start in range(0, len(self), size):
            yield clips_of([(self, view) for view in range(start, min(start + size, len(self)))])


def clips_of(views: Sequence[tuple[VideoViews, int]], device: torch.device | None = None) -> Tensor:
    """Views, which may be of several videos, as `(N, 3, T, S, S)` float32 in [0, 1], its memory channels-last.

    Args:
        views: Each as a video and its view; all of one shape, which the protocol's crop sees to.
        device: Where the clips are wanted; None is the CPU. Another device gets the frames as they are and makes
            floats of them itself.
    """
    if device is not None and device.type != "cpu":
        return as_clips(torch.stack([video.raw(view) for video, view in views]).to(device, non_blocking=True))
    first, view = views[0]
    frame = next(first.frames(view))
    clips = torch.empty(len(views), len(first.places[0]), *frame.shape)
    for row, (video, view) in enumerate(views):
        for place, frame in enumerate(video.frames(view)):
            # read once and written once: a stack that is divided later took as long as two layers of X3D-S
            torch.div(frame, 255.0, out=clips[row, place])
    return clips.permute(0, 4, 1, 2, 3)


def as_clips(raw: Tensor) -> Tensor:
    """`(N, T, S, S, 3)` in [0, 255] as `(N, 3, T, S, S)` float32 in [0, 1], its memory channels-last."""
    return raw.float().div_(255.0).permute(0, 4, 1, 2, 3)


def video_views(frames: Frames, preprocess: Preprocess, protocol: Protocol) -> VideoViews:
    """The views of a video whose frames `vidbench.model.reading` has read for the same preprocessing and protocol."""
    info = frames.info
    at = {index: place for place, index in enumerate(frames.indices)}
    indices = protocol.frames(preprocess, info.frames, info.fps)
    places = tuple(tuple(at[index] for index in view) for view in indices)
    images = torch.from_numpy(frames.data)
    height, width = images.shape[1:3]
    _, size = protocol.views.side(preprocess)
    boxes = tuple(spatial_crop(width, height, size, place, protocol.rule.spatial) for place in protocol.places())
    return VideoViews(info, images, places, boxes)
