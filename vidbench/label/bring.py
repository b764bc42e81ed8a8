"""label import: what people or programs made of a set elsewhere, laid over its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vidbench.errors import InputError, UsageError
from vidbench.formats import box_table, coco, mot
from vidbench.formats.framelist import read_lines
from vidbench.formats.given import GRID_FPS, GivenBox, GivenBoxes
from vidbench.formats.kinetics import SHOWN_PROBLEMS
from vidbench.formats.labelset import Row, SetFile, box_of
from vidbench.formats.via import load_via
from vidbench.label.before import changing
from vidbench.label.export import Format, shape_of
from vidbench.label.reconcile import Merged, Offered, joined, replaced
from vidbench.label.store import LabelSet
from vidbench.label.via_reading import UnchangedTicks, take
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import read_json

Mode = Literal["replace", "whole", "add"]
"""What a file of boxes means.

* replace: at the keyframes that it speaks of, the set gets what it says, and loses what it does not have.
* whole: likewise at all keyframes of the videos that it names.
* add: boxes that lie on none of the set are added as new persons; nothing else changes.
"""


class ImportRequest(BaseModel):
    """What to import.

    Attributes:
        set: The folder of the set.
        files: The files; of MOTChallenge's one for each video.
        format: What they are.
        videos: Ids of the videos to take; none is all. A file of MOTChallenge is of the video of its name, or of the
            one that is given.
        mode: See `Mode`; a project of VIA replaces.
        unchanged_ticks: See `UnchangedTicks`; for VIA.
        ignore: Attributes of VIA that are not about actions.
        dry_run: Only say what would change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: Path
    files: tuple[Path, ...] = Field(min_length=1)
    format: Format
    videos: tuple[str, ...] = ()
    mode: Mode = "replace"
    unchanged_ticks: UnchangedTicks = "refuse"
    ignore: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True)
class VideoChanges:
    """What an import changes in a video.

    Attributes:
        video: Its id.
        keyframes: How many keyframes the file speaks of.
        rows: How many rows the video has now.
        added: Rows that are new.
        removed: Rows that are no more.
        changed: Rows that say something else.
        renumbered: How many of them belong to another person now.
        new_persons: Numbers that were given to persons without one.
    """

    video: str
    keyframes: int
    rows: int
    added: int
    removed: int
    changed: int
    renumbered: int = 0
    new_persons: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImportResult:
    """What an import changed.

    Attributes:
        set: The folder of the set.
        videos: Those that the files speak of.
        kept: The folder with the files as they were, to be copied back over the set; None where nothing changed.
        dry_run: Whether nothing was written.
        notes: What a person should know.
    """

    set: str
    videos: tuple[VideoChanges, ...]
    kept: str | None
    dry_run: bool
    notes: tuple[str, ...] = ()


