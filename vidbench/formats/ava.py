"""AVA's annotation files: boxes with actions, predicted boxes, excluded seconds, the action list, video names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeVar

from vidbench.errors import InputError
from vidbench.formats.framelist import read_lines, save_lines
from vidbench.formats.kinetics import line_errors

Dialect = Literal["item", "label"]
"""How a block of an action list begins: `item` with `id:`, or `label` with `label_id:` and `label_type:`."""

_VIDEO = re.compile(r'[^,"\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+')
_SECOND = re.compile("[0-9]{1,6}")
_FRACTION = re.compile(r"(?:0(?:\.[0-9]{1,12})?|1(?:\.0{1,12})?)")
_COUNT = re.compile("0|[1-9][0-9]{0,17}")
_NAME = re.compile(r'[^"\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+')
_TYPE = re.compile("[A-Z][A-Z0-9_]*")
_ACTIONS = "Action numbers count from 1."
_BOX = "A box is x1,y1,x2,y2 in fractions of width and height: 0 <= x1 < x2 <= 1, 0 <= y1 < y2 <= 1."
_LABEL_SHAPE = f"A line is `video_id,second,x1,y1,x2,y2,action,person`. {_BOX} {_ACTIONS}"
_PREDICTED_SHAPE = f"A line is `video_id,second,x1,y1,x2,y2,action,score`; action may be empty or -1. {_BOX}"
_SECOND_SHAPE = "A line is `video_id,second`, with the second from the start of the movie, as `0902`."
_LIST_SHAPE = (
    'A block is `item {`, `  name: "..."`, `  id: 1`, `}`, or `label {`, `  name: "..."`, `  label_id: 1`, '
    "`  label_type: PERSON_MOVEMENT`, `}`, with two blanks before each name; a file has one kind of them."
)
_FILE_SHAPE = "A line is the file name of a video, as `-5KQ66BBWC4.mkv`."

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Box:
    """A box, in fractions of the frame's width and height, as the file writes them.

    They are decimals with their digits, because readers differ: PySlowFast tells persons apart by the text of
    the box, so that 0.5 and 0.500, which are equal here, are two persons to it.
    """

    x1: Decimal
    y1: Decimal
    x2: Decimal
    y2: Decimal

    @classmethod
    def of(cls, x1: float, y1: float, x2: float, y2: float) -> Box:
        """A box with three digits, as AVA writes them."""
        return cls(*(Decimal(f"{value:.3f}") for value in (x1, y1, x2, y2)))


@dataclass(frozen=True, slots=True)
class Second:
    """A second of a movie, without a box.

    Attributes:
        video: The video's name.
        second: Whole seconds from the start of the original movie; a keyframe of AVA is one of 902 to 1798.
    """

    video: str
    second: int


@dataclass(frozen=True, slots=True)
class Label:
    """One action of one person at a second.

    Attributes:
        video: The video's name.
        second: As in `Second`.
        box: Where the person is.
        action: From 1.
        person: A number that the person has in the whole video.
    """

    video: str
    second: int
    box: Box
    action: int
    person: int


@dataclass(frozen=True, slots=True)
class Predicted:
    """A box of a detector.

    Attributes:
        video: The video's name.
        second: As in `Second`.
        box: Where a person is.
        action: From 1; -1 or None, as -1 or nothing is written, where it matches no person with an action.
        score: Of the detector, 0 to 1.
    """

    video: str
    second: int
    box: Box
    action: int | None
    score: Decimal


@dataclass(frozen=True, slots=True)
class Action:
    """An entry of an action list.

    Attributes:
        id: From 1, with gaps in the list of 60.
        name: As "bend/bow (at the waist)".
        kind: As "PERSON_MOVEMENT"; None in the dialect that has no kinds.
    """

    id: int
    name: str
    kind: str | None = None


def parse_labels(lines: Iterable[str], source: str | Path) -> tuple[Label | Second, ...]:
    """Read the annotations of a split, `ava_train_v2.2.csv`.

    A line of two columns is a second that is scored and has no boxes, as in a test split.

    Raises:
        InputError: Malformed lines, each as `file:line: reason`.
    """
    return _parse(lines, source, _label, _LABEL_SHAPE)


def dump_labels(rows: Iterable[Label | Second]) -> Iterator[str]:
    """The lines of an annotation file, seconds with four digits.

    Raises:
        InputError: A row that could not be read back.
    """
    for row in rows:
        line = f"{row.video},{row.second:04d}"
        if isinstance(row, Label):
            line += f",{_texts(row.box)},{row.action},{row.person}"
        yield _checked(line, _label, _LABEL_SHAPE)


def parse_predicted(lines: Iterable[str], source: str | Path) -> tuple[Predicted, ...]:
    """Read boxes of a detector, `ava_val_predicted_boxes.csv` or `ava_detection_..._boxes_and_labels.csv`.

    Raises:
        InputError: Malformed lines, each as `file:line: reason`.
    """
    return _parse(lines, source, _predicted, _PREDICTED_SHAPE)


def dump_predicted(rows: Iterable[Predicted]) -> Iterator[str]:
    """The lines of a file of predicted boxes.

    Raises:
        InputError: A row that could not be read back.
    """
    for row in rows:
        action = "" if row.action is None else row.action
        line = f"{row.video},{row.second:04d},{_texts(row.box)},{action},{row.score:f}"
        yield _checked(line, _predicted, _PREDICTED_SHAPE)


def parse_seconds(lines: Iterable[str], source: str | Path) -> tuple[Second, ...]:
    """Read excluded timestamps, `ava_val_excluded_timestamps_v2.2.csv`; there may be none.

    Raises:
        InputError: Malformed lines, each as `file:line: reason`.
    """
    return _parse(lines, source, _second, _SECOND_SHAPE)


def dump_seconds(rows: Iterable[Second]) -> Iterator[str]:
    """The lines of a file of excluded timestamps.

    Raises:
        InputError: A row that could not be read back.
    """
    for row in rows:
        yield _checked(f"{row.video},{row.second:04d}", _second, _SECOND_SHAPE)


def parse_files(lines: Iterable[str], source: str | Path) -> tuple[str, ...]:
    """Read a list of video files, `ava_file_names_trainval_v2.1.txt`.

    Raises:
        InputError: A line that is no file name, or one that is there twice; each as `file:line: reason`.
    """
    seen: set[str] = set()

    def row(fields: list[str]) -> str:
        name = _file(fields)
        if name in seen:
            raise _BadLineError(f"{name} is listed twice")
        seen.add(name)
        return name

    return _parse(lines, source, row, _FILE_SHAPE)


def dump_files(names: Iterable[str]) -> Iterator[str]:
    """The lines of a list of video files.

    Raises:
        InputError: A name that could not be read back.
    """
    for name in names:
        yield _checked(name, _file, _FILE_SHAPE)


def parse_actions(lines: Iterable[str], source: str | Path) -> tuple[tuple[Action, ...], Dialect]:
    """Read an action list, `ava_action_list_v2.2.pbtxt`, and tell its dialect.

    Raises:
        InputError: Malformed lines, two entries of one number or name, or both dialects in one file.
    """
    actions: list[Action] = []
    dialects: set[Dialect] = set()
    block: _Block | None = None
    number = 0
    try:
        for text in lines:
            number += 1
            line = text.removesuffix("\n").removesuffix("\r")
            if block is None:
                if line.strip():
                    block = _begin(line)
                    dialects.add(block.dialect)
                    if len(dialects) > 1:
                        raise _BadLineError(f"`{line}` in a file of the other kind of blocks")
            elif line == "}":
                actions.append(block.action(actions))
                block = None
            else:
                block.take(line)
        if block is not None:
            raise _BadLineError("the last block has no `}`")
        if not actions:
            raise _BadLineError("no actions")
    except _BadLineError as error:
        raise line_errors(source, [(max(number, 1), str(error))], _LIST_SHAPE) from None
    return tuple(actions), dialects.pop()


def dump_actions(actions: Iterable[Action], dialect: Dialect) -> Iterator[str]:
    """The lines of an action list.

    Raises:
        InputError: A name with a double quote or backslash, or an action without a kind where the dialect has kinds.
    """
    for action in actions:
        if not _NAME.fullmatch(action.name):
            raise InputError(f"the action name {action.name!r} cannot stand in an action list", _LIST_SHAPE)
        if dialect == "label" and not _TYPE.fullmatch(action.kind or ""):
            raise InputError(f"the action {action.name!r} has no label type, as PERSON_MOVEMENT", _LIST_SHAPE)
        yield f'{dialect} {{\n  name: "{action.name}"\n'
        yield f"  id: {action.id}\n" if dialect == "item" else f"  label_id: {action.id}\n  label_type: {action.kind}\n"
        yield "}\n"


def load(path: Path, parse: Callable[[Iterable[str], Path], R]) -> R:
    """Read a file with one of the parsers here.

    Raises:
        InputError: The file is missing, is not UTF-8 or is malformed.
    """
    return parse(read_lines(path), path)


def save(path: Path, lines: Iterable[str]) -> None:
    """Write what one of the dumpers here gives, whole or not at all."""
    save_lines(path, lines)


class _BadLineError(Exception):
    """Why a line is malformed."""


def _parse(lines: Iterable[str], source: str | Path, row: Callable[[list[str]], R], remedy: str) -> tuple[R, ...]:
    rows: list[R] = []
    problems: list[tuple[int, str]] = []
    for number, text in enumerate(lines, start=1):
        line = text.removesuffix("\n").removesuffix("\r")
        if not line:
            continue
        try:
            rows.append(row(line.split(",")))
        except _BadLineError as error:
            problems.append((number, str(error)))
    if problems:
        raise line_errors(source, problems, remedy)
    return tuple(rows)


def _checked(line: str, row: Callable[[list[str]], object], remedy: str) -> str:
    try:
        row(line.split(","))
    except _BadLineError as error:
        raise InputError(f"cannot write {line!r}: {error}", remedy) from None
    return line + "\n"


def _label(fields: list[str]) -> Label | Second:
    if len(fields) == 2:
        return Second(*_moment(fields))
    _columns(fields, 8)
    action = _count("action", fields[6])
    if action < 1:
        raise _BadLineError("action 0; actions count from 1")
    return Label(*_moment(fields), _box(fields, strict=True), action, _count("person", fields[7]))


def _predicted(fields: list[str]) -> Predicted:
    _columns(fields, 8)
    action: int | None = None
    if fields[6]:
        action = -1 if fields[6] == "-1" else _count("action", fields[6])
        if action == 0:
            raise _BadLineError("action 0; actions count from 1, -1 or nothing is none")
    return Predicted(*_moment(fields), _box(fields, strict=False), action, _fraction("score", fields[7]))


def _second(fields: list[str]) -> Second:
    _columns(fields, 2)
    return Second(*_moment(fields))


def _file(fields: list[str]) -> str:
    name = ",".join(fields)
    if not _VIDEO.fullmatch(name) or "/" in name or "." not in name.strip("."):
        raise _BadLineError(f"{name!r} is not the file name of a video")
    return name


def _columns(fields: list[str], wanted: int) -> None:
    if len(fields) != wanted:
        raise _BadLineError(f"{len(fields)} columns, not {wanted}")


def _moment(fields: list[str]) -> tuple[str, int]:
    video, second = fields[:2]
    if not _VIDEO.fullmatch(video):
        raise _BadLineError(f"{video!r} is not the name of a video")
    if not _SECOND.fullmatch(second):
        raise _BadLineError(f"the second {second!r} is not a whole number of 0 or more")
    return video, int(second)


def _box(fields: list[str], strict: bool) -> Box:
    x1, y1, x2, y2 = (_fraction(name, text) for name, text in zip(("x1", "y1", "x2", "y2"), fields[2:6], strict=True))
    for name, low, high in (("x", x1, x2), ("y", y1, y2)):
        # detectors do give boxes without width at an edge of the frame
        if low > high or (strict and low == high):
            raise _BadLineError(f"{name}1 {low} is not less than {name}2 {high}")
    return Box(x1, y1, x2, y2)


def _fraction(name: str, text: str) -> Decimal:
    if not _FRACTION.fullmatch(text):
        raise _BadLineError(f"{name} {text!r} is not a number from 0 to 1")
    return Decimal(text)


def _count(name: str, text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise _BadLineError(f"{name} {text!r} is not a whole number of 0 or more")
    return int(text)


def _texts(box: Box) -> str:
    return f"{box.x1:f},{box.y1:f},{box.x2:f},{box.y2:f}"


@dataclass
class _Block:
    dialect: Dialect
    name: str | None = None
    id: int | None = None
    kind: str | None = None

    def take(self, line: str) -> None:
        """One field, with its two blanks."""
        number = "id" if self.dialect == "item" else "label_id"
        if (match := re.fullmatch(rf'  name: "({_NAME.pattern})"', line)) and self.name is None:
            self.name = match[1]
        elif (match := re.fullmatch(rf"  {number}: ([1-9][0-9]{{0,8}})", line)) and self.name and self.id is None:
            self.id = int(match[1])
        elif (
            self.dialect == "label"
            and (match := re.fullmatch(rf"  label_type: ({_TYPE.pattern})", line))
            and self.id
            and self.kind is None
        ):
            self.kind = match[1]
        else:
            raise _BadLineError(f"{line!r} does not belong here")

    def action(self, before: list[Action]) -> Action:
        """The whole block, which must be a new one."""
        if self.name is None or self.id is None or (self.dialect == "label" and self.kind is None):
            raise _BadLineError("the block lacks a line")
        for held in before:
            if held.id == self.id or held.name == self.name:
                raise _BadLineError(f"number {self.id} or name {self.name!r} is there twice")
        return Action(self.id, self.name, self.kind)


def _begin(line: str) -> _Block:
    if line == "item {":
        return _Block("item")
    if line == "label {":
        return _Block("label")
    raise _BadLineError(f"{line!r} begins no block")
