"""Lists with several classes per video: what is read, and what is refused."""

from __future__ import annotations

import pytest

from vidbench.errors import InputError
from vidbench.formats.label_sets import LabelsLine, decode_label_sets, dump_label_sets


def refused(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InputError) as caught:
        decode_label_sets(data, "l.txt")
    assert caught.value.remedy
    return caught.value.message.splitlines()


def test_several_one_and_none() -> None:
    rows = decode_label_sets(b"a.mp4 3,17,42\n\nb-2.mp4 5\r\nc.mp4 -\nd,1.mp4 9,0\n", "l.txt")
    assert rows == (
        LabelsLine("a.mp4", (3, 17, 42), 1),
        LabelsLine("b-2.mp4", (5,), 3),
        LabelsLine("c.mp4", (), 4),
        LabelsLine("d,1.mp4", (0, 9), 5),
    )
    assert dump_label_sets(rows) == "a.mp4 3,17,42\nb-2.mp4 5\nc.mp4 -\nd,1.mp4 0,9\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.mp4 3,,4", "the labels '3,,4', not as 3,17,42 or -"),
        ("a.mp4 3,", "the labels '3,', not as 3,17,42 or -"),
        ("a.mp4 ,", "the labels ',', not as 3,17,42 or -"),
        ("a.mp4 --", "the labels '--', not as 3,17,42 or -"),
        ("a.mp4 -1", "the label -1 is negative; classes count from 0"),
        ("a.mp4 3,-1", "the labels '3,-1', not as 3,17,42 or -"),
        ("a.mp4 3,17,3", "the label 3 twice in one line"),
        ("a.mp4 3,03", "the label 3 twice in one line"),
        ("a.mp4", "no label after 'a.mp4'"),
        ("a.mp4 ", "a blank at the end of the line"),
        ("a.mp4  3,4", "more than one blank between path and label"),
        ("a b.mp4 3,4", "the path 'a b.mp4' has a blank in it"),
        ("a.mp4\t3,4", "a tab, where one blank separates path and label"),
        (" 3,4", "there is no path before the label"),
        ('a.mp4 "3,4"', "a double quote in the path"),
        ("a.mp4 run,jump", "comma separated, where `path label` with one blank between is expected"),
    ],
)
def test_malformed_lines_are_named(line: str, reason: str) -> None:
    assert refused(f"x.mp4 1,2\n{line}\n") == [f"l.txt:2: {reason}"]


def test_every_bad_line_is_told() -> None:
    lines = refused("".join(f"v{index}.mp4 1,\n" for index in range(30)))
    assert lines[0] == "l.txt:1: the labels '1,', not as 3,17,42 or -"
    assert lines[-1] == "... and 10 more"


def test_files_that_are_no_list() -> None:
    assert refused("") == ["l.txt: the list is empty"]
    assert refused("a.mp4 1,2\n".encode("utf-16")) == ["l.txt: UTF-16 text, not UTF-8"]
    assert refused(b"a\xff.mp4 1,2\n") == ["l.txt:1: not UTF-8: byte 0xff"]
    assert decode_label_sets(b"\xef\xbb\xbfa.mp4 1,2\n", "l.txt") == (LabelsLine("a.mp4", (1, 2), 1),)


def test_what_cannot_be_read_back_is_not_written() -> None:
    for row in (LabelsLine("a b.mp4", (1,), 1), LabelsLine("a.mp4", (-1,), 1), LabelsLine("a.mp4", (2, 2), 1)):
        with pytest.raises(InputError, match="cannot write"):
            dump_label_sets([row])
