"""Tables of persons' boxes: comma separated, columns by the names in the first line, which also say the units."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from vidbench.errors import InputError
from vidbench.formats import ava
from vidbench.formats.given import (
    GRID_FPS,
    Collector,
    Fractions,
    GivenBox,
    GivenBoxes,
    VideoShape,
    number_at,
    numbers_of_frame,
)
from vidbench.formats.kinetics import line_errors

MOMENTS = ("second", "time", "frame")
"""Columns of which a table has one: whole seconds; seconds as 12.5; the video's own frames, from 1."""
FRACTIONS = ("x1", "y1", "x2", "y2")
"""Columns of a box in fractions of the frame's width and height."""
PIXELS = ("x1_px", "y1_px", "x2_px", "y2_px")
"""Columns of a box in pixels of the upright frame."""

_OPTIONAL = ("score", "person", "actions")
_REACH = 1.0
_WHOLE = re.compile("[0-9]{1,9}")
_TIME = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_ACTIONS = re.compile("none|[0-9]{1,4}(;[0-9]{1,4})*")
_NAME = re.compile(r'[^,"\x00-\x1f\x7f]+')
_SHAPE = (
    "The file begins with the names of its columns: video, one of second, time, frame, then x1,y1,x2,y2 in fractions "
    "of the frame or x1_px,y1_px,x2_px,y2_px in pixels, and where wanted score (0 to 1), person, actions (as 12;80)."
)


def parse(lines: Iterable[str], source: object, shapes: Mapping[str, VideoShape]) -> GivenBoxes:
    """Read a table.

    A line whose four cells of the box are empty says that nobody is there at that moment. A time belongs to the
    nearest moment of the grid, a frame to those that show it (`numbers_of_frame`), a second t to number 30 t.

    Args:
        lines: The lines, with or without their ends.
        source: The file's name, for errors.
        shapes: The videos that are asked for, by each name under which the table may have them.

    Raises:
        InputError: A column is missing, unknown or there twice, or rows are malformed, each as `file:line: reason`.
    """
    reader = csv.reader((line if line.endswith("\n") else line + "\n" for line in lines), strict=True)
    collector = Collector(shapes)
    problems: list[tuple[int, str]] = []
    try:
        columns = [cell.strip().removeprefix("\ufeff") for cell in next(reader, [])]
        table = _Table(columns, source)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            try:
                if len(cells) != len(columns):
                    raise ValueError(f"{len(cells)} cells, where the first line names {len(columns)} columns")
                table.take(
                    dict(zip(columns, (cell.strip() for cell in cells), strict=True)), reader.line_num, collector
                )
            except ValueError as error:
                problems.append((reader.line_num, str(error)))
    except csv.Error as error:
        raise InputError(f"{source}:{reader.line_num}: {error}", _SHAPE) from error
    if problems:
        raise line_errors(str(source), problems, _SHAPE)
    return collector.done()


def parse_ava(lines: Iterable[str], source: str, shapes: Mapping[str, VideoShape]) -> GivenBoxes:
    """Read AVA's predicted boxes, `video,second,x1,y1,x2,y2,action,score` without names of columns.

    Seconds count from the start of the video, and actions are not looked at: the same box may come once for each.

    Raises:
        InputError: Malformed lines, each as `file:line: reason`.
    """
    collector = Collector(shapes)
    held: set[tuple[str, int, Fractions]] = set()
    for line, row in enumerate(ava.parse_predicted(lines, source), start=1):
        shape = collector.shape(row.video)
        if shape is None:
            continue
        number = collector.moment(shape.id, range(row.second * GRID_FPS, row.second * GRID_FPS + 1))
        box = float(row.box.x1), float(row.box.y1), float(row.box.x2), float(row.box.y2)
        if number is not None and (shape.id, number, box) not in held:
            held.add((shape.id, number, box))
            collector.add(GivenBox(shape.id, number, box, float(row.score)), line)
    return collector.done()


