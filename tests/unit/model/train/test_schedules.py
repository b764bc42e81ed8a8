"""Learning rates at named points, against values worked out by hand."""

import pytest

from vidbench.model.train.schedules import Schedule, scaled_rate


@pytest.mark.parametrize(
    ("progress", "factor"),
    [(0.0, 0.1 / 2.1), (1.0, 1.1 / 2.1), (2.0, 1.0), (6.0, 0.5), (10.0, 0.0), (11.0, 0.0)],
)
def test_a_cosine_after_its_rise(progress, factor) -> None:
    assert Schedule("cosine", 10, warmup=2.0).factor(progress) == pytest.approx(factor, abs=1e-12)


def test_a_cosine_that_ends_above_zero() -> None:
    schedule = Schedule("cosine", 8, final=0.1)
    assert [schedule.factor(at) for at in (0, 4, 8)] == pytest.approx([1.0, 0.55, 0.1])


# 32x2 on AVA: 20 epochs, rate 0.1, a rise over 5 epochs from 1.25e-4, steps 0 10 15 20 of 1 .1 .01 .001
AVA = Schedule("steps", 20, 5.0, 1.25e-4 / 0.1, 0.0, (0, 10, 15, 20), (1, 0.1, 0.01, 0.001))
# 32x8 on Charades: 57 epochs, rate 0.0375, a rise over 4 epochs from 1e-4, steps 0 41 49
CHARADES = Schedule("steps", 57, 4.0, 1e-4 / 0.0375, 0.0, (0, 41, 49), (1, 0.1, 0.01))


@pytest.mark.parametrize(
    ("schedule", "lr", "progress", "rate"),
    [
        (AVA, 0.1, 0.0, 1.25e-4),
        (AVA, 0.1, 2.5, (1.25e-4 + 0.1) / 2),
        (AVA, 0.1, 5.0, 0.1),
        (AVA, 0.1, 9.999, 0.1),
        (AVA, 0.1, 10.0, 0.01),
        (AVA, 0.1, 15.0, 1e-3),
        (AVA, 0.1, 19.99, 1e-3),
        (CHARADES, 0.0375, 0.0, 1e-4),
        (CHARADES, 0.0375, 1.0, 1e-4 + (0.0375 - 1e-4) / 4),
        (CHARADES, 0.0375, 40.9, 0.0375),
        (CHARADES, 0.0375, 41.0, 0.00375),
        (CHARADES, 0.0375, 56.0, 0.000375),
    ],
)
def test_relative_steps_of_published_recipes(schedule, lr, progress, rate) -> None:
    assert lr * schedule.factor(progress) == pytest.approx(rate, rel=1e-12)


def test_a_rise_within_an_epoch() -> None:
    schedule = Schedule("steps", 3, 0.5, 0.0, 0.0, (0, 1), (1, 0.5))
    assert [schedule.factor(at) for at in (0, 0.25, 0.5, 0.75, 1)] == [0.0, 0.5, 1.0, 1.0, 0.5]


def test_a_rise_past_a_step_ends_at_that_steps_rate() -> None:
    schedule = Schedule("steps", 4, 2.0, 0.0, 0.0, (0, 1), (1, 0.4))
    assert [schedule.factor(at) for at in (1, 2)] == pytest.approx([0.2, 0.4])


def test_linear_scaling() -> None:
    assert scaled_rate(0.1, 16, 64) == pytest.approx(0.025)
    assert scaled_rate(0.1, 16, None) == 0.1
