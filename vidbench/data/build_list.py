"""Class folders of videos to lists of `path label`, with ids from a class table; split by source video."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.folders import FolderScan, beside, named, quoted, scan, shown, written
from vidbench.data.listing import replaced_warnings, write_all
from vidbench.data.split import compile_pattern, parse_shares, side_of, source_of
from vidbench.errors import InputError, disk_errors
from vidbench.formats.kinetics import SHOWN_PROBLEMS, ListLine, dump_list, path_problem
from vidbench.formats.labels import TABLES, LabelTable, load_labels, tables_holding
from vidbench.progress import Reporter, SilentReporter

_SHOWN_NAMES = 5


class BuildListRequest(BaseModel):
    """What to list.

    Attributes:
        folder: Holds a folder per class. Paths in the list begin with `./` and start at the working folder where
            this one is given relative to it; they are absolute where it is given so.
        labels: A shipped class table, or a file with a class name a line in the order of ids.
        out: The list to write, with `split` the folder of the lists; None is beside `folder`, where the list of
            `val` is `vallist.txt`.
        rename: Whether blanks in names of folders and videos become underscores, on disk.
        split: Shares as `val=0.1,test=0.1`, the rest being `train`; None makes one list.
        seed: Seed of the split.
        source_pattern: A regular expression whose first group, found in a file's name, is its source video.
        dry_run: Say what would be renamed and listed, and do neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    labels: str = "kinetics400"
    out: Path | None = None
    rename: bool = False
    split: str | None = None
    seed: int = Field(default=0, ge=0)
    source_pattern: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class BuildListResult:
    """What was listed.

    Attributes:
        folder: The folder that was looked through.
        labels: The class table.
        lists: Side of the split to its list; without a split one list, under the folder's name.
        videos: Side to the videos in its list.
        classes: Classes with a video.
        sources: Source videos, with a split; None without.
        told_by: With a split, how many files had their source told by what: "pattern", "kinetics name", "file name".
        renamed: Names as they were and as they are, or with `dry_run` would be, under `folder`.
        skipped: Files and folders that are not in the list, counted by kind.
        empty_folders: Class folders without a video.
        empty_files: Videos of no bytes; they are listed.
        dry_run: Whether nothing was done.
        warnings: What looks wrong.
    """

    folder: Path
    labels: str
    lists: dict[str, Path]
    videos: dict[str, int]
    classes: int
    sources: int | None
    told_by: dict[str, int]
    renamed: tuple[tuple[str, str], ...]
    skipped: dict[str, int]
    empty_folders: tuple[str, ...]
    empty_files: int
    dry_run: bool
    warnings: tuple[str, ...]


def build_list(request: BuildListRequest, reporter: Reporter | None = None) -> BuildListResult:
    """Write the list, or with a split the lists, of a folder of class folders.

    The id of a class comes from the table, whichever folders are there. Lists are sorted by label, then path, so
    the same files give the same bytes. Nothing is renamed unless that is asked for, and then nothing before all
    names have been found fit; killed on the way, the same command goes on.

    Class folders may be symbolic links; what lies in a linked folder is outside and never renamed.

    Raises:
        UsageError: A split or a pattern that is none.
        InputError: Folders that the table does not hold, names that cannot stand in a list, a side of the split
            without a video, no video at all.
    """
    reporter = reporter or SilentReporter()
    shares = parse_shares(request.split) if request.split is not None else {}
    pattern = compile_pattern(request.source_pattern)
    table = load_labels(request.labels)
    found = scan(request.folder)
    root = written(request.folder)
    labels = _labels(found, table)
    renames = _renames(found, request)

    new = dict(renames)
    sides: dict[str, list[ListLine]] = {side: [] for side in shares or [named(request.folder)]}
    sources: set[str] = set()
    told_by: Counter[str] = Counter()
    for name, videos in found.classes.items():
        home = new.get(name, name)
        for video in videos:
            inside = new.get(f"{name}/{video.name}", f"{name}/{video.name}").rpartition("/")[2]
            side = next(iter(sides))
            if shares:
                source, rule = source_of(inside, pattern)
                sources.add(source)
                told_by[rule] += 1
                side = side_of(source, request.seed, shares)
            sides[side].append(ListLine(f"{root}/{home}/{inside}", labels[name], 0))
    for rows in sides.values():
        rows.sort(key=lambda row: (row.label, row.path))

    lists = _places(request, sides)
    _refuse_empty(request, sides)
    texts = {lists[side]: dump_list(rows) for side, rows in sides.items()}
    _refuse_places(request, texts)
    warnings = _warnings(found, labels, sides, table)
    if not request.dry_run:
        _rename(request.folder, renames)
        warnings += replaced_warnings(texts)
        write_all(texts)
    for warning in warnings:
        reporter.warn(warning)
    return BuildListResult(
        folder=request.folder,
        labels=table.name,
        lists=lists,
        videos={side: len(rows) for side, rows in sides.items()},
        classes=len({row.label for rows in sides.values() for row in rows}),
        sources=len(sources) if shares else None,
        told_by=dict(told_by),
        renamed=renames,
        skipped=dict(found.skipped),
        empty_folders=tuple(name for name, videos in found.classes.items() if not videos),
        empty_files=sum(video.size == 0 for videos in found.classes.values() for video in videos),
        dry_run=request.dry_run,
        warnings=tuple(warnings),
    )


