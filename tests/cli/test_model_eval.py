"""`vidbench model eval`, as typed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vidbench.cli.app import main
from vidbench.data.synthetic import CLASSES


def evaluate(model: Path, clips: Path, out: Path, *more: str) -> int:
    return main(["-q", "model", "eval", str(model), str(clips), "--views", "2x3", "--out", str(out), *more])


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "clips.jsonl").read_text().splitlines()]


def test_json_is_all_of_stdout_and_equals_the_summary(small_model, small_set, tmp_path, capsys) -> None:
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path / "run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"] == summary(tmp_path / "run")
    assert found["summary"]["clips"] == found["summary"]["evaluated"] == 2 * len(CLASSES)
    assert found["summary"]["classes"] == list(CLASSES)
    for record in records(tmp_path / "run"):
        assert len(record["scores"]) == len(CLASSES)
        assert sum(record["scores"]) == pytest.approx(1, abs=1e-5)
        assert record["scores"][record["pred"]] == max(record["scores"])


def test_a_second_run_does_nothing_and_says_so(small_model, small_set, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    evaluate(small_model, small_set / "vallist.txt", out)
    before = (out / "clips.jsonl").read_bytes()
    assert (
        main(["model", "eval", str(small_model), str(small_set / "vallist.txt"), "--views", "2x3", "--out", str(out)])
        == 0
    )
    assert (out / "clips.jsonl").read_bytes() == before
    shown = capsys.readouterr()
    assert f"{2 * len(CLASSES)} of {2 * len(CLASSES)} clips are done" in shown.err
    assert "top-1" in shown.out


def test_a_run_of_other_settings_is_refused(small_model, small_set, tmp_path, capsys) -> None:
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path, "--limit", "2") == 0
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path, "--limit", "3") == 5
    assert "limit: 2 there, 3 asked" in capsys.readouterr().err
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path, "--limit", "3", "--overwrite") == 0
    assert summary(tmp_path)["clips"] == 3


def broken_list(small_set: Path, folder: Path) -> Path:
    """Good videos between broken ones of every kind."""
    good = sorted((small_set / "val").rglob("*.mp4"))[:3]
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video\n" * 100)
    (folder / "cut.mp4").write_bytes(good[0].read_bytes()[:3000])
    names = ["empty.mp4", str(good[0]), "text.mp4", "cut.mp4", str(good[1]), "gone.mp4", str(good[2])]
    path = folder / "list.txt"
    path.write_text("".join(f"{name} {index % 2}\n" for index, name in enumerate(names)))
    return path


def test_broken_videos_are_recorded_and_the_rest_is_done(small_model, small_set, tmp_path, capsys) -> None:
    path = broken_list(small_set, tmp_path)
    assert evaluate(small_model, path, tmp_path / "run") == 6
    assert "4 items failed" in capsys.readouterr().err
    found = summary(tmp_path / "run")
    assert (found["clips"], found["evaluated"], found["failed"]) == (7, 3, 4)
    reasons = {failure["path"]: failure["reason"] for failure in found["failures"]}
    assert set(reasons) == {"empty.mp4", "text.mp4", "cut.mp4", "gone.mp4"}
    assert "zero bytes" in reasons["empty.mp4"]
    assert "no such file" in reasons["gone.mp4"]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "done"


def test_a_mended_video_is_tried_again(small_model, small_set, tmp_path) -> None:
    path = broken_list(small_set, tmp_path)
    evaluate(small_model, path, tmp_path / "run")
    (tmp_path / "empty.mp4").write_bytes(sorted((small_set / "val").rglob("*.mp4"))[4].read_bytes())
    assert evaluate(small_model, path, tmp_path / "run") == 6
    found = summary(tmp_path / "run")
    assert (found["evaluated"], found["failed"]) == (4, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no videos"),
        ("a.mp4\n", "list.txt:1:"),
        ("a.mp4 0\nb.mp4 99\n", "list.txt:2: label 99, but"),
        (None, "no such file"),
    ],
)
def test_bad_lists_end_with_3_and_leave_no_run(small_model, tmp_path, capsys, content, message) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_text(content)
        (tmp_path / "a.mp4").write_bytes(b"")
    assert evaluate(small_model, path, tmp_path / "run") == 3
    shown = capsys.readouterr()
    assert message in shown.err.replace("is empty", "no videos").replace("No such", "no such")
    assert "Traceback" not in shown.err
    assert not (tmp_path / "run" / "clips.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["x3d_mm", "LIST"], 3, "Did you mean x3d_m"),
        (["x3d_m", "LIST"], 4, "vidbench weights pull x3d_m"),
        (["MODEL", "LIST", "--views", "10x2"], 2, "is not KxC"),
        (["MODEL", "LIST", "--device", "tpu"], 2, "unknown device"),
        (["MODEL", "LIST", "--device", "cuda:9"], 4, "is not there"),
        (["MODEL", "LIST", "--layout", "other"], 2, "--layout"),
        (["MODEL", "LIST", "--weights", "random"], 3, "its own weights"),
        (["runs/none", "LIST"], 3, "no such model file or run folder"),
        (["MODEL"], 2, "LIST"),
    ],
)
def test_wrong_options(small_model, small_set, tmp_path, capsys, words, code, message) -> None:
    named = {"MODEL": str(small_model), "LIST": str(small_set / "vallist.txt")}
    assert main(["model", "eval", *(named.get(word, word) for word in words), "--out", str(tmp_path / "run")]) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert not (tmp_path / "run").exists()


def test_the_layouts_agree(small_model, small_set, tmp_path) -> None:
    evaluate(small_model, small_set / "vallist.txt", tmp_path / "fast", "--limit", "4")
    evaluate(small_model, small_set / "vallist.txt", tmp_path / "slow", "--limit", "4", "--layout", "reference")
    for fast, slow in zip(records(tmp_path / "fast"), records(tmp_path / "slow"), strict=True):
        assert fast["scores"] == pytest.approx(slow["scores"], abs=1e-5)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_goes_on_and_ends_like_an_unbroken_one(small_model, small_set, tmp_path, stop) -> None:
    words = ["model", "eval", str(small_model), str(small_set / "vallist.txt"), "--views", "10x3", "--batch", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vidbench", *words, "--out", str(tmp_path / "run")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log = tmp_path / "run" / "clips.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert "run the same command to resume" in errors
        assert "Traceback" not in errors
    done = log.read_bytes().count(b"\n")
    assert 2 <= done < 2 * len(CLASSES)
    assert main(["-q", *words, "--out", str(tmp_path / "run")]) == 0
    assert main(["-q", *words, "--out", str(tmp_path / "whole")]) == 0
    strip = lambda rows: [{**row, "seconds": 0} for row in rows]  # noqa: E731
    assert strip(records(tmp_path / "run")) == strip(records(tmp_path / "whole"))
    assert summary(tmp_path / "run") == summary(tmp_path / "whole")
