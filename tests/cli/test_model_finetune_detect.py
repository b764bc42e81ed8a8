"""`vidbench model finetune --task detect`: who walks and who stands, of two in every picture."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ava_data import ACTIONS, HEIGHT, SIDE, WIDTH, annotate
from vidbench.cli.app import main
from vidbench.video.encode import encode

TOP, BOTTOM = 3, 41


def places(seed: int, number: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Left and top of the square that moves and of the one that does not."""
    draw = np.random.default_rng(seed)
    over, start, way = bool(draw.integers(2)), int(draw.integers(40)), bool(draw.integers(2))
    step = (number + start) % 52
    along = 2 * (step if step < 26 else 52 - step)
    moving = (12 + (along if way else 52 - along), TOP if over else BOTTOM)
    return moving, (int(draw.integers(60)), BOTTOM if over else TOP)


def picture(seed: int, number: int) -> NDArray[np.uint8]:
    draw = np.random.default_rng(1000 + seed)
    image = np.full((HEIGHT, WIDTH, 3), draw.integers(80, 140, 3), np.uint8)
    for (x, y), colour in zip(places(seed, number), draw.integers(0, 255, (2, 3)), strict=True):
        image[y : y + SIDE, x : x + SIDE] = colour
    return image


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos to train on and four to validate on, three keyframes each; colours tell nothing."""
    folder = tmp_path_factory.mktemp("walkers")
    for part, seeds in (("train", range(12)), ("val", range(100, 104))):
        rows = []
        for seed in seeds:
            path = folder / "videos_15min" / f"v{seed}.mp4"
            path.parent.mkdir(exist_ok=True)
            encode(path, (picture(seed, number) for number in range(6 * 30)), Fraction(30), crf=10, gop=24)
            for second in (902, 903, 904):
                for person, (x, y) in enumerate(places(seed, (second - 900) * 30)):
                    box = f"{x / WIDTH:.3f},{y / HEIGHT:.3f},{(x + SIDE) / WIDTH:.3f},{(y + SIDE) / HEIGHT:.3f}"
                    rows.append(f"v{seed},{second:04d},{box},{(4, 1)[person]},{person}")
        annotate(folder, f"ava_{part}_v2.2.csv", rows)
        annotate(folder, f"ava_{part}_excluded_timestamps_v2.2.csv", [])
    (folder / "annotations" / "ava_action_list_v2.2_for_activitynet_2019.pbtxt").write_text(ACTIONS)
    return folder


@pytest.fixture(scope="module")
def trained(walkers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    words = ["model", "finetune", "x3d_tiny", str(walkers), "--task", "detect", "--out", str(out), "--dilated"]
    assert main([*words, "--epochs", "7", "--batch", "6", "--lr", "0.005", "--jitter", "1.1"]) == 0
    return out


def test_a_detector_learns_what_each_person_does(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["task"] == "detect"
    assert summary["classes"] == ["stand", "walk"]
    assert summary["clips"] == 36
    assert summary["best_val_mean_ap"] >= 0.9
    model = json.loads((trained / "model.json").read_text())
    assert (model["task"], model["roi"]["dilated"]) == ("detect", True)


def test_the_trained_detector_is_evaluated(trained: Path, walkers: Path, tmp_path: Path) -> None:
    out = tmp_path / "eval"
    words = ["model", "eval", str(trained), str(walkers), "--task", "detect", "--out", str(out)]
    assert main([*words, "--scorer", "pyslowfast"]) == 0
    found = json.loads((out / "summary.json").read_text())
    summary = json.loads((trained / "summary.json").read_text())
    # in evaluation as in training: the same boxes, pictures and rules
    assert found["mean_ap"] == pytest.approx(summary["best_val_mean_ap"], abs=1e-6)


def test_a_classifier_is_the_start_of_a_detector(
    trained: Path, walkers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "finetune", "x3d_tiny", str(walkers), "--task", "detect", "--epochs", "1", "--limit", "6"]
    assert main([*words, "--init", str(trained), "--lr", "1e-6", "--out", str(tmp_path / "again"), "--batch", "6"]) == 0
    summary = json.loads((tmp_path / "again" / "summary.json").read_text())
    assert summary["replaced"] == []
    assert summary["best_val_mean_ap"] >= 0.85


def test_the_last_epoch_is_kept_where_it_is_asked_for(walkers: Path, tmp_path: Path) -> None:
    words = ["model", "finetune", "x3d_tiny", str(walkers), "--task", "detect", "--limit", "3", "--batch", "1"]
    rates = ["--epochs", "3", "--lr", "0.5", "--optimizer", "sgd", "--warmup", "0"]
    kept = {}
    for best in ("clean", "last"):
        out = tmp_path / best
        assert main([*words, *rates, "--best", best, "--out", str(out)]) == 0
        kept[best] = json.loads((out / "summary.json").read_text())
    reached = [
        json.loads(line)["val_mean_ap"] for line in (tmp_path / "last" / "epochs.jsonl").read_text().splitlines()
    ]
    assert kept["clean"]["best_val_mean_ap"] == max(reached) > reached[2]
    assert (kept["last"]["best_epoch"], kept["last"]["best_val_mean_ap"]) == (3, reached[2])


def test_a_loss_that_is_not_finite_names_the_batch_and_a_way_that_works(
    walkers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["model", "finetune", "x3d_tiny", str(walkers), "--task", "detect", "--limit", "4", "--batch", "1"]
    wild = ["--lr", "1e9", "--optimizer", "sgd", "--warmup", "0", "--clip-norm", "0", "--epochs", "2"]
    assert main([*words, *wild, "--out", str(out)]) == 3
    said = capsys.readouterr().err
    assert "the loss is not finite in epoch 1, batch" in said
    assert "in another --out or with --overwrite." in said
    # no epoch was finished, so there is nothing to begin with
    assert "--init" not in said
    assert main([*words, "--lr", "1e-3", "--epochs", "1", "--overwrite", "--out", str(out)]) == 0


def test_a_detector_of_ones_own_is_exported_as_tensors_alone(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["weights", "export", str(trained), "--out"]
    assert main([*words, str(tmp_path / "a.safetensors"), "--to", "safetensors"]) == 0
    assert (tmp_path / "a.safetensors").stat().st_size > 0
    assert main([*words, str(tmp_path / "a.pyth"), "--to", "pyslowfast"]) == 3
    assert "is a detector built on x3d_tiny here: pyslowfast has no such network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--root", "."], "--root does not go with --task detect"),
        (["--augment", "mixup:0.8"], "mixup"),
        (["--defence", "jpeg"], "--defence"),
        (["--decoder", "decord"], "--decoder does not go with --task detect"),
    ],
    ids=["root", "mixup", "defence", "decoder"],
)
def test_what_boxes_do_not_allow_is_refused(
    walkers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    command = ["model", "finetune", "x3d_tiny", str(walkers), "--task", "detect", "--out", str(tmp_path / "run")]
    assert main([*command, *words]) == 2
    assert message in capsys.readouterr().err


def test_options_of_boxes_are_for_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "finetune", "x3d_tiny", str(tmp_path / "no"), "--val-every", "4"]) == 2
    assert "--val-every is for --task detect" in capsys.readouterr().err
    assert main(["model", "finetune", "x3d_tiny", str(tmp_path / "no"), "--min-score", "0.5"]) == 2
    assert "--min-score does not go with --task classify" in capsys.readouterr().err
