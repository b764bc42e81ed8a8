"""The clips around keyframes: which are read together, which pictures they are, and videos that cannot be read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vidbench.data.ava_set import Keyframe
from vidbench.data.ava_source import AvaSource
from vidbench.model.detect_reading import ReadStretch, Stretch, read_stretches, stretches
from vidbench.model.zoo import MODELS
from vidbench.video.clip import VideoError

BOX = np.array([[0.25, 0.0, 0.75, 1.0]])


def keyframe(video: str, second: int) -> Keyframe:
    return Keyframe(video, second, 30 * (second - 900), BOX, ((1,),), np.ones(1), f"{video}{second}")


def test_keyframes_of_one_video_are_read_together_in_order() -> None:
    listed = [keyframe(video, second) for video, many in (("a", 3), ("b", 1)) for second in range(901, 901 + many)]
    sources = {video: AvaSource(video, Path(video), 900) for video in "ab"}
    found = [(one.source.video, [each.second for each in one.keyframes]) for one in stretches(listed, sources, most=2)]
    assert found == [("a", [901, 902]), ("a", [903]), ("b", [901])]
    assert list(stretches([], sources)) == []


@pytest.fixture
def size():
    return replace(MODELS.get("x3d_tiny").preprocess, frames=4, stride=4, short_side=24)


def test_the_clip_is_the_frames_around_the_keyframe_at_the_short_side(make_video, size) -> None:
    path = make_video("a.mp4", frames=60, size=(64, 48))
    item = Stretch(AvaSource("a", path, 60), (keyframe("a", 900), keyframe("a", 901)))
    ((same, read),) = read_stretches([item], size, 1, 60.0, False)
    assert same is item
    assert isinstance(read, ReadStretch)
    # half of 4 x 4 before the centre: 0 and 30; what lies before the first frame repeats it
    assert [[read.frames.indices[place] for place in clip] for clip in read.clips] == [[0, 0, 0, 4], [22, 26, 30, 34]]
    clip = read.clip(1)
    assert clip.shape == (3, 4, 24, 32)
    assert clip.dtype == torch.float32
    grey = [(40 + index * 160 // 59) / 255 for index in (22, 26, 30, 34)]
    assert clip.mean(dim=(0, 2, 3)).tolist() == pytest.approx(grey, abs=0.02)
    assert read.boxes(item.keyframes[1], 24).tolist() == [[8.0, 0.0, 24.0, 23.0]]


def test_a_video_that_is_not_there_is_an_outcome(tmp_path, size) -> None:
    item = Stretch(AvaSource("a", tmp_path / "a.mp4", 60), (keyframe("a", 901),))
    ((_, found),) = read_stretches([item], size, 1, 60.0, False)
    assert isinstance(found, VideoError)
    assert "missing" in str(found) or "no such file" in str(found)
