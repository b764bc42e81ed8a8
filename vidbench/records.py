"""Append-only JSON lines with a key each: the form of everything that is done item by item."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vidbench.errors import InputError, RunConflictError, disk_errors

Json = dict[str, Any]


def read_records(path: Path) -> tuple[list[Json], int]:
    """All whole records of a JSON-lines file, and the number of bytes they take.

    A torn last line, left by a kill or a full disk, is not counted: its item is simply not done.
    """
    if not path.exists():
        return [], 0
    data = path.read_bytes()
    good = data.rfind(b"\n") + 1
    records: list[Json] = []
    for number, line in enumerate(data[:good].splitlines(), start=1):
        try:
            record = json.loads(line)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(
                f"{path}:{number}: not a record: {error}",
                "The file was changed by something else. Delete that line to do its item again.",
            ) from error
        if not isinstance(record, dict) or "key" not in record:
            raise InputError(f"{path}:{number}: a record needs a 'key'", "Delete that line.")
        records.append(record)
    return records, good


class Records:
    """A file of records that grows by whole lines; threads may share it.

    Attributes:
        path: The file.
        by_key: The records; a later line of a key replaces an earlier one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_key: dict[str, Json] = {}
        self._lock = threading.Lock()

    @classmethod
    def take(cls, path: Path) -> Records:
        """Read what is there, and cut off a torn last line, so that the next line stands alone."""
        found = cls(path)
        records, good = read_records(path)
        if path.exists():
            with disk_errors(path):
                os.truncate(path, good)
        found.by_key = {record["key"]: record for record in records}
        return found

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
            self.by_key[record["key"]] = record


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
