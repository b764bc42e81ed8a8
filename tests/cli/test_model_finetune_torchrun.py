"""`vidbench model finetune` on several processes: the steps of one, and an end in common."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vidbench.cli.app import main
from vidbench.model.checkpoint import read_state

TORCHRUN = Path(sys.executable).with_name("torchrun")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def words(clips: Path, out: Path, *more: str) -> list[str]:
    return ["-q", "model", "finetune", "x3d_tiny", str(clips), "--out", str(out), "--epochs", "2", *more]


def losses(out: Path) -> list[float]:
    with (out / "steps.csv").open() as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream)]


def epochs(out: Path) -> list[dict]:
    rows = [json.loads(line) for line in (out / "epochs.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in rows]


def difference(one: Path, two: Path) -> float:
    held, other = (read_state(folder / "model.safetensors").tensors for folder in (one, two))
    assert held.keys() == other.keys()
    return max(float((value.double() - other[name].double()).abs().max()) for name, value in held.items())


@pytest.fixture(scope="module")
def clips(small_set, tmp_path_factory) -> Path:
    """Seven good videos and a broken one: batches of 4 have 4 and 3 clips, which two processes share unevenly."""
    home = tmp_path_factory.mktemp("together")
    (home / "text.mp4").write_text("no video\n" * 50)
    good = [str(path) for path in sorted((small_set / "train").rglob("*.mp4"))[:7]]
    (home / "list.txt").write_text("".join(f"{path} {place % 3}\n" for place, path in enumerate([*good, "text.mp4"])))
    return home / "list.txt"


def compare(clips: Path, small_set: Path, tmp_path: Path, *more: str) -> None:
    more = ("--batch", "4", "--val", str(clips), "--jitter", "1", "--warmup", "0", *more)
    assert main(words(clips, tmp_path / "one", *more)) == 6
    assert main(words(clips, tmp_path / "two", *more, "--devices", "cpu:2")) == 6
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) >= 2
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-6
    for first, second in zip(*(epochs(tmp_path / name) for name in ("one", "two")), strict=True):
        assert first.keys() == second.keys()
        assert first["train_loss"] == pytest.approx(second["train_loss"], abs=1e-6)
        for name in first.keys() - {"train_loss"}:
            assert first[name] == second[name], name
    # AdamW divides by the size of gradients, which makes differences in the last bit as large as a step
    if "sgd" in more:
        assert difference(tmp_path / "one", tmp_path / "two") < 1e-5
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert summary["processes"] == 2
    assert summary["failed"] == 1


def test_two_processes_take_the_steps_of_one(clips, small_set, tmp_path) -> None:
    """Batch normalisation over both, clips mixed across them, averages and statistics of their own."""
    more = ("--augment", "mixup:0.8", "--ema", "0.9", "--precise-bn", "2", "--optimizer", "sgd", "--lr", "0.01")
    compare(clips, small_set, tmp_path, *more)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        pytest.param(("--freeze-bn", "--optimizer", "sgd", "--lr", "0.01"), id="frozen"),
        pytest.param(("--accumulate", "2", "--checkpointing", "--optimizer", "sgd", "--lr", "0.01"), id="accumulated"),
    ],
)
def test_so_they_do_otherwise(clips, small_set, tmp_path, more) -> None:
    compare(clips, small_set, tmp_path, *more)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        pytest.param(("w4:levels=3", "--augment", "mixup:0.8", "--defence", "resize-pad"), id="w4"),
        pytest.param(("trades:steps=1",), id="trades"),
        pytest.param(("pgd:norm=l2,eps=1,steps=1", "--defence", "drop"), id="pgd"),
    ],
)
def test_two_processes_draw_the_examples_of_one(clips, small_set, tmp_path, more) -> None:
    """Starts, noise, radii, wrong answers and what a defence draws, in training and in validation under attack."""
    usual = ("--freeze-bn", "--optimizer", "sgd", "--lr", "0.001", "--epochs", "1")
    attack = ("--robust-val", "pgd:eps=1/255,steps=1", "--robust-val-clips", "5")
    compare(clips, small_set, tmp_path, *usual, *attack, "--adversarial", *more)


@pytest.mark.slow
@pytest.mark.skipif(not TORCHRUN.exists(), reason="needs torchrun beside this Python")
def test_torchruns_processes_are_obeyed(clips, tmp_path) -> None:
    more = ("--batch", "4", "--freeze-bn", "--limit", "7")
    assert main(words(clips, tmp_path / "one", *more)) == 0
    command = [str(TORCHRUN), "--nproc-per-node", "2", "-m", "vidbench", *words(clips, tmp_path / "two", *more)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run: ") == 1
    assert max(abs(a - b) for a, b in zip(*(losses(tmp_path / n) for n in ("one", "two")), strict=True)) < 1e-6


@pytest.mark.slow
def test_an_error_of_all_is_told_once(tmp_path, capfd) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.mp4").write_text(f"no video, {name}\n")
    (tmp_path / "list.txt").write_text("one.mp4 0\ntwo.mp4 1\n")
    more = ("--devices", "cpu:2", "--batch", "2")
    assert main(words(tmp_path / "list.txt", tmp_path / "run", *more)) == 3
    told = capfd.readouterr().err
    assert told.count("no clip of the list can be decoded") == 1
    assert "Traceback" not in told


def members(starter: int) -> list[int]:
    """The processes that a training started."""
    children = Path(f"/proc/{starter}/task/{starter}/children").read_text().split()
    return sorted(int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("killed", "by"),
    [
        pytest.param(1, signal.SIGKILL, marks=pytest.mark.slow, id="the-second"),
        pytest.param(0, signal.SIGKILL, marks=pytest.mark.slow, id="the-first"),
        pytest.param(None, signal.SIGINT, marks=pytest.mark.slow, id="ctrl-c"),
    ],
)
def test_a_training_that_was_ended_goes_on(clips, tmp_path, killed, by) -> None:
    more = ("--batch", "2", "--limit", "7", "--save-every", "1", "--epochs", "3", "--devices", "cpu:2", "--ema", "0.9")
    command = [sys.executable, "-m", "vidbench", *words(clips, tmp_path / "run", *more)]
    started = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "steps.csv"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_bytes().count(b"\n") >= 4):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.01)
    both = members(started.pid)
    assert len(both) == 2
    os.kill(started.pid if killed is None else both[killed], by)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert "Traceback" not in told
    if killed is not None:
        assert f"process {killed + 1} of 2 was ended by SIGKILL" in told
    assert not any(Path(f"/proc/{one}").exists() for one in both)
    assert not (tmp_path / "run" / "summary.json").exists()
    assert (tmp_path / "run" / "last.pt").exists()
    assert main(words(clips, tmp_path / "run", *more)) == 0
    assert main(words(clips, tmp_path / "whole", *more)) == 0
    assert (tmp_path / "run" / "steps.csv").read_bytes() == (tmp_path / "whole" / "steps.csv").read_bytes()
    assert epochs(tmp_path / "run") == epochs(tmp_path / "whole")
    assert difference(tmp_path / "run", tmp_path / "whole") == 0


@pytest.mark.parametrize(
    ("devices", "message"),
    [("cpu:x", "no devices"), ("0", "no devices"), ("cpu,cuda:0", "a GPU of its own"), ("tpu:2", "no devices")],
)
def test_devices_that_are_none(clips, tmp_path, capsys, devices, message) -> None:
    assert main(words(clips, tmp_path / "run", "--devices", devices)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
