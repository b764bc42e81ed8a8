"""label import: round trips through every format, what changes, what is kept and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidbench.errors import InputError, RunConflictError, UsageError
from vidbench.formats.labelset import Row, SetFile, SetVideo
from vidbench.label.actions import load_actions, parse_names
from vidbench.label.bring import ImportRequest, VideoChanges, bring
from vidbench.label.export import ExportRequest, export
from vidbench.label.store import LabelSet

MakeSet = Callable[..., LabelSet]

A, B, C = (0.1, 0.2, 0.35, 1.0), (0.5, 0.2, 0.7, 0.9), (0.8, 0.1, 0.9, 0.9)
ROWS = (
    Row(2, 0, A, 0.9, (12, 80), 0, True, ("weak",)),
    Row(2, 1, B, None, (), None, False, ("drawn",)),
    Row(3, 0, B, 0.5, None, 0),
)


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A project as VIA saves it after a change: one line, another name."""
    document = json.loads(path.read_text())
    change(document)
    saved = path.with_name("via_project_21Nov2026.json")
    saved.write_text(json.dumps(document, separators=(",", ":")))
    return saved


@pytest.mark.parametrize("kind", ["via", "mot", "coco", "csv"])
@pytest.mark.parametrize("fps", ["25", "30000/1001", "60", "10", "7"])
def test_what_goes_out_comes_back(make_set: MakeSet, tmp_path: Path, kind: Any, fps: str) -> None:
    labels = make_set({"one": ROWS, "two": ROWS[:1]})
    content = labels.load()
    labels.save(replace(content, videos=tuple(replace(one, fps=fps) for one in content.videos)))
    done = export(ExportRequest(set=labels.folder, format=kind, out=tmp_path / "out"))
    result = bring(ImportRequest(set=labels.folder, files=tuple(map(Path, done.files)), format=kind))
    assert [(one.video, one.added, one.removed, one.changed) for one in result.videos] == [
        ("one", 0, 0, 0),
        ("two", 0, 0, 0),
    ]
    assert result.kept is None
    assert labels.rows("one") == ROWS


def test_an_edited_project_changes_the_rows_and_can_be_taken_back(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS, "two": ROWS})
    export(ExportRequest(set=labels.folder, format="via", out=tmp_path / "via"))

    def change(document: dict[str, Any]) -> None:
        del document["metadata"]["1_s0002_p1"]
        document["metadata"]["2_s0003_p0_t0"]["av"]["2"] = "11"
        document["metadata"]["7_k3x9ab"] = {"vid": "7", "flg": 0, "z": [], "xy": [2, 10, 10, 50, 50], "av": {}}

    saved = edited(tmp_path / "via" / "one.json", change)
    request = ImportRequest(set=labels.folder, files=(saved,), format="via")
    before = (labels.home("one") / "tracks.jsonl").read_bytes()
    tried = bring(request.model_copy(update={"dry_run": True}))
    assert tried.videos == (VideoChanges("one", 7, 3, 1, 1, 1, 0, (2,)),)
    assert (tried.kept, (labels.home("one") / "tracks.jsonl").read_bytes()) == (None, before)
    assert not (labels.folder / ".vidbench").exists()

    done = bring(request)
    assert done.videos == tried.videos
    assert [(one.key, one.actions) for one in labels.rows("one")] == [
        ((2, 0), (12, 80)),
        ((3, 0), (11,)),
        ((8, 2), None),
    ]
    assert labels.rows("two") == ROWS
    assert done.kept is not None
    assert Path(done.kept).name == "0001-import"
    shutil.copytree(done.kept, labels.folder, dirs_exist_ok=True)
    assert (labels.home("one") / "tracks.jsonl").read_bytes() == before
    assert Path(bring(request).kept or "").name == "0002-import"


def test_nothing_is_written_where_something_is_wrong(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS, "two": ROWS})
    export(ExportRequest(set=labels.folder, format="via", out=tmp_path / "via"))

    def change(document: dict[str, Any]) -> None:
        document["attribute"]["2"]["options"]["15"] = "juggle"
        document["metadata"].clear()

    bad = edited(tmp_path / "via" / "two.json", change)
    with pytest.raises(InputError, match="juggle") as caught:
        bring(ImportRequest(set=labels.folder, files=(tmp_path / "via" / "one.json", bad), format="via"))
    assert str(bad) in caught.value.message
    assert labels.rows("one") == labels.rows("two") == ROWS


def test_two_files_of_one_keyframe_are_refused(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS})
    export(ExportRequest(set=labels.folder, format="via", out=tmp_path / "via"))
    again = edited(tmp_path / "via" / "one.json", lambda document: None)
    with pytest.raises(InputError, match="of which a file before speaks"):
        bring(ImportRequest(set=labels.folder, files=(tmp_path / "via" / "one.json", again), format="via"))


def test_a_set_that_another_process_holds_is_left_alone(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS})
    done = export(ExportRequest(set=labels.folder, format="csv", out=tmp_path / "out"))
    request = ImportRequest(set=labels.folder, files=(Path(done.files[0]),), format="csv")
    with labels.hold(), pytest.raises(RunConflictError):
        bring(request)
    assert bring(request).videos[0].rows == 3


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "boxes.csv"
    path.write_text("\n".join(["video,second,x1,y1,x2,y2,score,person,actions", *lines]) + "\n")
    return path


