"""vidbench/label/still.py: an unsure box that never moves in a picture that never changes is no person."""

from __future__ import annotations

import numpy as np
import pytest

from vidbench.label.linking import PersonTrack
from vidbench.label.seen import Found, Picture
from vidbench.label.still import StillWatch, without_still

NUMBERS = np.arange(0, 151, 3)
PLACE = np.array([20.0, 10.0, 60.0, 90.0])


def scene(number: int, swaying: int) -> np.ndarray:
    """A textured wall with noise of its own in each picture, and in it a bar that sways so many pixels."""
    picture = np.indices((100, 120)).sum(axis=0) % 16 * 8 + 60
    left = 35 + (number // 3) % 3 * swaying
    picture[20:85, left : left + 10] = 230
    noise = np.random.default_rng(number).integers(-3, 4, picture.shape)
    return np.repeat((picture + noise).astype(np.uint8)[..., None], 3, axis=2)


def kept(*, score: float = 0.4, swaying: int = 0, speed: float = 0, last: int = 150) -> int:
    """How many of one are left."""
    numbers = NUMBERS[last >= NUMBERS]
    boxes = PLACE + np.outer(numbers * speed / 30, (1, 0, 1, 0))
    scores = np.full(len(numbers), score)
    watch = StillWatch()
    for number, box in zip(numbers.tolist(), boxes, strict=True):
        watch.add(Picture(number, scene(number, swaying)), Found(box[None], scores[:1]), np.array([7]))
    person = PersonTrack(0, numbers, boxes, scores, np.full(len(numbers), 7))
    return len(without_still([person], watch))


def test_an_unsure_box_on_a_wall_is_left_out() -> None:
    assert kept() == 0


@pytest.mark.parametrize(
    "why",
    [
        pytest.param({"score": 0.7}, id="the detector is sure"),
        pytest.param({"swaying": 2}, id="the picture changes"),
        pytest.param({"speed": 12.0}, id="the box moves"),
        pytest.param({"last": 60}, id="it was there for a moment"),
    ],
)
def test_persons_stay(why: dict[str, float]) -> None:
    assert kept(**why) == 1  # type: ignore[arg-type]


def test_without_a_look_nobody_is_left_out() -> None:
    person = PersonTrack(0, NUMBERS, np.tile(PLACE, (len(NUMBERS), 1)), np.full(len(NUMBERS), 0.4), NUMBERS * 0)
    assert without_still([person], StillWatch()) == (person,)
