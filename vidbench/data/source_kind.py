"""What kind of list a file evidently is, for the error of who gave it as another; nothing else looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidbench.errors import InputError

LIST = "list"
KINETICS = "kinetics"
CHARADES = "charades"
SOMETHING = "something"

_ROW = re.compile(r"\S+ [0-9]+\s*")


@contextmanager
def read_as(path: Path, kind: str) -> Iterator[None]:
    """Let an `InputError` over a file's contents say so where the file looks like one of another kind."""
    try:
        yield
    except InputError as error:
        other = evident_kind(path)
        if other in (None, kind):
            raise
        raise InputError(
            error.message.split("\n")[0], f"The file looks like one of another kind: --kind {other}"
        ) from error


def evident_kind(path: Path) -> str | None:
    """The kind of a file by its first line; None where that tells nothing."""
    try:
        with path.open("rb") as stream:
            head = stream.read(4096).decode("utf-8-sig", "replace").lstrip()
    except OSError:
        return None
    first = head.splitlines()[0] if head else ""
    columns = {cell.strip().strip('"') for cell in first.split(",")}
    if columns & {"youtube_id", "video-id"}:
        return KINETICS
    if {"id", "actions"} <= columns:
        return CHARADES
    if first.startswith("[") or re.fullmatch(r"[0-9]+;.+", first):
        return SOMETHING
    return LIST if _ROW.fullmatch(first) else None
