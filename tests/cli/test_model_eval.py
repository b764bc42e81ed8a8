"""`vidbench model eval`, as typed."""

import json
import os
import shutil
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


@pytest.fixture(scope="module")
def whole(small_model, small_set, tmp_path_factory) -> Path:
    """A finished run of the first four videos, which tests copy or compare with."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert evaluate(small_model, small_set / "vallist.txt", out, "--limit", "4", "--misses", "0") == 0
    return out


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


def test_a_second_run_does_nothing_and_says_so(small_model, small_set, whole, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    words = [str(small_model), str(small_set / "vallist.txt"), "--views", "2x3", "--limit", "4", "--misses", "0"]
    assert main(["model", "eval", *words, "--out", str(out)]) == 0
    for name in ("clips.jsonl", "summary.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    shown = capsys.readouterr()
    assert "4 of 4 clips are done" in shown.err
    assert "top-1" in shown.out


def test_a_run_of_other_settings_is_refused(small_model, small_set, whole, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    assert evaluate(small_model, small_set / "vallist.txt", out, "--limit", "3") == 5
    assert "limit: 4 there, 3 asked" in capsys.readouterr().err
    assert evaluate(small_model, small_set / "vallist.txt", out, "--limit", "3", "--overwrite") == 0
    assert summary(out)["clips"] == 3


@pytest.mark.parametrize(
    "other",
    [
        ("--views", "2x1"),
        ("--precision", "bf16"),
        ("--layout", "reference"),
        ("--resize", "exact"),
        ("--protocol", "mmaction2"),
        ("--decoder", "torchcodec"),
        ("--seed", "1"),
        ("--limit", "5"),
    ],
    ids=lambda words: words[0].strip("-"),
)
def test_what_decides_the_result_is_compared(small_model, small_set, whole, tmp_path, capsys, other) -> None:
    if other[0] == "--decoder":
        pytest.importorskip("torchcodec")
    shutil.copytree(whole, tmp_path / "run")
    words = other if other[0] == "--limit" else ("--limit", "4", *other)
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path / "run", *words) == 5
    assert other[0].strip("-") in capsys.readouterr().err
    assert (tmp_path / "run" / "clips.jsonl").read_bytes() == (whole / "clips.jsonl").read_bytes()


def test_what_does_not_decide_it_takes_the_run_up(small_model, small_set, whole, tmp_path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    words = ("--batch", "5", "--workers", "1", "--timeout", "50", "--misses", "1")
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path / "run", "--limit", "4", *words) == 0
    assert (tmp_path / "run" / "clips.jsonl").read_bytes() == (whole / "clips.jsonl").read_bytes()
    assert len(summary(tmp_path / "run")["examples"]) == 1


@pytest.mark.parametrize(
    ("words", "tolerance"),
    [
        # the same sums in another grouping
        (("--batch", "1", "--workers", "1"), 1e-5),
        (("--batch", "7", "--workers", "4"), 1e-5),
        (("--batch", "100"), 1e-5),
        (("--layout", "reference"), 1e-5),
        # 8 bits of mantissa, a relative 4e-3 each time that a tensor is written
        (("--precision", "bf16"), 3e-2),
        # grey levels that FFmpeg rounds, here kept whole; its filter is wider, too
        (("--resize", "exact"), 0.1),
    ],
    ids=lambda words: words[0].strip("-") + words[1] if isinstance(words, tuple) else "",
)
def test_ways_to_compute_agree(small_model, small_set, whole, tmp_path, words, tolerance) -> None:
    more = ("--limit", "4", "--misses", "0", *words)
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path / "run", *more) == 0
    for one, other in zip(records(tmp_path / "run"), records(whole), strict=True):
        assert one["key"] == other["key"]
        assert one["scores"] == pytest.approx(other["scores"], abs=tolerance)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json\n", "not a record"),
        ('{"path": "a.mp4"}\n', "needs a 'key'"),
        ('{"key": ["a"]}\n', "needs a 'key'"),
        ("[" * 100000 + "\n", "not a record"),
    ],
)
def test_records_that_something_else_changed(small_model, small_set, whole, tmp_path, capsys, line, message) -> None:
    shutil.copytree(whole, tmp_path / "run")
    with (tmp_path / "run" / "clips.jsonl").open("a") as stream:
        stream.write(line)
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path / "run", "--limit", "4") == 3
    shown = capsys.readouterr().err
    assert "clips.jsonl:5: " in shown
    assert message in shown


def test_a_record_without_its_figures_is_made_again(small_model, small_set, whole, tmp_path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "clips.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps({"key": json.loads(first)["key"], "status": "ok"}) + "\n" + "".join(rest))
    more = ("--limit", "4", "--misses", "0")
    assert evaluate(small_model, small_set / "vallist.txt", tmp_path / "run", *more) == 0
    assert path.read_bytes() == (whole / "clips.jsonl").read_bytes()


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


@pytest.fixture(scope="module")
def unbroken(small_model, small_set, tmp_path_factory) -> Path:
    """The run that is killed below, in one go."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert main(["-q", *slowly(small_model, small_set), "--out", str(out)]) == 0
    return out


def slowly(model: Path, clips: Path) -> list[str]:
    words = ["--views", "10x1", "--batch", "1", "--misses", "0", "--workers", "1"]
    return ["model", "eval", str(model), str(clips / "vallist.txt"), *words]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_goes_on_and_ends_like_an_unbroken_one(small_model, small_set, unbroken, tmp_path, stop) -> None:
    words = slowly(small_model, small_set)
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
    for name in ("clips.jsonl", "summary.json"):
        assert (tmp_path / "run" / name).read_bytes() == (unbroken / name).read_bytes()


PEAK = """
import resource, sys
from vidbench.cli.app import main
code = main(sys.argv[1:])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def peak_mib(model: Path, clips: Path, out: Path) -> float:
    """The largest resident memory of the process that holds the network."""
    words = ["-q", "model", "eval", str(model), str(clips), "--views", "1x1", "--misses", "0", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, kib = done.stderr.split()[-2:]
    assert code == "0"
    return int(kib) / 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_list(small_model, small_set, tmp_path) -> None:
    good = sorted((small_set / "val").rglob("*.mp4"))[:3]
    peaks = []
    for count in (100, 3000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for place in range(count):
            (folder / f"{place}.mp4").symlink_to(good[place % 3])
        listed = folder / "list.txt"
        listed.write_text("".join(f"{place}.mp4 {place % 3}\n" for place in range(count)))
        peaks.append(peak_mib(small_model, listed, folder / "run"))
    assert peaks[1] - peaks[0] < 30
