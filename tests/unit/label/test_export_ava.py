"""The export, loaded as PySlowFast, MMAction2 and PyTorchVideo load it; resumed, renewed, refused.

PySlowFast and MMAction2 are not installed: their rules for reading are stated here again. PyTorchVideo is the real one.
"""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from vidbench.errors import FindingsError, InputError, RunConflictError
from vidbench.formats.ava import load, parse_actions, parse_files, parse_labels, parse_predicted, parse_seconds
from vidbench.formats.framelist import load_frames
from vidbench.formats.labelset import BoxT, Row, SetAction, SetFile, SetVideo, Split
from vidbench.formats.proposals import load_proposals
from vidbench.label.export_ava import ExportAvaRequest, ExportAvaResult, export_ava
from vidbench.label.store import LabelSet
from vidbench.records import lock_file
from vidbench.video.encode import encode

ACTIONS = (SetAction(1, "bend/bow (at the waist)"), SetAction(12, "stand"), SetAction(17, "carry/hold", "object"),
           SetAction(80, "watch (a person)", "person"))  # fmt: skip
LEFT: BoxT = (0.1, 0.2, 0.3, 0.9)
RIGHT: BoxT = (0.5, 0.2, 0.7, 0.95)


def level(second: int) -> int:
    """The grey level of all frames of a second; neighbours differ by at least 18."""
    return 30 + 18 * (second % 11)


