"""AVA's boxes as columns of numbers, read as the published scorers read them, and quickly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path

import numpy as np

from vidbench.formats.framelist import read_lines
from vidbench.formats.kinetics import line_errors
from vidbench.model.ava_map import Boxes, Ints

_BLOCK = 20_000
"""Lines that are taken apart at once."""

_LARGEST = 2**31
_BOX = "x1 <= x2 and y1 <= y2"


@dataclass(frozen=True)
class Shape:
    """What lines a scorer takes.

    Attributes:
        columns: How many columns a line may have: 2 is a second without boxes, 7 a box without a score (it is 1),
            8 a box with a score, or in ground truth the person's number.
        whole: Seconds are whole numbers; otherwise they may have a fraction, of which six digits count.
        upright: A box whose corners are the wrong way round is an error.
    """

    columns: tuple[int, ...]
    whole: bool
    upright: bool


@dataclass(frozen=True)
class Table:
    """A file of boxes.

    Attributes:
        boxes: Its boxes in the order of the file, float64.
        images: The images that it names, those of two columns with them, in the order in which they appear.
        lines: How many lines there are, empty ones not counted.
    """

    boxes: Boxes
    images: Ints
    lines: int


class Images(dict[tuple[str, str], int]):
    """Numbers of images by video and second as written; two spellings of one second are one image.

    Args:
        whole: As of `Shape`.
    """

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self._whole = whole
        self._numbers: dict[tuple[str, str], int] = {}
        self.seconds: list[Decimal] = []

    def __missing__(self, key: tuple[str, str]) -> int:
        video, text = key
        second = self._second(text)
        if not video:
            raise ValueError("no video name")
        number = self._numbers.setdefault((video, f"{float(second):.6f}"), len(self._numbers))
        if number == len(self.seconds):
            self.seconds.append(second)
        self[key] = number
        return number

    def _second(self, text: str) -> Decimal:
        try:
            second = Decimal(int(text)) if self._whole else Decimal(text)
        except (ValueError, InvalidOperation):
            second = Decimal("nan")
        if not second.is_finite():
            kind = "a whole number" if self._whole else "a number"
            raise ValueError(f"the second {text.strip()!r} is not {kind}")
        return second


def load_boxes(path: Path, shape: Shape, images: Images) -> Table:
    """Read a file of boxes, `video_id,second,x1,y1,x2,y2,action,score`.

    Numbers are read as Python reads them, which is what the scorers do; coordinates may lie outside 0 to 1, actions
    may be any whole number, as -1.

    Args:
        path: A csv without a header.
        shape: Which lines there may be.
        images: Numbers of the images, which grow.

    Raises:
        InputError: The file is missing, is not UTF-8, or has malformed lines, each as `file:line: reason`.
    """
    parts: list[Boxes] = []
    images_seen: list[Ints] = []
    problems: list[tuple[int, str]] = []
    lines = 0
    for number, block in _blocks(read_lines(path)):
        part = _columns(block, shape, images)
        if part is not None:
            seen = part.image
            lines += len(block)
        else:
            part, seen, count = _row_by_row(number, block, shape, images, problems)
            lines += count
        parts.append(part)
        images_seen.append(seen)
    if problems:
        raise line_errors(path, problems, _remedy(shape))
    every = np.concatenate([np.zeros(0, dtype=np.int64), *images_seen])
    found, first = np.unique(every, return_index=True)
    return Table(joined(parts), found[np.argsort(first)], lines)


def joined(parts: Iterable[Boxes]) -> Boxes:
    """Boxes one after the other; none where there are no parts."""
    held = [_none(), *parts]
    return Boxes(
        np.concatenate([one.image for one in held]),
        np.concatenate([one.action for one in held]),
        np.concatenate([one.box for one in held]),
        np.concatenate([one.score for one in held]),
    )


def _none() -> Boxes:
    none = np.zeros(0, dtype=np.int64)
    return Boxes(none, none, np.zeros((0, 4)), np.zeros(0))


def _blocks(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Blocks of lines with the number of their first."""
    number = 1
    while block := list(islice(lines, _BLOCK)):
        if number == 1:
            block[0] = block[0].removeprefix("\ufeff")
        yield number, block
        number += len(block)


