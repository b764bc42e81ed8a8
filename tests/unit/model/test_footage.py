"""Frames for training: the same numbers kept or read anew, within the memory that was given, each file tried once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from vidbench.data.clips import ClipItem
from vidbench.model.footage import FootageStore
from vidbench.video.clip import VideoError
from vidbench.video.pyav import decode

CHOSEN = (3, 9, 9, 4)


class Counting:
    """A decoder that notes how many frames were wanted of which file."""

    def __init__(self) -> None:
        self.wanted: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, path: Path, wanted, fit=None):
        frames = decode(path, wanted, fit)
        with self._lock:
            self.wanted.append(len(frames.indices))
        return frames


def item(path: Path) -> ClipItem:
    return ClipItem(path.name, path, 0, 1, path.name)


def test_frames_come_in_the_order_that_was_asked(make_video) -> None:
    found = FootageStore(decode, 48, 2**30).clip(item(make_video(frames=50, size=(96, 64))), lambda info: CHOSEN)
    assert (found.indices, found.info.frames) == (CHOSEN, 50)
    assert found.images.shape == (4, 3, 48, 72)
    assert found.images.dtype == torch.uint8
    levels = found.images.float().mean(dim=(1, 2, 3)).tolist()
    assert levels[0] < levels[3] < levels[1] == levels[2]


def test_larger_frames_are_scaled_and_smaller_ones_are_not(make_video) -> None:
    path = make_video(frames=10, size=(96, 64))
    whole = torch.from_numpy(decode(path, lambda info: [5]).data).permute(0, 3, 1, 2)
    (small,) = FootageStore(decode, 48, 0).clip(item(path), lambda info: [5]).images
    wanted = functional.interpolate(whole.float(), size=(48, 72), mode="bilinear", align_corners=False)
    assert float((small - wanted[0]).abs().max()) <= 0.501
    (same,) = FootageStore(decode, 64, 0).clip(item(path), lambda info: [5]).images
    assert torch.equal(same, whole[0])


def test_kept_or_read_anew_the_numbers_are_the_same(make_video) -> None:
    video = item(make_video(frames=20, size=(96, 64)))
    rich, poor = Counting(), Counting()
    stores = FootageStore(rich, 48, 2**30), FootageStore(poor, 48, 1000)
    for chosen in (CHOSEN, (0, 19), CHOSEN):
        kept, anew = (store.clip(video, lambda info, chosen=chosen: chosen) for store in stores)
        assert torch.equal(kept.images, anew.images)
    assert rich.wanted == [20]
    # of a video that is not kept no frame is scaled that the clip does not want
    assert poor.wanted == [3, 2, 3]


def test_a_long_video_does_not_take_the_memory_of_many_short_ones(make_video) -> None:
    size = 20 * 48 * 64 * 3
    counting = Counting()
    store = FootageStore(counting, 48, 10 * size)
    long, short = item(make_video("long.mp4", frames=40)), item(make_video("short.mp4", frames=20))
    for _ in range(2):
        for one in (long, short):
            store.clip(one, lambda info: CHOSEN)
    assert counting.wanted == [3, 20, 3]


def test_clips_that_are_wanted_again_are_kept_without_their_video(make_video) -> None:
    counting = Counting()
    store = FootageStore(counting, 48, 2**30)
    video = item(make_video(frames=20))
    first, second = (store.clip(video, lambda info: CHOSEN, again=True) for _ in range(2))
    assert counting.wanted == [3]
    assert torch.equal(first.images, second.images)
    # the same video is trained on, too
    assert torch.equal(store.clip(video, lambda info: CHOSEN).images, first.images)
    assert store.clip(video, lambda info: [0, 7], again=True).indices == (0, 7)
    assert counting.wanted == [3, 20]


def test_threads_share_what_is_kept(make_video) -> None:
    counting = Counting()
    store = FootageStore(counting, 48, 2**30)
    videos = [item(make_video(f"{number}.mp4", frames=20)) for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            list(pool.map(lambda one: store.clip(one, lambda info: CHOSEN), videos))
    assert counting.wanted == [20] * 3


def test_a_broken_video_says_so_each_time_and_is_tried_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def counting(path: Path, wanted, fit=None):
        calls.append(path)
        return decode(path, wanted, fit)

    path = tmp_path / "text.mp4"
    path.write_text("no video")
    store = FootageStore(counting, 48, 2**30)
    for _ in range(2):
        with pytest.raises(VideoError, match="not a readable video"):
            store.clip(item(path), lambda info: CHOSEN)
    assert len(calls) == 1


def test_frames_do_not_change_behind_the_library_that_gave_them(make_video) -> None:
    """Libraries use one picture's memory for the next."""
    from vidbench.video.gather import gather

    path = make_video(frames=4, size=(32, 32))
    info = decode(path, lambda info: [0]).info
    buffer = np.zeros((32, 32, 3), np.uint8)

    def play():
        for level in range(4):
            buffer[:] = 10 * level
            yield buffer

    store = FootageStore(lambda path, wanted, fit=None: gather(info, wanted, play, fit), 48, 2**30)
    found = store.clip(item(path), lambda info: range(4))
    assert found.images.float().mean(dim=(1, 2, 3)).tolist() == [0, 10, 20, 30]
