"""What `--deep` tries: vidbench's own commands, and two processes that meet, each in child processes."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from vidbench.env import meet
from vidbench.env.facts import Host, Trial
from vidbench.env.processes import Output, Processes

LIMIT_S = 180.0
"""What a trial may take, but for NCCL, which hangs where it does not work."""
NCCL_LIMIT_S = 30.0


def compute(processes: Processes) -> Trial:
    """A convolution over space and time and a matrix product on each device, against the CPU's answer."""
    return _trial(processes, [sys.executable, "-P", meet.__file__, "compute"], LIMIT_S)


def codecs(processes: Processes) -> Trial:
    """The decode matrix: clips of four codecs through every decoder, frames counted."""
    return _trial(processes, _vidbench("data", "check", "--matrix", "--json"), LIMIT_S)


def clip(processes: Processes, written: Path) -> Trial:
    """One clip through X3D-XS with random weights."""
    words = ("model", "predict", "--model", "x3d_xs", "--weights", "random", "--device", "auto", "--json", str(written))
    return _trial(processes, _vidbench(*words), LIMIT_S)


def attack(processes: Processes) -> Trial:
    """One step of PGD on a clip of vidbench's own."""
    with tempfile.TemporaryDirectory(prefix="vidbench-check-") as folder:
        words = (
            "attack", "run", "--model", "x3d_tiny", "--weights", "random", "--attack", "pgd", "--steps", "1", "--limit",
            "1", "--out", str(Path(folder) / "run"), "--json",
        )  # fmt: skip
        return _trial(processes, _vidbench(*words), LIMIT_S)


def gloo(processes: Processes) -> Trial:
    """Two processes on the CPU add a number."""
    return _trial(processes, _meeting("gloo", 2), LIMIT_S)


def nccl(processes: Processes, devices: int) -> Trial | None:
    """A process per GPU adds a number; None with fewer than two GPUs."""
    return _trial(processes, _meeting("nccl", devices), NCCL_LIMIT_S) if devices > 1 else None


def _meeting(backend: str, processes: int) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, meet.__file__, backend]


def _vidbench(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "vidbench", "-q", *words]


def _trial(processes: Processes, command: Sequence[str], limit_s: float) -> Trial:
    started = time.monotonic()
    answer = processes.tool(command, limit_s)
    return read_answer(answer, time.monotonic() - started)


def read_answer(answer: Output, seconds: float) -> Trial:
    """What a child's end and words mean; the JSON document on its stdout is what it told."""
    seconds = round(seconds, 2)
    if answer.code is None:
        return Trial("timeout" if answer.text.startswith("no answer") else "error", reason(answer.text), seconds)
    try:
        told = json.loads(answer.text[answer.text.index("{") :])
    except ValueError:
        told = {}
    if answer.code < 0:
        return Trial("died", f"ended by signal {-answer.code}", seconds)
    # 6 is "done, though not of everything": what failed is in the document
    if answer.code not in (0, 6):
        return Trial("error", reason(answer.text) or f"exit code {answer.code}", seconds)
    return Trial("ok", "", seconds, told)


_RAISED = re.compile(r"(?:[\w.]*(?:Error|Exception|Exit)\b|\S+: Error while finding module).*")


def reason(text: str) -> str:
    """The line that says why a command failed: of the exception, of vidbench's error, or else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "Traceback (most recent call last):" in lines:
        raised = [line for line in lines if _RAISED.match(line)]
        # what the launcher of several processes says of a failed one says nothing
        raised = [line for line in raised if "ChildFailedError" not in line] or raised
        if raised:
            return raised[-1][:300]
    own = [line.removeprefix("vidbench: ") for line in lines if line.startswith("vidbench: ")]
    return (own or lines[-1:] or [""])[0][:300]


def hosts(addresses: Sequence[str], limit_s: float = 10.0) -> tuple[Host, ...]:
    """Ask each address what it has, one attempt each; nothing is downloaded.

    A refusal is an answer: the host is there.
    """
    from concurrent.futures import ThreadPoolExecutor

    # where urllib3 is missing, this alone cannot be looked at
    from vidbench.net.http import Failure, Http

    client = Http(timeout_s=limit_s, attempts=1, workers=max(1, len(addresses)))

    def ask(address: str) -> Host:
        started = time.monotonic()
        problem = ""
        try:
            client.size(address)
        except Failure as failure:
            if failure.reason in ("network", "tool"):
                problem = failure.detail
        return Host(address, problem, round(time.monotonic() - started, 2))

    with ThreadPoolExecutor(max_workers=8) as pool:
        return tuple(pool.map(ask, addresses))
