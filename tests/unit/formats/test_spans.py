"""Lists of spans: what is read, and how each mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats.spans import SpanRow, load_spans, parse_spans


def test_columns_go_by_their_names() -> None:
    assert parse_spans(["video,start,end\n", "a.mp4,0,12.5\n", "\n", " b , 3 , 4 \n"], "s.csv") == (
        SpanRow("a.mp4", 0.0, 12.5, "", 2),
        SpanRow("b", 3.0, 4.0, "", 4),
    )
    assert parse_spans(["end,name,video,start", '2,walk/one,"a, b.mp4",1'], "s.csv") == (
        SpanRow("a, b.mp4", 1.0, 2.0, "walk/one", 2),
    )


def test_annotations_of_kinetics(tmp_path: Path) -> None:
    # lines of ActivityNet's kinetics-400_val.csv and DeepMind's kinetics400/validate.csv
    path = tmp_path / "validate.csv"
    path.write_bytes(
        b"\xef\xbb\xbflabel,youtube_id,time_start,time_end,split,is_cc\r\nabseiling,0wR5jVB-WPk,417,427,val,0\r\n"
        b"javelin throw,--07WQ2iBlw,1,11,validate,0\r\n"
    )
    assert load_spans(path) == (
        SpanRow("0wR5jVB-WPk", 417.0, 427.0, "", 2),
        SpanRow("--07WQ2iBlw", 1.0, 11.0, "", 3),
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,1", "2 cells, where the first line names 4 columns"),
        ("a,1,2,n,5", "5 cells, where the first line names 4 columns"),
        (",1,2,", "no video"),
        ("a,,2,", "start '' is not a number of seconds"),
        ("a,1,nan,", "end 'nan' is not a number of seconds"),
        ("a,1,1e3,", "end '1e3' is not a number of seconds"),
        ("a,-1,2,", "start -1 is negative"),
        ("a,2,2.0,", "the span is empty: it ends where it starts, at 2"),
        ("a,3,2,", "the span is reversed: it ends at 2, before it starts at 3"),
        ("first,0,1,", "the span is listed before, at line 2"),
        ("first,0.0,1.00,x", "the span is listed before, at line 2"),
        ("a,1,2,../x", "name '../x' leads out of the folder, or is no file name"),
        ("a,1,2,/x", "name '/x' leads out of the folder, or is no file name"),
        ("a,1,2,x\x00y", "name 'x\\x00y' has control characters"),
    ],
)
def test_each_mistake_is_named_with_its_line(line: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_spans(["video,start,end,name\n", "first,0,1,\n", "\n", f"{line}\n"], "s.csv")
    assert caught.value.message == f"s.csv:4: {reason}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.csv:1: no column video, start, end"),
        ("a.mp4,1,2\n", "s.csv:1: no column video, start, end"),
        ("video,start\n", "s.csv:1: no column end"),
        ("video,start,end,label\n", "s.csv:1: unknown column 'label'"),
        ("video,start,end,end\n", "s.csv:1: a column is named twice"),
        ("video,start,end\n", "s.csv: no span in it"),
        ('video,start,end\n"a,1,2\n', "s.csv:2: unexpected end of data"),
        ("youtube_id,time_start,time_end\nabc,5,1\n", "s.csv:2: "),
    ],
)
def test_a_file_that_is_no_list_of_spans(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_spans(text.splitlines(keepends=True), "s.csv")
    assert caught.value.message.startswith(message)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_spans(["video,start,end", *(f"v{index},5,1" for index in range(30))], "s.csv")
    assert caught.value.message.count("\n") == 20
    assert caught.value.message.endswith("... and 10 more")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_spans(tmp_path / "none.csv")
