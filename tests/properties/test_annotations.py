"""Annotations of all kinds: reading undoes writing, and anything else is refused by name."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from vidbench.data.split import parse_shares, side_of, source_of
from vidbench.errors import InputError
from vidbench.formats.annotations import (
    COLUMNS,
    Annotation,
    decode_annotations,
    dump_annotations,
    parse_annotations,
)
from vidbench.formats.charades import FPS, Action, CharadesVideo, dump_charades, frame_numbers, parse_charades
from vidbench.formats.labels import TABLES, spelling, table
from vidbench.formats.something import SomethingVideo, dump_something, parse_something

ids = st.from_regex(r"[A-Za-z0-9_-]{1,11}", fullmatch=True)
words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12)
labels = words.map(lambda text: text.replace('"', "").strip())
times = st.integers(0, 99999) | st.integers(0, 9999999).map(lambda hundredths: hundredths / 100)
spans = st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]).map(sorted)


@st.composite
def annotations(draw: st.DrawFn) -> list[Annotation]:
    rows = [
        Annotation(name, float(start), float(end), label, split)
        for name, (start, end), label, split in draw(
            st.lists(st.tuples(ids, spans, labels, st.sampled_from(["train", "val", "validate"])), min_size=1)
        )
    ]
    assume(len({row.stem for row in rows}) == len(rows))
    return rows


def bare(rows: tuple[Annotation, ...] | list[Annotation]) -> list[tuple[object, ...]]:
    return [(*row.key, row.label, row.split) for row in rows]


@given(annotations())
def test_annotations_read_back(rows: list[Annotation]) -> None:
    text = dump_annotations(rows)
    held = parse_annotations(text.splitlines(keepends=True), "f")
    assert held.columns == COLUMNS
    assert bare(held.rows) == bare(rows)
    assert dump_annotations(held.rows, held.columns) == text
    assert bare(decode_annotations(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), "f")) == bare(rows)


def rows_or_refusal(data: bytes) -> tuple[Annotation, ...] | InputError:
    try:
        return decode_annotations(data, "f")
    except InputError as refused:
        return refused


@given(annotations(), st.binary(max_size=20), st.integers(0, 200))
def test_bytes_of_any_kind_are_read_or_refused(rows: list[Annotation], noise: bytes, place: int) -> None:
    data = dump_annotations(rows).encode()
    found = rows_or_refusal(data[:place] + noise + data[place:])
    if isinstance(found, InputError):
        assert found.message.startswith("f")
        assert found.remedy
        return
    assert all("/" not in row.clip_name and row.clip_name.isprintable() for row in found)
    assert all(0 <= row.start_s < row.end_s for row in found)


actions = st.builds(
    Action,
    st.integers(0, 156),
    st.integers(0, 10**6).map(lambda hundredths: hundredths / 100),
    st.integers(0, 10**6).map(lambda hundredths: hundredths / 100),
)
videos = st.lists(
    st.builds(
        CharadesVideo,
        ids,
        st.lists(actions, max_size=4).map(tuple),
        st.tuples(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)),
    ),
    min_size=1,
    unique_by=lambda video: video.id,
)


@given(videos)
def test_charades_reads_back(rows: list[CharadesVideo]) -> None:
    columns = ("id", "script", "actions")
    text = dump_charades(rows, columns)
    held = parse_charades(text, "f")
    assert [(one.id, one.actions, one.cells) for one in held.videos] == [(o.id, o.actions, o.cells) for o in rows]
    assert dump_charades(held.videos, held.columns) == text


@given(actions)
def test_the_frames_of_an_action_are_those_within_its_times(action: Action) -> None:
    numbers = frame_numbers(action)
    start, end = Fraction(f"{action.start_s:.2f}"), Fraction(f"{action.end_s:.2f}")
    near = range(max(1, int(start * FPS) - 2), int(max(start, end) * FPS) + 4)
    probed = [n for n in near if n < near[0] + 200 or n > near[-1] - 200]
    assert all((n in numbers) == (start <= Fraction(n - 1) / FPS <= end) for n in probed)


@given(st.lists(st.builds(SomethingVideo, ids, words, words, st.lists(words, max_size=3).map(tuple)), min_size=1))
def test_something_reads_back(rows: list[SomethingVideo]) -> None:
    assume(len({row.id for row in rows}) == len(rows))
    rows = [row if row.template else SomethingVideo(row.id) for row in rows]
    found = parse_something(dump_something(rows), "f")
    assert [(o.id, o.template, o.label, o.placeholders) for o in found] == [
        (o.id, o.template, o.label, o.placeholders) for o in rows
    ]


@given(st.sampled_from(TABLES), st.data())
def test_a_class_is_found_however_it_is_written(name: str, data: st.DataObject) -> None:
    number, written = data.draw(st.sampled_from(list(table(name))))
    spelled = "".join(
        data.draw(st.sampled_from([" ", "_", "-", "__"])) if letter == " " else letter for letter in written
    )
    spelled = "".join(letter for letter in spelled if letter not in "'()" or data.draw(st.booleans()))
    spelled = data.draw(st.sampled_from([str, str.upper, str.lower, str.title]))(spelled)
    assert table(name).find(f'"{spelled}"') == number
    assert spelling(spelling(spelled)) == spelling(spelled)


@given(st.text(max_size=11), st.integers(0, 2**64), st.integers(0, 999999), st.integers(0, 999999))
def test_clips_of_a_source_fall_on_one_side(source: str, seed: int, first: int, second: int) -> None:
    assume(source)
    shares = parse_shares("val=0.3,test=0.3")
    names = [f"{source}_{start:06d}_{start + 10:06d}.mp4" for start in (first, second) if start < 999990]
    assume(names)
    assert len({side_of(source_of(name)[0], seed, shares) for name in names}) == 1
