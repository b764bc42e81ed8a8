"""vidbench/label/crossings.py: tracks are cut where persons meet, and their boxes given to who should be there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vidbench.label.crossings import cut, give_back
from vidbench.label.joins import join
from vidbench.label.linking import LinkSettings, PersonTrack, link
from vidbench.label.pieces import Array, piece_of
from vidbench.label.seen import Tracklet

TEN = LinkSettings(rate=10)


def walker(track: int, x: float, speed: float, first: int = 0, last: int = 180, y: float = 100) -> Tracklet:
    """A box of 40 by 100 that is at `x` at moment 90, `speed` in pixels a second."""
    numbers = np.arange(first, last + 1, 3)
    middle = x + speed * (numbers - 90) / 30
    boxes = np.stack((middle - 20, np.full(len(middle), y - 50), middle + 20, np.full(len(middle), y + 50)), axis=1)
    return Tracklet(track, numbers, boxes, np.full(len(numbers), 0.9))


def swapped(one: Tracklet, other: Tracklet, moment: int) -> tuple[Tracklet, Tracklet]:
    """What a tracker says that takes them for each other from a moment on."""
    late = (one.numbers >= moment)[:, None]
    return (
        replace(one, boxes=np.where(late, other.boxes, one.boxes)),
        replace(other, boxes=np.where(late, one.boxes, other.boxes)),
    )


def centres(person: PersonTrack) -> Array:
    middle: Array = (person.boxes[:, 0] + person.boxes[:, 2]) / 2
    return middle


def test_who_pass_each_other_keep_their_way_though_the_tracker_swaps_them() -> None:
    right, left = walker(0, 300, 60), walker(1, 300, -60, y=104)
    for moment in (84, 90, 99):
        persons = link(swapped(right, left, moment), TEN)
        assert len(persons) == 2
        for person in persons:
            assert len(person.numbers) == 61
            steps = np.diff(centres(person))
            assert (np.sign(steps) == np.sign(steps[0])).all()
            # the tracker's own track went on: nothing was bridged, but who is who is doubtful
            assert person.weak


def test_who_is_lost_where_persons_meet_is_found_behind() -> None:
    right, left = walker(0, 300, 60), walker(1, 300, -60, y=104)
    # one box is left of two; the track goes on with the wrong person, who was lost, and the other one is new
    there = right.numbers
    first = replace(right, boxes=np.where((there >= 90)[:, None], left.boxes, right.boxes))
    second = Tracklet(1, there[there <= 78], left.boxes[there <= 78], left.scores[there <= 78])
    third = Tracklet(2, there[there >= 105], right.boxes[there >= 105], right.scores[there >= 105])
    one, other = link([first, second, third], TEN)
    assert (np.sign(np.diff(centres(one))) == 1).all()
    assert (np.sign(np.diff(centres(other))) == -1).all()
    assert one.numbers[-1] == other.numbers[-1] == 180


def test_who_turn_and_were_never_confused_stay_who_they_are() -> None:
    # they come close without hiding each other, and go back
    numbers = np.arange(0, 181, 3)
    pieces = []
    for track, side in ((0, -1), (1, 1)):
        middle = 300 + side * (18 + 60 * np.abs(numbers - 90) / 30)
        boxes = np.stack((middle - 20, np.full(61, 50.0), middle + 20, np.full(61, 150.0)), axis=1)
        pieces.append(Tracklet(track, numbers, boxes, np.full(61, 0.9)))
    one, other = link(pieces, TEN)
    assert set(one.tracks.tolist()) == {0}
    assert set(other.tracks.tolist()) == {1}


def test_who_walk_together_are_not_cut() -> None:
    pieces = [piece_of(walker(0, 300, 60)), piece_of(walker(1, 312, 60, y=110))]
    clear, tangled = cut(pieces, 3)
    assert clear == pieces
    assert tangled == []


def test_a_blink_cuts_nobody() -> None:
    clear, tangled = cut([piece_of(walker(0, 300, 60)), piece_of(walker(1, 300, 0, 84, 93))], 3)
    assert [len(piece.numbers) for piece in clear] == [61, 4]
    assert tangled == []


def test_all_boxes_come_back() -> None:
    pieces = [piece_of(walker(0, 300, 60)), piece_of(walker(1, 300, -60)), piece_of(walker(2, 340, -50, y=120))]
    clear, tangled = cut(pieces, 3)
    assert tangled
    chains = give_back(join(clear, 2.0, 10), tangled)
    assert sorted(number for chain in chains for number in chain.numbers.tolist()) == sorted([*range(0, 181, 3)] * 3)
    for chain in chains:
        assert (np.diff(chain.numbers) > 0).all()
        assert len(chain.boxes) == len(chain.scores) == len(chain.tracks) == len(chain.numbers)


def test_at_one_picture_a_second_nothing_is_cut() -> None:
    rows = slice(None, None, 10)
    slow = [
        replace(one, numbers=one.numbers[rows], boxes=one.boxes[rows], scores=one.scores[rows])
        for one in (walker(0, 300, 10), walker(1, 300, -10))
    ]
    persons = link(slow, replace(TEN, rate=1, min_hits=1))
    assert [set(person.tracks.tolist()) for person in persons] == [{0}, {1}]
