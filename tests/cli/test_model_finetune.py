"""`vidbench model finetune`, as typed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vidbench.cli.app import main
from vidbench.errors import InputError
from vidbench.model.checkpoint import read_model, read_state
from vidbench.model.train.start import Start, starting
from vidbench.model.zoo import MODELS
from vidbench.progress import SilentReporter


def train(small_set: Path, out: Path, *more: str) -> int:
    words = ["-q", "model", "finetune", "x3d_tiny", str(small_set / "trainlist.txt"), "--classes"]
    return main([*words, str(small_set / "classes.txt"), "--out", str(out), "--batch", "8", "--flip", "0", *more])


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def epochs(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "epochs.jsonl").read_text().splitlines()]


def same_weights(first: Path, second: Path) -> bool:
    one, two = (read_state(folder / "model.safetensors").tensors for folder in (first, second))
    return one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


def test_training_learns_its_videos_by_heart(small_set, tmp_path) -> None:
    """16 videos and enough epochs: the loss must fall far, or the loop does not train."""
    assert train(small_set, tmp_path / "run", "--epochs", "12", "--lr", "0.005", "--jitter", "1") == 0
    losses = [record["train_loss"] for record in epochs(tmp_path / "run")]
    assert losses[-1] < 0.7 * losses[0]
    assert summary(tmp_path / "run")["epochs"] == 12


def test_the_trained_folder_is_a_model(small_set, tmp_path, capsys) -> None:
    val = ["--val", str(small_set / "vallist.txt")]
    assert train(small_set, tmp_path / "run", "--epochs", "2", *val) == 0
    info, _ = read_model(tmp_path / "run")
    assert info.classes == tuple((small_set / "classes.txt").read_text().split())
    found = summary(tmp_path / "run")
    assert found["best_val_top1"] == max(record["val_top1"] for record in epochs(tmp_path / "run"))
    capsys.readouterr()
    words = ["-q", "model", "eval", str(tmp_path / "run"), str(small_set / "vallist.txt"), "--views", "1x1"]
    assert main([*words, "--out", str(tmp_path / "eval"), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["summary"]
    assert measured["top1"] == pytest.approx(found["best_val_top1"], abs=1 / 16 + 1e-9)


def test_a_killed_training_ends_like_an_unbroken_one(small_set, tmp_path) -> None:
    words = ["model", "finetune", "x3d_tiny", str(small_set / "trainlist.txt"), "--epochs", "4", "--batch", "8"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vidbench", "-q", *words]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "run")], env=environment)
    log = tmp_path / "run" / "epochs.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    subprocess.run([*command, "--out", str(tmp_path / "run")], env=environment, check=True)
    subprocess.run([*command, "--out", str(tmp_path / "whole")], env=environment, check=True)
    strip = lambda rows: [{**row, "seconds": 0, "data_seconds": 0} for row in rows]  # noqa: E731
    assert strip(epochs(tmp_path / "run")) == strip(epochs(tmp_path / "whole"))
    assert same_weights(tmp_path / "run", tmp_path / "whole")


def test_initial_weights_with_another_head(small_set, tmp_path, capsys) -> None:
    assert train(small_set, tmp_path / "first", "--epochs", "1") == 0
    two = tmp_path / "two.txt"
    videos = sorted((small_set / "train").rglob("*.mp4"))
    two.write_text("".join(f"{path} {index % 2}\n" for index, path in enumerate(videos)))
    words = ["model", "finetune", "x3d_tiny", str(two), "--epochs", "1", "--batch", "8"]
    assert main([*words, "--init", str(tmp_path / "first"), "--out", str(tmp_path / "second")]) == 0
    assert "new head: blocks.5.proj" in capsys.readouterr().err
    found = summary(tmp_path / "second")
    assert [name.startswith("blocks.5.proj") for name in found["replaced"]] == [True, True]
    assert found["classes"] == ["0", "1"]


def test_attention_over_time_starts_fresh_beside_an_image_network(small_set, tmp_path, capsys) -> None:
    timm = pytest.importorskip("timm")
    import torch

    state = timm.create_model("resnet50", num_classes=1000).state_dict()
    torch.save(state, tmp_path / "image.pth")
    told = Told()

    def begin(file: str, seed: int = 0) -> Start:
        return starting(MODELS.get("resnet50_attention"), str(tmp_path / file), ("a", "b"), seed, False, False, told)

    start = begin("image.pth")

    attention = [f"attention.{part}.weight" for part in ("query", "key", "value", "out")]
    assert sorted(start.replaced) == sorted([*attention, "backbone.fc.weight", "backbone.fc.bias"])
    own = start.model.net.state_dict()
    assert all(torch.equal(own[f"backbone.{key}"], value) for key, value in state.items() if not key.startswith("fc."))
    assert told.lines[0].endswith("new head: backbone.fc.weight, backbone.fc.bias; fresh attention: attention.*")

    # what a training with attention wrote is taken whole
    torch.save(own, tmp_path / "own.pth")
    second = begin("own.pth", seed=5)
    assert second.replaced == ()
    assert torch.equal(second.model.net.state_dict()["attention.query.weight"], own["attention.query.weight"])

    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "image.pth")
    with pytest.raises(InputError, match=r"missing: backbone\.layer1\.0\.conv1\.weight"):
        begin("image.pth")


class Told(SilentReporter):
    """Keeps what a service says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("slow_r50_detection", "trainlist.txt: a file, not a folder"),
        ("ssdlite320_mobilenet_v3_large", "vidbench model predict --persons ssdlite320_mobilenet_v3_large"),
    ],
)
def test_models_of_other_tasks_are_refused(small_set, tmp_path, capsys, model, message) -> None:
    words = ["model", "finetune", model, str(small_set / "trainlist.txt"), "--out", str(tmp_path / "run")]
    assert main(words) == 3
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_lists_of_images_are_refused(tmp_path, capsys) -> None:
    from PIL import Image

    Image.new("RGB", (32, 24)).save(tmp_path / "a.jpg")
    (tmp_path / "images.txt").write_text("a.jpg 0\n")
    assert main(["model", "finetune", "x3d_tiny", str(tmp_path / "images.txt"), "--out", str(tmp_path / "run")]) == 3
    assert "images" in capsys.readouterr().err


