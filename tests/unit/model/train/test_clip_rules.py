"""Frames of training clips as PySlowFast takes them: strides of the list, segments, and time."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vidbench.model.train.clip_rules import clip_rule
from vidbench.model.zoo import Preprocess
from vidbench.video.clip import VideoInfo

SIZE = Preprocess(frames=4, stride=8, short_side=40, crop=32, wide=32)


def info(frames: int) -> VideoInfo:
    return VideoInfo(Path("v"), "images", 64, 48, Fraction(30), frames)


def drawn(kind: str, protocol: str, frames: int, place: float) -> tuple[int, ...]:
    return clip_rule(kind, protocol).random(info(frames), SIZE, place, torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("frames", "place", "expected"),
    [
        (100, 0.0, (0, 8, 16, 24)),
        (100, 0.5, (38, 46, 54, 62)),
        # the last place is the one at which the clip ends with the video
        (100, 0.999, (75, 83, 91, 99)),
        (25, 0.999, (0, 8, 16, 24)),
        # shorter than the 25 frames of a clip: from -15 to 0
        (10, 0.0, (0, 0, 1, 9)),
        (10, 0.5, (0, 1, 9, 9)),
        (10, 0.999, (0, 8, 9, 9)),
        (1, 0.5, (0, 0, 0, 0)),
    ],
)
def test_strides_of_a_frame_list(frames: int, place: float, expected: tuple[int, ...]) -> None:
    assert drawn("frames", "", frames, place) == expected
    assert drawn("videos", "charades", frames, place) == expected


def test_every_start_is_as_likely() -> None:
    starts = [drawn("frames", "", 29, place / 500)[0] for place in range(500)]
    assert [starts.count(start) for start in range(5)] == [100] * 5


def test_segments_give_a_frame_each() -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        found = clip_rule("frames", "ssv2").random(info(41), SIZE, 0.3, generator)
        assert all(low <= index <= low + 10 for low, index in zip((0, 10, 20, 30), found, strict=True))
    assert clip_rule("frames", "ssv2").centre(info(41), SIZE) == (5, 15, 25, 35)


def test_videos_are_counted_in_time() -> None:
    assert drawn("videos", "pyslowfast", 100, 0.0) == (0, 10, 20, 31)
    assert clip_rule("frames", "").centre(info(100), SIZE) == (37, 45, 53, 61)
    assert clip_rule("videos", "").centre(info(100), SIZE) == (0, 10, 20, 31)
