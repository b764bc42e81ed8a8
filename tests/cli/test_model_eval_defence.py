"""`vidbench model eval --defence`, as typed."""

import json
from pathlib import Path

import pytest

from vidbench.cli.app import main
from vidbench.cli.complete import complete_defence


def evaluate(model: Path, data: Path, out: Path, *more: str) -> int:
    words = ["-q", "model", "eval", str(model), str(data / "vallist.txt"), "--views", "2x1", "--misses", "0"]
    return main([*words, "--limit", "3", "--out", str(out), *more])


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "clips.jsonl").read_text().splitlines()]


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


@pytest.fixture(scope="module")
def plain(small_model, small_set, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "run"
    assert evaluate(small_model, small_set, out) == 0
    return out


def test_concealment_changes_no_score_and_is_stated(small_model, small_set, plain, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert evaluate(small_model, small_set, out, "--defence", "gcm") == 0
    assert "defence: gcm" in capsys.readouterr().out
    assert summary(out)["defence"] == "gcm"
    assert summary(plain)["defence"] is None
    settings = [json.loads((one / "manifest.json").read_text())["settings"] for one in (out, plain)]
    assert settings[0] == settings[1] | {"defence": "gcm"}
    for one, other in zip(records(out), records(plain), strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)


def test_a_lossy_one_changes_scores_and_repeats_itself(small_model, small_set, plain, tmp_path) -> None:
    for number in range(2):
        out = tmp_path / str(number)
        assert evaluate(small_model, small_set, out, "--defence", "h264:40,bits:3") == 0
        assert summary(out)["defence"] == "h264:40,bits:3"
    assert records(tmp_path / "0") == records(tmp_path / "1")
    assert records(tmp_path / "0") != records(plain)


def test_random_ones_draw_by_seed_and_video_alone(small_model, small_set, tmp_path) -> None:
    asked = ("--defence", "resize-pad:40,drop:0.5")
    runs = {"whole": (), "batch": ("--batch", "5", "--workers", "1"), "seed": ("--seed", "1")}
    for name, more in runs.items():
        assert evaluate(small_model, small_set, tmp_path / name, *asked, *more) == 0
    assert records(tmp_path / "whole") == records(tmp_path / "batch")
    assert records(tmp_path / "whole") != records(tmp_path / "seed")
    # a run of which two videos are done already
    cut = tmp_path / "batch" / "clips.jsonl"
    lines = cut.read_text().splitlines(keepends=True)
    cut.write_text("".join(lines[:2]))
    assert evaluate(small_model, small_set, tmp_path / "batch", *asked) == 0
    assert records(tmp_path / "batch") == records(tmp_path / "whole")


def test_another_defence_is_another_run(small_model, small_set, plain, capsys) -> None:
    assert evaluate(small_model, small_set, plain, "--defence", "bits:3") == 5
    assert 'defence: null there, "bits:3" asked' in capsys.readouterr().err


@pytest.mark.parametrize(("text", "told"), [("gmc", "Did you mean gcm"), ("jpeg:0", "1 to 100")])
def test_no_such_defence(small_model, small_set, tmp_path, capsys, text: str, told: str) -> None:
    assert evaluate(small_model, small_set, tmp_path / "run", "--defence", text) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_names_are_completed() -> None:
    assert complete_defence("sm") == ["smooth-time", "smooth-space"]
    assert complete_defence("gcm,re") == ["gcm,resize-pad"]
