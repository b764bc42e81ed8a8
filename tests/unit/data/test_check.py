"""The census of lists, folders and manifests: classes, duplicates, resuming, frozen files, coverage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vidbench.data.check import CheckRequest, CheckResult, check, codec_matrix
from vidbench.data.dataset import read_clips
from vidbench.errors import InputError, RunConflictError, UnknownNameError, UsageError
from vidbench.formats.manifest import load_manifest
from vidbench.video.clip import VideoError

MakeVideo = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_video: MakeVideo) -> Path:
    """Seven lines: a good one, its copy, a page, a cut one, one that is missing, a short one, the first one again."""
    monkeypatch.chdir(tmp_path)
    make_video("v/a.mp4", frames=30)
    shutil.copy("v/a.mp4", "v/copy.mp4")
    Path("v/page.mp4").write_text("<html></html>")
    data = make_video("v/b.mp4", frames=20).read_bytes()
    Path("v/cut.mp4").write_bytes(data[: len(data) // 2])
    lines = [
        "./v/a.mp4 0",
        "./v/copy.mp4 1",
        "./v/page.mp4 0",
        "v/cut.mp4 1",
        "v/gone.mp4 0",
        "./v/b.mp4 2",
        "v/a.mp4 0",
    ]
    Path("list.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


KINDS = ["ok", "duplicate", "no_video", "truncated", "missing", "short", "duplicate"]


def run(source: str = "list.txt", **options: object) -> CheckResult:
    return check(CheckRequest(source=Path(source), jobs=2, **options))  # type: ignore[arg-type]


def test_a_list_its_manifest_and_its_clean_copy(folder: Path) -> None:
    result = run(min_duration=0.9, manifest=Path("m.jsonl"), clean=Path("clean.txt"))
    assert (result.listed, result.usable, result.bad) == (7, 2, 5)
    assert result.counts == {
        "ok": 1, "short": 1, "duplicate": 2, "no_video": 1, "truncated": 1, "missing": 1,
    }  # fmt: skip
    details = {finding.line: finding.detail for finding in result.findings}
    assert details[2] == "the same bytes as ./v/a.mp4 at line 1"
    assert details[6] == "0.666667 s, less than 0.9 s"
    assert details[7] == "the file is listed before at line 1"
    assert Path("clean.txt").read_text() == "./v/a.mp4 0\n./v/b.mp4 2\n"
    manifest = load_manifest(Path("m.jsonl"))
    assert [row.kind for row in manifest.rows] == KINDS
    assert [row.path for row in manifest.rows][3] == "v/cut.mp4"
    first = manifest.rows[0]
    assert (first.frames, first.fps, first.duration_s, first.width, first.height) == (30, 30, 1.0, 64, 48)
    assert first.bytes == Path("v/a.mp4").stat().st_size
    assert manifest.root == "."
    assert result.records.is_file()


def test_a_manifest_is_taken_where_a_list_is(folder: Path) -> None:
    run(min_duration=0.9, manifest=Path("m.jsonl"), clean=Path("clean.txt"))
    clips = read_clips(Path("m.jsonl"))
    plain = read_clips(Path("clean.txt"))
    assert [(item.key, item.path, item.label) for item in clips.items] == [
        (item.key, item.path, item.label) for item in plain.items
    ]
    assert (clips.listed, plain.listed) == (7, 2)
    assert clips.root_rule == "manifest"
    assert read_clips(Path("m.jsonl"), limit=1).listed == 7
    assert len(read_clips(Path("m.jsonl"), limit=1).items) == 1
    item = clips.items[0]
    assert item.file() == item.path
    Path("v/a.mp4").write_bytes(b"other")
    with pytest.raises(VideoError, match="changed since the manifest: 5 bytes"):
        item.file()
    Path("v/a.mp4").unlink()
    with pytest.raises(VideoError, match="no such file"):
        item.file()
    assert plain.items[0].file() == plain.items[0].path


def test_manifest_and_data_move_together(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    run(manifest=Path("lists/m.jsonl"))
    assert load_manifest(Path("lists/m.jsonl")).root == ".."
    there = tmp_path_factory.mktemp("moved") / "data"
    shutil.move(folder / "v", there / "v")
    shutil.move(folder / "lists", there / "lists")
    clips = read_clips(there / "lists" / "m.jsonl")
    assert clips.items[0].path == there.resolve() / "v" / "a.mp4"
    # away from the data the root is told, or is the old one and gone
    shutil.copy(there / "lists" / "m.jsonl", folder / "away.jsonl")
    assert read_clips(folder / "away.jsonl", root=there).items[0].file().is_file()
    with pytest.raises(InputError, match="no such folder"):
        read_clips(folder / "away.jsonl", root=folder / "nowhere")


def test_whether_a_manifest_still_holds(folder: Path, make_video: MakeVideo) -> None:
    run(min_duration=0.9, manifest=Path("m.jsonl"))
    again = run("m.jsonl")
    assert again.verified
    assert (again.changed, again.bad, again.counts["short"]) == ((), 0, 1)
    # same size and other bytes: only the hash tells
    data = bytearray(Path("v/b.mp4").read_bytes())
    data[-1] ^= 1
    Path("v/b.mp4").write_bytes(data)
    Path("v/copy.mp4").unlink()
    changed = {finding.path: finding.detail for finding in run("m.jsonl").changed}
    assert changed.keys() == {"./v/b.mp4", "./v/copy.mp4"}
    assert changed["./v/b.mp4"].startswith("other bytes: sha256")
    assert changed["./v/copy.mp4"] == "is missing"


def test_a_folder_is_walked_and_other_files_are_counted(folder: Path, make_video: MakeVideo) -> None:
    make_video('v/deep/- "ü"\n.MP4'.replace("MP4", "mp4"), frames=12)
    Path("v/.vidbench").mkdir()
    Path("v/.vidbench/x.mp4").write_text("ours")
    Path("v/half.mp4.vbpart").write_text("ours")
    Path("v/loop").symlink_to(folder / "v")
    result = run("v", manifest=Path("m.jsonl"))
    assert (result.listed, result.others) == (6, 0)
    rows = load_manifest(Path("m.jsonl")).rows
    assert [row.path for row in rows] == ["a.mp4", "b.mp4", "copy.mp4", "cut.mp4", 'deep/- "ü"\n.mp4', "page.mp4"]
    assert [row.label for row in rows] == [None] * 6
    with pytest.raises(InputError, match="no usable video with a label"):
        read_clips(Path("m.jsonl"))
    with pytest.raises(UsageError, match="has no labels"):
        run("v", clean=Path("c.txt"))
    assert run(".").others == 2


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")).write_bytes(b"")
    except OSError:
        pytest.skip("this disk takes no such name")
    with pytest.raises(InputError, match="not UTF-8"):
        run(str(tmp_path))


def test_what_is_frozen_stays(folder: Path) -> None:
    run(manifest=Path("m.jsonl"), clean=Path("c.txt"))
    before = Path("m.jsonl").read_bytes(), Path("c.txt").read_bytes()
    run(manifest=Path("m.jsonl"), clean=Path("c.txt"))
    Path("v/b.mp4").unlink()
    with pytest.raises(RunConflictError, match=r"m\.jsonl is frozen, and 1 of its 8 lines would change"):
        run(manifest=Path("m.jsonl"), clean=Path("c.txt"))
    assert (Path("m.jsonl").read_bytes(), Path("c.txt").read_bytes()) == before
    run(manifest=Path("m.jsonl"), clean=Path("c.txt"), overwrite=True)
    assert load_manifest(Path("m.jsonl")).rows[5].kind == "missing"
    assert Path("c.txt").read_text() == "./v/a.mp4 0\n"


def test_what_was_done_is_not_done_again_while_the_file_stays(folder: Path, make_video: MakeVideo) -> None:
    def times(result: CheckResult) -> dict[str, float]:
        return {record["name"]: record["time"] for record in map(json.loads, result.records.open())}

    before = times(run())
    assert len(before) == 6
    make_video("v/b.mp4", frames=25)
    make_video("v/gone.mp4", frames=10)
    after = times(run())
    assert {name for name in after if after[name] != before[name]} == {"./v/b.mp4", "v/gone.mp4"}
    assert run().counts["ok"] == 3


def test_levels_and_decoders(folder: Path) -> None:
    assert run(level="quick").counts == run(level="sampled").counts == run().counts
    with pytest.raises(UsageError, match="needs --level full"):
        run(level="quick", decoder="decord")
    with pytest.raises(UnknownNameError):
        run(decoder="decodr")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"manifest": Path("list.txt")}, "would overwrite what is checked"),
        ({"clean": Path("./list.txt")}, "would overwrite what is checked"),
        ({"clean": Path("v")}, "is a folder"),
        ({"manifest": Path("m.txt")}, r"end in \.jsonl"),
        ({"manifest": Path("m.jsonl"), "clean": Path("./m.jsonl")}, "the same file"),
    ],
)
def test_targets_that_cannot_be(folder: Path, options: dict[str, Path], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        run(**options)


def test_a_list_without_any_usable_video_is_not_written(folder: Path) -> None:
    Path("bad.txt").write_text("v/page.mp4 0\n")
    with pytest.raises(InputError, match="no video is usable"):
        run("bad.txt", clean=Path("c.txt"))
    assert not Path("c.txt").exists()


def test_a_decoder_that_hangs_costs_its_video_alone(folder: Path) -> None:
    # opening a pipe that nobody writes to never ends
    os.mkfifo("v/pipe.mp4")
    Path("short.txt").write_text("v/pipe.mp4 0\nv/a.mp4 0\n")
    result = run("short.txt", timeout=20)
    assert [(finding.path, finding.kind) for finding in result.findings] == [("v/pipe.mp4", "missing")]
    slow = run("list.txt", timeout=0.01)
    assert slow.counts["corrupt"] >= 3
    assert "no end after" in next(finding.detail for finding in slow.findings if finding.kind == "corrupt")
    # such a record does not hold: the next run tries again
    assert "corrupt" not in run("list.txt").counts


def test_a_check_that_is_killed_goes_on_to_the_same_bytes(folder: Path, make_video: MakeVideo) -> None:
    for number in range(60):
        make_video(f"w/{number:02d}.mp4", frames=10 + number)
    Path("w/07.mp4").write_bytes(b"<html>")
    Path("w.txt").write_text("".join(f"w/{number:02d}.mp4 {number % 5}\n" for number in range(60)))
    command = [sys.executable, "-m", "vidbench", "data", "check", "w.txt", "--manifest", "m.jsonl", "-j", "2"]
    root = str(Path(__file__).parents[3])
    killed = 0
    for _ in range(3):
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        done = _lines()
        end = time.monotonic() + 20
        while process.poll() is None and _lines() < done + 8 and time.monotonic() < end:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    # a busy machine may let one of them through to its end
    assert killed >= 2
    assert Path("m.jsonl").exists() == (killed < 3)
    result = run("w.txt", manifest=Path("m.jsonl"))
    assert result.counts == {"ok": 59, "no_video": 1}
    assert _lines() == 60
    shutil.rmtree("runs")
    run("w.txt", manifest=Path("fresh.jsonl"))
    assert Path("m.jsonl").read_bytes() == Path("fresh.jsonl").read_bytes()


def _lines() -> int:
    return sum(path.read_bytes().count(b"\n") for path in Path("runs").glob("check-w-*/.vidbench/check.jsonl"))


def test_the_matrix_has_a_cell_for_every_codec_and_decoder() -> None:
    result = codec_matrix()
    assert list(result.rows) == ["H.264", "HEVC", "VP9", "AV1"]
    assert all(list(cells)[:3] == ["pyav", "torchcodec", "decord"] for cells in result.rows.values())
    assert result.rows["H.264"]["pyav"] == f"{result.frames}/{result.frames}"
