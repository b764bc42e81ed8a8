"""`vidbench data check --layout`: whether a data folder is what PySlowFast, MMAction2 and PyTorchVideo demand."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vidbench.data.folders import VIDEO_ENDINGS
from vidbench.data.layout_findings import MMACTION2, PYSLOWFAST, PYTORCHVIDEO, Findings, LayoutFinding, rows_of
from vidbench.data.layout_frames import check_ava, check_charades
from vidbench.errors import InputError
from vidbench.formats.kinetics import ListLine, parse_list, path_problem
from vidbench.progress import Reporter, SilentReporter

PYSLOWFAST_LISTS = ("train.csv", "val.csv", "test.csv")
_BY_FOLDER = (".mp4", ".avi")
_ALL = (PYSLOWFAST, MMACTION2, PYTORCHVIDEO)


class LayoutRequest(BaseModel):
    """What to check.

    Attributes:
        folder: The data folder.
        layout: What it claims to be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    layout: Literal["ava", "charades", "kinetics"]


@dataclass(frozen=True)
class LayoutResult:
    """How a data folder fits its loaders.

    Attributes:
        folder: The folder.
        layout: What it was checked as.
        counts: What was looked at, as "frames" and "boxes".
        findings: What is wrong.
    """

    folder: Path
    layout: str
    counts: dict[str, int]
    findings: tuple[LayoutFinding, ...]


def check_layout(request: LayoutRequest, reporter: Reporter | None = None) -> LayoutResult:
    """Check lists, annotations and files against the loaders' demands, row by row; decodes nothing.

    Raises:
        InputError: No such folder.
    """
    reporter = reporter or SilentReporter()
    if not request.folder.is_dir():
        raise InputError(f"{request.folder}: no such folder", "Give the data folder that the lists lie in.")
    found = Findings()
    checks = {"ava": check_ava, "charades": check_charades, "kinetics": check_kinetics}
    reporter.info(f"checking {request.folder} as {request.layout}")
    counts = checks[request.layout](request.folder, found)
    return LayoutResult(request.folder, request.layout, counts, found.all())


def check_kinetics(root: Path, found: Findings) -> dict[str, int]:
    """Check lists of `path label` and class folders; gives what was counted."""
    counts: Counter[str] = Counter()
    lists = _lists(root)
    for path in lists:
        counts["lists"] += 1
        _list(path, root, found, counts)
    if not any(path.name in PYSLOWFAST_LISTS for path in lists):
        told = ", ".join(PYSLOWFAST_LISTS)
        remedy = "Make one: `vidbench data csv LIST --name test.csv`."
        found.add(root, None, f"no list that PySlowFast reads: {told}", (PYSLOWFAST,), remedy)
    splits = [root / name for name in ("train", "val", "test") if (root / name).is_dir()]
    classes = {split: _classes(split, found, counts) for split in splits or [root]}
    classes = {split: names for split, names in classes.items() if names}
    if not lists and not classes:
        found.add(root, None, "neither lists nor class folders with videos", _ALL, "`vidbench data fetch` brings them.")
    first, *others = classes.items() or [(root, frozenset())]
    for split, names in others:
        if names != first[1]:
            odd = sorted(names ^ first[1])
            found.add(
                split, None, f"its classes are not those of {first[0]}: {odd[0]} is in one alone ({len(odd)} such)",
                (PYTORCHVIDEO,), "PyTorchVideo numbers class folders by name in each split anew: use lists.",
            )  # fmt: skip
    return dict(counts)


def _lists(root: Path) -> list[Path]:
    """Lists of `path label` in a folder; annotation tables, which have a header, are none."""
    lists = []
    for path in sorted(root.iterdir()):
        if path.suffix in (".csv", ".txt") and path.is_file():
            with path.open("rb") as stream:
                first = stream.readline(4096)
            if path.name in PYSLOWFAST_LISTS or (b" " in first and b"," not in first):
                lists.append(path)
    return lists


def _list(path: Path, root: Path, found: Findings, counts: Counter[str]) -> None:
    lines: dict[str, int] = {}
    labels: dict[str, tuple[int, int]] = {}
    folders: dict[int, tuple[str, int]] = {}
    missing: list[ListLine] = []
    rows = 0
    for number, _, row in rows_of(path, lambda line: parse_list((line,), path), found, lambda _: _ALL):
        rows += 1
        if not any(os.path.isfile(place / row.path) for place in (path.parent, root, Path.cwd())):
            missing.append(ListLine(row.path, row.label, number))
        held = lines.setdefault(os.path.normpath(row.path), number)
        if held != number:
            remedy = "Keep one of the lines: it would count twice."
            found.add(path, number, f"{row.path} is listed before, at line {held}", _ALL, remedy)
        folder = os.path.basename(os.path.dirname(row.path))
        if folder:
            label, line = labels.setdefault(folder, (row.label, number))
            if label != row.label:
                told = f"{folder} has label {row.label} here and {label} at line {line}"
                remedy = "Make the list again with one class table."
                found.add(path, number, told, _ALL, remedy, ("labels", folder, row.label))
            name, line = folders.setdefault(row.label, (folder, number))
            if name != folder:
                told = f"label {row.label} is {folder} here and {name} at line {line}"
                remedy = "Make the list again with one class table."
                found.add(path, number, told, _ALL, remedy, ("folders", folder, row.label))
    counts["lines"] += rows
    if not rows:
        found.add(path, None, "no line that can be read", _ALL, "A line is `path label`.")
    elif len(missing) == rows:
        told = f"none of its {rows} files is there, the first is {missing[0].path}"
        remedy = "Paths start from the list's folder, or PySlowFast's DATA.PATH_PREFIX: correct or fetch them."
        found.add(path, missing[0].line, told, _ALL, remedy)
    else:
        for row in missing:
            found.add(
                path, row.line, f"{row.path} is not there", _ALL, "Fetch it, or `vidbench data check LIST --clean`."
            )


def _classes(split: Path, found: Findings, counts: Counter[str]) -> frozenset[str]:
    """The class folders of a split that hold videos."""
    classes = set()
    for folder in sorted(entry.name for entry in os.scandir(split) if entry.is_dir() and entry.name[0] != "."):
        names = [entry.name for entry in os.scandir(split / folder) if entry.is_file()]
        videos = [name for name in names if os.path.splitext(name)[1].lower() in VIDEO_ENDINGS]
        counts["videos"] += len(videos)
        if videos:
            classes.add(folder)
            _names(split / folder, videos, found)
        elif split.name in ("train", "val", "test") and not any(entry.is_dir() for entry in os.scandir(split / folder)):
            remedy = "Remove it, or fetch its videos: an empty class ends PyTorchVideo's reading of folders."
            found.add(split / folder, None, "a class folder without videos", (PYTORCHVIDEO,), remedy)
    return frozenset(classes)


def _names(folder: Path, videos: Iterable[str], found: Findings) -> None:
    unreadable = sorted(name for name in videos if not name.lower().endswith(_BY_FOLDER))
    if unreadable:
        told = f"{unreadable[0]} is neither {' nor '.join(_BY_FOLDER)} ({len(unreadable)} such)"
        remedy = "PyTorchVideo passes over them in a folder of classes: use a list."
        found.add(folder, None, told, (PYTORCHVIDEO,), remedy)
    for name in (folder.name, *sorted(videos)):
        problem = path_problem(name)
        if problem:
            found.add(
                folder, None, f"{name!r} cannot stand in a list: {problem[0]}", (PYSLOWFAST, MMACTION2), problem[1]
            )
            break
