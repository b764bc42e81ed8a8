"""`vidbench data frames` as typed: text, JSON, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vidbench.cli.app import main

MakeVideo = Callable[..., Path]


def test_a_span_with_a_list(tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    video = make_video("-5KQ66BBWC4.mp4", frames=75, fps="25")
    out, listed = tmp_path / "frames", tmp_path / "lists" / "train.csv"
    words = ["data", "frames", str(video), "--out", str(out), "--from", "1", "--to", "2", "--list", str(listed)]
    assert main(words) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0] == f"{out}: 1 videos: 1 ok"
    assert text[1].startswith("30 frames, ")
    assert text[2] == f"wrote {listed}: 30 frames of 1 videos"
    lines = listed.read_text().splitlines()
    assert lines[0] == "original_vido_id video_id frame_id path labels"
    assert lines[30] == '-5KQ66BBWC4 0 29 -5KQ66BBWC4/-5KQ66BBWC4_000030.jpg ""'
    assert len(list((out / "-5KQ66BBWC4").iterdir())) == 30


def test_json_and_a_failed_video(tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    video, bad = make_video(frames=5), tmp_path / "bad.mp4"
    bad.touch()
    words = ["data", "frames", str(video), str(bad), "--out", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 6
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert result["counts"] == {"ok": 1, "empty": 1}
    assert result["frames"] == 5
    assert result["failed"] == [
        {"id": "bad", "source": str(bad), "reason": "empty", "detail": "empty file (zero bytes)"}
    ]
    assert "finished, but 1 item failed" in shown.err
    assert "frames.jsonl" in shown.err
    assert main(words) == 6
    assert f"{bad}: empty: empty file (zero bytes)" in capsys.readouterr().out


def test_a_dry_run_does_nothing(tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    video = make_video()
    assert main(["data", "frames", str(video), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: would extract 1 of 1 videos\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--fps", "fast"], 2, "--fps 'fast'"),
        (["--from", "-1"], 2, "--from -1"),
        (["--from", "2", "--to", "1"], 2, "--to 1 is not after --from 2"),
        (["--quality", "0"], 2, "--quality 0"),
        (["--short-side", "1"], 2, "--short-side 1"),
        (["--layout", "flat"], 2, "--layout 'flat'"),
        (["--root", "/nowhere"], 3, "no such folder"),
    ],
)
def test_what_cannot_be_asked(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str],
    options: list[str], code: int, told: str,
) -> None:  # fmt: skip
    source = make_video()
    if "--root" in options:
        source = tmp_path / "list.csv"
        source.write_text("clip.mp4 0\n")
    assert main(["data", "frames", str(source), "--out", str(tmp_path / "out"), *options]) == code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_status_tells_of_it(tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["data", "frames", str(make_video()), "--out", out, "--fps", "source", "--layout", "mmaction2"]) == 0
    assert main(["data", "frames", str(make_video()), "--out", out]) == 5
    assert "settings" in capsys.readouterr().err
    assert main(["data", "status", out]) == 0
    assert "frames: " in capsys.readouterr().out
