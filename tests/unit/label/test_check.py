"""label check over whole folders: a good one passes, and each broken one is told by rule, file and line."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vidbench.errors import InputError
from vidbench.formats.ava import Second
from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo
from vidbench.formats.proposals import save_proposals
from vidbench.label.ava_rows import rows_of
from vidbench.label.check import LOADERS, RULES, CheckRequest, CheckResult, Finding, check
from vidbench.label.parts import parts_of
from vidbench.label.store import LabelSet

TRAIN = "annotations/ava_train_v2.2.csv"
VAL = "annotations/ava_val_v2.2.csv"
TEST = "annotations/ava_test_v2.2.txt"
BOXES = "annotations/ava_val_predicted_boxes.csv"
ACTIONS = "annotations/ava_action_list_v2.2.pbtxt"
EXCLUDED = "annotations/ava_val_excluded_timestamps_v2.2.csv"
INCLUDED = "annotations/ava_included_timestamps_v2.2.txt"
PROPOSALS = "annotations/ava_dense_proposals_val.FAIR.recall_93.9.pkl"
LIST = "frame_lists/train.csv"
VAL_LIST = "frame_lists/val.csv"
FRAMES = {"v1": 122, "v2": 152}
TEXTS = {
    TRAIN: """v1,0902,0.100,0.100,0.300,0.900,1,0
v1,0902,0.100,0.100,0.300,0.900,17,0
v1,0902,0.500,0.100,0.700,0.900,2,1
v1,0903,0.110,0.100,0.310,0.900,1,0
""",
    VAL: """v2,0904,0.200,0.200,0.400,0.800,1,0
v2,0904,0.200,0.200,0.400,0.800,17,0
v2,0904,0.600,0.200,0.800,0.800,2,1
""",
    BOXES: """v2,0904,0.200,0.200,0.400,0.800,,1.000000
