"""The columns of a row of boxes as the loaders read them: name, second, box, action."""

from __future__ import annotations

import math
import re
from pathlib import Path

from vidbench.label.check_rules.rule import Findings, Loader, Rule, rule

Corners = tuple[float, float, float, float]

SECONDS = range(902, 1799)
"""The keyframes that PySlowFast and PyTorchVideo know."""
FIRST_SECOND = 900
"""The second of a video's first frame."""
FPS = 30
ACTIONS = range(1, 81)

NAME = rule(
    "name-unusable",
    "error",
    "Rename the video everywhere to letters, digits, _ and -.",
    pyslowfast="a frame list is split at blanks, so no list can hold the name",
    mmaction2="looks for a folder of exactly this name",
    pytorchvideo="a frame list is split at blanks, so no list can hold the name",
)
QUOTES = rule(
    "row-quoted",
    "error",
    "Write the fields without quotes.",
    every="splits the line at commas and keeps the quotes: ValueError, or a name with quotes",
)
HEADER = rule("row-header", "error", "Take the header out.", every="ValueError: it reads the header as a row")
FRACTION = rule(
    "second-fraction",
    "error",
    "Write whole seconds with four digits, as 0902.",
    pyslowfast="ValueError: int() does not read it",
    mmaction2="ValueError: int() does not read it",
)
FRACTION_BETWEEN = rule(
    "second-between",
    "error",
    "Write whole seconds with four digits, as 0902.",
    pyslowfast="ValueError: int() does not read it",
    mmaction2="ValueError: int() does not read it",
    pytorchvideo="takes a clip around a moment that is no keyframe",
)
UNREADABLE = rule(
    "second-unreadable", "error", "Write whole seconds with four digits, as 0902.", every="ValueError: it is no number"
)
RANGE = rule(
    "second-range",
    "error",
    "Write second t of a video as 900 + t, and use 902 to 1798 alone.",
    pyslowfast="KeyError",
    mmaction2="with its default timestamp_start and timestamp_end, reads the first or the last frame again and again",
    pytorchvideo="passes over the row without a word",
)
UNPADDED = rule("second-unpadded", "note", "AVA writes four digits, as 0902; every loader reads it without them, too.")
BOX_UNREADABLE = rule(
    "box-unreadable",
    "error",
    "Write x1,y1,x2,y2 as fractions with three decimals.",
    every="ValueError: it is no number",
)
BOX_NAN = rule(
    "box-not-finite",
    "error",
    "Write the box anew, or take the row out.",
    every="reads it without a word, and the loss becomes NaN or the box lies nowhere",
)
BOX_ORDER = rule(
    "box-order",
    "error",
    "Exchange the corners: x1 < x2 and y1 < y2.",
    pyslowfast="pools features of a region without area; the scorer leaves the box out",
    mmaction2="pools features of a region without area; the scorer leaves the box out",
    pytorchvideo="gives the box as it is",
)
BOX_RANGE = rule(
    "box-range",
    "error",
    "Divide pixels by the width and height of the frame and clip to 0 and 1.",
    pyslowfast="clips the box to the frame",
    mmaction2="takes the box as it is",
    pytorchvideo="gives the box as it is",
)
ACTION_UNREADABLE = rule(
    "action-unreadable", "error", "Write the action's number.", every="ValueError: it is no number"
)
ACTION_OVER = rule(
    "action-over-80",
    "error",
    "Give the actions numbers from 1 to 80: `vidbench label relabel`.",
    pyslowfast="AssertionError when the row is trained on",
    mmaction2="IndexError, unless num_classes is greater than the number",
)
ACTION_UNLISTED = rule(
    "action-unlisted",
    "error",
    "Add the action to the action list, or correct the number.",
    pyslowfast="trains on it and never scores it",
    mmaction2="trains on it and never scores it",
    pytorchvideo="passes over the row if it is given the action list",
)

_NAME = re.compile(r'[^\s"/\\,\x00-\x1f\x7f-\x9f\ufeff]+')
_FOUR_DIGITS = re.compile("[0-9]{4,}")


def check_name(path: Path, line: int, name: str, found: Findings, readers: tuple[Loader, ...]) -> None:
    """Whether a video of this name can be found by its name."""
    if not _NAME.fullmatch(name):
        found.add(NAME, path, line, f"{name!r}: {_name_problem(name)}", readers)


def is_header(fields: list[str]) -> bool:
    """Whether the fields of the first line name columns: letters where numbers must be."""
    return len(fields) > 1 and all(re.match("[A-Za-z_ ]", text.strip('" ')) for text in fields[1:])


def second_of(path: Path, line: int, text: str, found: Findings, readers: tuple[Loader, ...]) -> int | None:
    """The second of a row; None, and a finding, where a loader does not read one."""
    try:
        second = int(text)
    except ValueError:
        second = -1
    else:
        if second not in SECONDS:
            found.add(RANGE, path, line, f"second {text} is not in {SECONDS[0]} to {SECONDS[-1]}", readers)
            return None
        if not _FOUR_DIGITS.fullmatch(text):
            found.add(UNPADDED, path, line, f"second {text!r} has not four digits", readers)
        return second
    value = number_of(text)
    if value is None or not math.isfinite(value):
        found.add(UNREADABLE, path, line, f"second {text!r}", readers)
        return None
    whole = value == int(value)
    found.add(FRACTION if whole else FRACTION_BETWEEN, path, line, f"second {text!r} is no whole number", readers)
    return int(value) if whole and int(value) in SECONDS else None


def box_of(
    path: Path, line: int, texts: list[str], found: Findings, readers: tuple[Loader, ...], empty: Rule = BOX_ORDER
) -> Corners | None:
    """The box of a row; None, and a finding, where it is none.

    Args:
        path: The file.
        line: The line.
        texts: Four of them.
        found: Where findings go.
        readers: The loaders that read this file.
        empty: The rule that a box without width or height breaks.
    """
    values = [number_of(text) for text in texts]
    told = ",".join(texts)
    if None in values:
        found.add(BOX_UNREADABLE, path, line, f"box {told}", readers)
        return None
    x1, y1, x2, y2 = (value for value in values if value is not None)
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        found.add(BOX_NAN, path, line, f"box {told}", readers)
        return None
    if x1 > x2 or y1 > y2:
        found.add(BOX_ORDER, path, line, f"box {told}: the first corner is not above and left of the second", readers)
        return None
    if x1 == x2 or y1 == y2:
        found.add(empty, path, line, f"box {told} has no area", readers)
        return None
    if min(x1, y1) < 0 or max(x2, y2) > 1:
        pixels = " (pixels?)" if max(x2, y2) > 2 else ""
        found.add(BOX_RANGE, path, line, f"box {told} is not within 0 to 1{pixels}", readers)
    return x1, y1, x2, y2


def number_of(text: str) -> float | None:
    """What Python's `float` makes of a text, as the loaders call it; None where it refuses."""
    try:
        return float(text)
    except ValueError:
        return None


def whole_of(text: str) -> int | None:
    """What Python's `int` makes of a text; None where it refuses."""
    try:
        return int(text)
    except ValueError:
        return None


def _name_problem(name: str) -> str:
    if not name:
        return "no name"
    if any(letter.isspace() for letter in name):
        return "a blank in the name"
    return "a slash, a quote or a control character in the name"
