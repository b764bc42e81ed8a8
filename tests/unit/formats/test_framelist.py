"""The frame list of PySlowFast: what is read, what is refused, what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats.framelist import (
    HEADER,
    FrameLine,
    dump_frames,
    load_frames,
    name_problem,
    parse_frames,
    save_frames,
)

# lines as PySlowFast's own lists for AVA and Charades have them
AVA = f"""{HEADER}
-5KQ66BBWC4 0 0 -5KQ66BBWC4/-5KQ66BBWC4_000001.jpg ""
-5KQ66BBWC4 0 1 -5KQ66BBWC4/-5KQ66BBWC4_000002.jpg ""
-FaXLcSFjUI 1 0 -FaXLcSFjUI/-FaXLcSFjUI_000001.jpg ""
"""
CHARADES = f"""{HEADER}
46GP8 0 0 46GP8/46GP8-000001.jpg ""
46GP8 0 12 46GP8/46GP8-000013.jpg "92,147"
N11GT 1 0 N11GT/N11GT-000001.jpg "0"
"""


def test_what_a_line_says() -> None:
    rows = list(parse_frames(AVA.splitlines(), "l"))
    assert rows[1] == FrameLine("-5KQ66BBWC4", 0, 1, "-5KQ66BBWC4/-5KQ66BBWC4_000002.jpg", ())
    assert [row.labels for row in parse_frames(CHARADES.splitlines(), "l")] == [(), (92, 147), (0,)]


@pytest.mark.parametrize("text", [AVA, CHARADES], ids=["ava", "charades"])
def test_files_come_back_byte_by_byte(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(text.encode())
    assert save_frames(tmp_path / "again.csv", load_frames(path)) == 3
    assert (tmp_path / "again.csv").read_bytes() == text.encode()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.csv", "train.csv"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a b 0 0 a/1.jpg", "video_id 'b' is not a whole number"),
        ('a 0 0 a b/1.jpg ""', "6 fields between single blanks"),
        ('a  0 0 a/1.jpg ""', "6 fields"),
        ("a 0 0 a/1.jpg", "4 fields"),
        ('a 0 00 a/1.jpg ""', "frame_id '00'"),
        ('a -1 0 a/1.jpg ""', "video_id '-1'"),
        ("a 0 0 a/1.jpg 1,2", "labels '1,2'"),
        ('a 0 0 a/1.jpg "1, 2"', "6 fields"),
        ('a 0 0 a/1.jpg "1,,2"', "labels"),
        ('a" 0 0 a/1.jpg ""', "it has a quote"),
        ('a 0 0 a\t1.jpg ""', "it has a blank"),
        ("", "an empty line"),
    ],
)
def test_a_malformed_line_is_told_with_its_place(line: str, reason: str) -> None:
    lines = [HEADER, 'v 0 0 v/1.jpg ""', line]
    with pytest.raises(InputError) as refused:
        list(parse_frames(lines, "l.csv"))
    assert refused.value.message.startswith("l.csv:3: ")
    assert reason in refused.value.message


@pytest.mark.parametrize("lines", [[], AVA.splitlines()[1:], ["original_video_id video_id frame_id path labels"]])
def test_a_list_without_the_header_is_refused(lines: list[str]) -> None:
    with pytest.raises(InputError, match=r"l\.csv:1: the header is missing"):
        list(parse_frames(lines, "l.csv"))


def test_many_problems_are_counted_not_spelled_out() -> None:
    with pytest.raises(InputError) as refused:
        list(parse_frames([HEADER, *["bad"] * 1000], "l"))
    assert len(refused.value.message.splitlines()) == 21


def test_what_no_reader_could_read_back_is_not_written(tmp_path: Path) -> None:
    for row in (FrameLine("a b", 0, 0, "x"), FrameLine("a", 0, 0, "x y"), FrameLine("a", -1, 0, "x")):
        with pytest.raises(InputError, match="cannot write"):
            list(dump_frames([row]))
        with pytest.raises(InputError, match="cannot write"):
            save_frames(tmp_path / "l.csv", [FrameLine("a", 0, 0, "x"), row])
    assert list(tmp_path.iterdir()) == []


def test_names_that_fit() -> None:
    assert name_problem("-5KQ66BBWC4") is None
    assert name_problem("é") is None
    assert name_problem("a b") == "it has a blank"
    assert name_problem("") == "it is empty"
    assert name_problem('a"') is not None


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(load_frames(tmp_path / "absent.csv"))
    with pytest.raises(InputError, match="cannot be read"):
        list(load_frames(tmp_path))
    (tmp_path / "l.csv").write_bytes(f"{HEADER}\n".encode() + b'\xff 0 0 a ""\n')
    with pytest.raises(InputError, match=r"l\.csv:2: not UTF-8"):
        list(load_frames(tmp_path / "l.csv"))


def test_a_long_list_is_read_line_by_line() -> None:
    def lines():
        yield HEADER
        for number in range(10**9):
            yield f'v 0 {number} v/{number}.jpg ""'

    rows = parse_frames(lines(), "l")
    assert next(rows).frame == 0
    assert next(rows).frame == 1
