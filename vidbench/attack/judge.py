"""Flags to a verdict on a robustness figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from vidbench.attack.checks.flag import Flag

Status = Literal["VALID_UPPER_BOUND", "SUSPECT", "INVALID"]

MEANING: dict[Status, str] = {
    "VALID_UPPER_BOUND": "Nothing speaks against the figure. It is an upper bound: a stronger attack may lower it.",
    "SUSPECT": "Something speaks against the figure. Look at the warnings before it is used.",
    "INVALID": "The figure does not measure robustness. The best known one, below, is an upper bound.",
}


def judge(flags: Iterable[Flag]) -> Status:
    """INVALID by any E, SUSPECT by any W, else VALID_UPPER_BOUND: no attack ever proves robustness."""
    severities = {flag.severity for flag in flags}
    if "E" in severities:
        return "INVALID"
    return "SUSPECT" if "W" in severities else "VALID_UPPER_BOUND"
