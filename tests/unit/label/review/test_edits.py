"""Every edit on rows in memory."""

import dataclasses
from typing import Any

import pytest

from vidbench.formats.labelset import Row
from vidbench.label.review.edit_kinds import EditError, EditRequest
from vidbench.label.review.edits import Change, Facts, change, spans

FACTS = Facts({1: "bend", 11: "sit", 12: "stand", 17: "carry", 80: "watch"}, range(2, 12))
BOX = (0.1, 0.2, 0.3, 0.9)


def row(second: int, person: int = 0, actions: tuple[int, ...] | None = None, **more: Any) -> Row:
    return Row(second, person, BOX, 0.9, actions, 4, **more)


def held(*rows: Row) -> dict[tuple[int, int], Row]:
    return {one.key: one for one in rows}


def made(rows: dict[tuple[int, int], Row], **edit: Any) -> Change:
    told = {name.rstrip("_"): value for name, value in edit.items()}
    # tuples as JSON gives them to the strict models
    told = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return change(rows, EditRequest.model_validate({"revision": 0, "edit": told}).edit, FACTS)


def after(rows: dict[tuple[int, int], Row], **edit: Any) -> dict[tuple[int, int], Row]:
    done = made(rows, **edit)
    for one in done.removed:
        assert rows[one.key] == one
    kept = {key: one for key, one in rows.items() if one not in done.removed}
    assert not kept.keys() & {one.key for one in done.added}
    return kept | held(*done.added)


def answers(rows: dict[tuple[int, int], Row], person: int = 0) -> list[tuple[int, ...] | None]:
    return [rows[key].actions for key in sorted(rows) if key[1] == person]


def test_toggle_on_answers_and_keeps_other_actions() -> None:
    rows = held(row(2), row(3, actions=()), row(4, actions=(12,), checked=True), row(5, actions=(11,)))
    done = made(rows, kind="toggle", person=0, seconds=[2, 3, 4, 5], action=11, on=True)
    assert done.says == "sit on for person 0 at second 2-5"
    # the row that has it already is not touched
    assert [one.second for one in done.removed] == [2, 3, 4]
    now = after(rows, kind="toggle", person=0, seconds=[2, 3, 4, 5], action=11, on=True)
    assert answers(now) == [(11,), (11,), (11, 12), (11,)]
    assert not now[4, 0].checked


def test_toggle_off_leaves_no_answer_behind() -> None:
    rows = held(row(2, actions=(11,)), row(3, actions=(11, 80)), row(4), row(5, actions=()))
    now = after(rows, kind="toggle", person=0, seconds=[2, 3, 4, 5], action=11, on=False)
    assert answers(now) == [None, (80,), None, ()]


def test_no_action_is_said_and_taken_back() -> None:
    rows = held(row(2), row(3, actions=(11,)))
    said = after(rows, kind="none", person=0, seconds=[2, 3], on=True)
    assert answers(said) == [(), ()]
    back = after(held(said[2, 0], row(3, actions=(11,))), kind="none", person=0, seconds=[2, 3], on=False)
    assert answers(back) == [None, (11,)]


@pytest.mark.parametrize("answer", [None, [], [80, 12]], ids=["untouched", "none", "two"])
def test_set_gives_the_answer(answer: list[int] | None) -> None:
    now = after(held(row(2, actions=(1,)), row(3)), kind="set", person=0, seconds=[2, 3], actions=answer)
    assert answers(now) == [None if answer is None else tuple(sorted(answer))] * 2


def test_fill_ends_where_the_answer_changes() -> None:
    rows = held(row(2, actions=(11,)), row(3), row(5), row(6, actions=(12,)), row(7))
    done = made(rows, kind="fill", person=0, from_=2, until="change")
    assert [one.second for one in done.added] == [3, 5]
    assert {one.actions for one in done.added} == {(11,)}
    assert "stops before second 6" in done.says


def test_fill_with_an_answer_compares_with_the_old_one() -> None:
    rows = held(row(2, actions=(12,)), row(3, actions=(12,)), row(4, actions=(11,)), row(5, actions=(11,)))
    now = after(rows, kind="fill", person=0, from_=2, until="change", actions=[80])
    assert answers(now) == [(80,), (80,), (11,), (11,)]
    # without one, what the source was before it was answered is not known: the next keyframe tells
    assert answers(after(rows, kind="fill", person=0, from_=3, until="change")) == [(12,), (12,), (12,), (12,)]


def test_fill_to_the_end_and_everywhere() -> None:
    rows = held(row(2), row(3, actions=(11,)), row(4, actions=(12,)), row(5, actions=()), row(5, 1))
    assert answers(after(rows, kind="fill", person=0, from_=3, until="end")) == [None, (11,), (11,), (11,)]
    whole = after(rows, kind="fill", person=0, from_=3, until="whole")
    assert answers(whole) == [(11,)] * 4
    assert answers(whole, 1) == [None]


def test_fill_at_the_last_keyframe_changes_nothing() -> None:
    done = made(held(row(2), row(3, actions=(11,))), kind="fill", person=0, from_=3, until="change")
    assert done.removed == done.added == ()


