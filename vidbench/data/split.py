"""Which side of a split a video falls on: by its source video and a seed, never by its neighbours."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping

from vidbench.errors import UsageError

TRAIN = "train"
BY_PATTERN = "pattern"
BY_NAME = "kinetics name"
BY_FILE = "file name"

_SHARE = re.compile(r"([A-Za-z0-9_-]+)=(\d*\.?\d+)")
_CLIP = re.compile(r"(.+)_\d{6}_\d{6}", re.DOTALL)
_EXAMPLE = "Give shares as val=0.1,test=0.1; what is left is train."


def parse_shares(text: str) -> dict[str, float]:
    """Shares of a split, as `val=0.1,test=0.1`: the rest is `train`, unless it is given or nothing is left.

    Returns:
        Side to share, by name, `train` last; the shares add up to 1.

    Raises:
        UsageError: Not of that form, a share outside (0, 1), or a sum that is not 1.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        match = _SHARE.fullmatch(part.strip())
        if match is None or not 0 < float(match[2]) < 1:
            raise UsageError(f"--split {text!r}: {part.strip()!r} is not a name with a share between 0 and 1", _EXAMPLE)
        if match[1] in shares:
            raise UsageError(f"--split {text!r}: {match[1]} is given twice", _EXAMPLE)
        shares[match[1]] = float(match[2])
    left = 1 - math.fsum(shares.values())
    if left < -1e-9 or (TRAIN in shares and left > 1e-9):
        raise UsageError(f"--split {text!r}: the shares add up to {math.fsum(shares.values()):g}, not 1", _EXAMPLE)
    if left > 1e-9:
        shares[TRAIN] = left
    return dict(sorted(shares.items(), key=lambda pair: (pair[0] == TRAIN, pair[0])))


def compile_pattern(text: str | None) -> re.Pattern[str] | None:
    """A pattern whose first group is the source video.

    Raises:
        UsageError: Not a regular expression, or one without a group.
    """
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--source-pattern {text!r} is not a regular expression: {error}") from error
    if not pattern.groups:
        raise UsageError(
            f"--source-pattern {text!r} has no group", "Put the part that names the source in brackets, as (g[0-9]+)_c."
        )
    return pattern


def source_of(name: str, pattern: re.Pattern[str] | None = None) -> tuple[str, str]:
    """The source video of a file, and what told it.

    In this order: the first group of the pattern where it is found in the name, the id of a Kinetics name
    `<id>_<start>_<end>`, the file's name without its ending.
    """
    found = pattern.search(name) if pattern else None
    if found and found[1]:
        return found[1], BY_PATTERN
    stem = os.path.splitext(name)[0]
    clip = _CLIP.fullmatch(stem)
    return (clip[1], BY_NAME) if clip else (stem, BY_FILE)


def side_of(source: str, seed: int, shares: Mapping[str, float]) -> str:
    """The side that a source falls on.

    A number between 0 and 1, drawn from the SHA-256 of seed and source, is laid over the shares. It hangs on
    nothing else, so further videos move none, and all clips of a source stay together; sides have their shares
    on average, not exactly.
    """
    digest = hashlib.sha256(f"{seed}\0{source}".encode("utf-8", "surrogateescape")).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    *first, last = shares
    upper = 0.0
    for side in first:
        upper += shares[side]
        if place < upper:
            return side
    return last
