"""`vidbench attack run`, as typed."""

import csv
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidbench.cli.app import main
from vidbench.data.synthetic import CLASSES


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def curve(out: Path) -> list[dict]:
    (column,) = summary(out)["columns"]
    return column["curve"]


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
    clean, small, large = curve(tmp_path / "run")
    assert [point["eps"] for point in (clean, small, large)] == ["0", "2/255", "8/255"]
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
        # what is broken at one radius is broken at all larger ones, by the same clip
        assert row["robust"] or row["eps_value"] >= float(Fraction(row["broken_at"]))


def test_defaults_are_those_that_the_guide_names(small_model, predicted_list, tmp_path) -> None:
    assert attack(small_model, predicted_list, tmp_path / "run") == 0
    found = summary(tmp_path / "run")
    (column,) = found["columns"]
    assert (column["attack"], column["norm"], column["steps"], column["restarts"]) == ("pgd", "linf", 10, 1)
    assert found["clips"] == min(16, 2 * len(CLASSES))
    (point,) = column["curve"]
    assert point["eps"] == "8/255"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["resolved"]["columns"][0]["settings"]["random_start"] is True
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
    assert found["target"] == "random"
    clean, attacked = curve(tmp_path / "run")
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
    assert curve(tmp_path / "3")[0]["robust"] <= curve(tmp_path / "1")[0]["robust"]


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_the_toolbox_as_engine(small_model, predicted_list, tmp_path, method, monkeypatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    more = ["--attack", method, "--eps", "4/255", "--limit", "4"]
    assert attack(small_model, predicted_list, tmp_path / "art", *more, "--engine", "art") == 0
    assert attack(small_model, predicted_list, tmp_path / "own", *more) == 0
    assert summary(tmp_path / "art")["columns"][0]["engine"] == "art"
    assert list(home.iterdir()) == []
    if method == "fgsm":
        for row, own in zip(records(tmp_path / "art"), records(tmp_path / "own"), strict=True):
            assert row["adv_pred"] == own["adv_pred"]
            assert row["l2"] == pytest.approx(own["l2"], rel=1e-3)
    else:
        assert curve(tmp_path / "own")[0]["robust"] <= curve(tmp_path / "art")[0]["robust"]


def test_broken_clips_are_recorded_and_the_rest_is_attacked(small_model, small_set, tmp_path, capsys) -> None:
    good = sorted((small_set / "val").rglob("*.mp4"))[0]
    (tmp_path / "text.mp4").write_text("no video")
    path = tmp_path / "list.txt"
    path.write_text(f"text.mp4 0\n{good} 0\n")
    assert attack(small_model, path, tmp_path / "run", "--attack", "fgsm", "--eps", "0,8/255") == 6
    found = summary(tmp_path / "run")
    assert found["failed"] == 1
    assert found["failures"][0]["path"] == "text.mp4"
    assert [point["clips"] for point in curve(tmp_path / "run")] == [1, 1]


def test_film_strips_show_fooled_clips(small_model, predicted_list, tmp_path) -> None:
    assert attack(small_model, predicted_list, tmp_path / "run", "--eps", "32/255") == 0
    found = summary(tmp_path / "run")
    assert 1 <= len(found["examples"]) <= 4
    for example in found["examples"]:
        with Image.open(tmp_path / "run" / example["file"]) as image:
            assert image.width > image.height > 3 * 32


def test_videos_side_by_side_and_files_without_loss(small_model, predicted_list, tmp_path) -> None:
    from vidbench.video.pyav import decode

    more = ["--eps", "16/255", "--limit", "2", "--attack", "fgsm"]
    for save in ("ffv1", "png", "h264"):
        assert attack(small_model, predicted_list, tmp_path / save, *more, "--save", save) == 0
    fooled = [row for row in records(tmp_path / "ffv1") if "example" in row]
    for row in fooled:
        frames = decode(tmp_path / "ffv1" / f"{row['example']}.mp4", lambda info: range(info.frames)).data
        assert frames.shape[2] > 3 * frames.shape[1]
    for row in records(tmp_path / "ffv1"):
        stored = decode(tmp_path / "ffv1" / row["saved"], lambda info: range(info.frames)).data
        folder = tmp_path / "png" / row["saved"].removesuffix(".mkv")
        pictures = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
        assert np.array_equal(stored, np.stack(pictures))
        assert (tmp_path / "h264" / row["saved"].replace(".mkv", ".mp4")).stat().st_size > 100


def test_stored_clips_are_judged_again(small_model, predicted_list, tmp_path) -> None:
    assert attack(small_model, predicted_list, tmp_path / "run", "--eps", "0,8/255", "--limit", "4") == 0
    clean, attacked = curve(tmp_path / "run")
    assert list(attacked["after"]) == ["uint8", "h264-18", "h264-23", "h264-28", "resize"]
    # compression takes some of a perturbation away, so it can only help; clean clips lose little
    assert attacked["after"]["h264-28"] >= attacked["robust_accuracy"]
    assert clean["after"]["uint8"] >= 0.75
    less = ["--eps", "8/255", "--limit", "4", "--realism", "none"]
    assert attack(small_model, predicted_list, tmp_path / "less", *less) == 0
    assert curve(tmp_path / "less")[0]["after"] == {}


def test_a_target_that_is_the_label_is_left_out(small_model, predicted_list, tmp_path, capsys) -> None:
    label = predicted_list.read_text().split()[1]
    more = ["--eps", "8/255", "--target", label, "--realism", "none"]
    own = [line for line in predicted_list.read_text().splitlines() if line.endswith(f" {label}")]
    if len(own) == 2 * len(CLASSES):
        # what an untrained network says of every clip
        predicted_list.write_text(predicted_list.read_text().replace(f" {label}\n", f" {(int(label) + 1) % 6}\n", 3))
        own = own[3:]
    assert attack(small_model, predicted_list, tmp_path / "run", *more) == 0
    assert "left out:" in capsys.readouterr().out
    (column,) = summary(tmp_path / "run")["columns"]
    assert column["excluded"] == len(own) > 0
    assert column["curve"][0]["clips"] == 2 * len(CLASSES) - len(own)


def test_low_precision_is_confirmed_in_float32(small_model, predicted_list, tmp_path) -> None:
    more = ["--eps", "2/255,8/255", "--realism", "none"]
    for precision in ("fp32", "bf16"):
        assert attack(small_model, predicted_list, tmp_path / precision, *more, "--precision", precision) == 0
    for full, low in zip(curve(tmp_path / "fp32"), curve(tmp_path / "bf16"), strict=True):
        assert abs(full["robust"] - low["robust"]) <= 1


def test_a_suite_its_resumption_and_its_table(small_model, predicted_list, tmp_path, capsys) -> None:
    words = ["--suite", "quick", "--eps", "4/255", "--limit", "6", "--realism", "none"]
    out = tmp_path / "run"
    assert attack(small_model, predicted_list, out, *words) == 0
    found = summary(out)
    assert [column["label"] for column in found["columns"]] == ["fgsm", "pgd-10", "apgd-ce-20"]
    (worst,) = found["worst"]
    assert worst["robust"] <= min(column["curve"][0]["robust"] for column in found["columns"])
    lines = (out / "clips.jsonl").read_text().splitlines(keepends=True)
    before = (out / "summary.json").read_bytes()
    # as if it had been killed in the middle of a line
    (out / "clips.jsonl").write_text("".join(lines[:7]) + lines[7][:40])
    assert attack(small_model, predicted_list, out, *words) == 0
    assert len((out / "clips.jsonl").read_text().splitlines()) == len(lines)
    assert json.loads(before)["worst"] == summary(out)["worst"]
    capsys.readouterr()
    assert main(["attack", "table", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "pgd-10 L∞ 4/255 RA" in shown
    assert "pgd-10 L∞ 4/255 AR" in shown
    assert main(["attack", "table", str(out), str(out)]) == 3
    assert "is in another run, too" in capsys.readouterr().err


def test_a_defence_stands_in_the_table(small_model, predicted_list, tmp_path, capsys) -> None:
    more = ["--attack", "fgsm", "--eps", "8/255", "--limit", "6", "--realism", "none"]
    assert attack(small_model, predicted_list, tmp_path / "plain", *more) == 0
    assert attack(small_model, predicted_list, tmp_path / "gcm", *more, "--defence", "gcm") == 0
    assert attack(small_model, predicted_list, tmp_path / "known", *more, "--defence", "gcm", "--bpda") == 0
    left = {name: curve(tmp_path / name)[0]["robust"] for name in ("plain", "gcm", "known")}
    assert left["gcm"] > left["plain"]
    assert left["known"] == left["plain"]
    capsys.readouterr()
    words = ["attack", "table", str(tmp_path / "plain"), str(tmp_path / "gcm"), "--format", "csv", "--metric", "ar"]
    assert main(words) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[0] == ["Model", "Defence", "Clean accuracy", "fgsm L∞ 8/255 AR"]
    assert [row[1] for row in rows[1:]] == ["none", "gcm"]


def test_attack_list_show_and_their_json(capsys) -> None:
    assert main(["attack", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [row["attack"] for row in found["attacks"]]
    assert names[:3] == ["fgsm", "r-fgsm", "pgd"]
    assert "art-hopskipjump" in names
    assert [row["suite"] for row in found["suites"]] == ["quick", "standard", "video", "robustart"]
    assert "gcm" in [row["name"] for row in found["defences"]]
    assert main(["attack", "list"]) == 0
    assert "1706.06083" in capsys.readouterr().out
    assert main(["attack", "show", "pgd"]) == 0
    assert "steps=10" in capsys.readouterr().out
    assert main(["attack", "show", "pdg"]) == 3
