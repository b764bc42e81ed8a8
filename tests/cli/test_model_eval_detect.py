"""`vidbench model eval --task detect`, as typed: a tiny detector on rendered videos in AVA's layout."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidbench.cli.app import main

ACTIONS = {1: "stand", 3: "walk <fast>", 4: "wave"}
SECONDS = range(901, 905)
TRUTH = {
    # a person on the left of each video who does two things, and one on the right of the first who waves
    "one": [((0.1, 0.2, 0.4, 0.9), (1, 3), 0), ((0.6, 0.1, 0.9, 0.8), (4,), 1)],
    "two": [((0.05, 0.1, 0.5, 0.95), (1,), 0)],
}


@pytest.fixture(scope="module")
def ava(tmp_path_factory) -> Path:
    """Two videos of five seconds, with annotations of four seconds each."""
    from vidbench.video.encode import encode

    folder = tmp_path_factory.mktemp("ava") / "set"
    (folder / "annotations").mkdir(parents=True)
    (folder / "videos_15min").mkdir()
    lines, detected = [], []
    for place, (video, persons) in enumerate(TRUTH.items()):
        images = []
        for number in range(50):
            image = np.full((48, 64, 3), 60 + 20 * place, dtype=np.uint8)
            for box, _, person in persons:
                x1, y1, x2, y2 = (round(value * side) for value, side in zip(box, (64, 48, 64, 48), strict=True))
                image[y1:y2, x1:x2] = (40 + 4 * number, 200 - 3 * number, 90 + 60 * person)
            images.append(image)
        encode(folder / "videos_15min" / f"{video}.mp4", images, Fraction(10))
        for second in SECONDS:
            for box, actions, person in persons:
                corners = ",".join(map(str, box))
                lines += [f"{video},{second:04d},{corners},{action},{person}\n" for action in actions]
                detected.append(f"{video},{second:04d},{corners},,0.{95 - 10 * person}\n")
    (folder / "annotations" / "ava_val_v2.2.csv").write_text("".join(lines))
    (folder / "annotations" / "ava_val_predicted_boxes.csv").write_text("".join(detected))
    items = [f'item {{\n  name: "{name}"\n  id: {number}\n}}\n' for number, name in ACTIONS.items()]
    (folder / "annotations" / "ava_action_list_v2.2.pbtxt").write_text("".join(items))
    return folder


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Path:
    """A folder with an untrained detector on x3d_tiny, as `model finetune --task detect` leaves one."""
    return make_detector(tmp_path_factory.mktemp("detector"), tuple(ACTIONS.values()))


def make_detector(folder: Path, classes: tuple[str, ...], weight: float | None = None) -> Path:
    from vidbench.model.checkpoint import ModelInfo, save_model
    from vidbench.model.detection import build_detector_on
    from vidbench.model.roi import roi_of
    from vidbench.model.zoo import MODELS

    card = MODELS.get("x3d_tiny")
    size = replace(card.preprocess, frames=8, stride=2, short_side=48)
    made = build_detector_on(card, len(classes), classes, 0, size)
    if weight is not None:
        made.net.detection_head.proj.weight.data.fill_(weight)
        made.net.detection_head.proj.bias.data.fill_(weight)
    info = ModelInfo("x3d_tiny", classes, made.preprocess, "random", task="detect", roi=roi_of(card))
    save_model(folder, made.net.state_dict(), info)
    return folder


def evaluate(model: Path, data: Path, out: Path, *more: str) -> int:
    words = ["-q", "model", "eval", str(model), str(data), "--task", "detect", "--out", str(out)]
    return main([*words, "--device", "cpu", "--workers", "1", *more])


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "clips.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(ava, detector, tmp_path_factory) -> Path:
    """A finished run, which tests copy or compare with."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert evaluate(detector, ava, out, "--misses", "2") == 0
    return out


