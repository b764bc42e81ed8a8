"""Lists of videos: reading undoes writing; the two lists for PySlowFast pair up and lose nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidbench.data.dataset import read_clips
from vidbench.data.listing import BuildCsvRequest, build_csv
from vidbench.errors import InputError
from vidbench.formats.kinetics import ListLine, decode_list, dump_list, parse_list, path_problem

anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
names = anything.filter(lambda text: path_problem(text) is None)
parts = st.sampled_from(["./", "/", "../", "val", "/val/", "val_256", "a", "é", "."])
video_paths = st.lists(st.one_of(parts, names), min_size=1, max_size=6).map("".join)
labels = st.integers(0, 10**18 - 1)
rows = st.lists(st.tuples(video_paths, labels), min_size=1, max_size=30).map(
    lambda pairs: [ListLine(path, label, line) for line, (path, label) in enumerate(pairs, start=1)]
)
seeds = st.integers(0, 2**32 - 1)


@given(rows)
def test_reading_undoes_writing(listed: list[ListLine]) -> None:
    text = dump_list(listed)
    assert parse_list(text.splitlines(), "l") == tuple(listed)
    assert decode_list(text.encode(), "l") == tuple(listed)
    assert decode_list(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), "l") == tuple(listed)


def told(refused: InputError) -> list[str]:
    """The lines of a refusal, which must be fit for a terminal and offer a way out."""
    lines = refused.message.splitlines()
    assert all(line.isprintable() for line in lines)
    assert refused.remedy
    return lines


@given(st.lists(st.one_of(anything, st.text()), max_size=6), st.lists(labels, max_size=6))
def test_a_line_is_read_exactly_or_refused(texts: list[str], numbers: list[int]) -> None:
    """Whatever is accepted is what PySlowFast's own splitting, splitlines and split(" "), finds."""
    lines = texts + [f"{text} {number}" for text, number in zip(texts, numbers, strict=False)]
    for line in lines:
        found = _rows_or_refusal(lambda line=line: parse_list([line], "l"))
        if isinstance(found, InputError):
            assert [text[:5] for text in told(found)] == ["l:1: "]
        else:
            fields = [part.split(" ") for part in line.splitlines() if part.strip(" \t")]
            assert [(path, int(label)) for path, label in fields] == [(row.path, row.label) for row in found]


@given(st.one_of(st.binary(max_size=200), rows.map(lambda listed: dump_list(listed).encode())), st.binary(max_size=3))
def test_bytes_of_any_kind_are_read_or_refused(data: bytes, tail: bytes) -> None:
    found = _rows_or_refusal(lambda: decode_list(data + tail, "l"))
    if isinstance(found, InputError):
        assert told(found)
    else:
        again = decode_list(dump_list(found).encode(), "l")
        assert [(row.path, row.label) for row in again] == [(row.path, row.label) for row in found]


def _rows_or_refusal(read: Callable[[], tuple[ListLine, ...]]) -> tuple[ListLine, ...] | InputError:
    try:
        return read()
    except InputError as refused:
        return refused


@settings(max_examples=60, deadline=None)
@given(rows, seeds, st.booleans(), st.sampled_from([".", "", "x/"]))
def test_both_lists_pair_up_and_hold_the_input(listed: list[ListLine], seed: int, shuffle: bool, prefix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "vallist.txt"
        source.write_bytes(dump_list(listed).encode())
        result = build_csv(BuildCsvRequest(list=source, seed=seed, shuffle=shuffle, prefix=prefix))
        raw, resized = result.raw.read_bytes().decode(), result.resized.read_bytes().decode()
    expected = [f"{prefix if row.path.startswith('./') else ''}{row.path} {row.label}" for row in listed]
    assert sorted(raw.split("\n")[:-1]) == sorted(expected)
    if not shuffle:
        assert raw.split("\n")[:-1] == expected
    assert resized.split("\n") == [line.replace("/val/", "/val_256/") for line in raw.split("\n")]
    assert raw.endswith("\n")
    assert "\r" not in raw


@settings(max_examples=60, deadline=None)
@given(rows, st.integers(1, 40))
def test_clips_are_the_list_s_lines(listed: list[ListLine], limit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "there.mp4").touch()
        source = folder / "list.csv"
        source.write_bytes(dump_list([*listed, ListLine("there.mp4", 0, 0)]).encode())
        places = {(folder / row.path).resolve() for row in listed} | {folder / "there.mp4"}
        if len(places) < len(listed) + 1:
            with pytest.raises(InputError, match="is listed before, at line"):
                read_clips(source, root=folder)
            return
        clips = read_clips(source, root=folder)
        assert [(item.name, item.label, item.line) for item in clips.items[:-1]] == [
            (row.path, row.label, row.line) for row in listed
        ]
        assert all(item.path == (folder / item.name).resolve() for item in clips.items)
        assert len({item.key for item in clips.items}) == len(clips.items)
        assert read_clips(source, root=folder, limit=limit).items == clips.items[:limit]
