"""Label sets and frame lists: reading undoes writing, and a frame list is grouped as PySlowFast groups it."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from vidbench.data.dataset import read_clips
from vidbench.errors import InputError
from vidbench.formats.framelist import FrameLine, save_frames
from vidbench.formats.kinetics import decode_list, path_problem
from vidbench.formats.label_sets import LabelsLine, decode_label_sets, dump_label_sets

R = TypeVar("R")

anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
paths = anything.filter(lambda text: path_problem(text) is None)
sets = st.sets(st.integers(0, 10**18 - 1), max_size=5).map(lambda numbers: tuple(sorted(numbers)))
label_rows = st.lists(st.tuples(paths, sets), min_size=1, max_size=20).map(
    lambda pairs: [LabelsLine(path, labels, line) for line, (path, labels) in enumerate(pairs, start=1)]
)


@given(label_rows)
def test_reading_undoes_writing(rows: list[LabelsLine]) -> None:
    text = dump_label_sets(rows)
    assert decode_label_sets(text.encode(), "l") == tuple(rows)
    assert decode_label_sets(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), "l") == tuple(rows)


def read_or_refusal(read: Callable[[bytes, str], R], data: bytes) -> R | InputError:
    try:
        return read(data, "l")
    except InputError as refused:
        return refused


@given(st.lists(st.one_of(anything, st.tuples(paths, st.from_regex("[0-9,-]{1,5}")).map(" ".join)), max_size=5))
def test_a_list_of_one_label_each_means_the_same_in_both_grammars(lines: list[str]) -> None:
    data = "\n".join(lines).encode()
    single, rows = read_or_refusal(decode_list, data), read_or_refusal(decode_label_sets, data)
    if isinstance(rows, InputError):
        assert isinstance(single, InputError)
        assert all(line.isprintable() for line in rows.message.splitlines())
    elif isinstance(single, InputError):
        assert any(len(row.labels) != 1 for row in rows)
    else:
        assert [(row.path, row.labels, row.line) for row in rows] == [(r.path, (r.label,), r.line) for r in single]


names = st.text("abc019_-é", min_size=1, max_size=8)
videos = st.dictionaries(
    names,
    st.lists(st.tuples(names, st.lists(st.integers(0, 156), max_size=3).map(tuple)), min_size=1, max_size=6),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(videos)
def test_frame_lists_are_grouped_as_pyslowfast_does(groups: dict[str, list[tuple[str, tuple[int, ...]]]]) -> None:
    rows = [
        FrameLine(name, place, index, f"f/{file}", labels)
        for place, (name, frames) in enumerate(groups.items())
        for index, (file, labels) in enumerate(frames)
    ]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(os.path.realpath(folder), "val.csv")
        save_frames(source, rows)
        first = source.parent / rows[0].path
        first.parent.mkdir()
        first.touch()
        # its loader: five fields by blanks, paths and labels gathered by the first
        files, classes = defaultdict(list), defaultdict(set)
        for line in source.read_text().split("\n")[1:-1]:
            name, _, _, path, labels = line.split()
            files[name].append(os.path.join(source.parent, path))
            classes[name] |= {int(label) for label in labels.replace('"', "").split(",") if label}
        clips = read_clips(source, source.parent, several=True)
        assert [item.name for item in clips.items] == list(files)
        assert [set(item.labels) for item in clips.items] == list(classes.values())
        assert [list(item.frames.files()) for item in clips.items if item.frames] == list(files.values())
