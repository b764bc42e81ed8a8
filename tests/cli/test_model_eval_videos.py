"""`vidbench model eval` on videos of every odd kind: each is scored or recorded as failed, and the others stand."""

import json
import os
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vidbench.cli.app import main
from vidbench.video.encode import encode

WORDS = ("--views", "1x1", "--workers", "2", "--misses", "0")


def pictures(count: int, width: int, height: int, channels: int = 3) -> Iterator[np.ndarray]:
    """Moving gradients, so that no two frames are alike."""
    rows, columns = np.mgrid[:height, :width]
    for index in range(count):
        planes = [rows * 3 + index * 7, columns * 3 + index * 5, rows + columns + index * 11, rows * 0 + 90 + index]
        yield np.stack(planes[:channels], axis=-1).astype(np.uint8) // 2 + 40


def film(
    path: Path,
    codec: str,
    form: str,
    count: int,
    width: int,
    height: int,
    box: str | None = None,
    source: str = "rgb24",
) -> Path:
    with av.open(str(path), "w", format=box) as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, form
        for image in pictures(count, width, height, 4 if source == "rgba" else 3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=source)))
        container.mux(stream.encode())
    return path


def plain(path: Path, count: int = 20, width: int = 64, height: int = 48) -> Path:
    encode(path, pictures(count, width, height), Fraction(30))
    return path


