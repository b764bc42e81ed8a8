"""Boxes of persons that come from outside or go there: one value for all formats, and how moments are counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby

GRID_FPS = 30
"""Moments a second of the grid on which boxes lie; second t is number `30 * t`."""

Fractions = tuple[float, float, float, float]
"""x1, y1, x2, y2 in fractions of the upright frame's width and height."""


@dataclass(frozen=True, slots=True)
class VideoShape:
    """What must be known of a video to place boxes in it that count frames and pixels.

    Attributes:
        id: Its name in the set.
        width: Pixels of the upright frame.
        height: Likewise.
        fps: Average frames a second.
    """

    id: str
    width: int
    height: int
    fps: Fraction

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or self.fps <= 0:
            raise ValueError(f"no shape of a video: {self.width} x {self.height} at {self.fps} fps")


@dataclass(frozen=True, slots=True)
class GivenBox:
    """A person's box at a moment of a video.

    Attributes:
        video: The video's id in the set.
        number: Moment of the grid of 30 a second, from 0.
        box: x1, y1, x2, y2 in fractions of the upright frame, x1 < x2 and y1 < y2; read from a file it may reach out
            of the frame, below 0 or above 1.
        score: Of a detector, 0 to 1; None where there is none.
        person: A number that the person has in the whole video, 0 or more; None where it is not known.
        actions: Ids by rising number; () for "none of them", None where the file does not say.
    """

    video: str
    number: int
    box: Fractions
    score: float | None = None
    person: int | None = None
    actions: tuple[int, ...] | None = None


@dataclass(frozen=True)
class GivenBoxes:
    """What a file of boxes says of the videos that were asked for.

    Attributes:
        boxes: By video and number; within a moment in the order of the file.
        spans: Of each of these videos that the file names: the numbers it speaks of, as rising ranges that do not
            overlap. Within a range the video shows the same picture, and its first number is the one of the boxes;
            a range without a box is a moment where the file says that there is nobody.
        others: Names of videos that the file has and that were not asked for, sorted.
        flat: Boxes left out because they have no area.
        not_persons: Boxes left out because they are of another class.
        unseen: Rows left out because their frame is not shown at any number, as every second one at 60 a second.
    """

    boxes: tuple[GivenBox, ...] = ()
    spans: Mapping[str, tuple[range, ...]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    flat: int = 0
    not_persons: int = 0
    unseen: int = 0


def number_at(time_s: Fraction) -> int:
    """The number of the grid that is nearest to a time; the later one where two are."""
    return math.floor(time_s * GRID_FPS + Fraction(1, 2))


def numbers_of_frame(frame: int, fps: Fraction) -> range:
    """The numbers that show a frame of a video whose frames come at a steady rate from time 0.

    A frame comes to the number nearest to its time, and stays until the next one comes: at 15 frames a second it has
    two numbers, at 60 every second frame has none. `vidbench.video.steady` chooses the pictures in the same way; in
    a video of variable rate the frames of its average rate are meant, so that a box may lie a few frames off.

    Args:
        frame: From 1, as MOTChallenge counts.
        fps: Frames a second.
    """
    return range(number_at((frame - 1) / fps), number_at(frame / fps))


def frame_at(number: int, fps: Fraction) -> int:
    """The frame, from 1, that is shown at a number; see `numbers_of_frame`."""
    return max(1, math.ceil((number + Fraction(1, 2)) * fps / GRID_FPS))


def by_moment(boxes: Iterable[GivenBox]) -> Iterator[tuple[tuple[str, int], list[GivenBox]]]:
    """Boxes by video and number, both rising; boxes of a moment keep their order."""
    for key, group in groupby(
        sorted(boxes, key=lambda one: (one.video, one.number)), lambda one: (one.video, one.number)
    ):
        yield key, list(group)


class Collector:
    """Takes the rows of a file of boxes one by one, and makes `GivenBoxes` of them.

    Args:
        shapes: The videos that are asked for, by each name under which a file may have them.
    """

    def __init__(self, shapes: Mapping[str, VideoShape]) -> None:
        self._shapes = shapes
        self._boxes: list[GivenBox] = []
        self._spans: dict[str, dict[int, range]] = {}
        self._others: set[str] = set()
        self._persons: dict[tuple[str, int, int], int] = {}
        self.flat = self.not_persons = self.unseen = 0

    def shape(self, name: str) -> VideoShape | None:
        """The video of a name; None, and the name is noted, where it was not asked for."""
        found = self._shapes.get(name)
        if found is None:
            self._others.add(name)
        return found

    def moment(self, video: str, numbers: range) -> int | None:
        """Note that the file speaks of a moment.

        Args:
            video: The video's id.
            numbers: The numbers that show the picture; may be empty.

        Returns:
            The number of the boxes there, None where nothing shows the picture.
        """
        if not numbers:
            return None
        self._spans.setdefault(video, {})[numbers.start] = numbers
        return numbers.start

    def add(self, box: GivenBox, line: int) -> None:
        """Take a box; one without an area is counted only.

        Args:
            box: The box.
            line: Where it stands in the file, for the message.

        Raises:
            ValueError: Its person has a box at this moment already.
        """
        if box.person is not None:
            before = self._persons.setdefault((box.video, box.number, box.person), line)
            if before != line:
                raise ValueError(f"the person has a box at this moment before, at {before}")
        x1, y1, x2, y2 = box.box
        if x1 < x2 and y1 < y2:
            self._boxes.append(box)
        else:
            self.flat += 1

    def done(self) -> GivenBoxes:
        """All that was taken."""
        return GivenBoxes(
            tuple(sorted(self._boxes, key=lambda one: (one.video, one.number))),
            {video: _apart(held.values()) for video, held in sorted(self._spans.items())},
            tuple(sorted(self._others)),
            self.flat,
            self.not_persons,
            self.unseen,
        )


def _apart(ranges: Iterable[range]) -> tuple[range, ...]:
    """Ranges with different starts, each cut where the next begins."""
    rising = sorted(ranges, key=lambda one: one.start)
    return tuple(
        range(one.start, min(one.stop, rising[place + 1].start) if place + 1 < len(rising) else one.stop)
        for place, one in enumerate(rising)
    )
