"""Frames handed over in memory that two processes share."""

import os
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidbench.video.clip import Frames, VideoError, VideoInfo
from vidbench.video.parked import Parked, park
from vidbench.video.pyav import decode

LINUX = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create")


def frames(count: int, dtype: type = np.uint8) -> Frames:
    info = VideoInfo(Path("v.mp4"), "h264", 200, 100, Fraction(30), 99)
    data = np.arange(count * 100 * 200 * 3, dtype=np.int64).reshape(count, 100, 200, 3) % 251
    return Frames(info, tuple(range(count)), data.astype(dtype))


@LINUX
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_parked_is_taken_whole(dtype: type) -> None:
    whole = frames(30, dtype)
    parked = park(whole)
    assert isinstance(parked, Parked)
    found = parked.take()
    assert (found.info, found.indices, found.data.dtype) == (whole.info, whole.indices, whole.data.dtype)
    assert np.array_equal(found.data, whole.data)
    found.data[0] = 0
    assert not found.data[0].any(), "it can be written to, as torch wants of an array"


@LINUX
def test_who_has_taken_them_keeps_them_when_the_next_are_parked() -> None:
    first = park(frames(30))
    assert isinstance(first, Parked)
    held = first.take()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        park(frames(31))
    assert len(os.listdir("/proc/self/fd")) == descriptors, "the ones before are let go"
    assert np.array_equal(held.data, frames(30).data)


PARK = """
import pickle, sys
from pathlib import Path
from vidbench.video.pyav import decode
from vidbench.video.parked import park
pickle.dump(park(decode(Path(sys.argv[1]), lambda info: range(info.frames))), sys.stdout.buffer)
sys.stdout.flush()
sys.stdin.read()
"""


@LINUX
def test_another_process_takes_them(make_video) -> None:
    path = make_video(frames=40, size=(160, 120))
    words = [sys.executable, "-c", PARK, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        parked = pickle.load(process.stdout)
        assert (type(parked), parked.owner) == (Parked, process.pid)
        assert np.array_equal(parked.take().data, decode(path, lambda info: range(info.frames)).data)
        process.communicate()
    with pytest.raises(VideoError, match="the decoder's process is gone"):
        parked.take()


def test_small_ones_go_as_they_are() -> None:
    small = frames(2)
    assert park(small) is small