def _labels(found: FolderScan, table: LabelTable) -> dict[str, int]:
    """The id of every class folder."""
    if not found.classes:
        loose = f"; {len(found.loose)} videos lie in it directly" if found.loose else ""
        raise InputError(
            f"{found.root}: no class folder in it{loose}",
            "Put the videos into a folder per class, or list them by their annotations: "
            "vidbench data csv --kind kinetics ANNOTATIONS --videos DIR",
        )
    labels: dict[str, int] = {}
    unknown: list[str] = []
    for name in found.classes:
        label = table.find(name)
        if label is None:
            unknown.append(name)
        else:
            labels[name] = label
    if unknown:
        raise _unknown(found, table, unknown)
    return labels


def _unknown(found: FolderScan, table: LabelTable, unknown: list[str]) -> InputError:
    told = []
    for name in unknown[:SHOWN_PROBLEMS]:
        near = table.nearest(name)
        hint = f"; the nearest is {' or '.join(near)}" if near else ""
        told.append(f"{shown(found.root / name)}: no class of {table.name}{hint}")
    if len(unknown) > SHOWN_PROBLEMS:
        told.append(f"... and {len(unknown) - SHOWN_PROBLEMS} more of {len(found.classes)} folders")
    fitting = tables_holding(found.classes)
    if fitting:
        return InputError("\n".join(told), f"All folders are classes of {fitting[0]}: --labels {fitting[0]}")
    return InputError(
        "\n".join(told),
        f"Rename or move the folders, or give their table: --labels {'|'.join(TABLES[:3])}|FILE, "
        "where FILE has a class name a line in the order of ids.",
    )


def _renames(found: FolderScan, request: BuildListRequest) -> tuple[tuple[str, str], ...]:
    """What has to be renamed, the videos of a folder before the folder; refused unless all of it can be."""
    wanted: list[tuple[str, str]] = []
    hopeless: list[str] = []
    for name, videos in found.classes.items():
        for video in videos:
            _add(wanted, hopeless, f"{name}/", video.name)
        _add(wanted, hopeless, "", name)
    if hopeless:
        raise InputError(
            _some(found, hopeless, "cannot stand in a list, and not only for blanks"),
            "Rename them by hand: a list holds no quotes, tabs or control characters, and is UTF-8.",
        )
    if wanted and not request.rename:
        labels = "" if request.labels == "kinetics400" else f" --labels {quoted(request.labels)}"
        raise InputError(
            _some(found, [old for old, _ in wanted], "have a blank in the name, where PySlowFast splits a line"),
            f"To make the blanks underscores on disk: vidbench data list {quoted(request.folder)}{labels} --rename",
        )
    _refuse_renames(found, wanted)
    return tuple(wanted)


