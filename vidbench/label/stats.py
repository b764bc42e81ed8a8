"""label stats: how many persons, boxes and actions a set has, how far people are with it, how it is spread."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict

from vidbench.formats.labelset import Group, Row, SetFile, SetVideo, Split
from vidbench.label.store import LabelSet
from vidbench.progress import Reporter, SilentReporter

_SPLITS: tuple[Split, ...] = get_args(Split)
_GROUPS: tuple[Group, ...] = get_args(Group)


class StatsRequest(BaseModel):
    """What to count.

    Attributes:
        folder: The folder of the set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread; all 0 where there are none.

    Attributes:
        count: How many there are.
        least: The least.
        median: The one in the middle.
        mean: The mean.
        most: The greatest.
    """

    count: int
    least: float
    median: float
    mean: float
    most: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What a part of a set has.

    Attributes:
        videos: Videos.
        seconds: Their length.
        keyframes: Their keyframes, those without persons included.
        peopled: Keyframes with a person.
        persons: Persons; a person of two videos counts twice.
        boxes: Persons at keyframes, the rows of `tracks.jsonl`.
        answered: Rows that somebody has looked at.
        untouched: Rows that nobody has looked at.
        no_action: Answered rows of a person who does none of the actions.
        checked: Rows that a second look confirmed.
        doubtful: Rows that deserve a look and had no second one.
        drawn: Rows whose box no detector gave.
        labels: Actions of persons at keyframes, the rows of AVA's files.
    """

    videos: int
    seconds: float
    keyframes: int
    peopled: int
    persons: int
    boxes: int
    answered: int
    untouched: int
    no_action: int
    checked: int
    doubtful: int
    drawn: int
    labels: int


@dataclass(frozen=True, slots=True)
class ActionCount:
    """How often persons do an action.

    Attributes:
        id: The action's number.
        name: Its name.
        group: What it is about.
        count: Rows with it.
        by_split: The same for each split that has videos.
    """

    id: int
    name: str
    group: Group
    count: int
    by_split: dict[str, int]


@dataclass(frozen=True, slots=True)
class VideoStats:
    """A video of a set.

    Attributes:
        id: Its name.
        split: Its split.
        tally: What it has.
    """

    id: str
    split: Split
    tally: Tally


@dataclass(frozen=True)
class StatsResult:
    """What a set has.

    Attributes:
        folder: The folder.
        whole: All videos together.
        splits: The same for each split that has videos.
        groups: Labels of each group of actions, for each split that has videos and for "all".
        actions: By rising number; actions that nobody does are there with 0.
        boxes_per_keyframe: Of keyframes with a person.
        heights: Heights of the boxes in pixels of the upright video.
        areas: Areas of the boxes in fractions of the frame.
        tracks: Keyframes that a person is seen at.
        videos: In the set's order.
    """

    folder: Path
    whole: Tally
    splits: dict[str, Tally]
    groups: dict[str, dict[str, int]]
    actions: tuple[ActionCount, ...]
    boxes_per_keyframe: Spread
    heights: Spread
    areas: Spread
    tracks: Spread
    videos: tuple[VideoStats, ...]


def stats(request: StatsRequest, reporter: Reporter | None = None) -> StatsResult:
    """Count what a set has.

    Raises:
        InputError: No set, or a malformed one.
    """
    reporter = reporter or SilentReporter()
    labels = LabelSet.open(request.folder)
    content = labels.load()
    used = {split: Counter[int]() for split in _SPLITS if any(video.split == split for video in content.videos)}
    per_keyframe: list[float] = []
    heights: list[float] = []
    areas: list[float] = []
    tracks: list[float] = []
    videos = []
    with reporter.task("counting", len(content.videos), "videos") as task:
        for video in content.videos:
            rows = labels.rows(video.id)
            for row in rows:
                used[video.split].update(row.actions or ())
                x1, y1, x2, y2 = row.box
                heights.append((y2 - y1) * video.height)
                areas.append((x2 - x1) * (y2 - y1))
            per_keyframe += Counter(row.second for row in rows).values()
            tracks += Counter(row.person for row in rows).values()
            videos.append(VideoStats(video.id, video.split, _tally(video, rows)))
            task.advance()
    actions = _actions(content, used)
    return StatsResult(
        folder=request.folder,
        whole=_sum(one.tally for one in videos),
        splits={split: _sum(one.tally for one in videos if one.split == split) for split in used},
        groups=_groups(actions, used),
        actions=actions,
        boxes_per_keyframe=_spread(per_keyframe),
        heights=_spread(heights),
        areas=_spread(areas),
        tracks=_spread(tracks),
        videos=tuple(videos),
    )


def _tally(video: SetVideo, rows: Sequence[Row]) -> Tally:
    return Tally(
        videos=1,
        seconds=video.duration_s,
        keyframes=len(video.keyframes),
        peopled=len({row.second for row in rows}),
        persons=len({row.person for row in rows}),
        boxes=len(rows),
        answered=sum(row.actions is not None for row in rows),
        untouched=sum(row.actions is None for row in rows),
        no_action=sum(row.actions == () for row in rows),
        checked=sum(row.checked for row in rows),
        doubtful=sum(bool(row.doubts) and not row.checked for row in rows),
        drawn=sum(row.score is None for row in rows),
        labels=sum(len(row.actions or ()) for row in rows),
    )


def _sum(tallies: Iterable[Tally]) -> Tally:
    held = list(tallies)
    return Tally(**{name: sum(getattr(one, name) for one in held) for name in Tally.__dataclass_fields__})


def _actions(content: SetFile, used: dict[Split, Counter[int]]) -> tuple[ActionCount, ...]:
    counts = []
    for action in content.actions:
        by_split = {str(split): used[split][action.id] for split in used}
        counts.append(ActionCount(action.id, action.name, action.group, sum(by_split.values()), by_split))
    return tuple(counts)


def _groups(actions: Iterable[ActionCount], used: dict[Split, Counter[int]]) -> dict[str, dict[str, int]]:
    held = list(actions)
    found: dict[str, dict[str, int]] = {}
    for group in _GROUPS:
        ours = [one for one in held if one.group == group]
        splits = {str(split): sum(one.by_split[split] for one in ours) for split in used}
        found[group] = {**splits, "all": sum(splits.values())}
    return found


def _spread(values: Sequence[float]) -> Spread:
    if not values:
        return Spread(0, 0, 0, 0, 0)
    return Spread(len(values), min(values), statistics.median(values), statistics.fmean(values), max(values))
