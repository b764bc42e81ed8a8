"""Annotations and what is on the disk to the lists of PySlowFast, read back by the rules of its loaders."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from vidbench.data.charades_csv import CharadesCsvRequest, FramesCsvResult, charades_csv
from vidbench.data.kinetics_csv import KineticsCsvRequest, KineticsCsvResult, kinetics_csv
from vidbench.data.something_csv import (
    SomethingCsvRequest,
    SomethingCsvResult,
    something_csv,
    something_frames_csv,
)
from vidbench.errors import InputError, UsageError
from vidbench.formats.annotations import load_annotations
from vidbench.formats.charades import load_charades

HEADER = "label,youtube_id,time_start,time_end,split\n"
VAL = HEADER + (
    "playing cards,02K4QYwUR6k,112,122,validate\n"
    "hurling (sport),-34KeIezQZ8,1,11,validate\n"
    "zumba,aaaaaaaaaaa,1,11,validate\n"
    "zumba,aaaaaaaaaaa,21,31,validate\n"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def path_labels(path: Path) -> list[tuple[str, int]]:
    """As PySlowFast's Kinetics loader takes a list apart, with its separator " "."""
    rows = []
    for line in path.read_text().splitlines():
        fields = line.split(" ")
        assert len(fields) == 2
        rows.append((fields[0], int(fields[1])))
    return rows


def frame_lists(path: Path) -> tuple[dict[str, list[str]], dict[str, list[list[int]]]]:
    """As PySlowFast's `load_image_lists` takes a frame list apart."""
    paths: dict[str, list[str]] = defaultdict(list)
    labels: dict[str, list[list[int]]] = defaultdict(list)
    with path.open() as stream:
        assert stream.readline().startswith("original_vido_id")
        for line in stream:
            row = line.split()
            assert len(row) == 5
            paths[row[0]].append(row[3])
            text = row[-1].replace('"', "")
            labels[row[0]].append([int(one) for one in text.split(",")] if text else [])
    return paths, labels


def kinetics(*annotations: str, **options: object) -> KineticsCsvResult:
    request = {"annotations": annotations, "videos": "val", **options}
    return kinetics_csv(KineticsCsvRequest.model_validate(request))


def test_kinetics_in_class_folders_of_any_spelling(home: Path) -> None:
    (home / "validate.csv").write_text(VAL)
    fill(home / "val", "playing_cards/02K4QYwUR6k_000112_000122.mp4", "hurling_sport/-34KeIezQZ8_000001_000011.webm",
         "zumba/other_000001_000011.mp4", "zumba/aaaaaaaaaaa_000001_000011.mp4.part")  # fmt: skip
    result = kinetics("validate.csv")
    assert path_labels(home / "val.csv") == [
        ("./val/playing_cards/02K4QYwUR6k_000112_000122.mp4", 222),
        ("./val/hurling_sport/-34KeIezQZ8_000001_000011.webm", 161),
    ]
    (one,) = result.lists
    assert (one.annotated, one.listed, one.missing, one.unlabelled) == (4, 2, 2, 0)
    assert (home / "val.missing.csv").read_text() == HEADER + "".join(VAL.splitlines(keepends=True)[3:])
    assert [row.clip_name for row in load_annotations(one.missing_path).rows] == [
        "aaaaaaaaaaa_000001_000011.mp4", "aaaaaaaaaaa_000021_000031.mp4",
    ]  # fmt: skip
    assert result.warnings == ("2 of 4 clips of val.csv are not there, see val.missing.csv",)
    fill(home / "val", "zumba/aaaaaaaaaaa_000001_000011.mp4", "zumba/aaaaaaaaaaa_000021_000031.mp4")
    assert kinetics("validate.csv").lists[0].missing == 0
    assert (home / "val.missing.csv").read_text() == HEADER


