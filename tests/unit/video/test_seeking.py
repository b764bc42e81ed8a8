"""Stretches of a video from its key frames: the frames of a whole decoding, to the last bit, and less of it."""

import os
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.video.clip import VideoError
from vidbench.video.encode import encode
from vidbench.video.fit import Fit
from vidbench.video.pyav import decode
from vidbench.video.seeking import Seeking

FRAMES = 60


def pictures() -> list[np.ndarray]:
    """Noise that moves: every frame differs from every other, and refers to others."""
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return [np.roll(noise, 2 * number, axis=1) for number in range(FRAMES)]


def coded(path: Path, codec: str, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = options
        for picture in pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "v.mp4"
    encode(path, iter(pictures()), Fraction(30), gop=12)
    return path


def same(path: Path, seek: Seeking, indices: list[int], fit: Fit | None = None) -> None:
    found, wanted = (one(path, lambda info: indices, fit) for one in (seek, decode))
    assert (found.info, found.indices) == (wanted.info, wanted.indices)
    assert np.array_equal(found.data, wanted.data)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("plain.mp4", "libx264", {"g": "12"}),
        ("open.mp4", "libx264", {"x264-params": "keyint=12:bframes=3:open-gop=1:scenecut=0"}),
        ("refresh.mkv", "libx264", {"x264-params": "keyint=12:intra-refresh=1:bframes=0"}),
        ("one.mp4", "libx264", {"g": "250"}),
        ("bare.h264", "libx264", {"g": "12"}),
        ("old.avi", "mpeg4", {"g": "10"}),
        ("vp9.webm", "libvpx-vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8"}),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_every_stretch_is_that_of_the_whole(tmp_path, name, codec, options) -> None:
    path = coded(tmp_path / name, codec, **options)
    seek, draw = Seeking(), random.Random(3)
    for _ in range(8):
        first = draw.randrange(FRAMES)
        same(path, seek, sorted({min(first + step, FRAMES - 1) for step in (0, 3, 6, 9)}))
    same(path, seek, [0, FRAMES - 1], Fit(32))


def test_nothing_after_a_stretch_is_read_again(video) -> None:
    seek = Seeking()
    same(video, seek, [30, 33])
    wanted = decode(video, lambda info: [14, 20]).data
    mark = os.stat(video)
    with video.open("r+b") as stream:
        # the last frames; what says where frames are lies behind them
        data = video.read_bytes()
        place = data.index(b"moov") - 3000
        stream.seek(place)
        stream.write(bytes(2900))
    os.utime(video, ns=(mark.st_atime_ns, mark.st_mtime_ns))
    with pytest.raises(VideoError):
        decode(video, lambda info: [14, 20])
    assert np.array_equal(seek(video, lambda info: [14, 20]).data, wanted)


def test_a_file_that_changed_is_read_anew(video, tmp_path, make_video) -> None:
    seek = Seeking()
    same(video, seek, [30, 33])
    other = make_video("other.mp4", frames=20)
    os.replace(other, video)
    same(video, seek, [3, 19])
    video.unlink()
    with pytest.raises(VideoError, match="no such file"):
        seek(video, lambda info: [0])


def test_a_video_that_is_read_whole_is_not_indexed(video) -> None:
    seek = Seeking()
    same(video, seek, list(range(FRAMES)))
    assert seek._known == {}
