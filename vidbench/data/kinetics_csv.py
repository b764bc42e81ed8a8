"""Kinetics' annotations and the videos that are there, to the lists that PySlowFast reads."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.folders import FolderScan, VideoFile, beside, quoted, scan, written
from vidbench.data.listing import check_name, name_warnings, refuse_targets, replaced_warnings, write_all
from vidbench.data.source_kind import KINETICS, read_as
from vidbench.errors import InputError, UsageError
from vidbench.formats.annotations import COLUMNS, Annotation, AnnotationFile, dump_annotations, load_annotations
from vidbench.formats.kinetics import SHOWN_PROBLEMS, ListLine, dump_list, line_errors, path_problem
from vidbench.formats.labels import LabelTable, load_labels, tables_holding
from vidbench.progress import Reporter, SilentReporter


class KineticsCsvRequest(BaseModel):
    """What to build.

    Attributes:
        annotations: Annotation files; a clip may stand in one of them only.
        videos: Where the clips are, called `<id>_<start>_<end>.mp4` or another ending of videos: in class
            folders, however these are spelled, or in no folder.
        labels: The class table of the ids.
        out_dir: Where the lists go; None is beside `videos`.
        name: The one list's file name; None is `<split>.csv` by the column `split`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotations: tuple[Path, ...] = Field(min_length=1)
    videos: Path
    labels: str = "kinetics400"
    out_dir: Path | None = None
    name: str | None = None


@dataclass(frozen=True)
class CsvList:
    """One list that was written.

    Attributes:
        path: The list; not written where nothing is listed.
        annotated: Rows of the annotations that belong in it.
        listed: Videos in it.
        missing: Rows whose video is not there.
        unlabelled: Rows that name no class, so that they cannot be listed.
        missing_path: The rows that are not in the list, as the annotations have them: whose video is not there
            or that name no class. It is written even where there is none, so that none of an earlier run stays.
    """

    path: Path
    annotated: int
    listed: int
    missing: int
    unlabelled: int
    missing_path: Path


@dataclass(frozen=True)
class KineticsCsvResult:
    """What was built.

    Attributes:
        videos: The folder that was looked through.
        labels: The class table.
        lists: By split.
        classes: Distinct labels in the lists.
        warnings: What looks wrong.
    """

    videos: Path
    labels: str
    lists: tuple[CsvList, ...]
    classes: int
    warnings: tuple[str, ...]


def kinetics_csv(request: KineticsCsvRequest, reporter: Reporter | None = None) -> KineticsCsvResult:
    """Write a list of the clips that are there for each split, and beside it the annotations of those that are not.

    Lists keep the order of the annotations. The label is the annotation's, wherever the video lies.

    Raises:
        UsageError: One name for several splits, or no file name.
        InputError: Malformed annotations, a clip annotated twice, a class that the table does not hold, no
            column `split` and no name, no video found, a path that cannot stand in a list, or a list in the place
            of what is read.
    """
    reporter = reporter or SilentReporter()
    files = _read(request.annotations)
    table = load_labels(request.labels)
    labels = _labels(files, table)
    names = _names(files, request)
    found = _Videos(scan(request.videos), table)
    folder = request.out_dir or beside(request.videos, "x").parent
    headers = {held.columns for held in files.values()}
    columns = headers.pop() if len(headers) == 1 else COLUMNS

    lines: dict[Path, list[ListLine]] = {}
    absent_rows: dict[Path, list[Annotation]] = {}
    lists: list[CsvList] = []
    for name, rows in names.items():
        listed = [(row, found.path(row, labels[row.label])) for row in rows if row.label]
        there = [ListLine(path, labels[row.label], row.line) for row, path in listed if path]
        held = {row.key for row, path in listed if path}
        absent = [row for row in rows if row.key not in held]
        one = CsvList(
            path=folder / name,
            annotated=len(rows),
            listed=len(there),
            missing=sum(bool(row.label) for row in absent),
            unlabelled=sum(not row.label for row in rows),
            missing_path=folder / f"{Path(name).stem}.missing.csv",
        )
        lists.append(one)
        lines[one.path] = there
        absent_rows[one.missing_path] = absent
    _refuse(request, lists, found, [*lines, *absent_rows], folder)
    texts = {path: dump_list(there) for path, there in lines.items() if there}
    warnings = [*found.warnings(), *_warnings(lists), *name_warnings(names), *replaced_warnings(texts)]
    write_all({**texts, **{path: dump_annotations(rows, columns) for path, rows in absent_rows.items()}})
    for warning in warnings:
        reporter.warn(warning)
    return KineticsCsvResult(
        videos=request.videos,
        labels=table.name,
        lists=tuple(lists),
        classes=len({line.label for there in lines.values() for line in there}),
        warnings=tuple(warnings),
    )


def _read(paths: Iterable[Path]) -> dict[Path, AnnotationFile]:
    files: dict[Path, AnnotationFile] = {}
    first: dict[tuple[str, float, float], str] = {}
    for path in paths:
        if path in files:
            raise UsageError(f"{path} is given twice")
        with read_as(path, KINETICS):
            files[path] = load_annotations(path)
        repeats = [
            (row.line, f"{row.clip_name} is annotated before, in {first[row.key]}")
            for row in files[path].rows
            if row.key in first
        ]
        if repeats:
            raise line_errors(path, repeats, "Give every clip in one file only.")
        first |= {row.key: f"{path}:{row.line}" for row in files[path].rows}
    return files


