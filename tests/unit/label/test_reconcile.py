"""An edited file over the rows of a set: who is who, and what is said to have changed."""

from __future__ import annotations

import pytest

from vidbench.formats.labelset import Row
from vidbench.label.reconcile import Offered, joined, overlap, replaced

A, B, C = (0.1, 0.1, 0.3, 0.9), (0.5, 0.1, 0.7, 0.9), (0.8, 0.1, 0.9, 0.9)
ROWS = (
    Row(2, 0, A, 0.9, (1,), 4, True, ("weak",)),
    Row(2, 1, B, 0.8, None, 5),
    Row(3, 0, A, 0.9, (1,), 4),
)


def test_what_is_as_it_was_does_not_change() -> None:
    offered = [Offered("a", 2, A, origin=(2, 0), actions=(1,)), Offered("b", 2, B, person=1)]
    merged = replaced(ROWS, {2}, offered)
    assert merged.rows == ROWS
    assert (merged.added, merged.removed, merged.changed, merged.problems) == ((), (), (), ())


def test_a_moved_box_keeps_its_person_and_loses_its_score() -> None:
    merged = replaced(ROWS, {2}, [Offered("a", 2, C, origin=(2, 0), actions=(1,))])
    assert merged.rows == (Row(2, 0, C, None, (1,), 4, False, ("weak", "drawn")), ROWS[2])
    assert (merged.changed, merged.removed, merged.added) == (((2, 0),), ((2, 1),), ())


def test_a_box_without_a_number_is_who_it_lies_on_or_somebody_new() -> None:
    near = (0.51, 0.1, 0.71, 0.9)
    merged = replaced(ROWS, {2}, [Offered("a", 2, near, actions=(3,)), Offered("b", 2, C)])
    assert [(row.person, row.box, row.doubts) for row in merged.rows[:2]] == [(1, near, ("drawn",)), (2, C, ("drawn",))]
    assert merged.new_persons == (2,)
    assert merged.removed == ((2, 0),)


def test_the_number_in_the_file_goes_first() -> None:
    offered = [Offered("a", 2, A, 1, (2, 0), (1,)), Offered("b", 2, B, 0, (2, 1))]
    merged = replaced(ROWS, {2}, offered)
    assert [(row.person, row.track, row.score) for row in merged.rows[:2]] == [(0, 5, 0.8), (1, 4, 0.9)]
    assert merged.renumbered == ((2, 0, 1), (2, 1, 0))
    assert not merged.removed


def test_one_person_twice_is_a_problem() -> None:
    merged = replaced(ROWS, {2}, [Offered("a", 2, A, 7), Offered("b", 2, B, 7)])
    assert merged.problems == ("b: person 7 is there twice at second 2: give one of the two another number, or none",)
    copied = replaced(ROWS, {2}, [Offered("a", 2, A, origin=(2, 0)), Offered("b", 2, B, origin=(2, 0))])
    assert len(copied.problems) == 1
    assert "second box made from person 0" in copied.problems[0]


def test_a_file_that_tells_no_actions_leaves_them() -> None:
    merged = replaced(ROWS, {2}, [Offered("a", 2, A, 0, tells=False), Offered("b", 2, B, 1, tells=False, score=0.7)])
    assert [(row.actions, row.score, row.checked) for row in merged.rows[:2]] == [((1,), 0.9, True), (None, 0.7, False)]


def test_adding_changes_nothing_that_is_there() -> None:
    near = (0.11, 0.1, 0.31, 0.9)
    offered = [Offered("a", 2, near, 0), Offered("b", 2, C, 0, score=0.5), Offered("c", 3, C, 0), Offered("d", 3, B)]
    merged, left_out = joined(ROWS, offered)
    assert left_out == 1
    assert set(ROWS) < set(merged.rows)
    assert merged.added == ((2, 2), (3, 2), (3, 3))
    assert merged.new_persons == (2, 3)


def test_overlap() -> None:
    assert overlap(A, A) == 1
    assert overlap(A, B) == 0
    assert overlap((0.0, 0.0, 0.2, 1.0), (0.1, 0.0, 0.3, 1.0)) == pytest.approx(1 / 3)
