"""Undo and redo of a video's edits, kept in `history.jsonl` so that they survive the end of the process.

Each line says what was done and the SHA-256 of `tracks.jsonl` before and after it. It is written first. So when a
process dies between the two writes, the last line's "before" is what is on disk, and that line is dropped; any other
state means that something else changed the rows, and the history is set aside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidbench.errors import disk_errors
from vidbench.formats.labelset import Row, row_of

HISTORY = "history.jsonl"
SCHEMA_VERSION = 1

_HEADER = json.dumps({"schema_version": SCHEMA_VERSION}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Past:
    """An edit that was made.

    Attributes:
        removed: Rows as they were before.
        added: Rows as they were after.
        edit: What was asked.
        says: One line of what was done.
    """

    removed: tuple[Row, ...]
    added: tuple[Row, ...]
    edit: dict[str, Any]
    says: str


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    size: int


class _BrokenError(ValueError):
    """The file is no history."""


class History:
    """The edits of a video, on disk; memory holds only where they are.

    Attributes:
        path: The file; made by the first edit.
        marks: Lines written: edits, undos and redos.
    """

    def __init__(self, path: Path) -> None:
        """An empty history."""
        self.path = path
        self.marks = 0
        self._size = 0
        self._undo: list[_Place] = []
        self._redo: list[_Place] = []

    @classmethod
    def take(cls, path: Path, digest: str) -> tuple[History, str | None]:
        """The history that is on disk, and what has to be said of it.

        Args:
            path: The file.
            digest: The SHA-256, in hex, of `tracks.jsonl` as it is.
        """
        if not path.exists():
            return cls(path), None
        found = cls(path)
        try:
            agrees = found._read(digest)
            why = "the rows were changed by something else"
        except _BrokenError as error:
            agrees, why = False, str(error)
        if agrees:
            return found, None
        aside = _aside(path)
        with disk_errors(path):
            path.replace(aside)
        return cls(path), f"{why}: earlier edits cannot be undone any more; they are kept in {aside.name}"

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to undo."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone edit to make again."""
        return bool(self._redo)

    def to_undo(self) -> Past | None:
        """The edit that comes next when undoing."""
        return self._past(self._undo[-1]) if self._undo else None

    def to_redo(self) -> Past | None:
        """The edit that comes next when redoing."""
        return self._past(self._redo[-1]) if self._redo else None

    def last(self) -> Past | None:
        """The edit that was made last, whether or not it was undone since."""
        if self._redo:
            return self._past(self._redo[-1])
        return self.to_undo()

    def write_edit(
        self, before: str, after: str, removed: Iterable[str], added: Iterable[str], edit: dict[str, Any], says: str
    ) -> None:
        """Write an edit; on disk when this returns.

        Args:
            before: SHA-256 of `tracks.jsonl` as it is.
            after: As it will be.
            removed: The rows before, as JSON text each.
            added: The rows after.
            edit: What was asked.
            says: One line of what is done.
        """
        # the rows are JSON text already, and may be thousands
        line = (
            f'{{"do": "edit", "before": "{before}", "after": "{after}", "says": {json.dumps(says)}, '
            f'"edit": {json.dumps(edit)}, "removed": [{", ".join(removed)}], "added": [{", ".join(added)}]}}\n'
        )
        self._undo.append(self._append(line.encode()))
        self._redo.clear()

    def write_step(self, do: Literal["undo", "redo"], before: str, after: str) -> None:
        """Write that the next edit is undone or redone; on disk when this returns."""
        source, target = (self._undo, self._redo) if do == "undo" else (self._redo, self._undo)
        self._append((json.dumps({"do": do, "before": before, "after": after}) + "\n").encode())
        target.append(source.pop())

    def _append(self, line: bytes) -> _Place:
        with disk_errors(self.path), self.path.open("ab", buffering=0) as stream:
            try:
                data = line if self._size else _HEADER + line
                written = stream.write(data)
                if written != len(data):
                    # a short write is how a disk says that it is nearly full; the second try raises
                    stream.write(data[written:])
                os.fsync(stream.fileno())
            except OSError:
                os.truncate(self.path, self._size)
                raise
        place = _Place(self._size + len(data) - len(line), len(line))
        self._size += len(data)
        self.marks += 1
        return place

    def _past(self, place: _Place) -> Past:
        with self.path.open("rb") as stream:
            stream.seek(place.start)
            told = json.loads(stream.read(place.size))
        removed, added = (tuple(row_of(one) for one in told[name]) for name in ("removed", "added"))
        return Past(removed, added, told["edit"], told["says"])

    def _read(self, digest: str) -> bool:
        """Read the file; cut off a torn last line and a line that did not come to its effect. False: other rows."""
        last: tuple[int, str, str] | None = None
        with self.path.open("rb") as stream:
            header = stream.readline()
            if not header.endswith(b"\n") and _HEADER.startswith(header):
                self._cut(0)
                return True
            if header != _HEADER:
                raise _BrokenError(f"{self.path.name} is of another version or damaged")
            good = len(header)
            for number, line in enumerate(stream, start=2):
                if not line.endswith(b"\n"):
                    break
                do, before, after = self._mark(line, number)
                if last is not None and before != last[2]:
                    raise _BrokenError(f"{self.path.name}:{number} does not follow from the line before")
                undo, redo = self._undo, self._redo
                if do == "edit":
                    undo.append(_Place(good, len(line)))
                    redo.clear()
                elif not (undo if do == "undo" else redo):
                    raise _BrokenError(f"{self.path.name}:{number}: nothing to {do}")
                elif do == "undo":
                    redo.append(undo.pop())
                else:
                    undo.append(redo.pop())
                last = good, before, after
                good += len(line)
                self.marks += 1
        if last is None or digest == last[2]:
            self._cut(good)
            return True
        if digest == last[1]:
            return self._without_last(last[0], digest)
        return False

    def _without_last(self, end: int, digest: str) -> bool:
        self._cut(end)
        self.marks, self._undo, self._redo = 0, [], []
        return self._read(digest)

    def _cut(self, size: int) -> None:
        self._size = size
        if self.path.stat().st_size != size:
            with disk_errors(self.path):
                os.truncate(self.path, size)

    def _mark(self, line: bytes, number: int) -> tuple[str, str, str]:
        try:
            told = json.loads(line)
            do, before, after = told["do"], told["before"], told["after"]
            whole = do != "edit" or all(isinstance(told[name], list) for name in ("removed", "added"))
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole or do not in ("edit", "undo", "redo"):
            raise _BrokenError(f"{self.path.name}:{number} is damaged")
        return do, before, after


def _aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return aside