@dataclass
class _Read:
    """What the files say, by video."""

    offered: dict[str, list[Offered]] = field(default_factory=dict)
    seconds: dict[str, set[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def take(self, video: str, seconds: Sequence[int], offered: Sequence[Offered], source: Path) -> None:
        """Take what one file says of a video."""
        twice = self.seconds.get(video, set()) & set(seconds)
        if twice:
            raise InputError(
                f"{source}: speaks of second {min(twice)} of {video}, of which a file before speaks, too",
                "Import one after the other: the last one counts.",
            )
        self.seconds.setdefault(video, set()).update(seconds)
        self.offered.setdefault(video, []).extend(offered)


def bring(request: ImportRequest, reporter: Reporter | None = None) -> ImportResult:
    """Import files into a set.

    Nothing is written unless all files are sound. The set's files as they were are kept first, by
    `vidbench.label.before`.

    Raises:
        UsageError: Options that contradict each other.
        InputError: A file or the set is malformed, or they do not fit each other; up to 20 reasons.
        RunConflictError: Another process works on the set.
    """
    reporter = reporter or SilentReporter()
    labels = LabelSet.open(request.set)
    if request.format == "via" and request.mode != "replace":
        raise UsageError(f"--mode {request.mode} is not for VIA, whose projects replace", "Leave --mode out.")
    if request.format != "via" and (request.ignore or request.unchanged_ticks != "refuse"):
        raise UsageError("--ignore and --unchanged-ticks are for VIA alone", "Leave them out.")
    with nullcontext() if request.dry_run else labels.hold():
        content = labels.load()
        for name in request.videos:
            content.video(name)
        read = _Read()
        reader = _read_via if request.format == "via" else _read_boxes
        for path in request.files:
            reader(request, labels, content, path, read)
        merged, notes = _merge(request, labels, content, read)
        changed = {video: one for video, one in merged.items() if one.added or one.removed or one.changed}
        kept = None
        if changed and not request.dry_run:
            with changing(labels, sorted(changed), "import") as folder:
                for video, one in changed.items():
                    labels.save_rows(video, one.rows)
            kept = str(folder)
    for note in (*read.notes, *notes):
        reporter.info(note)
    return ImportResult(
        str(request.set),
        tuple(_changes(video, one, len(read.seconds[video])) for video, one in sorted(merged.items())),
        kept,
        request.dry_run,
        (*read.notes, *notes),
    )


def _changes(video: str, one: Merged, keyframes: int) -> VideoChanges:
    return VideoChanges(
        video,
        keyframes,
        len(one.rows),
        len(one.added),
        len(one.removed),
        len(one.changed),
        len(one.renumbered),
        one.new_persons,
    )


def _merge(
    request: ImportRequest, labels: LabelSet, content: SetFile, read: _Read
) -> tuple[dict[str, Merged], list[str]]:
    merged: dict[str, Merged] = {}
    notes: list[str] = []
    problems: list[str] = []
    known = {one.id for one in content.actions}
    for video in sorted(read.seconds):
        rows, offered = labels.rows(video), read.offered.get(video, [])
        for one in offered:
            if foreign := sorted(set(one.actions or ()) - known):
                problems.append(f"{one.where}: action {foreign[0]}, which the set does not have")
        if request.mode == "add":
            merged[video], there = joined(rows, offered)
            if there:
                notes.append(f"{video}: {there} boxes lie on boxes of the set and are left out")
        else:
            if request.mode == "whole":
                read.seconds[video].update(content.video(video).keyframes)
            merged[video] = replaced(rows, read.seconds[video], offered)
            problems += [f"{video}: {problem}" for problem in merged[video].problems]
    _refuse(problems, request.files[0] if len(request.files) == 1 else Path("the files"))
    return merged, notes


def _read_via(request: ImportRequest, labels: LabelSet, content: SetFile, path: Path, read: _Read) -> None:
    project = load_via(path)
    taken = take(project, content, _cached(labels.rows), request.unchanged_ticks, request.ignore)
    _refuse(taken.problems, path)
    if project.version is None:
        read.notes.append(f"{path}: tells no version of VIA's data format; it was read as 3.1.1")
    read.notes += [f"{path}: {note}" for note in taken.notes]
    wanted = set(request.videos) or set(taken.seconds)
    for video in sorted(taken.seconds.keys() - wanted):
        read.notes.append(f"{path}: {video} was not asked for and is left out")
    for video in sorted(taken.seconds.keys() & wanted):
        seconds = taken.seconds[video]
        missing = len(set(content.video(video).keyframes) - seconds)
        if missing:
            read.notes.append(f"{path}: has no pictures of {missing} keyframes of {video}, whose rows stay as they are")
        read.take(video, sorted(seconds), taken.offered.get(video, ()), path)


def _cached(rows_of: Callable[[str], tuple[Row, ...]]) -> Callable[[str], tuple[Row, ...]]:
    held: dict[str, tuple[Row, ...]] = {}

    def rows(video: str) -> tuple[Row, ...]:
        if video not in held:
            held[video] = rows_of(video)
        return held[video]

    return rows


def _read_boxes(request: ImportRequest, labels: LabelSet, content: SetFile, path: Path, read: _Read) -> None:
    given = _given(request, content, path)
    counts = (
        (given.flat, "boxes without an area"),
        (given.not_persons, "boxes of other classes than person"),
        (given.unseen, "boxes of frames that are shown at no moment of 30 a second"),
        (len(given.others), "videos that were not asked for"),
    )
    read.notes += [f"{path}: left out {count} {what}" for count, what in counts if count]
    if not given.spans:
        names = ", ".join(given.others[:3])
        raise InputError(
            f"{path}: has nothing of the videos of the set" + (f", but of {names}" if names else ""),
            f"The set has {', '.join(video.id for video in content.videos[:10])}.",
        )
    place = {
        (video, span.start): second
        for video, spans in given.spans.items()
        for span in spans
        for second in _keyframes_in(span)
        if second in content.video(video).keyframes
    }
    offered: dict[str, list[Offered]] = {video: [] for video in given.spans}
    between = 0
    for box in given.boxes:
        second = place.get((box.video, box.number))
        if second is None:
            between += 1
            continue
        one = _offered(box, second, request.format)
        if one is None:
            read.notes.append(
                f"{path}: left out a box of {box.video} at second {second}, which lies outside the picture"
            )
        else:
            offered[box.video].append(one)
    if between:
        read.notes.append(f"{path}: left out {between} boxes that are at no keyframe")
    for video, boxes in offered.items():
        read.take(video, [second for (of, _), second in place.items() if of == video], boxes, path)


def _keyframes_in(span: range) -> range:
    return range(-(-span.start // GRID_FPS), -(-span.stop // GRID_FPS))


def _offered(box: GivenBox, second: int, kind: Format) -> Offered | None:
    place = box_of(*box.box)
    if place is None:
        return None
    # MOTChallenge marks boxes that count with 1; that is no detector's score
    score = None if kind == "mot" and box.score == 1 else box.score
    where = f"{box.video}, second {second}, " + ("a box" if box.person is None else f"person {box.person}")
    return Offered(where, second, place, box.person, None, box.actions, box.actions is not None, score)


def _given(request: ImportRequest, content: SetFile, path: Path) -> GivenBoxes:
    wanted = [content.video(name) for name in request.videos] or list(content.videos)
    if request.format == "mot":
        found = [video for video in wanted if video.id == path.stem] or (wanted if len(wanted) == 1 else [])
        if not found or (len(found) == 1 and len(request.files) > 1 and found[0].id != path.stem):
            raise UsageError(
                f"{path}: of which video?",
                "A file of MOTChallenge is of one video: call it as the video, or name the video with --video.",
            )
        return mot.parse(read_lines(path), path, shape_of(found[0]))
    shapes = {video.id: shape_of(video) for video in wanted}
    if request.format == "csv":
        return box_table.parse(read_lines(path), path, shapes)
    document = read_json(path)
    _refuse_other_actions(document, content, path)
    return coco.parse(document, path, shapes)


def _refuse_other_actions(document: Mapping[str, Any], content: SetFile, path: Path) -> None:
    """Refuse ids of actions that the document itself says to mean something else."""
    told = document.get("actions")
    names = {one.id: one.name for one in content.actions}
    for one in told if isinstance(told, list) else ():
        if isinstance(one, dict) and names.get(one.get("id", 0), one.get("name")) != one.get("name"):
            raise InputError(
                f"{path}: action {one['id']} is {one.get('name')!r} there and {names[one['id']]!r} in the set",
                "Give the set the file's actions with label relabel, or the file those of the set.",
            )


def _refuse(problems: Sequence[str], path: Path) -> None:
    if problems:
        shown = [f"{path}: {problem}" for problem in problems[:SHOWN_PROBLEMS]]
        if len(problems) > SHOWN_PROBLEMS:
            shown.append(f"... and {len(problems) - SHOWN_PROBLEMS} more")
        raise InputError("\n".join(shown), "Mend them where the file was made, and save it again; nothing was changed.")
