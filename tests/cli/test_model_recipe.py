"""`vidbench model finetune --recipe`: a training by a file, what is typed before it, and what the user is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vidbench.cli.app import main

LAYOUTS = Path(__file__).parents[1] / "parity" / "data" / "vssl"
YAML = """\
TRAIN: {DATASET: kinetics, BATCH_SIZE: 4}
DATA: {NUM_FRAMES: 8, SAMPLING_RATE: 2, TRAIN_CROP_SIZE: 64, TEST_CROP_SIZE: 64, TRAIN_JITTER_SCALES: [64, 72]}
SOLVER:
  BASE_LR: 0.02
  MAX_EPOCH: 9
  MAX_EPOCH: 1
  WARMUP_START_LR: 1e-3
MODEL: {ARCH: x3d_tiny}
RESNET: {TRANS_FUNC: x3d_transform}
OTHER: 1
"""


def words(small_set: Path, out: Path, *more: str) -> list[str]:
    start = ["model", "finetune", "x3d_tiny", str(small_set / "trainlist.txt"), "--device", "cpu"]
    return [*start, "--classes", str(small_set / "classes.txt"), "--out", str(out), *more]


def test_a_configuration_of_pyslowfast_trains(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "a.yaml", tmp_path / "run"
    path.write_text(YAML)

    assert main(words(small_set, out, "--recipe", str(path), "--batch", "2", "--limit", "4")) == 0

    said = capsys.readouterr().err
    assert "--batch 2 instead of the recipe's 4" in said
    assert "unknown keys: OTHER (line 10)" in said
    assert "SOLVER.MAX_EPOCH stands twice, on lines 5 and 6: the last counts" in said
    assert "without effect here: RESNET.TRANS_FUNC" in said
    assert "0.02 x 2 clips per step / 4 = 0.01" in said
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["epochs"], summary["lr"], summary["recipe"]["overridden"]) == (1, 0.01, {"batch": [4, 2]})
    asked = json.loads((out / "manifest.json").read_text())["request"]
    assert (asked["frames"], asked["jitter"], asked["optimizer"]) == (8, "64-72", "sgd")
    size = json.loads((out / "model.json").read_text())["preprocess"]
    assert (size["frames"], size["stride"], size["crop"], size["mean"]) == (8, 2, 64, [0.45] * 3)


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--recipe", "severe"], 3, "unknown recipe 'severe'"),
        (["--faithful"], 2, "--faithful is for recipes"),
        (["--recipe", "kinetics-x3d", "--faithful"], 2, "nothing that is done otherwise"),
        (["--init", "gdt"], 2, "needs its published file, gdt_K400.pth"),
        (["--init", "gdt", "--checkpoint", "a.pth"], 3, "those of r2plus1d_18, not of x3d_tiny"),
        (["--init", "scratch", "--checkpoint", "a.pth"], 2, "scratch is random"),
        (["--frames", "4"], 3, "x3d_tiny does not take clips of 4 frames of 64 x 64 pixels"),
    ],
    ids=["name", "no-recipe", "no-contradiction", "no-file", "network", "scratch", "frames"],
)
def test_what_does_not_go_together_is_told(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, said: str
) -> None:
    assert main(words(small_set, tmp_path / "run", *more)) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_published_recipe_trains_a_published_start(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = json.loads((LAYOUTS / "tclr.json").read_text())
    torch.manual_seed(0)
    state = {key: torch.rand(shape) * 0.01 if shape else torch.tensor(1) for key, shape in held["keys"].items()}
    torch.save({held["outer_key"]: state}, tmp_path / "rpd18kin400.pth")
    clips = [line.split()[0] for line in (small_set / "trainlist.txt").read_text().splitlines()][:2]
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{small_set / clip} {number},2\n" for number, clip in enumerate(clips)))
    small = ["--frames", "4", "--crop-size", "32", "--short-side", "32", "--jitter", "1.2", "--precise-bn", "1"]
    start = ["model", "finetune", "r2plus1d_18", str(listed), "--device", "cpu", "--out", str(tmp_path / "run")]
    named = ["--init", "TCLR", "--checkpoint", str(tmp_path / "rpd18kin400.pth"), "--recipe", "severe-charades"]

    assert main([*start, *named, *small, "--epochs", "1", "--batch", "2"]) == 0

    said = capsys.readouterr().err
    assert "layers: those of tclr in layer4" in said
    assert "mean and std of the input: those that the comparison feeds TCLR with" in said
    assert "0.0375 x 2 clips per step / 16" in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["start"]["name"], summary["task"]) == ("tclr", "multilabel")
    saved = json.loads((tmp_path / "run" / "model.json").read_text())
    assert saved["variant"]["layers"] == "tclr"
    assert saved["preprocess"]["std"] == [1.0] * 3
    assert main(["model", "table", str(tmp_path / "run"), "--format", "csv"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("tclr,charades"))
    assert "epochs 1 for 57" in row
