"""Rows of a set as rows of AVA's files: who goes where, with which score."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.formats.ava import Second, dump_labels, dump_predicted
from vidbench.formats.labelset import Row, SetAction, box_of
from vidbench.label.ava_rows import PartRows, action_list, is_reviewed, merged, outside, rows_of, unknown_actions
from vidbench.label.parts import Part

PART = Part("walk", "walk", 1, 1, 0, 360)
LEFT = (0.1, 0.2, 0.3, 0.9)
RIGHT = (0.5, 0.2, 0.7, 0.95)


def row(second: int, person: int, actions: tuple[int, ...] | None, **more: Any) -> Row:
    return Row(second, person, more.pop("box", RIGHT if person else LEFT), actions=actions, **more)


def taken(rows: list[Row], *, reviewed: bool = True, training: bool = True, part: Part = PART) -> PartRows:
    return rows_of(part, rows, reviewed=reviewed, training=training)


def texts(rows: PartRows) -> list[str]:
    return [line.strip() for line in dump_labels(rows.labels())]


def boxes(rows: PartRows) -> list[str]:
    return [line.strip() for line in dump_predicted(rows.predicted())]


def with_labels(rows: PartRows) -> list[str]:
    return [line.strip() for line in dump_predicted(rows.boxes_and_labels())]


def test_a_row_per_person_and_action_with_the_same_box_text() -> None:
    found = taken([row(3, 1, (12, 80), score=0.6), row(3, 0, (), score=0.7), row(2, 0, (1,), score=0.5)])
    assert texts(found) == [
        "walk,0902,0.100,0.200,0.300,0.900,1,0",
        "walk,0903,0.500,0.200,0.700,0.950,12,1",
        "walk,0903,0.500,0.200,0.700,0.950,80,1",
    ]
    assert boxes(found) == [
        "walk,0902,0.100,0.200,0.300,0.900,,1.000000",
        "walk,0903,0.100,0.200,0.300,0.900,,1.000000",
        "walk,0903,0.500,0.200,0.700,0.950,,1.000000",
    ]
    assert with_labels(found) == [
        "walk,0902,0.100,0.200,0.300,0.900,1,1.000000",
        "walk,0903,0.100,0.200,0.300,0.900,-1,1.000000",
        "walk,0903,0.500,0.200,0.700,0.950,12,1.000000",
        "walk,0903,0.500,0.200,0.700,0.950,80,1.000000",
    ]
    keys, values = zip(*found.proposals(), strict=True)
    assert keys == (Second("walk", 902), Second("walk", 903))
    assert values[1].tolist() == [[0.1, 0.2, 0.3, 0.9, 1.0], [0.5, 0.2, 0.7, 0.95, 1.0]]
    assert values[0].dtype == np.float64
    assert found.timestamps == (902, 903)


def test_an_untouched_person_is_left_out_of_training_and_excludes_the_keyframe_elsewhere() -> None:
    rows = [row(2, 0, (1,)), row(2, 1, None), row(3, 0, (1,)), row(3, 1, ()), row(4, 1, None)]
    train = taken(rows)
    assert texts(train) == ["walk,0902,0.100,0.200,0.300,0.900,1,0", "walk,0903,0.100,0.200,0.300,0.900,1,0"]
    assert [line.split(",")[6] for line in with_labels(train)] == ["1", "1", "-1"]
    assert (train.excluded, train.untouched, train.withheld) == ((), 2, 0)
    val = taken(rows, training=False)
    assert texts(val) == ["walk,0903,0.100,0.200,0.300,0.900,1,0"]
    assert [one.split(",")[1] for one in boxes(val)] == ["0903", "0903"]
    assert (val.excluded, val.untouched, val.withheld) == ((902, 904), 2, 1)
    assert list(val.excluded_seconds()) == [Second("walk", 902), Second("walk", 904)]


def test_without_a_review_everyone_has_the_detectors_score() -> None:
    rows = [row(2, 0, None, score=0.123456789), row(2, 1, None), row(3, 0, None, score=0.5, checked=True)]
    found = taken(rows, reviewed=False, training=False)
    assert texts(found) == []
    assert [one.score for one in found.persons] == [Decimal("0.123457"), Decimal(1), Decimal(1)]
    assert (found.excluded, found.untouched) == ((), 0)


def test_seconds_of_a_later_part_and_those_of_none() -> None:
    later = Part("walk_p02", "walk", 2, 2, 897, 3000)
    rows = [row(second, 0, (1,)) for second in (0, 1, 2, 898, 899, 900, 995, 996)]
    assert [line.split(",")[1] for line in texts(taken(rows, part=later))] == ["0902", "0903", "0998"]
    first = Part("walk_p01", "walk", 1, 2, 0, 27000)
    assert [line.split(",")[1] for line in texts(taken(rows, part=first))] == ["0902", "1798"]
    assert outside([first, later], rows) == (0, 1, 996)


def test_persons_whom_pytorchvideo_takes_for_one() -> None:
    near = (0.104, 0.2, 0.3, 0.9)
    rows = [row(2, 0, (1,)), row(2, 1, (2,), box=near), row(3, 0, (1,)), row(3, 1, (2,), box=(0.106, 0.2, 0.3, 0.9))]
    rows += [row(4, 0, (1,)), row(4, 1, (2,), box=LEFT), row(4, 2, (3,), box=near), row(4, 3, (3,))]
    found = list(merged(taken(rows)))
    assert [(one.second, one.persons, one.exact) for one in found] == [(2, (0, 1), False), (4, (0, 1, 2), True)]


def test_actions_that_the_set_does_not_have_and_its_list() -> None:
    actions = [SetAction(1, "sit"), SetAction(4, "carry", "object"), SetAction(7, "talk", "person")]
    rows = [row(2, 0, (1, 7)), row(3, 0, (1, 5)), row(4, 0, None)]
    assert list(unknown_actions(rows, actions)) == [(rows[1], 5)]
    assert [one.kind for one in action_list(actions)] == [
        "PERSON_MOVEMENT",
        "OBJECT_MANIPULATION",
        "PERSON_INTERACTION",
    ]


@pytest.mark.parametrize(("actions", "reviewed"), [(None, False), ((), True), ((1,), True)], ids=["none", "no", "yes"])
def test_a_set_is_reviewed_when_anybody_has_an_answer(actions: tuple[int, ...] | None, reviewed: bool) -> None:
    assert is_reviewed([row(2, 0, None), row(3, 0, actions)]) is reviewed


ROWS = st.lists(
    st.builds(
        row,
        st.integers(0, 13),
        st.integers(0, 4),
        st.one_of(st.none(), st.frozensets(st.integers(1, 80), max_size=3).map(lambda one: tuple(sorted(one)))),
        score=st.one_of(st.none(), st.floats(0, 1)),
        box=st.tuples(*[st.floats(0, 0.4)] * 2, *[st.floats(0.5, 1)] * 2).map(lambda one: box_of(*one)),
    ),
    unique_by=lambda one: one.key,
    max_size=30,
)


@given(ROWS, st.booleans(), st.booleans())
def test_no_answer_is_invented_and_none_of_a_whole_keyframe_is_lost(
    rows: list[Row], training: bool, reviewed: bool
) -> None:
    found = taken(rows, training=training, reviewed=reviewed)
    inside = [one for one in rows if 2 <= one.second <= 10]
    labels = {(one.second - 900, one.person, one.action) for one in found.labels()}
    assert labels <= {(one.second, one.person, action) for one in inside for action in one.actions or ()}
    open_seconds = {one.second for one in inside if one.actions is None}
    if reviewed:
        kept = [one for one in inside if one.actions is not None and (training or one.second not in open_seconds)]
        assert labels == {(one.second, one.person, action) for one in kept for action in one.actions or ()}
        assert {(one.second, one.person) for one in found.persons} == {one.key for one in kept}
        assert set(found.excluded) == (set() if training else {900 + second for second in open_seconds})
        assert all(one.score == 1 for one in found.persons)
    else:
        assert {(one.second, one.person) for one in found.persons} == {one.key for one in inside}
    # all files tell of the same persons, in one order
    assert {one.box for one in found.labels()} <= {one.box for one in found.predicted()}
    assert [value for _, values in found.proposals() for value in values[:, 4]] == [
        float(one.score) for one in found.predicted()
    ]
    assert all(values.size and (values >= 0).all() and (values <= 1).all() for _, values in found.proposals())