def test_kinetics_flat_and_by_split(home: Path) -> None:
    (home / "a.csv").write_text(VAL + "zumba,bbbbbbbbbbb,1,11,train\n")
    (home / "b.csv").write_text(
        "label,youtube_id,time_start,time_end,split,is_cc\nabseiling,ccccccccccc,1,11,train,1\n"
    )
    fill(home / "clips", *(f"{name}_000001_000011.mp4" for name in ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")))
    result = kinetics("a.csv", "b.csv", videos=home / "clips", out_dir="lists")
    assert {one.path: one.listed for one in result.lists} == {Path("lists/val.csv"): 1, Path("lists/train.csv"): 2}
    assert path_labels(home / "lists/train.csv") == [
        (f"{home}/clips/bbbbbbbbbbb_000001_000011.mp4", 399), (f"{home}/clips/ccccccccccc_000001_000011.mp4", 0),
    ]  # fmt: skip


def test_kinetics_names_and_splits(home: Path) -> None:
    (home / "old.csv").write_text("video-id,start-time,end-time,label-name\n02K4QYwUR6k,112,122,playing cards\n")
    fill(home / "val", "02K4QYwUR6k_000112_000122.mp4")
    with pytest.raises(InputError, match=r"old\.csv:2: no split"):
        kinetics("old.csv")
    assert kinetics("old.csv", name="test.csv").lists[0].path == Path("test.csv")
    (home / "two.csv").write_text(VAL + "zumba,bbbbbbbbbbb,1,11,train\n")
    with pytest.raises(UsageError, match="for 2 splits"):
        kinetics("two.csv", name="test.csv")
    (home / "path.csv").write_text(HEADER + "playing cards,02K4QYwUR6k,112,122,../x\n")
    with pytest.raises(UsageError, match="not a file name"):
        kinetics("path.csv")


def test_kinetics_without_labels(home: Path) -> None:
    fill(home / "val", "--6bJUbfpnQ_000017_000027.mp4", "02K4QYwUR6k_000112_000122.mp4")
    (home / "test_split.csv").write_text("youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n")
    with pytest.raises(InputError, match="no row names a class"):
        kinetics("test_split.csv")
    (home / "some.csv").write_text(HEADER + "playing cards,02K4QYwUR6k,112,122,test\n,--6bJUbfpnQ,17,27,test\n")
    (one,) = kinetics("some.csv").lists
    assert (one.listed, one.missing, one.unlabelled) == (1, 0, 1)
    assert [row.youtube_id for row in load_annotations(one.missing_path).rows] == ["--6bJUbfpnQ"]


def test_kinetics_refusals_write_nothing(home: Path) -> None:
    (home / "validate.csv").write_text(VAL)
    (home / "val.csv").write_text(VAL)
    fill(home / "val", "playing cards/02K4QYwUR6k_000112_000122.mp4")
    before = sorted(home.rglob("*"))
    for files, options, told in [
        (("val.csv",), {}, "val.csv would be overwritten"),
        (("validate.csv", "val.csv"), {}, "val.csv:2: 02K4QYwUR6k_000112_000122.mp4 is annotated before, in valid"),
        (("validate.csv",), {"out_dir": "o"}, "1 videos have paths that cannot stand in a list"),
        (("validate.csv",), {"labels": "hmdb51"}, "validate.csv:2: 'playing cards' is no class of hmdb51"),
        (("validate.csv",), {"videos": "none"}, "no such folder"),
    ]:  # fmt: skip
        with pytest.raises(InputError) as caught:
            kinetics(*files, **options)
        assert told in caught.value.message
    (home / "val/playing cards").rename(home / "val/zumba")
    (home / "val/zumba/02K4QYwUR6k_000112_000122.mp4").rename(home / "val/zumba/b.mp4")
    with pytest.raises(InputError, match="of 4 annotated clips none is among its 1 videos"):
        kinetics("validate.csv", out_dir="o")
    assert not (home / "o").exists()
    assert len(before) == len(sorted(home.rglob("*")))


def test_kinetics_the_annotation_counts_not_the_folder(home: Path) -> None:
    (home / "validate.csv").write_text(VAL)
    fill(home / "val", "abseiling/02K4QYwUR6k_000112_000122.mp4", "abseiling/aaaaaaaaaaa_000001_000011.mp4",
         "zumba/aaaaaaaaaaa_000001_000011.mp4")  # fmt: skip
    result = kinetics("validate.csv")
    assert path_labels(home / "val.csv") == [
        ("./val/abseiling/02K4QYwUR6k_000112_000122.mp4", 222), ("./val/zumba/aaaaaaaaaaa_000001_000011.mp4", 399),
    ]  # fmt: skip
    assert any("in the folder of another class" in text and text.endswith(": 1") for text in result.warnings)
    assert any("there more than once" in text and text.endswith(": 1") for text in result.warnings)


CHARADES = (
    "id,script,actions,length\n"
    '46GP8,"cooks, looks",c092 0.08 0.10;c147 0.00 0.09,24.83\n'
    "BBBBB,none,,1\n"
    "AAAAA,sits,c001 0.00 9.00;c002 5 4;c003 100 200,2\n"
)


def charades(**options: object) -> FramesCsvResult:
    request = {"annotations": "Charades_v1_test.csv", "frames": "rgb", **options}
    return charades_csv(CharadesCsvRequest.model_validate(request))


def frames(root: Path, video: str, count: int, pattern: str = "{video}-{n:06d}.jpg") -> None:
    fill(root, *(f"{video}/{pattern.format(video=video, n=n)}" for n in range(1, count + 1)))


def test_charades_frames_carry_the_actions_of_their_time(home: Path) -> None:
    (home / "Charades_v1_test.csv").write_text(CHARADES)
    frames(home / "rgb", "46GP8", 4)
    frames(home / "rgb", "AAAAA", 11)
    fill(home / "rgb", "AAAAA/notes.txt", "AAAAA/.hidden-000099.jpg")
    result = charades()
    assert (home / "val.csv").read_text().splitlines()[:6] == [
        "original_vido_id video_id frame_id path labels",
        '46GP8 0 0 46GP8/46GP8-000001.jpg "147"',  # 0.000 s
        '46GP8 0 1 46GP8/46GP8-000002.jpg "147"',  # 0.042 s
        '46GP8 0 2 46GP8/46GP8-000003.jpg "92,147"',  # 0.083 s
        '46GP8 0 3 46GP8/46GP8-000004.jpg ""',  # 0.125 s
        'AAAAA 1 0 AAAAA/AAAAA-000001.jpg "1"',
    ]
    paths, labels = frame_lists(home / "val.csv")
    assert [len(paths[name]) for name in ("46GP8", "AAAAA")] == [4, 11]
    assert labels["AAAAA"] == [[1]] * 11
    assert (result.listed, result.missing, result.frames, result.labelled) == (2, 1, 15, 14)
    assert [video.id for video in load_charades(result.missing_path).videos] == ["BBBBB"]
    assert len(result.warnings) == 3
    assert charades(fps="1", name="train.csv").path == Path("train.csv")
    assert frame_lists(home / "train.csv")[1]["AAAAA"] == [[1]] * 10 + [[]]


def test_charades_gaps_in_the_numbers_are_told(home: Path) -> None:
    (home / "Charades_v1_test.csv").write_text(CHARADES)
    frames(home / "rgb", "46GP8", 4)
    (home / "rgb/46GP8/46GP8-000002.jpg").unlink()
    assert any("46GP8" in text and "gap" in text for text in charades().warnings)
    # the label is the number's, not the place's
    assert frame_lists(home / "val.csv")[1]["46GP8"] == [[147], [92, 147], []]


def test_charades_refusals(home: Path) -> None:
    (home / "Charades_v1_test.csv").write_text(CHARADES)
    (home / "mine.csv").write_text(CHARADES)
    (home / "rgb/46GP8").mkdir(parents=True)
    for options, told in [
        ({"annotations": "mine.csv"}, "its name does not say what the list is called"),
        ({}, "none of the 3 annotated videos has frames there"),
        ({"frames": "none"}, "none: no such folder"),
        ({"name": "Charades_v1_test.csv"}, "would be overwritten"),
    ]:
        with pytest.raises(InputError) as caught:
            charades(**options)
        assert told in caught.value.message
    assert sorted(path.name for path in home.iterdir()) == ["Charades_v1_test.csv", "mine.csv", "rgb"]


SOMETHING = [
    {"id": "74225", "label": "spinning cube", "template": "Spinning [something] that quickly stops spinning",
     "placeholders": ["cube"]},
    {"id": "1", "label": "closing box", "template": "Closing [something]", "placeholders": ["box"]},
]  # fmt: skip
VALIDATION = "something-something-v2-validation.json"


def something(**options: object) -> SomethingCsvResult:
    request = {"annotations": VALIDATION, "videos": "webm", **options}
    return something_csv(SomethingCsvRequest.model_validate(request))


def something_frames(**options: object) -> FramesCsvResult:
    request = {"annotations": VALIDATION, "frames": "frames", **options}
    return something_frames_csv(SomethingCsvRequest.model_validate(request))


def ssv2_loader(folder: Path) -> dict[str, tuple[list[str], int]]:
    """What PySlowFast's Ssv2 loader finds in DATA.PATH_TO_DATA_DIR in test mode."""
    classes = json.loads((folder / "something-something-v2-labels.json").read_text())
    videos = json.loads((folder / VALIDATION).read_text())
    paths, _ = frame_lists(folder / "val.csv")
    assert len(paths) == len(videos)
    return {
        video["id"]: (paths[video["id"]], int(classes[video["template"].replace("[", "").replace("]", "")]))
        for video in videos
    }


def test_something_videos(home: Path) -> None:
    (home / VALIDATION).write_text(json.dumps(SOMETHING))
    fill(home / "webm", "1.webm", "2.webm")
    result = something()
    assert path_labels(home / "val.csv") == [("./webm/1.webm", 5)]
    (one,) = result.lists
    assert (one.annotated, one.listed, one.missing) == (2, 1, 1)
    assert json.loads(one.missing_path.read_text()) == [SOMETHING[0]]
    (home / "labels.json").write_text(
        '{"Closing something": "7", "Spinning something that quickly stops spinning": "8"}'
    )
    something(labels="labels.json", name="test.csv")
    assert path_labels(home / "test.csv") == [("./webm/1.webm", 7)]


def test_something_frames_are_what_the_loader_reads(home: Path) -> None:
    (home / VALIDATION).write_text(json.dumps(SOMETHING))
    frames(home / "frames", "1", 3, "{video}_{n:06d}.jpg")
    result = something_frames(out_dir="pyslowfast")
    assert (result.listed, result.missing, result.frames) == (1, 1, 3)
    expected = {"1": ([f"1/1_{n:06d}.jpg" for n in (1, 2, 3)], 5)}
    assert ssv2_loader(home / "pyslowfast") == expected
    with pytest.raises(InputError, match="insists on as many videos"):
        something_frames()
    frames(home / "frames", "74225", 2, "{video}_{n:06d}.jpg")
    official = (home / VALIDATION).read_bytes()
    something_frames()
    assert (home / VALIDATION).read_bytes() == official
    assert ssv2_loader(home) == {**expected, "74225": (["74225/74225_000001.jpg", "74225/74225_000002.jpg"], 140)}


def test_something_labels_that_are_there_are_kept_or_refused(home: Path) -> None:
    (home / VALIDATION).write_text(json.dumps(SOMETHING[1:]))
    frames(home / "frames", "1", 1)
    (home / "something-something-v2-labels.json").write_text('{"Closing something": "0"}')
    with pytest.raises(InputError, match="holds other classes"):
        something_frames()
    assert not (home / "val.csv").exists()
    something_frames(labels="something-something-v2-labels.json")
    assert ssv2_loader(home) == {"1": (["1/1-000001.jpg"], 0)}


def test_something_version_1(home: Path) -> None:
    (home / "something-something-v1-train.csv").write_text("100218;Opening something\n24413;Closing something\n")
    (home / "something-something-v1-labels.csv").write_text("Opening something\nClosing something\n")
    frames(home / "frames", "100218", 2, "{n:05d}.jpg")
    options = {"annotations": "something-something-v1-train.csv", "labels": "something-something-v1-labels.csv"}
    result = something_frames(**options)
    assert (result.path, result.beside) == (Path("train.csv"), ())
    assert frame_lists(home / "train.csv")[0] == {"100218": ["100218/00001.jpg", "100218/00002.jpg"]}
    assert (home / "train.missing.csv").read_text() == "24413;Closing something\n"


def test_something_refusals(home: Path) -> None:
    (home / VALIDATION).write_text(json.dumps(SOMETHING))
    (home / "something-something-v2-test.json").write_text('[{"id": "1"}]')
    (home / "mine.json").write_text(json.dumps([{**SOMETHING[0], "template": "Juggling [something]"}]))
    fill(home / "webm", "9.webm")
    fill(home / "frames/1", "readme.txt")
    for options, told in [
        ({"annotations": "something-something-v2-test.json"}, "no video has a label"),
        ({"annotations": "mine.json"}, "its name does not say"),
        ({"annotations": "mine.json", "name": "val.csv"}, "mine.json: entry 1: 'Juggling [something]' is no class"),
        ({}, "of 2 annotated videos none is among its 1"),
    ]:
        with pytest.raises(InputError) as caught:
            something(**options)
        assert told in caught.value.message
    with pytest.raises(InputError, match="none of the 2 annotated videos has frames"):
        something_frames(out_dir="o")
    with pytest.raises(UsageError, match="either --videos or --frames"):
        something(frames="frames")
    assert sorted(path.name for path in home.iterdir()) == sorted(
        [VALIDATION, "something-something-v2-test.json", "mine.json", "webm", "frames"]
    )
