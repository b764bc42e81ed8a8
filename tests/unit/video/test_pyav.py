"""Decoding real files, whole and broken."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.video.clip import VideoError
from vidbench.video.pyav import decode, probe


def grey(index: int, frames: int) -> int:
    return 40 + index * 160 // (frames - 1)


@pytest.mark.parametrize(("fps", "frames"), [("30", 30), ("30000/1001", 41), ("25", 12)])
def test_probe_counts_frames_and_keeps_the_rate_exact(make_video, fps: str, frames: int) -> None:
    info = probe(make_video(frames=frames, fps=fps))
    assert (info.frames, info.fps, info.codec, info.width, info.height) == (frames, Fraction(fps), "h264", 64, 48)
    assert info.duration_s == pytest.approx(frames / Fraction(fps))


def test_decode_keeps_the_frames_that_were_asked_for(make_video) -> None:
    frames = decode(make_video(frames=31), lambda info: (info.frames - 1, 0, 17, 17))
    assert frames.indices == (0, 17, 30)
    assert frames.data.shape == (3, 48, 64, 3)
    assert frames.data.dtype == np.uint8
    for index, image in zip(frames.indices, frames.data, strict=True):
        assert abs(int(image.mean()) - grey(index, 31)) <= 2


def test_colours_are_rgb(tmp_path: Path) -> None:
    from vidbench.video.encode import encode

    path = tmp_path / "red.mp4"
    encode(path, (np.full((48, 64, 3), (200, 30, 60), dtype=np.uint8) for _ in range(4)), Fraction(30))
    red, green, blue = decode(path, lambda info: [2]).data[0].reshape(-1, 3).mean(axis=0)
    assert (red, green, blue) == pytest.approx((200, 30, 60), abs=8)


def test_indices_out_of_the_video_are_a_mistake_of_the_caller(make_video) -> None:
    with pytest.raises(ValueError, match="indices must lie"):
        decode(make_video(frames=10), lambda info: [10])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"this is a text and no video\n" * 200, "not a readable video"),
        (None, "no such file"),
    ],
)
def test_files_that_are_no_videos_give_a_reason(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=reason):
        decode(path, lambda info: [0])


def test_a_file_without_a_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        decode(path, lambda info: [0])


def test_a_header_without_a_stream_is_a_reason_and_not_a_crash(tmp_path: Path) -> None:
    """The file that ffmpeg leaves, with exit code 0, when no packet falls into the span it was to cut."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        container.add_stream("libx264", rate=30, width=64, height=48, pix_fmt="yuv420p")
    with pytest.raises(VideoError):
        decode(path, lambda info: [0])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("faststart", [False, True])
def test_truncated_files_fail_and_say_so(make_video, tmp_path: Path, share: float, faststart: bool) -> None:
    whole = make_video(frames=60, size=(128, 96))
    if faststart:
        moved = tmp_path / "moved.mp4"
        with (
            av.open(str(whole)) as source,
            av.open(str(moved), "w", format="mp4", options={"movflags": "faststart"}) as target,
        ):
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        whole = moved
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(VideoError):
        decode(cut, lambda info: range(info.frames))


def test_every_codec_that_pyav_carries(tmp_path: Path) -> None:
    for codec in ("libx264", "libx265", "libvpx-vp9", "libsvtav1"):
        path = tmp_path / f"{codec}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, width=128, height=96, pix_fmt="yuv420p")
            for index in range(20):
                image = np.full((96, 128, 3), 60 + 6 * index, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
        frames = decode(path, lambda info: range(info.frames))
        assert frames.info.frames == 20, codec
        assert np.abs(frames.data[10].mean() - 120) < 4, codec
