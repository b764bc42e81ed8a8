"""Boxes between keyframes."""

import pytest

from vidbench.formats.labelset import Row, TrackPath
from vidbench.label.review.between import Between

A, B = (0.1, 0.1, 0.2, 0.5), (0.2, 0.1, 0.3, 0.5)


def test_boxes_run_along_the_path() -> None:
    between = Between([TrackPath(7, (57, 63, 66), (A, B, B))])
    (boxes,) = between.boxes([Row(2, 3, A, track=7)], [54, 57, 59, 62, 63, 64, 66, 67]).values()
    assert boxes[0] is None
    assert boxes[1] == pytest.approx(A)
    assert boxes[2] == pytest.approx([0.133, 0.1, 0.233, 0.5])
    assert boxes[3] == pytest.approx([0.183, 0.1, 0.283, 0.5])
    assert boxes[4] == boxes[5] == boxes[6] == pytest.approx(B)
    assert boxes[7] is None


def test_at_its_keyframe_a_row_has_its_own_box() -> None:
    between = Between([TrackPath(7, (57, 63), (A, A))])
    assert between.boxes([Row(2, 3, B, track=7)], [60]) == {3: [list(B)]}


def test_the_nearest_keyframe_says_which_track_it_is() -> None:
    between = Between([TrackPath(1, (60, 80), (A, A)), TrackPath(2, (70, 100), (B, B))])
    boxes = between.boxes([Row(2, 0, A, track=1), Row(3, 0, B, track=2)], [70, 78])[0]
    assert [box and pytest.approx(box) for box in boxes] == [list(A), list(B)]


def test_a_long_gap_and_an_unknown_track_have_no_box() -> None:
    between = Between([TrackPath(1, (60, 91, 121), (A, A, B)), TrackPath(2, (), ())])
    assert between.boxes([Row(2, 0, A, track=1)], [75]) == {0: [None]}
    assert between.boxes([Row(3, 0, A, track=1)], [106]) == {0: [pytest.approx([0.15, 0.1, 0.25, 0.5])]}
    for track in (None, 2, 9):
        assert between.boxes([Row(2, 0, A, track=track)], [61]) == {0: [None]}
