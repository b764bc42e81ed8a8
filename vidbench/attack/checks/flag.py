"""What a check says: how grave it is, the numbers it rests on, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["E", "W", "I", "pass"]
"""E makes a figure invalid, W makes it suspect, I is worth knowing, pass is a check that found nothing."""

_ORDER: dict[Severity, int] = {"E": 0, "W": 1, "I": 2, "pass": 3}


@dataclass(frozen=True)
class Flag:
    """The outcome of one check.

    Attributes:
        id: "C5"; R checks compare with a run's own figure.
        title: What was looked at, in a few words.
        severity: How grave it is.
        evidence: The numbers, in one sentence.
        remedy: What to do about it; empty where nothing is wrong.
    """

    id: str
    title: str
    severity: Severity
    evidence: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def gravest_first(flags: Iterable[Flag]) -> list[Flag]:
    """The flags by severity; within one, in the order of their checks."""
    return sorted(flags, key=lambda flag: _ORDER[flag.severity])
