"""Lists of videos: what is read, what is refused and how, what is written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from vidbench.errors import EXIT_INPUT, InputError
from vidbench.formats.kinetics import ListLine, decode_list, dump_list, load_list, parse_list, path_problem, save_list

FORMATS_PAGE = Path(__file__).parents[3] / "docs" / "formats.md"


def test_lines_are_split_into_path_and_label() -> None:
    rows = parse_list(["./val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161", "/a/-b.mkv 0", "x 007"], "l.txt")
    assert rows == (
        ListLine("./val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4", 161, 1),
        ListLine("/a/-b.mkv", 0, 2),
        ListLine("x", 7, 3),
    )


def test_empty_lines_are_dropped_and_line_numbers_are_the_file_s() -> None:
    assert [row.line for row in parse_list(["", "a 1", "  ", "\t", "b 2\n", "\r\n"], "l")] == [2, 5]


@pytest.mark.parametrize(
    "data", [b"a 1\nb 2\n", b"a 1\nb 2", b"a 1\r\nb 2\r\n", b"\xef\xbb\xbfa 1\nb 2\n", b"\n\na 1\n\nb 2\n"]
)
def test_line_ends_and_byte_order_mark(data: bytes) -> None:
    assert [(row.path, row.label) for row in decode_list(data, "l")] == [("a", 1), ("b", 2)]


def test_any_letters_are_allowed_in_paths() -> None:
    text = "./val/überfüllt/видео_視頻_🎬.mp4 5\n./val/e\u0301/a\u00a0b.mp4 6\n"
    assert dump_list(decode_list(text.encode(), "l")) == text


MALFORMED = [
    ("a.mp4", "no label after 'a.mp4'"),
    ("5", "'5' alone on the line"),
    (" 5", "there is no path before the label"),
    (" a.mp4 5", "a blank at the start of the line"),
    ("a.mp4 5 ", "a blank at the end of the line"),
    ("a.mp4  5", "more than one blank between path and label"),
    ("a.mp4\t5", "a tab, where one blank separates path and label"),
    ("val/playing cards/x.mp4 5", "the path 'val/playing cards/x.mp4' has a blank in it"),
    ("val/x.mp4 300 5", "the path 'val/x.mp4 300' has a blank in it"),
    ("a.mp4 -1", "the label -1 is negative; classes count from 0"),
    ("a.mp4 1.0", "the label '1.0' is not a whole number of 0 or more"),
    ("a.mp4 +1", "the label '+1' is not a whole number of 0 or more"),
    ("a.mp4 1e3", "the label '1e3' is not a whole number of 0 or more"),
    ("a.mp4 \u0663", "the label '\u0663' is not a whole number of 0 or more"),
    ("a.mp4 1_0", "the label '1_0' is not a whole number of 0 or more"),
    ("a.mp4 " + "9" * 5000, "is too large"),
    ("a.mp4 zumba", "the label 'zumba' is not a whole number of 0 or more"),
    ("a.mp4,5", "comma separated, where `path label` with one blank between is expected"),
    ("javelin throw,--07WQ2iBlw,1,11,validate", "comma separated, where"),
    ('a".mp4 5', "a double quote in the path"),
    ("a\x00.mp4 5", "a NUL character"),
    ("a\x1b[31m.mp4 5", "control character U+001B"),
    ("a\r.mp4 5", "control character U+000D"),
    ("a\x85.mp4 5", "control character U+0085"),
    ("a\u2028.mp4 5", "control character U+2028"),
    ("\ufeffa.mp4 5", "a byte order mark within the list"),
]


@pytest.mark.parametrize(("line", "reason"), MALFORMED)
def test_malformed_lines_are_named_with_file_and_line(line: str, reason: str, tmp_path: Path) -> None:
    source = tmp_path / "vallist.txt"
    source.write_bytes(f"good.mp4 1\n{line}\nalso_good.mp4 2\n".encode())
    with pytest.raises(InputError) as caught:
        load_list(source)
    assert caught.value.exit_code == EXIT_INPUT
    assert caught.value.message.startswith(f"{source}:2: ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.remedy
    # an error must not carry a list's control characters to the terminal
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < len(str(source)) + 250


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path: Path) -> None:
    source = tmp_path / "l.txt"
    source.write_bytes(b"good.mp4 1\nb\xe9.mp4 2\nc.mp4 3\n\xed\xa0\x80.mp4 4\n")
    with pytest.raises(InputError) as caught:
        load_list(source)
    assert caught.value.message.splitlines() == [
        f"{source}:2: not UTF-8: byte 0xe9",
        f"{source}:4: not UTF-8: byte 0xed",
    ]


def test_utf16_is_refused_as_such() -> None:
    with pytest.raises(InputError, match=r"^l: UTF-16 text, not UTF-8"):
        decode_list("a.mp4 1\n".encode("utf-16"), "l")


def test_a_header_line_is_pointed_out_at_the_start_only() -> None:
    with pytest.raises(InputError, match=r"^l:1: the label 'label' .*; a list has no header line"):
        parse_list(["path label", "a 1"], "l")
    with pytest.raises(InputError) as caught:
        parse_list(["a 1", "path label"], "l")
    assert "header" not in caught.value.message
    with pytest.raises(InputError, match=r"^l:1: comma separated"):
        parse_list(["label,youtube_id,time_start,time_end,split"], "l")


def test_all_problems_come_at_once_and_the_first_twenty_are_spelled_out() -> None:
    with pytest.raises(InputError) as caught:
        parse_list(["a b 1", "ok 1", "c -1", 'd" 2'], "l")
    assert [line.split(": ")[0] for line in caught.value.message.splitlines()] == ["l:1", "l:3", "l:4"]
    for part in ("underscores", "class number of 0 or more", "without the quote"):
        assert part in caught.value.remedy
    with pytest.raises(InputError) as caught:
        parse_list(["x"] * 1000, "l")
    told = caught.value.message.splitlines()
    assert len(told) == 21
    assert told[19].startswith("l:20: ")
    assert told[20] == "... and 980 more"
    assert caught.value.remedy.count("A line is") == 1


def test_files_that_are_no_list(tmp_path: Path) -> None:
    for data in (b"", b"\n\r\n", b"\xef\xbb\xbf"):
        (tmp_path / "empty").write_bytes(data)
        with pytest.raises(InputError, match="the list is empty"):
            load_list(tmp_path / "empty")
    with pytest.raises(InputError, match="nowhere: no such file"):
        load_list(tmp_path / "nowhere")
    with pytest.raises(InputError, match="a folder, not a list"):
        load_list(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load_list(tmp_path / "empty" / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_forbidden_file(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("a 1\n")
    (tmp_path / "l").chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        load_list(tmp_path / "l")


@pytest.mark.parametrize(
    "row",
    [
        ListLine("a b", 1, 1),
        ListLine("", 1, 1),
        ListLine("a\nb", 1, 1),
        ListLine("a\udce9", 1, 1),
        ListLine('"a"', 1, 1),
        ListLine("a", -1, 1),
        ListLine("a", 10**18, 1),
    ],
)
def test_what_could_not_be_read_back_is_not_written(row: ListLine, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write") as caught:
        save_list(tmp_path / "l", [ListLine("good", 1, 1), row])
    assert caught.value.message.isprintable()
    assert list(tmp_path.iterdir()) == []


def test_saved_lists_are_utf8_with_one_line_feed_per_line(tmp_path: Path) -> None:
    save_list(tmp_path / "l", [ListLine("./é.mp4", 3, 1), ListLine("b", 0, 2)])
    assert (tmp_path / "l").read_bytes() == b"./\xc3\xa9.mp4 3\nb 0\n"


def test_path_problem() -> None:
    assert path_problem("./val/a.mp4") is None
    assert path_problem("a b") is not None


def test_the_documented_example_is_a_list() -> None:
    section = FORMATS_PAGE.read_text(encoding="utf-8").split("## Kinetics list")[1].split("\n## ")[0]
    examples = re.findall(r"^```text\n(.*?)^```", section, re.M | re.S)
    assert examples
    for example in examples:
        assert dump_list(parse_list(example.splitlines(), "formats.md")) == example
