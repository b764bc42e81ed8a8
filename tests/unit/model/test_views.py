"""Views of a real video: which frames, which crop, in which order; decoded once and at the wanted size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vidbench.data.dataset import ClipItem
from vidbench.errors import UnknownNameError, UsageError
from vidbench.model.protocol import RULES, Protocol, Views
from vidbench.model.reading import Reader
from vidbench.model.views import VideoViews, video_views
from vidbench.model.zoo import MODELS, Preprocess
from vidbench.video.clip import VideoError
from vidbench.video.sampling import temporal_views

SMALL = Preprocess(frames=4, stride=3, short_side=40, crop=32, wide=32)


def read(path: Path, views: str, rule: str = "pyslowfast", resize: str | None = None) -> VideoViews:
    protocol = Protocol(RULES[rule], Views.parse(views))
    frames = Reader("pyav", SMALL, protocol, resize)(ClipItem(path.name, path, 0, 1, "k"))
    return video_views(frames, SMALL, protocol)


def grey(index: int, frames: int) -> float:
    return (40 + index * 160 // (frames - 1)) / 255


@pytest.mark.parametrize("resize", ["decode", "exact"])
def test_views_hold_the_frames_of_the_protocol_in_its_order(make_video, resize: str) -> None:
    video = read(make_video(frames=60, size=(96, 64)), "5x3", resize=resize)
    assert len(video) == 15
    assert video.images.dtype == (torch.uint8 if resize == "decode" else torch.float32)
    expected = temporal_views(60, video.info.fps, 4, 3, 5)
    for view in range(15):
        clip = video.clip(view)
        assert clip.shape == (3, 4, 32, 32)
        means = clip.mean(dim=(0, 2, 3)).tolist()
        assert means == pytest.approx([grey(index, 60) for index in expected[view // 3]], abs=0.012)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_clips_of_the_networks_size(make_video, rule: str) -> None:
    for name, frames, size in (("a.mp4", 60, (96, 64)), ("short.mp4", 3, (50, 90)), ("one.mp4", 1, (64, 64))):
        video = read(make_video(name, frames=frames, size=size), "3x3", rule)
        assert {tuple(video.clip(view).shape) for view in range(9)} == {(3, 4, 32, 32)}


def test_one_crop_is_smaller_than_the_short_side(make_video) -> None:
    video = read(make_video(size=(96, 64)), "1x1")
    assert min(video.images.shape[1:3]) == 40
    assert video.boxes == ((14, 4, 46, 36),)


def test_one_crop_lies_where_the_rule_says(make_video) -> None:
    path = make_video(size=(96, 64))
    assert read(path, "1x1", "charades").boxes == ((0, 4, 32, 36),)
    assert read(path, "1x1", "ssv2").boxes == ((0, 4, 32, 36),)


def test_batches_are_the_views_in_order(make_video) -> None:
    video = read(make_video(size=(96, 64)), "2x3")
    batches = list(video.batches(4))
    assert [len(batch) for batch in batches] == [4, 2]
    assert torch.equal(torch.cat(batches), torch.stack([video.clip(view) for view in range(6)]))


def test_batches_come_channels_last(make_video) -> None:
    (batch,) = read(make_video(size=(96, 64)), "1x3").batches(8)
    assert batch.is_contiguous(memory_format=torch.channels_last_3d)
    assert (batch.dtype, batch.min() >= 0, batch.max() <= 1) == (torch.float32, True, True)


def test_frames_of_full_size_and_the_decoders_agree_where_nothing_is_scaled(make_video) -> None:
    path = make_video(size=(64, 40))
    small, exact = read(path, "2x1"), read(path, "2x1", resize="exact")
    assert np.array_equal(small.images.numpy(), exact.images.numpy())


@pytest.mark.parametrize("text", ["10", "10x2", "x3", "0x3", "axb", "10x3x1", "-1x3", "1000x1"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not KxC"):
        Views.parse(text)


def test_text_round_trip() -> None:
    assert str(Views.parse("10x3")) == "10x3"


def test_what_is_left_open_is_the_published_protocol() -> None:
    card = MODELS.get("mvit_base_16x4")
    assert str(Protocol.choose(card, None, None)) == "pyslowfast-offset 5x1"
    assert str(Protocol.choose(card, "mmaction2", "1x3")) == "mmaction2 1x3"
    assert str(Protocol.choose(MODELS.get("x3d_tiny"), None, None)) == "pyslowfast 10x3"
    with pytest.raises(UnknownNameError, match="unknown protocol 'pyslowfst'"):
        Protocol.choose(card, "pyslowfst", None)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        read(tmp_path / "absent.mp4", "1x1")
