"""label merge: one set of several, with nothing lost, renamed aloud and refused where it would be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vidbench.errors import InputError, RunConflictError, UsageError
from vidbench.formats.labelset import Row, SetAction, TrackPath
from vidbench.label.actions import parse_names
from vidbench.label.merge import MergeRequest, Renamed, merge
from vidbench.label.store import LabelSet

MakeSet = Callable[..., LabelSet]

A = (0.1, 0.2, 0.35, 1.0)
FIRST = parse_names(["1: sit", "2: stand", "3: object: write"], "a")
SECOND = parse_names(["10: stand", "20: pose: write", "30: sit"], "b")


def test_sets_are_joined_by_the_names_of_their_actions(make_set: MakeSet, tmp_path: Path) -> None:
    path = TrackPath(4, (60, 63), (A, A))
    one = make_set({"a": [Row(2, 0, A, 0.9, (1, 3))]}, "one", actions=FIRST)
    two = make_set(
        {"b": [Row(2, 0, A, 0.9, (10, 20), 4), Row(3, 0, A, 0.9, ()), Row(4, 0, A, 0.9, None)]},
        "two",
        actions=SECOND,
        paths={"b": [path]},
    )
    result = merge(MergeRequest(sets=(one.folder, two.folder), out=tmp_path / "all"))
    assert (result.sets, result.videos, result.rows, result.renamed) == (2, 2, 4, ())
    assert result.renumbered == (str(two.folder),)
    assert result.notes == (f"{two.folder}: 'write' was of the group 'pose' and is of 'object' now",)
    new = LabelSet.open(tmp_path / "all")
    assert new.load().actions == FIRST
    assert [row.actions for row in new.rows("b")] == [(2, 3), (), None]
    assert new.rows("a") == one.rows("a")
    assert new.paths("b") == (path,)
    assert new.keyframe("b", 5).read_bytes() == two.keyframe("b", 5).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "one", "two"]


def test_ids_that_are_taken_get_others_and_files_are_found_from_the_new_folder(
    make_set: MakeSet, tmp_path: Path
) -> None:
    one, two = make_set({"clip": [], "clip_2": []}, "one"), make_set({"CLIP": [Row(2, 0, A)]}, "two")
    for labels in (one, two):
        for video in labels.load().videos:
            labels.file(video).write_bytes(str(video.file).encode())
    out = tmp_path / "deep" / "all"
    result = merge(MergeRequest(sets=(one.folder, two.folder), out=out))
    assert result.renamed == (Renamed(str(two.folder), "CLIP", "CLIP_3"),)
    new = LabelSet.open(out)
    assert [new.file(video).read_bytes().decode() for video in new.load().videos] == [
        "../one_clip.mp4",
        "../one_clip_2.mp4",
        "../two_CLIP.mp4",
    ]
    assert new.rows("CLIP_3") == two.rows("CLIP")


def test_files_near_the_new_set_are_named_from_it(make_set: MakeSet, tmp_path: Path) -> None:
    one, two = make_set({"a": []}, "one"), make_set({"b": []}, "two")
    merge(MergeRequest(sets=(one.folder, two.folder), out=tmp_path / "all"))
    assert [video.file for video in LabelSet(tmp_path / "all").load().videos] == ["../one_a.mp4", "../two_b.mp4"]


def test_what_is_refused(make_set: MakeSet, tmp_path: Path) -> None:
    one = make_set({"a": []}, "one", actions=FIRST)
    other = make_set({"b": []}, "other", actions=[*FIRST[:2], SetAction(9, "jump")])
    with pytest.raises(InputError, match=r"other lacks 'write', .*one lacks 'jump'"):
        merge(MergeRequest(sets=(one.folder, other.folder), out=tmp_path / "all"))
    with pytest.raises(UsageError, match="given twice"):
        merge(MergeRequest(sets=(one.folder, tmp_path / "other" / ".." / "one"), out=tmp_path / "all"))
    with pytest.raises(RunConflictError, match="is there already"):
        merge(MergeRequest(sets=(one.folder, other.folder), out=one.folder))
    same = make_set({"c": []}, "same", actions=FIRST)
    content = same.load()
    same.save(replace(content, videos=(replace(content.videos[0], file="../one_a.mp4"),)))
    with pytest.raises(InputError, match=r"one_a\.mp4 is in the sets twice"):
        merge(MergeRequest(sets=(one.folder, same.folder), out=tmp_path / "all"))
    strange = make_set({"d": [Row(2, 0, A, 0.5, (77,))]}, "strange", actions=FIRST)
    with pytest.raises(InputError, match="action 77, which the set does not have"):
        merge(MergeRequest(sets=(one.folder, strange.folder), out=tmp_path / "all"))
    assert not (tmp_path / "all").exists()
    assert not list(tmp_path.glob(".*"))
