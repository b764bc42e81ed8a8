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
