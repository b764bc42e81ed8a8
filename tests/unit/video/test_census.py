"""What each kind of damage makes of a file, and which level sees it: the table of the checks."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.video.census import Census, Level, missing_bytes, take

LEVELS: tuple[Level, ...] = ("quick", "sampled", "full")
FRAMES = 60


def write(
    path: Path,
    *,
    codec: str = "libx264",
    times: list[int] | None = None,
    faststart: bool = False,
    options: dict[str, str] | None = None,
    sound: bool = False,
) -> Path:
    """A video of noise, so that nearly every bit of it matters; `times` are in 1/30 s."""
    times = list(range(FRAMES)) if times is None else times
    noise = np.random.default_rng(0)
    container_options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", container_options=container_options) as container:
        stream = container.add_stream(codec, rate=30, options=options or {})
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = 64, 48, "yuv420p", 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, 30)
        audio = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for time in times:
            image = noise.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 30)
            container.mux(stream.encode(frame))
        if audio:
            for index in range(len(times) // 4):
                block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
                block.sample_rate, block.pts = 8000, index * 1024
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
        container.mux(stream.encode(None))
    return path


def flip(path: Path, target: Path, count: int = 40) -> Path:
    """A copy with flipped bits in the second half of its bytes, the index left alone."""
    data = bytearray(path.read_bytes())
    end = data.find(b"moov")
    end = end - 8 if end > len(data) // 2 else len(data)
    place = random.Random(0)
    for _ in range(count):
        data[place.randrange(end // 2, end)] ^= 1 << place.randrange(8)
    target.write_bytes(data)
    return target


def kinds(path: Path) -> dict[str, str]:
    return {level: take(path, level).kind for level in LEVELS}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.mp4", options={"g": "12"})


@pytest.mark.parametrize("level", LEVELS)
def test_a_good_video_has_its_facts(good: Path, level: Level) -> None:
    assert take(good, level) == Census("ok", "", FRAMES, FRAMES, Fraction(30), 64, 48, "h264")
    assert take(good, level).duration_s == 2.0


def test_damage_that_needs_no_decoding_is_seen_by_every_level(tmp_path: Path, good: Path) -> None:
    (tmp_path / "zero.mp4").write_bytes(b"")
    assert kinds(tmp_path / "zero.mp4") == dict.fromkeys(LEVELS, "empty")
    assert kinds(tmp_path / "absent.mp4") == dict.fromkeys(LEVELS, "missing")
    (tmp_path / "page.mp4").write_text("<!DOCTYPE html><html><title>Sign in</title></html>")
    assert kinds(tmp_path / "page.mp4") == dict.fromkeys(LEVELS, "no_video")
    (tmp_path / "words.mp4").write_text("error 429\n" * 50)
    assert kinds(tmp_path / "words.mp4") == dict.fromkeys(LEVELS, "no_video")
    # the index of an mp4 lies at its end unless it was put first
    (tmp_path / "end.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    assert kinds(tmp_path / "end.mp4") == dict.fromkeys(LEVELS, "truncated")
    assert "bytes are missing" in take(tmp_path / "end.mp4").detail
    first = write(tmp_path / "first.mp4", faststart=True)
    (tmp_path / "cut.mp4").write_bytes(first.read_bytes()[: first.stat().st_size * 6 // 10])
    assert kinds(tmp_path / "cut.mp4") == dict.fromkeys(LEVELS, "truncated")
    cut = take(tmp_path / "cut.mp4")
    assert cut.declared == FRAMES
    assert cut.frames is not None
    assert 20 < cut.frames < 45
    assert cut.detail.startswith(f"{cut.frames} of {FRAMES} frames are there")


def test_sound_alone_and_a_container_alone(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        block.sample_rate, block.pts = 8000, 0
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    assert kinds(tmp_path / "sound.mp4") == dict.fromkeys(LEVELS, "no_video")
    # what ffmpeg leaves of a time window behind the end: boxes, no tracks
    header = bytes(12) + (1000).to_bytes(4, "big") + bytes(84)
    boxes = _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41") + _box(b"mdat", b"") + _box(b"moov", _box(b"mvhd", header))
    (tmp_path / "window.mp4").write_bytes(boxes)
    assert kinds(tmp_path / "window.mp4") == dict.fromkeys(LEVELS, "empty")


def _box(name: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + name + content


def test_flipped_bits_are_seen_by_decoding_alone(tmp_path: Path, good: Path) -> None:
    broken = flip(good, tmp_path / "flip.mp4")
    assert take(broken, "quick").kind == "ok"
    assert take(broken, "sampled").kind == "corrupt"
    found = take(broken)
    assert found.kind == "corrupt"
    assert found.declared == FRAMES
    assert found.frames is not None
    assert 0 < found.frames < FRAMES
    # lenient decoding, which readers use, returns every frame of it
    with av.open(str(broken)) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    assert take(broken) == found


def test_uneven_frames_are_told_and_a_coarse_clock_is_not(tmp_path: Path) -> None:
    uneven = write(tmp_path / "uneven.mp4", times=[n * 2 if n < 20 else 40 + (n - 20) * 5 for n in range(40)])
    assert kinds(uneven) == dict.fromkeys(LEVELS, "vfr")
    assert take(uneven).frames == 40
    dropped = write(tmp_path / "dropped.mp4", times=[n for n in range(60) if n != 30])
    assert take(dropped).kind == "vfr"
    # milliseconds: 33, 33, 34
    assert kinds(write(tmp_path / "clock.mkv")) == dict.fromkeys(LEVELS, "ok")


@pytest.mark.parametrize(
    ("codec", "name", "word"),
    [
        ("libx265", "a.mp4", "hevc"),
        ("libvpx-vp9", "a.webm", "vp9"),
        ("libsvtav1", "a.mp4", "av1"),
        ("mpeg4", "a.avi", "mpeg4"),
    ],
)
def test_other_codecs_and_containers(tmp_path: Path, codec: str, name: str, word: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    options = {"libx265": {"x265-params": "log-level=none"}, "libvpx-vp9": {"cpu-used": "8"}}.get(codec, {})
    path = write(tmp_path / name, codec=codec, options=options)
    found = take(path)
    assert (found.kind, found.frames, found.codec, found.fps) == ("ok", FRAMES, word, 30)
    cut = tmp_path / f"cut{path.suffix}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    assert kinds(cut) == dict.fromkeys(LEVELS, "truncated")


def test_bytes_that_are_missing_are_counted(tmp_path: Path, good: Path) -> None:
    assert missing_bytes(good) == ""
    for name in ("a.mkv", "a.avi"):
        path = write(tmp_path / name, codec="mpeg4")
        assert missing_bytes(path) == ""
        path.write_bytes(path.read_bytes()[:-100])
        assert missing_bytes(path) == "100 bytes are missing"
    (tmp_path / "tiny.mp4").write_bytes(good.read_bytes()[:40])
    assert missing_bytes(tmp_path / "tiny.mp4")


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "picture.mp4").write_bytes(_png())
    assert take(tmp_path / "picture.mp4").kind == "no_video"


def _png() -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, "PNG")
    return stream.getvalue()


def test_another_decoder_has_to_return_every_frame(make_video: Callable[..., Path]) -> None:
    pytest.importorskip("decord")
    path = make_video("a.mp4")
    assert take(path, decoder="decord") == take(path)


def test_a_decoder_that_cannot_is_unsupported(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV has no libsvtav1")
    path = write(tmp_path / "a.mp4", codec="libsvtav1")
    found = take(path, decoder="decord")
    assert (found.kind, found.frames) == ("unsupported", 0)
    assert found.detail.startswith("decord")


def test_sound_beside_the_picture_changes_nothing(tmp_path: Path) -> None:
    assert take(write(tmp_path / "both.mp4", sound=True)).kind == "ok"


def test_frames_hidden_by_an_edit_list_are_not_counted(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    path = make_video("long.mp4", frames=40)
    cut = tmp_path / "cut.mp4"
    with av.open(str(path)) as old, av.open(str(cut), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        start = round(Fraction(12, 30) / stream.time_base)
        for packet in old.demux(stream):
            if packet.size and packet.pts >= start:
                packet.stream = copy
                new.mux(packet)
    found = take(cut)
    assert found.kind == "ok"
    with av.open(str(cut)) as container:
        assert found.frames == sum(1 for _ in container.decode(video=0))