def test_weights_of_another_network_are_refused(small_set, tmp_path, capsys) -> None:
    import torch

    from vidbench.model.zoo import MODELS

    torch.save({"model_state": MODELS.get("x3d_xs").build(400).state_dict()}, tmp_path / "xs.pyth")
    assert train(small_set, tmp_path / "run", "--epochs", "1", "--init", str(tmp_path / "xs.pyth")) == 3
    assert "xs.pyth" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_broken_videos_are_left_out_and_reported(small_set, tmp_path, capsys) -> None:
    lines = (small_set / "trainlist.txt").read_text().splitlines()[:4]
    videos = [f"{small_set / line.split()[0]} {line.split()[1]}" for line in lines]
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "some.txt").write_text("\n".join([*videos, "broken.mp4 0"]) + "\n")
    words = ["-q", "model", "finetune", "x3d_tiny", str(tmp_path / "some.txt"), "--epochs", "1"]
    assert main([*words, "--classes", str(small_set / "classes.txt"), "--out", str(tmp_path / "run")]) == 6
    assert "1 item failed" in capsys.readouterr().err
    found = summary(tmp_path / "run")
    assert (found["failed"], found["failures"][0]["path"]) == (1, "broken.mp4")
    assert epochs(tmp_path / "run")[0]["clips"] == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--lr", "0"], 2, "--lr"),
        (["--flip", "1.5"], 2, "--flip"),
        (["--optimizer", "lion"], 2, "--optimizer"),
        (["--init", "nowhere.pyth"], 3, "no such file or run folder"),
        (["--init", "pretrained"], 3, "no weights are published for x3d_tiny"),
        (["--val", "nowhere.txt"], 3, "nowhere.txt"),
        (["--lr", "1e9", "--epochs", "3"], 3, "not finite"),
    ],
)
def test_wrong_options(small_set, tmp_path, capsys, words, code, message) -> None:
    assert train(small_set, tmp_path / "run", *words) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_a_label_beyond_the_class_file(small_set, tmp_path, capsys) -> None:
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    words = ["-q", "model", "finetune", "x3d_tiny", str(small_set / "trainlist.txt")]
    assert main([*words, "--classes", str(tmp_path / "classes.txt"), "--out", str(tmp_path / "run")]) == 3
    assert "2 classes, 0 to 1" in capsys.readouterr().err


def test_one_clip_one_class(small_set, tmp_path) -> None:
    video = next((small_set / "train").rglob("*.mp4"))
    (tmp_path / "one.txt").write_text(f"{video} 0\n")
    words = ["-q", "model", "finetune", "x3d_tiny", str(tmp_path / "one.txt"), "--epochs", "2", "--flip", "0"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert summary(tmp_path / "run")["classes"] == ["0"]


def test_overwrite_starts_afresh(small_set, tmp_path) -> None:
    """Nothing of the old training may live on: neither its state nor its model."""
    assert train(small_set, tmp_path / "run", "--epochs", "1", "--seed", "1") == 0
    assert train(small_set, tmp_path / "run", "--epochs", "1", "--seed", "2") == 5
    assert train(small_set, tmp_path / "run", "--epochs", "1", "--seed", "2", "--overwrite") == 0
    assert train(small_set, tmp_path / "fresh", "--epochs", "1", "--seed", "2") == 0
    assert same_weights(tmp_path / "run", tmp_path / "fresh")


def test_a_finished_training_still_tells_its_failures(small_set, tmp_path) -> None:
    video = next((small_set / "train").rglob("*.mp4"))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "some.txt").write_text(f"{video} 0\nbroken.mp4 0\n")
    words = ["-q", "model", "finetune", "x3d_tiny", str(tmp_path / "some.txt"), "--epochs", "1"]
    for _ in range(2):
        assert main([*words, "--out", str(tmp_path / "run")]) == 6
        assert summary(tmp_path / "run")["failed"] == 1
