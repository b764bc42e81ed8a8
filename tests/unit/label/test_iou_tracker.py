"""vidbench/label/iou_tracker.py: overlap, assignment, and the plain tracker made of them."""

import itertools

import numpy as np
import pytest

from vidbench.label.iou_tracker import IouTracker, assign, overlaps
from vidbench.label.seen import Found, Picture
from vidbench.label.trackers import TrackerSettings

BLANK = np.zeros((240, 320, 3), np.uint8)


def see(tracker: IouTracker, number: int, *boxes: tuple[float, float, float, float]) -> list[int]:
    found = Found(np.array(boxes, dtype=float).reshape(-1, 4), np.full(len(boxes), 0.9))
    return tracker.update(Picture(number, BLANK), found).tolist()


def test_overlaps() -> None:
    one = np.array([[0.0, 0.0, 10.0, 10.0]])
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [3, 3, 3, 9]], dtype=float)
    assert overlaps(one, others)[0] == pytest.approx([1, 1 / 3, 0, 0])
    assert overlaps(np.empty((0, 4)), others).shape == (0, 4)


def test_assign_finds_the_cheapest_of_the_fullest() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        cost = rng.random((3, 4))
        rows, columns = assign(cost, 0.6)
        assert (cost[rows, columns] <= 0.6).all()
        assert len(set(columns.tolist())) == len(columns)
        possible = [
            [(r, c) for r, c in enumerate(order) if cost[r, c] <= 0.6] for order in itertools.permutations(range(4), 3)
        ]
        # leaving a pair out costs the limit
        best = min(sum(cost[r, c] for r, c in pairs) + 0.6 * (3 - len(pairs)) for pairs in possible)
        assert cost[rows, columns].sum() + 0.6 * (3 - len(rows)) == pytest.approx(best, abs=1e-3)


def test_nothing_to_assign() -> None:
    for cost in (np.empty((0, 3)), np.full((2, 2), np.inf), np.ones((2, 2))):
        rows, columns = assign(cost, 0.5)
        assert len(rows) == len(columns) == 0


def test_a_miss_is_forgiven_for_a_moment_alone() -> None:
    tracker = IouTracker(TrackerSettings(rate=10))
    assert see(tracker, 0, (10, 10, 50, 110)) == [0]
    assert see(tracker, 3) == []
    assert see(tracker, 6, (14, 10, 54, 110)) == [0]
    assert see(tracker, 30, (14, 10, 54, 110)) == [1]


def test_at_one_picture_a_second_the_next_picture_counts() -> None:
    tracker = IouTracker(TrackerSettings(rate=1, max_age_s=0))
    assert see(tracker, 0, (10, 10, 50, 110)) == [0]
    assert see(tracker, 30, (20, 10, 60, 110)) == [0]
    assert see(tracker, 90, (20, 10, 60, 110)) == [1]
