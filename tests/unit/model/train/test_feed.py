"""Batches of an epoch: the same clips wherever it is taken up, and nothing in place of a broken video."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from vidbench.data.dataset import ClipList, read_clips
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.footage import FootageStore
from vidbench.model.train.clip_rules import clip_rule
from vidbench.model.train.feed import Feed
from vidbench.model.train.placing import Placing
from vidbench.model.train.samples import ListSamples, Repeated
from vidbench.model.zoo import MODELS
from vidbench.video.decoder import DECODERS


@pytest.fixture
def clips(make_video, tmp_path) -> ClipList:
    for number in range(4):
        make_video(f"v{number}.mp4", frames=20 + number, size=(96, 72))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    lines = [f"v{number}.mp4 {number}\n" for number in range(4)]
    (tmp_path / "list.txt").write_text("".join([*lines, "broken.mp4 0\n"]))
    return read_clips(Path(tmp_path / "list.txt"), None, kinds=("videos",))


@pytest.fixture
def samples(clips) -> ListSamples:
    store = FootageStore(DECODERS.get("pyav"), 80, 2**24)
    settings = AugmentSettings.model_validate({"brightness": 0.4})
    preprocess = MODELS.get("x3d_tiny").preprocess
    placing = Placing.of(preprocess, 1.25, "uniform", "jitter", 0.5)
    rule = clip_rule("videos", "")
    return ListSamples(clips, store, preprocess, classes=0, rule=rule, placing=placing, augment=settings)


def feed(pool: ThreadPoolExecutor) -> Feed:
    return Feed(seed=3, batch=2, pool=pool)


def test_an_epoch_taken_up_gives_the_batches_that_are_left(samples) -> None:
    with ThreadPoolExecutor(2) as many, ThreadPoolExecutor(1) as single:
        whole = list(feed(many).training(samples, 2, 0))
        rest = list(feed(single).training(samples, 2, 1))
        other = list(feed(many).training(samples, 3, 0))
        assert feed(many).planned(samples) == [2, 2, 1]
    assert sum(map(len, whole)) == 4
    for one, two in zip(whole[1:], rest, strict=True):
        assert torch.equal(one.clips, two.clips)
        assert torch.equal(one.targets, two.targets)
        assert one.names == two.names
    by_label = [
        {int(n): c for batch in part for c, n in zip(batch.clips, batch.targets, strict=True)}
        for part in (whole, other)
    ]
    assert not any(torch.equal(by_label[0][label], by_label[1][label]) for label in range(4))


def test_what_cannot_be_decoded_is_left_out_and_noted(samples) -> None:
    with ThreadPoolExecutor(2) as pool:
        one = feed(pool)
        labels = torch.cat([batch.targets for batch in one.centre(samples)])
    assert labels.tolist() == [0, 1, 2, 3]
    (failure,) = one.failures.values()
    assert failure["path"] == "broken.mp4"


def test_precise_batches_are_others(samples) -> None:
    with ThreadPoolExecutor(2) as pool:
        one = feed(pool)
        precise = [batch.clips for batch in one.precise(samples, 1, 2)]
        epoch = [batch.clips for batch in one.training(samples, 1, 0)]
        again = [batch.clips for batch in one.precise(samples, 1, 2)]
    assert 1 <= len(precise) <= 2
    assert all(torch.equal(a, b) for a, b in zip(precise, again, strict=True))
    drawn = {clip.numpy().tobytes() for images in epoch for clip in images}
    assert not drawn & {clip.numpy().tobytes() for images in precise for clip in images}


def test_clips_of_one_video_meet_in_a_batch(samples) -> None:
    with ThreadPoolExecutor(2) as pool:
        one = feed(pool)
        repeated = Repeated(samples, 2)
        assert one.planned(repeated) == [2] * 5
        batches = list(one.training(repeated, 1, 0))
        parts = list(one.training(samples, 1, 0))
        plain = {name: clip for part in parts for name, clip in zip(part.names, part.clips, strict=True)}
    assert sorted(len(batch) for batch in batches) == [0, 2, 2, 2, 2]
    for batch in filter(len, batches):
        first, second = batch.clips
        assert len(set(batch.names)) == 1
        assert torch.equal(first, plain[batch.names[0]])
        assert not torch.equal(first, second)
    # told once, though it was tried twice
    assert [failure["path"] for failure in one.failures.values()] == ["broken.mp4"]
