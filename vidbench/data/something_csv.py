"""Something-Something's annotations, and videos or frames, to the lists that PySlowFast reads."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from vidbench.data.charades_csv import FramesCsvResult, none_there
from vidbench.data.folders import beside, scan, written
from vidbench.data.frame_folders import frame_rows, frames_of, require_folder, write_frame_list
from vidbench.data.kinetics_csv import CsvList
from vidbench.data.listing import check_name, name_warnings, refuse_targets, replaced_warnings, write_all
from vidbench.data.source_kind import SOMETHING, read_as
from vidbench.errors import InputError, UsageError
from vidbench.formats.annotations import read_table_text
from vidbench.formats.framelist import FrameLine
from vidbench.formats.kinetics import ListLine, dump_list
from vidbench.formats.labels import TABLES, LabelTable, load_labels
from vidbench.formats.something import (
    SomethingVideo,
    dump_something,
    dump_something_labels,
    dump_something_v1,
    parse_something,
    parse_something_labels,
    parse_something_v1,
    parse_something_v1_labels,
)
from vidbench.progress import Reporter, SilentReporter, Task

LOADER_LABELS = "something-something-v2-labels.json"
LOADER_LISTS = {"train.csv": "something-something-v2-train.json", "val.csv": "something-something-v2-validation.json"}
"""What PySlowFast's loader reads besides the frame list, in the same folder."""

_SIDE = re.compile(r"(?:^|[-_.])(train|validation|val|test)$")
_NAMES = {"train": "train.csv", "validation": "val.csv", "val": "val.csv", "test": "test.csv"}


