"""Views of a real video: which frames, which crop, in which order; decoded once."""

from pathlib import Path

import pytest
import torch

from vidbench.errors import UsageError
from vidbench.model.views import Views, read_views
from vidbench.model.zoo import Preprocess
from vidbench.video.pyav import decode
from vidbench.video.sampling import temporal_views

SMALL = Preprocess(frames=4, stride=3, short_side=40, crop=32, wide=32)


def grey(index: int, frames: int) -> float:
    return (40 + index * 160 // (frames - 1)) / 255


def test_views_hold_the_frames_of_the_protocol_in_its_order(make_video) -> None:
    video = read_views(make_video(frames=60, size=(96, 64)), SMALL, Views(5, 3), decode)
    assert len(video) == 15
    expected = temporal_views(60, video.info.fps, 4, 3, 5)
    for view in range(15):
        clip = video.clip(view)
        assert clip.shape == (3, 4, 32, 32)
        means = clip.mean(dim=(0, 2, 3)).tolist()
        assert means == pytest.approx([grey(index, 60) for index in expected[view // 3]], abs=0.012)


def test_one_crop_is_smaller_than_the_short_side(make_video) -> None:
    video = read_views(make_video(size=(96, 64)), SMALL, Views(1, 1), decode)
    assert min(video.images.shape[2:]) == 40
    assert video.boxes == ((14, 4, 46, 36),)


def test_a_video_is_decoded_once(make_video) -> None:
    calls = []

    def counting(path: Path, wanted):
        calls.append(path)
        return decode(path, wanted)

    read_views(make_video(frames=60), SMALL, Views(10, 3), counting)
    assert len(calls) == 1


def test_batches_are_the_views_in_order(make_video) -> None:
    video = read_views(make_video(size=(96, 64)), SMALL, Views(2, 3), decode)
    batches = list(video.batches(4))
    assert [len(batch) for batch in batches] == [4, 2]
    assert torch.equal(torch.cat(batches), torch.stack([video.clip(view) for view in range(6)]))


@pytest.mark.parametrize("text", ["10", "10x2", "x3", "0x3", "axb", "10x3x1", "-1x3", "1000x1"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not KxC"):
        Views.parse(text)


def test_text_round_trip() -> None:
    assert str(Views.parse("10x3")) == "10x3"
