"""Which seconds of a video go into which part of an AVA export, and which timestamp a second has there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from vidbench.formats.labelset import SetVideo
from vidbench.video.steady import GRID_FPS

FIRST_TIMESTAMP = 900
"""The timestamp of second 0 of a part: where AVA's 15 minutes of each film begin, and what all loaders take off."""
PART_S = 900
"""The longest part in seconds: MMAction2 reads nothing after it."""
MARGIN_S = 2
"""Seconds at both ends of a part without keyframes: PySlowFast refuses timestamps below 902 and above 1798, and
with fewer a clip would reach over an end; clips of up to four seconds are whole."""

_STEP_S = PART_S - 2 * MARGIN_S + 1
# AVA-Kinetics loaders read the seconds of a clip out of such a name
_SPAN_NAME = re.compile(r".*_[0-9]+_[0-9]+")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a video that stands in an export as a video of its own.

    Attributes:
        id: Its name there.
        video: The video's name in the set.
        number: Which part of the video, from 1.
        of: How many parts the video has.
        from_s: Where it begins in the video, in whole seconds.
        pictures: Moments of the grid of 30 a second that it has, at most 27000.
    """

    id: str
    video: str
    number: int
    of: int
    from_s: int
    pictures: int

    @property
    def keyframes(self) -> range:
        """The seconds of the video whose persons belong to this part; those of all parts are apart."""
        return range(self.from_s + MARGIN_S, self.from_s + self.pictures // GRID_FPS - MARGIN_S + 1)

    @property
    def to_s(self) -> Fraction:
        """Where it ends in the video, in seconds, not included."""
        return self.from_s + Fraction(self.pictures, GRID_FPS)

    @property
    def shift(self) -> int:
        """What is added to a second of the video to get its timestamp."""
        return FIRST_TIMESTAMP - self.from_s

    def timestamp(self, second: int) -> int:
        """The timestamp of a second of the video, 902 to 1798.

        Raises:
            ValueError: The second is no keyframe of this part.
        """
        if second not in self.keyframes:
            raise ValueError(f"second {second} is not in {self.keyframes}")
        return second + self.shift


def parts_of(videos: Sequence[SetVideo]) -> dict[str, tuple[Part, ...]]:
    """The parts of all videos of a set, by the videos' names.

    Parts overlap by the seconds without keyframes, so that every second of a video but its first and last two is a
    keyframe of exactly one part. A video of one part keeps its name unless that ends as `_10_20`, which loaders of
    AVA-Kinetics take for a span. Other names are `<name>_p01` and on. A video of less than four seconds has no part.
    """
    taken = {video.id.casefold() for video in videos}
    found: dict[str, tuple[Part, ...]] = {}
    for video in videos:
        starts = _starts(video.pictures)
        if len(starts) == 1 and not _SPAN_NAME.fullmatch(video.id):
            names = [video.id]
        else:
            names = _names(video.id, len(starts), taken)
            taken |= {name.casefold() for name in names}
        found[video.id] = tuple(
            Part(name, video.id, number, len(starts), start, min(video.pictures - GRID_FPS * start, PART_S * GRID_FPS))
            for number, (name, start) in enumerate(zip(names, starts, strict=True), start=1)
        )
    return found


def _starts(pictures: int) -> list[int]:
    last = pictures // GRID_FPS - MARGIN_S
    return list(range(0, max(last - MARGIN_S + 1, 0), _STEP_S))


def _names(video: str, count: int, taken: Iterable[str]) -> list[str]:
    held = set(taken)
    base = video
    while True:
        names = [f"{base}_p{number:02d}" for number in range(1, count + 1)]
        if held.isdisjoint(name.casefold() for name in names):
            return names
        base += "_"