def film(path: Path, seconds: int, fps: int = 30, size: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = (np.full((size, size, 3), level(index // fps), np.uint8) for index in range(seconds * fps))
    encode(path, frames, Fraction(fps))


def row(second: int, person: int = 0, actions: tuple[int, ...] | None = (12,), **more: Any) -> Row:
    return Row(second, person, more.pop("box", RIGHT if person else LEFT), actions=actions, **more)


@dataclass
class Made:
    """A set in its folder, with films whose grey tells the second."""

    folder: Path

    @property
    def labels(self) -> LabelSet:
        return LabelSet(self.folder)

    @property
    def out(self) -> Path:
        return self.folder / "ava"

    def video(self, name: str, rows: list[Row], split: Split = "train", seconds: int = 8, fps: int = 30) -> SetVideo:
        path = self.folder / "films" / f"{name}.mp4"
        film(path, seconds, fps)
        size = path.stat().st_size
        one = SetVideo(name, f"films/{name}.mp4", size, 32, 32, str(fps), seconds * 30, 2, seconds - 2, split)
        held = self.labels.load().videos if (self.folder / "set.json").exists() else ()
        self.labels.save(SetFile(ACTIONS, (*held, one), {}))
        self.labels.save_rows(name, rows)
        return one

    def export(self, **options: Any) -> ExportAvaResult:
        return export_ava(ExportAvaRequest(folder=self.folder, jobs=1, **options))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "set")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, ExportAvaResult]:
    """A reviewed set of two training videos, one for validation and one for test, exported with raw frames."""
    one = Made(tmp_path_factory.mktemp("whole") / "set")
    one.video(
        "walk", [row(2, 0, (12, 80)), row(2, 1, ()), row(3, 1, (1,), score=0.4), row(6, 0, (17,)), row(6, 1, None)]
    )
    one.video("_-run", [row(4, 5, (1, 12, 17))], seconds=7)
    one.video("sit", [row(2, 0, (12,)), row(2, 1, (1, 80), score=0.3), row(3, 0), row(3, 1, None), row(5, 1)], "val")
    one.video("talk", [row(4, 2, (80,))], "test", seconds=6)
    return one, one.export(rawframes=True)


def shown(path: Path) -> int:
    """The second that a JPEG file shows, among those of its neighbourhood of 11 s."""
    with Image.open(path) as image:
        grey = float(np.asarray(image, np.float64).mean())
    return round((grey - 30) / 18)


# what the three code bases read, in words of ours


@dataclass
class Sample:
    """A keyframe as a loader makes it: its clip's middle file, and the actions by the box."""

    video: str
    file: Path
    actions: dict[tuple[float, ...], set[int]]


def slowfast(out: Path, mode: str, *, train_boxes: tuple[str, ...] = (), full: bool = False) -> list[Sample]:
    """As ava_helper and Ava of PySlowFast read, with default settings and the lists of the README."""
    notes, training = out / "annotations", mode == "train"
    files: dict[str, list[Path]] = {}
    lines = (out / "frame_lists" / ("train.csv" if training else "val.csv")).read_text().splitlines()
    for line in lines[1:]:
        words = line.split()
        assert len(words) == 5
        files.setdefault(words[0], []).append(out / "frames" / words[3])
    sources = [("ava_train_v2.2.csv", True), *((name, False) for name in train_boxes)]
    if not training:
        sources = [("ava_val_predicted_boxes.csv", False)]
    held: dict[str, dict[int, dict[str, tuple[list[float], list[int]]]]] = {}
    for name, truth in sources:
        for words in csv.reader((notes / name).read_text().splitlines()):
            second = int(words[1])
            if not truth and float(words[7]) < 0.9:
                continue
            if mode == "val" and not full and second % 4:
                continue
            seconds = held.setdefault(words[0], {number: {} for number in range(902, 1799)})
            box = seconds[second].setdefault(",".join(words[2:6]), ([float(word) for word in words[2:6]], []))
            box[1].append(int(words[6]) if words[6] else -1)
    assert len(held) == len(files), "PySlowFast stops: videos of the list and of the boxes differ"
    samples = []
    for video, paths in files.items():
        for second, boxes in held[video].items():
            if boxes:
                middle = (second - 900) * 30
                # SLOWFAST 32x2; PySlowFast repeats the last frame where there is none
                assert [min(max(n, 0), len(paths) - 1) for n in range(middle - 32, middle + 32, 2)] == list(
                    range(middle - 32, middle + 32, 2)
                )
                for _, numbers in boxes.values():
                    assert all(number == -1 or 1 <= number <= 80 for number in numbers)
                told = {tuple(box): {n for n in numbers if n != -1} for box, numbers in boxes.values()}
                samples.append(Sample(video, paths[middle], told))
    return samples


def mmaction(out: Path, split: str) -> Iterator[tuple[Sample, NDArray[np.float64]]]:
    """As AVADataset of MMAction2 reads raw frames, with default settings; also the boxes it takes for proposals."""
    notes = out / "annotations"
    proposals = pickle.loads((notes / f"ava_dense_proposals_{split}.FAIR.recall_93.9.pkl").read_bytes())
    excluded = {
        (video, int(second))
        for video, second in csv.reader((notes / f"ava_{split}_excluded_timestamps_v2.2.csv").read_text().splitlines())
    }
    keyframes: dict[tuple[str, int], dict[tuple[float, ...], set[int]]] = {}
    for words in csv.reader((notes / f"ava_{split}_v2.2.csv").read_text().splitlines()):
        int(words[7])
        boxes = keyframes.setdefault((words[0], int(words[1])), {})
        boxes.setdefault(tuple(float(word) for word in words[2:6]), set()).add(int(words[6]))
    for (video, second), boxes in keyframes.items():
        if (video, second) in excluded:
            continue
        # the start index of 1 is added twice
        middle = 30 * (second - 900) + 1
        numbers = [min(max(middle + offset, 0), 900 * 30 - 1) + 1 for offset in range(-32, 32, 2)]
        folder = out / "rawframes" / video
        assert all((folder / f"img_{number:05d}.jpg").is_file() for number in numbers)
        found = proposals.get(f"{video},{second:04d}")
        assert found is not None, "MMAction2 would take the whole picture for a person"
        assert found.shape[1] == 5
        assert found.min() >= 0
        assert found.max() <= 1
        kept = found[found[:, 4] >= min(0.9, max(found[:, 4]))]
        yield Sample(video, folder / f"img_{numbers[16]:05d}.jpg", boxes), kept


def pytorchvideo(out: Path, split: str, seconds: float = 2.0, **options: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """The clips of the real loader, by the name of the folder and the second."""
    pytest.importorskip("cv2", reason="PyTorchVideo reads frames with OpenCV")
    from pytorchvideo.data.ava import Ava
    from pytorchvideo.data.clip_sampling import make_clip_sampler
    from torch.utils.data import SequentialSampler

    labels = options.pop("labels", f"ava_{split}_v2.2.csv")
    data = Ava(
        frame_paths_file=str(out / "frame_lists" / f"{split}.csv"),
        frame_labels_file=str(out / "annotations" / labels),
        video_path_prefix=str(out / "frames"),
        clip_sampler=make_clip_sampler("random", seconds),
        video_sampler=SequentialSampler,
        **options,
    )
    return {(item["video_name"], int(item["clip_index"])): item for item in data}


TRAIN = {
    ("walk", 2): {LEFT: {12, 80}},
    ("walk", 3): {RIGHT: {1}},
    ("walk", 6): {LEFT: {17}},
    ("_-run", 4): {RIGHT: {1, 12, 17}},
}
VAL = {("sit", 2): {LEFT: {12}, RIGHT: {1, 80}}, ("sit", 5): {RIGHT: {12}}}


def by_second(samples: list[Sample]) -> dict[tuple[str, int], dict[tuple[float, ...], set[int]]]:
    """Samples by video and the second that their middle frame shows."""
    return {(one.video, shown(one.file)): one.actions for one in samples}


def test_pyslowfast_trains_on_it(whole: tuple[Made, ExportAvaResult]) -> None:
    out = whole[0].out
    samples = slowfast(out, "train")
    assert by_second(samples) == TRAIN
    assert samples[0].file.name == "walk_000061.jpg"
    negatives = "person_box_67091280_iou90/ava_detection_train_boxes_and_labels_include_negative_v2.2.csv"
    more = slowfast(out, "train", train_boxes=(negatives,))
    assert by_second(more) == {**TRAIN, ("walk", 2): {LEFT: {12, 80}, RIGHT: set()}}
    # what shipped configurations do, and the guides copied: harmless here
    assert by_second(slowfast(out, "train", train_boxes=("ava_train_v2.2.csv", negatives))) == by_second(more)


def test_pyslowfast_tests_on_it_and_validates_on_every_second_when_told(whole: tuple[Made, ExportAvaResult]) -> None:
    made, result = whole
    boxes: dict[Any, Any] = {key: {box: set() for box in value} for key, value in VAL.items()}
    assert by_second(slowfast(made.out, "test")) == boxes
    assert result.full_test_on_val
    with pytest.raises(AssertionError, match="PySlowFast stops"):
        slowfast(made.out, "val")
    assert by_second(slowfast(made.out, "val", full=True)) == boxes
    assert "\n  FULL_TEST_ON_VAL: True\n" in (made.out / "README.txt").read_text()
    assert any("AVA.FULL_TEST_ON_VAL True" in one for one in result.remarks)


def test_full_test_on_val_is_not_asked_for_where_every_video_has_a_fourth_second(made: Made) -> None:
    made.video("walk", [row(2)])
    made.video("sit", [row(4), row(5)], "val")
    result = made.export()
    assert not result.full_test_on_val
    assert by_second(slowfast(made.out, "val")) == {("sit", 4): {LEFT: set()}}
    assert "FULL_TEST_ON_VAL is needed" not in (made.out / "README.txt").read_text()


def test_mmaction2_reads_it(whole: tuple[Made, ExportAvaResult]) -> None:
    out = whole[0].out
    train = list(mmaction(out, "train"))
    assert by_second([sample for sample, _ in train]) == TRAIN
    assert train[0][0].file.name == "img_00062.jpg"
    assert by_second([sample for sample, _ in mmaction(out, "val")]) == VAL
    persons = {(one.video, shown(one.file)): [tuple(box) for box in kept] for one, kept in train}
    # who does none of the actions is a proposal, and who has no answer is not
    assert persons[("walk", 2)] == [(*LEFT, 1.0), (*RIGHT, 1.0)]
    assert persons[("walk", 6)] == [(*LEFT, 1.0)]
    assert persons[("walk", 3)] == [(*RIGHT, 1.0)]


@pytest.mark.parametrize(("split", "truth"), [("train", TRAIN), ("val", VAL)], ids=["train", "val"])
def test_pytorchvideo_reads_it(whole: tuple[Made, ExportAvaResult], split: str, truth: dict[Any, Any]) -> None:
    out = whole[0].out
    clips = pytorchvideo(
        out, split, label_map_file=str(out / "annotations" / "ava_action_list_v2.2_for_activitynet_2019.pbtxt")
    )
    assert {
        key: {tuple(box): set(actions) for box, actions in zip(item["boxes"], item["labels"], strict=True)}
        for key, item in clips.items()
    } == truth
    for (_, second), item in clips.items():
        video = item["video"]
        assert tuple(video.shape) == (3, 60, 32, 32)
        seen = [round((float(video[:, index].mean()) - 30) / 18) for index in (0, 29, 30, 59)]
        assert seen == [second - 1, second - 1, second, second]


def test_pytorchvideo_gets_whole_clips_of_four_seconds(whole: tuple[Made, ExportAvaResult]) -> None:
    clips = pytorchvideo(whole[0].out, "train", 4.0)
    assert {item["video"].shape[1] for item in clips.values()} == {120}
    assert clips.keys() == TRAIN.keys()


def files_of(out: Path) -> set[str]:
    return {
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and path.suffix != ".jpg" and ".vidbench" not in path.parts
    }


def test_every_file_of_the_layout_and_no_other(whole: tuple[Made, ExportAvaResult]) -> None:
    out = whole[0].out
    boxes = "annotations/person_box_67091280_iou90/ava_detection"
    per_split = {
        name
        for split in ("train", "val", "test")
        for name in (
            f"frame_lists/{split}.csv",
            f"annotations/ava_{split}_v2.2.csv",
            f"annotations/ava_{split}_excluded_timestamps_v2.2.csv",
            f"annotations/ava_{split}_predicted_boxes.csv",
            f"annotations/ava_dense_proposals_{split}.FAIR.recall_93.9.pkl",
        )
    }
    assert files_of(out) == per_split | {
        "README.txt", "ids.csv", "ava_file_names_trainval_v2.1.txt",
        "annotations/ava_included_timestamps_v2.2.txt",
        "annotations/ava_action_list_v2.2.pbtxt",
        "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        "annotations/class_names.json",
        f"{boxes}_train_boxes_and_labels_include_negative_v2.2.csv", f"{boxes}_val_boxes_and_labels.csv",
    }  # fmt: skip
    assert {path.name for path in (out / "frames").iterdir()} == {"walk", "_-run", "sit", "talk"}
    assert [path.name for path in (out / ".vidbench").iterdir() if "vbpart" in path.name] == []


def test_what_the_files_say_line_by_line(whole: tuple[Made, ExportAvaResult]) -> None:
    out = whole[0].out
    notes = out / "annotations"
    assert (notes / "ava_val_v2.2.csv").read_text() == (
        "sit,0902,0.100,0.200,0.300,0.900,12,0\n"
        "sit,0902,0.500,0.200,0.700,0.950,1,1\n"
        "sit,0902,0.500,0.200,0.700,0.950,80,1\n"
        "sit,0905,0.500,0.200,0.700,0.950,12,1\n"
    )
    assert (notes / "ava_val_excluded_timestamps_v2.2.csv").read_text() == "sit,0903\n"
    assert (notes / "ava_train_excluded_timestamps_v2.2.csv").read_text() == ""
    assert (notes / "ava_test_predicted_boxes.csv").read_text() == "talk,0904,0.500,0.200,0.700,0.950,,1.000000\n"
    negatives = notes / "person_box_67091280_iou90" / "ava_detection_train_boxes_and_labels_include_negative_v2.2.csv"
    assert [line.split(",")[6] for line in negatives.read_text().splitlines()] == [
        "12",
        "80",
        "-1",
        "1",
        "17",
        "1",
        "12",
        "17",
    ]
    assert (notes / "ava_included_timestamps_v2.2.txt").read_text() == "0902\n0903\n0904\n0905\n0906\n"
    assert json.loads((notes / "class_names.json").read_text()) == {
        "bend/bow (at the waist)": 0, "stand": 11, "carry/hold": 16, "watch (a person)": 79,
    }  # fmt: skip
    actions, dialect = load(notes / "ava_action_list_v2.2.pbtxt", parse_actions)
    assert dialect == "label"
    assert [(one.id, one.kind) for one in actions] == [
        (1, "PERSON_MOVEMENT"), (12, "PERSON_MOVEMENT"), (17, "OBJECT_MANIPULATION"), (80, "PERSON_INTERACTION"),
    ]  # fmt: skip
    items, dialect = load(notes / "ava_action_list_v2.2_for_activitynet_2019.pbtxt", parse_actions)
    assert dialect == "item"
    assert [(one.id, one.name) for one in items] == [(one.id, one.name) for one in ACTIONS]
    assert load(out / "ava_file_names_trainval_v2.1.txt", parse_files) == ("walk.mp4", "_-run.mp4", "sit.mp4")
    assert (out / "ids.csv").read_text().splitlines() == [
        "id,split,video,source,part,parts,from_s,to_s,offset",
        "walk,train,walk,films/walk.mp4,1,1,0,8.000,900",
        "_-run,train,_-run,films/_-run.mp4,1,1,0,7.000,900",
        "sit,val,sit,films/sit.mp4,1,1,0,8.000,900",
        "talk,test,talk,films/talk.mp4,1,1,0,6.000,900",
    ]
    lines = list(load_frames(out / "frame_lists" / "train.csv"))
    assert len(lines) == 240 + 210
    assert (lines[240].name, lines[240].video, lines[240].frame, lines[240].path) == (
        "_-run",
        1,
        0,
        "_-run/_-run_000001.jpg",
    )
    assert all((out / "frames" / line.path).is_file() for line in lines)


def test_our_own_readers_take_all_of_it(whole: tuple[Made, ExportAvaResult]) -> None:
    notes = whole[0].out / "annotations"
    for split in ("train", "val", "test"):
        labels = load(notes / f"ava_{split}_v2.2.csv", parse_labels)
        boxes = load(notes / f"ava_{split}_predicted_boxes.csv", parse_predicted)
        proposals = load_proposals(notes / f"ava_dense_proposals_{split}.FAIR.recall_93.9.pkl")
        assert len(boxes) == sum(map(len, proposals.values()))
        assert {(one.video, one.second) for one in labels} <= {(key.video, key.second) for key in proposals}
        load(notes / f"ava_{split}_excluded_timestamps_v2.2.csv", parse_seconds)


def test_the_result_counts(whole: tuple[Made, ExportAvaResult]) -> None:
    result = whole[1]
    assert result.reviewed
    assert result.trainable
    train, val = result.splits["train"], result.splits["val"]
    assert (train.videos, train.parts, train.keyframes, train.persons, train.labels) == (2, 2, 4, 5, 7)
    assert (train.negatives, train.excluded, train.untouched, train.withheld) == (1, 0, 1, 0)
    assert (val.keyframes, val.persons, val.labels, val.excluded, val.untouched, val.withheld) == (2, 3, 4, 1, 1, 1)
    assert (result.made, result.frames) == (4, 30 * (8 + 7 + 8 + 6))
    assert result.bytes == sum(path.stat().st_size for path in (result.out / "frames").rglob("*.jpg"))
    assert (result.failed, result.left_out, result.outside, result.merged, result.removed) == ((), (), (), (), ())
    assert result.threshold == 0.9


def test_raw_frames_are_the_same_files(whole: tuple[Made, ExportAvaResult]) -> None:
    out = whole[0].out
    assert len(list((out / "rawframes" / "walk").iterdir())) == 240
    assert (out / "rawframes" / "walk" / "img_00240.jpg").samefile(out / "frames" / "walk" / "walk_000240.jpg")


def test_the_readme_names_the_files_that_are_there(whole: tuple[Made, ExportAvaResult]) -> None:
    out = whole[0].out
    text = (out / "README.txt").read_text()
    for words in ("NUM_CLASSES: 80", "num_classes=81", "DETECTION_SCORE_THRESH: 0.9", "at most 4, the training"):
        assert words in text
    found = [line.strip().rstrip("\",')") for line in text.splitlines() if str(out) in line]
    paths = [line[line.index(str(out)) :] for line in found]
    assert len(paths) >= 20
    assert [path for path in paths if not Path(path).exists()] == []


def contents(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".vidbench" not in path.parts
    }


def test_a_second_export_keeps_the_frames_and_gives_the_same_files(made: Made) -> None:
    made.video("walk", [row(2), row(3)])
    made.video("sit", [row(4)], "val")
    assert made.export(rawframes=True).made == 2
    before = contents(made.out)
    times = {path: path.stat().st_mtime_ns for path in made.out.rglob("*.jpg")}
    shutil.rmtree(made.folder / "films")
    again = made.export()
    assert again.made == 0
    assert contents(made.out) == before
    assert {path: path.stat().st_mtime_ns for path in made.out.rglob("*.jpg")} == times


def test_frames_that_went_missing_are_made_again_and_linked_again(made: Made) -> None:
    made.video("walk", [row(2)])
    made.export(rawframes=True)
    before = contents(made.out)
    (made.out / "frames" / "walk" / "walk_000100.jpg").unlink()
    half = made.out / "frames" / "walk.1234.vbpart"
    half.mkdir()
    assert made.export().made == 1
    assert not half.exists()
    assert contents(made.out) == before
    assert (made.out / "rawframes" / "walk" / "img_00100.jpg").samefile(
        made.out / "frames" / "walk" / "walk_000100.jpg"
    )


def test_a_split_that_is_gone_leaves_nothing_and_the_users_own_files_stay(made: Made) -> None:
    made.video("walk", [row(2)])
    made.video("sit", [row(4)], "val")
    made.export(rawframes=True)
    own = made.out / "annotations" / "ava_val_my_boxes.csv"
    own.write_text("mine")
    content = made.labels.load()
    made.labels.save(replace(content, videos=content.videos[:1]))
    result = made.export()
    assert sorted(result.removed) == [
        "annotations/ava_dense_proposals_val.FAIR.recall_93.9.pkl",
        "annotations/ava_val_excluded_timestamps_v2.2.csv",
        "annotations/ava_val_predicted_boxes.csv",
        "annotations/ava_val_v2.2.csv",
        "annotations/person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv",
        "frame_lists/val.csv",
        "frames/sit",
        "rawframes/sit",
    ]
    assert not any(
        "val" in name for name in files_of(made.out) - {"annotations/ava_val_my_boxes.csv"} if "trainval" not in name
    )
    assert own.read_text() == "mine"
    assert any("No validation split: PySlowFast" in one for one in result.remarks)


def test_nobody_has_answered_boxes_and_proposals_alone(made: Made) -> None:
    made.video("walk", [row(2, 0, None, score=0.85), row(3, 1, None, score=0.2)])
    made.video("sit", [row(4, 0, None, score=0.95), row(2, 0, None)], "val")
    result = made.export()
    assert not result.reviewed
    assert not result.trainable
    names = files_of(made.out)
    assert not any(name.endswith(("_v2.2.csv", "_labels.csv")) for name in names)
    notes = made.out / "annotations"
    assert (notes / "ava_train_predicted_boxes.csv").read_text() == (
        "walk,0902,0.100,0.200,0.300,0.900,,0.850000\nwalk,0903,0.500,0.200,0.700,0.950,,0.200000\n"
    )
    held = pickle.loads((notes / "ava_dense_proposals_val.FAIR.recall_93.9.pkl").read_bytes())
    assert {key: value[:, 4].tolist() for key, value in held.items()} == {"sit,0902": [1.0], "sit,0904": [0.95]}
    told = " ".join(result.remarks)
    assert "Not yet trainable" in told
    assert (
        "2 of 4 boxes have a score below 0.9, and are not used at that threshold. Videos that keep no box then: walk."
        in told
    )
    assert "1 of 4 boxes have a score below 0.8" in told
    assert result.threshold == 0.8
    assert "Not yet trainable" in (made.out / "README.txt").read_text()
    clips = pytorchvideo(made.out, "train", labels="ava_train_predicted_boxes.csv")
    assert {key: item["labels"] for key, item in clips.items()} == {("walk", 2): [[-1]], ("walk", 3): [[-1]]}


def test_a_review_that_is_taken_back_takes_the_ground_truth_with_it(made: Made) -> None:
    made.video("walk", [row(2)])
    made.export()
    made.labels.save_rows("walk", [row(2, 0, None)])
    assert "annotations/ava_train_v2.2.csv" in made.export().removed
    assert not (made.out / "annotations" / "ava_train_v2.2.csv").exists()


def test_videos_without_a_usable_row_are_in_no_file(made: Made) -> None:
    made.video("walk", [row(2)])
    made.video("nobody", [])
    made.video("idle", [row(2, 0, ())])
    made.video("open", [row(2, 0, None)])
    made.video("half", [row(2, 0), row(2, 1, None)], "val")
    made.video("short", [row(1)], seconds=3)
    result = made.export()
    assert {one.id: one.reason.split(":")[0] for one in result.left_out} == {
        "nobody": "no person at any keyframe",
        "idle": "nobody does any of the actions",
        "open": "nobody has answered for any person",
        "half": "at every keyframe with an action somebody is still without an answer",
        "short": "shorter than 4 s",
    }
    assert set(result.splits) == {"train"}
    assert any("Split val is not written: none of its 1 video can be used." in one for one in result.remarks)
    assert [path.name for path in (made.out / "frames").iterdir()] == ["walk"]
    assert by_second(slowfast(made.out, "train")) == {("walk", 2): {LEFT: {12}}}
    text = "".join((made.out / name).read_text(errors="replace") for name in files_of(made.out) if name != "README.txt")
    assert not any(name in text for name in ("nobody", "idle", "open", "half", "short"))


def test_keyframes_too_near_to_an_end_are_named(made: Made) -> None:
    made.video("walk", [row(second) for second in range(8)])
    result = made.export()
    assert [(one.video, one.seconds) for one in result.outside] == [("walk", (0, 1, 7))]
    assert sorted(by_second(slowfast(made.out, "train"))) == [("walk", second) for second in range(2, 7)]


def test_persons_whom_a_loader_takes_for_one_are_named_and_nothing_is_moved(made: Made) -> None:
    near = (0.104, 0.2, 0.3, 0.9)
    made.video("walk", [row(2, 0, (1,)), row(2, 1, (12,), box=near), row(3)])
    result = made.export()
    assert [(one.video, one.second, one.persons, one.exact) for one in result.merged] == [("walk", 2, (0, 1), False)]
    assert any("walk second 2 persons 0, 1" in one for one in result.remarks)
    assert by_second(slowfast(made.out, "train"))[("walk", 2)] == {LEFT: {1}, near: {12}}
    assert pytorchvideo(made.out, "train")[("walk", 2)]["labels"] == [[1, 12]]


def test_the_second_part_of_a_long_video_shows_the_right_seconds(made: Made) -> None:
    made.video("long", [row(second) for second in (899, 900, 920)], seconds=922, fps=1)
    result = made.export()
    assert [(one.id, one.reason) for one in result.left_out] == [("long_p01", "no person at any keyframe")]
    assert [path.name for path in (made.out / "frames").iterdir()] == ["long_p02"]
    assert len(list((made.out / "frames" / "long_p02").iterdir())) == (922 - 897) * 30
    samples = slowfast(made.out, "train")
    assert [one.file.name for one in samples] == [f"long_p02_{30 * second + 1:06d}.jpg" for second in (2, 3, 23)]
    assert [shown(one.file) for one in samples] == [second % 11 for second in (899, 900, 920)]


@pytest.mark.slow
def test_a_long_video_in_parts_that_show_the_right_seconds(made: Made) -> None:
    seconds = (2, 500, 897, 898, 899, 900, 901, 950)
    made.video("long", [row(second, 3, (12,)) for second in seconds], seconds=952, fps=1)
    made.video("long_p01", [row(2)], "val", seconds=5)
    result = made.export()
    assert result.splits["train"].parts == 2
    assert [line.split(",")[0] for line in (made.out / "ids.csv").read_text().splitlines()[1:]] == [
        "long__p01", "long__p02", "long_p01",
    ]  # fmt: skip
    table = list(csv.DictReader((made.out / "ids.csv").read_text().splitlines()))
    offsets = {one["id"]: int(one["offset"]) for one in table}
    samples = slowfast(made.out, "train")
    labels = load(made.out / "annotations" / "ava_train_v2.2.csv", parse_labels)
    assert [one.second - offsets[one.video] for one in labels] == list(seconds)
    assert [shown(one.file) for one in samples] == [second % 11 for second in seconds]
    assert [one.second for one in labels] == [902, 1400, 1797, 1798, 902, 903, 904, 953]
    assert len(list((made.out / "frames" / "long__p02").iterdir())) == (952 - 897) * 30
    clips = pytorchvideo(made.out, "train", 4.0)
    assert {item["video"].shape[1] for item in clips.values()} == {120}


def test_a_video_that_is_not_the_one_of_the_set_is_in_no_file(made: Made) -> None:
    made.video("walk", [row(2)])
    made.video("gone", [row(2)])
    made.video("other", [row(2)])
    made.video("longer", [row(2)], seconds=9)
    film(made.folder / "films" / "other.mp4", 9)
    (made.folder / "films" / "gone.mp4").unlink()
    content = made.labels.load()
    # of the same size, and yet with other frames than the set tells of
    made.labels.save(replace(content, videos=(*content.videos[:3], replace(content.videos[3], pictures=300))))
    result = made.export()
    assert {one.id: one.reason for one in result.failed} == {"gone": "missing", "other": "changed", "longer": "changed"}
    assert "270 frames where the set tells of 300" in {one.id: one.detail for one in result.failed}["longer"]
    assert result.splits["train"].parts == 1
    assert [path.name for path in (made.out / "frames").iterdir()] == ["walk"]
    assert by_second(slowfast(made.out, "train")) == {("walk", 2): {LEFT: {12}}}
    shutil.rmtree(made.folder / "films")
    shutil.rmtree(made.out / "frames")
    with pytest.raises(FindingsError, match="no video of the set could be read"):
        made.export()


def test_without_frames_the_lists_say_which_are_missing(made: Made) -> None:
    made.video("walk", [row(2)])
    result = made.export(frames=False)
    assert any("frames/ lacks walk" in one for one in result.remarks)
    assert not (made.out / "frames").exists()
    assert len(list(load_frames(made.out / "frame_lists" / "train.csv"))) == 240
    made.export(short_side=16, overwrite=True)
    assert not any("lacks" in one for one in made.export(frames=False).remarks)


def test_another_size_is_refused_unless_asked_for(made: Made) -> None:
    made.video("walk", [row(2)])
    made.export()
    with pytest.raises(RunConflictError, match="short_side: null there, 16 asked"):
        made.export(short_side=16)
    assert made.export(short_side=16, overwrite=True).made == 1
    with Image.open(made.out / "frames" / "walk" / "walk_000001.jpg") as image:
        assert image.size == (16, 16)


def test_folders_that_are_not_ours_stay_as_they_are(made: Made, tmp_path: Path) -> None:
    made.video("walk", [row(2)])
    foreign = tmp_path / "ava"
    (foreign / "frames" / "walk").mkdir(parents=True)
    with pytest.raises(RunConflictError, match="holds frames and was not made by this export"):
        made.export(out=foreign)
    with pytest.raises(RunConflictError, match="not made by this export"):
        made.export(out=made.folder, overwrite=True)
    assert [path.name for path in foreign.rglob("*")] == ["frames", "walk"]
    made.export(out=tmp_path / "new")
    with (
        lock_file(tmp_path / "new" / ".vidbench" / "ava.lock", "busy"),
        pytest.raises(RunConflictError, match="another"),
    ):
        made.export(out=tmp_path / "new")


def test_a_list_of_written_files_that_was_tampered_with_removes_nothing_else(made: Made, tmp_path: Path) -> None:
    made.video("walk", [row(2)])
    made.export()
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    with (made.out / ".vidbench" / "ava-files.txt").open("a") as stream:
        stream.write("../../precious.txt\n../set.json\nframe_lists/val.csv\n")
    (made.out / "frame_lists" / "val.csv").write_text("")
    assert made.export().removed == ("frame_lists/val.csv",)
    assert precious.exists()


def test_broken_sets(made: Made, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled set"):
        export_ava(ExportAvaRequest(folder=tmp_path))
    made.video("walk", [row(0)])
    with pytest.raises(InputError, match="no video has a person that could be exported; the first: walk, no person"):
        made.export()
    made.labels.save_rows("walk", [row(2, 0, (1, 5))])
    with pytest.raises(InputError, match="person 0 at second 2 has action 5"):
        made.export()
    assert not made.out.exists()
    with pytest.raises(ValidationError):
        ExportAvaRequest(folder=tmp_path, size=3)  # type: ignore[call-arg]
