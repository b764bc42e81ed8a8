"""What of a labelled set goes into an AVA export: parts, their rows, and what is left out for which reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from vidbench.errors import InputError
from vidbench.formats.labelset import Row, SetFile, SetVideo, Split
from vidbench.label.ava_rows import PartRows, SplitRows, is_reviewed, outside, rows_of, unknown_actions
from vidbench.label.parts import parts_of
from vidbench.label.store import TRACKS, LabelSet

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A video or part that is in no file, as no row of it can be used.

    Attributes:
        id: The export's name of it, or the set's where it has no part.
        video: The set's name of the video.
        split: The split that it would be in.
        reason: Why, in a few words.
    """

    id: str
    video: str
    split: Split
    reason: str


@dataclass(frozen=True, slots=True)
class Outside:
    """Keyframes of a video that no loader can take: too near to an end.

    Attributes:
        video: The set's name.
        seconds: Of the video, rising.
    """

    video: str
    seconds: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What a set has for an export, before its frames are looked at.

    Attributes:
        content: The set.
        reviewed: Whether anybody has answered for any person.
        parts: What can be used, each part with its video, in the order of the set.
        known: The export's names of all parts of all videos of the set, used or not.
        left_out: Videos and parts without a usable row.
        outside: Keyframes that no loader can take.
    """

    content: SetFile
    reviewed: bool
    parts: tuple[tuple[SetVideo, PartRows], ...]
    known: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    outside: tuple[Outside, ...]


def plan_export(labels: LabelSet) -> Plan:
    """Look at all rows of a set.

    Raises:
        InputError: A malformed set, an action that it does not have, or nothing that could be exported.
    """
    content = labels.load()
    rows = {video.id: labels.rows(video.id) for video in content.videos}
    _refuse_unknown(labels, content, rows)
    reviewed = is_reviewed(row for all_rows in rows.values() for row in all_rows)
    cut = parts_of(content.videos)
    used: list[tuple[SetVideo, PartRows]] = []
    left_out: list[LeftOut] = []
    beyond: list[Outside] = []
    for video in content.videos:
        parts = cut[video.id]
        if not parts:
            left_out.append(
                LeftOut(video.id, video.id, video.split, "shorter than 4 s: no clip around a second is whole")
            )
        for part in parts:
            found = rows_of(part, rows[video.id], reviewed=reviewed, training=video.split == "train")
            reason = _unusable(found, rows[video.id], reviewed)
            if reason is None:
                used.append((video, found))
            else:
                left_out.append(LeftOut(part.id, video.id, video.split, reason))
        seconds = outside(parts, rows[video.id])
        if seconds:
            beyond.append(Outside(video.id, seconds))
    if not used:
        first = f"; the first: {left_out[0].id}, {left_out[0].reason}" if left_out else ""
        raise InputError(
            f"{labels.folder}: no video has a person that could be exported{first}",
            "Answer for persons that are at least 2 s from both ends of their video: vidbench label review.",
        )
    known = tuple(part.id for parts in cut.values() for part in parts)
    return Plan(content, reviewed, tuple(used), known, tuple(left_out), tuple(beyond))


def _unusable(found: PartRows, rows: Sequence[Row], reviewed: bool) -> str | None:
    """Why a part goes into no file; None where it does."""
    if (any(one.actions for one in found.persons)) if reviewed else found.persons:
        return None
    if not any(row.second in found.part.keyframes for row in rows):
        return "no person at any keyframe"
    if found.excluded:
        return "at every keyframe with an action somebody is still without an answer"
    if found.persons:
        return "nobody does any of the actions"
    return "nobody has answered for any person"


def _refuse_unknown(labels: LabelSet, content: SetFile, rows: Mapping[str, Sequence[Row]]) -> None:
    for video, all_rows in rows.items():
        for row, action in unknown_actions(all_rows, content.actions):
            raise InputError(
                f"{labels.home(video) / TRACKS}: person {row.person} at second {row.second} has action {action}, "
                "which set.json does not have",
                "Add the action to set.json, or take it off the row: vidbench label check.",
            )


def by_split(parts: Iterable[tuple[SetVideo, PartRows]]) -> list[SplitRows]:
    """Parts by split, train first; a split without parts is not there."""
    held = list(parts)
    found = [SplitRows(name, [one for one in held if one[0].split == name]) for name in SPLITS]
    return [split for split in found if split.parts]