def _labels(files: dict[Path, AnnotationFile], table: LabelTable) -> dict[str, int]:
    """The id of every label in the annotations."""
    names = dict.fromkeys(row.label for held in files.values() for row in held.rows if row.label)
    if not names:
        raise InputError(
            f"{next(iter(files))}: no row names a class, so no list can be written",
            "Test splits come without labels. Give annotations that have the column label.",
        )
    labels = {name: table.find(name) for name in names}
    if any(label is None for label in labels.values()):
        fitting = tables_holding(names)
        remedy = f"All classes are in {fitting[0]}: --labels {fitting[0]}" if fitting else "Give the table: --labels."
        for path, held in files.items():
            problems = [
                (row.line, f"{row.label!r} is no class of {table.name}")
                for row in held.rows
                if row.label and labels[row.label] is None
            ]
            if problems:
                raise line_errors(path, problems, remedy)
    return {name: label for name, label in labels.items() if label is not None}


def _names(files: dict[Path, AnnotationFile], request: KineticsCsvRequest) -> dict[str, list[Annotation]]:
    """The rows of every list, by its file name."""
    by_split: dict[str, list[Annotation]] = defaultdict(list)
    for held in files.values():
        for row in held.rows:
            by_split[row.split_name].append(row)
    if request.name is not None:
        check_name(request.name)
        if len(by_split) > 1:
            raise UsageError(
                f"--name {request.name} for {len(by_split)} splits: {', '.join(sorted(by_split))}", "Leave out --name."
            )
        return {request.name: next(iter(by_split.values()))}
    if "" in by_split:
        path, row = next((path, row) for path, held in files.items() for row in held.rows if not row.split)
        raise InputError(f"{path}:{row.line}: no split", "Say what the list is called: --name val.csv")
    for split in by_split:
        check_name(f"{split}.csv")
    return {f"{split}.csv": rows for split, rows in by_split.items()}


class _Videos:
    """The videos that are there, by the names of their clips."""

    def __init__(self, held: FolderScan, table: LabelTable) -> None:
        self._root = written(held.root)
        self.folder = held.root
        self.count = len(held.videos())
        self.unfit: list[str] = []
        self._by_stem: dict[str, list[VideoFile]] = defaultdict(list)
        self._class = {name: table.find(name) for name in held.classes}
        self._counts: Counter[str] = Counter()
        for video in held.videos():
            self._by_stem[video.name.rpartition(".")[0]].append(video)

    def path(self, row: Annotation, label: int) -> str | None:
        """How the list writes a clip's file; the one in its own class's folder where there are several."""
        places = self._by_stem.get(row.stem)
        if not places:
            return None
        own = [place for place in places if self._class.get(place.folder) == label]
        video = (own or places)[0]
        self._counts["several"] += len(places) > 1
        self._counts["elsewhere"] += not own and self._class.get(video.folder) is not None
        self._counts["empty"] += video.size == 0
        inside = f"{video.folder}/{video.name}" if video.folder else video.name
        if path_problem(inside):
            self.unfit.append(inside)
        return f"{self._root}/{inside}"

    def warnings(self) -> list[str]:
        """What looks wrong with the files of the clips that were asked for."""
        told = {
            "several": "clips that are there more than once; listed is the one in its class's folder, or the first",
            "elsewhere": "clips in the folder of another class than they are annotated with, which is what counts",
            "empty": "empty files among the listed videos, of which `vidbench data check` tells more",
        }
        return [f"{text}: {self._counts[kind]}" for kind, text in told.items() if self._counts[kind]]


def _refuse(
    request: KineticsCsvRequest, lists: list[CsvList], found: _Videos, targets: Iterable[Path], folder: Path
) -> None:
    for source in request.annotations:
        refuse_targets(source, folder, targets)
    if found.unfit:
        names = found.unfit
        told = [f"{found.folder}: {len(names)} videos have paths that cannot stand in a list"]
        told += [f"  {str(found.folder / name)!r}" for name in names[:SHOWN_PROBLEMS]]
        told += [f"  ... and {len(names) - SHOWN_PROBLEMS} more"] if len(names) > SHOWN_PROBLEMS else []
        raise InputError(
            "\n".join(told),
            f"To make blanks underscores on disk: vidbench data list {quoted(found.folder)} "
            f"--labels {quoted(request.labels)} --rename",
        )
    if not any(one.listed for one in lists):
        some = load_annotations(request.annotations[0]).rows[0].clip_name
        raise InputError(
            f"{found.folder}: of {sum(one.annotated for one in lists)} annotated clips none is among its "
            f"{found.count} videos; the first is called {some}",
            "Give the folder of the clips or of their class folders: --videos DIR",
        )


def _warnings(lists: list[CsvList]) -> list[str]:
    warnings = []
    for one in lists:
        if one.missing:
            missing = f"{one.missing} of {one.annotated} clips of {one.path.name}"
            warnings.append(f"{missing} are not there, see {one.missing_path}")
        if one.unlabelled:
            warnings.append(f"{one.unlabelled} rows of {one.path.name} name no class and are not listed")
        if not one.listed:
            warnings.append(f"{one.path} is not written: it would be empty")
    return warnings
