"""The settings of a defence as typed: what follows its name after a colon."""

from __future__ import annotations

import math

from vidbench.errors import UsageError


def parts(name: str, setting: str, most: int, form: str) -> tuple[str, ...]:
    """The parts of "3:median", at most so many; an empty setting has none.

    Raises:
        UsageError: More parts, or an empty one.
    """
    found = tuple(part.strip() for part in setting.split(":")) if setting else ()
    if len(found) > most or not all(found):
        raise UsageError(f"defence {name}:{setting}", f"Write {name}{form}.")
    return found


def whole(name: str, what: str, text: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`.

    Raises:
        UsageError: It is none.
    """
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise UsageError(f"defence {name}: {what} {text!r} is no whole number from {low} to {high}")
    return int(text)


def odd(name: str, what: str, text: str, high: int) -> int:
    """An odd number from 3 to `high`.

    Raises:
        UsageError: It is none.
    """
    if not (text.isascii() and text.isdigit()) or int(text) not in range(3, high + 1, 2):
        raise UsageError(f"defence {name}: {what} {text!r} is no odd number from 3 to {high}")
    return int(text)


def positive(name: str, what: str, text: str, below: float = math.inf) -> float:
    """A number above 0 and below `below`.

    Raises:
        UsageError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < below:
        limit = "" if below == math.inf else f" and below {below:g}"
        raise UsageError(f"defence {name}: {what} {text!r} is no number above 0{limit}")
    return value
