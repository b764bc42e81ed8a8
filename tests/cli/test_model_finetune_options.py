"""`vidbench model finetune`: rates, resuming within an epoch, averages, precision, freezing, augmentation."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vidbench.cli.app import main
from vidbench.model.checkpoint import read_state
from vidbench.model.train.step_log import read_steps

# every option that has a state of its own
ALL = (
    "--batch", "2", "--accumulate", "2", "--optimizer", "sgd", "--momentum", "0.8", "--lr", "0.05",
    "--base-batch", "8", "--ema", "0.9", "--layer-decay", "0.8", "--precise-bn", "2", "--clip-norm", "1",
    "--schedule", "steps", "--steps", "0,1.5", "--step-factors", "1,0.1", "--warmup", "0.5", "--warmup-start", "0.1",
    "--augment", "mixup:0.8", "--augment", "jitter-brightness:0.4", "--augment", "erasing:0.5", "--epochs", "3",
)  # fmt: skip


def words(small_set: Path, out: Path, *more: str) -> list[str]:
    start = ["-q", "model", "finetune", "x3d_tiny", str(small_set / "trainlist.txt"), "--device", "cpu"]
    return [*start, "--classes", str(small_set / "classes.txt"), "--out", str(out), *more]


def train(small_set: Path, out: Path, *more: str) -> int:
    return main(words(small_set, out, "--epochs", "1", "--batch", "4", *more))


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def epochs(out: Path) -> list[dict]:
    lines = (out / "epochs.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0, "data_seconds": 0} for line in lines]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_state(out / "model.safetensors").tensors


def same_weights(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in the process that is killed: sums of another number of threads differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param((), id="fp32"),
        pytest.param(("--precision", "bf16", "--checkpointing"), id="bf16", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("one_thread")
def test_a_run_killed_within_an_epoch_ends_like_an_unbroken_one(small_set, tmp_path, extra) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    val = ("--val", str(small_set / "vallist.txt"))
    broken = [
        sys.executable,
        "-m",
        "vidbench",
        *words(small_set, tmp_path / "run", *ALL, *val, *extra, "--save-every", "1"),
    ]
    # 12 videos, 3 steps an epoch; a step that does not end one
    step = random.Random(len(extra)).choice([1, 2, 4, 5])
    process = subprocess.Popen(broken, env=environment)
    log, deadline = tmp_path / "run" / "steps.csv", time.monotonic() + 120
    while len(read_steps(log)) < step:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert len(epochs(tmp_path / "run") if (tmp_path / "run" / "epochs.jsonl").exists() else []) < 3
    assert main(words(small_set, tmp_path / "run", *ALL, *val, *extra)) == 0
    # neither where it stops to store nor that it does so is part of the result
    assert main(words(small_set, tmp_path / "whole", *ALL, *val, *extra)) == 0
    assert same_weights(tmp_path / "run", tmp_path / "whole")
    assert read_steps(log) == read_steps(tmp_path / "whole" / "steps.csv")
    assert len(read_steps(log)) == 9
    assert epochs(tmp_path / "run") == epochs(tmp_path / "whole")
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("run", "whole")]
    for part in ("model", "ema"):
        one, two = (state[part] if part == "model" else state[part]["average"] for state in states)
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_state_within_an_epoch_is_taken_up_there(small_set, tmp_path, capsys, monkeypatch) -> None:
    """With dropout, whose random numbers must go on, too."""
    from vidbench.model import x3d
    from vidbench.model.train.steps import Steps

    monkeypatch.setitem(x3d._SIZES["tiny"], "dropout_rate", 0.5)
    taken: list[int] = []
    whole = Steps.take

    def stops_at_the_third(self, batches, sizes, at, done):
        taken.append(at.batch)
        if len(taken) == 3:
            raise KeyboardInterrupt
        return whole(self, batches, sizes, at, done)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "take", stops_at_the_third)
        assert train(small_set, tmp_path / "run", "--save-every", "1") == 130
    assert taken == [0, 1, 2]
    assert main(words(small_set, tmp_path / "run", "--epochs", "1", "--batch", "4")[1:]) == 0
    assert "0 of 1 epochs are done, and 2 batches of the next" in capsys.readouterr().err
    assert train(small_set, tmp_path / "whole") == 0
    assert same_weights(tmp_path / "run", tmp_path / "whole")


def test_the_rate_is_scaled_with_the_batch_and_said(small_set, tmp_path, capsys) -> None:
    more = ["--batch", "3", "--accumulate", "2", "--lr", "0.1", "--base-batch", "12", "--warmup", "0", "--epochs", "2"]
    assert main(words(small_set, tmp_path / "run", *more, "--final-lr", "0.01")[1:]) == 0
    assert "0.1 x 6 clips per step / 12 = 0.05" in capsys.readouterr().err
    assert summary(tmp_path / "run")["lr"] == pytest.approx(0.05)
    rates = [row["lr"] for row in read_steps(tmp_path / "run" / "steps.csv")]
    # a cosine from 0.05 to 0.005 over 4 steps, at their beginnings
    assert rates == pytest.approx([0.05, 0.0434099, 0.0275, 0.0115901], rel=1e-4)


def test_steps_and_epochs_tell_the_same_losses(small_set, tmp_path) -> None:
    assert train(small_set, tmp_path / "run", "--batch", "5", "--epochs", "2") == 0
    rows = read_steps(tmp_path / "run" / "steps.csv")
    assert [(row["step"], row["epoch"]) for row in rows] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]
    for record in epochs(tmp_path / "run"):
        losses = [row["loss"] for row in rows if row["epoch"] == record["epoch"]]
        # 12 videos in batches of 5
        assert record["train_loss"] == pytest.approx((5 * losses[0] + 5 * losses[1] + 2 * losses[2]) / 12)


def test_a_frozen_backbone_keeps_its_weights(small_set, tmp_path, small_model, capsys) -> None:
    more = ["--init", str(small_model), "--freeze", "backbone", "--epochs", "1", "--batch", "6", "--lr", "0.1"]
    assert main(words(small_set, tmp_path / "run", *more)[1:]) == 0
    assert "frozen: " in capsys.readouterr().err
    before, after = weights(small_model), weights(tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"blocks.5.proj.weight", "blocks.5.proj.bias"}
    found = summary(tmp_path / "run")
    assert found["trained_parameters"] == sum(after[name].numel() for name in changed)
    assert found["trained_parameters"] < found["parameters"]


def test_frozen_statistics_stay_and_weights_go(small_set, tmp_path, small_model) -> None:
    assert train(small_set, tmp_path / "run", "--init", str(small_model), "--freeze-bn") == 0
    before, after = weights(small_model), weights(tmp_path / "run")
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if "running" in name} <= kept
    assert "blocks.0.norm.weight" not in kept


def test_an_average_is_what_is_kept(small_set, tmp_path) -> None:
    assert train(small_set, tmp_path / "plain") == 0
    assert train(small_set, tmp_path / "run", "--ema", "0.9") == 0
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("plain", "run")]
    # the average does not change the training
    assert all(torch.equal(states[0]["model"][name], states[1]["model"][name]) for name in states[0]["model"])
    assert all(
        torch.equal(states[1]["ema"]["average"][name], tensor) for name, tensor in weights(tmp_path / "run").items()
    )
    assert not same_weights(tmp_path / "plain", tmp_path / "run")
    assert [summary(tmp_path / name)["weights"] for name in ("plain", "run")] == ["last step", "average"]


def test_precise_statistics_are_kept(small_set, tmp_path) -> None:
    assert train(small_set, tmp_path / "plain") == 0
    assert train(small_set, tmp_path / "run", "--precise-bn", "3") == 0
    plain, precise = weights(tmp_path / "plain"), weights(tmp_path / "run")
    changed = {name for name in plain if not torch.equal(plain[name], precise[name])}
    assert changed == {name for name in plain if "running" in name}


def test_checkpointing_changes_nothing(small_set, tmp_path) -> None:
    assert train(small_set, tmp_path / "plain") == 0
    assert train(small_set, tmp_path / "run", "--checkpointing") == 0
    assert same_weights(tmp_path / "plain", tmp_path / "run")


@pytest.mark.parametrize("spec", ["mixup:0.8", "cutmix:1.0", "erasing:1", "jitter-contrast:0.9", "smoothing:0.2"])
def test_augmentation_reaches_the_network(small_set, tmp_path, spec) -> None:
    assert train(small_set, tmp_path / "plain") == 0
    assert train(small_set, tmp_path / "run", "--augment", spec) == 0
    losses = [[row["loss"] for row in read_steps(tmp_path / name / "steps.csv")] for name in ("plain", "run")]
    assert losses[0][0] != losses[1][0]


def test_smoothing_is_the_same_with_mixing_that_never_happens(small_set, tmp_path) -> None:
    assert train(small_set, tmp_path / "plain", "--smoothing", "0.2") == 0
    assert train(small_set, tmp_path / "run", "--augment", "smoothing:0.2") == 0
    losses = [[row["loss"] for row in read_steps(tmp_path / name / "steps.csv")] for name in ("plain", "run")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_events_for_tensorboard(small_set, tmp_path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    val = ["--val", str(small_set / "vallist.txt"), "--tensorboard"]
    assert train(small_set, tmp_path / "run", *val) == 0
    # asked for again, the finished run writes the same events anew
    for _ in range(2):
        found = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
        found.Reload()
        rows = read_steps(tmp_path / "run" / "steps.csv")
        events = found.Scalars("step/loss")
        assert [event.step for event in events] == [row["step"] for row in rows]
        assert [event.value for event in events] == pytest.approx([row["loss"] for row in rows])
        (accuracy,) = found.Scalars("epoch/val_top1")
        assert (accuracy.step, accuracy.value) == (3, pytest.approx(epochs(tmp_path / "run")[0]["val_top1"]))
        assert train(small_set, tmp_path / "run", *val) == 0


@pytest.mark.parametrize("more", [["--batch", "100"], ["--batch", "100", "--accumulate", "7"]], ids=["batch", "steps"])
def test_a_set_smaller_than_the_batch(small_set, tmp_path, more) -> None:
    assert train(small_set, tmp_path / "run", *more) == 0
    assert len(read_steps(tmp_path / "run" / "steps.csv")) == 1


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--momentum", "0.9"], 2, "--momentum"),
        (["--schedule", "linear"], 2, "--schedule"),
        (["--schedule", "steps"], 2, "--step-factors"),
        (["--schedule", "steps", "--steps", "0,x", "--step-factors", "1,1"], 2, "--steps"),
        (["--warmup", "0", "--warmup-start", "0.1"], 2, "--warmup-start"),
        (["--precision", "fp8"], 2, "--precision"),
        (["--augment", "mixin:1"], 3, "mixin"),
        (["--augment", "jitter-hue:2"], 2, "hue"),
        (["--save-every", "now"], 2, "--save-every"),
        (["--freeze", "block"], 3, "no part of the network is named 'block'"),
        (["--freeze", "*"], 3, "nothing is left to train"),
        (["--lr", "1e9", "--epochs", "3", "--clip-norm", "0"], 3, "not finite in epoch"),
    ],
)
def test_wrong_options(small_set, tmp_path, capsys, more, code, message) -> None:
    assert train(small_set, tmp_path / "run", *more) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
