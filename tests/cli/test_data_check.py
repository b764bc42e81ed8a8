"""`vidbench data check` as it is typed: exit codes, both streams, the files, and what other commands make of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vidbench.cli.app import main

MakeVideo = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_video: MakeVideo) -> Path:
    monkeypatch.chdir(tmp_path)
    make_video("v/a.mp4", frames=30)
    make_video("v/b.mp4", frames=20)
    shutil.copy("v/a.mp4", "v/copy.mp4")
    Path("v/page.mp4").write_text("<html></html>")
    Path("list.txt").write_text("./v/a.mp4 0\n./v/b.mp4 1\n./v/copy.mp4 1\n./v/page.mp4 0\n")
    return tmp_path


def test_as_the_guide_types_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["data", "check", "list.txt", "--manifest", "m.jsonl", "--clean", "clean.txt", "--min-duration", "0.9"])
    out, err = capsys.readouterr()
    assert code == 6
    lines = out.splitlines()
    assert lines[:-1] == [
        "list.txt: 4 videos, level full, decoder pyav",
        "1 ok, 1 short, 1 duplicate, 1 no_video",
        "short: ./v/b.mp4 (line 2): 0.666667 s, less than 0.9 s",
        "duplicate: ./v/copy.mp4 (line 3): the same bytes as ./v/a.mp4 at line 1",
        "no_video: ./v/page.mp4 (line 4): a web page",
        "2 of 4 usable",
        "wrote m.jsonl",
        "wrote clean.txt",
    ]
    assert lines[-1].startswith("records: runs/check-list-")
    assert "vidbench: 1 duplicate, 1 no_video: 2 of 4 usable" in err
    assert "The reasons are in runs/check-list-" in err
    assert Path("clean.txt").read_text() == "./v/a.mp4 0\n./v/b.mp4 1\n"
    assert main(["data", "check", "clean.txt"]) == 0


def test_json_and_nothing_else_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "v", "--json"]) == 6
    found = json.loads(capsys.readouterr().out)
    assert (found["listed"], found["usable"], found["bad"], found["coverage"]) == (4, 2, 2, "2 of 4 usable")
    assert found["findings"][0] == {
        "path": "copy.mp4", "line": None, "kind": "duplicate", "detail": "the same bytes as a.mp4",
    }  # fmt: skip


def test_a_manifest_that_holds_and_one_that_does_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "check", "list.txt", "--manifest", "m.jsonl"])
    assert main(["data", "check", "m.jsonl"]) == 0
    assert "0 of 4 changed since the manifest was written" in capsys.readouterr().out
    shutil.copy("v/a.mp4", "v/b.mp4")
    assert main(["data", "check", "m.jsonl"]) == 6
    out, err = capsys.readouterr()
    assert "changed: ./v/b.mp4 (line 3): other bytes" in out
    assert "vidbench: 1 changed" in err


def test_repair_says_how_much_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = Path("v/a.mp4").read_bytes()
    Path("v/cut.mp4").write_bytes(data[: len(data) // 2])
    Path("list.txt").write_text("v/cut.mp4 0\nv/b.mp4 1\n")
    assert main(["data", "check", "list.txt", "--repair", "mended"]) == 6
    assert "v/cut.mp4: not remuxed: " in capsys.readouterr().out
    assert Path("v/cut.mp4").read_bytes() == data[: len(data) // 2]


def test_coverage_is_quoted_by_the_commands_that_take_a_manifest(
    small_set: Path,
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_set, "data")
    lines = Path("data/vallist.txt").read_text().splitlines()[:4]
    short = Path("data/four.txt")
    short.write_text("\n".join(lines) + "\n")
    broken = Path("data") / lines[1].split()[0]
    broken.write_bytes(broken.read_bytes()[:500])
    assert main(["data", "check", str(short), "--manifest", "data/m.jsonl"]) == 6
    # one more changes after the manifest was frozen
    late = Path("data") / lines[2].split()[0]
    late.write_bytes(late.read_bytes() + b"x")
    capsys.readouterr()
    assert main(["model", "eval", str(small_model), "data/m.jsonl", "--views", "1x1", "--out", "run"]) == 6
    assert "coverage: 2 evaluated / 4 listed" in capsys.readouterr().out
    summary = json.loads(Path("run/summary.json").read_text())
    assert (summary["listed"], summary["clips"], summary["evaluated"], summary["failed"]) == (4, 3, 2, 1)
    assert summary["failures"][0]["reason"].startswith("changed since the manifest: ")
    keys = {json.loads(line)["key"] for line in Path("run/clips.jsonl").read_text().splitlines()}
    assert main(["model", "eval", str(small_model), str(short), "--views", "1x1", "--out", "plain"]) == 6
    assert keys < {json.loads(line)["key"] for line in Path("plain/clips.jsonl").read_text().splitlines()}
    capsys.readouterr()
    attack = ["attack", "run", "--model", str(small_model), "--attack", "fgsm", "--data", "data/m.jsonl"]
    assert main([*attack, "--out", "attacked"]) == 6
    assert "coverage: 2 evaluated / 4 listed" in capsys.readouterr().out


def test_layout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("val.csv").write_text("./v/a.mp4 0\n./v/gone.mp4 1\n")
    Path("list.txt").unlink()
    assert main(["data", "check", ".", "--layout", "kinetics"]) == 6
    out, err = capsys.readouterr()
    assert "val.csv:2: ./v/gone.mp4 is not there" in out
    assert "fails: PySlowFast, MMAction2, PyTorchVideo." in out
    assert "finding" in err
    Path("val.csv").write_text("./v/a.mp4 0\n")
    assert main(["data", "check", ".", "--layout", "kinetics", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"lists": 1, "lines": 1, "videos": 4}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "no LIST or DIR"),
        (["list.txt", "--matrix"], 2, "--matrix does not go with SOURCE"),
        (["--matrix", "--clean", "x"], 2, "--matrix does not go with --clean"),
        ([".", "--layout", "kinetics", "--manifest", "m.jsonl"], 2, "--layout does not go with --manifest"),
        ([".", "--layout", "ucf"], 2, "--layout 'ucf'"),
        (["list.txt", "--level", "deep"], 2, "--level 'deep'"),
        (["list.txt", "--min-duration", "0"], 2, "--min-duration 0"),
        (["list.txt", "--decoder", "pyaw"], 3, "unknown decoder 'pyaw'"),
        (["v", "--root", "."], 2, "--root has no meaning"),
        (["absent.txt"], 3, "absent.txt: no such file"),
    ],
)
def test_what_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, told: str
) -> None:
    assert main(["data", "check", *words]) == code
    assert told in capsys.readouterr().err


def test_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-q", "data", "check", "--matrix"]) == 0
    out = capsys.readouterr().out
    assert "30/30" in out
    assert all(word in out for word in ("H.264", "HEVC", "VP9", "AV1", "pyav", "torchcodec", "decord"))
