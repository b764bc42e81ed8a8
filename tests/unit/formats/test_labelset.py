"""The set on disk: what is written is read back, and what is malformed is told by file and line."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.errors import InputError
from vidbench.formats.labelset import (
    BoxT,
    Row,
    SetAction,
    SetFile,
    SetVideo,
    TrackPath,
    box_of,
    dump_paths,
    dump_rows,
    dump_set,
    parse_paths,
    parse_rows,
    parse_set,
    row_json,
)

ROW = Row(2, 0, (0.1, 0.2, 0.3, 0.9), 0.93, (12, 80), 4, True, ("joined",))
VIDEO = SetVideo("a-1_b", "../v/a 1.mp4", 10, 640, 360, "30000/1001", 300, 2, 8, "val")


@st.composite
def boxes(draw: st.DrawFn) -> BoxT:
    x1, x2 = sorted(draw(st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True)))
    y1, y2 = sorted(draw(st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True)))
    return x1 / 1000, y1 / 1000, x2 / 1000, y2 / 1000


rows = st.builds(
    Row,
    second=st.integers(0, 20_000),
    person=st.integers(0, 500),
    box=boxes(),
    score=st.none() | st.integers(0, 10_000).map(lambda n: n / 10_000),
    actions=st.none() | st.sets(st.integers(1, 80)).map(lambda found: tuple(sorted(found))),
    track=st.none() | st.integers(0, 999),
    checked=st.booleans(),
    doubts=st.lists(st.sampled_from(["joined", "weak", "short", "crowded", "drawn"]), unique=True).map(tuple),
)


@given(st.lists(rows, unique_by=lambda row: row.key))
def test_rows_come_back_sorted(found: list[Row]) -> None:
    again = parse_rows(dump_rows(found), "tracks.jsonl")
    assert again == tuple(sorted(found, key=lambda row: row.key))
    # what was read is written again byte by byte
    assert list(dump_rows(again)) == list(dump_rows(found))


def test_a_change_of_one_row_changes_one_line() -> None:
    before = list(dump_rows([ROW, Row(3, 0, ROW.box), Row(4, 0, ROW.box)]))
    after = list(dump_rows([ROW, Row(3, 0, ROW.box, actions=(1,)), Row(4, 0, ROW.box)]))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


def test_no_action_is_not_untouched() -> None:
    untouched, none = parse_rows(dump_rows([Row(1, 0, ROW.box), Row(1, 1, ROW.box, actions=())]), "t")
    assert untouched.actions is None
    assert none.actions == ()


def test_hand_written_lines_need_no_more_than_person_and_place() -> None:
    (row,) = parse_rows(['{"second": 3, "person": 1, "box": [0, 0.25, 0.5, 1], "actions": [80, 12]}\n', "\n"], "t")
    assert row == Row(3, 1, (0.0, 0.25, 0.5, 1.0), actions=(12, 80))


BROKEN = {
    "no JSON": ("{", "not JSON"),
    "a list": ("[]", "not a JSON object"),
    "no box": ('{"second": 1, "person": 0}', "box is missing"),
    "an unknown field": (json.dumps({**row_json(ROW), "action": [1]}), "unknown field action"),
    "a second of text": (json.dumps({**row_json(ROW), "second": "2"}), "second '2'"),
    "a second that is true": (json.dumps({**row_json(ROW), "second": True}), "second True"),
    "a box in pixels": (json.dumps({**row_json(ROW), "box": [10, 20, 30, 40]}), "fractions from 0 to 1"),
    "a box turned round": (json.dumps({**row_json(ROW), "box": [0.5, 0.1, 0.4, 0.2]}), "x1 must be less than x2"),
    "a box without width": (json.dumps({**row_json(ROW), "box": [0.5, 0.1, 0.5001, 0.2]}), "x1 must be less than x2"),
    "NaN": (json.dumps({**row_json(ROW), "box": [float("nan"), 0.1, 0.4, 0.2]}), "fractions from 0 to 1"),
    "an action above 80": (json.dumps({**row_json(ROW), "actions": [81]}), "actions 81"),
    "an action twice": (json.dumps({**row_json(ROW), "actions": [3, 3]}), "there twice"),
    "a score above 1": (json.dumps({**row_json(ROW), "score": 1.5}), "score 1.5"),
    "checked by text": (json.dumps({**row_json(ROW), "checked": "yes"}), "checked 'yes'"),
    "an unknown doubt": (json.dumps({**row_json(ROW), "doubts": ["odd"]}), "doubt 'odd'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_lines_are_told_by_file_and_line(case: str) -> None:
    text, reason = BROKEN[case]
    with pytest.raises(InputError) as caught:
        parse_rows([*dump_rows([Row(9, 9, ROW.box)]), text + "\n"], "videos/a/tracks.jsonl")
    assert caught.value.message.startswith("videos/a/tracks.jsonl:2: ")
    assert reason in caught.value.message
    assert "A line is" in caught.value.remedy


def test_a_person_cannot_be_twice_at_a_second() -> None:
    lines = [*dump_rows([ROW]), *dump_rows([Row(2, 0, (0.5, 0.5, 0.6, 0.6))])]
    with pytest.raises(InputError, match="t:2: person 0 at second 2 is line 1 again"):
        parse_rows(lines, "t")


def test_the_set_comes_back() -> None:
    content = SetFile(
        (SetAction(1, 'say <b> & "quotes"'.replace('"', "'")), SetAction(80, "watch", "person")),
        (VIDEO, SetVideo("short", "/far/short.mkv", 0, 32, 32, "25", 30, 2, -1)),
        {"detector": "yolo"},
    )
    assert parse_set(json.loads(json.dumps(dump_set(content))), "set.json") == content
    assert list(content.videos[1].keyframes) == []
    assert content.video("a-1_b") is content.videos[0]
    with pytest.raises(InputError, match="no video 'c'"):
        content.video("c")


def _documents() -> Iterator[tuple[str, dict[str, object], str]]:
    whole = dump_set(SetFile((SetAction(1, "sit"),), (VIDEO,)))
    yield "a later version", {**whole, "schema_version": 2}, "schema_version 2"
    yield "no actions", {**whole, "actions": []}, "no actions"
    yield "two of a name", {**whole, "actions": [{"id": n, "name": "sit", "group": "pose"} for n in (1, 2)]}, "a name"
    yield "an id of 81", {**whole, "actions": [{"id": 81, "name": "sit", "group": "pose"}]}, "action id 81"
    yield "a group of its own", {**whole, "actions": [{"id": 1, "name": "sit", "group": "food"}]}, "group 'food'"
    yield "a name with quotes", {**whole, "actions": [{"id": 1, "name": 'a "b"', "group": "pose"}]}, "double quotes"
    yield "a video id with a dot", {**whole, "videos": [{**whole["videos"][0], "id": "a.b"}]}, "video id 'a.b'"
    yield "ids that differ in case alone", {
        **whole, "videos": [whole["videos"][0], {**whole["videos"][0], "id": "A-1_B"}]
    }, "two videos"  # fmt: skip
    yield "an unknown field", {**whole, "videos": [{**whole["videos"][0], "name": "x"}]}, "unknown field name"


@pytest.mark.parametrize(("value", "reason"), [pytest.param(*rest, id=name) for name, *rest in _documents()])
def test_a_broken_set_names_the_field(value: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_set(value, "set.json")
    assert caught.value.message.startswith("set.json: ")
    assert reason in caught.value.message


def test_paths_come_back_and_must_rise() -> None:
    path = TrackPath(3, (60, 63), (ROW.box, ROW.box))
    assert parse_paths(dump_paths([path]), "paths.jsonl") == (path,)
    with pytest.raises(InputError, match=r"paths.jsonl:1: numbers must rise"):
        parse_paths(dump_paths([TrackPath(3, (63, 60), (ROW.box, ROW.box))]), "paths.jsonl")


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_boxes_are_clipped_rounded_or_nothing(edges: list[float]) -> None:
    box = box_of(*edges)
    if box is not None:
        assert 0 <= box[0] < box[2] <= 1
        assert 0 <= box[1] < box[3] <= 1
        assert all(f"{value:.3f}" == f"{float(f'{value:.3f}'):.3f}" and value == round(value, 3) for value in box)
    else:
        inside = [min(max(value, 0.0), 1.0) for value in edges]
        assert round(inside[0], 3) >= round(inside[2], 3) or round(inside[1], 3) >= round(inside[3], 3)
