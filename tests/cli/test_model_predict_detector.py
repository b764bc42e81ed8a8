"""`vidbench model predict` with a detector of our own, as typed."""

import json

from vidbench.cli.app import main
from vidbench.model.checkpoint import ModelInfo, save_model
from vidbench.model.detection import build_detector_on
from vidbench.model.roi import RoISettings
from vidbench.model.zoo import TINY


def test_a_folder_of_a_detector_is_asked_what_persons_do(make_video, tmp_path, capsys) -> None:
    names, roi = ("sit", "stand", "wave"), RoISettings(dilated=True)
    detector = build_detector_on(TINY, 3, names, 0, roi=roi)
    info = ModelInfo("x3d_tiny", names, TINY.preprocess, "scratch", task="detect", roi=roi)
    save_model(tmp_path / "run", detector.net.state_dict(), info)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("v,0001,0.1,0.1,0.6,0.9,,0.9\nv,0001,0.5,0.1,0.9,0.9,,0.9\n")
    model = str(tmp_path / "run")
    video = str(make_video("v.mp4", frames=40))

    asked = ["--persons", str(boxes), "--json", "--top", "3"]
    assert main(["-q", "model", "predict", "--model", model, "--device", "cpu", video, *asked]) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["architecture"]) == (model, "x3d_tiny")
    left, right = found["videos"][0]["keyframes"][1]["persons"]
    assert {guess["name"] for guess in left["top"]} == set(names)
    assert [guess["probability"] for guess in left["top"]] != [guess["probability"] for guess in right["top"]]
    assert main(["-q", "model", "predict", "--model", model, "--device", "cpu", video, "--crops", "3"]) == 2
    assert "sees the whole frame" in capsys.readouterr().err
