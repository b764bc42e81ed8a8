"""vidbench/label/fragments.py: pieces that are no persons of their own."""

from __future__ import annotations

import numpy as np
import pytest

from vidbench.label.fragments import into_gaps, without_body_parts
from vidbench.label.pieces import Piece


def piece(
    numbers: list[int], low: tuple[float, float] = (0, 0), size: tuple[float, float] = (40, 100), score: float = 0.8
) -> Piece:
    corners = [*low, low[0] + size[0], low[1] + size[1]]
    count = len(numbers)
    return Piece(
        np.array(numbers), np.tile(np.array(corners, dtype=float), (count, 1)), np.full(count, score),
        np.zeros(count, dtype=np.int64), 0, [],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("part", "stays"),
    [
        (piece([*range(0, 60, 3)], (5, 0), (30, 45), 0.5), False),
        (piece([*range(0, 60, 3)], (5, 40), (30, 60), 0.8), True),
        (piece([*range(0, 60, 3)], (5, 0), (30, 90), 0.5), True),
        (piece([*range(0, 150, 3)], (5, 0), (30, 45), 0.5), True),
    ],
    ids=["a torso", "a child seen as well", "someone as tall", "someone who stays"],
)
def test_parts_of_bodies_are_left_out(part: Piece, stays: bool) -> None:
    person = piece([*range(0, 90, 3)])
    assert [one is part for one in without_body_parts([person, part])] == ([False, True] if stays else [False])


@pytest.mark.parametrize(
    ("numbers", "low", "goes"),
    [([30, 33], (2, 0), True), ([30, 33], (25, 0), False), ([30, 36], (2, 0), False), ([24, 30], (2, 0), False)],
    ids=["fits", "beside", "too late", "too early"],
)
def test_what_fits_a_gap_goes_into_it(numbers: list[int], low: tuple[float, float], goes: bool) -> None:
    person = piece([*range(0, 28, 3), *range(36, 60, 3)])
    other = piece(numbers, low)
    found = into_gaps([other, person], 3)
    assert len(found) == (1 if goes else 2)
    assert found[-1].numbers.tolist() == (sorted([*person.numbers, *numbers]) if goes else person.numbers.tolist())
