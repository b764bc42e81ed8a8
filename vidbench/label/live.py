"""How far the worker processes are: a small file each, which the parent adds up while it waits."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidbench.progress import Task

_EVERY_S = 0.5


class Pulse:
    """A worker's side: writes what it has done, now and then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spoke = 0.0

    def tell(self, pictures: int, persons: int) -> None:
        """Say how many pictures are done and how many persons were found in them."""
        now = time.monotonic()
        if now - self._spoke >= _EVERY_S:
            self._spoke = now
            temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
            # progress is no reason to fail
            with contextlib.suppress(OSError):
                temporary.write_text(f"{pictures} {persons}")
                temporary.replace(self._path)


class Board:
    """The parent's side: a task that moves with what the workers tell.

    Attributes:
        task: Counts pictures.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        self.task = task
        self._folder = folder
        self._lock = threading.Lock()
        self._told: dict[str, int] = {}
        self._boxes = 0
        self._running: dict[str, int] = {}
        self._started = time.monotonic()

    def finish(self, name: str, pictures: int, boxes: int) -> None:
        """A video is done: count what its pulse had not told, or take back what it told too much."""
        with self._lock:
            self._boxes += boxes
            self._running.pop(name, None)
            self._move(name, pictures)

    def look(self) -> None:
        """Read all pulses."""
        with self._lock:
            for path in self._folder.glob("*.pulse"):
                try:
                    pictures, boxes = map(int, path.read_text().split())
                except (OSError, ValueError):
                    continue
                if path.stem in self._running or path.stem not in self._told:
                    self._running[path.stem] = boxes
                    self._move(path.stem, pictures)

    def _move(self, name: str, pictures: int) -> None:
        more = pictures - self._told.get(name, 0)
        self._told[name] = pictures
        boxes = self._boxes + sum(self._running.values())
        if more > 0:
            self.task.advance(more, f"{boxes} boxes of persons")


@contextmanager
def watched(folder: Path, task: Task) -> Iterator[Board]:
    """A board that looks at the pulses of `folder` until the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.pulse"):
        path.unlink(missing_ok=True)
    board = Board(folder, task)
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(_EVERY_S):
            board.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield board
    finally:
        stop.set()
        thread.join()
        for path in folder.glob("*.pulse"):
            path.unlink(missing_ok=True)
