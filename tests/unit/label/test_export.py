"""label export: the files, what is beside them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vidbench.errors import InputError, RunConflictError, UsageError
from vidbench.formats.labelset import Row, TrackPath
from vidbench.formats.via import load_via
from vidbench.label.actions import parse_names
from vidbench.label.export import ExportRequest, dense_boxes, export
from vidbench.label.store import LabelSet

MakeSet = Callable[..., LabelSet]

A, B = (0.1, 0.2, 0.35, 1.0), (0.5, 0.2, 0.7, 0.9)
ROWS = (Row(2, 0, A, 0.9, (12, 80), 0), Row(2, 1, B, None, (), None, False, ("drawn",)), Row(3, 0, B, 0.5, None, 0))


def test_projects_of_via_lie_beside_their_pictures(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS, "two": ()})
    result = export(ExportRequest(set=labels.folder, format="via", out=tmp_path / "via"))
    assert (result.pictures, result.videos, result.boxes) == (14, 2, 3)
    project = load_via(tmp_path / "via" / "one.json")
    assert len(project.marks) == 3
    for file in project.files.values():
        with Image.open(tmp_path / "via" / file.src) as image:
            assert image.size == (320, 180)
    assert sorted(one.name for one in (tmp_path / "via").iterdir()) == ["README.txt", "frames", "one.json", "two.json"]
    told = (tmp_path / "via" / "README.txt").read_text()
    assert "one.json, two.json" in told
    assert "robots.ox.ac.uk" in told


def test_a_project_that_is_there_is_not_written_over(make_set: MakeSet, tmp_path: Path) -> None:
    request = ExportRequest(set=make_set({"one": ROWS}).folder, format="via", out=tmp_path / "via")
    export(request)
    (tmp_path / "via" / "one.json").write_text("a day of work")
    with pytest.raises(RunConflictError, match=r"one\.json is there already"):
        export(request)
    assert (tmp_path / "via" / "one.json").read_text() == "a day of work"
    export(request.model_copy(update={"overwrite": True}))
    assert load_via(tmp_path / "via" / "one.json").marks


def test_pictures_that_are_missing_or_of_another_size(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS})
    request = ExportRequest(set=labels.folder, format="via", out=tmp_path / "via")
    labels.keyframe("one", 3).unlink()
    with pytest.raises(InputError, match=r"000003\.jpg: no such picture"):
        export(request)
    Image.new("RGB", (160, 90)).save(labels.keyframe("one", 3))
    with pytest.raises(InputError, match="160 x 90, but the video is 320 x 180"):
        export(request)
    assert not (tmp_path / "via" / "one.json").exists()


def test_rows_that_via_could_not_show_whole_are_refused(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS}, actions=parse_names(["sit"], "a"))
    with pytest.raises(InputError, match="person 0, second 2: action 12, which the set lacks"):
        export(ExportRequest(set=labels.folder, format="via", out=tmp_path / "via"))


def test_mot_has_a_file_for_each_video(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS, "two": ROWS[:1]})
    result = export(ExportRequest(set=labels.folder, format="mot", out=tmp_path / "out"))
    assert [Path(one).name for one in result.files] == ["one.txt", "two.txt"]
    # second 2 is frame 51 at 25 frames a second
    assert (tmp_path / "out" / "one.txt").read_text().splitlines() == [
        "51,1,32.000,36.000,80.000,144.000,0.9,1,1",
        "51,2,160.000,36.000,64.000,126.000,1,1,1",
        "76,1,160.000,36.000,64.000,126.000,0.5,1,1",
    ]
    assert "actions" in result.notes[0]


def test_csv_and_coco_are_one_file(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS, "two": ()})
    export(ExportRequest(set=labels.folder, format="csv", out=tmp_path / "out"))
    assert (tmp_path / "out" / "boxes.csv").read_text().splitlines() == [
        "video,second,x1,y1,x2,y2,score,person,actions",
        "one,2,0.1,0.2,0.35,1,0.9,0,12;80",
        "one,2,0.5,0.2,0.7,0.9,,1,none",
        "one,3,0.5,0.2,0.7,0.9,0.5,0,",
    ]
    result = export(ExportRequest(set=labels.folder, format="coco", out=tmp_path / "out"))
    document = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert (len(document["images"]), len(document["annotations"]), result.pictures) == (14, 3, 14)
    for image in document["images"]:
        assert (tmp_path / "out" / "frames" / image["file_name"]).is_file()
    assert {"id": 12, "name": "stand"} in document["actions"]


def test_boxes_between_the_keyframes_have_the_person_of_the_nearest(make_set: MakeSet, tmp_path: Path) -> None:
    # from second 3 on track 0 is another person, as somebody cut it there, and nobody has it at 4 and 5
    rows = (Row(2, 0, A, 0.9, None, 0), Row(3, 5, A, 0.9, None, 0), Row(6, 5, B, 0.9, None, 0))
    numbers = (30, 60, 63, 75, 78, 90, 110, 140, 168, 180)
    paths = (TrackPath(0, numbers, (A,) * len(numbers)),)
    labels = make_set({"one": rows}, paths={"one": paths})
    video = labels.load().video("one")
    boxes, off = dense_boxes(video, rows, paths)
    assert [(box.number, box.person) for box in boxes] == [(30, 0), (63, 0), (75, 0), (78, 5), (110, 5), (168, 5)]
    assert off == 1
    result = export(ExportRequest(set=labels.folder, format="csv", out=tmp_path / "out", dense=True))
    assert (result.boxes, result.off_track) == (9, 1)
    assert "one,2.1," in (tmp_path / "out" / "boxes.csv").read_text()
    with pytest.raises(UsageError, match="--dense"):
        export(ExportRequest(set=labels.folder, format="via", out=tmp_path / "via", dense=True))


def test_a_video_of_any_name_leaves_the_set_alone(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"set": ROWS})
    with pytest.raises(UsageError, match="is the set itself"):
        export(ExportRequest(set=labels.folder, format="via", out=tmp_path / "x" / ".." / "set", overwrite=True))
    assert labels.load().videos[0].id == "set"


def test_some_videos_only(make_set: MakeSet, tmp_path: Path) -> None:
    labels = make_set({"one": ROWS, "two": ROWS})
    result = export(ExportRequest(set=labels.folder, format="mot", out=tmp_path / "out", videos=("two",)))
    assert (result.videos, result.boxes) == (1, 3)
    with pytest.raises(InputError, match="no video 'three'"):
        export(ExportRequest(set=labels.folder, format="mot", out=tmp_path / "o", videos=("three",)))
