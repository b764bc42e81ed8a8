"""Clips that are done make way for others, and none notices."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vidbench.attack.pool import State, work_through

CPU = torch.device("cpu")


class Countdown:
    """Row i takes `lengths[i]` iterations and sums a number of its own as often."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = torch.tensor(lengths, dtype=torch.long)
        self.totals = torch.zeros(len(lengths), dtype=torch.long)
        self.entered: list[int] = []
        self.seen: list[list[int]] = []

    def enter(self, rows: Tensor) -> State:
        self.entered += rows.tolist()
        return {"left": self.lengths[rows], "sum": torch.zeros(len(rows), 2, dtype=torch.long)}

    def advance(self, rows: Tensor, state: State) -> Tensor:
        self.seen.append(rows.tolist())
        state["left"] = state["left"] - 1
        state["sum"] += rows[:, None] + 1
        done = state["left"] == 0
        self.totals[rows[done]] = state["sum"][done][:, 1]
        return done


lengths = st.lists(st.integers(1, 7), max_size=20)


@given(lengths, st.integers(1, 6))
def test_each_clip_gets_its_own_iterations_at_any_width(iterations: list[int], width: int) -> None:
    attack = Countdown(iterations)
    work_through(attack, len(iterations), width, CPU)
    assert attack.totals.tolist() == [(row + 1) * count for row, count in enumerate(iterations)]
    assert attack.entered == list(range(len(iterations)))


@given(lengths, st.integers(1, 6))
def test_the_pool_is_full_until_none_waits(iterations: list[int], width: int) -> None:
    attack = Countdown(iterations)
    work_through(attack, len(iterations), width, CPU)
    for rows in attack.seen:
        assert len(rows) == len(set(rows)) <= width
    sizes = [len(rows) for rows in attack.seen]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == sum(iterations)
    last_entry = next((at for at, rows in enumerate(attack.seen) if len(iterations) - 1 in rows), 0)
    assert all(size == min(width, len(iterations)) for size in sizes[:last_entry])


def test_equally_long_clips_pass_in_consecutive_parts() -> None:
    attack = Countdown([3] * 7)
    work_through(attack, 7, 3, CPU)
    assert attack.seen == [[0, 1, 2]] * 3 + [[3, 4, 5]] * 3 + [[6]] * 3


def test_a_free_place_is_taken_at_once() -> None:
    attack = Countdown([1, 4, 1, 1])
    work_through(attack, 4, 2, CPU)
    assert attack.seen == [[0, 1], [2, 1], [3, 1], [1]]


def test_no_clips_and_no_width() -> None:
    attack = Countdown([])
    work_through(attack, 0, 4, CPU)
    assert attack.seen == attack.entered == []
    with pytest.raises(ValueError, match="width"):
        work_through(Countdown([1]), 1, 0, CPU)