def turned(path: Path) -> Path:
    """The picture of `plain`, with a header that asks players to turn it by 90 degrees."""
    data = bytearray(plain(path).read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    held = [int.from_bytes(data[matrix + 4 * place : matrix + 4 * place + 4], "big", signed=True) for place in range(9)]
    assert held == [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]
    for place, value in enumerate((0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)):
        data[matrix + 4 * place : matrix + 4 * place + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path


def resized(path: Path) -> Path:
    """A stream whose pictures become larger midway."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for image in pictures(10, 64, 48):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        larger = av.CodecContext.create("mjpeg", "w")
        larger.width, larger.height, larger.pix_fmt, larger.time_base = 96, 80, "yuvj420p", Fraction(1, 30)
        for place, image in enumerate(pictures(10, 96, 80), start=10):
            for packet in larger.encode(av.VideoFrame.from_ndarray(image)):
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, place, place, Fraction(1, 30)
                container.mux(packet)
    return path


def without_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def sound(path: Path) -> Path:
    with path.open("wb") as stream, wave.open(stream) as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(16000))
    return path


def moving(path: Path) -> Path:
    frames = [Image.fromarray(image) for image in pictures(5, 40, 30)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    return path


def cut(path: Path) -> Path:
    path.write_bytes(plain(path).read_bytes()[:3000])
    return path


def text(path: Path) -> Path:
    path.write_text("no video\n" * 100)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def fifo_link(path: Path) -> Path:
    path.symlink_to(fifo(path.with_name("pipe")))
    return path


def loop(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def nothing(path: Path) -> Path:
    return path


def filmed(*words: object) -> Callable[[Path], Path]:
    return lambda path: film(path, *words)  # type: ignore[arg-type]


# a stream without times and an index: FFmpeg can read it once, which is not enough for each way of counting frames
EITHER = -1
# name, how it is made, frames that are found or None, what the reason holds
KINDS: tuple[tuple[str, Callable[[Path], Path], int | None, str], ...] = (
    ("good.mp4", plain, 20, ""),
    ("resized.mkv", resized, None, "the frame size changes at frame 1"),
    ("turned.mp4", turned, 20, ""),
    ("odd.mkv", filmed("ffv1", "yuv420p", 12, 65, 47), 12, ""),
    ("wide.mkv", filmed("ffv1", "yuv444p", 6, 1000, 3), 6, ""),
    ("high.mkv", filmed("ffv1", "yuv444p", 6, 3, 500), 6, ""),
    ("dot.mkv", filmed("ffv1", "yuv444p", 6, 1, 1), 6, ""),
    ("line.mkv", filmed("ffv1", "yuv444p", 30, 60000, 1), None, "GiB"),
    ("alpha.mov", filmed("png", "rgba", 8, 64, 48, None, "rgba"), 8, ""),
    ("clear.mov", filmed("qtrle", "argb", 8, 64, 48, None, "rgba"), 8, ""),
    ("grey.mkv", filmed("ffv1", "gray", 8, 64, 48), 8, ""),
    ("deep.mkv", filmed("ffv1", "yuv420p10le", 8, 64, 48), 8, ""),
    ("raw.h264", filmed("libx264", "yuv420p", 15, 64, 48), EITHER, ""),
    ("one.mp4", lambda path: plain(path, 1), 1, ""),
    ("none.mp4", without_frames, None, "no video stream"),
    ("cut.mp4", cut, None, ""),
    ("text.mp4", text, None, "not a readable video"),
    ("gone.mp4", nothing, None, "no such file"),
    ("folder.mp4", folder, None, "a folder, not a file"),
    ("fifo.mp4", fifo, None, "not a regular file"),
    ("linked.mp4", fifo_link, None, "not a regular file"),
    ("loop.mp4", loop, None, "no such file"),
    ("fifo.jpg", fifo, None, "not a regular file"),
    ("folder.png", folder, None, "a folder, not a file"),
    ("huge.mkv", filmed("mjpeg", "yuvj420p", 1, 3840, 2160), 1, ""),
    ("sound.wav", sound, None, "no video stream"),
    ("moving.gif", moving, 5, ""),
    ("moving.webp", moving, 1, ""),
    ("last.mp4", plain, 20, ""),
)


@dataclass(frozen=True)
class Odd:
    """The list, the run that was made of it, and what the run said."""

    clips: Path
    run: Path
    code: int
    model: Path

    def records(self) -> dict[str, dict]:
        rows = [json.loads(line) for line in (self.run / "clips.jsonl").read_text().splitlines()]
        return {row["path"]: row for row in rows}

    def again(self, out: Path, *more: str) -> int:
        return main(["-q", "model", "eval", str(self.model), str(self.clips), *WORDS, "--out", str(out), *more])


@pytest.fixture(scope="module")
def odd(small_model, tmp_path_factory) -> Odd:
    home = tmp_path_factory.mktemp("odd")
    for name, make, _, _ in KINDS:
        make(home / name)
    clips = home / "list.txt"
    clips.write_text("".join(f"{name} {place % 3}\n" for place, (name, *_) in enumerate(KINDS)))
    found = Odd(clips, home / "run", 0, small_model)
    return Odd(clips, found.run, found.again(found.run), small_model)


def test_each_is_scored_or_failed_with_its_reason(odd) -> None:
    assert odd.code == 6
    records = odd.records()
    assert list(records) == [name for name, *_ in KINDS]
    found = {
        name: record["frames"] if record["status"] == "ok" else record["reason"] for name, record in records.items()
    }
    wrong = {
        name: found[name]
        for name, _, frames, reason in KINDS
        if found[name] != frames
        and (frames not in (None, EITHER) or not isinstance(found[name], str) or reason not in found[name])
        and not (frames == EITHER and found[name] == 15)
    }
    assert wrong == {}
    summary = json.loads((odd.run / "summary.json").read_text())
    good = sum(record["status"] == "ok" for record in records.values())
    assert (summary["clips"], summary["evaluated"]) == (len(KINDS), good)
    assert [failure["path"] for failure in summary["failures"]] == [
        name for name, record in records.items() if record["status"] == "failed"
    ]
    assert all("\n" not in failure["reason"] and failure["reason"] for failure in summary["failures"])


def test_what_a_header_asks_of_a_player_changes_no_score(odd) -> None:
    records = odd.records()
    assert records["turned.mp4"]["scores"] == records["good.mp4"]["scores"] == records["last.mp4"]["scores"]


def test_transparency_is_dropped(odd) -> None:
    records = odd.records()
    # one is 8 bits of R, G, B and A, the other A, R, G and B: both hold the same colours without loss
    assert records["alpha.mov"]["scores"] == pytest.approx(records["clear.mov"]["scores"], abs=1e-6)


def test_a_good_video_between_broken_ones_has_the_score_that_it_has_alone(odd, tmp_path) -> None:
    (tmp_path / "list.txt").write_text("odd.mkv 0\nlast.mp4 0\n")
    words = ["-q", "model", "eval", str(odd.model), str(tmp_path / "list.txt"), "--root", str(odd.clips.parent), *WORDS]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    alone = [json.loads(line) for line in (tmp_path / "run" / "clips.jsonl").read_text().splitlines()]
    assert {row["path"]: row["scores"] for row in alone} == {
        name: odd.records()[name]["scores"] for name in ("odd.mkv", "last.mp4")
    }


def test_the_run_goes_on_and_tries_the_failed_ones_again(odd) -> None:
    before = (odd.run / "clips.jsonl").read_bytes()
    (odd.clips.parent / "gone.mp4").symlink_to("good.mp4")
    assert odd.again(odd.run) == 6
    (odd.clips.parent / "gone.mp4").unlink()
    mended = odd.records()
    assert mended["gone.mp4"]["scores"] == mended["good.mp4"]["scores"]
    assert (odd.run / "clips.jsonl").read_bytes().count(b"\n") == before.count(b"\n") == len(KINDS)


def test_the_settings_of_reading_agree(small_model, tmp_path) -> None:
    """Scaling by FFmpeg in steps of 1/255 or by float32: what a network makes of it moves by less than a tenth."""
    for place in range(2):
        plain(tmp_path / f"{place}.mp4", width=80, height=60)
    (tmp_path / "list.txt").write_text("0.mp4 0\n1.mp4 1\n")
    found = {}
    for how in ("decode", "exact"):
        out = tmp_path / how
        words = ["-q", "model", "eval", str(small_model), str(tmp_path / "list.txt"), *WORDS, "--out", str(out)]
        assert main([*words, "--resize", how]) == 0
        found[how] = [json.loads(line)["scores"] for line in (out / "clips.jsonl").read_text().splitlines()]
    for first, second in zip(found["decode"], found["exact"], strict=True):
        assert first == pytest.approx(second, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["torchcodec", "decord"])
def test_other_decoders_agree(odd, tmp_path, decoder) -> None:
    """Another build of FFmpeg, another conversion to RGB: a few grey levels, so a few hundredths of a score."""
    from vidbench.errors import MissingError
    from vidbench.video.decoder import DECODERS

    try:
        DECODERS.get(decoder)
    except MissingError as absent:
        pytest.skip(str(absent))
    (tmp_path / "list.txt").write_text("good.mp4 0\ntext.mp4 0\nfifo.mp4 0\nlast.mp4 0\n")
    words = ["-q", "model", "eval", str(odd.model), str(tmp_path / "list.txt"), "--root", str(odd.clips.parent), *WORDS]
    assert main([*words, "--decoder", decoder, "--out", str(tmp_path / "run")]) == 6
    rows = [json.loads(line) for line in (tmp_path / "run" / "clips.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok", "failed", "failed", "ok"]
    assert rows[0]["scores"] == pytest.approx(odd.records()["good.mp4"]["scores"], abs=0.05)


def test_a_video_that_takes_too_long_is_a_failed_one(small_model, tmp_path) -> None:
    film(tmp_path / "long.mkv", "mjpeg", "yuvj420p", 1, 64, 48)
    plain(tmp_path / "good.mp4")
    (tmp_path / "list.txt").write_text("long.mkv 0\ngood.mp4 1\n")
    words = [
        "-q",
        "model",
        "eval",
        str(small_model),
        str(tmp_path / "list.txt"),
        *WORDS,
        "--out",
        str(tmp_path / "run"),
    ]
    assert main([*words, "--timeout", "0.001"]) == 6
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [failure["reason"] for failure in summary["failures"]] == ["reading it took longer than 0.001 s"] * 2
    # the time limit is no part of the result: the same run is taken up with another one
    assert main([*words, "--timeout", "60"]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["evaluated"] == 2
