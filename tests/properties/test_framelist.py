"""Frame lists and AVA's files: reading undoes writing, and what is accepted is what readers split."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from vidbench.errors import InputError
from vidbench.formats.ava import (
    Box,
    Label,
    Predicted,
    Second,
    dump_labels,
    dump_predicted,
    parse_labels,
    parse_predicted,
)
from vidbench.formats.framelist import HEADER, FrameLine, dump_frames, name_problem, parse_frames

R = TypeVar("R")

anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
letters = st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters='"\ufeff')
words = st.text(letters, min_size=1, max_size=12)
numbers = st.integers(0, 10**18 - 1)
frame_lines = st.builds(FrameLine, words, numbers, numbers, words, st.lists(numbers, max_size=3).map(tuple))

names = st.text("abcXYZ019_-é.", min_size=1, max_size=12)
fractions = st.integers(0, 1000).flatmap(
    lambda value: st.sampled_from(
        [Decimal(value) / 1000, Decimal(f"{value / 1000:.3f}"), Decimal(f"{value / 1000:.6f}")]
    )
)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x1, x2 = sorted(draw(st.lists(fractions, min_size=2, max_size=2, unique=True)))
    y1, y2 = sorted(draw(st.lists(fractions, min_size=2, max_size=2, unique=True)))
    return Box(x1, y1, x2, y2)


seconds = st.builds(Second, names, st.integers(0, 9999))
labels = st.builds(Label, names, st.integers(0, 9999), boxes(), st.integers(1, 80), st.integers(0, 500))
predicted = st.builds(
    Predicted, names, st.integers(0, 9999), boxes(), st.one_of(st.none(), st.just(-1), st.integers(1, 80)), fractions
)


def read_or_refusal(read: Callable[[], R]) -> R | InputError:
    try:
        return read()
    except InputError as refused:
        return refused


@given(words)
def test_a_word_is_a_name_that_fits(word: str) -> None:
    assert name_problem(word) is None


@given(st.lists(frame_lines, max_size=20))
def test_reading_a_frame_list_undoes_writing(rows: list[FrameLine]) -> None:
    text = "".join(dump_frames(rows))
    assert list(parse_frames(text.splitlines(keepends=True), "l")) == rows


@given(st.one_of(anything, frame_lines.map(lambda row: list(dump_frames([row]))[1])))
def test_a_line_is_read_as_pyslowfast_splits_it_or_refused(line: str) -> None:
    rows = read_or_refusal(lambda: list(parse_frames([HEADER, line], "l")))
    if isinstance(rows, InputError):
        assert rows.message.startswith("l:2: ")
        return
    # PySlowFast: line.split(), of which there must be five
    fields = line.split()
    assert len(fields) == 5
    assert [rows[0].name, str(rows[0].video), str(rows[0].frame), rows[0].path] == fields[:4]


@given(st.lists(st.one_of(labels, seconds), max_size=20))
def test_reading_annotations_undoes_writing(rows: list[Label | Second]) -> None:
    text = "".join(dump_labels(rows))
    found = parse_labels(text.splitlines(), "f")
    assert found == tuple(rows)
    assert "".join(dump_labels(found)) == text


@given(st.lists(predicted, max_size=20))
def test_reading_predicted_boxes_undoes_writing(rows: list[Predicted]) -> None:
    text = "".join(dump_predicted(rows))
    found = parse_predicted(text.splitlines(), "f")
    assert found == tuple(rows)
    assert "".join(dump_predicted(found)) == text


@given(st.lists(anything, max_size=5))
def test_annotations_of_any_kind_are_read_or_refused(lines: list[str]) -> None:
    for parse in (parse_labels, parse_predicted):
        rows = read_or_refusal(lambda parse=parse: parse(lines, "f"))
        if isinstance(rows, InputError):
            assert all(line.startswith("f:") and line.isprintable() for line in rows.message.splitlines())
