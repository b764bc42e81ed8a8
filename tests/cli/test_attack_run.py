"""`vidbench attack run`, as typed."""

import json
from pathlib import Path

import pytest

from vidbench.cli.app import main
from vidbench.data.synthetic import CLASSES


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "clips.jsonl").read_text().splitlines()]


@pytest.fixture
def predicted_list(small_model, small_set, tmp_path) -> Path:
    """The validation videos labelled with what the model says, so that there is something to attack."""
    out = tmp_path / "predict"
    words = ["model", "eval", str(small_model), str(small_set / "vallist.txt"), "--views", "1x1", "--out", str(out)]
    assert main(["-q", *words]) == 0
    path = small_set / "predicted.txt"
    path.write_text("".join(f"{record['path']} {record['pred']}\n" for record in records(out)))
    return path


def attack(model: Path, data: Path, out: Path, *more: str) -> int:
    return main(["-q", "attack", "run", "--model", str(model), "--data", str(data), "--out", str(out), *more])


def test_a_sweep_with_its_clean_point(small_model, predicted_list, tmp_path, capsys) -> None:
    assert attack(small_model, predicted_list, tmp_path / "run", "--eps", "0,2/255,8/255", "--json") == 0
    found = json.loads(capsys.readouterr().out)["summary"]
    assert found == summary(tmp_path / "run")
    assert found["clean_accuracy"] == 1.0
    clean, small, large = found["curve"]
    assert [point["eps"] for point in found["curve"]] == ["0", "2/255", "8/255"]
    assert clean["robust_accuracy"] == 1.0
    assert clean["mean_linf"] == 0
    assert large["robust"] <= small["robust"] <= clean["robust"]
    assert large["fooling_rate"] == pytest.approx(1 - large["conditional"])
    rows = records(tmp_path / "run")
    assert len(rows) == 3 * 2 * len(CLASSES)
    for row in rows:
        assert row["linf"] <= row["eps_value"] + 1e-7
        assert row["robust"] == (row["adv_pred"] == row["label"])
        assert (row["backwards"] > 0) == (row["eps_value"] > 0)


def test_defaults_are_those_that_the_guide_names(small_model, predicted_list, tmp_path) -> None:
    assert attack(small_model, predicted_list, tmp_path / "run") == 0
    found = summary(tmp_path / "run")
    assert (found["attack"], found["norm"], found["steps"], found["restarts"]) == ("pgd", "linf", 10, 1)
    assert found["clips"] == min(16, 2 * len(CLASSES))
    (point,) = found["curve"]
    assert point["eps"] == "8/255"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["resolved"]["attack"]["random_start"] is True
    assert manifest["request"]["argv"][:3] == ["vidbench", "-q", "attack"]


def test_same_seed_same_clips_whatever_the_batch(small_model, predicted_list, tmp_path) -> None:
    for name, batch in (("one", "1"), ("five", "5")):
        assert (
            attack(small_model, predicted_list, tmp_path / name, "--eps", "1/255", "--batch", batch, "--limit", "6")
            == 0
        )
    for one, five in zip(records(tmp_path / "one"), records(tmp_path / "five"), strict=True):
        assert one["adv_pred"] == five["adv_pred"]
        # another batch size may take another convolution kernel, which rounds differently
        assert one["l2"] == pytest.approx(five["l2"], rel=0.02)


