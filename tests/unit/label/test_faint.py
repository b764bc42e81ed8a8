"""vidbench/label/faint.py: boxes below the least score show where a person is who is missed."""

from __future__ import annotations

import numpy as np

from vidbench.label.faint import Faint, FaintBuilder
from vidbench.label.linking import LinkSettings, PersonTrack, link
from vidbench.label.seen import Found, Tracklet

SHOT = ((0, 150),)


def boxes(numbers: list[int], shift: float = 0) -> np.ndarray:
    """A person of 40 by 100 who walks right at 60 pixels a second."""
    left = 100 + 2.0 * np.array(numbers) + shift
    return np.stack((left, np.full(len(left), 50.0), left + 40, np.full(len(left), 150.0)), axis=1)


def linked(seen: list[int], faint: list[int], shift: float = 0, others: tuple[Tracklet, ...] = ()) -> PersonTrack:
    walk = Tracklet(0, np.array(seen), boxes(seen), np.full(len(seen), 0.8))
    unsure = Faint(np.array(faint), boxes(faint, shift), np.full(len(faint), 0.3))
    return link([walk, *others], LinkSettings(fill_s=0), SHOT, unsure)[0]


def test_gaps_and_ends_are_filled_and_marked() -> None:
    seen = [*range(30, 61, 3), *range(75, 120, 3)]
    person = linked(seen, [24, 27, 66, 69, 120, 123, 147])
    # the last one is too late
    assert person.numbers.tolist() == sorted([*seen, 24, 27, 66, 69, 120, 123])
    assert person.scores[person.numbers == 66] == 0.3
    assert {24, 27, 66, 69, 120, 123} <= person.weak
    assert person.boxes.tolist() == boxes(person.numbers.tolist()).tolist()


def test_what_lies_elsewhere_is_nobody() -> None:
    seen = [*range(30, 61, 3), *range(75, 120, 3)]
    assert linked(seen, [66, 69, 120], shift=35).numbers.tolist() == seen
    assert len(link([], LinkSettings(), SHOT, Faint(np.array([3]), boxes([3]), np.array([0.4])))) == 0


def test_what_is_another_persons_is_not_taken() -> None:
    seen = [*range(0, 61, 3), *range(75, 151, 3)]
    # somebody stands where the first one is missed
    at = [*range(0, 151, 3)]
    stands = Tracklet(1, np.array(at), np.tile(boxes([66]), (len(at), 1)), np.full(len(at), 0.9))
    assert 66 not in linked(seen, [66], others=(stands,)).numbers
    assert 66 in linked(seen, [66]).numbers


def test_the_builder_keeps_what_is_faint_and_what_the_tracker_left() -> None:
    builder = FaintBuilder()
    builder.add(0, Found(boxes([0, 3]), np.array([0.9, 0.5])), np.array([4, -1]))
    builder.add(3, Found(np.empty((0, 4)), np.empty(0), boxes([3, 6]), np.array([0.4, 0.3])), np.empty(0, np.int64))
    faint = builder.faint()
    assert faint.numbers.tolist() == [0, 3, 3]
    assert faint.boxes.tolist() == boxes([3, 3, 6]).tolist()
    assert faint.scores.tolist() == [0.5, 0.4, 0.3]