def dump(boxes: Iterable[GivenBox]) -> Iterator[str]:
    """The lines of a table in fractions of the frame, by video, moment and person.

    The column is `second` where all boxes lie on whole seconds, else `time`.

    Raises:
        InputError: A video name that cannot stand in a table.
    """
    ordered = sorted(boxes, key=lambda one: (one.video, one.number, -1 if one.person is None else one.person, one.box))
    whole = all(box.number % GRID_FPS == 0 for box in ordered)
    yield f"video,{'second' if whole else 'time'},{','.join(FRACTIONS)},{','.join(_OPTIONAL)}\n"
    for box in ordered:
        if not _NAME.fullmatch(box.video) or box.video != box.video.strip():
            raise InputError(f"the name {box.video!r} cannot stand in a table", "Rename the video.")
        moment = str(box.number // GRID_FPS) if whole else _short(box.number / GRID_FPS)
        score = "" if box.score is None else _short(box.score)
        person = "" if box.person is None else str(box.person)
        actions = "" if box.actions is None else ";".join(map(str, box.actions)) or "none"
        yield f"{box.video},{moment},{','.join(_short(value) for value in box.box)},{score},{person},{actions}\n"


class _Table:
    def __init__(self, columns: list[str], source: object) -> None:
        def refuse(reason: str) -> InputError:
            return InputError(f"{source}:1: {reason}", _SHAPE)

        if "video" not in columns:
            raise refuse("no column video")
        if len(set(columns)) < len(columns):
            raise refuse("a column is named twice")
        unknown = set(columns) - {"video", *MOMENTS, *FRACTIONS, *PIXELS, *_OPTIONAL}
        if unknown:
            raise refuse(f"unknown column {min(unknown)!r}")
        moments = [name for name in MOMENTS if name in columns]
        if len(moments) != 1:
            raise refuse(f"{' and '.join(moments) or 'none'} of the columns {', '.join(MOMENTS)}, where one is needed")
        units = [names for names in (FRACTIONS, PIXELS) if set(names) <= set(columns)]
        if len(units) != 1 or set(columns) & {*FRACTIONS, *PIXELS} != set(units[0]):
            raise refuse(f"not the four columns {','.join(FRACTIONS)}, or the four {','.join(PIXELS)}")
        self._moment = moments[0]
        self._corners = units[0]

    def take(self, cell: Mapping[str, str], line: int, collector: Collector) -> None:
        """Check a row, and put it where it belongs.

        Raises:
            ValueError: It is malformed.
        """
        if not cell["video"]:
            raise ValueError("no video")
        moment = self._time(cell[self._moment])
        place = self._place(cell)
        score, person, actions = _score(cell), _person(cell), _actions(cell)
        shape = collector.shape(cell["video"])
        if shape is None:
            return
        number = collector.moment(shape.id, self._numbers(moment, shape))
        if number is None:
            collector.unseen += 1
        elif place is not None:
            if self._corners is PIXELS:
                x1, y1, x2, y2 = place
                place = x1 / shape.width, y1 / shape.height, x2 / shape.width, y2 / shape.height
            collector.add(GivenBox(shape.id, number, place, score, person, actions), line)

    def _time(self, text: str) -> Fraction:
        if not (_TIME if self._moment == "time" else _WHOLE).fullmatch(text):
            kind = "number of seconds" if self._moment == "time" else "whole number"
            raise ValueError(f"{self._moment} {text!r} is not a {kind} of 0 or more")
        if self._moment == "frame" and not int(text):
            raise ValueError("frame 0; frames count from 1")
        return Fraction(text)

    def _numbers(self, moment: Fraction, shape: VideoShape) -> range:
        if self._moment == "frame":
            return numbers_of_frame(int(moment), shape.fps)
        number = number_at(moment)
        return range(number, number + 1)

    def _place(self, cell: Mapping[str, str]) -> Fractions | None:
        texts = [cell[name] for name in self._corners]
        if not any(texts):
            return None
        values = [_number(name, text) for name, text in zip(self._corners, texts, strict=True)]
        for name, value in zip(self._corners, values, strict=True):
            if self._corners is FRACTIONS and not -_REACH <= value <= 1 + _REACH:
                raise ValueError(
                    f"{name} {value:g} is no fraction of the frame; columns of pixels are {','.join(PIXELS)}"
                )
        x1, y1, x2, y2 = values
        if x1 > x2 or y1 > y2:
            raise ValueError(f"the box {', '.join(texts)}: x1 or y1 is more than x2 or y2")
        return x1, y1, x2, y2


def _score(cell: Mapping[str, str]) -> float | None:
    text = cell.get("score", "")
    if not text:
        return None
    value = _number("score", text)
    if not 0 <= value <= 1:
        raise ValueError(f"score {text} is not from 0 to 1")
    return value


def _person(cell: Mapping[str, str]) -> int | None:
    text = cell.get("person", "")
    if text and not _WHOLE.fullmatch(text):
        raise ValueError(f"person {text!r} is not a whole number of 0 or more")
    return int(text) if text else None


def _actions(cell: Mapping[str, str]) -> tuple[int, ...] | None:
    text = cell.get("actions", "")
    if not text:
        return None
    if not _ACTIONS.fullmatch(text):
        raise ValueError(f"actions {text!r}: numbers as 12;80, or none")
    return () if text == "none" else tuple(sorted({int(one) for one in text.split(";")}))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} {text!r} is not a number")
    return value


def _short(value: float) -> str:
    return f"{value:.6f}".rstrip("0").removesuffix(".")
