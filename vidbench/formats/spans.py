"""Lists of spans: which seconds of which video are to be cut out."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError
from vidbench.formats.annotations import parse_annotations, read_table_text
from vidbench.formats.kinetics import line_errors

COLUMNS = ("video", "start", "end")
"""The columns that a list of spans must have; `name` may follow."""

_KINETICS = {"youtube_id", "video-id"}
_KNOWN = {*COLUMNS, "name"}
_SECONDS = re.compile(r"-?[0-9]{1,7}(\.[0-9]{1,9})?")
_REMEDY = (
    "The file begins with the line `video,start,end` or `video,start,end,name`, a line per span follows, "
    "times in seconds as 12 or 12.5. Annotations of Kinetics are read, too."
)


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span of a list.

    Attributes:
        video: The video's id or file name.
        start_s: Where the span begins, in seconds, 0 or more.
        end_s: Where it ends, after `start_s`; this moment is no part of it.
        name: What the cut is to be called; empty where the list does not say.
        line: The line in the file, from 1.
    """

    video: str
    start_s: float
    end_s: float
    name: str
    line: int


def parse_spans(lines: Iterable[str], source: str | Path) -> tuple[SpanRow, ...]:
    """Read a list of spans, or annotations of Kinetics: comma separated, columns by the names in the first line.

    Args:
        lines: The lines, with or without their ends.
        source: The file's name, for errors.

    Raises:
        InputError: A column is missing or rows are malformed: too few cells, times that are negative, reversed, equal
            or no numbers, no video, a span listed twice. The message names each as `file:line: reason`.
    """
    whole = [line if line.endswith("\n") else line + "\n" for line in lines]
    reader = csv.reader(whole, strict=True)
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        if _KINETICS & set(columns):
            rows = parse_annotations(whole, source).rows
            return tuple(SpanRow(row.youtube_id, row.start_s, row.end_s, "", row.line) for row in rows)
        _refuse_columns(columns, source)
        found = _read(reader, columns, source)
    except csv.Error as error:
        raise InputError(f"{source}:{reader.line_num}: {error}", _REMEDY) from error
    if not found:
        raise InputError(f"{source}: no span in it", _REMEDY)
    return found


def load_spans(path: Path) -> tuple[SpanRow, ...]:
    """Read a list of spans.

    Raises:
        InputError: The file is missing, not UTF-8 text or malformed; see `parse_spans`.
    """
    return parse_spans(read_table_text(path).splitlines(keepends=True), path)


def _refuse_columns(columns: list[str], source: str | Path) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise InputError(f"{source}:1: no column {', '.join(missing)}", _REMEDY)
    unknown = [name for name in columns if name not in _KNOWN]
    if unknown:
        raise InputError(f"{source}:1: unknown column {unknown[0]!r}", _REMEDY)
    if len(set(columns)) < len(columns):
        raise InputError(f"{source}:1: a column is named twice", _REMEDY)


def _read(reader: Iterable[list[str]], columns: list[str], source: str | Path) -> tuple[SpanRow, ...]:
    rows: list[SpanRow] = []
    problems: list[tuple[int, str]] = []
    seen: dict[tuple[str, float, float], int] = {}
    for cells in reader:
        line: int = reader.line_num  # type: ignore[attr-defined]
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            problems.append((line, f"{len(cells)} cells, where the first line names {len(columns)} columns"))
            continue
        cell = dict(zip(columns, (text.strip() for text in cells), strict=True))
        problem = _problem(cell)
        if problem:
            problems.append((line, problem))
            continue
        row = SpanRow(cell["video"], float(cell["start"]), float(cell["end"]), cell.get("name", ""), line)
        before = seen.setdefault((row.video, row.start_s, row.end_s), line)
        if before != line:
            problems.append((line, f"the span is listed before, at line {before}"))
            continue
        rows.append(row)
    if problems:
        raise line_errors(source, problems, _REMEDY)
    return tuple(rows)


def _problem(cell: dict[str, str]) -> str:
    if not cell["video"]:
        return "no video"
    for name in ("start", "end"):
        if not _SECONDS.fullmatch(cell[name]):
            return f"{name} {cell[name]!r} is not a number of seconds"
        if cell[name].startswith("-"):
            return f"{name} {cell[name]} is negative"
    start, end = float(cell["start"]), float(cell["end"])
    if end == start:
        return f"the span is empty: it ends where it starts, at {cell['start']}"
    if end < start:
        return f"the span is reversed: it ends at {cell['end']}, before it starts at {cell['start']}"
    return name_problem(cell.get("name", ""))


def name_problem(name: str) -> str:
    """Why a cut cannot be called so; empty where it can, also for an empty name."""
    if any(part in ("", ".", "..") for part in name.split("/")) and name:
        return f"name {name!r} leads out of the folder, or is no file name"
    if not name.isprintable():
        return f"name {name!r} has control characters"
    return ""
