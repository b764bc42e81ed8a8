"""`vidbench env watch`: how busy GPUs are, or CPU and memory where there is none, sample by sample."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from vidbench.env.processes import Processes
from vidbench.errors import disk_errors

_FIELDS = ("index", "name", "utilization.gpu", "memory.used", "memory.total", "temperature.gpu", "power.draw")
_LIMIT_S = 5.0
"""What nvidia-smi may take; it hangs where a driver does."""
COLUMNS = (
    "time", "device", "name", "utilisation_percent", "memory_used_mib", "memory_total_mib", "temperature_c", "power_w",
    "processes",
)  # fmt: skip


@dataclass(frozen=True)
class Process:
    """A process on a GPU, or the largest ones of the CPU: name without arguments, MiB of memory."""

    pid: int
    name: str
    memory_mib: int | None


@dataclass(frozen=True)
class Device:
    """One device at one moment; None for what it does not tell.

    Attributes:
        device: "cuda:0" or "cpu".
        name: Of the GPU; of the CPU how many there are.
        utilisation: Per cent.
        memory_used_mib: In use.
        memory_total_mib: There is.
        temperature_c: Degrees Celsius.
        power_w: Watts.
        processes: Those that use it.
    """

    device: str
    name: str
    utilisation: float | None
    memory_used_mib: int | None
    memory_total_mib: int | None
    temperature_c: float | None = None
    power_w: float | None = None
    processes: tuple[Process, ...] = ()


@dataclass(frozen=True)
class Sample:
    """All devices at one moment, in UTC; `problem`: why they are not the GPUs although there is nvidia-smi."""

    at: datetime
    devices: tuple[Device, ...]
    problem: str = ""


def watch(interval_s: float, count: int | None = None) -> Iterator[Sample]:
    """A sample now and one every `interval_s` seconds, `count` in all, or without end.

    GPUs are those that nvidia-smi lists; without any, CPU and memory of the machine. Where it gives no answer once, it
    is not asked again.
    """
    taken = 0
    problem = ""
    next_at = time.monotonic()
    while count is None or taken < count:
        if taken:
            time.sleep(max(0.0, next_at - time.monotonic()))
        one = sample(problem)
        problem = one.problem
        yield one
        taken += 1
        # a late sample does not make the ones after it hurry
        next_at = max(next_at + interval_s, time.monotonic())


def sample(problem: str = "") -> Sample:
    """All devices now; with a `problem` of an earlier sample nvidia-smi is not asked."""
    found: tuple[Device, ...] = ()
    tool = None if problem else shutil.which("nvidia-smi")
    if tool is not None:
        found, problem = _gpus(tool)
    return Sample(datetime.now(UTC), found or (_cpu(),), problem)


def parse_gpus(text: str, processes: str = "") -> tuple[Device, ...]:
    """The answers of nvidia-smi to `--query-gpu` with this module's fields, and to `--query-compute-apps`."""
    held: dict[str, list[Process]] = {}
    for cells in csv.reader(io.StringIO(processes), skipinitialspace=True):
        if len(cells) == 4:
            held.setdefault(cells[0], []).append(Process(int(cells[1]), Path(cells[2]).name, _whole(cells[3])))
    found = []
    for cells in csv.reader(io.StringIO(text), skipinitialspace=True):
        if len(cells) != len(_FIELDS) + 1:
            continue
        uuid, index, name, busy, used, total, heat, power = cells
        found.append(
            Device(
                f"cuda:{index}",
                name,
                _number(busy),
                _whole(used),
                _whole(total),
                _number(heat),
                _number(power),
                tuple(held.get(uuid, ())),
            )
        )
    return tuple(found)


def _gpus(tool: str) -> tuple[tuple[Device, ...], str]:
    """The GPUs, and why there are none where nvidia-smi gives no answer."""
    with Processes(_LIMIT_S) as processes:
        answer = processes.tool([tool, f"--query-gpu=uuid,{','.join(_FIELDS)}", "--format=csv,noheader,nounits"])
        if answer.code != 0:
            said = answer.text.strip().partition("\n")[0] or f"exit code {answer.code}"
            return (), f"nvidia-smi: {said}"
        apps = "--query-compute-apps=gpu_uuid,pid,process_name,used_memory"
        held = processes.tool([tool, apps, "--format=csv,noheader,nounits"])
    return parse_gpus(answer.text, held.text if held.code == 0 else ""), ""


def _cpu() -> Device:
    # the first call of a process has nothing to compare with; a tenth of a second is enough
    busy = psutil.cpu_percent(interval=0.1)
    memory = psutil.virtual_memory()
    return Device(
        "cpu",
        f"{psutil.cpu_count()} CPUs",
        busy,
        (memory.total - memory.available) // 2**20,
        memory.total // 2**20,
        processes=_largest(),
    )


def _largest(count: int = 3) -> tuple[Process, ...]:
    """The processes that hold most memory."""
    found = []
    for one in psutil.process_iter(("pid", "name", "memory_info")):
        held = one.info["memory_info"]
        if held is not None:
            found.append(Process(one.info["pid"], one.info["name"] or "", held.rss // 2**20))
    return tuple(sorted(found, key=lambda one: -(one.memory_mib or 0))[:count])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        # "[N/A]", "[Not Supported]"
        return None


def _whole(text: str) -> int | None:
    value = _number(text)
    return None if value is None else int(value)


class Log:
    """A csv file that grows by a line per device and sample; an existing file of this kind is continued."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            fresh = not path.exists() or not path.stat().st_size
            with path.open("a", encoding="utf-8", newline="") as stream:
                if fresh:
                    csv.writer(stream, lineterminator="\n").writerow(COLUMNS)

    def add(self, sample: Sample) -> None:
        """Append and flush: a reader sees whole samples."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        for one in sample.devices:
            named = ";".join(f"{process.pid}:{process.name}" for process in one.processes)
            cells = (one.utilisation, one.memory_used_mib, one.memory_total_mib, one.temperature_c, one.power_w)
            told = ("" if cell is None else cell for cell in cells)
            lines.writerow((sample.at.isoformat(timespec="milliseconds"), one.device, one.name, *told, named))
        with disk_errors(self.path), self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(text.getvalue())
