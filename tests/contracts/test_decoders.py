"""What every decoder of the catalogue must do; adding an entry adds its tests."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.errors import MissingError
from vidbench.video.clip import VideoError, VideoInfo
from vidbench.video.decoder import DECODERS, Decoder
from vidbench.video.fit import Fit
from vidbench.video.sampling import Resize

MakeVideo = Callable[..., Path]
CODECS = {"h264": ("libx264", ".mp4"), "hevc": ("libx265", ".mp4"), "vp9": ("libvpx-vp9", ".webm")}
"""What all of them can decode; AV1 is told by `data check --matrix`."""


@pytest.fixture(params=DECODERS.names())
def decode(request: pytest.FixtureRequest) -> Decoder:
    try:
        return DECODERS.get(request.param)
    except MissingError as error:
        pytest.skip(error.message)


def picture(index: int) -> np.ndarray:
    """A ramp that moves, in three colours."""
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    return np.stack([(2 * x + 3 * index) % 256, 40 + 3 * y, np.full_like(x, 5 * index)], axis=2).astype(np.uint8)


def write(path: Path, codec: str, frames: int = 20, rotate: int = 0) -> Path:
    options = {"libx265": {"x265-params": "log-level=none"}, "libvpx-vp9": {"cpu-used": "8"}}.get(codec, {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30000, 1001), options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", CODECS)
def test_facts_and_pictures_are_those_of_pyav(decode: Decoder, tmp_path: Path, codec: str) -> None:
    encoder, ending = CODECS[codec]
    path = write(tmp_path / f"a{ending}", encoder)
    asked: list[VideoInfo] = []

    def wanted(info: VideoInfo) -> list[int]:
        asked.append(info)
        return [7, 0, 19, 7]

    found = decode(path, wanted)
    reference = DECODERS.get("pyav")(path, lambda info: [0, 7, 19])
    assert found.info == reference.info
    assert (found.info.frames, found.info.fps, found.info.codec) == (20, Fraction(30000, 1001), codec)
    assert asked[-1] == found.info
    assert found.indices == (0, 7, 19)
    assert found.data.dtype == np.uint8
    assert np.abs(found.data.astype(int) - reference.data).max() <= 4


@pytest.mark.parametrize("how", ["decode", "exact"])
def test_frames_made_small_are_those_of_pyav(decode: Decoder, tmp_path: Path, how: Resize) -> None:
    path = write(tmp_path / "a.mp4", "libx264")
    fit = Fit(20, how)
    found = decode(path, lambda info: [0, 7, 19], fit)
    reference = DECODERS.get("pyav")(path, lambda info: [0, 7, 19], fit)
    assert found.data.dtype == reference.data.dtype
    assert found.data.shape == reference.data.shape == (3, 20, 26, 3)
    assert (found.info.width, found.info.height) == (64, 48), "the facts are the video's"
    assert np.abs(found.data.astype(float) - reference.data).max() <= 6
    assert np.abs(found.data.astype(float) - reference.data).mean() <= 1.5


def test_frames_are_as_coded_not_as_displayed(decode: Decoder, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "libx264")
    data = bytearray(path.read_bytes())
    # the matrix of the track's header: turn by 90 degrees
    place = data.index(b"tkhd") + 4 + 40
    matrix = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
    data[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    with av.open(str(turned)) as container:
        assert abs(next(container.decode(video=0)).rotation) == 90
    straight = decode(path, lambda info: [0, 5])
    try:
        again = decode(turned, lambda info: [0, 5])
    except VideoError as refused:
        if "rotation" not in str(refused):
            raise
        # a decoder may refuse such a video; it may not give other pictures
        return
    assert again.data.shape == (2, 48, 64, 3)
    assert np.array_equal(again.data, straight.data)


def test_frames_are_counted_by_decoding(decode: Decoder, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "libx264", frames=40)
    cut = tmp_path / "cut.mp4"
    with av.open(str(path)) as old, av.open(str(cut), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for number, packet in enumerate(old.demux(stream)):
            if packet.size and number < 25:
                packet.stream = copy
                new.mux(packet)
    with av.open(str(cut)) as container:
        count = sum(1 for _ in container.decode(video=0))
    assert decode(cut, lambda info: [info.frames - 1]).indices == (count - 1,)


def test_what_cannot_be_read_is_a_video_error(decode: Decoder, tmp_path: Path, make_video: MakeVideo) -> None:
    good = make_video("good.mp4").read_bytes()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        block.sample_rate, block.pts = 8000, 0
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "page.mp4").write_text("<html>not found</html>")
    (tmp_path / "cut.mp4").write_bytes(good[: len(good) // 2])
    (tmp_path / "folder.mp4").mkdir()
    for name in ("absent.mp4", "zero.mp4", "page.mp4", "cut.mp4", "sound.mp4", "folder.mp4"):
        with pytest.raises(VideoError) as caught:
            decode(tmp_path / name, lambda info: [0])
        assert str(caught.value)
        assert "\n" not in str(caught.value)


def test_indices_out_of_range_are_a_bug_of_the_caller(decode: Decoder, make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=10)
    for wrong in ([10], [-1], []):
        with pytest.raises(ValueError, match="indices"):
            decode(path, lambda info, wrong=wrong: wrong)


def test_names_with_anything_in_them(decode: Decoder, make_video: MakeVideo) -> None:
    path = make_video('- it\'s "ü"\n%d.mp4', frames=10)
    assert decode(path, lambda info: [9]).info.frames == 10
