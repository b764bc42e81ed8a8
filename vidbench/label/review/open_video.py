"""The rows of one video while it is reviewed: every edit is on disk before it counts."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vidbench.errors import VidbenchError, disk_errors
from vidbench.formats.framelist import read_lines
from vidbench.formats.labelset import Row, SetVideo, dump_rows, parse_rows, row_json
from vidbench.label.review.edit_kinds import Edit, EditError
from vidbench.label.review.edits import Change, Facts, Key, change
from vidbench.label.review.history import HISTORY, History
from vidbench.label.review.warnings import Overlap, overlaps, row_warnings
from vidbench.label.store import TRACKS, LabelSet

_TEMPORARY = f".{TRACKS}.review.tmp"


@dataclass
class Tally:
    """What is counted of a video's rows.

    Attributes:
        rows: All.
        answered: Those on which somebody has looked.
        checked: Those that a second look confirmed.
        doubts: Those with a doubt.
        persons: Rows by person.
        actions: Rows by action.
    """

    rows: int = 0
    answered: int = 0
    checked: int = 0
    doubts: int = 0
    persons: Counter[int] = field(default_factory=Counter)
    actions: Counter[int] = field(default_factory=Counter)

    def count(self, rows: Iterable[Row], sign: Literal[1, -1] = 1) -> None:
        """Add rows, or take them out again."""
        for row in rows:
            self.rows += sign
            self.answered += sign * (row.actions is not None)
            self.checked += sign * row.checked
            self.doubts += sign * bool(row.doubts)
            self.persons[row.person] += sign
            for action in row.actions or ():
                self.actions[action] += sign

    def copy(self) -> Tally:
        """The figures as they are now."""
        return Tally(self.rows, self.answered, self.checked, self.doubts, Counter(self.persons), Counter(self.actions))

    def figures(self) -> dict[str, int]:
        """The figures that the page shows."""
        return {
            "persons": sum(1 for rows in self.persons.values() if rows),
            "rows": self.rows,
            "answered": self.answered,
            "checked": self.checked,
            "doubts": self.doubts,
        }


@dataclass(frozen=True, slots=True)
class Done:
    """What an edit, an undo or a redo came to.

    Attributes:
        removed: Seconds and persons that have no row any more.
        rows: New and changed rows as JSON, with their warnings; also rows of which only the warnings changed.
        says: One line of what was done.
    """

    removed: list[list[int]]
    rows: list[dict[str, Any]]
    says: str


class OpenVideo:
    """A video of a set that is being reviewed; one thread at a time.

    Attributes:
        video: What the set says of it.
        rows: By second and person.
        tally: What is counted of them.
        history: Its edits.
        note: What has to be said of its history; None where there is nothing.
        revision: Rises with every change.
        digest: SHA-256 of `tracks.jsonl`, in hex.
    """

    def __init__(self, labels: LabelSet, video: SetVideo, facts: Facts, poses: dict[int, str]) -> None:
        """Read the video's rows and its history.

        Args:
            labels: The set.
            video: The video.
            facts: What edits must agree with.
            poses: Names of the actions that are poses, by id.

        Raises:
            InputError: `tracks.jsonl` is missing or malformed.
        """
        self.video, self._facts, self._poses = video, facts, poses
        self._path = labels.home(video.id) / TRACKS
        # what a killed process left; the set is held, so nobody else is writing it
        (self._path.parent / _TEMPORARY).unlink(missing_ok=True)
        self._stamp, self.digest, told = _read(self._path)
        self.rows = {row.key: row for row in parse_rows(told, self._path)}
        self._lines = {row.key: _line(row) for row in self.rows.values()}
        self._order = list(self.rows)
        self._seconds: defaultdict[int, set[int]] = defaultdict(set)
        for second, person in self.rows:
            self._seconds[second].add(person)
        self._overlaps = {second: self._overlaps_at(second) for second in self._seconds}
        self.tally = Tally()
        self.tally.count(self.rows.values())
        self.history, self.note = History.take(self._path.with_name(HISTORY), self.digest)
        self.revision = self.history.marks

    def at(self, second: int) -> list[Row]:
        """The rows of a second, by person."""
        return [self.rows[second, person] for person in sorted(self._seconds.get(second, ()))]

    def told(self) -> list[dict[str, Any]]:
        """All rows as JSON, with their warnings."""
        return [self._told(self.rows[key]) for key in self._order]

    def still_current(self) -> bool:
        """Whether `tracks.jsonl` is as this object last read or wrote it."""
        try:
            if _stamp(self._path) == self._stamp:
                return True
            stamp, digest, _ = _read(self._path)
        except (OSError, VidbenchError):
            return False
        if digest != self.digest:
            return False
        self._stamp = stamp
        return True

    def edit(self, asked: Edit) -> Done:
        """Make an edit; on disk when this returns.

        Raises:
            EditError: It cannot be made.
            VidbenchError: It cannot be written; this object is then not to be used any more.
        """
        made = change(self.rows, asked, self._facts)
        if not made.removed and not made.added:
            return Done([], [], f"nothing to change: {made.says}")
        lines, order, text, digest = self._after(made)
        self.history.write_edit(
            self.digest,
            digest,
            (self._lines[row.key].strip() for row in made.removed),
            (lines[row.key].strip() for row in made.added),
            asked.model_dump(mode="json", by_alias=True, exclude_unset=True),
            made.says,
        )
        return self._write(made, lines, order, text, digest)

    def step(self, do: Literal["undo", "redo"]) -> Done:
        """Undo the last edit, or make an undone one again; on disk when this returns.

        Raises:
            EditError: There is none.
            VidbenchError: As `edit`.
        """
        past = self.history.to_undo() if do == "undo" else self.history.to_redo()
        if past is None:
            raise EditError(f"nothing to {do}")
        if do == "undo":
            made = Change(past.added, past.removed, f"undone: {past.says}")
        else:
            made = Change(past.removed, past.added, f"done again: {past.says}")
        lines, order, text, digest = self._after(made)
        self.history.write_step(do, self.digest, digest)
        return self._write(made, lines, order, text, digest)

    def _after(self, made: Change) -> tuple[dict[Key, str], list[Key], bytes, str]:
        lines = self._lines.copy()
        for row in made.removed:
            del lines[row.key]
        for row in made.added:
            lines[row.key] = _line(row)
        order = self._order if lines.keys() == self._lines.keys() else sorted(lines)
        text = "".join([lines[key] for key in order]).encode()
        return lines, order, text, hashlib.sha256(text).hexdigest()

    def _write(self, made: Change, lines: dict[Key, str], order: list[Key], text: bytes, digest: str) -> Done:
        self._stamp = _replace(self._path, text)
        self._lines, self._order, self.digest = lines, order, digest
        for row in made.removed:
            del self.rows[row.key]
            self._seconds[row.second].discard(row.person)
        for row in made.added:
            self.rows[row.key] = row
            self._seconds[row.second].add(row.person)
        self.tally.count(made.removed, -1)
        self.tally.count(made.added)
        self.revision += 1
        added = {row.key for row in made.added}
        shown = added | self._weighed(made)
        gone = sorted({row.key for row in made.removed} - added)
        return Done([list(key) for key in gone], [self._told(self.rows[key]) for key in sorted(shown)], made.says)

    def _weighed(self, made: Change) -> set[Key]:
        """Look at the overlaps again where a box moved or changed hands; the rows for which they are others now."""
        before = {(row.key, row.box) for row in made.removed}
        after = {(row.key, row.box) for row in made.added}
        found: set[Key] = set()
        for second in {key[0] for key, _ in before ^ after}:
            old, new = self._overlaps.get(second, {}), self._overlaps_at(second)
            self._overlaps[second] = new
            found.update((second, person) for person in self._seconds[second] if old.get(person) != new.get(person))
        return found

    def _overlaps_at(self, second: int) -> dict[int, Overlap]:
        return overlaps(self.at(second))

    def _told(self, row: Row) -> dict[str, Any]:
        overlap = self._overlaps.get(row.second, {}).get(row.person)
        return {**row_json(row), "warnings": row_warnings(row, self.video, self._poses, overlap)}


def _line(row: Row) -> str:
    return next(dump_rows((row,)))


def _stamp(path: Path) -> tuple[int, int, int]:
    told = path.stat()
    return told.st_mtime_ns, told.st_size, told.st_ino


def _read(path: Path) -> tuple[tuple[int, int, int], str, list[str]]:
    """What tells versions of a file apart quickly, its SHA-256, and its lines."""
    lines = list(read_lines(path))
    return _stamp(path), hashlib.sha256("".join(lines).encode()).hexdigest(), lines


def _replace(path: Path, text: bytes) -> tuple[int, int, int]:
    """Put a file in place so that even a loss of power leaves the old one or the new one."""
    temporary = path.with_name(_TEMPORARY)
    with disk_errors(path):
        try:
            with temporary.open("wb") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return _stamp(path)
