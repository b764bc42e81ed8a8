"""Which frames a training clip takes, and those that validation sees: PySlowFast's rules, by the kind of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from vidbench.data.dataset import Kind
from vidbench.model.zoo import Preprocess
from vidbench.video.clip import VideoInfo
from vidbench.video.sampling import (
    charades_views,
    random_segment_view,
    random_strided_view,
    random_view,
    segment_views,
    temporal_views,
)

Indices = tuple[int, ...]
Drawn = Callable[[VideoInfo, Preprocess, float, torch.Generator], Indices]
Centre = Callable[[VideoInfo, Preprocess], Indices]


@dataclass(frozen=True)
class ClipRule:
    """The frames of clips.

    Attributes:
        random: Of one to train on: video, network input, a number of [0, 1) for its place, and a generator for what
            is drawn besides.
        centre: Of the one view over time that is validated on.
    """

    random: Drawn
    centre: Centre


def clip_rule(kind: Kind, protocol: str) -> ClipRule:
    """The rule for a list of that kind and a network whose published figure was measured by that protocol.

    Networks for Something-Something take a frame from each part of the whole video; frame lists are counted in frames
    of the list, whatever their rate, as those of Charades are; everything else is counted at the network's rate.
    """
    if protocol == "ssv2":
        return _SEGMENTS
    return _STRIDED if kind == "frames" or protocol == "charades" else _TIMED


def _timed(info: VideoInfo, size: Preprocess, place: float, generator: torch.Generator) -> Indices:
    return random_view(info.frames, info.fps, size.frames, size.stride, place, size.target_fps)


def _strided(info: VideoInfo, size: Preprocess, place: float, generator: torch.Generator) -> Indices:
    return random_strided_view(info.frames, size.frames, size.stride, place)


def _segments(info: VideoInfo, size: Preprocess, place: float, generator: torch.Generator) -> Indices:
    places = torch.rand(size.frames, generator=generator, dtype=torch.float64).tolist()
    return random_segment_view(info.frames, size.frames, places)


_TIMED = ClipRule(
    _timed,
    lambda info, size: temporal_views(info.frames, info.fps, size.frames, size.stride, 1, size.target_fps)[0],
)
_STRIDED = ClipRule(_strided, lambda info, size: charades_views(info.frames, info.fps, size.frames, size.stride, 1)[0])
_SEGMENTS = ClipRule(_segments, lambda info, size: segment_views(info.frames, info.fps, size.frames, size.stride, 1)[0])
