"""Samples of lists: the classes of a clip are those of its frames, and frames are read one by one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vidbench.data.dataset import read_clips
from vidbench.formats.framelist import FrameLine, save_frames
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.footage import FootageStore
from vidbench.model.train.clip_rules import clip_rule
from vidbench.model.train.placing import Placing
from vidbench.model.train.samples import ListSamples
from vidbench.model.zoo import Preprocess
from vidbench.video.clip import VideoError
from vidbench.video.pyav import decode

SIZE = Preprocess(frames=4, stride=3, short_side=32, crop=32, wide=32)
# three stretches of 20 frames, the last without a class
LABELS = [(5,)] * 20 + [(2, 7)] * 20 + [()] * 20


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A frame list of one video of 60 frames, whose grey level is four times their number."""
    (tmp_path / "v").mkdir()
    for number in range(60):
        Image.fromarray(np.full((36, 40, 3), 4 * number, np.uint8)).save(tmp_path / "v" / f"{number:03d}.png")
    rows = [FrameLine("v", 0, number, f"v/{number:03d}.png", LABELS[number]) for number in range(60)]
    save_frames(tmp_path / "list.csv", rows)
    return tmp_path / "list.csv"


def samples(listed: Path, of_frames: bool, budget: int = 2**24) -> ListSamples:
    return ListSamples(
        read_clips(listed, None, several=True),
        FootageStore(decode, 36, budget),
        SIZE,
        classes=9,
        rule=clip_rule("frames", ""),
        placing=Placing.of(SIZE, 1.1, "uniform", "jitter", 0.5),
        augment=AugmentSettings(),
        of_frames=of_frames,
    )


def multi_hot(*labels: int) -> list[float]:
    return [float(label in labels) for label in range(9)]


def test_a_clip_has_the_classes_of_all_frames_that_it_spans(listed) -> None:
    found = samples(listed, of_frames=True)
    seen = set()
    for seed in range(80):
        sample = found.random(0, torch.Generator().manual_seed(seed))
        frames = [round(float(image.mean()) * 255 / 4) for image in sample.clip.transpose(0, 1)]
        assert frames == [frames[0] + 3 * step for step in range(4)]
        labels = {label for number in range(frames[0], frames[-1] + 1) for label in LABELS[number]}
        assert sample.target.tolist() == multi_hot(*labels)
        seen.add(tuple(sorted(labels)))
    assert seen == {(5,), (2, 5, 7), (2, 7), ()}
    assert found.centre(0).target.tolist() == multi_hot(2, 5, 7)


def test_or_those_of_its_video(listed) -> None:
    found = samples(listed, of_frames=False)
    for seed in range(3):
        assert found.random(0, torch.Generator().manual_seed(seed)).target.tolist() == multi_hot(2, 5, 7)


def test_frames_that_no_clip_wants_are_not_read(listed, tmp_path) -> None:
    (tmp_path / "v" / "059.png").write_bytes(b"no image")
    found = samples(listed, of_frames=True, budget=0)
    assert found.centre(0).clip.shape == (3, 4, 32, 32)
    assert found.random(0, torch.Generator().manual_seed(0)).clip.shape == (3, 4, 32, 32)


def test_a_frame_that_is_missing_is_named(listed, tmp_path) -> None:
    # the centre of 60 frames with a clip of 10 begins at 25
    (tmp_path / "v" / "031.png").unlink()
    with pytest.raises(VideoError, match=r"frame 31, .*031\.png: no such file"):
        samples(listed, of_frames=True, budget=0).centre(0)


def test_kept_whole_the_samples_are_the_same(listed) -> None:
    rich, poor = samples(listed, True), samples(listed, True, budget=0)
    for seed in range(3):
        one, two = (part.random(0, torch.Generator().manual_seed(seed)) for part in (rich, poor))
        assert torch.equal(one.clip, two.clip)
        assert torch.equal(one.target, two.target)