def _add(wanted: list[tuple[str, str]], hopeless: list[str], home: str, name: str) -> None:
    if path_problem(name) is None:
        return
    better = name.replace(" ", "_")
    if path_problem(better) is None:
        wanted.append((home + name, home + better))
    else:
        hopeless.append(home + name)


def _some(found: FolderScan, names: list[str], what: str) -> str:
    told = [f"{found.root}: {len(names)} folders and videos {what}"]
    told += [f"  {str(found.root / name)!r}" for name in names[:_SHOWN_NAMES]]
    if len(names) > _SHOWN_NAMES:
        told.append(f"  ... and {len(names) - _SHOWN_NAMES} more")
    return "\n".join(told)


def _refuse_renames(found: FolderScan, renames: Iterable[tuple[str, str]]) -> None:
    taken: dict[str, str] = {}
    problems = []
    for old, new in renames:
        if "/" in old and old.split("/")[0] in found.links:
            problems.append(f"{shown(found.root / old)}: lies in a linked folder, outside of {found.root}")
        elif os.path.lexists(found.root / new):
            problems.append(f"{shown(found.root / old)}: {new} is there already")
        elif taken.setdefault(new, old) != old:
            problems.append(f"{shown(found.root / old)}: would be called {new}, as {taken[new]}")
    if problems:
        more = [f"... and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
        raise InputError(
            "\n".join(["nothing was renamed:", *problems[:SHOWN_PROBLEMS], *more]), "Merge or rename them by hand."
        )


def _rename(root: Path, renames: Iterable[tuple[str, str]]) -> None:
    for old, new in renames:
        if os.path.lexists(root / new):
            raise InputError(f"{root / old}: {new} is there now, put there by something else", "Try again.")
        with disk_errors(root / old):
            (root / old).rename(root / new)


def _places(request: BuildListRequest, sides: Iterable[str]) -> dict[str, Path]:
    if request.split is None:
        (name,) = sides
        return {name: request.out or beside(request.folder, f"{name}list.txt")}
    return {
        side: request.out / f"{side}list.txt" if request.out else beside(request.folder, f"{side}list.txt")
        for side in sides
    }


def _refuse_empty(request: BuildListRequest, sides: Mapping[str, list[ListLine]]) -> None:
    if not any(sides.values()):
        raise InputError(f"{request.folder}: no video in its class folders", "Give the folder of the class folders.")
    empty = [side for side, rows in sides.items() if not rows]
    if empty:
        raise InputError(
            f"no video falls to {' and '.join(empty)}: there are {sum(map(len, sides.values()))} videos in all",
            "Give greater shares, or another --seed.",
        )


def _refuse_places(request: BuildListRequest, targets: Iterable[Path]) -> None:
    for target in targets:
        if target.is_dir():
            what = "" if request.split else "; without --split, --out is the list itself"
            raise InputError(f"{target}: a folder has the name of a list to write{what}", "Give another --out.")
        if any(place.exists() and not place.is_dir() for place in target.parents):
            raise InputError(f"{target.parent}: not a folder", "Give another --out.")


def _warnings(
    found: FolderScan, labels: Mapping[str, int], sides: Mapping[str, list[ListLine]], table: LabelTable
) -> list[str]:
    warnings = []
    empty = sum(video.size == 0 for videos in found.classes.values() for video in videos)
    if empty:
        warnings.append(f"empty files among the listed videos: {empty}; `vidbench data check` tells which")
    if found.loose:
        warnings.append(f"videos that lie in no class folder and are not listed: {len(found.loose)}")
    without = [name for name, videos in found.classes.items() if not videos]
    if without:
        warnings.append(f"class folders without a video: {len(without)} ({_few(without)})")
    folders = defaultdict(list)
    for name, label in labels.items():
        folders[label].append(name)
    for label, names in folders.items():
        if len(names) > 1:
            warnings.append(f"{len(names)} folders are the one class {table.classes[label]}: {_few(names)}")
    if len(sides) > 1:
        present = {row.label for rows in sides.values() for row in rows}
        for side, rows in sides.items():
            missing = [table.classes[label] for label in sorted(present - {row.label for row in rows})]
            if missing:
                warnings.append(f"classes without a video in {side}: {len(missing)} ({_few(missing)})")
    return warnings


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
