"""label merge: several sets as one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vidbench.errors import InputError, RunConflictError, UsageError, disk_errors
from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo
from vidbench.label.actions import same_names
from vidbench.label.export import place_picture
from vidbench.label.store import KEYFRAMES, LabelSet, safe_id
from vidbench.progress import Reporter, SilentReporter


class MergeRequest(BaseModel):
    """What to join.

    Attributes:
        sets: The folders of the sets, two or more.
        out: The folder of the new set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sets: tuple[Path, ...] = Field(min_length=2)
    out: Path


@dataclass(frozen=True)
class Renamed:
    """A video that has another id in the new set.

    Attributes:
        set: The folder of the set that it comes from.
        before: Its id there.
        now: Its id in the new set.
    """

    set: str
    before: str
    now: str


@dataclass(frozen=True)
class MergeResult:
    """What was joined.

    Attributes:
        out: The folder of the new set.
        sets: How many sets.
        videos: How many videos.
        rows: How many rows.
        renamed: Videos whose ids were taken.
        renumbered: Folders of the sets whose actions have other ids in the new set.
        notes: What a person should know.
    """

    out: str
    sets: int
    videos: int
    rows: int
    renamed: tuple[Renamed, ...]
    renumbered: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    labels: LabelSet
    content: SetFile
    ids: dict[int, int]


def merge(request: MergeRequest, reporter: Reporter | None = None) -> MergeResult:
    """Make one set of several with the same actions; ids and groups of the actions are those of the first.

    Pictures are hard links where the disk can. The new set appears when it is whole.

    Raises:
        UsageError: A set is given twice.
        InputError: A set is malformed, the sets have different actions, or one video file is in two of them.
        RunConflictError: There is something in the new folder.
    """
    reporter = reporter or SilentReporter()
    if len({path.resolve() for path in request.sets}) < len(request.sets):
        raise UsageError("a set is given twice", "Give each set once.")
    if request.out.exists() and (not request.out.is_dir() or any(request.out.iterdir())):
        raise RunConflictError(f"{request.out} is there already", "Choose another folder.")
    sources = _sources(request.sets)
    plan, renamed = _plan(sources, request.out)
    first = sources[0].content
    notes = _notes(sources)
    content = SetFile(
        first.actions,
        tuple(video for _, _, video in plan),
        {"merged": [{"set": str(one.labels.folder), "settings": dict(one.content.settings)} for one in sources]},
    )
    temporary = request.out.with_name(f".{request.out.name}.{os.getpid()}.tmp")
    rows = 0
    with disk_errors(request.out), reporter.task("merging", len(plan), "videos") as task:
        try:
            new = LabelSet(temporary)
            for source, before, video in plan:
                rows += _copy(source, before, new, video)
                task.advance()
            new.save(content)
            if request.out.exists():
                request.out.rmdir()
            request.out.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(request.out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    for note in notes:
        reporter.info(note)
    return MergeResult(
        str(request.out),
        len(sources),
        len(plan),
        rows,
        tuple(renamed),
        tuple(str(one.labels.folder) for one in sources if any(a != b for a, b in one.ids.items())),
        tuple(notes),
    )


def _sources(folders: Sequence[Path]) -> list[_Source]:
    sources: list[_Source] = []
    first: tuple[SetAction, ...] = ()
    for folder in folders:
        labels = LabelSet.open(folder)
        content = labels.load()
        first = first or content.actions
        if not same_names(first, content.actions):
            here, there = {one.name for one in first}, {one.name for one in content.actions}
            lack = [*(f"{folder} lacks {name!r}" for name in sorted(here - there)[:3])]
            lack += [f"{folders[0]} lacks {name!r}" for name in sorted(there - here)[:3]]
            raise InputError(
                f"the sets have different actions: {', '.join(lack)}",
                "Give them one list first, with label relabel.",
            )
        ids = {one.name: one.id for one in first}
        sources.append(_Source(labels, content, {one.id: ids[one.name] for one in content.actions}))
    return sources


def _plan(sources: Sequence[_Source], out: Path) -> tuple[list[tuple[_Source, SetVideo, SetVideo]], list[Renamed]]:
    """Each video as it is and as it will be."""
    plan: list[tuple[_Source, SetVideo, SetVideo]] = []
    renamed: list[Renamed] = []
    files: dict[Path, str] = {}
    taken: list[str] = []
    for source in sources:
        for video in source.content.videos:
            file = source.labels.file(video).resolve()
            here = f"{video.id} of {source.labels.folder}"
            if file in files:
                raise InputError(
                    f"{file} is in the sets twice: as {files[file]} and as {here}",
                    "Take it out of one of them, so that its persons are not counted twice.",
                )
            files[file] = here
            name = video.id
            if name.casefold() in {one.casefold() for one in taken}:
                name = safe_id(video.id, taken)
                renamed.append(Renamed(str(source.labels.folder), video.id, name))
            taken.append(name)
            plan.append((source, video, replace(video, id=name, file=_written(file, out))))
    return plan, renamed


def _written(file: Path, out: Path) -> str:
    """From the set's own folder where the file lies near, so that both can be moved together."""
    home = out.resolve()
    return os.path.relpath(file, home) if file.is_relative_to(home.parent) else str(file)


def _notes(sources: Sequence[_Source]) -> list[str]:
    groups = {one.name: one.group for one in sources[0].content.actions}
    return [
        f"{one.labels.folder}: {action.name!r} was of the group {action.group!r} and is of {groups[action.name]!r} now"
        for one in sources[1:]
        for action in one.content.actions
        if action.group != groups[action.name]
    ]


def _copy(source: _Source, before: SetVideo, new: LabelSet, video: SetVideo) -> int:
    rows = source.labels.rows(before.id)
    strangers = sorted({one for row in rows for one in row.actions or ()} - source.ids.keys())
    if strangers:
        raise InputError(
            f"{source.labels.home(before.id)}: rows have action {strangers[0]}, which the set does not have",
            "Mend the rows.",
        )
    new.save_rows(video.id, [_renumbered(row, source.ids) for row in rows])
    new.save_paths(video.id, source.labels.paths(before.id))
    pictures = source.labels.home(before.id) / KEYFRAMES
    if pictures.is_dir():
        target = new.home(video.id) / KEYFRAMES
        target.mkdir(parents=True)
        for picture in sorted(pictures.iterdir()):
            if picture.suffix == ".jpg" and not picture.name.startswith("."):
                place_picture(picture, target / picture.name)
    return len(rows)


def _renumbered(row: Row, ids: dict[int, int]) -> Row:
    return row if row.actions is None else replace(row, actions=tuple(sorted(ids[one] for one in row.actions)))
