"""What an AVA export came to: its counts, and what readers of it must be told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from vidbench.label.ava_frames import FailedPart, FramesMade
from vidbench.label.ava_plan import LeftOut, Outside, Plan
from vidbench.label.ava_rows import Merged, SplitRows, merged

THRESHOLDS = (Decimal("0.9"), Decimal("0.8"))
"""Scores below which boxes are left aside: by default in PySlowFast and MMAction2, and in PySlowFast's shipped
configurations."""


@dataclass(frozen=True)
class SplitCounts:
    """What a split has.

    Attributes:
        videos: Of the set.
        parts: Videos of the export.
        keyframes: With persons in its files.
        persons: Persons at keyframes in its files.
        labels: Rows of ground truth.
        negatives: Persons of whom somebody said that they do none of the actions.
        excluded: Keyframes that are not to be scored.
        untouched: Persons at keyframes left out as nobody has looked at them.
        withheld: Persons with an answer left out as another one of their keyframe has none.
    """

    videos: int
    parts: int
    keyframes: int
    persons: int
    labels: int
    negatives: int
    excluded: int
    untouched: int
    withheld: int


@dataclass(frozen=True)
class ExportAvaResult:
    """What was exported.

    Attributes:
        out: The folder.
        reviewed: Whether anybody has answered for any person of the set; else there is no ground truth.
        trainable: Whether there is ground truth for training.
        splits: What each split has; those without a usable video are not there.
        made: Videos of the export whose frames this call made.
        frames: Files of all frames.
        bytes: Of all these files.
        failed: Parts without frames, which are in no file.
        left_out: Videos and parts without a usable row.
        outside: Keyframes that no loader can take.
        merged: Persons whom a loader takes for one.
        full_test_on_val: Whether PySlowFast needs `AVA.FULL_TEST_ON_VAL`.
        threshold: The score threshold that leaves every video a box, at most 0.9.
        removed: Files and folders of an earlier export that were removed, from the folder.
        remarks: What else the user should know, a sentence or two each.
    """

    out: Path
    reviewed: bool
    trainable: bool
    splits: Mapping[str, SplitCounts]
    made: int
    frames: int
    bytes: int
    failed: tuple[FailedPart, ...]
    left_out: tuple[LeftOut, ...]
    outside: tuple[Outside, ...]
    merged: tuple[Merged, ...]
    full_test_on_val: bool
    threshold: float
    removed: tuple[str, ...]
    remarks: tuple[str, ...]


def result_of(out: Path, plan: Plan, splits: Sequence[SplitRows], made: FramesMade) -> ExportAvaResult:
    """The figures of an export, without remarks.

    Args:
        out: The folder.
        plan: What the set has.
        splits: What goes into the files.
        made: What became of the frames.
    """
    threshold = _threshold(splits)
    return ExportAvaResult(
        out=out,
        reviewed=plan.reviewed,
        trainable=plan.reviewed and any(split.name == "train" for split in splits),
        splits={split.name: _counts(split) for split in splits},
        made=made.made,
        frames=made.frames,
        bytes=made.bytes,
        failed=made.failed,
        left_out=plan.left_out,
        outside=plan.outside,
        merged=tuple(one for split in splits for rows in split.rows for one in merged(rows)),
        full_test_on_val=any(
            not any(person.timestamp % 4 == 0 and person.score >= threshold for person in rows.persons)
            for split in splits
            if split.name == "val"
            for rows in split.rows
        ),
        threshold=float(threshold),
        removed=(),
        remarks=(),
    )


def _counts(split: SplitRows) -> SplitCounts:
    rows = split.rows
    return SplitCounts(
        videos=len({video.id for video, _ in split.parts}),
        parts=len(rows),
        keyframes=sum(len(one.timestamps) for one in rows),
        persons=sum(len(one.persons) for one in rows),
        labels=sum(len(person.actions or ()) for one in rows for person in one.persons),
        negatives=sum(person.actions == () for one in rows for person in one.persons),
        excluded=sum(len(one.excluded) for one in rows),
        untouched=sum(one.untouched for one in rows),
        withheld=sum(one.withheld for one in rows),
    )


def _threshold(splits: Iterable[SplitRows]) -> Decimal:
    """The highest usual threshold that leaves every video a box, or the highest number of two digits that does."""
    least = min(max(person.score for person in rows.persons) for split in splits for rows in split.rows)
    for usual in THRESHOLDS:
        if least >= usual:
            return usual
    return Decimal(math.floor(least * 100)) / 100
