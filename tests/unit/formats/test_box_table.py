from fractions import Fraction

import pytest

from vidbench.errors import InputError
from vidbench.formats.box_table import dump, parse, parse_ava
from vidbench.formats.given import GivenBox, VideoShape

WALK = VideoShape("walk", 200, 100, Fraction(25))
SHAPES = {"walk": WALK, "walk.mp4": WALK}


@pytest.mark.parametrize(
    ("header", "row", "span"),
    [
        ("video,second,x1,y1,x2,y2", "walk,2,0.1,0.1,0.4,0.9", range(60, 61)),
        ("video,time,x1,y1,x2,y2", "walk.mp4,0.5,0.1,0.1,0.4,0.9", range(15, 16)),
        ("video,frame,x1,y1,x2,y2", "walk,3,0.1,0.1,0.4,0.9", range(2, 4)),
        ("y2_px,x1_px,x2_px,y1_px,second,video", "90,20,80,10,0,walk", range(0, 1)),
    ],
    ids=["second", "time", "frame", "pixels"],
)
def test_columns_say_moment_and_unit(header: str, row: str, span: range) -> None:
    given = parse([header, row], "t.csv", SHAPES)
    assert given.boxes == (GivenBox("walk", span.start, (0.1, 0.1, 0.4, 0.9)),)
    assert given.spans == {"walk": (span,)}


def test_score_person_and_actions_may_be_empty() -> None:
    lines = [
        "\ufeffvideo,second,x1,y1,x2,y2,score,person,actions\n",
        "walk,0,0,0,0.5,1,0.25,3,80;12\r\n",
        "walk,0,0.5,0,1,1,,,\n",
        "\n",
        "walk,0,0.5,0,1,1,,4,none\n",
        "walk,7,,,,,,,\n",
        'run,0,0,0,1,1,,,""\n',
    ]
    given = parse(lines, "t.csv", SHAPES)
    assert given.boxes == (
        GivenBox("walk", 0, (0, 0, 0.5, 1), 0.25, 3, (12, 80)),
        GivenBox("walk", 0, (0.5, 0, 1, 1)),
        GivenBox("walk", 0, (0.5, 0, 1, 1), None, 4, ()),
    )
    assert given.spans == {"walk": (range(0, 1), range(210, 211))}
    assert given.others == ("run",)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("second,x1,y1,x2,y2", "no column video"),
        ("video,x1,y1,x2,y2", "none of the columns second, time, frame"),
        ("video,second,time,x1,y1,x2,y2", "second and time of the columns"),
        ("video,second,x1,y1,x2", "not the four columns"),
        ("video,second,x1,y1,x2,y2,x1_px", "not the four columns"),
        ("video,second,x1,y1,x2,y2,name", "unknown column 'name'"),
        ("video,second,x1,y1,x2,y2,x1", "named twice"),
    ],
    ids=lambda value: None,
)
def test_the_first_line_must_name_the_columns(header: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse([header], "t.csv", SHAPES)
    assert caught.value.message.startswith("t.csv:1: ")
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("walk,1,0,0,1", "5 cells, where the first line names 9"),
        (",1,0,0,1,1,,,", "no video"),
        ("walk,1.5,0,0,1,1,,,", "second '1.5' is not a whole number"),
        ("walk,-1,0,0,1,1,,,", "second '-1'"),
        ("walk,1,20,10,80,90,,,", "x1 20 is no fraction of the frame; columns of pixels are x1_px"),
        ("walk,1,0.5,0,0.1,1,,,", "x1 or y1 is more than"),
        ("walk,1,nan,0,1,1,,,", "x1 'nan' is not a number"),
        ("walk,1,,0,1,1,,,", "x1 '' is not a number"),
        ("walk,1,0,0,1,1,2,,", "score 2 is not from 0 to 1"),
        ("walk,1,0,0,1,1,,a,", "person 'a' is not a whole number"),
        ("walk,1,0,0,1,1,,,sit", "actions 'sit'"),
        ("run,1,0,0,1,1,7,,", "score 7 is not from 0 to 1"),
        ("walk,0,0,0,1,1,,1,", "the person has a box at this moment before, at 2"),
    ],
    ids=lambda value: None,
)
def test_malformed_rows_are_named(row: str, reason: str) -> None:
    header = "video,second,x1,y1,x2,y2,score,person,actions"
    with pytest.raises(InputError) as caught:
        parse([header, "walk,0,0,0,1,1,,1,", row], "t.csv", SHAPES)
    assert caught.value.message.startswith("t.csv:3: ")
    assert reason in caught.value.message


def test_broken_quotes_are_named() -> None:
    with pytest.raises(InputError, match=r"t\.csv:2"):
        parse(["video,second,x1,y1,x2,y2", '"walk"x,1,0,0,1,1'], "t.csv", SHAPES)


def test_seconds_are_written_where_all_are_whole() -> None:
    boxes = [
        GivenBox("walk", 60, (0.125, 0.0, 0.5, 1.0), 0.25, 1, (12, 80)),
        GivenBox("walk", 30, (0.1, 0.2, 0.3, 0.4), None, None, ()),
    ]
    assert list(dump(boxes)) == [
        "video,second,x1,y1,x2,y2,score,person,actions\n",
        "walk,1,0.1,0.2,0.3,0.4,,,none\n",
        "walk,2,0.125,0,0.5,1,0.25,1,12;80\n",
    ]
    lines = list(dump([*boxes, GivenBox("walk", 31, (0, 0, 1, 1))]))
    assert lines[0].startswith("video,time,")
    assert [line.split(",")[1] for line in lines[1:]] == ["1", "1.033333", "2"]


def test_names_that_cannot_stand_in_a_table_are_refused() -> None:
    with pytest.raises(InputError, match="cannot stand in a table"):
        list(dump([GivenBox("a,b", 0, (0, 0, 1, 1))]))


def test_predicted_boxes_of_ava_are_read() -> None:
    lines = [
        "walk,0002,0.100,0.100,0.400,0.900,,0.995518\n",
        "walk,0002,0.100,0.100,0.400,0.900,12,0.995518\n",
        "walk,0003,0.1,0.1,0.1,0.9,-1,0.5\n",
        "run,0002,0.1,0.1,0.4,0.9,,0.5\n",
    ]
    given = parse_ava(lines, "p.csv", SHAPES)
    assert given.boxes == (GivenBox("walk", 60, (0.1, 0.1, 0.4, 0.9), 0.995518),)
    assert given.spans == {"walk": (range(60, 61), range(90, 91))}
    assert (given.flat, given.others) == (1, ("run",))
    with pytest.raises(InputError, match=r"p\.csv:1: "):
        parse_ava(["walk,0002,0.1,0.1,0.4,1.9,,0.5\n"], "p.csv", SHAPES)