def test_a_table_has_its_way_at_its_keyframes(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS})
    path = table(
        tmp_path,
        "one,2,0.11,0.2,0.35,1,0.7,,12",
        "one,2,0.8,0.1,0.9,0.9,0.6,,",
        "one,1,0.1,0.1,0.2,0.2,,,",
        "x,2,,,,,,,",
    )
    result = bring(ImportRequest(set=labels.folder, files=(path,), format="csv"))
    assert labels.rows("one") == (
        Row(2, 0, (0.11, 0.2, 0.35, 1.0), 0.7, (12,), 0, False, ("weak",)),
        Row(2, 2, C, 0.6, None),
        ROWS[2],
    )
    assert result.videos == (VideoChanges("one", 1, 3, 1, 1, 1, 0, (2,)),)
    assert [note.split(": ")[1] for note in result.notes] == [
        "left out 1 videos that were not asked for",
        "left out 1 boxes that are at no keyframe",
    ]


def test_whole_and_add(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS})
    path = table(tmp_path, "one,2,0.1,0.2,0.35,1,0.9,0,", "one,4,0.8,0.1,0.9,0.9,0.6,0,none")
    request = ImportRequest(set=labels.folder, files=(path,), format="csv", mode="add")
    result = bring(request)
    assert labels.rows("one") == (*ROWS, Row(4, 2, C, 0.6, ()))
    assert "1 boxes lie on boxes of the set" in result.notes[0]
    bring(request.model_copy(update={"mode": "whole"}))
    assert [row.key for row in labels.rows("one")] == [(2, 0), (4, 0)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("one,2,0.1,0.2,0.35,1,0.9,0,99", "action 99, which the set does not have"),
        ("three,2,0.1,0.2,0.35,1,0.9,0,", "has nothing of the videos of the set, but of three"),
        ("one,2,0.1,0.2,0.35", "5 cells"),
    ],
    ids=["action", "video", "cells"],
)
def test_tables_that_are_refused(make_set: MakeSet, tmp_path: Path, line: str, reason: str) -> None:
    labels = make_set({"one": ROWS})
    with pytest.raises(InputError, match=reason):
        bring(ImportRequest(set=labels.folder, files=(table(tmp_path, line),), format="csv"))
    assert labels.rows("one") == ROWS


def test_a_file_of_mot_must_be_of_one_video(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS, "two": ()})
    path = tmp_path / "result.txt"
    path.write_text("51,1,256,18,32,144,0.6,1,1\n")
    request = ImportRequest(set=labels.folder, files=(path,), format="mot")
    with pytest.raises(UsageError, match="of which video"):
        bring(request)
    bring(request.model_copy(update={"videos": ("two",)}))
    assert labels.rows("two") == (Row(2, 0, C, 0.6, None),)


def test_coco_of_a_set_with_other_actions_is_refused(make_set: MakeSet, tmp_path: Path) -> None:
    one = make_set({"one": ROWS})
    done = export(ExportRequest(set=one.folder, format="coco", out=tmp_path / "out"))
    other = make_set({"one": ()}, "other", actions=parse_names(["sit", "stand"], "a"))
    with pytest.raises(InputError, match="action 1 is 'bend/bow"):
        bring(ImportRequest(set=other.folder, files=(Path(done.files[0]),), format="coco"))


def test_options_that_do_not_fit_the_format(make_set: MakeSet) -> None:
    folder = make_set({"one": ROWS}).folder
    with pytest.raises(UsageError, match="--mode add"):
        bring(ImportRequest(set=folder, files=(folder,), format="via", mode="add"))
    with pytest.raises(UsageError, match="for VIA alone"):
        bring(ImportRequest(set=folder, files=(folder,), format="csv", ignore=("mood",)))


EDGES = st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True).map(sorted)


@st.composite
def rows(draw: st.DrawFn) -> tuple[Row, ...]:
    keys = draw(st.lists(st.tuples(st.integers(2, 8), st.integers(0, 50)), min_size=1, max_size=5, unique=True))
    found = []
    for second, person in sorted(keys):
        (x1, x2), (y1, y2) = draw(EDGES), draw(EDGES)
        box = (x1 / 1000, y1 / 1000, x2 / 1000, y2 / 1000)
        told = draw(st.none() | st.lists(st.integers(1, 80), unique=True, max_size=3).map(sorted).map(tuple))
        found.append(Row(second, person, box, draw(st.integers(0, 9999)) / 10_000, told))
    return tuple(found)


@settings(max_examples=15)
@given(rows(), st.sampled_from(["csv", "coco"]), st.sampled_from([(1, 1), (97, 1000), (3840, 2160)]))
def test_every_set_comes_back_into_an_empty_one(
    tmp_path_factory: pytest.TempPathFactory, held: tuple[Row, ...], kind: Any, size: tuple[int, int]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    sets = [LabelSet(folder / "full"), LabelSet(folder / "empty")]
    for labels, content in zip(sets, (held, ()), strict=True):
        labels.save(SetFile(load_actions("ava_80"), (SetVideo("v", "v.mp4", 1, *size, "25", 300, 2, 8),)))
        labels.save_rows("v", content)
    # without pictures, as coco would want them
    request = ExportRequest(set=sets[0].folder, format=kind, out=folder / "out", dense=True)
    done = export(request)
    bring(ImportRequest(set=sets[1].folder, files=tuple(map(Path, done.files)), format=kind))
    assert sets[1].rows("v") == held
