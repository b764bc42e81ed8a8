"""Folders of frames: resumed, refused, listed; a kill at any moment changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from vidbench.data.frames import FramesRequest, FramesResult, extract_frames, frame_name
from vidbench.errors import InputError, RunConflictError, UsageError
from vidbench.formats.framelist import HEADER, load_frames
from vidbench.progress import SilentReporter

MakeVideo = Callable[..., Path]


class Ears(SilentReporter):
    """Remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def run(folder: Path, *sources: Path, **options: object) -> FramesResult:
    request = FramesRequest(sources=sources, out=folder, jobs=1, **options)  # type: ignore[arg-type]
    return extract_frames(request, options.pop("reporter", None))  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, str]:
    """What is under a folder, but for the ledger."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".vidbench" not in path.parts
    }


def records(folder: Path) -> dict[str, dict[str, object]]:
    lines = (folder / ".vidbench" / "frames.jsonl").read_text().splitlines()
    return {record["key"]: record for record in map(json.loads, lines)}


def test_names_of_both_layouts() -> None:
    assert frame_name("ava", "x", 1) == "x_000001.jpg"
    assert frame_name("mmaction2", "x", 1) == "img_00001.jpg"
    assert frame_name("mmaction2", "x", 123456) == "img_123456.jpg"
    assert frame_name("ava", "100%d", 27030) == "100%d_027030.jpg"


def test_a_folder_per_video_and_a_record_each(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("v/one.mp4", frames=10, fps="25")
    make_video("v/deeper/two.x.mp4", frames=6)
    out = tmp_path / "out"
    result = run(out, tmp_path / "v")
    assert names(out) == [".vidbench", "one", "two.x"]
    assert names(out / "one") == [f"one_{number:06d}.jpg" for number in range(1, 13)]
    assert len(names(out / "two.x")) == 6
    assert (result.videos, result.made, result.frames, result.counts) == (2, 2, 18, {"ok": 2})
    assert result.bytes == sum(path.stat().st_size for path in out.rglob("*.jpg"))
    record = records(out)["one"]
    assert record["reason"] == "ok"
    assert (record["frames"], record["fps"], record["width"], record["height"]) == (12, "25", 64, 48)
    assert names(out / ".vidbench") == ["frames.json", "frames.jsonl", "frames.lock"]


def test_the_other_layout_and_sizes(tmp_path: Path, make_video: MakeVideo) -> None:
    result = run(tmp_path / "out", make_video(frames=4), layout="mmaction2", short_side=24, fps="source")
    assert names(tmp_path / "out" / "clip") == [f"img_{number:05d}.jpg" for number in range(1, 5)]
    assert result.frames == 4
    assert records(tmp_path / "out")["clip"]["width"] == 32


def test_a_list_gives_its_videos(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("b", "a"):
        make_video(f"v/{name}.mp4", frames=3)
    (tmp_path / "list.csv").write_text("v/b.mp4 0\nv/a.mp4 1\nv/absent.mp4 1\n")
    result = run(tmp_path / "out", tmp_path / "list.csv", frame_list=tmp_path / "frames.csv")
    assert result.counts == {"ok": 2, "missing": 1}
    assert [(video.id, video.reason) for video in result.failed] == [("absent", "missing")]
    lines = (tmp_path / "frames.csv").read_text().splitlines()
    # in the order of the list, numbered over the videos that have frames
    assert lines[:3] == [HEADER, 'b 0 0 b/b_000001.jpg ""', 'b 0 1 b/b_000002.jpg ""']
    assert lines[4] == 'a 1 0 a/a_000001.jpg ""'
    for row in load_frames(tmp_path / "frames.csv"):
        assert (tmp_path / "out" / row.path).is_file()


def test_what_is_done_is_not_done_again(tmp_path: Path, make_video: MakeVideo) -> None:
    one, two = make_video("one.mp4"), make_video("two.mp4")
    out = tmp_path / "out"
    run(out, one)
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    assert run(out, one, two).made == 1
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    # a file went missing
    (out / "one" / "one_000007.jpg").unlink()
    assert run(out, one, two, dry_run=True).made == 1
    assert not (out / "one" / "one_000007.jpg").exists()
    assert run(out, one, two).made == 1
    assert (out / "one" / "one_000007.jpg").exists()
    # another video of that name
    make_video("one.mp4", frames=7)
    assert run(out, one, two).made == 1
    assert len(names(out / "one")) == 7
    # the video is gone, its frames are not
    (tmp_path / "list.csv").write_text("one.mp4 0\ntwo.mp4 1\n")
    one.unlink()
    assert run(out, tmp_path / "list.csv").made == 0


def test_a_failed_video_leaves_nothing_and_is_tried_again(tmp_path: Path, make_video: MakeVideo) -> None:
    good, bad = make_video("good.mp4"), tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    out = tmp_path / "out"
    result = run(out, good, bad)
    assert result.counts == {"ok": 1, "no_video": 1}
    assert names(out) == [".vidbench", "good"]
    make_video("bad.mp4", frames=5)
    assert run(out, good, bad).counts == {"ok": 2}
    # frames of a video that was replaced by a broken one are not kept under its name
    bad.write_bytes(b"no video")
    assert run(out, good, bad).counts == {"ok": 1, "no_video": 1}
    assert names(out) == [".vidbench", "good"]


def test_a_short_video_has_what_there_is(tmp_path: Path, make_video: MakeVideo) -> None:
    long, short = make_video("long.mp4", frames=60), make_video("short.mp4", frames=30)
    ears = Ears()
    request = FramesRequest(sources=(long, short), out=tmp_path / "out", from_s=0.5, to_s=1.5, jobs=1)
    result = extract_frames(request, ears)
    assert result.counts == {"ok": 1, "short": 1}
    assert result.frames == 30 + 15
    assert result.failed == ()
    assert ears.warnings == ["1 of 2 videos end before --to; the first: short ends at 1.000 s"]
    assert extract_frames(request).made == 0


def test_other_settings_are_refused_and_overwrite_makes_again(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video()
    out = tmp_path / "out"
    run(out, video)
    with pytest.raises(RunConflictError, match="fps"):
        run(out, video, fps="15")
    # quality 1 is 2
    assert run(out, video, quality=2).made == 0
    assert run(out, video, fps="15", overwrite=True).frames == 15
    assert len(names(out / "clip")) == 15


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video(frames=5)
    theirs = tmp_path / "out" / "clip"
    theirs.mkdir(parents=True)
    (theirs / "clip_000001.jpg").write_bytes(b"theirs")
    with pytest.raises(RunConflictError, match="not made by this job"):
        run(tmp_path / "out", video)
    assert (theirs / "clip_000001.jpg").read_bytes() == b"theirs"
    (theirs / "notes.txt").write_text("mine")
    with pytest.raises(RunConflictError, match=r"something else than frames: notes\.txt"):
        run(tmp_path / "out", video, overwrite=True)
    (theirs / "notes.txt").unlink()
    assert run(tmp_path / "out", video, overwrite=True).frames == 5
    assert len(names(theirs)) == 5


def test_what_a_killed_run_left_is_swept(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video(frames=5)
    half = tmp_path / "out" / "gone.vbpart"
    half.mkdir(parents=True)
    (half / "gone_000001.jpg").touch()
    run(tmp_path / "out", video)
    assert names(tmp_path / "out") == [".vidbench", "clip"]


def test_two_videos_of_one_name(tmp_path: Path, make_video: MakeVideo) -> None:
    one, two = make_video("a/v.mp4"), make_video("b/v.mkv.mp4").rename(tmp_path / "b" / "v.mkv")
    with pytest.raises(InputError, match="two videos have the name v: ") as refused:
        run(tmp_path / "out", one, two)
    assert str(one) in refused.value.message
    assert str(two) in refused.value.message
    assert not (tmp_path / "out").exists()


ODD = ["a b", "-dash", 'it\'s "q"', "é中", "100%d", "new\nline", "x;y|z"]


def test_odd_names_work_and_are_refused_where_a_list_is_wanted(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ODD:
        make_video(f"v/{name}.mp4", frames=2)
    with pytest.raises(InputError, match="cannot stand in a frame list"):
        run(tmp_path / "out", tmp_path / "v", frame_list=tmp_path / "l.csv")
    assert not (tmp_path / "out").exists()
    result = run(tmp_path / "out", tmp_path / "v")
    assert result.counts == {"ok": len(ODD)}
    for name in ODD:
        assert names(tmp_path / "out" / name) == [f"{name}_000001.jpg", f"{name}_000002.jpg"]


@pytest.mark.parametrize("name", [".hidden", "x.vbpart", "n" * 250])
def test_names_that_no_folder_can_have(tmp_path: Path, make_video: MakeVideo, name: str) -> None:
    video = make_video().rename(tmp_path / f"{name}.mp4")
    with pytest.raises(InputError, match="its name cannot be that of a folder"):
        run(tmp_path / "out", video)


def test_what_cannot_be_asked(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no video in this folder"):
        run(tmp_path / "out", tmp_path / "nothing")
    with pytest.raises(InputError, match="no such file or folder"):
        run(tmp_path / "out", tmp_path / "absent.mp4")
    with pytest.raises(UsageError, match="--to 2 is not after --from 2"):
        run(tmp_path / "out", video, from_s=2, to_s=2)
    for wrong in ({"fps": "fast"}, {"fps": "-1"}, {"fps": "1/0"}, {"quality": 32}, {"layout": "x"}, {"from_s": -1}):
        with pytest.raises(ValidationError):
            FramesRequest(sources=(video,), out=tmp_path / "out", **wrong)  # type: ignore[arg-type]
    assert FramesRequest(sources=(video,), out=tmp_path, fps="29.97").rate == Fraction(2997, 100)
    assert FramesRequest(sources=(video,), out=tmp_path, fps="0").rate is None


def test_a_full_span_has_the_same_bytes_for_any_number_of_jobs(tmp_path: Path, make_video: MakeVideo) -> None:
    for index in range(3):
        make_video(f"v/{index}.mp4", frames=20 + index, fps="24")
    first = extract_frames(FramesRequest(sources=(tmp_path / "v",), out=tmp_path / "one", jobs=1))
    second = extract_frames(FramesRequest(sources=(tmp_path / "v",), out=tmp_path / "three", jobs=3))
    assert first.frames == second.frames
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_a_kill_at_any_moment_changes_nothing(tmp_path: Path, make_video: MakeVideo) -> None:
    for index in range(4):
        make_video(f"v/{index}.mp4", frames=200, size=(128, 96))
    words = ["data", "frames", str(tmp_path / "v"), "--jobs", "2", "--list", str(tmp_path / "list.csv")]
    command = [sys.executable, "-m", "vidbench", *words]
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    whole, listed = contents(tmp_path / "whole"), (tmp_path / "list.csv").read_bytes()
    (tmp_path / "list.csv").unlink()
    assert len(whole) == 800
    for delay in (0.35, 0.5, 0.6, 0.7, 0.8, 1.0):
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "out")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        # what is there under its name is whole
        for folder in (tmp_path / "out").glob("[0-9]"):
            assert len(list(folder.iterdir())) == 200
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == whole
    assert (tmp_path / "list.csv").read_bytes() == listed
    assert names(tmp_path / "out") == [".vidbench", "0", "1", "2", "3"]
    assert sorted(records(tmp_path / "out")) == ["0", "1", "2", "3"]


def test_a_kill_between_folder_and_record_is_made_good(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video(frames=5)
    out = tmp_path / "out"
    run(out, video)
    # the moment after the folder got its name: its claim is there, its record is not
    from vidbench.runs import content_hash

    ledger = out / ".vidbench" / "frames.jsonl"
    ledger.write_bytes(b"")
    with pytest.raises(RunConflictError, match="not made by this job"):
        run(out, video)
    claims = out / ".vidbench" / "frames.claims"
    claims.mkdir(exist_ok=True)
    (claims / content_hash("clip")[:32]).touch()
    assert run(out, video).made == 1
    assert not claims.exists()
