"""The persons of a set as rows of AVA's files: which of them go where, with which score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from vidbench.formats.ava import Action, Box, Label, Predicted, Second
from vidbench.formats.labelset import Group, Row, SetAction, SetVideo, Split
from vidbench.label.parts import Part

_KINDS: Mapping[Group, str] = {
    "pose": "PERSON_MOVEMENT",
    "object": "OBJECT_MANIPULATION",
    "person": "PERSON_INTERACTION",
}
_SURE = Decimal("1.000000")


@dataclass(frozen=True, slots=True)
class Person:
    """A person at a keyframe of an export.

    Attributes:
        second: The keyframe in the source video.
        timestamp: The keyframe in the export.
        person: The number that the person has in the whole source video.
        box: Where.
        score: 1 for a box that a person drew, confirmed or gave an answer to; else the detector's.
        actions: Ids; () for "does none of them", None where nobody has looked.
    """

    second: int
    timestamp: int
    person: int
    box: Box
    score: Decimal
    actions: tuple[int, ...] | None


@dataclass(frozen=True)
class PartRows:
    """What a part has for the files of its split.

    Attributes:
        part: The part.
        persons: Those that go into the files, by timestamp and person.
        excluded: Timestamps that are not to be scored.
        untouched: Persons left out as nobody has looked at them.
        withheld: Persons left out although somebody has, as another one of their keyframe is untouched.
    """

    part: Part
    persons: tuple[Person, ...]
    excluded: tuple[int, ...] = ()
    untouched: int = 0
    withheld: int = 0

    @property
    def timestamps(self) -> tuple[int, ...]:
        """The keyframes with persons, rising."""
        return tuple(dict.fromkeys(one.timestamp for one in self.persons))

    def labels(self) -> Iterator[Label]:
        """Ground truth: a row per person and action; persons without an action have none."""
        for one in self.persons:
            for action in one.actions or ():
                yield Label(self.part.id, one.timestamp, one.box, action, one.person)

    def predicted(self) -> Iterator[Predicted]:
        """Boxes alone: a row per person, no actions."""
        for one in self.persons:
            yield Predicted(self.part.id, one.timestamp, one.box, None, one.score)

    def boxes_and_labels(self) -> Iterator[Predicted]:
        """Boxes with what they do: a row per person and action, and one of action -1 for a person without any."""
        for one in self.persons:
            for action in one.actions or (-1,):
                yield Predicted(self.part.id, one.timestamp, one.box, action, one.score)

    def proposals(self) -> Iterator[tuple[Second, NDArray[np.float64]]]:
        """`(N, 5)` boxes with scores of each keyframe that has persons."""
        for timestamp, group in groupby(self.persons, key=lambda one: one.timestamp):
            values = [[*map(float, (p.box.x1, p.box.y1, p.box.x2, p.box.y2)), float(p.score)] for p in group]
            yield Second(self.part.id, timestamp), np.array(values, dtype=np.float64)

    def excluded_seconds(self) -> Iterator[Second]:
        """The rows of the excluded timestamps."""
        return (Second(self.part.id, timestamp) for timestamp in self.excluded)


@dataclass(frozen=True)
class SplitRows:
    """A split of an export.

    Attributes:
        name: Its name.
        parts: What its parts have, with the video of each, in the order of the frame list.
    """

    name: Split
    parts: Sequence[tuple[SetVideo, PartRows]]

    @property
    def rows(self) -> list[PartRows]:
        """What its parts have."""
        return [rows for _, rows in self.parts]


@dataclass(frozen=True, slots=True)
class Merged:
    """Persons of a keyframe whom PyTorchVideo takes for one, as it compares boxes at two decimals.

    Attributes:
        id: The export's name of the part.
        video: The set's name of the video.
        second: The keyframe in the video.
        persons: Their numbers.
        exact: Whether two of them agree in all digits, so that PySlowFast and MMAction2 merge them, too.
    """

    id: str
    video: str
    second: int
    persons: tuple[int, ...]
    exact: bool


def is_reviewed(rows: Iterable[Row]) -> bool:
    """Whether anybody has answered for any person."""
    return any(row.actions is not None for row in rows)


def rows_of(part: Part, rows: Sequence[Row], *, reviewed: bool, training: bool) -> PartRows:
    """What a part has.

    In a set that nobody has reviewed everyone goes into the files, with the detector's score. In a reviewed one
    persons whom nobody has looked at do not: as boxes without actions they would teach that they do nothing. In
    training the others of their keyframe stay, as each is a sample with all its actions. For validation and test the
    whole keyframe is excluded, as what a model finds at the untouched person would count as wrong.

    Args:
        part: The part.
        rows: All rows of its video.
        reviewed: Whether anybody has answered for any person of the set.
        training: Whether the part is for training.
    """
    persons: list[Person] = []
    excluded: list[int] = []
    untouched = withheld = 0
    inside = sorted((row for row in rows if row.second in part.keyframes), key=lambda row: row.key)
    for second, group in groupby(inside, key=lambda row: row.second):
        timestamp = part.timestamp(second)
        there = [Person(second, timestamp, row.person, Box.of(*row.box), _score(row), row.actions) for row in group]
        answered = [one for one in there if one.actions is not None]
        if not reviewed:
            persons += there
            continue
        untouched += len(there) - len(answered)
        if training or len(answered) == len(there):
            persons += answered
        else:
            excluded.append(timestamp)
            withheld += len(answered)
    return PartRows(part, tuple(persons), tuple(excluded), untouched, withheld)


def outside(parts: Iterable[Part], rows: Iterable[Row]) -> tuple[int, ...]:
    """The seconds with persons that no part takes, rising: no loader could cut their clip."""
    taken = [part.keyframes for part in parts]
    return tuple(sorted({row.second for row in rows if not any(row.second in one for one in taken)}))


def merged(rows: PartRows) -> Iterator[Merged]:
    """The persons whom loaders take for one; see `Merged`."""
    for _, group in groupby(rows.persons, key=lambda one: one.timestamp):
        alike: dict[str, list[Person]] = {}
        for one in group:
            # as binary fractions, since their rounding of 0.125 is what the loader does
            box = [float(value) for value in (one.box.x1, one.box.y1, one.box.x2, one.box.y2)]
            alike.setdefault(",".join(f"{value:.2f}" for value in box), []).append(one)
        for same in alike.values():
            if len(same) > 1:
                numbers = tuple(one.person for one in same)
                exact = len({one.box for one in same}) < len(same)
                yield Merged(rows.part.id, rows.part.video, same[0].second, numbers, exact)


def unknown_actions(rows: Iterable[Row], actions: Iterable[SetAction]) -> Iterator[tuple[Row, int]]:
    """Rows with an action that the set does not have, and which."""
    known = {action.id for action in actions}
    return ((row, action) for row in rows for action in row.actions or () if action not in known)


def action_list(actions: Iterable[SetAction]) -> list[Action]:
    """A set's actions for an action list of either dialect."""
    return [Action(one.id, one.name, _KINDS[one.group]) for one in actions]


def _score(row: Row) -> Decimal:
    if row.score is None or row.checked or row.actions is not None:
        return _SURE
    return Decimal(f"{row.score:.6f}")
