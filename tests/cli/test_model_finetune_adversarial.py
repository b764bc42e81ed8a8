"""`vidbench model finetune` against attacks: examples, defences, robust validation, other heads."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vidbench.cli.app import main
from vidbench.model.checkpoint import read_model, read_state


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the process that is killed: sums of another number of threads differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def words(small_set: Path, out: Path, *more: str) -> list[str]:
    start = ["-q", "model", "finetune", "x3d_tiny", str(small_set / "trainlist.txt"), "--device", "cpu"]
    return [*start, "--classes", str(small_set / "classes.txt"), "--flip", "0", "--out", str(out), *more]


def train(small_set: Path, out: Path, *more: str) -> int:
    return main(words(small_set, out, "--batch", "4", *more))


FEW = ("--limit", "4", "--epochs", "1")


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def epochs(out: Path) -> list[dict]:
    rows = [json.loads(line) for line in (out / "epochs.jsonl").read_text().splitlines()]
    return [{**row, "seconds": 0, "data_seconds": 0} for row in rows]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_state(out / "model.safetensors").tensors


@pytest.mark.slow
def test_a_killed_adversarial_training_ends_like_an_unbroken_one(small_set, tmp_path) -> None:
    """With all that draws: a random defence, W4's radii and targets."""
    more = (
        "--batch", "4", "--epochs", "2", "--save-every", "1", "--adversarial", "w4", "--eps-warmup", "1",
        "--defence", "resize-pad", "--limit", "8",
    )  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vidbench", *words(small_set, tmp_path / "run", *more)]
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 120
    steps = tmp_path / "run" / "steps.csv"
    while not (steps.exists() and steps.read_bytes().count(b"\n") >= 3):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert not (tmp_path / "run" / "summary.json").exists()
    assert main(words(small_set, tmp_path / "run", *more)) == 0
    assert main(words(small_set, tmp_path / "whole", *more)) == 0
    assert epochs(tmp_path / "run") == epochs(tmp_path / "whole")
    one, two = weights(tmp_path / "run"), weights(tmp_path / "whole")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    info, _ = read_model(tmp_path / "run")
    assert info.trained["defence"] == "resize-pad"


