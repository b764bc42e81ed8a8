"""vidbench/label/bytetrack.py: the two rounds, and motion through crossings and gaps."""

import numpy as np
import pytest

from vidbench.label.bytetrack import ByteTracker
from vidbench.label.seen import Found, Picture
from vidbench.label.trackers import TrackerSettings

BLANK = np.zeros((240, 640, 3), np.uint8)


def box(x: float, y: float = 100.0) -> list[float]:
    return [x - 20, y - 50, x + 20, y + 50]


def see(tracker: ByteTracker, number: int, boxes: list[list[float]], scores: list[float] | None = None) -> list[int]:
    held = np.array(scores if scores is not None else [0.9] * len(boxes), dtype=float)
    return tracker.update(Picture(number, BLANK), Found(np.array(boxes, dtype=float).reshape(-1, 4), held)).tolist()


def test_doubtful_boxes_continue_tracks_and_begin_none() -> None:
    tracker = ByteTracker(TrackerSettings())
    assert see(tracker, 0, [box(100), box(300)], [0.9, 0.3]) == [0, -1]
    assert see(tracker, 3, [box(104), box(300)], [0.8, 0.3]) == [0, -1]
    assert see(tracker, 6, [box(108), box(300)], [0.3, 0.3]) == [0, -1]


def test_a_sure_box_comes_before_a_doubtful_one() -> None:
    tracker = ByteTracker(TrackerSettings())
    for step in range(4):
        see(tracker, 3 * step, [box(100)])
    # the doubtful box lies better, the sure one well enough
    assert see(tracker, 12, [box(108), box(100)], [0.9, 0.3]) == [0, -1]


@pytest.mark.parametrize("width", [1.0, 2.0, 3.0, 4.0])
def test_fast_walkers_keep_their_number_at_10_pictures_a_second(width: float) -> None:
    tracker = ByteTracker(TrackerSettings(rate=10))
    found = {see(tracker, 3 * step, [box(60 + width * 40 * step / 10)])[0] for step in range(30)}
    assert found == {0}


def test_who_turns_round_keeps_the_number() -> None:
    tracker = ByteTracker(TrackerSettings(rate=10))
    path = [*range(60, 300, 14), *range(300, 60, -14)]
    assert {see(tracker, 3 * step, [box(x)])[0] for step, x in enumerate(path)} == {0}


def test_alike_persons_who_cross_keep_their_numbers() -> None:
    rng = np.random.default_rng(0)
    tracker = ByteTracker(TrackerSettings(rate=10))
    for step in range(41):
        noise = rng.normal(0, 1, (2, 4))
        boxes = np.array([box(100 + 8 * step), box(420 - 8 * step, 108)]) + noise
        assert see(tracker, 3 * step, boxes.tolist()) == [0, 1], step


def test_a_gap_is_bridged_where_the_person_comes_out() -> None:
    tracker = ByteTracker(TrackerSettings(rate=10, max_age_s=2.0))
    for step in range(15):
        see(tracker, 3 * step, [box(100 + 6 * step)])
    for step in range(15, 25):
        assert see(tracker, 3 * step, []) == []
    assert see(tracker, 75, [box(100 + 6 * 25)]) == [0]


def test_patience_ends() -> None:
    tracker = ByteTracker(TrackerSettings(rate=10, max_age_s=1.0))
    for step in range(5):
        see(tracker, 3 * step, [box(100)])
    for step in range(5, 16):
        see(tracker, 3 * step, [])
    assert see(tracker, 48, [box(100)]) == [1]


def test_a_single_sighting_ends_at_its_first_miss() -> None:
    tracker = ByteTracker(TrackerSettings())
    assert see(tracker, 0, [box(100)]) == [0]
    assert see(tracker, 3, []) == []
    assert see(tracker, 6, [box(100)]) == [1]
