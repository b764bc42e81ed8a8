"""From persons to rows: which seconds are keyframes, and what is stored of whom."""

import numpy as np
import pytest

from vidbench.label.keyframes import keep, keyframe_range
from vidbench.label.linking import PersonTrack


@pytest.mark.parametrize(
    ("pictures", "margin", "first", "last"),
    [
        # ten seconds: the guide keeps 2 to 8
        (300, 2, 2, 8),
        (301, 2, 2, 8),
        (299, 2, 2, 7),
        (330, 2, 2, 9),
        (27_000, 2, 2, 898),
        (119, 2, 2, 1),
        (120, 2, 2, 2),
        (30, 2, 2, -1),
        (1, 2, 2, -1),
        # without a margin each second that the video shows has one
        (300, 0, 0, 9),
        (301, 0, 0, 10),
        (1, 0, 0, 0),
        (30, 1, 1, 0),
        (61, 1, 1, 1),
    ],
)
def test_the_first_and_the_last_seconds_have_no_keyframe(pictures: int, margin: int, first: int, last: int) -> None:
    assert keyframe_range(pictures, margin) == (first, last)
    for second in range(first, last + 1):
        assert second * 30 < pictures


def person(number: int, moments: list[int], x: float = 10.0, **more: frozenset[int]) -> PersonTrack:
    boxes = np.array([[x, 10.0, x + 20.0, 70.0]] * len(moments))
    return PersonTrack(
        number, np.array(moments), boxes, np.full(len(moments), 0.8), np.full(len(moments), 7), **more
    )  # fmt: skip


def test_boxes_at_keyframes_become_rows_and_all_others_paths() -> None:
    kept = keep([person(0, [57, 60, 63, 90, 120])], range(2, 4), 100, 100)
    assert [(row.second, row.person, row.box) for row in kept.rows] == [
        (2, 0, (0.1, 0.1, 0.3, 0.7)),
        (3, 0, (0.1, 0.1, 0.3, 0.7)),
    ]
    assert all(row.actions is None and row.score == 0.8 and row.track == 0 for row in kept.rows)
    assert kept.paths[0].numbers == (57, 60, 63, 90, 120)


def test_who_is_at_no_keyframe_is_left_out_and_the_others_are_counted_anew() -> None:
    kept = keep(
        [person(0, [61, 70, 80]), person(1, [90, 120], x=60.0), person(2, [90, 120], x=30.0)], range(2, 5), 100, 100
    )
    assert kept.passing == 1
    # at the same keyframe from left to right
    assert [(row.second, row.person, row.box[0]) for row in kept.rows] == [
        (3, 0, 0.3), (3, 1, 0.6), (4, 0, 0.3), (4, 1, 0.6),
    ]  # fmt: skip
    assert [path.track for path in kept.paths] == [0, 1]


def test_doubts_belong_to_the_second_up_to_the_keyframe() -> None:
    one = person(0, [60, 75, 90, 120], joined=frozenset((75,)), weak=frozenset((91,)), drawn=frozenset((120,)))
    kept = keep([one], range(2, 5), 100, 100)
    assert [row.doubts for row in kept.rows] == [(), ("joined",), ("weak", "drawn")]
    assert [row.score for row in kept.rows] == [0.8, 0.8, None]


def test_short_and_crowded_persons_deserve_a_look() -> None:
    kept = keep([person(0, [60, 90]), person(1, [90], x=14.0)], range(2, 4), 100, 100)
    assert {row.key: row.doubts for row in kept.rows} == {
        (2, 0): (),
        (3, 0): ("crowded",),
        (3, 1): ("short", "crowded"),
    }


def test_a_box_without_an_area_is_counted() -> None:
    thin = PersonTrack(0, np.array([60]), np.array([[10.0, 10.0, 10.01, 70.0]]), np.array([0.9]), np.array([1]))
    kept = keep([thin], range(2, 4), 100, 100)
    assert kept.flat == 1
    assert kept.rows == ()
