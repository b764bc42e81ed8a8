"""`vidbench attack run` under torchrun: several processes make the run that one makes."""

import contextlib
import json
import os
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
# one clip at a time: another size of a pass may take another kernel, which rounds otherwise
SETTINGS = ("--eps", "0,1/255,4/255", "--steps", "5", "--batch", "1", "--realism", "uint8", "--target", "random")


@pytest.fixture(scope="module")
def clips(small_set, tmp_path_factory) -> Path:
    """Good videos between broken ones."""
    home = tmp_path_factory.mktemp("attacked")
    good = sorted((small_set / "val").rglob("*.mp4"))[:6]
    (home / "text.mp4").write_text("no video\n" * 50)
    names = [*map(str, good[:3]), "text.mp4", *map(str, good[3:])]
    path = home / "list.txt"
    path.write_text("".join(f"{name} {place % 3}\n" for place, name in enumerate(names)))
    return path


def words(model: Path, clips: Path, out: Path) -> list[str]:
    return ["-q", "attack", "run", "--model", str(model), "--data", str(clips), *SETTINGS, "--out", str(out)]


def begin(processes: int, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(TORCHRUN), "--nproc-per-node", str(processes), "-m", "vidbench", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_two_processes_make_the_run_of_one_also_when_one_is_killed(small_model, clips, tmp_path) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main(words(small_model, clips, tmp_path / "one")) == 6
    finally:
        torch.set_num_threads(threads)
    out = tmp_path / "two"
    started = begin(2, words(small_model, clips, out))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(path.stat().st_size for path in out.glob("clips*.jsonl")):
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.communicate(timeout=60)
    again = begin(2, words(small_model, clips, out))
    said, errors = again.communicate(timeout=240)
    assert said.count("run: ") == 1, errors
    for name in ("clips.jsonl", "summary.json"):
        assert (out / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    records = [json.loads(line) for line in (out / "clips.jsonl").read_text().splitlines()]
    assert sum(record["status"] == "ok" for record in records) == 6 * 3