def rescored(out: Path, capsys, *more: str) -> dict:
    files = [str(out / "detections.csv"), str(out / "groundtruth.csv"), "--labels", str(out / "classes.pbtxt")]
    capsys.readouterr()
    assert main(["-q", "model", "score", *files, "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_class_of_every_box_of_every_keyframe_is_scored(whole) -> None:
    found = summary(whole)
    assert (found["kind"], found["task"], found["evaluated"], found["failed"]) == ("eval", "detect", 8, 0)
    assert (found["listed"], found["boxes"]) == (8, 12)
    assert [(one["id"], one["class"], one["positives"]) for one in found["per_class"]] == [
        (1, "stand", 8),
        (3, "walk <fast>", 4),
        (4, "wave", 4),
    ]
    lines = (whole / "detections.csv").read_text().splitlines()
    assert len(lines) == 12 * 3
    assert lines[0].startswith("one,0901,0.1,0.2,0.4,0.9,1,0.")
    assert {record["second"] for record in records(whole)} == set(SECONDS)
    # boxes of the ground truth hold every person, so the share of right ones bounds the precision from below
    assert 4 / 12 <= found["mean_ap"] <= 1
    assert found["headline"].startswith(f"mAP {found['mean_ap']:.2%} ")


@pytest.mark.parametrize("scorer", ["activitynet", "pyslowfast", pytest.param("mmaction2", marks=pytest.mark.slow)])
def test_the_files_of_the_run_score_the_same(ava, detector, whole, tmp_path, capsys, scorer) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    # the records hold for every scorer; what they were made for is in the settings
    words = ["--misses", "0", "--scorer", scorer]
    if scorer != "activitynet":
        out = tmp_path / "other"
        words += ["--limit", "2"]
    assert evaluate(detector, ava, out, *words) == 0
    found, other = summary(out), rescored(out, capsys, "--scorer", scorer)
    assert found["mean_ap"] == other["mean_ap"]
    assert [one["average_precision"] for one in found["per_class"]] == [
        one["average_precision"] for one in other["classes"]
    ]


def test_an_interrupted_run_goes_on_and_ends_the_same(ava, detector, whole, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    lines = (out / "clips.jsonl").read_text().splitlines(keepends=True)
    # three keyframes, a torn fourth, one that failed before
    failed = json.dumps({"key": json.loads(lines[5])["key"], "status": "failed", "reason": "no such file"}) + "\n"
    (out / "clips.jsonl").write_text("".join([*lines[:3], failed, lines[3][:40]]))
    (out / "summary.json").unlink()
    words = ["model", "eval", str(detector), str(ava), "--task", "detect", "--out", str(out), "--device", "cpu"]
    assert main([*words, "--workers", "1", "--misses", "2"]) == 0
    assert "3 of 8 keyframes are done" in capsys.readouterr().err
    for name in ("summary.json", "detections.csv", "groundtruth.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_of_another_scorer_is_refused(ava, detector, whole, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    assert evaluate(detector, ava, out, "--scorer", "mmaction2") == 5
    assert 'scorer: "activitynet" there, "mmaction2" asked' in capsys.readouterr().err


def test_detected_boxes_above_a_score(ava, detector, tmp_path, capsys) -> None:
    assert evaluate(detector, ava, tmp_path / "run", "--boxes", "detected", "--misses", "3") == 0
    found = summary(tmp_path / "run")
    # the person on the right has 0.85: nobody is asked about there, and what it does is missed
    assert (found["boxes"], found["min_score"]) == (8, 0.9)
    assert {one["class"]: one["average_precision"] for one in found["per_class"]}["wave"] == 0
    assert any("is missed" in one["caption"] for one in found["examples"] if one["kind"] == "missed")
    assert "below the least score" in capsys.readouterr().out


def test_excluded_seconds_count_for_nobody(ava, detector, tmp_path, capsys) -> None:
    seconds = tmp_path / "excluded.csv"
    seconds.write_text("one,0901\none,0902\n")
    words = ["--exclude", str(seconds), "--misses", "0", "--groups", "none"]
    for scorer, more in (("activitynet", []), ("pyslowfast", ["--exclude", str(tmp_path / "b" / "excluded.csv")])):
        out = tmp_path / ("a" if scorer == "activitynet" else "b")
        assert evaluate(detector, ava, out, *words, "--scorer", scorer) == 0
        found = summary(out)
        assert (found["evaluated"], {one["id"]: one["positives"] for one in found["per_class"]}[1]) == (6, 6)
        assert rescored(out, capsys, "--scorer", scorer, *more)["mean_ap"] == found["mean_ap"]
    assert "2 excluded seconds are in neither file" in " ".join(summary(tmp_path / "a")["remarks"])


def test_a_video_that_breaks_is_a_failure_and_no_figure(ava, detector, whole, tmp_path) -> None:
    data = tmp_path / "set"
    shutil.copytree(ava, data)
    video = data / "videos_15min" / "two.mp4"
    content = bytearray(video.read_bytes())
    at = content.index(b"mdat")
    size = int.from_bytes(content[at - 4 : at]) - 8
    content[at + 4 : at + 4 + size] = bytes(size)
    video.write_bytes(content)
    out = tmp_path / "run"
    assert evaluate(detector, data, out, "--misses", "1") == 6
    found = summary(out)
    assert found["failed"] == 4
    assert found["evaluated"] == 4
    assert {one["path"][:3] for one in found["failures"]} == {"two"}
    assert "two" not in (out / "groundtruth.csv").read_text()


def test_outputs_that_are_not_finite_fail(ava, tmp_path, capsys) -> None:
    model = make_detector(tmp_path / "model", tuple(ACTIONS.values()), weight=3e38)
    assert evaluate(model, ava, tmp_path / "run", "--limit", "1") == 3
    assert "not finite" in capsys.readouterr().err
    assert [record["status"] for record in records(tmp_path / "run")] == ["failed"]


@pytest.mark.parametrize(
    ("classes", "told"),
    [(("stand", "wave", "jump"), "does not have the classes 3 'walk <fast>' of the set")],
    ids=["other-names"],
)
def test_a_model_of_other_classes_is_refused(ava, tmp_path, capsys, classes, told) -> None:
    model = make_detector(tmp_path / "model", classes)
    assert evaluate(model, ava, tmp_path / "run") == 3
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_label_map_of_fewer_classes(ava, detector, tmp_path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("1: stand\n")
    assert evaluate(detector, ava, tmp_path / "run", "--labels", str(names), "--limit", "2", "--misses", "0") == 0
    found = summary(tmp_path / "run")
    assert [one["id"] for one in found["per_class"]] == [1]
    assert found["ground_truth"]["left_out"] == {"class not in the label map": 4}
    assert (found["evaluated"], found["listed"]) == (2, 8)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--views", "1x1"), "--views goes with a list of clips"),
        (("--cam",), "--cam goes with a list of clips"),
        (("--decoder", "pyav"), "--decoder goes with a list of clips"),
        (("--min-score", "0.5"), "--min-score goes with --boxes detected"),
        (("--scorer", "coco"), "--scorer 'coco'"),
        (("--boxes", "both"), "--boxes 'both'"),
        (("--task", "boxes"), "--task 'boxes' is none of"),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, tuple) else "",
)
def test_options_that_do_not_fit_are_refused_by_name(ava, detector, tmp_path, capsys, words, told) -> None:
    assert evaluate(detector, ava, tmp_path / "run", *words) == 2
    assert told in capsys.readouterr().err


def test_detection_s_options_do_not_go_with_clips(small_model, small_set, tmp_path, capsys) -> None:
    words = ["model", "eval", str(small_model), str(small_set / "vallist.txt"), "--out", str(tmp_path / "run")]
    assert main([*words, "--scorer", "pyslowfast"]) == 2
    assert "--scorer goes with --task detect" in capsys.readouterr().err


def test_the_report_shows_classes_curves_and_misses(whole, tmp_path) -> None:
    page = tmp_path / "page.html"
    assert main(["-q", "report", str(whole), "--out", str(page)]) == 0
    text = page.read_text()
    for told in ("Average precision per class", "Precision over recall", "Worst misses", "mAP at IoU 0.5"):
        assert told in text
    assert "walk &lt;fast&gt;" in text
    assert "<fast>" not in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert text.count("data:image/png;base64,") == len(summary(whole)["examples"]) == 4
