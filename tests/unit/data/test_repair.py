"""Repaired copies: what can be saved, what is said of it, and that the source stays as it was."""

from __future__ import annotations

import hashlib
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidbench.data.check import CheckRequest, CheckResult, check
from vidbench.errors import InputError
from vidbench.video.census import take
from vidbench.video.salvage import reencode, remux

FRAMES = 60


def write(path: Path, *, faststart: bool = False, size: tuple[int, int] = (64, 48), sound: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", container_options={"movflags": "faststart"} if faststart else {}) as container:
        odd = size[0] % 2 or size[1] % 2
        stream = container.add_stream("libx264", rate=30, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p" if odd else "yuv420p"
        audio = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for index in range(FRAMES):
            image = noise.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            image[:24] = 4 * index
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
            if audio and index % 4 == 0:
                block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
                block.sample_rate, block.pts = 8000, index // 4 * 1024
                container.mux(audio.encode(block))
        container.mux(stream.encode(None))
        if audio:
            container.mux(audio.encode(None))
    return path


def flip(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    place = random.Random(0)
    # about the middle, so that there are whole groups of pictures before and after
    for _ in range(6):
        data[place.randrange(len(data) * 45 // 100, len(data) * 55 // 100)] ^= 1 << place.randrange(8)
    path.write_bytes(data)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def run(folder: Path, out: str = "mended") -> CheckResult:
    return check(CheckRequest(source=folder, repair=folder.parent / out, jobs=2))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_each_damage_gets_what_helps_and_no_more_is_claimed(data: Path) -> None:
    write(data / "good.mp4")
    cut(write(data / "sub" / "cut.mp4", faststart=True, sound=True))
    flip(write(data / "flip.mp4"))
    cut(write(data / "index.mp4"))
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in data.rglob("*.mp4")}
    result = run(data)
    assert result.counts == {"ok": 1, "corrupt": 1, "truncated": 2}
    found = {one.path: one for one in result.repaired or ()}
    assert found.keys() == {"sub/cut.mp4", "flip.mp4", "index.mp4"}

    remuxed = found["sub/cut.mp4"]
    assert remuxed.how == "remuxed"
    assert remuxed.file == data.parent / "mended" / "sub" / "cut.mp4"
    assert remuxed.of == FRAMES
    assert 25 < remuxed.frames < 45
    assert remuxed.detail == f"repaired: remuxed, {remuxed.frames} of {FRAMES} frames"
    assert take(remuxed.file).kind == "ok"
    assert take(remuxed.file).frames == remuxed.frames
    with av.open(str(remuxed.file)) as container:
        assert len(container.streams.audio) == 1

    encoded = found["flip.mp4"]
    assert encoded.how == "re-encoded"
    assert encoded.file is not None
    assert 12 < encoded.frames < FRAMES
    assert encoded.detail.startswith(f"repaired: re-encoded, {encoded.frames} of {FRAMES} frames, without sound")
    assert take(encoded.file).kind in ("ok", "vfr")
    _shown_at_their_times(encoded.file)

    left = found["index.mp4"]
    assert (left.how, left.file, left.frames) == ("left", None, 0)
    assert "not remuxed" in left.detail
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in before} == before
    assert sorted(path.name for path in (data.parent / "mended").rglob("*.*") if path.is_file()) == [
        "cut.mp4", "flip.mp4", "repair.json", "repair.jsonl", "repair.lock",
    ]  # fmt: skip


def _shown_at_their_times(path: Path) -> None:
    """The upper half of a frame tells its number: no frame was moved in time, none was taken after the damage."""
    numbers = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            number = float(frame.to_ndarray(format="rgb24")[2:20].mean()) / 4
            assert frame.time is not None
            assert abs(number - frame.time * 30) < 1
            numbers.append(round(number))
    assert numbers[0] == 0
    assert numbers[-1] == FRAMES - 1
    assert numbers == sorted(set(numbers))


def test_a_repair_that_was_done_is_not_done_again(data: Path) -> None:
    path = cut(write(data / "cut.mp4", faststart=True))
    first = run(data).repaired
    copy = data.parent / "mended" / "cut.mp4"
    stamp = copy.stat().st_mtime_ns
    assert run(data).repaired == first
    assert copy.stat().st_mtime_ns == stamp
    copy.write_bytes(b"half")
    assert run(data).repaired == first
    assert copy.stat().st_size > 4
    cut(path, 0.8)
    assert (run(data).repaired or ())[0].frames < (first or ())[0].frames


def test_what_a_killed_repair_left_is_swept(data: Path) -> None:
    cut(write(data / "cut.mp4", faststart=True))
    (data.parent / "mended").mkdir()
    (data.parent / "mended" / "cut.mp4.vbpart").write_bytes(b"half")
    run(data)
    assert [path.name for path in (data.parent / "mended").glob("*.*") if path.is_file()] == ["cut.mp4"]


def test_the_same_damage_gives_the_same_bytes(data: Path) -> None:
    flip(write(data / "flip.mp4"))
    run(data, "one")
    run(data, "two")
    assert (data.parent / "one/flip.mp4").read_bytes() == (data.parent / "two/flip.mp4").read_bytes()


def test_a_copy_never_replaces_its_source(data: Path) -> None:
    cut(write(data / "cut.mp4", faststart=True))
    with pytest.raises(InputError, match="would replace"):
        check(CheckRequest(source=data, repair=data))


def test_names_that_lead_out_of_the_folder_stay_in(data: Path) -> None:
    cut(write(data / "cut.mp4", faststart=True))
    listing = data.parent / "lists" / "list.txt"
    listing.parent.mkdir()
    listing.write_text(f"../data/cut.mp4 0\n{data}/./cut.mp4 0\n")
    result = check(CheckRequest(source=listing, repair=data.parent / "out"))
    assert [one.file for one in result.repaired or ()] == [data.parent / "out" / "data" / "cut.mp4"]


def test_an_odd_frame_size_stays(data: Path) -> None:
    path = flip(write(data / "odd.mp4", size=(63, 47)))
    target = data / "again.mp4"
    assert reencode(path, target) > 10
    found = take(target)
    assert (found.width, found.height) == (63, 47)


def test_a_webm_becomes_an_mp4(data: Path) -> None:
    data.mkdir()
    with av.open(str(data / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=30, options={"cpu-used": "8", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(FRAMES):
            picture = np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    cut(data / "a.webm")
    (found,) = run(data).repaired or ()
    assert found.file == data.parent / "mended" / "a.webm.mp4"
    assert found.how == "remuxed"
    assert found.of is None
    assert found.detail == f"repaired: remuxed, {found.frames} of unknown frames"
    assert remux(found.file, data / "b.mp4") == found.frames