class SomethingCsvRequest(BaseModel):
    """What to build; either `videos` or `frames` is given.

    Attributes:
        annotations: something-something-v2-train.json or -validation.json, or version 1's csv of `id;label`.
        videos: Holds the videos, as `12345.webm`, for a list of `path label`.
        frames: Holds a folder of numbered frames per video, for the frame list of PySlowFast's `Ssv2` loader,
            which takes the folder as DATA.PATH_PREFIX.
        labels: A shipped table, or the data set's own labels: a .json of version 2, a .csv of version 1.
        out_dir: Where the list goes; None is beside the folder of the videos or frames.
        name: The list's file name; None is train.csv or val.csv where the name of `annotations` ends so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotations: Path
    videos: Path | None = None
    frames: Path | None = None
    labels: str = "something-something-v2"
    out_dir: Path | None = None
    name: str | None = None


@dataclass(frozen=True)
class SomethingCsvResult:
    """A list of `path label` that was built.

    Attributes:
        videos: The folder that was looked through.
        labels: The class table.
        lists: The one list.
        classes: Distinct labels in it.
        warnings: What looks wrong.
    """

    videos: Path
    labels: str
    lists: tuple[CsvList, ...]
    classes: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """What is read, and where things go."""

    videos: tuple[SomethingVideo, ...]
    table: LabelTable
    labels: Mapping[str, int]
    folder: Path
    name: str
    is_v1: bool

    @property
    def target(self) -> Path:
        return self.folder / self.name

    @property
    def missing_path(self) -> Path:
        return self.folder / f"{Path(self.name).stem}.missing.{'csv' if self.is_v1 else 'json'}"

    def dump(self, videos: Iterable[SomethingVideo]) -> str:
        return (dump_something_v1 if self.is_v1 else dump_something)(videos)


def something_csv(request: SomethingCsvRequest, reporter: Reporter | None = None) -> SomethingCsvResult:
    """Write the list of the videos that are there, and the annotations of those that are not.

    Raises:
        UsageError: No `videos`, `frames` besides, or no file name.
        InputError: Malformed annotations or labels, a class that the table does not hold, a test set without
            labels, no video found, or a list in the place of what is read.
    """
    if request.videos is None or request.frames is not None:
        raise UsageError("either --videos or --frames is needed", "Give the folder of the videos, or of their frames.")
    return _list(request.videos, _plan(request, request.videos), reporter or SilentReporter())


def something_frames_csv(request: SomethingCsvRequest, reporter: Reporter | None = None) -> FramesCsvResult:
    """Write the frame list of the videos whose frames are there, and the annotations of those whose are not.

    For version 2 the JSON files that PySlowFast's loader reads are written, too: it insists on as many videos
    there as in the frame list.

    Raises:
        UsageError: No `frames`, `videos` besides, or no file name.
        InputError: As `something_csv`.
    """
    if request.frames is None or request.videos is not None:
        raise UsageError("either --videos or --frames is needed", "Give the folder of the videos, or of their frames.")
    return _frame_list(request, request.frames, _plan(request, request.frames), reporter or SilentReporter())


def _plan(request: SomethingCsvRequest, root: Path) -> _Plan:
    path = request.annotations
    is_v1 = path.suffix.lower() != ".json"
    with read_as(path, SOMETHING):
        text = read_table_text(path)
        videos = parse_something_v1(text.split("\n"), path) if is_v1 else parse_something(text, path)
    if not any(video.template for video in videos):
        raise InputError(
            f"{path}: no video has a label, so no list can be written", "Test sets come without labels; give another."
        )
    name = request.name
    if name is None:
        side = _SIDE.search(path.stem)
        if side is None:
            raise InputError(
                f"{path}: its name does not say what the list is called", "Give --name train.csv or val.csv"
            )
        name = _NAMES[side[1]]
    check_name(name)
    table = _table(request.labels)
    labels: dict[str, int] = {}
    problems: list[str] = []
    for video in videos:
        label = table.find(video.template) if video.template else None
        if label is not None:
            labels[video.template] = label
        elif video.template:
            where = f"{path}:{video.line}" if is_v1 else f"{path}: entry {video.line}"
            problems.append(f"{where}: {video.template!r} is no class of {table.name}")
    if problems:
        raise InputError("\n".join(problems[:20]), "Give the labels of the same data set: --labels FILE")
    folder = request.out_dir or beside(root, "x").parent
    plan = _Plan(videos, table, labels, folder, name, is_v1)
    refuse_targets(path, folder, [plan.target, plan.missing_path])
    return plan


def _table(labels: str) -> LabelTable:
    if labels in TABLES:
        return load_labels(labels)
    path = Path(labels)
    if path.suffix.lower() == ".json":
        return parse_something_labels(read_table_text(path), path)
    if path.suffix.lower() == ".csv":
        return parse_something_v1_labels(read_table_text(path).split("\n"), path)
    return load_labels(labels)


def _list(folder: Path, plan: _Plan, reporter: Reporter) -> SomethingCsvResult:
    held = scan(folder)
    root = written(folder)
    there: dict[str, list[str]] = defaultdict(list)
    for video in held.loose:
        there[video.name.rpartition(".")[0]].append(video.name)
    lines: list[ListLine] = []
    missing: list[SomethingVideo] = []
    unlabelled = several = 0
    for one in plan.videos:
        names = there.get(one.id)
        unlabelled += not one.template
        if names and one.template:
            several += len(names) > 1
            lines.append(ListLine(f"{root}/{names[0]}", plan.labels[one.template], one.line))
        else:
            missing.append(one)
    if not lines:
        raise InputError(
            f"{folder}: of {len(plan.videos)} annotated videos none is among its {len(held.loose)}; "
            f"the first is called {plan.videos[0].id}.webm",
            "Give the folder of the videos: --videos DIR",
        )
    texts = {plan.target: dump_list(lines)}
    counts = CsvList(
        plan.target, len(plan.videos), len(lines), len(missing) - unlabelled, unlabelled, plan.missing_path
    )
    warnings = [*name_warnings([plan.name]), *replaced_warnings(texts)]
    if missing:
        warnings.append(f"{len(missing)} of {len(plan.videos)} videos are not listed, see {plan.missing_path}")
    if several:
        warnings.append(f"{several} videos are there with several endings; listed is the first by name")
    write_all({**texts, plan.missing_path: plan.dump(missing)})
    for warning in warnings:
        reporter.warn(warning)
    classes = len({line.label for line in lines})
    return SomethingCsvResult(folder, plan.table.name, (counts,), classes, tuple(warnings))


def _frame_list(request: SomethingCsvRequest, root: Path, plan: _Plan, reporter: Reporter) -> FramesCsvResult:
    require_folder(root)
    listed: list[SomethingVideo] = []
    missing: list[SomethingVideo] = []
    gaps: list[str] = []
    labels_path, videos_path = _loader_files(request, root, plan)
    with reporter.task("frames", len(plan.videos), "videos") as task:
        frames = write_frame_list(plan.target, _frames(root, plan, listed, missing, gaps, task))
    if not frames:
        raise none_there(root, len(plan.videos), plan.videos[0].id)
    texts = {plan.missing_path: plan.dump(missing)}
    if labels_path:
        texts[labels_path] = dump_something_labels(plan.table)
    if videos_path:
        texts[videos_path] = plan.dump(listed)
    further = tuple(path for path in (labels_path, videos_path) if path)
    warnings = [*name_warnings([plan.name]), *replaced_warnings({path: texts[path] for path in further})]
    if missing:
        warnings.append(f"{len(missing)} of {len(plan.videos)} videos have no frames, see {plan.missing_path}")
    if gaps:
        warnings.append(f"the frame numbers of {len(gaps)} videos have gaps; the first is {gaps[0]}")
    write_all(texts)
    for warning in warnings:
        reporter.warn(warning)
    return FramesCsvResult(
        frames_root=root,
        path=plan.target,
        annotated=len(plan.videos),
        listed=len(listed),
        missing=len(missing),
        missing_path=plan.missing_path,
        frames=frames,
        labelled=frames,
        beside=further,
        warnings=tuple(warnings),
    )


def _loader_files(request: SomethingCsvRequest, root: Path, plan: _Plan) -> tuple[Path | None, Path | None]:
    """Where the labels and the list of videos for PySlowFast's loader go; None for what is there already.

    The data set's own files are never replaced: the labels that are there must be the same, and where the
    annotations themselves are what the loader would read, no video may be without frames.
    """
    if plan.is_v1:
        return None, None
    labels: Path | None = plan.folder / LOADER_LABELS
    if labels is not None and labels.exists():
        held = parse_something_labels(read_table_text(labels), labels)
        if held.classes != plan.table.classes:
            raise InputError(
                f"{labels}: holds other classes than {plan.table.name}",
                "Give another --out-dir, or --labels that file.",
            )
        labels = None
    if plan.name not in LOADER_LISTS:
        return labels, None
    videos = plan.folder / LOADER_LISTS[plan.name]
    if not videos.exists() or not videos.samefile(request.annotations):
        return labels, videos
    without = sum(not (root / video.id).is_dir() for video in plan.videos)
    if without:
        raise InputError(
            f"{videos} would have to be replaced: PySlowFast's loader insists on as many videos there as in the "
            f"frame list, and {without} have no frames",
            "Give another --out-dir.",
        )
    return labels, None


def _frames(
    root: Path,
    plan: _Plan,
    listed: list[SomethingVideo],
    missing: list[SomethingVideo],
    gaps: list[str],
    task: Task,
) -> Iterator[FrameLine]:
    """The rows of every video that has frames and a label; fills the lists on the way."""
    for video in plan.videos:
        folder = frames_of(root, video.id) if video.template else None
        if folder is None:
            missing.append(video)
        else:
            if not folder.gapless:
                gaps.append(video.id)
            label = (plan.labels[video.template],)
            yield from frame_rows(folder, len(listed), [label] * len(folder.names))
            listed.append(video)
        task.advance()
