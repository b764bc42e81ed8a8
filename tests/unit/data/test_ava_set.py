"""AVA folders as keyframes: whose boxes, which frames, and what is wrong with files, by line."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.ava_data import ACTIONS, HEIGHT, SIDE, WIDTH, annotate, ava_folder, box, corner, extract
from vidbench.data.ava_set import AvaFiles, read_ava_set
from vidbench.errors import InputError, UsageError
from vidbench.formats.labelset import SetAction, SetFile, SetVideo, dump_set
from vidbench.video.fit import Fit
from vidbench.video.moments import read_moments
from vidbench.video.steady import Steady

DETECTED = "person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv"
WITH_NEGATIVES = "person_box_67091280_iou90/ava_detection_train_boxes_and_labels_include_negative_v2.2.csv"
ELSEWHERE = "0.700,0.100,0.900,0.500"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    folder = ava_folder(tmp_path_factory.mktemp("ava"))
    extract(folder, ["one", "two"])
    return folder


@pytest.fixture
def folder(rendered, tmp_path) -> Path:
    """A copy whose annotations may be changed."""
    shutil.copytree(rendered / "annotations", tmp_path / "annotations")
    shutil.copytree(rendered / "frame_lists", tmp_path / "frame_lists")
    for name in ("frames", "videos_15min"):
        (tmp_path / name).symlink_to(rendered / name)
    return tmp_path


def test_ground_truth_is_one_box_per_person_with_all_actions(folder) -> None:
    found = read_ava_set(folder, "train")
    assert [(one.video, one.second) for one in found.keyframes] == [
        (video, second) for video in ("one", "two") for second in (902, 903, 904, 905)
    ]
    first = found.keyframes[0]
    assert (first.centre, first.labels) == (60, ((1, 4),))
    np.testing.assert_array_equal(first.boxes, [[float(value) for value in box(902).split(",")]])
    assert first.scores.tolist() == [1.0]
    assert found.classes == {1: "stand", 4: "walk"}
    assert found.scored == (1, 4)
    assert len({one.key for one in found.keyframes}) == 8
    assert found.sources["one"].count == 240
    assert found.remarks == ()


def test_frames_and_video_show_the_same_picture(folder) -> None:
    by_frames = read_ava_set(folder, "val")
    by_video = read_ava_set(folder, "val", videos=folder / "videos_15min")
    assert by_frames.keyframes[3].key == by_video.keyframes[3].key
    assert by_video.sources["one"].frames is None
    assert by_video.sources["one"].count == 240
    for one, other in zip(by_frames.keyframes, by_video.keyframes, strict=True):
        indices = [one.centre - 2, one.centre, one.centre, one.centre + 3]
        images = by_frames.sources[one.video].read(indices)
        straight = by_video.sources[other.video].read(indices)
        assert images.data.shape == straight.data.shape == (4, HEIGHT, WIDTH, 3)
        # the quality of the JPEG files is all that differs
        assert np.abs(images.data.astype(int) - straight.data).mean() < 2
        np.testing.assert_array_equal(straight.data[1], straight.data[2])
        x, y = corner(one.centre)
        red = straight.data[1, :, :, 0].astype(int) - straight.data[1, :, :, 1] > 100
        # colours are coded at half the resolution, so that an edge may be a pixel off
        assert red.sum() <= (SIDE + 2) ** 2
        assert red[y + 1 : y + SIDE - 1, x + 1 : x + SIDE - 1].all()


def test_moments_are_those_of_the_steady_grid_and_a_seek_is_exact(rendered) -> None:
    path = rendered / "videos_15min" / "one.mp4"
    grid = [one.image for one in Steady(path)]
    numbers = [95, 97, 101, 130]
    images, width, height = read_moments(path, numbers, from_s=Fraction(2))
    np.testing.assert_array_equal(images, [grid[60 + number] for number in numbers])
    assert (width, height) == (WIDTH, HEIGHT)
    small, width, height = read_moments(path, numbers, fit=Fit(32, "exact"))
    assert small.shape == (4, 32, 48, 3)
    assert small.dtype == np.float32
    assert (width, height) == (WIDTH, HEIGHT)


def test_a_video_that_ends_a_little_early_keeps_its_last_picture_and_one_that_ends_earlier_is_refused(rendered) -> None:
    from vidbench.video.clip import VideoError

    path = rendered / "videos_15min" / "one.mp4"
    images, _, _ = read_moments(path, [238, 239, 250])
    np.testing.assert_array_equal(images[2], images[1])
    with pytest.raises(VideoError, match=r"ends at 8\.0\d* s, before the moment at 13\.333 s"):
        read_moments(path, [238, 400])


def test_detected_boxes_need_the_score_and_both_join_by_box(folder) -> None:
    annotate(folder, "ava_train_v2.2.csv", [f"one,0902,{box(902)},1,0"])
    (folder / "annotations" / WITH_NEGATIVES).parent.mkdir()
    annotate(
        folder,
        WITH_NEGATIVES,
        [
            f"one,0902,{box(902)},4,0.95",
            f"one,0902,{ELSEWHERE},-1,0.91",
            f"one,0903,{ELSEWHERE},,0.89",
            f"two,0903,{box(903)},4,0.9",
            f"two,0904,{ELSEWHERE},-1,0.99",
            "two,0904,0.5,0.5,0.5,0.6,-1,0.99",
        ],
    )
    both = read_ava_set(folder, "train", boxes="both")
    assert [(one.video, one.second, one.labels) for one in both.keyframes] == [
        ("one", 902, ((1, 4), ())),
        ("two", 903, ((4,),)),
        ("two", 904, ((),)),
    ]
    assert both.keyframes[0].scores.tolist() == [1.0, 0.91]
    assert any("1 of 6 rows are below the least score" in remark for remark in both.remarks)
    assert any("1 boxes without area" in remark for remark in both.remarks)
    plain = read_ava_set(folder, "train", boxes="both", negatives=False)
    assert [one.labels for one in plain.keyframes] == [((1, 4),), ((4,),)]
    low = read_ava_set(folder, "train", boxes="detected", min_score=0.5)
    assert ("one", 903) in {(one.video, one.second) for one in low.keyframes}
    assert low.sha256 != both.sha256


def test_boxes_without_labels_are_not_trained_on(folder) -> None:
    given = AvaFiles(detected=annotate(folder, "predicted.csv", [f"one,0902,{ELSEWHERE},,0.99"]))
    with pytest.raises(InputError, match="boxes without labels") as caught:
        read_ava_set(folder, "train", boxes="both", given=given)
    assert "include_negative" in caught.value.remedy
    assert read_ava_set(folder, "val", boxes="detected", given=given).keyframes[0].labels == ((),)


def test_excluded_seconds_every_fourth_second_and_a_limit(folder) -> None:
    annotate(folder, "ava_val_excluded_timestamps_v2.2.csv", ["one,0904", "two,0999"])
    found = read_ava_set(folder, "val")
    assert ("one", 904) not in {(one.video, one.second) for one in found.keyframes}
    assert found.excluded == {("one", 904), ("two", 999)}
    assert "1 keyframes are excluded" in found.remarks
    fourth = read_ava_set(folder, "val", every=4)
    assert [(one.video, one.second) for one in fourth.keyframes] == [("two", 904)]
    assert fourth.scope()("one", 904)
    assert not fourth.scope()("one", 905)
    limited = read_ava_set(folder, "val", limit=2)
    assert len(limited.keyframes) == 2
    assert [limited.scope()("one", second) for second in (902, 903, 905)] == [True, True, False]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("one,0902,0.1,0.1,1.2,0.5,1,0", "x2 '1.2' is not a number from 0 to 1"),
        ("one,0902,0.5,0.1,0.5,0.5,1,0", "x1 0.5 is not less than x2 0.5"),
        ("one,0902,0.1,0.1,0.5,0.5,,0", "action '' is not a whole number"),
        ("one,0902,0.1,0.1,0.5,0.5,3,0", "action 3 is no class"),
        ("one,0002,0.1,0.1,0.5,0.5,1,0", "second 2 of one is before the first picture, second 900"),
        ("one,0908,0.1,0.1,0.5,0.5,1,0", "second 908 of one is after the last picture, second 907.97"),
    ],
    ids=["outside", "flat", "unlabelled", "unknown", "before", "after"],
)
def test_what_is_wrong_is_told_by_line(folder, line, reason) -> None:
    path = annotate(folder, "ava_train_v2.2.csv", [f"one,0903,{box(903)},1,0", line])
    with pytest.raises(InputError) as caught:
        read_ava_set(folder, "train")
    assert f"{path}:2: {reason}" in caught.value.message
    assert caught.value.remedy


def test_a_row_that_is_there_twice_counts_once_and_is_told(folder) -> None:
    row = f"one,0903,{box(903)},1,0"
    path = annotate(folder, "ava_train_v2.2.csv", [row, f"one,0904,{box(904)},1,0", row])
    found = read_ava_set(folder, "train")
    assert found.keyframes[0].labels == ((1,),)
    assert any(remark.startswith(f"{path}:3: says what an earlier row says") for remark in found.remarks)


def test_missing_pictures_are_refused_or_skipped(folder) -> None:
    annotate(folder, "ava_train_v2.2.csv", [f"one,0902,{box(902)},1,0", f"gone,0902,{box(902)},1,0"])
    for more in ({}, {"videos": folder / "videos_15min"}):
        with pytest.raises(InputError, match="1 of 2 annotated videos have no pictures\ngone: "):
            read_ava_set(folder, "train", **more)
        found = read_ava_set(folder, "train", missing="skip", **more)
        assert list(found.sources) == ["one"]
        assert not found.scope()("gone", 902)
        assert any("gone" in remark for remark in found.remarks)
    with pytest.raises(UsageError, match="both"):
        read_ava_set(folder, "train", videos=folder / "videos_15min", frames=folder / "frames")


def test_a_video_that_is_there_twice_or_too_short_for_its_start(folder, tmp_path) -> None:
    videos = tmp_path / "films"
    videos.mkdir()
    for name in ("one.mp4", "two.mp4"):
        (videos / name).symlink_to((folder / "videos_15min" / name).resolve())
    with pytest.raises(InputError, match=r"lasts 8\.0 s, and its first frame is to be at 900 s"):
        read_ava_set(folder, "train", videos=videos)
    late = read_ava_set(folder, "train", videos=videos, video_start=2)
    assert (late.sources["one"].from_s, late.sources["one"].count) == (2, 180)
    (videos / "one.webm").symlink_to((folder / "videos_15min" / "one.mp4").resolve())
    with pytest.raises(InputError, match=r"are both the video one"):
        read_ava_set(folder, "train", videos=videos, video_start=2)


def test_an_exported_part_is_read_from_its_second_of_the_video(folder, rendered, tmp_path) -> None:
    made = tmp_path / "set"
    shutil.copytree(folder / "annotations", made / "ava" / "annotations")
    video = (rendered / "videos_15min" / "one.mp4").resolve()
    held = SetVideo("film", str(video), video.stat().st_size, WIDTH, HEIGHT, "30", 240, 2, 6, "train")
    (made / "set.json").write_text(json.dumps(dump_set(SetFile((SetAction(1, "stand"),), (held,), {}))))
    annotate(made / "ava", "ava_train_v2.2.csv", [f"film_p02,0902,{box(904)},1,0"])
    with pytest.raises(InputError, match="was not exported") as caught:
        read_ava_set(made, "train")
    assert f"vidbench label export {made}" in caught.value.remedy
    head = "id,split,video,source,part,parts,from_s,to_s,offset\n"
    (made / "ava" / "ids.csv").write_text(head + f"film_p02,train,film,{video},2,2,2,8.000,898\n")
    for source in (made, made / "ava"):
        found = read_ava_set(source, "train")
        (one,) = found.keyframes
        assert (one.centre, found.sources["film_p02"].from_s, found.sources["film_p02"].count) == (60, 2, 180)
        shown = found.sources["film_p02"].read([one.centre]).data[0].astype(int)
        x, y = corner(120)
        assert (shown[y + 1 : y + SIDE - 1, x + 1 : x + SIDE - 1, 0] > 180).all()

    other = replace(held, size_bytes=held.size_bytes + 1)
    (made / "set.json").write_text(json.dumps(dump_set(SetFile((SetAction(1, "stand"),), (other,), {}))))
    with pytest.raises(InputError, match="another file than the set was made of"):
        read_ava_set(made, "train")


def test_the_80_classes_are_trained_and_the_60_counted(folder) -> None:
    text = ACTIONS.replace("item", "label").replace("  id:", "  label_id:").replace("\n}", "\n  label_type: PERSON\n}")
    more = 'label {\n  name: "swim"\n  label_id: 9\n  label_type: PERSON\n}\n'
    (folder / "annotations" / "ava_action_list_v2.2.pbtxt").write_text(text + more)
    found = read_ava_set(folder, "train")
    assert found.classes == {1: "stand", 4: "walk", 9: "swim"}
    assert found.scored == (1, 4)


def test_other_folders_say_what_is_missing(folder, tmp_path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_ava_set(tmp_path / "nothing", "train")
    with pytest.raises(InputError, match="no annotations of the part 'test'") as caught:
        read_ava_set(folder, "test")
    assert "train and val" in caught.value.remedy
