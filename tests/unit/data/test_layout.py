"""Data folders against their loaders: a sound one has no finding, and each fault has its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vidbench.data.layout import LayoutRequest, LayoutResult, check_layout
from vidbench.data.layout_findings import LayoutFinding
from vidbench.errors import InputError
from vidbench.formats.framelist import HEADER

SECONDS = 8
LABELS = "ava_{split}_v2.2.csv"


def run(folder: Path, layout: str) -> LayoutResult:
    return check_layout(LayoutRequest(folder=folder, layout=layout))  # type: ignore[arg-type]


def only(result: LayoutResult) -> LayoutFinding:
    assert len(result.findings) == 1, [f"{one.place}: {one.problem}" for one in result.findings]
    return result.findings[0]


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> Path:
    path.write_text("".join(line + "\n" for line in change(path.read_text().splitlines())))
    return path


def frame_rows(name: str, number: int, count: int, labels: str = '""') -> list[str]:
    return [f"{name} {number} {frame} {name}/{name}_{frame + 1:06d}.jpg {labels}" for frame in range(count)]


def frames(folder: Path, name: str, count: int) -> None:
    (folder / name).mkdir(parents=True)
    for frame in range(count):
        (folder / name / f"{name}_{frame + 1:06d}.jpg").touch()


@pytest.fixture
def ava(tmp_path: Path) -> Path:
    """Two videos of eight seconds; keyframes 902 to 905 of two persons."""
    notes = tmp_path / "annotations"
    notes.mkdir()
    (tmp_path / "frame_lists").mkdir()
    for split, name in (("train", "vid_a"), ("val", "vid_b")):
        frames(tmp_path / "frames", name, 30 * SECONDS)
        rows = [HEADER, *frame_rows(name, 0, 30 * SECONDS)]
        (tmp_path / "frame_lists" / f"{split}.csv").write_text("\n".join(rows) + "\n")
        boxes = []
        for second in range(902, 906):
            boxes += [f"{name},{second:04d},0.100,0.200,0.400,0.900,{action},0" for action in (12, 79)]
            boxes += [f"{name},{second:04d},0.500,0.200,0.800,0.900,17,1"]
        (notes / f"ava_{split}_v2.2.csv").write_text("\n".join(boxes) + "\n")
        (notes / f"ava_{split}_excluded_timestamps_v2.2.csv").write_text("")
    detected = [f"vid_b,{second:04d},0.1,0.2,0.4,0.9,,0.95" for second in range(902, 906)]
    (notes / "ava_val_predicted_boxes.csv").write_text("\n".join(detected) + "\n")
    (notes / "ava_action_list_v2.2.pbtxt").write_text(
        'label {\n  name: "stand"\n  label_id: 12\n  label_type: PERSON_MOVEMENT\n}\n'
    )
    return tmp_path


def test_a_sound_ava_folder_has_no_finding(ava: Path) -> None:
    result = run(ava, "ava")
    assert result.findings == ()
    assert result.counts == {"frames": 480, "videos": 2, "boxes": 24, "detected boxes": 4}


def test_no_header_shifts_every_keyframe(ava: Path) -> None:
    path = edit(ava / "frame_lists" / "train.csv", lambda lines: lines[1:])
    found = only(run(ava, "ava"))
    assert found.place == f"{path}:1"
    assert found.problem == "the header is missing"
    assert found.fails == ("PySlowFast", "PyTorchVideo")
    assert HEADER in found.remedy


@pytest.mark.parametrize(
    ("line", "changed", "problem"),
    [
        (5, "vid_a 0 4 vid_a/vid a_000005.jpg", "6 fields"),
        (5, 'vid_a 0 7 vid_a/vid_a_000005.jpg ""', "frame_id 7 of vid_a, where 4 is next"),
        (5, 'vid_a 0 4 other/vid_a_000005.jpg ""', "other/vid_a_000005.jpg is not in vid_a"),
        (5, "", "an empty line"),
    ],
)
def test_rows_of_a_frame_list(ava: Path, line: int, changed: str, problem: str) -> None:
    if changed.startswith("vid_a 0 4 vid_a/vid a"):
        changed += ' ""'

    def change(lines: list[str]) -> list[str]:
        return [*lines[:line], changed, *lines[line + 1 :]]

    path = edit(ava / "frame_lists" / "train.csv", change)
    first = run(ava, "ava").findings[0]
    assert first.place == f"{path}:{line + 1}"
    assert first.problem.startswith(problem)


def test_frames_that_are_missing_strange_or_not_listed(ava: Path) -> None:
    folder = ava / "frames" / "vid_a"
    (folder / "vid_a_000010.jpg").unlink()
    (folder / "vid_a_000011.jpg").unlink()
    (folder / "Thumbs.db").touch()
    (folder / "vid_a_000999.jpg").touch()
    found = run(ava, "ava").findings
    assert [one.problem for one in found] == [
        f"{folder}/vid_a_000010.jpg is not there (and 1 more of its frames)",
        "not a frame, in a folder of frames",
        f"{folder}/vid_a_000999.jpg is not listed (and 0 more of its folder)",
    ]
    assert found[0].place == f"{ava}/frame_lists/train.csv:2"
    assert found[1].place == f"{folder}/Thumbs.db"
    assert [one.fails for one in found[1:]] == [("PyTorchVideo",), ("PyTorchVideo",)]


def test_a_video_without_its_folder(ava: Path) -> None:
    (ava / "frames" / "vid_b").rename(ava / "elsewhere")
    assert only(run(ava, "ava")).problem == f"{ava}/frames/vid_b is not there: 240 frames"


@pytest.mark.parametrize(
    ("changed", "problem", "fails"),
    [
        ("vid_a,0901,0.1,0.2,0.4,0.9,12,0", "vid_a: second 901 is not in 902 to 1798", ("PySlowFast", "PyTorchVideo")),
        ("vid_a,1799,0.1,0.2,0.4,0.9,12,0", "vid_a: second 1799 is not in 902 to 1798", ("PySlowFast", "PyTorchVideo")),
        ("vid_a,902.0,0.1,0.2,0.4,0.9,12,0", "the second '902.0' is not a whole", ("PySlowFast", "MMAction2")),
        ("vid_a,0906,0.1,0.2,0.4,0.9,81,0", "action 81", ("PySlowFast",)),
        ("vid_a,0906,0.1,0.2,0.4,0.9,12", "7 columns, not 8", ("MMAction2", "PyTorchVideo")),
        ("vid_a,0906", "vid_a 906: no box", ("PySlowFast", "MMAction2", "PyTorchVideo")),
        ("vid_a,0906,0.4,0.2,0.1,0.9,12,0", "x1 0.4 is not less than x2 0.1", None),
        ("vid_a,0906,0.1,0.2,1.4,0.9,12,0", "x2 '1.4' is not a number from 0 to 1", None),
        ("vid_a,0908,0.1,0.2,0.4,0.9,12,0", "vid_a: second 908 is frame 240, and 240 frames are listed", None),
        ("vid_a,0907,0.1,0.2,0.4,0.9,12,0", "vid_a: a clip around second 907 needs frame 242 of 240", ("MMAction2",)),
        (
            "vid_a,0905,0.5,0.2,0.8,0.9,17,1",
            "person 1 of vid_a at 0905 has the boxes 0.500",
            ("PySlowFast", "MMAction2"),
        ),
        ("vid_a,0905,0.500,0.200,0.800,0.900,17,4", "person 4 of vid_a at 0905 has the box of person 1", None),
        ("vid_a,0905,0.501,0.200,0.800,0.900,17,4", "person 4 of vid_a at 0905 and person 1", ("PyTorchVideo",)),
    ],
)
def test_rows_of_boxes(ava: Path, changed: str, problem: str, fails: tuple[str, ...] | None) -> None:
    path = edit(ava / "annotations" / "ava_train_v2.2.csv", lambda lines: [*lines, changed])
    found = only(run(ava, "ava"))
    assert found.place == f"{path}:13"
    assert found.problem.startswith(problem)
    assert found.fails == (fails or ("PySlowFast", "MMAction2", "PyTorchVideo"))
    assert found.remedy


def test_the_same_fault_of_many_rows_is_told_once(ava: Path) -> None:
    rows = [f"vid_a,{second},0.1,0.2,0.4,0.9,12,0" for second in range(10, 30)]
    edit(ava / "annotations" / "ava_train_v2.2.csv", lambda lines: [*lines, *rows])
    found = only(run(ava, "ava"))
    assert (found.problem[:16], found.more) == ("vid_a: second 10", 19)


def test_every_listed_video_has_boxes_and_the_other_way_round(ava: Path) -> None:
    frames(ava / "frames", "lonely", 90)
    edit(ava / "frame_lists" / "train.csv", lambda lines: [*lines, *frame_rows("lonely", 1, 90)])
    edit(
        ava / "annotations" / "ava_train_v2.2.csv",
        lambda lines: [*lines, "stranger,0902,0.1,0.2,0.4,0.9,12,0"],
    )
    found = run(ava, "ava").findings
    assert [one.problem for one in found] == [
        "lonely has no box in ava_train_v2.2.csv",
        f"stranger is not in {ava}/frame_lists/train.csv",
    ]
    assert found[0].place == f"{ava}/frame_lists/train.csv:242"
    assert found[1].place == f"{ava}/annotations/ava_train_v2.2.csv:13"


def test_detected_boxes_that_pyslowfast_would_drop(ava: Path) -> None:
    path = ava / "annotations" / "ava_val_predicted_boxes.csv"
    text = path.read_text()
    path.write_text(text.replace("0.95", "0.45"))
    assert only(run(ava, "ava")).problem == "vid_b: its best score is 0.45, below 0.8"
    path.write_text("vid_b,0903,0.1,0.2,0.4,0.9,,0.95\n")
    assert "FULL_TEST_ON_VAL" in only(run(ava, "ava")).remedy
    path.unlink()
    assert only(run(ava, "ava")).place == str(path)


def test_files_that_ava_needs(ava: Path) -> None:
    notes = ava / "annotations"
    (notes / "ava_val_excluded_timestamps_v2.2.csv").unlink()
    (notes / "ava_train_excluded_timestamps_v2.2.csv").write_text("vid_a;902\n")
    edit(notes / "ava_action_list_v2.2.pbtxt", lambda lines: [line.strip() for line in lines])
    (ava / "frame_lists" / "val.csv").unlink()
    problems = [f"{Path(one.place).name}: {one.problem}" for one in run(ava, "ava").findings]
    assert len(problems) == 3
    assert problems[0].startswith("ava_action_list_v2.2.pbtxt:2")
    assert problems[1].startswith("ava_train_excluded_timestamps_v2.2.csv:1: 1 columns, not 2")
    assert problems[2] == "val.csv: no such frame list"


def test_a_folder_of_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "ava").findings
    assert run(tmp_path, "charades").findings
    assert run(tmp_path, "kinetics").findings
    with pytest.raises(InputError, match="no such folder"):
        run(tmp_path / "absent", "ava")


@pytest.fixture
def charades(tmp_path: Path) -> Path:
    (tmp_path / "frame_lists").mkdir()
    for split, name in (("train", "46GP8"), ("val", "N11GT")):
        frames(tmp_path / "Charades_v1_rgb", name, 20)
        rows = [HEADER, *frame_rows(name, 0, 10), *frame_rows(name, 0, 20, '"0,156"')[10:]]
        (tmp_path / "frame_lists" / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_charades(charades: Path) -> None:
    sound = run(charades, "charades")
    assert (sound.findings, sound.counts) == ((), {"frames": 40, "videos": 2})
    path = edit(charades / "frame_lists" / "val.csv", lambda lines: [*lines[:-1], lines[-1].replace("156", "157")])
    (charades / "Charades_v1_rgb" / "46GP8" / "46GP8_000020.jpg").unlink()
    found = run(charades, "charades").findings
    assert [one.problem for one in found] == [
        f"{charades}/Charades_v1_rgb/46GP8/46GP8_000020.jpg is not there",
        "label 157 of N11GT is not in 0 to 156",
    ]
    assert found[1].place == f"{path}:21"


@pytest.fixture
def kinetics(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for name in ("abseiling", "zumba"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "a.mp4").touch()
        (tmp_path / f"{split}.csv").write_text(f"./{split}/abseiling/a.mp4 0\n./{split}/zumba/a.mp4 1\n")
    (tmp_path / "kinetics_val.csv").write_text("label,youtube_id,time_start,time_end,split\n")
    return tmp_path


def test_kinetics(kinetics: Path) -> None:
    sound = run(kinetics, "kinetics")
    assert sound.findings == ()
    assert sound.counts == {"lists": 2, "lines": 4, "videos": 4}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("./val/zumba/b.mp4 1", "./val/zumba/b.mp4 is not there"),
        ("./val/zumba/a.mp4  1", "more than one blank"),
        ("./val/playing cards/a.mp4 1", "the path './val/playing cards/a.mp4' has a blank in it"),
        ("./val/zumba/a.mp4,1", "comma separated"),
        ("./train/zumba/a.mp4 7", "zumba has label 7 here and 1 at line 2"),
        ("./val/zumba/a.mp4 1", "./val/zumba/a.mp4 is listed before, at line 2"),
    ],
)
def test_lines_of_kinetics_lists(kinetics: Path, line: str, problem: str) -> None:
    path = edit(kinetics / "val.csv", lambda lines: [*lines, line])
    found = run(kinetics, "kinetics").findings[0]
    assert found.place == f"{path}:3"
    assert found.problem.startswith(problem)


def test_folders_of_kinetics(kinetics: Path) -> None:
    (kinetics / "val.csv").unlink()
    (kinetics / "train.csv").rename(kinetics / "vallist.txt")
    (kinetics / "val" / "zumba" / "a.mp4").rename(kinetics / "val" / "zumba" / "a.mkv")
    (kinetics / "train" / "playing cards").mkdir()
    (kinetics / "train" / "playing cards" / "b.mp4").touch()
    (kinetics / "train" / "empty").mkdir()
    found = {one.problem.split(":")[0].split(" (")[0]: one for one in run(kinetics, "kinetics").findings}
    assert found.keys() == {
        "no list that PySlowFast reads",
        "a class folder without videos",
        "'playing cards' cannot stand in a list",
        "a.mkv is neither .mp4 nor .avi",
        f"its classes are not those of {kinetics}/train",
    }
    assert found["a.mkv is neither .mp4 nor .avi"].fails == ("PyTorchVideo",)


def test_a_list_whose_files_are_elsewhere_is_one_finding(kinetics: Path) -> None:
    rows = "".join(f"/data/val/zumba/{number}.mp4 1\n" for number in range(50))
    (kinetics / "test.csv").write_text(rows)
    found = only(run(kinetics, "kinetics"))
    assert found.problem == "none of its 50 files is there, the first is /data/val/zumba/0.mp4"
