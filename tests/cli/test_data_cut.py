"""`vidbench data cut` as it is typed: exit codes, both streams, the files; killed and run again."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import pytest

from vidbench.cli.app import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, make_video: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a_000001_000011", "b c"):
        make_video(f"k/val/x/{name}.mp4", frames=50, fps="25")
    (tmp_path / "vallist.txt").write_text("./k/val/x/a_000001_000011.mp4 0\n")
    return tmp_path


def test_a_smaller_second_tree(folder: Path, capsys: Capture) -> None:
    words = ["data", "cut", "vallist.txt", "--short-side", "32", "--replace", "/val/", "/val_256/", "-j", "1"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "k/val_256: 1 cuts of 1 videos: 1 ok"
    assert out.splitlines()[1].startswith("1 exact; 50 frames, 2 s, ")
    assert "cut: 1/1 videos" in err
    with av.open(str(folder / "k/val_256/x/a_000001_000011.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (42, 32)
    assert main(["-q", *words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["counts"], err) == ({"ok": 1}, "")
    assert main(["data", "status", "k/val_256"]) == 0
    assert "cut: done, 1 of 1 videos: 1 ok" in capsys.readouterr().out


def test_failures_have_exit_code_6(folder: Path, capsys: Capture) -> None:
    (folder / "k/val/x/page.mp4").write_text("<html>")
    words = ["data", "cut", "k/val", "--from", "1", "--to", "2.5", "--out", "cut", "-j", "1"]
    assert main(words) == 6
    out, err = capsys.readouterr()
    assert "3 cuts of 3 videos: 2 short, 1 no_video" in out
    assert "no_video: x/page.mp4: a web page" in out
    assert "finished, but 1 item failed" in err
    assert f"{folder}/cut/.vidbench/cut.jsonl" in err


def test_every_option(folder: Path, capsys: Capture) -> None:
    (folder / "s.csv").write_text("video,start,end\nb c,0.2,1.9\n")
    options = ["--spans", "s.csv", "--mode", "smart", "--engine", "pyav", "--crf", "20", "--preset", "fast", "--audio"]
    assert main(["data", "cut", "k/val", "--out", "o", *options, "--root", ".", "--overwrite", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "1 cuts of 1 videos" in out
    assert "videos without a span: 1" in out
    assert "GB are free" in out
    assert not (folder / "o").exists()
    assert main(["data", "cut", "k/val", "--out", "o", *options]) == 0
    assert "1 smart; 43 frames" in capsys.readouterr().out
    assert main(["data", "cut", "k/val/x/b c.mp4", "--out", "p", "--fps", "30000/1001", "--to", "1"]) == 0
    assert "30 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["k/val"], 2, "where do the cuts go?"),
        (["k/val", "--out", "o", "--mode", "quick"], 2, "--mode 'quick'"),
        (["k/val", "--out", "o", "--engine", "gpu"], 2, "--engine 'gpu'"),
        (["k/val", "--out", "o", "--preset", "placebo"], 2, "--preset 'placebo'"),
        (["k/val", "--out", "o", "--crf", "52"], 2, "--crf 52"),
        (["k/val", "--out", "o", "--fps", "fast"], 2, "--fps 'fast'"),
        (["k/val", "--out", "o", "--short-side", "33"], 2, "--short-side 33"),
        (["none.txt", "--out", "o"], 3, "none.txt: no such file"),
        (["k/val", "--out", "o", "--spans", "none.csv"], 3, "none.csv: no such file"),
        (["vallist.txt", "--replace", "/train/", "/x/"], 3, "vallist.txt:1: the path"),
        (["k/val", "--out", "vallist.txt"], 3, "vallist.txt"),
    ],
)
def test_what_is_refused(folder: Path, capsys: Capture, words: list[str], code: int, message: str) -> None:
    assert main(["data", "cut", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_without_ffmpeg(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert main(["data", "cut", "k/val", "--out", "o", "--engine", "ffmpeg"]) == 4
    assert "no ffmpeg on the path" in capsys.readouterr().err
    # one that is too old
    (folder / "ffmpeg").write_text("#!/bin/sh\necho 'ffmpeg version 4.4.2-0ubuntu Copyright'\n")
    (folder / "ffmpeg").chmod(0o755)
    assert main(["data", "cut", "k/val", "--out", "o", "--engine", "ffmpeg"]) == 4
    assert "ffmpeg 4.4.2-0ubuntu is older than 5.1" in capsys.readouterr().err


@pytest.mark.needs_ffmpeg
def test_with_ffmpeg(folder: Path, capsys: Capture) -> None:
    assert main(["data", "cut", "k/val", "--out", "o", "--engine", "ffmpeg", "--to", "1"]) == 0
    assert "2 ok" in capsys.readouterr().out


def digests(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".vidbench" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.mark.parametrize("mode", ["exact", "smart"])
def test_killed_at_any_moment_and_run_again(folder: Path, make_video: Any, mode: str) -> None:
    for index in range(8):
        make_video(f"many/{index}.mp4", frames=60, fps="25", size=(160, 120))
    words = [sys.executable, "-m", "vidbench", "-q", "data", "cut", "many", "-j", "2", "--mode", mode]
    words += ["--from", "0.3", "--to", "2.1", "--audio"]
    subprocess.run([*words, "--out", "whole"], check=True, capture_output=True)
    assert len(digests(folder / "whole")) == 8
    for moment in (2, 5):
        out = folder / f"killed-{moment}"
        process = subprocess.Popen([*words, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while len(list(out.glob("*"))) < moment and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # orphaned workers notice within half a second
        time.sleep(0.7)
        done = subprocess.run([*words, "--out", str(out), "--json"], check=True, capture_output=True, text=True)
        assert json.loads(done.stdout)["counts"] == {"ok": 8}
        assert digests(out) == digests(folder / "whole")
        lines = (out / ".vidbench/cut.jsonl").read_text().splitlines()
        keys = [json.loads(line)["key"] for line in lines]
        assert len(set(keys)) == 8
