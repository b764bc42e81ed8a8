"""Child processes that may crash or hang: how each one ended, and none left behind."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Literal

from vidbench.env import child

StageStatus = Literal["ok", "absent", "error", "died", "timeout", "unreached"]


@dataclass(frozen=True)
class Stage:
    """How a stage of `child.py` went.

    Attributes:
        status: `ok`; `absent`: not installed; `error`: raised; `died`: the process was ended by it;
            `timeout`: it was ended by us; `unreached`: an earlier stage that it needs failed.
        error: One line on anything but `ok`.
        seconds: What it took.
        data: What it told.
    """

    status: StageStatus
    error: str = ""
    seconds: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """What a command-line tool said.

    Attributes:
        code: Its exit code; None where it could not be started or was ended by us.
        text: Its stdout, or the end of its stderr where stdout is empty.
    """

    code: int | None
    text: str


class Processes:
    """The living children; leaving the context ends those that are left.

    Args:
        limit_s: Seconds that a stage or a tool may take.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._living: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            left = list(self._living)
        for process in left:
            _end(process)

    def stages(self, names: Sequence[str], folder: str, lazy: bool = False) -> dict[str, Stage]:
        """Run stages in one process; one that takes the process down does not keep the later ones from running.

        After a failed `torch` the later ones are `unreached`: they import it.
        """
        done: dict[str, Stage] = {}
        while left := [name for name in names if name not in done]:
            done.update(self._run(left, folder, lazy))
            if "torch" in done and done["torch"].status != "ok":
                return done | {n: Stage("unreached", "torch does not load") for n in names if n != "torch"}
        return done

    def _run(self, names: Sequence[str], folder: str, lazy: bool) -> dict[str, Stage]:
        request = json.dumps({"stages": list(names), "folder": folder, "lazy": lazy, "limit_s": self.limit_s})
        done: dict[str, Stage] = {}
        current = names[0]
        started = time.monotonic()
        timed_out = False
        with tempfile.TemporaryFile() as errors:
            # -P: the working folder must not shadow a package here
            process = self._start([sys.executable, "-P", child.__file__, request], errors)
            try:
                for line in self._lines(process):
                    if line is None:
                        timed_out = True
                        break
                    try:
                        said = json.loads(line)
                    except json.JSONDecodeError:
                        # torn by the end of the process
                        continue
                    if "begin" in said:
                        current, started = said["begin"], time.monotonic()
                    else:
                        done[said["end"]] = Stage(said["status"], said["error"], said["seconds"], said["data"])
                        if said["end"] == "torch" and said["status"] != "ok":
                            return done
            finally:
                _end(process)
                self._forget(process)
            if len(done) < len(names):
                seconds = round(time.monotonic() - started, 3)
                if timed_out:
                    done[current] = Stage("timeout", f"no answer within {self.limit_s:g} s", seconds)
                else:
                    done[current] = Stage("died", _last_words(process, errors), seconds)
        return done

    def tool(self, arguments: Sequence[str], limit_s: float = 10.0) -> Output:
        """Run a command-line tool to its end or its limit, whichever is first."""
        with tempfile.TemporaryFile() as errors:
            try:
                process = self._start(arguments, errors)
            except OSError as error:
                return Output(None, str(error))
            lines: list[str] = []
            timed_out = False
            try:
                for line in self._lines(process, min(limit_s, self.limit_s)):
                    if line is None:
                        timed_out = True
                        break
                    lines.append(line)
                if not timed_out:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(2)
            finally:
                _end(process)
                self._forget(process)
            if timed_out:
                return Output(None, f"no answer within {min(limit_s, self.limit_s):g} s")
            return Output(process.returncode, "\n".join(lines) or "\n".join(_tail(errors)))

    def _start(self, arguments: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the check is being ended")
            process = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                # a group of its own, so that what it starts is ended with it
                start_new_session=True,
            )
            self._living.add(process)
        return process

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._living.discard(process)

    def _lines(self, process: subprocess.Popen[bytes], limit_s: float | None = None) -> Iterator[str | None]:
        """Lines of stdout as they come; None, and no more, when none came for the limit."""
        limit = self.limit_s if limit_s is None else limit_s
        assert process.stdout is not None
        rest = b""
        with process.stdout as stream, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            deadline = time.monotonic() + limit
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    yield None
                    return
                chunk = os.read(stream.fileno(), 65536)
                if not chunk:
                    break
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace")
                if whole:
                    deadline = time.monotonic() + limit
        if rest:
            yield rest.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that has closed its stdout, end one that goes on."""
    try:
        process.wait(0.5 if process.stdout is not None and process.stdout.closed else 0)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # a process that hangs in the kernel outlives even this; it is left alone then
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)


def _last_words(process: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    code = process.returncode
    how = f"ended with exit code {code}"
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            how = f"ended by {signal.Signals(-code).name}"
    said = _tail(errors)
    return f"{how}: {said[-1][:300]}" if said else how


def _tail(errors: IO[bytes]) -> list[str]:
    """The last lines of stderr that say something."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - 8192))
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines()]
    return [line for line in lines if line]
