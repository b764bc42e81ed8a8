"""Append-only JSON lines with a key each: the form of everything that is done item by item."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vidbench.errors import InputError, RunConflictError, disk_errors

Json = dict[str, Any]


def read_records(path: Path) -> tuple[list[Json], int]:
    """All whole records of a JSON-lines file, and the number of bytes they take.

    A torn last line, left by a kill or a full disk, is not counted: its item is simply not done.
    """
    records, good = [], 0
    for record, start, size in _scan(path):
        records.append(record)
        good = start + size
    return records, good


def _scan(path: Path) -> Iterator[tuple[Json, int, int]]:
    """The whole records of a file one by one, each with where its line starts and how long that is."""
    if not path.exists():
        return
    start = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{path}:{number}: not a record: {error}",
                    "The file was changed by something else. Delete that line to do its item again.",
                ) from error
            if not isinstance(record, dict) or not isinstance(record.get("key"), str):
                raise InputError(f"{path}:{number}: a record needs a 'key'", "Delete that line.")
            yield record, start, len(line)
            start += len(line)


class Records:
    """A file of records that grows by whole lines; threads may share it.

    Attributes:
        path: The file.
        by_key: The records, without the fields that are left on disk; a later line of a key replaces an earlier one.
    """

    def __init__(self, path: Path, on_disk: Sequence[str] = ()) -> None:
        """An empty file's records.

        Args:
            path: The file; made by the first record.
            on_disk: Fields that are large and seldom asked for: `read` gives them.
        """
        self.path = path
        self.by_key: dict[str, Json] = {}
        self._on_disk = frozenset(on_disk)
        self._places: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    @classmethod
    def take(cls, path: Path, on_disk: Sequence[str] = ()) -> Records:
        """Read what is there, and cut off a torn last line, so that the next line stands alone."""
        found = cls(path, on_disk)
        good = 0
        for record, start, size in _scan(path):
            found._keep(record, start, size)
            good = start + size
        if path.exists():
            with disk_errors(path):
                os.truncate(path, good)
        return found

    def _keep(self, record: Json, start: int, size: int) -> None:
        key = record["key"]
        self.by_key[key] = {name: value for name, value in record.items() if name not in self._on_disk}
        self._places[key] = (start, size)

    def read(self, key: str) -> Json:
        """The whole record of a key, from the disk.

        Raises:
            KeyError: There is none.
        """
        start, size = self._places[key]
        with self.path.open("rb") as stream:
            stream.seek(start)
            record: Json = json.loads(stream.read(size))
        return record

    def append(self, record: Json) -> None:
        """Add one finished item; on disk as one whole line before this returns."""
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
        with self._lock, disk_errors(self.path), self.path.open("ab", buffering=0) as stream:
            before = stream.tell()
            try:
                written = stream.write(line)
                if written != len(line):
                    # a short write is how a disk says that it is nearly full; the second try raises
                    stream.write(line[written:])
            except OSError:
                os.truncate(self.path, before)
                raise
            self._keep(record, before, len(line))

    def settle(self, keys: Sequence[str]) -> None:
        """Rewrite the file at once: one line for each of the keys that has a record, in their order.

        A file that is so already is left alone.
        """
        with self._lock, disk_errors(self.path):
            kept = [key for key in keys if key in self.by_key]
            places, end = {}, 0
            for key in kept:
                places[key] = (end, self._places[key][1])
                end += self._places[key][1]
            if places == self._places and (not self.path.exists() or self.path.stat().st_size == end):
                return
            temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
            try:
                with self.path.open("rb") as old, temporary.open("wb") as new:
                    for key in kept:
                        start, size = self._places[key]
                        old.seek(start)
                        new.write(old.read(size))
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
            self.by_key = {key: self.by_key[key] for key in kept}
            self._places = places


@contextmanager
def lock_file(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock against other processes, until the context or the process ends.

    Args:
        path: The lock file, made when absent; it stays, as removing it would let two processes lock two files.
        busy: What is said where another process holds it.

    Raises:
        RunConflictError: Another process holds it.
    """
    with disk_errors(path), path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunConflictError(busy, "Wait for it, or give another folder.") from None
        yield


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of `path`."""
    try:
        with path.open("r") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
