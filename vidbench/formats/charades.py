"""Charades' annotations: the actions of a video with their times, and which frames show them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidbench.errors import InputError
from vidbench.formats.annotations import csv_line, read_table_text
from vidbench.formats.kinetics import line_errors

CLASSES = 157
FPS = Fraction(24)
"""The rate of the published frames."""

_ID = re.compile(r"[A-Za-z0-9_-]+")
_ACTION = re.compile(r"c(\d{3}) (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)")
_REMEDY = "Give Charades_v1_train.csv or Charades_v1_test.csv: actions are as `c092 11.90 21.20;c147 0.00 12.60`."


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a video.

    Attributes:
        label: The class, 0 to 156.
        start_s: Where it begins, in seconds.
        end_s: Where it ends; taken as written, so it may lie behind the video's end, or even before `start_s`.
    """

    label: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class CharadesVideo:
    """One video of Charades.

    Attributes:
        id: The video's name, as "46GP8".
        actions: In the file's order; may be empty.
        cells: All cells of the row but id and actions, in the file's order.
        line: The line in the file that the row begins at, from 1.
    """

    id: str
    actions: tuple[Action, ...]
    cells: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True)
class CharadesFile:
    """What an annotation file holds.

    Attributes:
        columns: The names of its columns, in order.
        videos: The videos, in order.
    """

    columns: tuple[str, ...]
    videos: tuple[CharadesVideo, ...]


def parse_charades(text: str, source: str | Path) -> CharadesFile:
    """Read an annotation file: comma separated, cells quoted where they hold commas, columns by their names.

    Args:
        text: The whole file, as quoted cells may go over several lines.
        source: The file's name, for errors.

    Raises:
        InputError: No column `id` or `actions`, malformed rows, a video listed twice; each as `file:line: reason`.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    videos: list[CharadesVideo] = []
    problems: list[tuple[int, str]] = []
    lines: dict[str, int] = {}
    try:
        columns = tuple(next(reader, []))
        missing = [name for name in ("id", "actions") if name not in columns]
        if missing:
            raise InputError(f"{source}:1: no column {', '.join(missing)}", _REMEDY)
        begin = reader.line_num + 1
        for cells in reader:
            if any(cells):
                row = _row(columns, cells, begin)
                reason = row if isinstance(row, str) else _repeat(lines, row)
                if reason:
                    problems.append((begin, reason))
                elif isinstance(row, CharadesVideo):
                    videos.append(row)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{source}:{reader.line_num}: {error}", _REMEDY) from error
    if problems:
        raise line_errors(source, problems, _REMEDY)
    if not videos:
        raise InputError(f"{source}: no video in it", _REMEDY)
    return CharadesFile(columns, tuple(videos))


def load_charades(path: Path) -> CharadesFile:
    """Read an annotation file.

    Raises:
        InputError: It is missing, not UTF-8 text or malformed; see `parse_charades`.
    """
    return parse_charades(read_table_text(path), path)


def dump_charades(videos: Iterable[CharadesVideo], columns: Sequence[str]) -> str:
    """The text of an annotation file with the given columns; `parse_charades` reads it back."""
    lines = [csv_line(columns)]
    for video in videos:
        others = iter(video.cells)
        actions = ";".join(
            f"c{one.label:03d} {_hundredths(one.start_s)} {_hundredths(one.end_s)}" for one in video.actions
        )
        known = {"id": video.id, "actions": actions}
        lines.append(csv_line(known[name] if name in known else next(others, "") for name in columns))
    return "".join(lines)


def frame_numbers(action: Action, fps: Fraction = FPS) -> range:
    """The frames that show an action, numbered from 1 as their files are; empty where it ends before it begins.

    Frame n shows the time (n - 1) / fps, and shows the action where start <= time <= end: both ends count, as
    annotators named the first and the last moment. Times are compared as the decimals that they are written in.

    How the published lists of PySlowFast were labelled is not documented; its users found frames in them that
    carry an action outside its times, so these labels and those may differ at the ends of actions.
    """
    first = math.ceil(Fraction(repr(action.start_s)) * fps) + 1
    last = math.floor(Fraction(repr(action.end_s)) * fps) + 1
    return range(first, max(last + 1, first))


def _row(columns: Sequence[str], cells: Sequence[str], line: int) -> CharadesVideo | str:
    if len(cells) != len(columns):
        return f"{len(cells)} cells, where the first line names {len(columns)} columns"
    known = dict(zip(columns, cells, strict=True))
    if not _ID.fullmatch(known["id"]):
        return f"the id {known['id']!r} is none" if known["id"] else "no id"
    actions = []
    for text in known["actions"].split(";") if known["actions"].strip() else []:
        match = _ACTION.fullmatch(text.strip())
        if match is None:
            return f"{text!r} is not an action"
        if int(match[1]) >= CLASSES:
            return f"{text!r} has no class of Charades: they go from c000 to c{CLASSES - 1}"
        actions.append(Action(int(match[1]), float(match[2]), float(match[3])))
    others = tuple(cell for name, cell in zip(columns, cells, strict=True) if name not in ("id", "actions"))
    return CharadesVideo(known["id"], tuple(actions), others, line)


def _repeat(lines: dict[str, int], video: CharadesVideo) -> str:
    first = lines.setdefault(video.id, video.line)
    return "" if first == video.line else f"{video.id} is listed before, at line {first}"


def _hundredths(value: float) -> str:
    text = f"{value:.2f}"
    return text if float(text) == value else f"{Fraction(repr(value)):f}"
