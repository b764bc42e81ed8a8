"""Files of excluded and of included seconds."""

from __future__ import annotations

from pathlib import Path

from vidbench.label.check_rules.columns import whole_of
from vidbench.label.check_rules.rule import Findings, Loader, rule
from vidbench.label.check_rules.text import lines_of

READERS: tuple[Loader, ...] = ("pyslowfast", "mmaction2")

MISSING = rule(
    "excluded-missing",
    "error",
    "Write the file, empty if nothing is excluded.",
    pyslowfast="FileNotFoundError at the start, also for training, as it opens AVA.EXCLUSION_FILE",
    mmaction2="FileNotFoundError if the configuration names it; None is allowed",
)
COLUMNS = rule(
    "excluded-columns",
    "error",
    "Write video,second.",
    pyslowfast="AssertionError or TypeError",
    mmaction2="ValueError: it unpacks two values",
)
SECOND = rule(
    "excluded-second",
    "error",
    "Write whole seconds with four digits, as 0902.",
    pyslowfast="ValueError: int() does not read it",
    mmaction2="ValueError: int() does not read it",
)
UNKNOWN = rule("excluded-video-unknown", "note", "A name that the split does not have excludes nothing: correct it.")
INCLUDED = rule("included-second", "note", "Write one second a line, as 0902; no loader reads the file.")


def check_excluded(path: Path, found: Findings) -> dict[str, int]:
    """Check a file of excluded seconds; gives the first line of each video."""
    videos: dict[str, int] = {}
    for line, text in lines_of(path, found, READERS):
        fields = text.strip().split(",")
        if len(fields) != 2:
            found.add(COLUMNS, path, line, f"{len(fields)} columns, not 2", READERS)
            continue
        if whole_of(fields[1]) is None:
            found.add(SECOND, path, line, f"second {fields[1]!r} is no whole number", READERS)
        videos.setdefault(fields[0], line)
    return videos


def check_included(path: Path, found: Findings) -> None:
    """Check a file of included seconds."""
    for line, text in lines_of(path, found, (), loose=True):
        if not (text.strip().isdigit() and len(text.strip()) == 4):
            found.add(INCLUDED, path, line, f"{text[:40]!r} is no second of four digits")
