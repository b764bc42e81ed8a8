import json
from pathlib import Path

import numpy as np
import pytest

from vidbench.errors import InputError
from vidbench.label.detectors import DETECTORS, DetectorSettings, VideoFacts
from vidbench.label.given_boxes import GivenPersons, build, for_one_video, kind_of, spellings
from vidbench.label.seen import Picture

VIDEO = VideoFacts(Path("films/my walk.mp4"), "my_walk", 200, 100, 30.0)
IMAGE = np.zeros((100, 200, 3), np.uint8)
HEADER = "video,second,x1,y1,x2,y2,score,person"


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def made(path: Path, video: VideoFacts = VIDEO, **settings: object) -> GivenPersons:
    return build(DetectorSettings(boxes=path, **settings), video)  # type: ignore[arg-type]


def at(detector: GivenPersons, *numbers: int) -> list[list[list[float]]]:
    return [found.boxes.round(6).tolist() for found in detector([Picture(number, IMAGE) for number in numbers])]


def test_boxes_are_found_at_their_moments_and_nobody_at_others(tmp_path: Path) -> None:
    path = write(
        tmp_path / "b.csv",
        HEADER,
        "my_walk,1,0.1,0.1,0.4,0.9,0.5,3",
        "my_walk,1,0.5,0.1,0.9,0.9,0.75,",
        "my_walk,2,,,,,,",
        "run,7,0,0,1,1,,",
    )
    detector = DETECTORS.get("boxes")(DetectorSettings(boxes=path), VIDEO)
    assert isinstance(detector, GivenPersons)
    assert at(detector, 30, 31, 60, 210) == [[[100, 10, 180, 90], [20, 10, 80, 90]], [], [], []]
    (found,) = detector([Picture(30, IMAGE)])
    assert found.scores.tolist() == [0.75, 0.5]
    assert found.boxes.dtype == found.scores.dtype == np.float64
    assert detector.persons(30).tolist() == [-1, 3]
    assert detector.persons(60).tolist() == []
    assert detector.numbers == (30, 60)


def test_a_frame_stands_for_all_moments_that_show_it(tmp_path: Path) -> None:
    video = VideoFacts(Path("walk.mp4"), "walk", 200, 100, 10.0)
    path = write(tmp_path / "b.txt", "1,1,20,10,60,80,1,-1,-1,-1", "3,1,30,10,60,80,1,-1,-1,-1")
    detector = made(path, video)
    first, second = [[20, 10, 80, 90]], [[30, 10, 90, 90]]
    assert at(detector, *range(10)) == [first, first, first, [], [], [], second, second, second, []]
    assert detector.numbers == (0, 1, 2, 6, 7, 8)
    assert detector.persons(7).tolist() == [0]


def test_what_is_left_out_or_changed_is_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path / "b.csv",
        HEADER,
        "my_walk,1,-0.1,0.1,0.4,0.9,,1",
        "my_walk,1,1.1,0.1,1.4,0.9,,2",
        "my_walk,1,0.2,0.1,0.2,0.9,,3",
        "my_walk,1,0.1,0.1,0.13,0.9,,4",
        "my_walk,1,0.1,0.1,0.4,0.9,0.2,5",
        "my_walk,1,0.1,0.1,0.5,0.9,0.9,6",
        "my_walk,1,0.1,0.1,0.6,0.9,0.8,7",
    )
    detector = made(path, conf=0.25, max_persons=2)
    assert detector.persons(30).tolist() == [1, 6]
    assert at(detector, 30) == [[[0, 10, 80, 90], [20, 10, 100, 90]]]
    counts = ("clipped", "outside", "flat", "small", "low", "crowded", "not_persons", "unseen", "moments")
    assert [detector.told[name] for name in counts] == [1, 1, 1, 1, 1, 1, 0, 0, 1]
    assert detector.told["boxes"] == str(path)


def test_a_box_at_the_least_size_stays_with_its_person(tmp_path: Path) -> None:
    rows = [f"my_walk,{n},{n / 1000},0.1,{(n + 40) / 1000},0.9,,{n}" for n in range(1, 200)]
    detector = made(write(tmp_path / "b.csv", HEADER, *rows), min_size=8)
    for number in detector.numbers:
        (found,) = detector([Picture(number, IMAGE)])
        assert len(found.scores) == len(detector.persons(number))


@pytest.mark.parametrize("name", ["my_walk", "my walk.mp4", "my walk"])
def test_a_video_is_found_by_id_and_by_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "b.csv", HEADER, f"{name},1,0.1,0.1,0.4,0.9,,")
    assert made(path).numbers == (30,)


