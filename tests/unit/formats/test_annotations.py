"""Kinetics' annotation files: every published form, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats.annotations import (
    Annotation,
    decode_annotations,
    dump_annotations,
    load_annotations,
    parse_annotations,
)

# first lines of ActivityNet's kinetics-400_val.csv, -400_test.csv, -600_val.csv (their Crawler/Kinetics/data),
# of DeepMind's kinetics400/validate.csv, and of the older form that the crawler still takes
ACTIVITYNET = "label,youtube_id,time_start,time_end,split,is_cc\nabseiling,0wR5jVB-WPk,417,427,val,0\n"
TEST = "youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n"
DEEPMIND = "label,youtube_id,time_start,time_end,split\njavelin throw,--07WQ2iBlw,1,11,validate\n"
OLD = "video-id,start-time,end-time,label-name\n--07WQ2iBlw,1,11,javelin throw\n"


def only(text: str) -> Annotation:
    (row,) = parse_annotations(text.splitlines(), "f").rows
    return row


def test_published_forms() -> None:
    assert only(ACTIVITYNET) == Annotation("0wR5jVB-WPk", 417.0, 427.0, "abseiling", "val", ("0",), 2)
    assert only(TEST) == Annotation("--6bJUbfpnQ", 17.0, 27.0, "", "test", (), 2)
    assert only(DEEPMIND) == Annotation("--07WQ2iBlw", 1.0, 11.0, "javelin throw", "validate", (), 2)
    assert only(OLD) == Annotation("--07WQ2iBlw", 1.0, 11.0, "javelin throw", "", (), 2)


@pytest.mark.parametrize("text", [ACTIVITYNET, TEST, DEEPMIND, OLD])
def test_read_and_written_back_the_bytes_are_the_same(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(text.encode())
    held = load_annotations(path)
    assert dump_annotations(held.rows, held.columns) == text


def test_names() -> None:
    row = only(ACTIVITYNET)
    assert (row.key, row.clip_name) == (("0wR5jVB-WPk", 417.0, 427.0), "0wR5jVB-WPk_000417_000427.mp4")
    assert only(DEEPMIND).split_name == "val"
    # the crawler's '%06d' cuts fractions off
    assert only("youtube_id,time_start,time_end\nx,17.9,27.9\n").clip_name == "x_000017_000027.mp4"


def test_quotes_order_of_columns_line_ends_and_mark() -> None:
    text = '\ufeff"time_end","label","youtube_id","time_start"\r\n11,"""hurling (sport)""","x",1\r\n\r\n'
    (row,) = decode_annotations(text.encode(), "f")
    assert (row.label, row.youtube_id, row.start_s, row.end_s) == ("hurling (sport)", "x", 1.0, 11.0)


def test_a_video_may_give_several_clips() -> None:
    rows = parse_annotations((DEEPMIND + "javelin throw,--07WQ2iBlw,21,31,validate\n").splitlines(), "f").rows
    assert len({row.key for row in rows}) == 2


def test_all_problems_at_once() -> None:
    text = DEEPMIND + (
        "javelin throw,--07WQ2iBlw,1,11,validate\n"
        "zumba,a,11,1,validate\n"
        "zumba,b,-1,9,validate\n"
        "zumba,c,one,11,validate\n"
        "zumba,,1,11,validate\n"
        "zumba,../../x,1,11,validate\n"
        "zumba,d,1,11\n"
        "zumba,--07WQ2iBlw,1.5,11,validate\n"
        "zumba,e,nan,1e3,validate\n"
        "zumba,f,5,5,validate\n"
    )
    with pytest.raises(InputError) as caught:
        parse_annotations(text.splitlines(), "f.csv")
    assert caught.value.message.splitlines() == [
        "f.csv:3: --07WQ2iBlw from 1 to 11 s is listed before, at line 2",
        "f.csv:4: time_end 1 is not after time_start 11",
        "f.csv:5: time_start -1 is negative",
        "f.csv:6: time_start 'one' is not a number of seconds",
        "f.csv:7: no id",
        "f.csv:8: the id '../../x' is none",
        "f.csv:9: 4 cells, where the first line names 5 columns",
        "f.csv:10: its file would be called --07WQ2iBlw_000001_000011.mp4, as that of line 2",
        "f.csv:11: time_start 'nan' is not a number of seconds",
        "f.csv:12: time_end 5 is not after time_start 5",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f:1: no column youtube_id, time_start, time_end in nothing"),
        ("label,youtube_id,time_start\na,b,1\n", "f:1: no column time_end"),
        ("abseiling,0wR5jVB-WPk,417,427,val\n", "f:1: no column youtube_id, time_start, time_end in 'abseiling,"),
        ("label,label-name,youtube_id,time_start,time_end\n", "f:1: two columns of the label: label and label-name"),
        ("youtube_id,time_start,time_end\n", "f: no clip in it"),
        ('youtube_id,time_start,time_end\n"a,1,2\n', "f:2: unexpected end of data"),
    ],
)
def test_files_that_are_none(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_annotations(text.splitlines(), "f")
    assert caught.value.message.startswith(told)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_annotations(tmp_path / "none.csv")
    with pytest.raises(InputError, match="a folder"):
        load_annotations(tmp_path)
    (tmp_path / "latin.csv").write_bytes(b"youtube_id,time_start,time_end\n\xe9,1,2\n")
    with pytest.raises(InputError, match=r"latin\.csv:2: not UTF-8"):
        load_annotations(tmp_path / "latin.csv")
