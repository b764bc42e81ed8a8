"""`vidbench model predict`, as typed."""

import csv
import json
from pathlib import Path

import av
import pytest

from vidbench.cli.app import main
from vidbench.data.synthetic import CLASSES


def predict(model: Path | str, *more: object) -> int:
    return main(["-q", "model", "predict", "--model", str(model), "--device", "cpu", *map(str, more)])


def test_table_csv_and_overlay(small_model, make_video, tmp_path, capsys) -> None:
    video = make_video(frames=90, size=(96, 72))
    out, table = tmp_path / "out.mp4", tmp_path / "out.csv"
    assert predict(small_model, video, "--top", 2, "--overlay", out, "--csv", table) == 0
    told = capsys.readouterr().out
    assert "90 frames at 30 fps" in told
    assert "no sound" in told
    assert "all" in told
    assert any(name in told for name in CLASSES)
    assert len(list(csv.DictReader(table.open()))) == 3 * 2
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 90
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == ["out.csv", "out.mp4"]


def test_json_is_all_of_stdout_and_a_failed_video_gives_6(small_model, make_video, tmp_path, capsys) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"")
    assert predict(small_model, make_video(), tmp_path / "bad.mp4", "--json", "--hop", 0.5) == 6
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["failed"], found["hop_s"], found["clip_s"]) == (1, 0.5, pytest.approx(4 / 3))
    good, bad = found["videos"]
    assert len(good["clips"][0]["top"]) == 5
    assert "zero bytes" in bad["reason"]
    assert "1 of 2 videos" in captured.err


def test_random_weights_say_that_the_classes_mean_nothing(make_video, capsys) -> None:
    assert predict("x3d_tiny", make_video(frames=4), "--weights", "random") == 0
    assert "THE CLASSES MEAN NOTHING" in capsys.readouterr().out


def test_published_weights_that_are_missing_are_told_with_exit_code_4(make_video, capsys) -> None:
    assert predict("x3d_s", make_video(frames=4)) == 4
    assert "weights pull" in capsys.readouterr().err


def test_wrong_options_and_sources(small_model, make_video, tmp_path, capsys) -> None:
    video = make_video(frames=4)
    assert predict(small_model, video, "--crops", 2) == 2
    assert "--crops" in capsys.readouterr().err
    assert predict(small_model, video, "--hop", 0) == 2
    assert "--hop" in capsys.readouterr().err
    assert predict(small_model, tmp_path / "none.mp4") == 3
    assert predict(small_model) == 2
    (tmp_path / "list.txt").write_text("no label here\n")
    assert predict(small_model, tmp_path / "list.txt") == 3
    assert predict("x3d_q", video) == 3


def test_a_name_with_a_leading_dash(small_model, make_video, tmp_path, monkeypatch) -> None:
    make_video("-x.mp4", frames=4)
    monkeypatch.chdir(tmp_path)
    assert main(["-q", "model", "predict", "--model", str(small_model), "--overlay", "o", "--", "-x.mp4"]) == 0
    assert (tmp_path / "o" / "-x.mp4").is_file()


def test_an_action_detector_tells_what_each_person_does(make_video, tmp_path, capsys) -> None:
    video, boxes = make_video("v.mp4", frames=40), tmp_path / "boxes.csv"
    boxes.write_text("v,0901,0.1,0.1,0.6,0.9,,0.9\nv,0901,0.1,0.1,0.6,0.9,,0.7\nw,0901,0.1,0.1,0.6,0.9,,0.9\n")
    table, overlay = tmp_path / "out.csv", tmp_path / "out.mp4"
    options = ["--weights", "random", "--persons", boxes, "--first-second", 900, "--top", 2]
    assert predict("slow_r50_detection", video, *options, "--json", "--csv", table, "--overlay", overlay) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["hop_s"], found["clip_s"], found["target_fps"]) == (1.0, pytest.approx(64 / 30), 30)
    assert (found["low_boxes"], found["unknown_videos"]) == (1, ["w"])
    first, second = found["videos"][0]["keyframes"]
    assert (first["persons"], second["time_s"], second["frame"]) == ([], 1.0, 30)
    (person,) = second["persons"]
    assert person["box"] == [0.1, 0.1, 0.6, 0.9]
    assert len(person["top"]) == 2
    assert all(1 <= guess["label"] <= 80 for guess in person["top"])
    assert len(table.read_text().splitlines()) == 80
    assert overlay.is_file()
    assert captured.err == ""


def test_the_table_of_actions_and_a_video_without_persons(make_video, tmp_path, capsys) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("other,0000,0.1,0.1,0.6,0.9,12,3\n")
    options = ["--weights", "random", "--persons", boxes, "--person-ids"]
    assert predict("slow_r50_detection", make_video("v.mp4", frames=4), *options) == 0
    told = capsys.readouterr().out
    assert "1 keyframes at 30 fps, 1 of them without persons: no action is looked for" in told
    assert "THE ACTIONS MEAN NOTHING" in told


def test_options_of_persons_that_do_not_go_together(small_model, make_video, tmp_path, capsys) -> None:
    video, boxes = make_video(frames=4), tmp_path / "boxes.csv"
    assert predict(small_model, video, "--persons", boxes) == 2
    assert "goes with an action detector" in capsys.readouterr().err
    assert predict("ssdlite320_mobilenet_v3_large", video) == 2
    assert "--persons ssdlite320_mobilenet_v3_large" in capsys.readouterr().err
    detector = ("slow_r50_detection", video, "--weights", "random")
    assert predict(*detector, "--persons", "none") == 2
    assert predict(*detector, "--persons", boxes) == 3
    assert predict(*detector, "--persons", "yolo") == 3
    assert predict(*detector, "--crops", 3) == 2
    assert predict(*detector, "--persons", boxes, "--threshold", 2) == 2
    assert "--threshold" in capsys.readouterr().err
    assert predict(*detector) == 4
    assert "fasterrcnn_resnet50_fpn_v2" in capsys.readouterr().err
    boxes.write_text("v,1,0.1,0.1,1.6,0.9,,0.9\n")
    assert predict(*detector, "--persons", boxes) == 3
    assert "boxes.csv:1: x2" in capsys.readouterr().err
