"""vidbench/label/kalman.py: places and speeds in seconds, whatever the rate."""

import numpy as np
import pytest

from vidbench.label.kalman import KalmanFilter, measured


def walk(rate: int, seconds: float = 2.0, speed: float = 100.0) -> np.ndarray:
    """Boxes of 40 by 100 that go right at that many pixels a second."""
    x = 50 + speed * np.arange(round(rate * seconds) + 1) / rate
    return np.stack((x - 20, np.full_like(x, 10), x + 20, np.full_like(x, 110)), axis=1)


def followed(boxes: np.ndarray, rate: int, model: KalmanFilter):
    states = model.start(boxes[:1])
    for box in boxes[1:]:
        states = model.correct(model.predict(states, 1 / rate), box[None])
    return states


def test_a_box_and_its_measures() -> None:
    boxes = np.array([[10.0, 20.0, 50.0, 120.0], [0.0, 0.0, 30.0, 30.0]])
    assert measured(boxes).tolist() == [[30, 70, 0.4, 100], [15, 15, 1, 30]]
    assert KalmanFilter().start(boxes).boxes == pytest.approx(boxes)


@pytest.mark.parametrize("rate", [1, 5, 10, 30])
def test_the_speed_is_found_at_any_rate(rate: int) -> None:
    states = followed(walk(rate, seconds=6), rate, KalmanFilter())
    assert states.speed[0, 0] == pytest.approx(100, rel=0.1)
    ahead = KalmanFilter().predict(states, 1.0)
    assert ahead.value[0, 0] == pytest.approx(50 + 700, abs=15)


def test_noise_is_smoothed() -> None:
    rng = np.random.default_rng(0)
    true = walk(10, seconds=4)
    states = followed(true + rng.normal(0, 3, true.shape), 10, KalmanFilter(turns=0.1))
    assert states.speed[0, 0] == pytest.approx(100, abs=10)
    assert states.speed[0, 1] == pytest.approx(0, abs=10)


def test_two_short_steps_are_one_long_one() -> None:
    model = KalmanFilter()
    states = followed(walk(10), 10, model)
    once, twice = model.predict(states, 0.4), model.predict(model.predict(states, 0.2), 0.2)
    for name in ("value", "speed", "value_var", "joint_var", "speed_var"):
        assert getattr(twice, name) == pytest.approx(getattr(once, name)), name


def test_it_is_the_textbook_filter() -> None:
    model = KalmanFilter()
    states = model.start(np.array([[0.0, 0.0, 40.0, 100.0]]))
    seen = np.array([[13.0, 2.0, 53.0, 102.0]])
    found = model.correct(model.predict(states, 0.1), seen)
    step = np.array([[1, 0.1], [0, 1]])
    noise = (60.0**2) * np.array([[0.1**3 / 3, 0.1**2 / 2], [0.1**2 / 2, 0.1]])
    mean, cov = step @ [20.0, 0.0], step @ np.diag([5.0**2, 100.0**2]) @ step.T + noise
    gain = cov[:, 0] / (cov[0, 0] + 25)
    mean, cov = mean + gain * (33 - mean[0]), cov - np.outer(gain, cov[0])
    assert [found.value[0, 0], found.speed[0, 0]] == pytest.approx(mean)
    assert [found.value_var[0, 0], found.joint_var[0, 0], found.speed_var[0, 0]] == pytest.approx(
        [cov[0, 0], cov[0, 1], cov[1, 1]]
    )


def test_what_is_farther_than_it_could_have_gone_is_far() -> None:
    model = KalmanFilter()
    states = model.predict(followed(walk(10), 10, model), 0.1)
    right, wrong = model.distances(states, np.array([[240, 10, 280, 110], [340, 10, 380, 110]], dtype=float))[0]
    assert right < 2
    assert wrong > 30


def test_boxes_never_lose_their_area() -> None:
    model = KalmanFilter()
    shrinking = [np.array([[0, 0, size, size]], dtype=float) for size in (100, 60, 30, 10, 3)]
    states = model.start(shrinking[0])
    for box in shrinking[1:]:
        states = model.correct(model.predict(states, 0.1), box)
    boxes = model.predict(states, 5.0).boxes
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    assert np.isfinite(boxes).all()
