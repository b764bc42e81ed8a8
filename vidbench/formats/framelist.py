"""The frame list: which JPEG file is which frame of which video, as PySlowFast reads it for AVA and Charades."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError, disk_errors
from vidbench.formats.kinetics import SHOWN_PROBLEMS, line_errors

HEADER = "original_vido_id video_id frame_id path labels"
"""The first line; the misspelling is the format's. Readers drop it unread: without it every frame shifts by one."""

_WORD = re.compile(r'[^\s"\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]+')
_NUMBER = re.compile("0|[1-9][0-9]{0,17}")
_LABELS = re.compile(f'"(?:(?:{_NUMBER.pattern})(?:,(?:{_NUMBER.pattern}))*)?"')
_LINE = re.compile(f"({_WORD.pattern}) ({_NUMBER.pattern}) ({_NUMBER.pattern}) ({_WORD.pattern}) ({_LABELS.pattern})")
_SHAPE = (
    'A line is `name video_id frame_id path labels`: one blank between, whole numbers, labels as "" or "1,2". '
    "No part may have a blank."
)


@dataclass(frozen=True, slots=True)
class FrameLine:
    """One frame.

    Attributes:
        name: The video's name; what the boxes' csv calls it.
        video: The video's running number, from 0.
        frame: The frame's number in the video, from 0.
        path: The file, from the folder of the frames.
        labels: Class numbers of the frame; AVA has none here.
    """

    name: str
    video: int
    frame: int
    path: str
    labels: tuple[int, ...] = ()


def parse_frames(lines: Iterable[str], source: str | Path) -> Iterator[FrameLine]:
    """Read the lines of a frame list one by one, so that a long list takes no memory.

    Args:
        lines: The lines, with or without line ends; the first is the header.
        source: The file's name, for errors.

    Raises:
        InputError: No header, or malformed lines; told as `file:line: reason` when the last line is read.
    """
    problems: list[tuple[int, str]] = []
    number = 0
    for number, text in enumerate(lines, start=1):
        line = text.removesuffix("\n").removesuffix("\r")
        if number == 1:
            if line != HEADER:
                problems.append((1, f"the header is missing: the first line must be `{HEADER}`"))
            continue
        match = _LINE.fullmatch(line)
        if not match:
            problems.append((number, _problem(line)))
            if len(problems) > SHOWN_PROBLEMS:
                break
        elif not problems:
            labels = tuple(int(label) for label in match[5][1:-1].split(",")) if match[5] != '""' else ()
            yield FrameLine(match[1], int(match[2]), int(match[3]), match[4], labels)
    if number == 0:
        problems.append((1, f"the header is missing: the first line must be `{HEADER}`"))
    if problems:
        raise line_errors(source, problems, _SHAPE)


def dump_frames(rows: Iterable[FrameLine]) -> Iterator[str]:
    """The lines of a frame list with their line ends, the header first; `parse_frames` reads them back.

    Raises:
        InputError: A name, path or number that no reader could read back.
    """
    yield HEADER + "\n"
    for row in rows:
        labels = ",".join(map(str, row.labels))
        line = f'{row.name} {row.video} {row.frame} {row.path} "{labels}"'
        if not _LINE.fullmatch(line):
            raise InputError(f"cannot write {line!r} into a frame list: {_problem(line)}", _SHAPE)
        yield line + "\n"


def name_problem(name: str) -> str | None:
    """Why a video of this name cannot stand in a frame list; None where it can."""
    if _WORD.fullmatch(name):
        return None
    if any(letter.isspace() for letter in name):
        return "it has a blank"
    return "it is empty" if not name else "it has a quote or a control character"


def load_frames(path: Path) -> Iterator[FrameLine]:
    """Read a frame list file, line by line.

    Raises:
        InputError: The file is missing, is not UTF-8 or is malformed.
    """
    return parse_frames(read_lines(path), path)


def save_frames(path: Path, rows: Iterable[FrameLine]) -> int:
    """Write a frame list, whole or not at all, row by row; gives how many rows there were."""
    return save_lines(path, dump_frames(rows)) - 1


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file, split at LF alone.

    Raises:
        InputError: The file is missing, cannot be read or is not UTF-8.
    """
    number = 0
    try:
        with path.open("rb") as stream:
            for line in stream:
                number += 1
                yield line.decode()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "Give the path of the file.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not UTF-8: {error.reason}", "Save the file as UTF-8 text.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def save_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines to a file, so that a reader sees the old file or the whole new one; gives how many there were."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    count = 0
    with disk_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                for line in lines:
                    stream.write(line)
                    count += 1
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return count


def _problem(line: str) -> str:
    if not line.strip():
        return "an empty line"
    fields = line.split(" ")
    if len(fields) != 5:
        return f"{len(fields)} fields between single blanks, not 5"
    for name, text in (("original_vido_id", fields[0]), ("path", fields[3])):
        if not _WORD.fullmatch(text):
            return f"{name} {text!r}: {name_problem(text)}"
    for name, text in (("video_id", fields[1]), ("frame_id", fields[2])):
        if not _NUMBER.fullmatch(text):
            return f"{name} {text!r} is not a whole number of 0 or more"
    return f'labels {fields[4]!r}, not "" or as "1,2"'
