"""What every tracker of the catalogue must do; adding an entry adds its tests."""

from __future__ import annotations

import numpy as np
import pytest

from vidbench.errors import MissingError
from vidbench.label.seen import Found, Picture, Tracker
from vidbench.label.trackers import TRACKERS, BuildTracker, TrackerSettings

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 60, 220), (210, 200, 60))


@pytest.fixture(params=TRACKERS.names())
def build(request: pytest.FixtureRequest) -> BuildTracker:
    try:
        return TRACKERS.get(request.param)
    except MissingError as error:
        pytest.skip(error.message)


def walkers(step: int, count: int = 3, rate: int = 10) -> tuple[Picture, Found]:
    """Persons in lanes who walk right at different speeds, best scored first, seen with a little noise."""
    rng = np.random.default_rng(step)
    image = np.full((400, 400, 3), 90, np.uint8)
    boxes = []
    for lane in range(count):
        x, y = 20 + (30 + 20 * lane) * step / rate, 10 + 95 * lane
        boxes.append([x, y, x + 35, y + 90])
        image[round(y) : round(y + 90), round(x) : round(x + 35)] = COLOURS[lane % 4]
    seen = np.clip(np.array(boxes).reshape(-1, 4) + rng.normal(0, 1, (count, 4)), 0, 400)
    return Picture(step * 30 // rate, image), Found(seen, np.linspace(0.95, 0.8, count))


def test_numbers_stay(build: BuildTracker) -> None:
    tracker = build(TrackerSettings(rate=10))
    told = [tracker.update(*walkers(step)) for step in range(25)]
    assert all(one.dtype == np.int64 and one.shape == (3,) for one in told)
    # from the first picture on, confirmed or not
    assert len(set(told[0].tolist())) == 3
    assert min(told[0]) >= 0
    assert all(one.tolist() == told[0].tolist() for one in told)


def test_numbers_follow_persons_not_places_in_the_list(build: BuildTracker) -> None:
    tracker = build(TrackerSettings(rate=10))
    first = tracker.update(*walkers(0))
    for step in range(1, 10):
        picture, found = walkers(step)
        order = np.random.default_rng(step).permutation(3)
        told = tracker.update(picture, Found(found.boxes[order], found.scores[order]))
        assert told.tolist() == first[order].tolist()


def test_numbers_are_never_used_again(build: BuildTracker) -> None:
    tracker = build(TrackerSettings(rate=10, max_age_s=0.5))
    before: set[int] = set()
    for start in (0, 40, 80):
        seen = {int(n) for step in range(5) for n in tracker.update(*walkers(start + step, 2)) if n >= 0}
        assert not seen & before
        before |= seen
        tracker.reset()
    assert min(before) >= 0


def test_a_reset_forgets(build: BuildTracker) -> None:
    tracker = build(TrackerSettings(rate=10))
    for step in range(5):
        first = tracker.update(*walkers(step))
    tracker.reset()
    assert not set(tracker.update(*walkers(5)).tolist()) & set(first.tolist())


def test_pictures_without_persons(build: BuildTracker) -> None:
    tracker = build(TrackerSettings(rate=10))
    for step in range(3):
        told = tracker.update(*walkers(step, 0))
        assert told.shape == (0,)
        looks = tracker.looks()
        assert looks is None or len(looks) == 0
    assert tracker.update(*walkers(3, 1)).tolist() != [-1]
    for step in range(4, 6):
        assert tracker.update(*walkers(step, 0)).shape == (0,)


def test_looks_belong_to_the_boxes(build: BuildTracker) -> None:
    tracker = build(TrackerSettings(rate=10))
    tracker.update(*walkers(0))
    looks = tracker.looks()
    if looks is None:
        return
    assert looks.dtype == np.float32
    assert len(looks) == 3
    assert np.linalg.norm(looks, axis=1) == pytest.approx(1, abs=1e-4)
    picture, found = walkers(0)
    tracker.update(picture, Found(found.boxes[::-1], found.scores))
    assert tracker.looks() == pytest.approx(looks[::-1], abs=1e-4)


def test_no_number_twice_in_a_picture_of_many(build: BuildTracker) -> None:
    rng = np.random.default_rng(3)
    tracker = build(TrackerSettings(rate=10))
    image = rng.integers(0, 255, (240, 320, 3)).astype(np.uint8)
    low = rng.uniform(0, 200, (40, 2))
    for step in range(4):
        boxes = np.column_stack((low, low + np.array([20, 38]))) + rng.normal(0, 1, (40, 4))
        told = tracker.update(Picture(3 * step, image), Found(np.clip(boxes, 0, 239), rng.random(40)))
        mine = told[told >= 0]
        assert len(set(mine.tolist())) == len(mine)


@pytest.mark.parametrize(
    "box",
    [(-30, -10, 20, 90), (380, 350, 470, 460), (50, 60, 50.2, 60.1), (0, 0, 400, 400), (399.5, 399.5, 400, 400)],
    ids=["left", "right", "tiny", "whole", "corner"],
)
def test_boxes_at_the_edge(build: BuildTracker, box: tuple[float, ...]) -> None:
    tracker: Tracker = build(TrackerSettings(rate=10))
    for step in range(5):
        picture, found = walkers(step, 2)
        boxes = np.concatenate((np.array([box], dtype=float), found.boxes))
        told = tracker.update(picture, Found(boxes, np.array([0.99, 0.9, 0.85])))
    # the odd box takes nobody's number
    assert told[1:].tolist() == [1, 2]


@pytest.mark.parametrize("rate", [1, 2, 5, 15, 30])
def test_any_rate(build: BuildTracker, rate: int) -> None:
    tracker = build(TrackerSettings(rate=rate))
    told = [tracker.update(*_slow(step, rate)).tolist() for step in range(8)]
    assert told == [told[0]] * 8


def _slow(step: int, rate: int) -> tuple[Picture, Found]:
    picture, found = walkers(0)
    return Picture(step * 30 // rate, picture.image), Found(found.boxes + (3 * step / rate), found.scores)


def test_settings_that_make_no_sense() -> None:
    for wrong in ({"rate": 7}, {"rate": 0}, {"max_age_s": -1.0}, {"hits": 0}, {"sure": 1.5}):
        with pytest.raises(ValueError, match=r"thinned|no such tracker"):
            TrackerSettings(**wrong)  # type: ignore[arg-type]
