"""AVA's annotation files: byte by byte there and back, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from vidbench.errors import InputError
from vidbench.formats.ava import (
    Action,
    Box,
    Label,
    Predicted,
    Second,
    dump_actions,
    dump_files,
    dump_labels,
    dump_predicted,
    dump_seconds,
    load,
    parse_actions,
    parse_files,
    parse_labels,
    parse_predicted,
    parse_seconds,
    save,
)

# lines of the published files
LABELS = """1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,12,1
1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,79,1
1j20qq1JyX4,0902,0.444,0.054,0.992,0.990,12,0
0f39OWEqJ24,0903,0.034,0.189,0.669,0.980,17,0
"""
PREDICTED = """1j20qq1JyX4,0902,0.036,0.098,0.550,0.979,,0.995518
-5KQ66BBWC4,0902,0.003,0.125,0.119,0.837,-1,0.742486
-5KQ66BBWC4,0902,0.003,0.125,0.119,0.837,80,1.000000
"""
SECONDS = "0f39OWEqJ24,0903\n0f39OWEqJ24,1798\n"
FILES = "-5KQ66BBWC4.mkv\n-FaXLcSFjUI.mp4\n0f39OWEqJ24.webm\n"
ITEMS = """item {
  name: "bend/bow (at the waist)"
  id: 1
}
item {
  name: "crouch/kneel"
  id: 3
}
"""
BLOCKS = """label {
  name: "bend/bow (at the waist)"
  label_id: 1
  label_type: PERSON_MOVEMENT
}
label {
  name: "talk to (e.g., self, a person, a group)"
  label_id: 79
  label_type: PERSON_INTERACTION
}
"""


def test_what_a_line_says() -> None:
    box = Box(Decimal("0.002"), Decimal("0.118"), Decimal("0.714"), Decimal("0.977"))
    assert parse_labels(LABELS.splitlines(), "f")[1] == Label("1j20qq1JyX4", 902, box, 79, 1)
    assert parse_labels(["v,0902"], "f") == (Second("v", 902),)
    found = parse_predicted(PREDICTED.splitlines(), "f")
    assert [row.action for row in found] == [None, -1, 80]
    assert found[0].score == Decimal("0.995518")
    assert parse_seconds(SECONDS.splitlines(), "f")[1] == Second("0f39OWEqJ24", 1798)
    actions, dialect = parse_actions(BLOCKS.splitlines(), "f")
    assert actions[0] == Action(1, "bend/bow (at the waist)", "PERSON_MOVEMENT")
    assert dialect == "label"
    assert parse_actions(ITEMS.splitlines(), "f")[0][1] == Action(3, "crouch/kneel", None)


def _actions_again(parsed: Any) -> Iterator[str]:
    return dump_actions(*parsed)


@pytest.mark.parametrize(
    ("text", "parse", "dump"),
    [
        (LABELS, parse_labels, dump_labels),
        (LABELS + "v,0907\n", parse_labels, dump_labels),
        ("v,0902,0.5,0.50,0.7,0.700,1,0\n", parse_labels, dump_labels),
        (PREDICTED, parse_predicted, dump_predicted),
        ("v,0902,0,0.0000001,1,1.000,-1,0\n", parse_predicted, dump_predicted),
        (SECONDS, parse_seconds, dump_seconds),
        ("", parse_seconds, dump_seconds),
        (FILES, parse_files, dump_files),
        (ITEMS, parse_actions, _actions_again),
        (BLOCKS, parse_actions, _actions_again),
    ],
)
def test_files_come_back_byte_by_byte(
    tmp_path: Path, text: str, parse: Callable[[Iterable[str], Path], Any], dump: Callable[[Any], Iterator[str]]
) -> None:
    (tmp_path / "one").write_bytes(text.encode())
    save(tmp_path / "two", dump(load(tmp_path / "one", parse)))
    assert (tmp_path / "two").read_bytes() == text.encode()


def test_seconds_get_four_digits_and_floats_three() -> None:
    assert list(dump_seconds([Second("v", 2)])) == ["v,0002\n"]
    row = Label("v", 902, Box.of(0.1, 1 / 3, 0.99999, 1.0), 80, 0)
    assert list(dump_labels([row])) == ["v,0902,0.100,0.333,1.000,1.000,80,0\n"]
    assert parse_seconds(["v,902"], "f") == (Second("v", 902),)


GOOD = "v,0902,0.1,0.1,0.2,0.2,1,0"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("v,0902,0.1,0.1,0.2,0.2,1", "7 columns, not 8"),
        ("v,902.0,0.1,0.1,0.2,0.2,1,0", "the second '902.0'"),
        ("v,-902,0.1,0.1,0.2,0.2,1,0", "the second '-902'"),
        ("v,0902,0.1,0.1,1.2,0.2,1,0", "x2 '1.2' is not a number from 0 to 1"),
        ("v,0902,nan,0.1,0.2,0.2,1,0", "x1 'nan'"),
        ("v,0902,1e-1,0.1,0.2,0.2,1,0", "x1 '1e-1'"),
        ("v,0902,0.3,0.1,0.2,0.2,1,0", "x1 0.3 is not less than x2 0.2"),
        ("v,0902,0.1,0.2,0.2,0.2,1,0", "y1 0.2 is not less than y2 0.2"),
        ("v,0902,0.1,0.1,0.2,0.2,0,0", "action 0"),
        ("v,0902,0.1,0.1,0.2,0.2,,0", "action ''"),
        ("v,0902,0.1,0.1,0.2,0.2,1,x", "person 'x'"),
        (",0902,0.1,0.1,0.2,0.2,1,0", "'' is not the name of a video"),
        ("a b,0902,0.1,0.1,0.2,0.2,1,0", "'a b' is not the name of a video"),
    ],
)
def test_a_malformed_annotation_is_told_with_its_place(line: str, reason: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_labels([GOOD, line, GOOD, line], "train.csv")
    told = refused.value.message.splitlines()
    assert [text.split(" ")[0] for text in told] == ["train.csv:2:", "train.csv:4:"]
    assert reason in told[0]


@pytest.mark.parametrize(
    ("parse", "line", "reason"),
    [
        (parse_predicted, "v,0902,0.1,0.1,0.2,0.2,1,1.5", "score '1.5'"),
        (parse_predicted, "v,0902,0.1,0.1,0.2,0.2,-2,0.5", "action '-2'"),
        (parse_predicted, "v,0902,0.1,0.1,0.2,0.2,0,0.5", "action 0"),
        (parse_predicted, "v,0902,0.3,0.1,0.2,0.2,1,0.5", "x1 0.3"),
        (parse_seconds, "v,0902,1", "3 columns"),
        (parse_seconds, "v", "1 columns"),
        (parse_files, "folder/v.mp4", "is not the file name of a video"),
        (parse_files, "v", "is not the file name of a video"),
        (parse_files, ".mp4", "is not the file name of a video"),
    ],
)
def test_other_malformed_lines(parse: Callable[..., object], line: str, reason: str) -> None:
    with pytest.raises(InputError, match=r"f:1: ") as refused:
        parse([line], "f")
    assert reason in refused.value.message


def test_detectors_may_give_boxes_without_width() -> None:
    assert len(parse_predicted(["v,0902,0.999,0.1,0.999,0.2,,0.5"], "f")) == 1


def test_a_video_is_listed_once() -> None:
    with pytest.raises(InputError, match=r"f:3: a\.mp4 is listed twice"):
        parse_files(["a.mp4", "b.mp4", "a.mp4"], "f")


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        (ITEMS + BLOCKS, 9, "the other kind of blocks"),
        (ITEMS + ITEMS, 12, "is there twice"),
        (ITEMS.replace("  id: 3", "  id: 1"), 8, "is there twice"),
        (ITEMS.replace("  id: 3", "id: 3"), 7, "'id: 3' does not belong here"),
        (ITEMS.replace("  id: 3", "  label_id: 3"), 7, "does not belong here"),
        (ITEMS.replace("  id: 3\n", ""), 7, "the block lacks a line"),
        (BLOCKS.replace("  label_type: PERSON_MOVEMENT\n", ""), 4, "the block lacks a line"),
        (ITEMS.removesuffix("}\n"), 7, "the last block has no `}`"),
        ("thing {\n}\n", 1, "begins no block"),
        ("", 1, "no actions"),
    ],
)
def test_a_malformed_action_list(text: str, place: int, reason: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_actions(text.splitlines(), "list.pbtxt")
    assert refused.value.message.startswith(f"list.pbtxt:{place}: ")
    assert reason in refused.value.message


def test_what_could_not_be_read_back_is_not_written() -> None:
    box = Box.of(0.1, 0.1, 0.2, 0.2)
    for lines in (
        dump_labels([Label("a,b", 902, box, 1, 0)]),
        dump_labels([Label("v", -1, box, 1, 0)]),
        dump_labels([Label("v", 902, Box.of(0.5, 0.1, 0.2, 0.2), 1, 0)]),
        dump_predicted([Predicted("v", 902, box, 0, Decimal("0.5"))]),
        dump_seconds([Second("a b", 1)]),
        dump_files(["a/b.mp4"]),
        dump_actions([Action(1, 'say "hi"')], "item"),
        dump_actions([Action(1, "sit")], "label"),
    ):
        with pytest.raises(InputError):
            list(lines)
