"""Turn a list of videos into the shuffled lists that PySlowFast evaluates: `test_raw.csv` and `test_256.csv`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.jobs import PART
from vidbench.data.source_kind import LIST, read_as
from vidbench.errors import InputError, UsageError, disk_errors
from vidbench.formats.kinetics import ListLine, decode_list, dump_list, path_problem, read_list_bytes
from vidbench.formats.manifest import decode_manifest, is_manifest
from vidbench.progress import Reporter, SilentReporter

RAW = "test_raw.csv"
RESIZED = "test_256.csv"
PYSLOWFAST_NAMES = ("train.csv", "val.csv", "test.csv")
"""The only lists that PySlowFast looks for in its data folder."""


class BuildCsvRequest(BaseModel):
    """What to build.

    Attributes:
        list: The list to read, lines of `path label`, or a manifest, whose usable videos are taken.
        seed: Seed of the shuffle, 0 to 2**32 - 1.
        shuffle: Whether to change the order at all.
        prefix: Text put directly before every path that starts with `./`, and before no other; `.` turns
            `./x` into `../x`, for a program that runs one folder deeper.
        out_dir: Where the lists go; None is the folder of `list`.
        name: A further file name for the list of the resized videos, as `test.csv`.
        source_part: The part of a path that marks the raw videos, not empty.
        target_part: What stands in its place in the list of the resized videos.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    list: Path
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    shuffle: bool = True
    prefix: str = "."
    out_dir: Path | None = None
    name: str | None = None
    source_part: str = "/val/"
    target_part: str = "/val_256/"


@dataclass(frozen=True)
class BuildCsvResult:
    """What was built.

    Attributes:
        source: The list that was read.
        lines: Videos in it, and in each list written.
        classes: Distinct labels.
        seed: Seed of the order; None where the order was kept.
        raw: The list of the videos as they are.
        resized: The same videos in the same order, with the paths of the resized copies.
        named: A copy of `resized` under the name that was asked for.
        warnings: What looks wrong with the lists.
    """

    source: Path
    lines: int
    classes: int
    seed: int | None
    raw: Path
    resized: Path
    named: Path | None
    warnings: tuple[str, ...]


def build_csv(request: BuildCsvRequest, reporter: Reporter | None = None) -> BuildCsvResult:
    """Write both lists, or, where any line of the input is malformed, nothing.

    The order is that of `pandas.DataFrame.sample(frac=1, random_state=seed)`, which is numpy's frozen
    `RandomState(seed).permutation(n)`: the same seed gives the same lists with every version of either.

    Raises:
        UsageError: Options that no list can be written with.
        InputError: The list is missing, empty or malformed, or would itself be overwritten.
    """
    reporter = reporter or SilentReporter()
    _check(request)
    rows, left_out = _rows(request.list)
    if request.shuffle:
        rows = tuple(rows[index] for index in np.random.RandomState(request.seed).permutation(len(rows)))
    raw = [ListLine(_prefixed(row.path, request.prefix), row.label, row.line) for row in rows]
    source, target = request.source_part, request.target_part
    resized = [ListLine(row.path.replace(source, target), row.label, row.line) for row in raw]

    folder = request.list.parent if request.out_dir is None else request.out_dir
    named = None if request.name is None else folder / request.name
    texts = {folder / RAW: dump_list(raw), folder / RESIZED: dump_list(resized)}
    if named is not None:
        texts[named] = texts[folder / RESIZED]
    refuse_targets(request.list, folder, texts)
    warnings = (*left_out, *_list_warnings(request, rows, raw), *_file_warnings(texts, named))
    write_all(texts)
    for warning in warnings:
        reporter.warn(warning)
    return BuildCsvResult(
        source=request.list,
        lines=len(rows),
        classes=len({row.label for row in rows}),
        seed=request.seed if request.shuffle else None,
        raw=folder / RAW,
        resized=folder / RESIZED,
        named=named,
        warnings=warnings,
    )


def _rows(source: Path) -> tuple[tuple[ListLine, ...], tuple[str, ...]]:
    """The lines of a list, or the usable ones of a manifest, and how many of these there are not."""
    data = read_list_bytes(source)
    if not is_manifest(data, source.name):
        with read_as(source, LIST):
            return decode_list(data, source), ()
    manifest = decode_manifest(data, source)
    rows = tuple(
        ListLine(row.path, row.label, row.line) for row in manifest.rows if row.usable and row.label is not None
    )
    if not rows:
        raise InputError(
            f"{source}: no usable video with a label among {len(manifest.rows)}",
            "A manifest of a folder has no labels: check a list of `path label`.",
        )
    left_out = len(manifest.rows) - len(rows)
    return rows, (f"{left_out} of the {len(manifest.rows)} videos of {source} are left out",) if left_out else ()


