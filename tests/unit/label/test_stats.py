"""What a set has, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo
from vidbench.label.stats import Spread, StatsRequest, stats
from vidbench.label.store import LabelSet

ACTIONS = (
    SetAction(1, "sit", "pose"),
    SetAction(2, "stand", "pose"),
    SetAction(17, "carry", "object"),
    SetAction(80, "watch", "person"),
)


def video(name: str, split: str, pictures: int = 300, last: int = 8) -> SetVideo:
    return SetVideo(name, f"{name}.mp4", 10, 640, 200, "30", pictures, 2, last, split)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    labels = LabelSet(tmp_path)
    labels.save(SetFile(ACTIONS, (video("a", "train"), video("b", "train", 60, -1), video("c", "val", 180, 4))))
    labels.save_rows(
        "a",
        [
            Row(2, 0, (0.1, 0.0, 0.3, 0.5), 0.9, (1, 17)),
            Row(2, 1, (0.5, 0.0, 0.7, 1.0), 0.8, (), doubts=("weak",)),
            Row(3, 0, (0.1, 0.0, 0.3, 0.5), None, (2,), checked=True, doubts=("drawn",)),
            Row(5, 1, (0.5, 0.0, 0.7, 1.0), 0.7, None),
        ],
    )
    labels.save_rows("b", [])
    labels.save_rows("c", [Row(2, 0, (0.0, 0.0, 0.5, 0.25), 0.9, (1, 80))])
    return tmp_path


def test_a_set_is_counted_as_a_whole(folder: Path) -> None:
    whole = stats(StatsRequest(folder=folder)).whole
    assert (whole.videos, whole.keyframes, whole.peopled, whole.persons, whole.boxes) == (3, 10, 4, 3, 5)
    assert (whole.answered, whole.untouched, whole.no_action, whole.checked) == (4, 1, 1, 1)
    assert (whole.doubtful, whole.drawn, whole.labels) == (1, 1, 5)
    assert whole.seconds == pytest.approx(18)


def test_splits_add_up_to_the_whole_and_none_is_told_that_has_no_video(folder: Path) -> None:
    result = stats(StatsRequest(folder=folder))
    assert list(result.splits) == ["train", "val"]
    assert result.splits["train"].boxes == 4
    assert result.splits["val"].labels == 2
    assert sum(one.labels for one in result.splits.values()) == result.whole.labels


def test_actions_are_counted_by_split_and_group_those_nobody_does_too(folder: Path) -> None:
    labels = LabelSet(folder)
    labels.save(SetFile((*ACTIONS, SetAction(3, "crouch", "pose")), labels.load().videos))
    result = stats(StatsRequest(folder=folder))
    assert [(one.id, one.count, one.by_split) for one in result.actions] == [
        (1, 2, {"train": 1, "val": 1}),
        (2, 1, {"train": 1, "val": 0}),
        (3, 0, {"train": 0, "val": 0}),
        (17, 1, {"train": 1, "val": 0}),
        (80, 1, {"train": 0, "val": 1}),
    ]
    assert result.groups == {
        "pose": {"train": 2, "val": 1, "all": 3},
        "object": {"train": 1, "val": 0, "all": 1},
        "person": {"train": 0, "val": 1, "all": 1},
    }


def test_spreads_of_boxes_and_tracks(folder: Path) -> None:
    result = stats(StatsRequest(folder=folder))
    assert result.boxes_per_keyframe == Spread(4, 1, 1, 1.25, 2)
    assert result.tracks == Spread(3, 1, 2, pytest.approx(5 / 3), 2)
    # 200 pixels high: halves, wholes and a quarter
    assert (result.heights.least, result.heights.median, result.heights.most) == (50, 100, 200)
    assert result.areas.most == pytest.approx(0.2)
    assert result.areas.least == pytest.approx(0.1)


def test_each_video_has_its_line_in_the_sets_order(folder: Path) -> None:
    result = stats(StatsRequest(folder=folder))
    assert [(one.id, one.split, one.tally.boxes, one.tally.seconds) for one in result.videos] == [
        ("a", "train", 4, 10),
        ("b", "train", 0, 2),
        ("c", "val", 1, 6),
    ]


def test_a_set_without_rows_is_all_zeros(tmp_path: Path) -> None:
    labels = LabelSet(tmp_path)
    labels.save(SetFile(ACTIONS))
    result = stats(StatsRequest(folder=tmp_path))
    assert result.whole.boxes == 0
    assert result.splits == {}
    assert result.heights == Spread(0, 0, 0, 0, 0)


def test_a_folder_without_a_set_and_a_broken_row_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled set"):
        stats(StatsRequest(folder=tmp_path / "none"))
    with (folder / "videos/c/tracks.jsonl").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(InputError, match=r"tracks\.jsonl:2"):
        stats(StatsRequest(folder=folder))
