from fractions import Fraction

import pytest

from vidbench.errors import InputError
from vidbench.formats.given import GivenBox, VideoShape
from vidbench.formats.mot import dump, parse

SHAPE = VideoShape("walk", 200, 100, Fraction(30))


def shape(fps: str) -> VideoShape:
    return VideoShape("walk", 200, 100, Fraction(fps))


def test_columns_are_frame_id_box_and_confidence() -> None:
    given = parse(["31,2,20,10,60,80,0.5,-1,-1,-1\n", "\n", "1,-1,0,0,100,50,-1,-1,-1,-1\r\n"], "d.txt", SHAPE)
    assert given.boxes == (
        GivenBox("walk", 0, (0.0, 0.0, 0.5, 0.5), None, None),
        GivenBox("walk", 30, (0.1, 0.1, 0.4, 0.9), 0.5, 1),
    )
    assert given.spans == {"walk": (range(0, 1), range(30, 31))}


@pytest.mark.parametrize(
    ("line", "score", "person"),
    [
        ("1,5,0,0,100,50", None, 4),
        ("1,5,0,0,100,50,1", 1.0, 4),
        ("1, 5, 0, 0, 100, 50, 1, 1", 1.0, 4),
        ("1,5.0,0,0,1e2,50,0.25,7,0.3", 0.25, 4),
        ("1,5,0,0,100,50,0.25,3.5,2,0", 0.25, 4),
    ],
    ids=["6", "7", "8", "9", "10"],
)
def test_six_to_ten_columns_are_read(line: str, score: float | None, person: int) -> None:
    assert parse([line], "d.txt", SHAPE).boxes == (GivenBox("walk", 0, (0, 0, 0.5, 0.5), score, person),)


def test_what_is_no_person_is_counted() -> None:
    lines = [f"1,{number},0,0,9,9,1,{kind},1" for number, kind in enumerate((1, 2, 3, 7, 12), start=1)]
    given = parse(lines, "gt.txt", SHAPE)
    assert [box.person for box in given.boxes] == [0, 1, 3]
    assert given.not_persons == 2


def test_ids_from_zero_stay() -> None:
    assert [box.person for box in parse(["1,0,0,0,9,9", "2,4,0,0,9,9", "3,-1,0,0,9,9"], "t", SHAPE).boxes] == [
        0,
        4,
        None,
    ]


@pytest.mark.parametrize(
    ("fps", "spans", "unseen"),
    [
        ("15", [range(0, 2), range(2, 4), range(4, 6)], 0),
        ("25", [range(0, 1), range(1, 2), range(2, 4)], 0),
        ("60", [range(0, 1), range(1, 2)], 1),
        ("30000/1001", [range(0, 1), range(1, 2), range(2, 3)], 0),
    ],
    ids=["15", "25", "60", "ntsc"],
)
def test_frames_count_at_the_rate_of_the_video(fps: str, spans: list[range], unseen: int) -> None:
    given = parse([f"{frame},1,0,0,9,9" for frame in (1, 2, 3)], "d.txt", shape(fps))
    assert list(given.spans["walk"]) == spans
    assert [box.number for box in given.boxes] == [span.start for span in spans]
    assert given.unseen == unseen


def test_boxes_may_reach_out_of_the_frame_but_need_an_area() -> None:
    given = parse(["1,1,-20,-10,40,20,1", "1,2,5,5,0,9,1"], "d.txt", SHAPE)
    assert given.boxes[0].box == (-0.1, -0.1, 0.1, 0.1)
    assert given.flat == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,1,0,0,9", "5 columns, not 6 to 10"),
        ("1 1 0 0 9 9", "1 columns"),
        ("1,1,0,0,9,9,1,1,1,1,1", "11 columns"),
        ("frame,id,x,y,w,h", "frame 'frame' is not a whole number"),
        ("0,1,0,0,9,9", "frames count from 1"),
        ("1,-2,0,0,9,9", "id -2"),
        ("1,1,nan,0,9,9", "x 'nan' is not a number"),
        ("1,1,0,0,inf,9", "w 'inf' is not a number"),
        ("1,1,0,0,-9,9", "negative"),
        ("1,1,0,0,9,9,31.5", "conf 31.5 is neither -1 nor from 0 to 1"),
        ("1,1,0,0,9,9,1,1.5", "class '1.5' is not a whole number"),
        ("1,1,0,0,9,9,1,1,x", "column 9 'x' is not a number"),
    ],
    ids=lambda value: None,
)
def test_malformed_lines_are_named(line: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(["1,1,0,0,9,9", line], "d.txt", SHAPE)
    assert caught.value.message.startswith("d.txt:2: ")
    assert reason in caught.value.message


def test_an_id_twice_in_a_frame_is_an_error() -> None:
    with pytest.raises(InputError, match=r"d\.txt:3: id 1 is in frame 2 before, at line 1"):
        parse(["2,1,0,0,9,9", "3,1,0,0,9,9", "2,1,5,5,9,9"], "d.txt", shape("60"))


def test_lines_are_sorted_and_count_from_one() -> None:
    boxes = [
        GivenBox("walk", 30, (0.1, 0.1, 0.4, 0.9), 0.5, 1),
        GivenBox("walk", 30, (0.0, 0.0, 0.5, 0.5), None, 0, (12, 80)),
        GivenBox("walk", 0, (0.0, 0.0, 0.5, 0.5)),
    ]
    assert list(dump(boxes, SHAPE)) == [
        "1,-1,0.000,0.000,100.000,50.000,1,1,1\n",
        "31,1,0.000,0.000,100.000,50.000,1,1,1\n",
        "31,2,20.000,10.000,60.000,80.000,0.5,1,1\n",
    ]


def test_a_frame_that_is_on_for_long_is_written_once() -> None:
    boxes = [GivenBox("walk", number, (0, 0, 0.5, 0.5), person=0) for number in range(6)]
    assert [line.split(",")[0] for line in dump(boxes, shape("10"))] == ["1", "2"]


def test_boxes_of_another_video_are_refused() -> None:
    with pytest.raises(InputError, match="boxes of run"):
        list(dump([GivenBox("run", 0, (0, 0, 1, 1))], SHAPE))
