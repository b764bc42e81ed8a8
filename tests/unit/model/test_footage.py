"""Random clips for training: from the right frames, in range, within the memory that was given."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from vidbench.model.footage import FootageStore
from vidbench.model.zoo import Preprocess
from vidbench.video.clip import VideoError
from vidbench.video.pyav import decode

SMALL = Preprocess(frames=4, stride=3, short_side=40, crop=32, wide=32)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_clips_are_in_range_and_of_the_right_shape(make_video) -> None:
    footage = FootageStore(decode, 48, 2**30).footage(make_video(frames=50, size=(96, 64)))
    assert footage.images.shape == (50, 3, 48, 72)
    for seed in range(20):
        clip = footage.random_clip(SMALL, 1.5, 0.5, seeded(seed))
        assert clip.shape == (3, 4, 32, 32)
        assert 0 <= float(clip.min()) <= float(clip.max()) <= 1
        means = clip.mean(dim=(0, 2, 3))
        assert bool((means.diff() > 0).all()), "frames out of order"


def test_the_same_seed_gives_the_same_clip(make_video) -> None:
    footage = FootageStore(decode, 48, 2**30).footage(make_video(frames=50))
    one, two, other = (footage.random_clip(SMALL, 1.5, 0.5, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_flip_mirrors_and_a_zero_never_does(make_video, tmp_path: Path) -> None:
    from fractions import Fraction

    import numpy as np

    from vidbench.video.encode import encode

    half = np.zeros((64, 64, 3), dtype=np.uint8)
    half[:, 32:] = 255
    path = tmp_path / "half.mp4"
    encode(path, (half for _ in range(12)), Fraction(30))
    footage = FootageStore(decode, 64, 2**30).footage(path)
    plain = Preprocess(frames=4, stride=1, short_side=64, crop=64, wide=64)
    for seed in range(5):
        assert float(footage.random_clip(plain, 1.0, 0.0, seeded(seed))[..., 48:].mean()) > 0.9
        assert float(footage.random_clip(plain, 1.0, 1.0, seeded(seed))[..., :16].mean()) > 0.9


def test_videos_are_decoded_once_while_memory_lasts(make_video) -> None:
    calls: list[Path] = []
    lock = threading.Lock()

    def counting(path: Path, wanted):
        with lock:
            calls.append(path)
        return decode(path, wanted)

    video = make_video(frames=20)
    rich, poor = FootageStore(counting, 48, 2**30), FootageStore(counting, 48, 1000)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            list(pool.map(rich.footage, [video]))
    assert len(calls) == 1
    for _ in range(3):
        poor.footage(video)
    assert len(calls) == 4


def test_a_broken_video_says_so_each_time_and_is_tried_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def counting(path: Path, wanted):
        calls.append(path)
        return decode(path, wanted)

    path = tmp_path / "text.mp4"
    path.write_text("no video")
    store = FootageStore(counting, 48, 2**30)
    for _ in range(2):
        with pytest.raises(VideoError, match="not a readable video"):
            store.footage(path)
    assert len(calls) == 1
