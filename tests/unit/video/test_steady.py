"""Pictures at a steady rate: the very ones that the frame files of the same grid show."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.conftest import MakeVideo
from vidbench.video.clip import UnusableError
from vidbench.video.encode import encode
from vidbench.video.jpeg import JpegOptions, write_jpegs
from vidbench.video.steady import Picture, Steady


def _grey(picture: Picture) -> int:
    return round(float(picture.image.mean()))


@pytest.mark.parametrize("fps", ["30", "25", "24", "60", "30000/1001", "15", "7"])
def test_the_pictures_are_those_of_the_frame_files(make_video: MakeVideo, tmp_path: Path, fps: str) -> None:
    video = make_video("a.mp4", frames=int(4 * Fraction(fps)), fps=fps)
    folder = tmp_path / "frames"
    folder.mkdir()
    written = write_jpegs(video, folder, lambda number: f"{number:06d}.jpg", JpegOptions())
    steady = Steady(video)
    pictures = list(steady)
    assert [picture.number for picture in pictures] == list(range(written.frames))
    assert steady.end == written.frames
    assert steady.fps == Fraction(fps)
    for picture in pictures:
        with Image.open(folder / f"{picture.number + 1:06d}.jpg") as image:
            assert abs(_grey(picture) - np.asarray(image.convert("RGB")).mean()) < 2.5


@pytest.mark.parametrize("every", [1, 2, 3, 5, 6, 10, 15, 30])
def test_every_nth_is_among_all_and_hits_each_second(make_video: MakeVideo, every: int) -> None:
    video = make_video("a.mp4", frames=103, fps="30")
    everything = {picture.number: _grey(picture) for picture in Steady(video)}
    some = {picture.number: _grey(picture) for picture in Steady(video, every=every)}
    assert list(some) == list(range(0, 103, every))
    assert all(everything[number] == grey for number, grey in some.items())
    assert {0, 30, 60, 90} <= some.keys()


def test_a_part_is_exactly_its_part_of_the_whole(make_video: MakeVideo) -> None:
    video = make_video("a.mp4", frames=300, fps="25")
    whole = {picture.number: _grey(picture) for picture in Steady(video)}
    part = {picture.number: _grey(picture) for picture in Steady(video, every=2, from_s=Fraction(5), to_s=Fraction(7))}
    assert list(part) == list(range(150, 210, 2))
    assert all(whole[number] == grey for number, grey in part.items())


def test_a_frame_that_is_on_for_long_is_one_array(make_video: MakeVideo) -> None:
    pictures = list(Steady(make_video("a.mp4", frames=6, fps="2"), every=3))
    assert len(pictures) == 30
    assert pictures[0].image is pictures[4].image
    assert pictures[4].image is not pictures[5].image


def test_a_turned_video_is_upright(tmp_path: Path) -> None:
    # the left half is bright; turned by 90 degrees counterclockwise it is the lower one
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = 220
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    encode(plain, (image for _ in range(30)), Fraction(30))
    with av.open(str(plain)) as source, av.open(str(turned), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    first = next(iter(Steady(turned)))
    assert first.image.shape == (64, 48, 3)
    assert first.image[48:].mean() > 180
    assert first.image[:16].mean() < 40


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "missing"), (b"", "empty"), (b"no video at all" * 50, "no_video")]
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnusableError) as caught:
        list(Steady(path))
    assert caught.value.reason == reason


def test_a_cut_off_video_is_refused_at_its_end(make_video: MakeVideo, tmp_path: Path) -> None:
    whole = make_video("a.mkv", frames=120)
    short = tmp_path / "short.mkv"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(UnusableError):
        list(Steady(short))


def test_a_step_off_the_grid_is_refused(make_video: MakeVideo) -> None:
    video = make_video()
    with pytest.raises(ValueError, match="no grid"):
        Steady(video, every=0)
    with pytest.raises(ValueError, match="no grid"):
        Steady(video, from_s=Fraction(1, 31))
