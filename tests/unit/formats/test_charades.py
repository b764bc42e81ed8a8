"""Charades' annotation file, and which frames show an action."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats.charades import Action, dump_charades, frame_numbers, load_charades, parse_charades

# the row that gsig/charades-algorithms quotes in issue 15
COLUMNS = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
ROW = (
    "46GP8,HR43,Kitchen,6,7,Yes,A person cooking on a stove while watching something out a window.,food;stove;window,"
    "A person cooks food on a stove before looking out of a window.,c092 11.90 21.20;c147 0.00 12.60,24.83"
)
QUOTED = 'N11GT,0KZ7,Stairs,6,7,No,"A person, standing.\nThen ""sits"".",chair,Sits.,,18.08'
TEXT = f"{COLUMNS}\n{ROW}\n{QUOTED}\n"


def test_rows() -> None:
    first, second = parse_charades(TEXT, "f").videos
    assert (first.id, first.line) == ("46GP8", 2)
    assert first.actions == (Action(92, 11.9, 21.2), Action(147, 0.0, 12.6))
    assert first.cells[0] == "HR43"
    assert (second.id, second.actions, second.line) == ("N11GT", (), 3)
    assert second.cells[5] == 'A person, standing.\nThen "sits".'


def test_read_and_written_back_the_bytes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "Charades_v1_train.csv"
    path.write_bytes(TEXT.encode())
    held = load_charades(path)
    assert dump_charades(held.videos, held.columns) == TEXT


def test_all_problems_at_once_with_the_line_a_row_begins_at() -> None:
    text = (
        f"{TEXT}{ROW}\n"
        f"{ROW.replace('46GP8', '../x')}\n"
        f"{ROW.replace('46GP8', 'A').replace('c092', 'c157')}\n"
        f"{ROW.replace('46GP8', 'B').replace('11.90', '-1')}\n"
        "C,1\n"
    )
    with pytest.raises(InputError) as caught:
        parse_charades(text, "f.csv")
    assert caught.value.message.splitlines() == [
        "f.csv:5: 46GP8 is listed before, at line 2",
        "f.csv:6: the id '../x' is none",
        "f.csv:7: 'c157 11.90 21.20' has no class of Charades: they go from c000 to c156",
        "f.csv:8: 'c092 -1 21.20' is not an action",
        "f.csv:9: 2 cells, where the first line names 11 columns",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f:1: no column id, actions"),
        ("id,script\n", "f:1: no column actions"),
        ("id,actions\n", "f: no video in it"),
        ('id,actions\n"x,\n', "f:2: unexpected end of data"),
    ],
)
def test_files_that_are_none(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_charades(text, "f")
    assert caught.value.message.startswith(told)


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (0.0, 0.0, 1, 1),
        (0.0, 12.6, 1, 303),  # frame 303 shows 302/24 = 12.583 s, frame 304 12.625 s
        (11.9, 21.2, 287, 509),  # 286/24 = 11.917, 508/24 = 21.167
        (0.5, 1.0, 13, 25),  # both ends fall on a frame, and count
        (0.01, 0.04, 2, 1),  # between two frames
        (5.0, 4.0, 121, 120),
    ],
)
def test_frames_of_an_action(start: float, end: float, first: int, last: int) -> None:
    assert frame_numbers(Action(0, start, end)) == range(first, last + 1)


def test_decimals_are_compared_as_they_are_written() -> None:
    # in binary 0.1 * 30 is 3.0000000000000004, behind which no frame 4 would begin
    assert 0.1 * 3 * 10 > 3
    assert frame_numbers(Action(0, 0.3, 0.3), Fraction(10)) == range(4, 5)
