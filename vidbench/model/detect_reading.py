"""The clips around the keyframes of videos, read by other processes: keyframes of one video that lie near together."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vidbench.data.ava_set import Keyframe
from vidbench.data.ava_source import AvaSource
from vidbench.data.pool import Lost, each
from vidbench.model.ava_sampling import ava_clip_indices, boxes_in_clip
from vidbench.model.card import Preprocess
from vidbench.model.reading import KEEP_MEMORY, attempted, taken
from vidbench.video.clip import Frames, VideoError, VideoInfo
from vidbench.video.decoder import ONE_THREAD
from vidbench.video.fit import Fit
from vidbench.video.parked import Parked

TOGETHER = 8
"""Keyframes of a video that are read at once, at most: their clips share frames, and all of them are in memory."""


@dataclass(frozen=True)
class Stretch:
    """Keyframes of one video that are read together.

    Attributes:
        source: The video.
        keyframes: By rising time, one or more.
    """

    source: AvaSource
    keyframes: tuple[Keyframe, ...]


@dataclass(frozen=True)
class ReadStretch:
    """The pictures of a stretch.

    Attributes:
        frames: All pictures that its clips need, each once, at the network's short side.
        clips: For each keyframe the places of its T pictures in `frames`.
    """

    frames: Frames
    clips: tuple[tuple[int, ...], ...]

    def clip(self, place: int) -> Tensor:
        """`(3, T, H, W)` float32 RGB in [0, 1] around a keyframe."""
        pictures: Tensor = torch.from_numpy(self.frames.data[list(self.clips[place])])
        return pictures.permute(3, 0, 1, 2).float().div_(255)

    def boxes(self, keyframe: Keyframe, short_side: int) -> Tensor:
        """`(M, 4)` float32: the keyframe's boxes in pixels of the clip."""
        info = self.frames.info
        return torch.from_numpy(boxes_in_clip(keyframe.boxes, info.width, info.height, short_side)).float()


def stretches(
    keyframes: Iterable[Keyframe], sources: Mapping[str, AvaSource], most: int = TOGETHER
) -> Iterator[Stretch]:
    """Keyframes in parts of one video each, in their order.

    Args:
        keyframes: Those of a video beside each other, by rising time.
        sources: By the name of the video.
        most: In a part.
    """
    part: list[Keyframe] = []
    for keyframe in keyframes:
        if part and (part[0].video != keyframe.video or len(part) == most):
            yield Stretch(sources[part[0].video], tuple(part))
            part = []
        part.append(keyframe)
    if part:
        yield Stretch(sources[part[0].video], tuple(part))


def read_stretches(
    items: Iterable[Stretch], preprocess: Preprocess, processes: int, timeout_s: float, in_turns: bool
) -> Generator[tuple[Stretch, ReadStretch | VideoError]]:
    """Stretches and their pictures as they come, from processes that a broken video may take down.

    The whole frame is scaled to the network's short side by bilinear interpolation without rounding, as PySlowFast's
    AVA test scales it.

    Args:
        items: What to read; taken one by one.
        preprocess: The clips that the network wants.
        processes: Worker processes, 1 or more.
        timeout_s: Seconds that one stretch may take.
        in_turns: Rest while the caller works, see `vidbench.data.pool.each`.
    """
    environment = KEEP_MEMORY | (ONE_THREAD if processes >= (os.cpu_count() or 1) else {})
    for item, found in each(partial(_attempt, preprocess), items, processes, timeout_s, environment, in_turns):
        yield item, _here(item, found, preprocess, timeout_s)


def _here(
    item: Stretch, found: Frames | Parked | str | Lost, preprocess: Preprocess, timeout_s: float
) -> ReadStretch | VideoError:
    if isinstance(found, Lost):
        told = (
            f"took longer than {timeout_s:g} s" if found.reason == "timeout" else f"ended its process: {found.detail}"
        )
        return VideoError(f"reading it {told}")
    frames = taken(found)
    if isinstance(frames, VideoError):
        return frames
    places = {index: place for place, index in enumerate(frames.indices)}
    clips = (_indices(item, keyframe, preprocess) for keyframe in item.keyframes)
    return ReadStretch(frames, tuple(tuple(places[index] for index in clip) for clip in clips))


def _indices(item: Stretch, keyframe: Keyframe, preprocess: Preprocess) -> tuple[int, ...]:
    return ava_clip_indices(keyframe.centre, preprocess.frames, preprocess.stride, item.source.count)


def _attempt(preprocess: Preprocess, item: Stretch) -> Frames | Parked | str:
    return attempted(lambda: _read(preprocess, item))


def _read(preprocess: Preprocess, item: Stretch) -> Frames:
    indices = sorted({index for one in item.keyframes for index in _indices(item, one, preprocess)})
    fit = Fit(preprocess.short_side, "exact")
    found = item.source.read(indices, fit)
    info = VideoInfo(item.source.path, "", found.width, found.height, Fraction(30), item.source.count)
    return Frames(info, tuple(indices), np.ascontiguousarray(found.data))