def _columns(block: list[str], shape: Shape, images: Images) -> Boxes | None:
    """All lines of a block at once; None where one of them is empty, malformed or of another width."""
    width, count = block[0].count(",") + 1, len(block)
    if width not in shape.columns or width == 2 or any(line.count(",") != width - 1 for line in block):
        return None
    # one list of all fields: a list for each line costs more than the numbers in it
    fields = ",".join(block).split(",")
    try:
        image = np.fromiter(
            map(images.__getitem__, zip(fields[::width], fields[1::width], strict=True)), np.int64, count
        )
        corners = [np.fromiter(map(float, fields[corner::width]), np.float64, count) for corner in range(2, 6)]
        action = np.fromiter(map(int, fields[6::width]), np.int64, count)
        score = np.fromiter(map(float, fields[7::width]), np.float64, count) if width == 8 else np.ones(count)
    except (ValueError, OverflowError):
        return None
    box = np.stack(corners, axis=1)
    if not (np.isfinite(box).all() and np.isfinite(score).all()) or (np.abs(action) >= _LARGEST).any():
        return None
    if shape.upright and (box[:, :2] > box[:, 2:]).any():
        return None
    return Boxes(image, action, box, score)


def _row_by_row(
    number: int, block: list[str], shape: Shape, images: Images, problems: list[tuple[int, str]]
) -> tuple[Boxes, Ints, int]:
    """The boxes of a block, the image of each line, and how many lines; what is wrong is added to `problems`."""
    held: list[tuple[int, int, tuple[float, ...], float]] = []
    seen: list[int] = []
    for at, line in enumerate(block, start=number):
        if not line.strip():
            continue
        fields = line.rstrip("\r\n").split(",")
        try:
            if len(fields) not in shape.columns:
                raise ValueError(f"{len(fields)} columns, not {_either(shape.columns)}")
            image = images[fields[0], fields[1]]
            if len(fields) > 2:
                held.append((image, *_values(fields, shape)))
            seen.append(image)
        except ValueError as error:
            problems.append((at, str(error)))
    if not held:
        return _none(), np.array(seen, dtype=np.int64), len(seen)
    image_numbers, actions, box, score = zip(*held, strict=True)
    part = Boxes(np.array(image_numbers), np.array(actions), np.array(box, dtype=float), np.array(score, dtype=float))
    return part, np.array(seen, dtype=np.int64), len(seen)


def _values(fields: Sequence[str], shape: Shape) -> tuple[int, tuple[float, ...], float]:
    names = ("x1", "y1", "x2", "y2")
    box = tuple(_real(name, text) for name, text in zip(names, fields[2:6], strict=True))
    if shape.upright and (box[0] > box[2] or box[1] > box[3]):
        raise ValueError(f"the box {','.join(fields[2:6])} is not {_BOX}")
    try:
        action = int(fields[6])
    except ValueError:
        raise ValueError(f"the action {fields[6]!r} is not a whole number") from None
    if abs(action) >= _LARGEST:
        raise ValueError(f"the action {action} is too large")
    return action, box, _real("the last column", fields[7]) if len(fields) == 8 else 1.0


def _real(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} {text!r} is not a number")
    return value


def _either(columns: Sequence[int]) -> str:
    *others, last = map(str, columns)
    return f"{', '.join(others)} or {last}" if others else last


def _remedy(shape: Shape) -> str:
    box = "`video_id,second,x1,y1,x2,y2,action"
    kinds = {
        2: "`video_id,second`",
        7: f"{box}`",
        8: f"{box},score`, of ground truth with the person in the last column",
    }
    told = ", or ".join(kinds[width] for width in shape.columns)
    seconds = "whole seconds" if shape.whole else "seconds"
    return f"A line is {told}; {seconds}; no header. Scorers differ in the lines that they read: see --scorer."