def _check(request: BuildCsvRequest) -> None:
    for option, text in (("--prefix", request.prefix), ("--from", request.source_part), ("--to", request.target_part)):
        problem = path_problem(text) if text else None
        if problem:
            raise UsageError(f"{option} {text!r} cannot be part of a path in a list: {problem[0]}", problem[1])
    if not request.source_part:
        raise UsageError("--from is empty", "Give the part of the paths that marks the raw videos, as /val/.")
    if request.name is not None:
        check_name(request.name)
    if request.name in (RAW, RESIZED):
        raise UsageError(f"--name {request.name} is a list that is written anyway", "Give another name, as test.csv.")


def check_name(name: str) -> None:
    """Refuse a `--name` that is not the name of a file alone.

    Raises:
        UsageError: It is not.
    """
    if name in ("", ".", "..") or "/" in name or not name.isprintable():
        raise UsageError(f"--name {name!r} is not a file name", "Give a name alone, and the folder with --out-dir.")


def _prefixed(path: str, prefix: str) -> str:
    return prefix + path if path.startswith("./") else path


def refuse_targets(source: Path, folder: Path, targets: Iterable[Path]) -> None:
    """Refuse places where no list can be written, and lists that would take the place of what is read.

    Raises:
        InputError: `folder` is or lies under a file, or a target is a folder or `source` itself.
    """
    if any(place.exists() and not place.is_dir() for place in (folder, *folder.parents)):
        raise InputError(f"{folder}: not a folder", "Give another --out-dir.")
    for target in targets:
        if target.resolve() == source.resolve() or (target.exists() and target.samefile(source)):
            raise InputError(
                f"{source} would be overwritten: it is one of the lists to write",
                "Give another --out-dir, or rename the list that is read.",
            )
        if target.is_dir():
            raise InputError(f"{target}: a folder has the name of a list to write", "Give another --out-dir.")


def _list_warnings(request: BuildCsvRequest, rows: tuple[ListLine, ...], raw: list[ListLine]) -> list[str]:
    found = []
    without = [row for row in raw if request.source_part not in row.path]
    if len(without) == len(raw):
        found.append(f"no path contains {request.source_part}: {RAW} and {RESIZED} are the same (see --from and --to)")
    elif without:
        first = min(without, key=lambda row: row.line)
        found.append(
            f"{len(without)} of {len(raw)} paths do not contain {request.source_part} and are the same in both lists; "
            f"the first is {request.list}:{first.line}"
        )
    first_lines: dict[str, int] = {}
    ordered = sorted(rows, key=lambda row: row.line)
    repeats = [row.line for row in ordered if first_lines.setdefault(row.path, row.line) != row.line]
    if repeats:
        found.append(
            f"{len(repeats)} lines list a path again, the first is {request.list}:{repeats[0]}: "
            "PySlowFast would count it twice, and vidbench refuses such a list"
        )
    return found


def _file_warnings(texts: Mapping[Path, str], named: Path | None) -> list[str]:
    return [*name_warnings([] if named is None else [named.name]), *replaced_warnings(texts)]


def name_warnings(names: Iterable[str]) -> list[str]:
    """What to say of lists that PySlowFast would not find."""
    return [
        f"PySlowFast reads {', '.join(PYSLOWFAST_NAMES)} only, not {name}"
        for name in names
        if name not in PYSLOWFAST_NAMES
    ]


def replaced_warnings(texts: Mapping[Path, str]) -> list[str]:
    """What to say of files that are there with other contents; asked before they are written."""
    changed = [
        str(target) for target, text in texts.items() if target.exists() and target.read_bytes() != text.encode()
    ]
    return [f"replaced, and held other lines before: {', '.join(changed)}"] if changed else []


def write_all(texts: Mapping[Path, str]) -> None:
    """Write every file beside its place before any is put there: a full disk leaves all as they were."""
    temporaries = {target: target.with_name(f".{target.name}.{os.getpid()}{PART}") for target in texts}
    try:
        for target, text in texts.items():
            with disk_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                temporaries[target].write_bytes(text.encode())
        for target, temporary in temporaries.items():
            with disk_errors(target):
                temporary.replace(target)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
