"""Warnings of rows and classes, by hand."""

import pytest

from vidbench.formats.labelset import BoxT, Row, SetAction, SetVideo
from vidbench.label.review.warnings import class_warnings, overlaps, row_warnings

VIDEO = SetVideo("v", "v.mp4", 1, 1000, 500, "30", 300, 2, 8)
POSES = {11: "sit", 12: "stand"}
BOX = (0.1, 0.2, 0.3, 0.9)

CASES: dict[str, tuple[Row, list[str]]] = {
    "untouched": (Row(2, 0, BOX), []),
    "no action": (Row(2, 0, BOX, actions=()), []),
    "one pose": (Row(2, 0, BOX, actions=(12, 80)), []),
    "no pose": (Row(2, 0, BOX, actions=(80,)), ["no pose"]),
    "two poses": (Row(2, 0, BOX, actions=(11, 12)), ["2 poses: sit, stand"]),
    "low": (Row(2, 0, (0.1, 0.1, 0.3, 0.162)), ["tiny box: 200 x 31 pixels"]),
    "narrow": (Row(2, 0, (0.1, 0.1, 0.111, 0.9)), ["tiny box: 11 x 400 pixels"]),
    "large enough": (Row(2, 0, (0.1, 0.1, 0.112, 0.164)), []),
    "doubts": (
        Row(2, 0, BOX, doubts=("weak", "drawn")),
        ["the link to the second before is uncertain", "no detector gave this box"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rows(name: str) -> None:
    row, expected = CASES[name]
    assert row_warnings(row, VIDEO, POSES, None) == expected


def test_a_set_without_poses_asks_for_none() -> None:
    assert row_warnings(Row(2, 0, BOX, actions=(80,)), VIDEO, {}, None) == []


def test_an_overlap_is_told() -> None:
    assert row_warnings(Row(2, 0, BOX), VIDEO, POSES, (3, 0.8123)) == ["overlaps person 3 by 0.81"]


def test_overlaps_name_the_worst_other() -> None:
    boxes: list[BoxT] = [(0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 0.4, 1.0), (0.0, 0.0, 0.45, 1.0), (0.6, 0.0, 0.9, 1.0)]
    found = overlaps([Row(2, number * 10, box) for number, box in enumerate(boxes)])
    assert found == {0: (20, pytest.approx(0.9)), 10: (20, pytest.approx(0.4 / 0.45)), 20: (0, pytest.approx(0.9))}
    assert overlaps([Row(2, 0, BOX)]) == overlaps([]) == {}


def test_boxes_that_share_less_are_not_told() -> None:
    assert overlaps([Row(2, 0, (0.0, 0.0, 1.0, 1.0)), Row(2, 1, (0.0, 0.0, 0.69, 1.0))]) == {}


def test_classes() -> None:
    actions = [SetAction(1, "bend"), SetAction(2, "crawl"), SetAction(3, "dance")]
    assert class_warnings(actions, {1: 25, 2: 24}) == {2: "rare: 24 of 25 boxes", 3: "never used"}
