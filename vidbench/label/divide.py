"""label split: which videos of a set are for training, for validation and for test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vidbench.data.split import side_of
from vidbench.formats.labelset import SetFile, Split
from vidbench.label.store import LabelSet
from vidbench.progress import Reporter, SilentReporter


class SplitRequest(BaseModel):
    """How to split.

    Attributes:
        set: The folder of the set.
        val: Share of the videos for validation.
        test: Share for test.
        seed: What else decides where a video falls.
        dry_run: Only say what would change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: Path
    val: float = Field(default=0.2, ge=0, lt=1, allow_inf_nan=False)
    test: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    seed: int = 0
    dry_run: bool = False

    @model_validator(mode="after")
    def _leaves_some(self) -> SplitRequest:
        if self.val + self.test >= 1:
            raise ValueError("val and test together must be less than 1, so that something is left for training")
        return self


@dataclass(frozen=True)
class Part:
    """A part of the set.

    Attributes:
        split: Its name.
        videos: Ids of its videos.
        rows: How many rows they have.
        labelled: How many of them have an action.
        lacks: Names of the actions that the set has, but none of these videos.
    """

    split: Split
    videos: tuple[str, ...]
    rows: int
    labelled: int
    lacks: tuple[str, ...]


@dataclass(frozen=True)
class SplitResult:
    """How a set is split.

    Attributes:
        set: The folder of the set.
        parts: Train, val and test; the ones without a share and without videos are left out.
        changed: Videos that are in another part than before.
        moved: Videos that their hash puts elsewhere: into training, so that an action of several videos is there, or
            into a part that would be empty.
        dry_run: Whether nothing was written.
        notes: What a person should know.
    """

    set: str
    parts: tuple[Part, ...]
    changed: tuple[str, ...]
    moved: tuple[str, ...]
    dry_run: bool
    notes: tuple[str, ...] = ()


def divide(request: SplitRequest, reporter: Reporter | None = None) -> SplitResult:
    """Assign each video of a set to a part of it.

    A video falls where a number drawn from the SHA-256 of seed and id lies, so further videos move none, and parts
    have their shares on average, not exactly. Then, as long as an action of two videos or more has none for training,
    one of its videos is taken for it, of the part that has most of them. Last, a part that is asked for and empty
    takes a video of the largest part: a set without validation is of little use. In both cases the videos that are
    moved depend on the others, and later ones may change them.

    Raises:
        InputError: The set is malformed.
        RunConflictError: Another process works on the set.
    """
    reporter = reporter or SilentReporter()
    labels = LabelSet.open(request.set)
    with nullcontext() if request.dry_run else labels.hold():
        content = labels.load()
        counts = {one.id: [tuple(row.actions or ()) for row in labels.rows(one.id)] for one in content.videos}
        classes = {video: {one for row in rows for one in row} for video, rows in counts.items()}
        sides, moved = assign(classes, request.seed, request.val, request.test)
        changed = tuple(one.id for one in content.videos if one.split != sides[one.id])
        if changed and not request.dry_run:
            labels.save(replace(content, videos=tuple(replace(one, split=sides[one.id]) for one in content.videos)))
    parts = _parts(content, sides, counts, classes)
    notes = _notes(request, parts, classes, moved)
    for note in notes:
        reporter.info(note)
    return SplitResult(str(request.set), parts, changed, moved, request.dry_run, notes)


def assign(
    classes: Mapping[str, set[int]], seed: int, val: float, test: float
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The part of each video, and the videos that are in another one than where they fall.

    Args:
        classes: The actions of each video, by its id.
        seed: Decides where videos fall, together with their ids.
        val: Share.
        test: Share.
    """
    shares = {"val": val, "test": test, "train": 1 - val - test}
    fallen = {video: side_of(video, seed, shares) for video in classes}
    sides: dict[str, Split] = {video: _split(side) for video, side in fallen.items()}
    moved: list[str] = []
    for action in sorted({one for found in classes.values() for one in found}):
        having = sorted(video for video, found in classes.items() if action in found)
        if len(having) < 2 or any(sides[video] == "train" for video in having):
            continue
        # of the larger part, the one with the fewest other actions: it takes least away
        most = max(("val", "test"), key=lambda side: sum(sides[video] == side for video in having))
        chosen = min(
            (video for video in having if sides[video] == most), key=lambda video: (len(classes[video]), video)
        )
        sides[chosen] = "train"
        moved.append(chosen)
    for side in ("train", "val", "test"):
        if shares[side] and side not in sides.values():
            taken = _spare(sides, classes, seed, side)
            if taken is not None:
                sides[taken] = _split(side)
                moved = [video for video in moved if video != taken] + [taken] * (fallen[taken] != side)
    return sides, tuple(sorted(moved))


def _spare(sides: Mapping[str, Split], classes: Mapping[str, set[int]], seed: int, side: str) -> str | None:
    """A video of the largest part, one whose actions the others of that part have, too, where there is one."""
    sizes = {name: [video for video in sides if sides[video] == name] for name in get_args(Split)}
    largest = max(sizes.values(), key=len)
    if len(largest) < 2:
        return None

    def lost(video: str) -> set[int]:
        return classes[video] - set().union(*(classes[other] for other in largest if other != video))

    def kept(action: int) -> bool:
        return sum(action in found for found in classes.values()) > 1

    # what training has of several videos it keeps
    free = [video for video in largest if sides[video] != "train" or not any(map(kept, lost(video)))]
    drawn = {video: hashlib.sha256(f"{seed}\0{side}\0{video}".encode()).hexdigest() for video in free}
    return min(free, key=lambda video: (len(lost(video)), drawn[video]), default=None)


def _split(text: str) -> Split:
    return next(one for one in get_args(Split) if one == text)


def _parts(
    content: SetFile,
    sides: Mapping[str, Split],
    counts: Mapping[str, Sequence[tuple[int, ...]]],
    classes: Mapping[str, set[int]],
) -> tuple[Part, ...]:
    everywhere = set().union(*classes.values())
    parts: list[Part] = []
    for split in get_args(Split):
        videos = tuple(one.id for one in content.videos if sides[one.id] == split)
        if not videos and split == "test":
            continue
        here = set().union(*(classes[one] for one in videos))
        parts.append(
            Part(
                split,
                videos,
                sum(len(counts[one]) for one in videos),
                sum(bool(row) for one in videos for row in counts[one]),
                tuple(one.name for one in content.actions if one.id in everywhere - here),
            )
        )
    return tuple(parts)


def _notes(
    request: SplitRequest, parts: Sequence[Part], classes: Mapping[str, set[int]], moved: Sequence[str]
) -> tuple[str, ...]:
    notes: list[str] = []
    if moved:
        notes.append(f"not where chance puts them, so that no part or action is missing: {', '.join(moved)}")
    held = {part.split: part for part in parts}
    for split, share in (("train", 1.0), ("val", request.val), ("test", request.test)):
        if share and (split not in held or not held[split].videos):
            notes.append(f"no video is for {split}: the set has too few videos")
    for part in parts:
        if part.lacks and part.videos:
            shown = ", ".join(part.lacks[:10]) + (f" and {len(part.lacks) - 10} more" if len(part.lacks) > 10 else "")
            notes.append(f"{part.split} lacks {shown}")
    if not any(classes.values()):
        notes.append("nobody has labelled an action yet: split again when the set is labelled")
    return tuple(notes)