def test_the_epoch_kept_is_the_best_under_attack(small_set, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    more = ("--adversarial", "fgsm:eps=2/255", "--robust-val", "pgd:eps=2/255,steps=2", "--robust-val-clips", "5")
    val = ("--val", str(small_set / "trainlist.txt"), "--best", "robust", "--lr", "0.005", "--jitter", "1")
    assert train(small_set, out, "--epochs", "2", "--batch", "6", *more, *val) == 0
    assert "under attack" in capsys.readouterr().out
    rows, found = epochs(out), summary(out)
    figures = [row["val_robust_top1"] for row in rows]
    assert all(figure * 5 == pytest.approx(round(figure * 5)) for figure in figures)
    assert found["best_val_robust_top1"] == max(figures)
    assert found["best_val_top1"] == rows[found["best_epoch"] - 1]["val_top1"]
    assert found["adversarial"] == {"method": "fgsm", "mode": "eval", "eps": "2/255", "step": None, "start": True,
                                    "clean": 0.0}  # fmt: skip


def test_the_second_stage_trains_behind_a_defence(small_set, tmp_path, capsys) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    val = ("--val", str(small_set / "vallist.txt"))
    assert train(small_set, first, *FEW) == 0
    assert train(small_set, second, *FEW, "--init", str(first), "--defence", "resize-pad:60", *val) == 0
    assert summary(second)["defence"] == "resize-pad:60"
    assert weights(second).keys() == weights(first).keys()
    assert any(
        not torch.equal(one, two) for one, two in zip(weights(first).values(), weights(second).values(), strict=True)
    )
    capsys.readouterr()
    measure = ["model", "eval", str(second), str(small_set / "vallist.txt"), "--views", "1x1", "--limit", "2"]
    assert main([*measure, "--out", str(tmp_path / "bare")]) == 0
    assert "trained behind a defence" in capsys.readouterr().err
    assert main([*measure, "--out", str(tmp_path / "behind"), "--defence", "resize-pad:60"]) == 0
    assert "trained behind a defence" not in capsys.readouterr().err


def test_a_linear_probe_leaves_the_backbone_as_it_is(small_set, tmp_path) -> None:
    """Statistics of batch normalisations included: a probe that drifts measures another network."""
    assert train(small_set, tmp_path / "first", *FEW) == 0
    probe = (*FEW, "--init", str(tmp_path / "first"), "--freeze", "backbone", "--lr", "0.05")
    for name, more in (("plain", ()), ("examples", ("--adversarial", "pgd:steps=1,mode=train"))):
        assert train(small_set, tmp_path / name, *probe, *more) == 0
        before, after = weights(tmp_path / "first"), weights(tmp_path / name)
        moved = {key for key in before if not torch.equal(before[key], after[key])}
        assert moved == {"blocks.5.proj.weight", "blocks.5.proj.bias"}


@pytest.mark.slow
def test_another_head_is_named_and_stays(small_set, tmp_path, capsys) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert train(small_set, first, *FEW) == 0
    assert train(small_set, second, *FEW, "--init", str(first), "--head", "ml-decoder-learnt") == 0
    assert all(name.startswith("blocks.5.proj.") for name in summary(second)["replaced"])
    # what is not said stays: the start's head, with its weights
    assert train(small_set, third, *FEW, "--init", str(second)) == 0
    assert summary(third)["replaced"] == []
    assert read_model(third)[0].variant.classifier == "ml-decoder-learnt"
    back = ("--head", "linear", "--init", str(second))
    assert train(small_set, tmp_path / "back", *FEW, *back) == 0
    assert weights(tmp_path / "back").keys() == weights(first).keys()
    capsys.readouterr()
    words = ["-q", "model", "eval", str(third), str(small_set / "vallist.txt"), "--views", "1x1", "--limit", "2"]
    assert main([*words, "--out", str(tmp_path / "eval"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["evaluated"] == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--robust-val", "pgd"), "--val is not given"),
        (("--adversarial", "pgd:eps=8"), "write 8/255"),
        (("--adversarial", "pgdd"), "There are fgsm, pgd, trades, w4"),
        (("--eps-warmup", "2"), "only --adversarial"),
        (("--defence", "resize-pad:64"), "so the size is at most 63"),
        (("--head", "mlp"), "ml-decoder"),
    ],
    ids=["val", "eps", "method", "warmup", "defence", "head"],
)
def test_what_cannot_be_is_said(small_set, tmp_path, capsys, more, message) -> None:
    assert train(small_set, tmp_path / "run", "--epochs", "1", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_adversarial_training_makes_a_network_robust(small_set, tmp_path, capsys) -> None:
    """Under PGD of 4/255 a network keeps, after some epochs more with examples, what it lost before."""
    torch.set_num_threads(2)
    clips, (plain, robust) = str(small_set / "trainlist.txt"), (tmp_path / name for name in ("plain", "robust"))
    assert train(small_set, plain, "--epochs", "25", "--lr", "0.005", "--jitter", "1") == 0
    usual = ("--init", str(plain), "--epochs", "15", "--lr", "0.003", "--jitter", "1")
    assert train(small_set, robust, *usual, "--adversarial", "fgsm:eps=4/255", "--eps-warmup", "5") == 0
    capsys.readouterr()
    left = {}
    for folder in (plain, robust):
        out = ("--batch", "12", "--realism", "none", "--out", str(folder / "attacked"), "--json")
        attack = ["-q", "attack", "run", "--model", str(folder), "--data", clips, "--eps", "4/255", "--steps", "5"]
        assert main([*attack, *out]) == 0
        found = json.loads(capsys.readouterr().out)["summary"]
        left[folder.name] = found["columns"][0]["curve"][-1]["robust_accuracy"]
        assert found["clean_accuracy"] >= 0.75
    assert left["robust"] >= left["plain"] + 0.3, left
    verify = ["-q", "attack", "verify", str(robust), "--data", clips, "--eps", "4/255", "--limit", "4"]
    quick = ("--batch", "4", "--steps", "5", "--queries", "20", "--out", str(tmp_path / "verified"), "--json")
    assert main([*verify, *quick]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["status"] == "VALID_UPPER_BOUND"