v2,0904,0.600,0.200,0.800,0.800,-1,0.950000
v2,0904,0.610,0.210,0.810,0.810,17,0.850000
""",
    ACTIONS: """label {
  name: "sit"
  label_id: 1
  label_type: PERSON_MOVEMENT
}
label {
  name: "stand"
  label_id: 2
  label_type: PERSON_MOVEMENT
}
label {
  name: "carry"
  label_id: 17
  label_type: OBJECT_MANIPULATION
}
""",
    EXCLUDED: "v2,0903\n",
    "annotations/ava_train_excluded_timestamps_v2.2.csv": "",
    INCLUDED: "0902\n0903\n0904\n",
}

Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made") / "frames"
    for video, count in FRAMES.items():
        (home / video).mkdir(parents=True)
        for number in range(1, count + 1):
            (home / video / f"img_{number:05d}.jpg").write_bytes(b"x")
    return home


@pytest.fixture
def good(tmp_path: Path, frames: Path) -> Path:
    root = tmp_path / "ava"
    for name, text in TEXTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name, video in ((LIST, "v1"), (VAL_LIST, "v2")):
        rows = [f'{video} 0 {n} {video}/img_{n + 1:05d}.jpg ""\n' for n in range(FRAMES[video])]
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("original_vido_id video_id frame_id path labels\n" + "".join(rows))
    boxes = np.array([[0.2, 0.2, 0.4, 0.8, 1.0], [0.6, 0.2, 0.8, 0.8, 0.3]])
    save_proposals(root / PROPOSALS, [(Second("v2", 904), boxes)])
    (root / "frames").symlink_to(frames)
    return root


def put(file: str, line: int, text: str) -> Edit:
    """Replace a line."""

    def edit(root: Path) -> None:
        lines = (root / file).read_text().splitlines(keepends=True)
        lines[line - 1] = text + "\n"
        (root / file).write_text("".join(lines))

    return edit


def add(file: str, *lines: str) -> Edit:
    """Append lines."""
    return lambda root: (root / file).write_text((root / file).read_text() + "".join(f"{line}\n" for line in lines))


def swap(file: str, old: str, new: str) -> Edit:
    """Replace text."""

    def edit(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))

    return edit


def raw(file: str, content: bytes) -> Edit:
    return lambda root: (root / file).write_bytes(content)


def drop(file: str) -> Edit:
    return lambda root: (root / file).unlink()


def own_frames(change: Edit) -> Edit:
    """Give the folder frames of its own, and change them."""

    def edit(root: Path) -> None:
        home = (root / "frames").resolve()
        (root / "frames").unlink()
        shutil.copytree(home, root / "frames", copy_function=os.link)
        change(root / "frames")

    return edit


def proposals(value: object, key: str = "v2,0904", protocol: int = 2) -> Edit:
    return lambda root: (root / PROPOSALS).write_bytes(pickle.dumps({key: value}, protocol))


def renamed(folder: Path) -> None:
    for path in sorted(folder.glob("v1/*")):
        path.rename(path.with_name(path.name.replace("img_", "v1_0")))


def both(*edits: Edit) -> Edit:
    return lambda root: [edit(root) for edit in edits]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


LONG = "x" * 20
BOX = "0.100,0.100,0.300,0.900"
ARRAY = np.array([[0.2, 0.2, 0.4, 0.8, 1.0]])

# rule, file, line of the first place, what breaks it
CASES: list[tuple[str, str, int | None, Edit]] = [
    ("text-bom", TRAIN, 1, raw(TRAIN, b"\xef\xbb\xbf" + TEXTS[TRAIN].encode())),
    ("text-crlf", TRAIN, 1, raw(TRAIN, TEXTS[TRAIN].replace("\n", "\r\n").encode())),
    ("text-encoding", TRAIN, 5, raw(TRAIN, TEXTS[TRAIN].encode() + b"v\xff,0903,0.6,0.1,0.8,0.9,1,3\n")),
    ("text-blank-line", TRAIN, 5, add(TRAIN, "")),
    ("name-unusable", TRAIN, 5, add(TRAIN, f"my video,0902,{BOX},1,0")),
    ("name-unusable", BOXES, 4, add(BOXES, f"../v2,0904,{BOX},,1.0")),
    ("row-quoted", TRAIN, 4, put(TRAIN, 4, '"v1","0903",0.110,0.100,0.310,0.900,"1","0"')),
    ("row-header", TRAIN, 1, swap(TRAIN, "v1,0902,0.100,0.100,0.300,0.900,1,0", "video,t,x1,y1,x2,y2,action,person")),
    ("second-fraction", TRAIN, 4, put(TRAIN, 4, "v1,903.0,0.110,0.100,0.310,0.900,1,0")),
    ("second-between", TRAIN, 4, put(TRAIN, 4, "v1,902.5,0.110,0.100,0.310,0.900,1,0")),
    ("second-unreadable", TRAIN, 4, put(TRAIN, 4, "v1,15:03,0.110,0.100,0.310,0.900,1,0")),
    ("second-range", TRAIN, 4, put(TRAIN, 4, "v1,0003,0.110,0.100,0.310,0.900,1,0")),
    ("second-range", BOXES, 1, put(BOXES, 1, "v2,1799,0.200,0.200,0.400,0.800,,1.000000")),
    ("second-unpadded", TRAIN, 4, put(TRAIN, 4, "v1,903,0.110,0.100,0.310,0.900,1,0")),
    ("box-unreadable", TRAIN, 4, put(TRAIN, 4, "v1,0903,,0.100,0.310,0.900,1,0")),
    ("box-not-finite", TRAIN, 4, put(TRAIN, 4, "v1,0903,nan,0.100,0.310,0.900,1,0")),
    ("box-order", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.310,0.100,0.110,0.900,1,0")),
    ("box-order", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.110,0.900,1,0")),
    ("box-range", TRAIN, 4, put(TRAIN, 4, "v1,0903,70,80,200,300,1,0")),
    ("box-range", TRAIN, 4, put(TRAIN, 4, "v1,0903,-0.01,0.100,0.310,0.900,1,0")),
    ("action-unreadable", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,sit,0")),
    ("action-over-80", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,81,0")),
    ("action-unlisted", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,3,0")),
    ("labels-empty", VAL, None, raw(VAL, b"")),
    ("labels-second-alone", TRAIN, 5, add(TRAIN, "v1,0903")),
    ("labels-second-alone-test", TEST, 1, raw(TEST, b"v3,0903\n")),
    ("labels-columns-few", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900")),
    ("labels-columns-seven", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,1")),
    ("labels-columns-many", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,1,0,0")),
    ("labels-action-empty", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,,0")),
    ("labels-action-zero", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,0,0")),
    ("person-fraction", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,1,0.0")),
    ("person-unreadable", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,1,Ann")),
    ("person-unreadable", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,1,")),
    ("person-negative", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,1,-1")),
    ("box-text", TRAIN, 2, put(TRAIN, 2, "v1,0902,0.1,0.100,0.300,0.900,17,0")),
    ("box-differs", TRAIN, 2, put(TRAIN, 2, "v1,0902,0.120,0.100,0.300,0.900,17,0")),
    ("boxes-equal", TRAIN, 3, put(TRAIN, 3, "v1,0902,0.100,0.100,0.300,0.900,2,1")),
    ("boxes-equal", TRAIN, 3, put(TRAIN, 3, "v1,0902,0.10,0.100,0.300,0.900,2,1")),
    ("boxes-close", TRAIN, 3, put(TRAIN, 3, "v1,0902,0.101,0.100,0.302,0.900,2,1")),
    ("row-twice", TRAIN, 5, add(TRAIN, "v1,0903,0.110,0.100,0.310,0.900,1,0")),
    ("id-shared", TRAIN, 3, put(TRAIN, 3, "v1,0902,0.500,0.100,0.700,0.900,2,0")),
    ("id-changes", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,1,5")),
    ("pose-none", TRAIN, 4, put(TRAIN, 4, "v1,0903,0.110,0.100,0.310,0.900,17,0")),
    ("pose-many", TRAIN, 2, put(TRAIN, 2, "v1,0902,0.100,0.100,0.300,0.900,2,0")),
    ("predicted-columns", BOXES, 3, put(BOXES, 3, "v2,0904,0.600,0.200,0.800,0.800,0.9")),
    ("predicted-score-unreadable", BOXES, 3, put(BOXES, 3, "v2,0904,0.600,0.200,0.800,0.800,,")),
    ("predicted-score-range", BOXES, 3, put(BOXES, 3, "v2,0904,0.600,0.200,0.800,0.800,,99.5")),
    ("predicted-score-range", BOXES, 3, put(BOXES, 3, "v2,0904,0.600,0.200,0.800,0.800,,nan")),
    ("predicted-score-range", BOXES, 3, put(BOXES, 3, "v2,0904,0.600,0.200,0.800,0.800,,2")),
    ("predicted-score-ids", BOXES, None, raw(BOXES, TEXTS[VAL].encode())),
    ("predicted-box-empty", BOXES, 3, put(BOXES, 3, "v2,0904,0.000,0.200,0.000,0.800,,0.95")),
    ("box-order", BOXES, 3, put(BOXES, 3, "v2,0904,0.400,0.200,0.000,0.800,,0.95")),
    ("predicted-action-wrong", BOXES, 3, put(BOXES, 3, "v2,0904,0.600,0.200,0.800,0.800,0,0.95")),
    ("action-over-80", BOXES, 3, put(BOXES, 3, "v2,0904,0.600,0.200,0.800,0.800,81,0.95")),
    ("predicted-video-low", BOXES, 1, raw(BOXES, b"v2,0904,0.200,0.200,0.400,0.800,,0.500000\n")),
    ("predicted-box-low", BOXES, 3, put(BOXES, 3, "v2,0904,0.600,0.200,0.800,0.800,,0.790000")),
    ("predicted-video-quarter", BOXES, 1, raw(BOXES, b"v2,0903,0.200,0.200,0.400,0.800,,1.000000\n")),
    ("predicted-missing", "annotations", None, drop(BOXES)),
    ("labels-missing", "annotations", None, both(drop(TRAIN), drop(VAL))),
    ("list-missing", "frame_lists", None, drop(LIST)),
    ("list-header", LIST, 1, swap(LIST, "original_vido_id video_id frame_id path labels\n", "")),
    ("list-empty", LIST, None, raw(LIST, b"original_vido_id video_id frame_id path labels\n")),
    ("list-fields", LIST, 3, swap(LIST, 'v1 0 1 v1/img_00002.jpg ""', "v1 0 1 v1/img_00002.jpg")),
    ("list-frame-id", LIST, 3, swap(LIST, "v1 0 1 v1", "v1 0 one v1")),
    ("list-gap", LIST, 4, swap(LIST, 'v1 0 2 v1/img_00003.jpg ""\n', "")),
    ("list-gap", LIST, 2, swap(LIST, 'v1 0 0 v1/img_00001.jpg ""\n', "")),
    (
        "list-unsorted", LIST, 5,
        swap(LIST, 'v1 0 2 v1/img_00003.jpg ""\nv1 0 3 v1/img_00004.jpg ""\n',
             'v1 0 3 v1/img_00004.jpg ""\nv1 0 2 v1/img_00003.jpg ""\n'),
    ),
    ("list-folder", LIST, 4, swap(LIST, "v1 0 2 v1/img_00003", "v1 0 2 v2/img_00003")),
    ("list-path-absolute", LIST, 2, swap(LIST, " v1/", " /data/frames/v1/")),
    ("list-file-missing", LIST, 124, add(LIST, 'v1 0 122 v1/img_00123.jpg ""')),
    ("list-folder-missing", LIST, 2, swap(LIST, " v1/", " v7/")),
    ("list-frames-unlisted", LIST, 2, swap(LIST, 'v1 0 121 v1/img_00122.jpg ""\n', "")),
    (
        "list-video-long", LIST, 124,
        lambda root: add(LIST, *(f'film 1 {n} film/img_{n + 1:05d}.jpg ""' for n in range(27_100)))(root),
    ),
    ("list-video-unboxed", LIST, 124, add(LIST, 'v3 1 0 v3/img_00001.jpg ""')),
    ("list-video-unboxed", VAL_LIST, 154, add(VAL_LIST, 'v3 1 0 v3/img_00001.jpg ""')),
    ("labels-video-unlisted", TRAIN, 5, add(TRAIN, f"v2,0902,{BOX},1,0")),
    ("predicted-video-unlisted", BOXES, 4, add(BOXES, f"v1,0904,{BOX},,1.0")),
    ("frames-foreign", "frames/v1", None, own_frames(lambda home: (home / "v1/Thumbs.db").write_bytes(b"x"))),
    ("frames-gap", "frames/v1", None, own_frames(lambda home: (home / "v1/img_00050.jpg").unlink())),
    ("frames-first", "frames/v1", None, own_frames(lambda home: (home / "v1/img_00001.jpg").unlink())),
    ("frames-mixed", "frames/v1", None, own_frames(lambda home: (home / "v1/v1_000001.jpg").write_bytes(b"x"))),
    (
        "frames-empty-file", "frames/v1", None,
        own_frames(lambda home: ((home / "v1/img_00009.jpg").unlink(), (home / "v1/img_00009.jpg").touch())),
    ),
    ("frames-naming", "frames/v1", None, own_frames(renamed)),
    ("frames-missing", TRAIN, 1, own_frames(lambda home: shutil.rmtree(home / "v1"))),
    ("frames-beyond", TRAIN, 5, add(TRAIN, f"v1,0910,{BOX},1,0")),
    ("frames-short", TRAIN, 5, add(TRAIN, f"v1,0904,{BOX},1,0")),
    ("excluded-missing", "annotations", None, drop(EXCLUDED)),
    ("excluded-columns", EXCLUDED, 2, add(EXCLUDED, "v2")),
    ("excluded-second", EXCLUDED, 2, add(EXCLUDED, "v2,903.0")),
    ("excluded-video-unknown", EXCLUDED, 2, add(EXCLUDED, "v9,0903")),
    ("included-second", INCLUDED, 4, add(INCLUDED, "02")),
    ("actions-missing", "annotations", None, drop(ACTIONS)),
    ("actions-indent", ACTIONS, 2, swap(ACTIONS, '  name: "sit"', '\tname: "sit"')),
    ("actions-indent", ACTIONS, 16, add(ACTIONS, 'item { name: "x" id: 5 }')),
    ("actions-id", ACTIONS, 3, swap(ACTIONS, "label_id: 1\n", "label_id: one\n")),
    ("actions-id", ACTIONS, 3, swap(ACTIONS, "label_id: 1\n", "label_id:1\n")),
    ("actions-quote", ACTIONS, 2, swap(ACTIONS, '"sit"', "'sit'")),
    ("actions-name-cut", ACTIONS, 2, swap(ACTIONS, '"sit"', '"sit \\"down\\""')),
    ("actions-order", ACTIONS, 2, swap(ACTIONS, '  name: "sit"\n  label_id: 1\n', '  label_id: 1\n  name: "sit"\n')),
    ("actions-id-range", ACTIONS, 13, swap(ACTIONS, "label_id: 17", "label_id: 81")),
    ("actions-id-twice", ACTIONS, 8, swap(ACTIONS, "label_id: 2", "label_id: 1")),
    ("actions-name-twice", ACTIONS, 8, swap(ACTIONS, '"stand"', '"sit"')),
    ("actions-empty", ACTIONS, None, raw(ACTIONS, b"item {\n}\n")),
    ("actions-differ", "annotations/b.pbtxt", 3, raw("annotations/b.pbtxt", b'item {\n  name: "walk"\n  id: 1\n}\n')),
    ("proposals-unreadable", PROPOSALS, None, raw(PROPOSALS, b"not a pickle")),
    ("proposals-unreadable", PROPOSALS, None, raw(PROPOSALS, b"")),
    ("proposals-unreadable", PROPOSALS, None, proposals(Evil())),
    ("proposals-unreadable", PROPOSALS, None, raw(PROPOSALS, pickle.dumps([1, 2]))),
    # an index that the faster reader would make room for
    ("proposals-unreadable", PROPOSALS, None, raw(PROPOSALS, b"\x80\x02K\x01r\xff\xff\xff\x7f.")),
    ("proposals-numpy2", PROPOSALS, None, proposals(ARRAY)),
    ("proposals-key", PROPOSALS, None, proposals(ARRAY, "v2,904")),
    ("proposals-list", PROPOSALS, None, proposals(ARRAY.tolist())),
    ("proposals-list", PROPOSALS, None, proposals([list(row) for row in ARRAY])),
    ("proposals-shape", PROPOSALS, None, proposals(ARRAY[:, :3])),
    ("proposals-shape", PROPOSALS, None, proposals("boxes")),
    ("proposals-empty-array", PROPOSALS, None, proposals(np.zeros((0, 5)))),
    ("proposals-range", PROPOSALS, None, proposals(ARRAY * 1000)),
    ("proposals-range", PROPOSALS, None, proposals(ARRAY * np.nan)),
    ("proposals-order", PROPOSALS, None, proposals(ARRAY[:, [2, 1, 0, 3, 4]])),
    ("proposals-low", PROPOSALS, None, proposals(ARRAY * 0.5, protocol=5)),
    ("proposals-lacking", PROPOSALS, None, proposals(ARRAY, "v9,0904")),
    ("proposals-unknown", PROPOSALS, None, proposals(ARRAY, "v9,0904")),
    ("split-copy", VAL, None, raw(VAL, TEXTS[TRAIN].encode())),
    ("split-video-shared", VAL, 4, add(VAL, f"v1,0902,{BOX},1,0")),
    ("class-unused", TRAIN, None, put(TRAIN, 3, "v1,0902,0.500,0.100,0.700,0.900,1,1")),
]  # fmt: skip


def look(root: Path, **asked: Any) -> CheckResult:
    return check(CheckRequest(folder=root, **asked))


def named(result: CheckResult, rule: str, file: str) -> Finding:
    found = [one for one in result.findings if (one.rule, one.file) == (rule, file)]
    assert found, sorted({(one.rule, one.file) for one in result.findings})
    return found[0]


def test_a_good_folder_has_no_finding_at_all(good: Path) -> None:
    result = look(good)
    assert result.findings == ()
    assert result.ok
    assert result.skipped == ()
    assert result.kind == "ava"
    assert set(result.files) == {*TEXTS, LIST, VAL_LIST, PROPOSALS}
    assert result.counts["label rows"] == 7
    assert result.counts["listed frames"] == sum(FRAMES.values())


@pytest.mark.parametrize(
    ("rule", "file", "line", "edit"), CASES, ids=[f"{number:03d}-{one[0]}" for number, one in enumerate(CASES)]
)
def test_each_fault_is_told_by_rule_file_and_line(
    good: Path, rule: str, file: str, line: int | None, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(good)
    edit(good)
    result = look(good)
    finding = named(result, rule, file)
    assert finding.line == line
    assert finding.severity == RULES[rule].severity
    assert finding.message
    assert finding.fix == RULES[rule].fix
    assert set(finding.loaders) <= set(RULES[rule].effects)
    assert [effect.loader for effect in finding.effects] == list(finding.loaders)
    assert not (good / "evil").exists()


def test_every_rule_is_broken_by_some_case() -> None:
    of_sets = {one for one in RULES if one.startswith(("set-", "tracks-", "paths-", "export-"))}
    assert {case[0] for case in CASES} | of_sets | {"text-unreadable"} == set(RULES)
    assert {case[0] for case in SET_CASES} == of_sets


def test_rules_of_one_loader_are_silent_for_the_others(good: Path) -> None:
    put(TRAIN, 2, "v1,0902,0.1,0.100,0.300,0.900,17,0")(good)
    assert named(look(good), "box-text", TRAIN).loaders == ("pyslowfast",)
    assert [one.rule for one in look(good, loaders=("mmaction2",)).findings] == []
    put(TRAIN, 4, "v1,903.0,0.110,0.100,0.310,0.900,1,0")(good)
    assert named(look(good), "second-fraction", TRAIN).loaders == ("pyslowfast", "mmaction2")
    assert named(look(good, loaders=("mmaction2",)), "second-fraction", TRAIN).loaders == ("mmaction2",)
    assert look(good, loaders=("pytorchvideo",)).ok


def test_rows_of_one_fault_are_grouped_and_all_are_counted(good: Path) -> None:
    add(TRAIN, *(f"v1,0902,{BOX},0,{n}" for n in range(40)))(good)
    finding = named(look(good), "labels-action-zero", TRAIN)
    assert finding.count == 40
    assert [place.line for place in finding.places] == [5, 6, 7, 8, 9]
    assert len(named(look(good, shown=50), "labels-action-zero", TRAIN).places) == 40


def test_rows_of_unlisted_actions_are_not_taken_for_doubles(good: Path) -> None:
    add(TRAIN, f"v1,0902,{BOX},30,0", f"v1,0902,{BOX},31,0")(good)
    assert [one.rule for one in look(good).findings] == ["action-unlisted"]


def test_rows_of_a_video_may_stand_apart(good: Path) -> None:
    text = "".join(f"w{n % 2},0902,0.{n + 10},0.1,0.{n + 40},0.9,1,{n}\n" for n in range(20))
    raw(TRAIN, (text + "w1,0902,0.110,0.1,0.41,0.9,17,1\n").encode())(good)
    finding = named(look(good), "box-text", TRAIN)
    assert finding.line == 21
    assert "line 2" in finding.message


def test_errors_come_first_and_the_order_is_the_same_every_time(good: Path) -> None:
    for edit in (CASES[1][3], put(TRAIN, 4, "v1,903.0,0.110,0.100,0.310,0.900,1,7"), put(VAL, 1, "v2,0904,1,0")):
        edit(good)
    first = look(good)
    order = ["error", "warning", "note"]
    ranks = [order.index(one.severity) for one in first.findings]
    assert ranks == sorted(ranks)
    assert first.findings == look(good).findings


def test_only_labels_are_looked_at_where_there_are_no_frames(good: Path) -> None:
    (good / "frames").unlink()
    shutil.rmtree(good / "frame_lists")
    result = look(good)
    assert [one.rule for one in result.findings] == []
    assert any("no frames" in one for one in result.skipped)
    alone = look(good / "annotations")
    assert alone.ok
    assert alone.counts["label rows"] == 7


def test_mmaction2s_own_folder_of_frames_is_found(good: Path) -> None:
    own_frames(renamed)(good)
    assert not look(good, loaders=("mmaction2",)).ok
    (good / "rawframes").mkdir()
    for video in FRAMES:
        shutil.copytree(good / "frames" / video, good / "rawframes" / video)
    for path in (good / "rawframes/v1").iterdir():
        path.rename(path.with_name(path.name.replace("v1_0", "img_")))
    assert look(good, loaders=("mmaction2",)).ok


def test_frames_on_disk_are_left_alone_when_asked(good: Path) -> None:
    own_frames(lambda home: shutil.rmtree(home / "v1"))(good)
    result = look(good, frames=False)
    assert result.findings == ()
    assert "frames: not asked for" in result.skipped


def test_a_name_that_leads_out_of_the_folder_is_told_and_not_followed(good: Path) -> None:
    outside = good.parent / "secret"
    outside.mkdir()
    (outside / "img_00001.jpg").write_bytes(b"x")
    add(TRAIN, f"../../secret,0902,{BOX},1,0")(good)
    result = look(good)
    assert named(result, "name-unusable", TRAIN).line == 5
    assert not any("secret" in one.file for one in result.findings)


def test_other_tables_are_passed_over_and_said(good: Path) -> None:
    (good / "ids.csv").write_text("id,split,video\nv1,train,v1\n")
    (good / "README.txt").write_text("five words are in here\n")
    result = look(good)
    assert result.findings == ()
    assert set(result.passed_over) == {"ids.csv", "README.txt"}


def test_the_score_that_pyslowfast_asks_for_can_be_told(good: Path) -> None:
    assert look(good).ok
    assert named(look(good, score=0.99), "predicted-box-low", BOXES).count == 2


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        look(tmp_path / "none")
    with pytest.raises(InputError, match="neither a labelled set"):
        look(tmp_path)
    with pytest.raises(ValidationError):
        CheckRequest(folder=tmp_path, loaders=())


def test_each_rule_says_what_mends_it_and_errors_whom_they_hurt() -> None:
    for rule in RULES.values():
        assert rule.fix.endswith("."), rule.id
        assert set(rule.effects) <= set(LOADERS)
        assert all(rule.effects.values()), rule.id
        if rule.severity == "error" and not rule.id.startswith(("set-", "tracks-", "paths-", "export-", "split-")):
            assert rule.effects, rule.id


# a labelled set ---------------------------------------------------------------------------------------------------

SET_ACTIONS = (SetAction(1, "sit", "pose"), SetAction(2, "stand", "pose"), SetAction(17, "carry", "object"))
A = "videos/a/tracks.jsonl"


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    labels = LabelSet(tmp_path / "set")
    videos = []
    for name, split in (("a", "train"), ("b", "val")):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / f"{name}.mp4").write_bytes(b"12345")
        videos.append(SetVideo(name, f"{name}.mp4", 5, 640, 360, "30", 210, 2, 5, split))  # type: ignore[arg-type]
        for second in range(2, 6):
            labels.keyframe(name, second).parent.mkdir(parents=True, exist_ok=True)
            labels.keyframe(name, second).write_bytes(b"x")
        labels.save_rows(
            name,
            [
                Row(2, 0, (0.1, 0.1, 0.3, 0.9), 0.9, (1, 17), 0),
                Row(2, 1, (0.5, 0.1, 0.7, 0.9), 0.9, (2,)),
                Row(3, 0, (0.1, 0.1, 0.3, 0.9), 0.9, (1,), 0),
                Row(4, 0, (0.1, 0.1, 0.3, 0.9), 0.9, ()),
            ],
        )
        home = labels.home(name)
        (home / "paths.jsonl").write_text('{"track": 0, "numbers": [60], "boxes": [[0.1, 0.1, 0.3, 0.9]]}\n')
    labels.save(SetFile(SET_ACTIONS, tuple(videos)))
    return labels.folder


def line(second: int, person: int, **more: Any) -> str:
    return json.dumps({"second": second, "person": person, "box": [0.5, 0.1, 0.7, 0.9], "actions": [1], **more})


def exported(change: Edit) -> Edit:
    """Lay the rows of an export beside the set, then change something."""

    def edit(root: Path) -> None:
        labels = LabelSet(root)
        content = labels.load()
        home = root / "ava/annotations"
        home.mkdir(parents=True)
        for name, parts in parts_of(content.videos).items():
            split = content.video(name).split
            part = rows_of(parts[0], labels.rows(name), reviewed=True, training=split == "train")
            texts = [f"{part.part.id},{one.timestamp:04d},{box_text(one.box)}" for one in part.persons]
            with (home / f"ava_{split}_v2.2.csv").open("w") as stream:
                for text, one in zip(texts, part.persons, strict=True):
                    stream.writelines(f"{text},{action},{one.person}\n" for action in one.actions or ())
            with (home / f"ava_{split}_predicted_boxes.csv").open("w") as stream:
                stream.writelines(f"{text},,1.000000\n" for text in texts)
            (home / f"ava_{split}_excluded_timestamps_v2.2.csv").touch()
        (home / "ava_action_list_v2.2.pbtxt").write_text(TEXTS[ACTIONS])
        change(root)

    return edit


def box_text(box: Any) -> str:
    return f"{box.x1},{box.y1},{box.x2},{box.y2}"


def unanswered(root: Path) -> None:
    labels = LabelSet(root)
    for name in ("a", "b"):
        labels.save_rows(name, [Row(2, 0, (0.1, 0.1, 0.3, 0.9), 0.9)])


EXPORT_TRAIN = f"ava/{TRAIN}"
SET_CASES: list[tuple[str, str, int | None, Edit]] = [
    ("set-malformed", "set.json", None, swap("set.json", '"pictures": 210', '"pictures": -1')),
    ("set-malformed", "set.json", 2, raw("set.json", b"{\n")),
    ("tracks-missing", A, None, drop(A)),
    ("tracks-line", A, 5, add(A, "{")),
    ("tracks-line", A, 5, add(A, line(5, 1, actions=[99]))),
    ("tracks-line", A, 5, add(A, line(5, 1, box=[0.5, 0.1, 0.4, 0.9]))),
    ("tracks-person-twice", A, 5, add(A, line(2, 1))),
    ("tracks-action-unknown", A, 5, add(A, line(5, 1, actions=[1, 80]))),
    ("tracks-second-outside", A, 5, add(A, line(6, 1))),
    ("tracks-track-unknown", A, 5, add(A, line(5, 1, track=7))),
    ("paths-malformed", "videos/a/paths.jsonl", None, add("videos/a/paths.jsonl", "{}")),
    ("tracks-untouched", A, 5, add(A, line(5, 1, actions=None))),
    ("tracks-doubts", A, 5, add(A, line(5, 1, doubts=["weak"]))),
    ("set-not-reviewed", "set.json", None, unanswered),
    ("set-video-gone", "set.json", None, drop("a.mp4")),
    ("set-video-changed", "set.json", None, raw("a.mp4", b"123456")),
    ("set-folder-unknown", "videos/z", None, lambda root: (root / "videos/z").mkdir()),
    ("set-keyframe-missing", "videos/a/keyframes", None, drop("videos/a/keyframes/000003.jpg")),
    ("set-video-short", "set.json", None, swap("set.json", '"last": 5', '"last": -1')),
    ("set-split-empty", "set.json", None, swap("set.json", '"split": "val"', '"split": "train"')),
    ("export-stale", EXPORT_TRAIN, 2, exported(swap(EXPORT_TRAIN, "0.900,17,0", "0.900,2,0"))),
    ("export-stale", EXPORT_TRAIN, None, exported(add(A, line(5, 1)))),
    ("export-stale", f"ava/{BOXES}", 3, exported(swap(f"ava/{BOXES}", "b,0903,0.100", "b,0903,0.105"))),
    ("export-stale", "ava/annotations", None, exported(drop(EXPORT_TRAIN))),
    ("export-lacks-video", EXPORT_TRAIN, None, exported(raw(EXPORT_TRAIN, b"z,0902,0.1,0.1,0.2,0.2,1,0\n"))),
]


@pytest.mark.parametrize(
    ("rule", "file", "place", "edit"), SET_CASES, ids=[f"{number:03d}-{one[0]}" for number, one in enumerate(SET_CASES)]
)
def test_each_fault_of_a_set_is_told(labelled: Path, rule: str, file: str, place: int | None, edit: Edit) -> None:
    edit(labelled)
    finding = named(look(labelled), rule, file)
    lines = [one.line for one in finding.places]
    assert place in lines
    assert finding.severity == RULES[rule].severity


def test_a_good_set_has_no_finding_and_says_that_nothing_is_exported(labelled: Path) -> None:
    result = look(labelled)
    assert result.findings == ()
    assert result.kind == "set"
    assert result.skipped == ("ava: there is no export yet",)
    assert result.counts["set rows"] == 8


def test_an_export_that_says_the_same_is_not_stale(labelled: Path) -> None:
    exported(lambda root: None)(labelled)
    assert not [one for one in look(labelled).findings if one.rule.startswith("export-")]


def test_persons_of_a_set_are_followed_like_those_of_files(labelled: Path) -> None:
    add(A, line(3, 7, box=[0.505, 0.1, 0.705, 0.9], actions=[1, 2]), line(2, 8, box=[0.101, 0.1, 0.302, 0.9]))(labelled)
    result = look(labelled)
    assert "person 7 stands where person 1 was" in named(result, "id-changes", A).message
    assert named(result, "pose-many", A).line == 5
    assert named(result, "boxes-close", A).line == 6


def test_a_pickle_of_numpy_1_is_read_as_well(good: Path) -> None:
    stream = io.BytesIO()
    pickle.dump({"v2,0904": ARRAY.astype(np.float32)}, stream, 2)
    raw(PROPOSALS, stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))(good)
    assert look(good).findings == ()
