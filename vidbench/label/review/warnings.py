"""What on a row or a class deserves a look, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from vidbench.formats.labelset import Row, SetAction, SetVideo

RARE = 25
"""AVA leaves classes with fewer boxes in its validation set out of its measure."""

_LEAST_HEIGHT = 32
_LEAST_WIDTH = 12
_HEAVY = 0.7

_DOUBTS = {
    "joined": "two pieces of a track were joined over a gap here",
    "weak": "the link to the second before is uncertain",
    "short": "the track has few boxes",
    "crowded": "so close to another person that the two may be confused",
    "drawn": "no detector gave this box",
}

Overlap = tuple[int, float]
"""The other person, and the intersection over union of the two boxes."""


def row_warnings(row: Row, video: SetVideo, poses: Mapping[int, str], overlap: Overlap | None) -> list[str]:
    """What is odd about a row.

    Args:
        row: The row.
        video: Its video, for the size in pixels.
        poses: Names of the actions that are poses, by id; where the set has some, a person has one of them.
        overlap: As `overlaps` gives it.
    """
    found = []
    if row.actions and poses:
        held = [poses[one] for one in row.actions if one in poses]
        if not held:
            found.append("no pose")
        elif len(held) > 1:
            found.append(f"{len(held)} poses: {', '.join(held)}")
    found += [_DOUBTS[doubt] for doubt in row.doubts]
    x1, y1, x2, y2 = row.box
    width, height = round((x2 - x1) * video.width), round((y2 - y1) * video.height)
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        found.append(f"tiny box: {width} x {height} pixels")
    if overlap is not None:
        found.append(f"overlaps person {overlap[0]} by {overlap[1]:.2f}")
    return found


def overlaps(rows: Sequence[Row]) -> dict[int, Overlap]:
    """Which persons of one second overlap another so much that one of the two may be superfluous.

    Args:
        rows: All rows of a second.

    Returns:
        By person, the other that it overlaps most; persons without a heavy overlap are absent.
    """
    if len(rows) < 2:
        return {}
    boxes = np.array([row.box for row in rows])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inside = np.clip(high - low, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    shares = inside / (areas[:, None] + areas[None, :] - inside)
    np.fill_diagonal(shares, 0)
    most = shares.argmax(axis=1)
    return {
        rows[index].person: (rows[other].person, float(shares[index, other]))
        for index, other in enumerate(most.tolist())
        if shares[index, other] >= _HEAVY
    }


def class_warnings(actions: Iterable[SetAction], counts: Mapping[int, int]) -> dict[int, str]:
    """Which classes are never used or rare, by id.

    Args:
        actions: All of the set.
        counts: Rows by action.
    """
    found = {}
    for action in actions:
        number = counts.get(action.id, 0)
        if not number:
            found[action.id] = "never used"
        elif number < RARE:
            found[action.id] = f"rare: {number} of {RARE} boxes"
    return found