def test_without_data_the_model_s_own_predictions_are_attacked(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["attack", "run", "--model", "x3d_xs", "--attack", "fgsm", "--weights", "random", "--limit", "2"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "its own predictions are attacked" in shown.err
    assert "fooling rate" in shown.out
    (out,) = (tmp_path / "runs").iterdir()
    found = summary(out)
    assert found["reference"] == "predictions"
    assert found["clean_accuracy"] is None
    assert all(row["label"] is None for row in records(out))
    assert main(words) == 0
    assert "2 of 2 clips are done" in capsys.readouterr().err


def test_the_built_in_clips_count_as_labelled_for_a_model_of_their_classes(small_model, tmp_path) -> None:
    words = ["-q", "attack", "run", "--model", str(small_model), "--attack", "fgsm", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert summary(tmp_path / "run")["reference"] == "labels"
    assert {row["label"] for row in records(tmp_path / "run")} == set(range(len(CLASSES)))


def test_weights_that_are_missing(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["attack", "run", "--model", "x3d_m", "--attack", "pgd"]) == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    for part in ("x3d_m", "vidbench weights pull x3d_m", "--mirror", "--from FILE", "--weights random"):
        assert part in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--attack", "pdg"], 3, "Did you mean pgd"),
        (["--eps", "9"], 2, "write 9/255 for 9 grey levels"),
        (["--eps", "-1/255"], 2, "is negative"),
        (["--eps", "a lot"], 2, "is not a number"),
        (["--eps", ","], 2, "no eps"),
        (["--norm", "l2"], 2, "--norm l2 needs --eps"),
        (["--norm", "l7"], 2, "--norm"),
        (["--attack", "fgsm", "--steps", "3"], 2, "fgsm has no setting 'steps'"),
        (["--set", "stepps=3"], 2, "pgd has no setting 'stepps'"),
        (["--set", "steps=0"], 2, "greater than or equal to 1"),
        (["--set", "steps"], 2, "is not NAME=VALUE"),
        (["--steps", "3", "--set", "steps=4"], 2, "given twice"),
        (["--step", "0"], 2, "goes nowhere"),
        (["--no-random-start", "--restarts", "2"], 2, "repeat the same attack"),
        (["--target", "99"], 2, "is no class"),
        (["--engine", "foolbox"], 2, "--engine"),
    ],
)
def test_wrong_options(small_model, small_set, tmp_path, capsys, words, code, message) -> None:
    assert attack(small_model, small_set / "vallist.txt", tmp_path / "run", *words) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""


def test_targeted_attacks_count_the_clips_that_get_there(small_model, predicted_list, tmp_path) -> None:
    more = ["--eps", "0,32/255", "--target", "random", "--steps", "20", "--limit", "4"]
    assert attack(small_model, predicted_list, tmp_path / "run", *more) == 0
    found = summary(tmp_path / "run")
    assert found["targeted"]
    clean, attacked = found["curve"]
    assert clean["target_rate"] == 0
    assert attacked["target_rate"] > 0
    for row in records(tmp_path / "run"):
        assert row["target"] != row["label"]


def test_l2_stays_in_its_ball(small_model, predicted_list, tmp_path) -> None:
    more = ["--norm", "l2", "--eps", "0.5,2", "--restarts", "2", "--limit", "4"]
    assert attack(small_model, predicted_list, tmp_path / "run", *more) == 0
    rows = records(tmp_path / "run")
    assert rows
    for row in rows:
        assert 0 < row["l2"] <= row["eps_value"] * (1 + 1e-5)


def test_more_restarts_never_leave_more_robust_clips(small_model, predicted_list, tmp_path) -> None:
    for count in ("1", "3"):
        more = ["--eps", "1/255", "--restarts", count, "--steps", "3", "--limit", "8"]
        assert attack(small_model, predicted_list, tmp_path / count, *more) == 0
    assert summary(tmp_path / "3")["curve"][0]["robust"] <= summary(tmp_path / "1")["curve"][0]["robust"]


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_the_toolbox_as_engine(small_model, predicted_list, tmp_path, method, monkeypatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    more = ["--attack", method, "--eps", "4/255", "--limit", "4"]
    assert attack(small_model, predicted_list, tmp_path / "art", *more, "--engine", "art") == 0
    assert attack(small_model, predicted_list, tmp_path / "own", *more) == 0
    theirs, ours = summary(tmp_path / "art"), summary(tmp_path / "own")
    assert theirs["engine"] == "art"
    assert list(home.iterdir()) == []
    if method == "fgsm":
        for row, own in zip(records(tmp_path / "art"), records(tmp_path / "own"), strict=True):
            assert row["adv_pred"] == own["adv_pred"]
            assert row["l2"] == pytest.approx(own["l2"], rel=1e-3)
    else:
        assert ours["curve"][0]["robust"] <= theirs["curve"][0]["robust"]


def test_broken_clips_are_recorded_and_the_rest_is_attacked(small_model, small_set, tmp_path, capsys) -> None:
    good = sorted((small_set / "val").rglob("*.mp4"))[0]
    (tmp_path / "text.mp4").write_text("no video")
    path = tmp_path / "list.txt"
    path.write_text(f"text.mp4 0\n{good} 0\n")
    assert attack(small_model, path, tmp_path / "run", "--attack", "fgsm", "--eps", "0,8/255") == 6
    found = summary(tmp_path / "run")
    assert found["failed"] == 1
    assert found["failures"][0]["path"] == "text.mp4"
    assert [point["clips"] for point in found["curve"]] == [1, 1]


def test_film_strips_show_fooled_clips(small_model, predicted_list, tmp_path) -> None:
    from PIL import Image

    assert attack(small_model, predicted_list, tmp_path / "run", "--eps", "32/255") == 0
    found = summary(tmp_path / "run")
    assert 1 <= len(found["examples"]) <= 4
    for example in found["examples"]:
        with Image.open(tmp_path / "run" / example["file"]) as image:
            assert image.width > image.height > 3 * 32


def test_attack_list_and_its_json(capsys) -> None:
    assert main(["attack", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["attack"] for row in rows] == ["fgsm", "pgd"]
    assert main(["attack", "list"]) == 0
    assert "1706.06083" in capsys.readouterr().out
