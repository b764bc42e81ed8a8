"""label split: where videos fall, that they stay there, and that training has every action it can have."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vidbench.data.split import side_of
from vidbench.formats.labelset import Row
from vidbench.label.divide import SplitRequest, assign, divide
from vidbench.label.store import LabelSet

MakeSet = Callable[..., LabelSet]

A = (0.1, 0.2, 0.35, 1.0)
IDS = st.lists(st.text("abcdef", min_size=1, max_size=6), unique=True, max_size=30)
SEEDS = st.integers(0, 10**6)


@given(IDS, IDS, SEEDS)
def test_further_videos_move_none_but_what_was_moved(first: list[str], more: list[str], seed: int) -> None:
    few, before = assign({video: set() for video in first}, seed, 0.3, 0.2)
    many, after = assign({video: set() for video in (*more, *first)}, seed, 0.3, 0.2)
    assert {video for video in first if many[video] != few[video]} <= {*before, *after}


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.sets(st.integers(1, 8)), max_size=12), SEEDS)
def test_training_has_every_action_of_two_videos(classes: dict[str, set[int]], seed: int) -> None:
    sides, moved = assign(classes, seed, 0.5, 0.2)
    hashed = {video: side_of(video, seed, {"val": 0.5, "test": 0.2, "train": 0.3}) for video in classes}
    for action in range(1, 9):
        having = [sides[video] for video, found in classes.items() if action in found]
        assert len(having) < 2 or "train" in having
    assert {video for video in classes if sides[video] != hashed[video]} == set(moved)


@given(st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=3, max_size=12), SEEDS)
def test_no_part_that_is_asked_for_is_empty(videos: set[str], seed: int) -> None:
    sides, moved = assign({video: {1} for video in videos}, seed, 0.2, 0.1)
    assert set(sides.values()) == {"train", "val", "test"}
    assert len(moved) <= 3
    assert assign({video: {1} for video in sorted(videos)}, seed, 0.2, 0.1) == (sides, moved)


def test_shares_are_kept_on_average() -> None:
    sides = list(assign({f"v{number}": set() for number in range(5000)}, 3, 0.2, 0.1)[0].values())
    assert sides.count("val") == pytest.approx(1000, abs=100)
    assert sides.count("test") == pytest.approx(500, abs=80)
    assert set(assign({f"v{number}": set() for number in range(50)}, 3, 0.0, 0.0)[0].values()) == {"train"}


def test_a_set_is_split_and_says_what_a_part_lacks(make_set: MakeSet) -> None:
    labels = make_set(
        {f"v{n}": [Row(2, 0, A, 0.9, (12,)), Row(3, 0, A)] for n in range(9)} | {"x": [Row(2, 0, A, 0.9, (4,))]}
    )
    tried = divide(SplitRequest(set=labels.folder, val=0.3, seed=1, dry_run=True))
    assert {video.split for video in labels.load().videos} == {"train"}
    result = divide(SplitRequest(set=labels.folder, val=0.3, seed=1))
    assert result.parts == tried.parts
    written = {video.id: video.split for video in labels.load().videos}
    parts = {part.split: part for part in result.parts}
    assert set(parts) == {"train", "val"}
    assert {video: split for split, part in parts.items() for video in part.videos} == written
    assert set(result.changed) == set(parts["val"].videos)
    without_x = parts["val" if written["x"] == "train" else "train"]
    assert without_x.lacks == ("dance",)
    assert f"{without_x.split} lacks dance" in result.notes
    assert sum(part.rows for part in result.parts) == 19
    assert sum(part.labelled for part in result.parts) == 10
    assert divide(SplitRequest(set=labels.folder, val=0.3, seed=1)).changed == ()


def test_a_part_takes_no_video_that_training_needs(make_set: MakeSet) -> None:
    # both have the one action, so one of them must be for training, and the other is free
    sides, _ = assign({"a": {3}, "b": {3}}, 0, 0.2, 0)
    assert sorted(sides.values()) == ["train", "val"]
    labels = make_set({"a": [], "b": [], "c": []}, pictures=False)
    for seed in range(10):
        assert [len(part.videos) > 0 for part in divide(SplitRequest(set=labels.folder, seed=seed)).parts] == [
            True,
            True,
        ]
    alone = divide(SplitRequest(set=make_set({"a": []}, "alone", pictures=False).folder))
    assert any("too few videos" in note for note in alone.notes)
    assert "nobody has labelled" in alone.notes[-1]


def test_shares_that_leave_nothing_for_training(make_set: MakeSet) -> None:
    with pytest.raises(ValidationError, match="less than 1"):
        SplitRequest(set=make_set({}, pictures=False).folder, val=0.6, test=0.4)
