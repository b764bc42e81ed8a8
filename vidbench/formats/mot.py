"""MOTChallenge's files: a person's box a line, `frame,id,x,y,w,h,conf,class,visibility`, of one video."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from vidbench.errors import InputError
from vidbench.formats.given import Collector, GivenBox, GivenBoxes, VideoShape, frame_at, numbers_of_frame
from vidbench.formats.kinetics import line_errors

PERSONS = frozenset({1, 2, 7})
"""Classes of MOT16 that are persons: on foot, on a vehicle, standing still."""

_WHOLE = re.compile("-?[0-9]{1,15}")
_SHAPE = (
    "A line is `frame,id,x,y,w,h` or more columns of MOTChallenge: conf, class, visibility, or conf and three of "
    "world coordinates. Frames count from 1; x, y, w, h are pixels, with x, y the upper left corner; id -1 is unknown."
)


def parse(lines: Iterable[str], source: object, shape: VideoShape) -> GivenBoxes:
    """Read the boxes of a video.

    Frames are those of the file, counted from 1, at the video's average rate from time 0; `numbers_of_frame` says
    which moments show them. Pixels count from 0, as trackers write them; MOTChallenge's own annotations count them
    from 1 and so come out one pixel to the right and below. Ids are taken less 1, as `dump` adds 1, but as they are
    in a file that has an id 0. With 8 or 9 columns the eighth is a class, and what is no person is left out and
    counted; with 10 columns the last three are coordinates in the world, which are not looked at.

    Args:
        lines: The lines, with or without their ends; empty ones are skipped.
        source: The file's name, for errors.
        shape: The video.

    Raises:
        InputError: Malformed lines (columns that are no numbers, frames below 1, negative widths, a confidence that
            is neither -1 for "unknown" nor from 0 to 1, an id twice in a frame), each as `file:line: reason`.
    """
    collector = Collector({shape.id: shape})
    problems: list[tuple[int, str]] = []
    rows: list[tuple[int, _Row]] = []
    for line, text in enumerate(lines, start=1):
        if text.strip():
            try:
                rows.append((line, _row(text)))
            except ValueError as error:
                problems.append((line, str(error)))
    first_id = 0 if any(row.id == 0 for _, row in rows) else 1
    seen: dict[tuple[int, int], int] = {}
    for line, row in rows:
        if row.kind is not None and row.kind not in PERSONS:
            collector.not_persons += 1
            continue
        # also among frames that no moment shows, where the boxes themselves are not kept
        before = line if row.id < 0 else seen.setdefault((row.frame, row.id), line)
        if before != line:
            problems.append((line, f"id {row.id} is in frame {row.frame} before, at line {before}"))
            continue
        number = collector.moment(shape.id, numbers_of_frame(row.frame, shape.fps))
        if number is None:
            collector.unseen += 1
            continue
        collector.add(row.box(shape, number, first_id), line)
    if problems:
        raise line_errors(str(source), sorted(problems), _SHAPE)
    return collector.done()


def dump(boxes: Iterable[GivenBox], shape: VideoShape) -> Iterator[str]:
    """The lines of the boxes of a video, nine columns, by frame and id.

    A person's number is written plus 1, and -1 where it is not known; a box without a score gets the confidence 1,
    with which MOTChallenge marks boxes that count. Class and visibility are 1. Actions have no place in this format.
    Where the video has fewer than 30 frames a second, several moments may show one frame: the boxes of the first of
    these moments are written, as all of them show the same picture.

    Args:
        boxes: Boxes of this video, a person once at each moment.
        shape: The video.

    Raises:
        InputError: Boxes of another video.
    """
    chosen: dict[int, int] = {}
    rows: list[tuple[int, int, GivenBox]] = []
    for box in sorted(boxes, key=lambda one: one.number):
        if box.video != shape.id:
            raise InputError(
                f"boxes of {box.video} in a MOTChallenge file of {shape.id}", "Write a file for each video."
            )
        frame = frame_at(box.number, shape.fps)
        if chosen.setdefault(frame, box.number) == box.number:
            rows.append((frame, -1 if box.person is None else box.person + 1, box))
    for frame, person, box in sorted(rows, key=lambda one: one[:2]):
        x1, y1, x2, y2 = box.box
        x, y, w, h = x1 * shape.width, y1 * shape.height, (x2 - x1) * shape.width, (y2 - y1) * shape.height
        conf = "1" if box.score is None else f"{box.score:.6g}"
        yield f"{frame},{person},{x:.3f},{y:.3f},{w:.3f},{h:.3f},{conf},1,1\n"


class _Row:
    def __init__(self, frame: int, person: int, place: tuple[float, ...], conf: float | None, kind: int | None) -> None:
        self.frame, self.id, self.conf, self.kind = frame, person, conf, kind
        self._place = place

    def box(self, shape: VideoShape, number: int, first_id: int) -> GivenBox:
        x, y, w, h = self._place
        return GivenBox(
            shape.id,
            number,
            (x / shape.width, y / shape.height, (x + w) / shape.width, (y + h) / shape.height),
            self.conf,
            None if self.id < 0 else self.id - first_id,
        )


def _row(text: str) -> _Row:
    cells = [cell.strip() for cell in text.split(",")]
    if not 6 <= len(cells) <= 10:
        raise ValueError(f"{len(cells)} columns, not 6 to 10")
    frame = _whole("frame", cells[0])
    if frame < 1:
        raise ValueError(f"frame {frame}; frames count from 1")
    # trackers of PyTorch write ids as 3.0
    person = _whole("id", cells[1].removesuffix(".0"))
    if person < -1:
        raise ValueError(f"id {person}; ids are -1 for unknown, or 0 or more")
    place = tuple(_number(name, cell) for name, cell in zip(("x", "y", "w", "h"), cells[2:6], strict=True))
    if place[2] < 0 or place[3] < 0:
        raise ValueError(f"w {cells[4]}, h {cells[5]}: negative")
    conf = _number("conf", cells[6]) if len(cells) > 6 else -1.0
    if conf != -1 and not 0 <= conf <= 1:
        raise ValueError(f"conf {cells[6]} is neither -1 nor from 0 to 1")
    kind = _whole("class", cells[7]) if len(cells) in (8, 9) else None
    for column, cell in enumerate(cells[7:], start=8):
        _number(f"column {column}", cell)
    return _Row(frame, person, place, None if conf == -1 else conf, None if kind == -1 else kind)


def _whole(name: str, cell: str) -> int:
    if not _WHOLE.fullmatch(cell):
        raise ValueError(f"{name} {cell!r} is not a whole number")
    return int(cell)


def _number(name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} {cell!r} is not a number")
    return value
