"""Which decoder is taken where none is named."""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.catalogue import Catalogue, Entry
from vidbench.errors import MissingError, UnknownNameError
from vidbench.video import decoder
from vidbench.video.clip import Frames, VideoError
from vidbench.video.decoder import DECODERS, choose
from vidbench.video.pyav import decode


def reads_only(ending: str):
    """PyAV, for one kind of file alone."""

    def one(path: Path, wanted, fit=None) -> Frames:
        if path.suffix != ending:
            raise VideoError("not for me")
        return decode(path, wanted, fit)

    return one


def absent():
    raise ModuleNotFoundError("No module named 'nothing'", name="nothing")


def catalogue(*entries: tuple[str, object]) -> Catalogue:
    return Catalogue("decoder", [Entry(name, name, load, "torchcodec") for name, load in entries])


@pytest.fixture
def videos(make_video) -> list[Path]:
    return [make_video("a.mp4"), make_video("b.mkv"), make_video("c.mkv"), make_video("d.mp4")]


def test_pyav_is_first_and_enough(videos: list[Path]) -> None:
    assert choose("auto", videos) == "pyav"


def test_what_reads_most_of_the_first_videos(monkeypatch, videos: list[Path]) -> None:
    found = catalogue(("gone", absent), ("mp4", lambda: reads_only(".mp4")), ("mkv", lambda: reads_only(".mkv")))
    monkeypatch.setattr(decoder, "DECODERS", found)
    assert choose("auto", videos) == "mkv"
    assert choose("auto", videos[:1]) == "mp4"
    assert choose("auto", [videos[0].with_name("absent.mp4")]) == "gone", "nothing reads it: the first one tells why"


def test_no_more_than_three_are_looked_at(videos: list[Path]) -> None:
    seen = []

    def several() -> Iterable[Path]:
        for path in videos * 100:
            seen.append(path)
            yield path

    choose("auto", several())
    assert len(seen) == 3


def test_a_name_is_taken_or_refused(videos: list[Path]) -> None:
    assert choose("pyav", videos) == "pyav"
    with pytest.raises(UnknownNameError, match="pyaw"):
        choose("pyaw", videos)


def test_a_named_one_that_is_absent_is_missing(monkeypatch, videos: list[Path]) -> None:
    monkeypatch.setattr(decoder, "DECODERS", catalogue(("gone", absent)))
    with pytest.raises(MissingError, match="torchcodec"):
        choose("gone", videos)


def test_av1_is_read_by_what_auto_takes(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libsvtav1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(8):
            picture = np.full((64, 64, 3), index * 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    name = choose("auto", [path])
    assert DECODERS.get(name)(path, lambda info: [info.frames - 1]).indices == (7,)