def test_a_second_video_of_a_name_has_its_id_alone(tmp_path: Path) -> None:
    second = VideoFacts(Path("other/my walk.mp4"), "my_walk_2", 200, 100, 30.0)
    assert spellings(second) == ("my_walk_2",)
    path = write(tmp_path / "b.csv", HEADER, "my_walk,1,0.1,0.1,0.4,0.9,,")
    with pytest.raises(InputError, match="nothing about the video my_walk_2") as caught:
        made(path, second)
    assert caught.value.remedy == "It has my_walk."


def test_a_file_about_other_videos_names_them(tmp_path: Path) -> None:
    path = write(tmp_path / "b.csv", HEADER, *(f"v{n},1,0.1,0.1,0.4,0.9,," for n in range(12)))
    with pytest.raises(InputError) as caught:
        made(path)
    assert caught.value.remedy == "It has v0, v1, v10, v11, v2, v3, v4, v5, v6, v7, ...."
    for lines in ((HEADER,), (HEADER, "my_walk,1,,,,,,"), (HEADER, "my_walk,1,0.1,0.1,0.1,0.9,,")):
        with pytest.raises(InputError, match=r"nothing about|no person with an area"):
            made(write(tmp_path / "c.csv", *lines))


def test_malformed_rows_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "b.csv", HEADER, "my_walk,x,0,0,1,1,,")
    with pytest.raises(InputError, match=r"b\.csv:2: second 'x'"):
        made(path)
    (tmp_path / "b.txt").write_bytes(b"1,1,0,0,9,9\n\xff\n")
    with pytest.raises(InputError, match=r"b\.txt:2: not UTF-8"):
        made(tmp_path / "b.txt")
    with pytest.raises(InputError, match="not JSON"):
        made(write(tmp_path / "b.json", "{broken"))
    with pytest.raises(InputError, match="no such file"):
        made(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="needs a file of boxes"):
        build(DetectorSettings(), VIDEO)


def test_coco_and_ava_files_are_told_by_their_content(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "width": 20, "height": 10, "video_id": "my_walk", "second": 1}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 1, 6, 8], "score": 0.5}],
        "categories": [{"id": 1, "name": "person"}],
    }
    told = [
        write(tmp_path / "a.json", json.dumps(document)),
        write(tmp_path / "a.txt", "my_walk,0001,0.100,0.100,0.400,0.900,,0.5"),
        write(tmp_path / "b.txt", "31,1,20,10,60,80,0.5"),
    ]
    for path in told:
        detector = made(path)
        assert at(detector, 30) == [[[20, 10, 80, 90]]]
        assert detector([Picture(30, IMAGE)])[0].scores.tolist() == [0.5]
    assert [for_one_video(path) for path in told] == [False, False, True]
    assert not for_one_video(tmp_path)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("1,0003,0.1,0.1,0.4,0.9,-1,0.9", "ava"),
        ("1,3,0.1,0.1,0.4,0.9,,0.9", "ava"),
        ("1,3,20,10,60,80,1,1", "mot"),
        ("1,3,20.5,10,60,80", "mot"),
        ("1,3,20,10,60,80,1,-1,-1,-1", "mot"),
        ('{"images": []}', "coco"),
        ("[]", "coco"),
        (HEADER, "table"),
        ("", "table"),
    ],
    ids=["ava", "ava empty", "mot 8", "mot 6", "mot 10", "coco", "results", "table", "empty"],
)
def test_kinds(line: str, kind: str) -> None:
    assert kind_of(f"\n{line}\n") == kind


@pytest.mark.parametrize("name", ["my_walk.csv", "my walk.txt", "my_walk/gt/gt.txt", "my_walk/det/det.txt"])
def test_a_folder_has_a_file_for_each_video(tmp_path: Path, name: str) -> None:
    lines = (HEADER, "my_walk,1,0.1,0.1,0.4,0.9,,") if name.endswith(".csv") else ("31,1,20,10,60,80,1",)
    path = write(tmp_path / name, *lines)
    write(tmp_path / "run.csv", HEADER)
    detector = made(tmp_path)
    assert detector.told["boxes"] == str(path)
    assert detector.numbers == (30,)
    other = VideoFacts(Path("jump.mp4"), "jump", 200, 100, 30.0)
    with pytest.raises(InputError, match="no file of boxes for the video jump") as caught:
        made(tmp_path, other)
    assert "run" in caught.value.remedy
    assert Path(name).parts[0].split(".")[0] in caught.value.remedy
