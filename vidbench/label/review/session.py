"""A set while it is reviewed: its videos, revisions and counts; safe for several threads."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any, Literal

from vidbench.errors import InputError, VidbenchError
from vidbench.formats.labelset import Row, SetVideo
from vidbench.label.review.edit_kinds import Edit
from vidbench.label.review.edits import Facts
from vidbench.label.review.history import HISTORY
from vidbench.label.review.open_video import Done, OpenVideo, Tally
from vidbench.label.review.warnings import class_warnings
from vidbench.label.store import LabelSet
from vidbench.progress import Reporter

_KEPT = 4
"""Videos whose rows stay in memory."""

Told = dict[str, Any]


class UnknownVideoError(LookupError):
    """The set has no such video."""


class StaleError(Exception):
    """The page shows older rows than there are.

    Attributes:
        revision: The present one.
    """

    def __init__(self, message: str, revision: int) -> None:
        super().__init__(message)
        self.revision = revision


class Session:
    """An open set, of which this process is the only writer.

    Attributes:
        labels: The set's folder.
        content: What `set.json` says.
        edits: Changes made so far: edits, undos and redos.
    """

    def __init__(self, labels: LabelSet, reporter: Reporter, start: str | None = None) -> None:
        """Read the whole set; the caller holds its lock.

        Args:
            labels: The set.
            reporter: Told of videos whose rows cannot be read.
            start: The video that the page shows first; None is where somebody worked last.

        Raises:
            InputError: `set.json` is malformed, or it names no such video.
        """
        self.labels, self.content = labels, labels.load()
        if not self.content.videos:
            raise InputError(f"{labels.folder}: a set without videos", "Add some: vidbench label detect-track --help")
        if start is not None:
            self.content.video(start)
        self._videos = {one.id: one for one in self.content.videos}
        self._names = {one.id: one.name for one in self.content.actions}
        self._poses = {one.id: one.name for one in self.content.actions if one.group == "pose"}
        self._lock = threading.RLock()
        self._open: OrderedDict[str, OpenVideo] = OrderedDict()
        self._seen: dict[str, tuple[int, str]] = {}
        self._notes: dict[str, str] = {}
        self._tallies: dict[str, Tally] = {}
        self._errors: dict[str, str] = {}
        self._counts: Counter[int] = Counter()
        self._closed = False
        self.edits = 0
        with reporter.task("reading", len(self.content.videos), "videos") as task:
            for video in self.content.videos:
                try:
                    tally = Tally()
                    tally.count(labels.rows(video.id))
                    self._count(video.id, tally)
                except VidbenchError as error:
                    self._errors[video.id] = str(error)
                    reporter.warn(f"{video.id} cannot be reviewed: {error}")
                task.advance(1)
        self._start = self._place(start)

    def video(self, name: str) -> SetVideo:
        """What the set says of a video.

        Raises:
            UnknownVideoError: There is no such video.
        """
        if name not in self._videos:
            raise UnknownVideoError(name)
        return self._videos[name]

    def overview(self) -> Told:
        """The set as the page shows it: actions, videos with their figures, counts."""
        with self._lock:
            return {
                "name": self.labels.folder.resolve().name,
                "folder": str(self.labels.folder.resolve()),
                "actions": [{"id": one.id, "name": one.name, "group": one.group} for one in self.content.actions],
                "videos": [self._figures(one) for one in self.content.videos],
                "counts": self._told_counts(),
                "classes": class_warnings(self.content.actions, self._counts),
                "start": self._start,
            }

    def rows(self, name: str) -> Told:
        """A video with all its rows.

        Raises:
            UnknownVideoError: There is no such video.
            VidbenchError: Its rows cannot be read.
        """
        video = self.video(name)
        with self._lock:
            open_ = self._current(video)
            return {
                "id": video.id,
                "width": video.width,
                "height": video.height,
                "duration_s": video.duration_s,
                "keyframes": [video.first, video.last],
                "note": self._notes.get(video.id),
                "rows": open_.told(),
                **_state(open_),
            }

    def edit(self, name: str, revision: int, asked: Edit) -> Told:
        """Make an edit; on disk when this returns.

        Raises:
            UnknownVideoError: There is no such video.
            StaleError: The rows have changed since `revision`; nothing is done.
            EditError: The edit cannot be made; nothing is done.
            VidbenchError: The rows cannot be read or written; nothing is done.
        """
        return self._change(name, revision, asked)

    def step(self, name: str, revision: int, do: Literal["undo", "redo"]) -> Told:
        """Undo or redo an edit; as `edit`."""
        return self._change(name, revision, do)

    def near(self, name: str, second: int, reach: int) -> list[Row]:
        """The rows of a video from `reach` seconds before a second to as many after it.

        Raises:
            UnknownVideoError: There is no such video.
            VidbenchError: Its rows cannot be read.
        """
        video = self.video(name)
        with self._lock:
            open_ = self._opened(video)
            return [row for one in range(second - reach, second + reach + 1) for row in open_.at(one)]

    def close(self) -> None:
        """Let an edit in progress end, and take no others."""
        with self._lock:
            self._closed = True

    def _change(self, name: str, revision: int, asked: Edit | Literal["undo", "redo"]) -> Told:
        video = self.video(name)
        with self._lock:
            if self._closed:
                raise InputError("the review has ended")
            open_ = self._opened(video)
            if not open_.still_current():
                del self._open[video.id]
                fresh = self._opened(video)
                raise StaleError(
                    f"{video.id}: its rows were changed by something else; they are read anew, and your last step "
                    "was not done",
                    fresh.revision,
                )
            if revision != open_.revision:
                raise StaleError(
                    f"{video.id} was changed in another window: your last step was not done", open_.revision
                )
            before = open_.revision
            try:
                done = open_.step(asked) if isinstance(asked, str) else open_.edit(asked)
            except (VidbenchError, OSError):
                # what is on disk decides, and a new object reads it
                del self._open[video.id]
                raise
            self.edits += open_.revision > before
            self._seen[name] = open_.revision, open_.digest
            return self._told_done(open_, done)

    def _told_done(self, open_: OpenVideo, done: Done) -> Told:
        self._count(open_.video.id, open_.tally)
        return {
            **_state(open_),
            "removed": done.removed,
            "rows": done.rows,
            "counts": self._told_counts(),
            "classes": class_warnings(self.content.actions, self._counts),
            "video": self._figures(open_.video),
            "says": done.says,
        }

    def _opened(self, video: SetVideo) -> OpenVideo:
        open_ = self._open.get(video.id)
        if open_ is None:
            try:
                facts = Facts(self._names, video.keyframes)
                open_ = OpenVideo(self.labels, video, facts, self._poses)
            except VidbenchError as error:
                self._errors[video.id] = str(error)
                raise
            self._errors.pop(video.id, None)
            revision, digest = self._seen.get(video.id, (0, open_.digest))
            # a page that shows other rows than these must be noticed
            open_.revision = max(open_.revision, revision + (digest != open_.digest))
            self._seen[video.id] = open_.revision, open_.digest
            if open_.note is not None:
                self._notes[video.id] = open_.note
            self._open[video.id] = open_
            self._count(video.id, open_.tally)
            while len(self._open) > _KEPT:
                self._open.popitem(last=False)
        self._open.move_to_end(video.id)
        return open_

    def _current(self, video: SetVideo) -> OpenVideo:
        open_ = self._opened(video)
        if open_.still_current():
            return open_
        del self._open[video.id]
        return self._opened(video)

    def _count(self, name: str, tally: Tally) -> None:
        held = self._tallies.get(name)
        if held is not None:
            self._counts.subtract(held.actions)
        self._counts.update(tally.actions)
        self._tallies[name] = tally.copy()

    def _told_counts(self) -> dict[int, int]:
        return {one.id: self._counts[one.id] for one in self.content.actions}

    def _figures(self, video: SetVideo) -> Told:
        return {
            "id": video.id,
            "width": video.width,
            "height": video.height,
            "duration_s": video.duration_s,
            "first": video.first,
            "last": video.last,
            "split": video.split,
            **self._tallies.get(video.id, Tally()).figures(),
            "error": self._errors.get(video.id),
        }

    def _place(self, start: str | None) -> Told:
        if start is None:
            touched = [(_mtime(self.labels.home(name) / HISTORY), name) for name in self._videos]
            when, latest = max(touched, key=lambda one: one[0])
            start = latest if when else self.content.videos[0].id
        try:
            past = self._opened(self._videos[start]).history.last()
        except VidbenchError:
            past = None
        row = next(iter((*past.added, *past.removed)), None) if past is not None else None
        return {"video": start, "second": row and row.second, "person": row and row.person}


def _state(open_: OpenVideo) -> Told:
    return {
        "revision": open_.revision,
        "can_undo": open_.history.can_undo,
        "can_redo": open_.history.can_redo,
    }


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
