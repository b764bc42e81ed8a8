"""Processes that work together on this machine: started, listened to, and all ended when one has ended early."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch._C._distributed_c10d import TCPStore

from vidbench.errors import EXIT_BUG, EXIT_INTERRUPTED, ProcessLostError, VidbenchError
from vidbench.progress import Reporter, SilentReporter, Task

R = TypeVar("R")
Work = Callable[[Reporter], R]
_HOST = "127.0.0.1"
# those that are left find out by themselves that one has ended, and may say why
_GRACE_S = 6.0


def started_by_torchrun() -> bool:
    """Whether this process is one of several that something else started."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def launch(work: Work[R], size: int, reporter: Reporter) -> R:
    """Run `work` in so many new processes that find each other as under torchrun; what the first one gave.

    Args:
        work: Importable by its name; called with a reporter, that of the first process being `reporter` from afar.
            It gives plain values: a tensor's memory would end with its process.
        size: How many.
        reporter: Hears the first process.

    Raises:
        VidbenchError: The error of whichever process told one; `ProcessLostError` where one was killed.
        KeyboardInterrupt: After all have ended.
    """
    store = TCPStore(_HOST, 0, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("spawn")
    crew = _Crew(reporter)
    try:
        for rank in range(size):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_member, args=(rank, size, store.port, theirs, work), name=f"rank {rank}")
            process.start()
            theirs.close()
            crew.add(process, ours)
        crew.listen()
    except KeyboardInterrupt:
        crew.interrupt()
        raise
    finally:
        crew.end()
    result: R = crew.result()
    return result


class _Crew:
    """The processes as their starter sees them."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._tasks: dict[int, tuple[Task, ExitStack]] = {}
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection] = []
        self._value: list[Any] = []
        self._errors: list[VidbenchError] = []
        self._bugs: list[str] = []
        self._lost: list[str] = []

    def add(self, process: SpawnProcess, pipe: Connection) -> None:
        self._processes.append(process)
        self._pipes.append(pipe)

    def listen(self) -> None:
        """Until all have ended, or one has ended early and the others' time to do so, too, is up."""
        deadline: float | None = None
        while alive := [process for process in self._processes if process.is_alive()]:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self._hear(wait([*self._pipes, *(process.sentinel for process in alive)], left))
            if deadline is None and any(process.exitcode for process in self._processes):
                deadline = time.monotonic() + _GRACE_S
        self._hear(wait(self._pipes, 0))
        for number, process in enumerate(self._processes, start=1):
            code = process.exitcode or 0
            if code < 0:
                self._lost.append(f"process {number} of {len(self._processes)} was ended by {_name(-code)}")

    def _hear(self, ready: list[Any]) -> None:
        for pipe in ready:
            if not isinstance(pipe, Connection):
                continue
            try:
                while pipe.poll():
                    self._take(*pipe.recv())
            except (EOFError, ConnectionResetError):
                self._pipes.remove(pipe)

    def _take(self, kind: str, *what: Any) -> None:
        if kind == "value":
            self._value.append(what[0])
        elif kind == "error":
            self._errors.append(what[0])
        elif kind == "bug":
            self._bugs.append(what[0])
        elif kind == "info":
            self._reporter.info(what[0])
        elif kind == "warn":
            self._reporter.warn(what[0])
        elif kind == "task":
            stack = ExitStack()
            self._tasks[what[0]] = stack.enter_context(self._reporter.task(*what[1:])), stack
        elif kind == "closed":
            self._tasks.pop(what[0])[1].close()
        else:
            getattr(self._tasks[what[0]][0], kind)(*what[1:])

    def interrupt(self) -> None:
        """Let all end as by Ctrl-C, which they do not hear themselves."""
        for process in self._processes:
            if process.is_alive() and process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)
        self._join(_GRACE_S)

    def end(self) -> None:
        """Nothing is left behind."""
        for stop in (SpawnProcess.terminate, SpawnProcess.kill):
            for process in self._processes:
                if process.is_alive():
                    stop(process)
            self._join(_GRACE_S)
        for _, stack in self._tasks.values():
            stack.close()

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))

    def result(self) -> Any:
        if self._bugs:
            raise RuntimeError(f"in a process of several:\n{self._bugs[0]}")
        for error in self._errors:
            if not isinstance(error, ProcessLostError):
                raise error
        if self._lost:
            raise ProcessLostError(
                "; ".join(self._lost), "Memory may have run out. The same command goes on where the state was stored."
            )
        if self._errors:
            raise self._errors[0]
        if not self._value:
            codes = ", ".join(str(process.exitcode) for process in self._processes)
            raise ProcessLostError(f"the processes ended with exit codes {codes} and no result", "Run it again.")
        return self._value[0]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _member(rank: int, size: int, port: int, pipe: Connection, work: Work[object]) -> None:
    """The life of one of the processes."""
    # Ctrl-C in the terminal is for the starter, which passes it on once
    os.setsid()
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    found = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": _HOST}
    found |= {"MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": 0}
    os.environ.update({name: str(value) for name, value in found.items()})
    if Path("/sys/class/net/lo").exists():
        # the machine's name may not lead to an address
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    try:
        value = work(_Afar(pipe) if rank == 0 else SilentReporter())
        if rank == 0:
            pipe.send(("value", value))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except VidbenchError as error:
        pipe.send(("error", error))
        sys.exit(error.exit_code)
    except Exception:
        pipe.send(("bug", traceback.format_exc()))
        sys.exit(EXIT_BUG)


def _end_with_the_starter() -> None:
    starter = multiprocessing.parent_process()
    assert starter is not None
    wait([starter.sentinel])
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_GRACE_S)
    os._exit(EXIT_INTERRUPTED)


class _Afar:
    """A reporter whose words go through a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._opened = pipe, 0

    @contextmanager
    def task(self, title: str, total: float | None, unit: str) -> Iterator[Task]:
        self._opened += 1
        number = self._opened
        self._pipe.send(("task", number, title, total, unit))
        yield _FarTask(self._pipe, number)
        self._pipe.send(("closed", number))

    def info(self, message: str) -> None:
        self._pipe.send(("info", message))

    def warn(self, message: str) -> None:
        self._pipe.send(("warn", message))


class _FarTask:
    def __init__(self, pipe: Connection, number: int) -> None:
        self._pipe, self._number = pipe, number

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._pipe.send(("advance", self._number, amount, note))

    def skip(self, amount: float, note: str = "") -> None:
        self._pipe.send(("skip", self._number, amount, note))
