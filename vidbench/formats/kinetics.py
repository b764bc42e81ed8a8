"""The list of labelled videos: lines of `path label`, as PySlowFast reads them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError
from vidbench.runs import write_text_atomic

SHOWN_PROBLEMS = 20
"""How many problems of one file an error spells out."""

# PySlowFast takes a list apart with str.splitlines and str.split(" "), so nothing that either of them
# splits at may be in a path; surrogates stand for bytes that are not UTF-8.
_UNREADABLE = '\x00-\x1f"\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff'
_BAD_CHARACTER = re.compile(f"[{_UNREADABLE}]")
_PATH = re.compile(f"[^{_UNREADABLE} ]+")
_LABEL = re.compile("[0-9]{1,18}")
_LINE = re.compile(f"({_PATH.pattern}) ({_LABEL.pattern})")

_SHAPE = "A line is `path label`: a path without blanks, one blank, a class number of 0 or more."
_UNDERSCORES = (
    "Rename blanks in folder and file names to underscores, on disk and in the list: "
    "PySlowFast splits a line at every blank."
)
_NO_QUOTES = "Rename the file without the quote: programs that read the list as CSV would change or drop it."
_UTF8 = "Save the list as UTF-8 text, one line per video."


@dataclass(frozen=True, slots=True)
class ListLine:
    """One video of a list.

    Attributes:
        path: The path as it is written, without blanks.
        label: The class number, 0 or more.
        line: The line in the file, from 1.
    """

    path: str
    label: int
    line: int


def parse_list(lines: Iterable[str], source: str | Path) -> tuple[ListLine, ...]:
    """Read the lines of a list; empty ones are dropped, line ends may be LF or CRLF.

    Args:
        lines: The lines, with or without their line ends.
        source: The file's name, for errors.

    Raises:
        InputError: Some lines are malformed; the message names each as `file:line: reason`.
    """
    rows: list[ListLine] = []
    problems: list[tuple[int, str]] = []
    remedies: dict[str, None] = {}
    for number, text in enumerate(lines, start=1):
        line = text.removesuffix("\n").removesuffix("\r")
        match = _LINE.fullmatch(line)
        if match:
            rows.append(ListLine(match[1], int(match[2]), number))
        elif line.strip(" \t"):
            reason, remedy = _problem(line, first=not rows and not problems)
            problems.append((number, reason))
            remedies.setdefault(remedy)
    if problems:
        raise line_errors(source, problems, " ".join(remedies))
    return tuple(rows)


def dump_list(rows: Iterable[ListLine]) -> str:
    """The text of a list, one LF after every line; `parse_list` reads it back.

    Raises:
        InputError: A path or label that no reader of the list could read back.
    """
    parts: list[str] = []
    for row in rows:
        line = f"{row.path} {row.label}\n"
        if not _LINE.fullmatch(line, 0, len(line) - 1):
            reason, remedy = path_problem(row.path) or _label_problem(str(row.label), first=False)
            raise InputError(f"cannot write {_shown(line[:-1])} into a list: {reason}", remedy)
        parts.append(line)
    return "".join(parts)


def decode_list(data: bytes, source: str | Path) -> tuple[ListLine, ...]:
    """Read the bytes of a list: UTF-8, where one byte order mark at the very start is skipped.

    Raises:
        InputError: Not UTF-8, malformed lines, or no line at all.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{source}: UTF-16 text, not UTF-8", _UTF8)
    # bytes that are not UTF-8 become surrogates here, so that their lines are reported like any other
    text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    rows = parse_list(text.split("\n"), source)
    if not rows:
        raise InputError(f"{source}: the list is empty", _SHAPE)
    return rows


def read_list_bytes(path: Path) -> bytes:
    """The bytes of a list file.

    Raises:
        InputError: No such file, a folder, or a file that may not be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "Give the path of a list: lines of `path label`.") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a list", "Give the path of a list: lines of `path label`.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def load_list(path: Path) -> tuple[ListLine, ...]:
    """Read a list file.

    Raises:
        InputError: The file is missing, empty or malformed; see `decode_list`.
    """
    return decode_list(read_list_bytes(path), path)


def save_list(path: Path, rows: Iterable[ListLine]) -> None:
    """Write a list file, whole or not at all."""
    write_text_atomic(path, dump_list(rows))


def line_errors(source: str | Path, problems: Sequence[tuple[int, str]], remedy: str) -> InputError:
    """One error for all the problems of a file: the first 20 as `file:line: reason`, then how many more.

    Args:
        source: The file's name.
        problems: Line number and reason of each problem.
        remedy: What mends them.
    """
    told = [f"{source}:{number}: {reason}" for number, reason in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        told.append(f"... and {len(problems) - SHOWN_PROBLEMS} more")
    return InputError("\n".join(told), remedy)


def path_problem(path: str) -> tuple[str, str] | None:
    """Why `path` cannot stand in a list, and what mends it; None where it can."""
    if _PATH.fullmatch(path):
        return None
    bad = _BAD_CHARACTER.search(path)
    if bad:
        return _character_problem(bad[0])
    if not path:
        return "there is no path before the label", _SHAPE
    return f"the path {_shown(path)} has a blank in it", _UNDERSCORES


def _problem(line: str, first: bool) -> tuple[str, str]:
    bad = _BAD_CHARACTER.search(line)
    if bad:
        return _character_problem(bad[0])
    core = line.strip(" ")
    if _LABEL.fullmatch(core):
        return ("there is no path before the label" if line[0] == " " else f"{_shown(core)} alone on the line"), _SHAPE
    if core != line:
        return f"a blank at the {'start' if line[0] == ' ' else 'end'} of the line", _SHAPE
    path, blank, label = line.rpartition(" ")
    if not _LABEL.fullmatch(label) and "," in line:
        return "comma separated, where `path label` with one blank between is expected", _SHAPE
    if not blank:
        return f"no label after {_shown(line)}", _SHAPE
    if not _LABEL.fullmatch(label):
        return _label_problem(label, first)
    if path.endswith(" ") and " " not in path.rstrip(" "):
        return "more than one blank between path and label", _SHAPE
    return path_problem(path) or ("not `path label`", _SHAPE)


def _label_problem(label: str, first: bool) -> tuple[str, str]:
    if re.fullmatch("[0-9]+", label):
        return f"the label {_shown(label)} is too large", _SHAPE
    if re.fullmatch("-[0-9]+", label):
        return f"the label {label} is negative; classes count from 0", _SHAPE
    header = "; a list has no header line" if first and label.isalpha() else ""
    return f"the label {_shown(label)} is not a whole number of 0 or more{header}", _SHAPE


def _character_problem(character: str) -> tuple[str, str]:
    code = ord(character)
    if character == "\t":
        return "a tab, where one blank separates path and label", _SHAPE
    if character == '"':
        return "a double quote in the path", _NO_QUOTES
    if 0xDC80 <= code <= 0xDCFF:
        return f"not UTF-8: byte 0x{code - 0xDC00:02x}", _UTF8
    if character == "\0":
        return "a NUL character", _UTF8
    if character == "\ufeff":
        return "a byte order mark within the list", "Remove it; it is allowed at the very start of the file only."
    return f"control character U+{code:04X}", _SHAPE


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