def test_merge_takes_the_number_and_keeps_the_check() -> None:
    rows = held(row(2, 3, (11,), checked=True), row(4, 3), row(3, 5))
    now = after(rows, kind="merge", person=3, into=5)
    assert sorted(now) == [(2, 5), (3, 5), (4, 5)]
    assert now[2, 5] == dataclasses.replace(rows[2, 3], person=5)


def test_merge_of_two_at_one_second_is_refused() -> None:
    rows = held(*(row(s, p) for s in (2, 3, 4, 7) for p in (0, 1)), row(9))
    with pytest.raises(EditError, match="both have a box at second 2-4, 7"):
        made(rows, kind="merge", person=0, into=1)


def test_split_gives_the_next_number() -> None:
    rows = held(row(2), row(3), row(5), row(3, 7))
    now = after(rows, kind="split", person=0, from_=3)
    assert sorted(now) == [(2, 0), (3, 7), (3, 8), (5, 8)]


def test_swap_exchanges_from_a_second_on() -> None:
    rows = held(row(2, 0, (1,)), row(3, 0, (1,)), row(4, 0, (1,)), row(2, 1, (80,)), row(3, 1, (80,)))
    now = after(rows, kind="swap", a=0, b=1, from_=3)
    assert answers(now, 0) == [(1,), (80,)]
    assert answers(now, 1) == [(80,), (1,), (1,)]


def test_delete_some_and_all() -> None:
    rows = held(row(2), row(3), row(4), row(3, 1))
    assert sorted(after(rows, kind="delete", person=0, seconds=[3, 4])) == [(2, 0), (3, 1)]
    assert sorted(after(rows, kind="delete", person=0, seconds=None)) == [(3, 1)]


def test_a_box_drawn_anew_is_a_persons_own() -> None:
    rows = held(row(2, actions=(11,), checked=True, doubts=("weak", "drawn")))
    now = after(rows, kind="box", person=0, second=2, box=[-0.2, 0.25, 0.5004, 1.3])[2, 0]
    assert now == Row(2, 0, (0.0, 0.25, 0.5, 1.0), None, (11,), 4, False, ("weak",))
    same = made(rows, kind="box", person=0, second=2, box=list(BOX))
    assert same.added == ()


def test_add_a_box_for_a_new_and_for_a_known_person() -> None:
    rows = held(row(2), row(3, 4))
    new = after(rows, kind="add", second=5, box=list(BOX))
    assert new[5, 5] == Row(5, 5, BOX)
    assert (5, 4) in after(rows, kind="add", second=5, box=list(BOX), person=4)


def test_check_ends_the_doubts_and_is_taken_back() -> None:
    rows = held(row(2, actions=(11,), doubts=("weak",)), row(3, actions=()))
    checked = after(rows, kind="check", person=0, seconds=[2, 3], on=True)
    assert all(one.checked and not one.doubts for one in checked.values())
    assert not any(one.checked for one in after(checked, kind="check", person=0, seconds=[2, 3], on=False).values())


BAD = {
    "unknown person": {"kind": "delete", "person": 9, "seconds": None},
    "unknown second": {"kind": "toggle", "person": 0, "seconds": [2, 9], "action": 11, "on": True},
    "unknown action": {"kind": "toggle", "person": 0, "seconds": [2], "action": 13, "on": True},
    "unknown actions": {"kind": "set", "person": 0, "seconds": [2], "actions": [11, 79]},
    "unknown fill": {"kind": "fill", "person": 0, "from": 2, "until": "end", "actions": [13]},
    "fill from nowhere": {"kind": "fill", "person": 0, "from": 9, "until": "end"},
    "into itself": {"kind": "merge", "person": 0, "into": 0},
    "into nobody": {"kind": "merge", "person": 0, "into": 9},
    "split at the start": {"kind": "split", "person": 0, "from": 2},
    "split after the end": {"kind": "split", "person": 0, "from": 9},
    "swap with itself": {"kind": "swap", "a": 1, "b": 1, "from": 2},
    "swap after the end": {"kind": "swap", "a": 0, "b": 1, "from": 9},
    "no area": {"kind": "box", "person": 0, "second": 2, "box": [0.5, 0.5, 0.5, 0.9]},
    "outside": {"kind": "box", "person": 0, "second": 2, "box": [1.1, 0.5, 1.5, 0.9]},
    "no keyframe": {"kind": "add", "second": 1, "box": [0.1, 0.1, 0.2, 0.2]},
    "there already": {"kind": "add", "second": 2, "box": [0.1, 0.1, 0.2, 0.2], "person": 0},
    "check before an answer": {"kind": "check", "person": 0, "seconds": [2, 3], "on": True},
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_done_is_refused(name: str) -> None:
    rows = held(row(2, actions=(11,)), row(3), row(3, 1))
    with pytest.raises(EditError):
        made(rows, **BAD[name])


def test_spans_are_short() -> None:
    assert spans([3, 2, 9, 4]) == "2-4, 9"
    assert spans(range(0, 40, 2)) == "0, 2, 4, 6, 8, 10, 12, 14 and 12 more spans"
