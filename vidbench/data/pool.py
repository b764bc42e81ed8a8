"""Worker processes for videos that may crash or hang a decoder: no item is lost with its worker."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from vidbench.errors import VidbenchError

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

_END_S = 5.0


@dataclass(frozen=True)
class Lost:
    """An item whose worker did not come back.

    Attributes:
        reason: The worker "crashed", or it was ended after its time ("timeout").
        detail: How, in a few words.
    """

    reason: Literal["crashed", "timeout"]
    detail: str


def each(
    function: Callable[[I], R],
    items: Iterable[I],
    jobs: int,
    timeout_s: float | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    in_turns: bool = False,
) -> Generator[tuple[I, R | Lost]]:
    """The results of `function` over `items`, as they come, from `jobs` processes.

    Items are taken one by one as workers become free, so a long list costs no memory. A worker that a
    decoder takes down costs its item alone. Workers do not outlive the caller: closing the generator
    or a signal ends them, and one whose parent was killed ends itself.

    Args:
        function: A function of a module, with an argument and a result that can be pickled.
        items: What to work on.
        jobs: Processes, 1 or more.
        timeout_s: Seconds that an item may take.
        environment: Variables that the processes get besides those of this one.
        in_turns: Rest while the caller works on the results: for a caller that needs all cores itself, as threads
            that wait for each other lose more than the time that one of them is kept from its core. Else the next
            items are worked on meanwhile.

    Raises:
        VidbenchError: As raised by `function`, which ends the work, as for a full disk.
        RuntimeError: Anything else that `function` raised, with its traceback.
    """
    queue = iter(items)
    workers: list[_Worker[I]] = []
    try:
        while True:
            for worker in workers:
                if worker.item is None:
                    _feed(worker, queue)
            while len(workers) < jobs and (item := next(queue, None)) is not None:
                workers.append(_Worker(function, environment))
                workers[-1].give(item)
            busy = [worker for worker in workers if worker.item is not None]
            if not busy:
                return
            found = []
            while busy:
                ready = _ready(busy, timeout_s)
                results = [worker.result(timeout_s) for worker in ready]
                # ending one takes a moment, in which another that is late might still answer
                for worker, result in zip(ready, results, strict=True):
                    busy.remove(worker)
                    found.append((worker.take_item(), result))
                    if isinstance(result, Lost):
                        worker.end()
                        workers.remove(worker)
                if not in_turns:
                    break
            yield from found
    finally:
        for worker in workers:
            worker.end()


def _feed(worker: _Worker[I], queue: Iterator[I]) -> None:
    item = next(queue, None)
    if item is not None:
        worker.give(item)


def _ready(busy: list[_Worker[I]], timeout_s: float | None) -> list[_Worker[I]]:
    """The workers that have answered, have died or are out of time; waits for one."""
    left = None
    if timeout_s is not None:
        left = max(0.0, min(worker.since for worker in busy) + timeout_s - time.monotonic())
    spoke = set(wait([worker.connection for worker in busy], left))
    ready = [worker for worker in busy if worker.connection in spoke]
    if ready or timeout_s is None:
        return ready
    return [worker for worker in busy if time.monotonic() - worker.since >= timeout_s]


class _Worker(Generic[I]):
    """A process of this module, and the item that it is at."""

    def __init__(self, function: Callable[[I], Any], environment: Mapping[str, str]) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            # a session of its own: Ctrl-C reaches the parent alone, which ends its workers in order
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vidbench.data.pool", str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                # libraries write there what records say better
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        self.item: I | None = None
        self.since = 0.0
        self._failed = False
        self._send(function)

    def give(self, item: I) -> None:
        self.item, self.since = item, time.monotonic()
        self._send(item)

    def take_item(self) -> I:
        item, self.item = self.item, None
        assert item is not None
        return item

    def result(self, timeout_s: float | None) -> Any:
        """The answer, or `Lost`."""
        try:
            if not self.connection.poll():
                self._failed = True
                return Lost("timeout", f"no end after {timeout_s:.0f} s")
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return Lost("crashed", _ending(self._process.wait()))
        if kind == "error":
            raise value
        if kind == "bug":
            raise RuntimeError(f"a worker failed:\n{value}")
        return value

    def end(self) -> None:
        # an idle worker ends by itself when the line is closed
        with contextlib.suppress(OSError):
            self.connection.close()
        if self.item is not None or self._failed:
            self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, value: object) -> None:
        # a worker that is gone already is noticed when its answer is read
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(value)


def _ending(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the worker was ended by {signal.Signals(-code).name}"
    return f"the worker ended with exit code {code}"


def _serve(connection: Connection[Any, Any], parent: int) -> None:
    """The life of a worker: a function, then items, until the parent is gone."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # so that `finally` blocks remove what is half written
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        function = connection.recv()
        while True:
            item = connection.recv()
            connection.send(_answer(function, item))
    # the rest is the interpreter's own end, which nothing has to break off
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _answer(function: Callable[[Any], Any], item: Any) -> tuple[str, Any]:
    try:
        result = ("result", function(item))
        pickle.dumps(result)
    except VidbenchError as error:
        return "error", error
    except Exception:
        return "bug", traceback.format_exc()
    return result


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    # by its import name, so that what is pickled here and there is of the same classes
    from vidbench.data import pool

    pool._serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
