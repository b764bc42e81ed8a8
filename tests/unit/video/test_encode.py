"""Encoding: every frame arrives, on time, and a failure leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from vidbench.video.encode import encode

Picture = npt.NDArray[np.uint8]


def pictures(count: int, height: int = 48, width: int = 64) -> Iterator[Picture]:
    """A bright square that steps two pixels to the right per frame."""
    for index in range(count):
        picture = np.full((height, width, 3), (30, 60, 90), np.uint8)
        picture[16:32, 2 * index % width : 2 * index % width + 16] = (240, 200, 40)
        yield picture


def decode(path: Path) -> tuple[list[Picture], list[Fraction]]:
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    times = [Fraction(frame.pts) * Fraction(frame.time_base) for frame in decoded]
    return [frame.to_ndarray(format="rgb24") for frame in decoded], times


@pytest.mark.parametrize(
    "fps", [Fraction(24), Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001)]
)
def test_every_frame_arrives_at_its_time(tmp_path: Path, fps: Fraction) -> None:
    path = tmp_path / "clip.mp4"
    assert encode(path, pictures(31), fps) == 31
    decoded, times = decode(path)
    assert len(decoded) == 31
    assert times == [index / fps for index in range(31)]
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert stream.average_rate == fps
        assert stream.frames == 31
        assert Fraction(stream.duration or 0) * Fraction(stream.time_base or 0) == 31 / fps


def test_pictures_survive(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    encode(path, pictures(12), Fraction(25))
    decoded, _ = decode(path)
    for before, after in zip(pictures(12), decoded, strict=True):
        assert np.abs(before.astype(int) - after).mean() < 4


def test_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        encode(tmp_path / name, pictures(40), Fraction(30))
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_gop_bounds_the_distance_between_key_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    encode(path, pictures(30), Fraction(25), gop=5)
    with av.open(str(path)) as container:
        keys = [index for index, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys[0] == 0
    assert max(np.diff([*keys, 30])) <= 5


def test_lower_crf_costs_more(tmp_path: Path) -> None:
    sizes = []
    for crf in (10, 40):
        encode(tmp_path / "clip.mp4", pictures(20), Fraction(25), crf=crf)
        sizes.append((tmp_path / "clip.mp4").stat().st_size)
    assert sizes[0] > sizes[1]


def test_a_failure_leaves_neither_a_part_nor_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    encode(path, pictures(5), Fraction(25))
    before = path.read_bytes()

    def breaks() -> Iterator[Picture]:
        yield from pictures(3)
        raise RuntimeError("the renderer broke")

    with pytest.raises(RuntimeError, match="the renderer broke"):
        encode(path, breaks(), Fraction(25))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([], "at least one frame"),
        ([np.zeros((48, 63, 3), np.uint8)], "even height and width"),
        ([np.zeros((48, 64, 3), np.float32)], "uint8"),
        ([np.zeros((48, 64), np.uint8)], "height, width, 3"),
        ([np.zeros((48, 64, 3), np.uint8), np.zeros((48, 62, 3), np.uint8)], "every frame must be"),
    ],
)
def test_unusable_frames_are_refused(tmp_path: Path, bad: list[Picture], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        encode(tmp_path / "clip.mp4", bad, Fraction(25))
    assert not list(tmp_path.iterdir())
