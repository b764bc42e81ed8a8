"""`vidbench model eval` under torchrun: several processes make the run that one makes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vidbench.cli.app import main

TORCHRUN = Path(sys.executable).with_name("torchrun")
pytestmark = [
    pytest.mark.skipif(not TORCHRUN.exists(), reason="needs torchrun beside this Python"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc"),
]
VIEWS = ("--views", "2x3", "--misses", "0")


def words(model: Path, clips: Path, out: Path, *more: str) -> list[str]:
    return ["-q", "model", "eval", str(model), str(clips), *VIEWS, "--out", str(out), *more]


def begin(processes: int, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(TORCHRUN), "--nproc-per-node", str(processes), "-m", "vidbench", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(processes: int, arguments: list[str]) -> tuple[int, str, str]:
    started = begin(processes, arguments)
    try:
        out, err = started.communicate(timeout=240)
    finally:
        started.kill()
    return started.returncode, out, err


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in ("clips.jsonl", "summary.json"))


@pytest.fixture(scope="module")
def clips(small_set, tmp_path_factory) -> Path:
    """Good videos between broken ones."""
    home = tmp_path_factory.mktemp("shared")
    good = sorted((small_set / "val").rglob("*.mp4"))[:6]
    (home / "text.mp4").write_text("no video\n" * 50)
    names = [*map(str, good[:3]), "text.mp4", "gone.mp4", *map(str, good[3:])]
    path = home / "list.txt"
    path.write_text("".join(f"{name} {place % 3}\n" for place, name in enumerate(names)))
    return path


@pytest.fixture(scope="module")
def alone(small_model, clips, tmp_path_factory) -> Path:
    """The run of a single process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert main(words(small_model, clips, out)) == 6
    return out


def test_two_processes_make_the_run_of_one(small_model, clips, alone, tmp_path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    code, said, errors = run(2, words(small_model, clips, out))
    # torchrun's own code is 1 whatever its processes' are, and it tells theirs
    assert code == 1
    assert "exitcode  : 6" in errors
    assert said.count("run: ") == 1
    assert errors.count("2 items failed") == 1
    assert same(out, alone)
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "clips.jsonl",
        "environment.json",
        "manifest.json",
        "summary.json",
    ]


@pytest.mark.slow
def test_an_error_of_all_is_told_once(small_model, clips, alone, tmp_path) -> None:
    shutil.copytree(alone, tmp_path / "run")
    code, said, errors = run(2, words(small_model, clips, tmp_path / "run", "--limit", "3"))
    assert code == 1
    assert said == ""
    assert errors.count("holds a run of other settings") == 1
    assert "exitcode  : 5" in errors
    assert "this is a bug" not in errors
    assert same(tmp_path / "run", alone)


@pytest.mark.slow
def test_more_processes_than_videos(small_model, clips, tmp_path) -> None:
    assert main(words(small_model, clips, tmp_path / "one", "--limit", "2")) == 0
    code, said, _ = run(3, words(small_model, clips, tmp_path / "three", "--limit", "2"))
    assert code == 0
    assert said.count("run: ") == 1
    assert same(tmp_path / "three", tmp_path / "one")


def of_rank(parent: int, rank: int) -> int | None:
    """The process that torchrun started with such a rank."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                return int(child)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_run_whose_process_was_killed_goes_on(small_model, small_set, tmp_path, killed) -> None:
    more = ("--views", "10x3", "--batch", "1")
    listed = small_set / "vallist.txt"
    out = tmp_path / "run"
    started = begin(2, words(small_model, listed, out, *more))
    shard = out / "clips.rank1.jsonl"
    deadline = time.monotonic() + 120
    while not (shard.exists() and shard.read_bytes().count(b"\n") >= 1):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.02)
    process = of_rank(started.pid, killed)
    assert process is not None
    os.kill(process, signal.SIGKILL)
    _, errors = started.communicate(timeout=120)
    assert started.returncode == 1, errors
    assert not (out / "summary.json").exists()
    assert shard.exists()
    # a line that the kill tore
    with shard.open("a") as stream:
        stream.write('{"key": "0123')
    if killed:
        assert run(2, words(small_model, listed, out, *more))[0] == 0
    else:
        assert main(words(small_model, listed, out, *more)) == 0
    assert main(words(small_model, listed, tmp_path / "whole", *more)) == 0
    assert same(out, tmp_path / "whole")
    assert not list(out.glob("clips.rank*"))


def test_a_part_of_torchruns_environment_is_refused(small_model, clips, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(words(small_model, clips, tmp_path / "run")) == 2
    assert "MASTER_ADDR" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
