"""`vidbench model eval` on what is no list of videos: images, frames, several labels a video; and on weights files."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vidbench.cli.app import main
from vidbench.data.synthetic import CLASSES
from vidbench.model.resolve import build
from vidbench.model.zoo import MODELS

RNG = np.random.default_rng(3)


def image(path: Path, height: int = 50, width: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Class folders of images, of several sizes."""
    home = tmp_path_factory.mktemp("folder")
    for name in ("cat", "dog"):
        for place in range(2):
            image(home / name / f"{place}.jpg", 50 + 7 * place, 60)
    return home


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    """`label.txt` beside a folder `images`."""
    home = tmp_path_factory.mktemp("labels")
    for place in range(3):
        image(home / "images" / f"{place}.png")
    (home / "label.txt").write_text("0.png 3\n1.png 1\n2.png 2\n")
    return home / "label.txt"


@pytest.fixture(scope="module")
def frame_list(tmp_path_factory) -> Path:
    """PySlowFast's list of frames: three videos of 12 JPEG files each, of which the last lacks one."""
    home = tmp_path_factory.mktemp("frames")
    rows = ["original_vido_id video_id frame_id path labels"]
    for video in range(3):
        for place in range(12):
            image(home / f"v{video}" / f"{place:04}.jpg", 48, 64)
            rows.append(f'v{video} {video} {place} v{video}/{place:04}.jpg "{video}"')
    (home / "frames.csv").write_text("\n".join(rows) + "\n")
    for place in range(1, 12):
        (home / "v2" / f"{place:04}.jpg").unlink()
    return home / "frames.csv"


def evaluate(out: Path, model: str | Path, source: Path, *more: str) -> int:
    return main(["-q", "model", "eval", str(model), str(source), "--misses", "0", "--out", str(out), *more])


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "clips.jsonl").read_text().splitlines()]


def test_a_folder_of_images(small_model, folder, tmp_path) -> None:
    assert evaluate(tmp_path, small_model, folder) == 0
    found = summary(tmp_path)
    assert (found["clips"], found["failed"]) == (4, 0)
    assert found["views"] == {"temporal": 1, "spatial": 1}
    assert [(row["path"], row["label"], row["frames"]) for row in records(tmp_path)] == [
        ("cat/0.jpg", 0, 1), ("cat/1.jpg", 0, 1), ("dog/0.jpg", 1, 1), ("dog/1.jpg", 1, 1),
    ]  # fmt: skip


def test_a_list_of_images_beside_their_folder(small_model, labels, tmp_path, capsys) -> None:
    assert evaluate(tmp_path / "run", small_model, labels, "--views", "1x3") == 0
    assert [(row["path"], row["label"]) for row in records(tmp_path / "run")] == [
        ("0.png", 3), ("1.png", 1), ("2.png", 2),
    ]  # fmt: skip
    capsys.readouterr()
    assert evaluate(tmp_path / "other", small_model, labels, "--views", "2x3") == 2
    assert "an image has one view over time" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("source", ["folder", "labels"])
def test_a_network_of_single_frames_takes_images(request, source, tmp_path) -> None:
    pytest.importorskip("timm")
    path = request.getfixturevalue(source)
    assert evaluate(tmp_path, "densenet121", path, "--weights", "random", "--limit", "2") == 0
    found = summary(tmp_path)
    assert (found["evaluated"], found["num_classes"], found["weights"]) == (2, 1000, "random")
    assert any("random" in line for line in found["verdict"]["lines"])
    for row in records(tmp_path):
        assert len(row["scores"]) == 1000
        assert sum(row["scores"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("protocol", ["ssv2", "charades"])
def test_a_list_of_frames(small_model, frame_list, tmp_path, protocol) -> None:
    words = ("--protocol", protocol, "--views", "1x3" if protocol == "ssv2" else "2x3")
    assert evaluate(tmp_path, small_model, frame_list, *words) == 6
    found = summary(tmp_path)
    assert (found["clips"], found["evaluated"], found["failed"]) == (3, 2, 1)
    assert found["protocol"]["rule"] == protocol
    first, second, third = records(tmp_path)
    assert (first["path"], first["frames"], second["label"]) == ("v0", 12, 1)
    assert "no such file" in third["reason"]
    if protocol == "charades":
        # of each class the largest of its views' scores, which sum up to more than one
        assert found["protocol"]["ensemble"] == "max"
        assert sum(first["scores"]) > 1


def test_several_labels_are_refused_where_one_is_meant(small_model, small_set, tmp_path, capsys) -> None:
    good = sorted((small_set / "val").rglob("*.mp4"))[:3]
    listed = tmp_path / "list.txt"
    listed.write_text(f"{good[0]} 1\n{good[1]} 3,2\n{good[2]} -\n")
    assert evaluate(tmp_path / "run", small_model, listed) == 3
    said = capsys.readouterr().err
    assert "list.txt:2" in said
    assert "2 labels, 2,3" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_mean_average_precision_is_scikit_learns(small_set, tmp_path) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    good = sorted((small_set / "val").rglob("*.mp4"))[:3]
    listed = tmp_path / "list.txt"
    listed.write_text(f"{good[0]} 3,17\n{good[1]} -\n{good[2]} 17\n")
    out = tmp_path / "run"
    assert evaluate(out, "slow_r50_charades", listed, "--weights", "random", "--views", "1x1") == 0
    rows, found = records(out), summary(out)
    assert [row.get("labels", row.get("label")) for row in rows] == [[3, 17], [], 17]
    scores = np.array([row["scores"] for row in rows])
    truth = np.zeros(scores.shape, int)
    truth[0, [3, 17]] = truth[2, 17] = 1
    expected = {label: metrics.average_precision_score(truth[:, label], scores[:, label]) for label in (3, 17)}
    assert found["mean_ap"] == pytest.approx(np.mean(list(expected.values())))
    assert {row["label"]: row["average_precision"] for row in found["per_class"]} == pytest.approx(expected)
    assert found["mean_ap_low"] <= found["mean_ap"] <= found["mean_ap_high"]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Whole weights of x3d_tiny."""
    return build(MODELS.get("x3d_tiny"), len(CLASSES), (), 0).net.state_dict()


class Malicious:
    """What a pickle can hold: a call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def changed(state: dict[str, Tensor], value: float) -> dict[str, Tensor]:
    name = next(name for name, tensor in state.items() if tensor.ndim > 1)
    tensor = state[name].clone()
    tensor.view(-1)[3] = value
    return {**state, name: tensor}


def truncated(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_WEIGHTS: dict[str, tuple[Callable[[dict[str, Tensor], Path], object], str]] = {
    "empty": (lambda _, path: path.touch(), "nor a whole file"),
    "text": (lambda _, path: path.write_text("weights\n"), "nor a whole file"),
    "folder": (lambda _, path: path.mkdir(), "no such weights file"),
    "pipe": (lambda _, path: os.mkfifo(path), "no such weights file"),
    "truncated": (truncated, "nor a whole file"),
    "malicious": (
        lambda state, path: torch.save({"state_dict": state, "x": Malicious(path.parent / "ran")}, path), "mkdir",
    ),
    "pickled": (lambda _, path: path.write_bytes(pickle.dumps(Malicious(path.parent / "ran"))), "mkdir"),
    "nan": (lambda state, path: torch.save(changed(state, float("nan")), path), "NaN or infinite"),
    "infinite": (lambda state, path: torch.save(changed(state, float("inf")), path), "NaN or infinite"),
    "other": (lambda _, path: torch.save({"layer.weight": torch.zeros(3, 3)}, path), "does not fit"),
    "classes": (
        lambda _, path: torch.save(build(MODELS.get("x3d_tiny"), 7, (), 0).net.state_dict(), path), "another shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_bad_weights_end_with_3_and_leave_no_run(kind, state, small_set, tmp_path, capsys) -> None:
    make, message = BAD_WEIGHTS[kind]
    path = tmp_path / "weights.pth"
    make(state, path)
    assert evaluate(tmp_path / "run", "x3d_tiny", small_set / "vallist.txt", "--weights", str(path)) == 3
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "ran").exists()


def test_a_broken_model_folder_ends_with_3(small_model, small_set, tmp_path, capsys) -> None:
    held = tmp_path / "model"
    held.mkdir()
    for file in small_model.iterdir():
        (held / file.name).write_bytes(file.read_bytes())
    tensors = held / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:5000])
    assert evaluate(tmp_path / "run", held, small_set / "vallist.txt") == 3
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_weights_of_half_precision_are_taken(state, small_set, tmp_path) -> None:
    """Half the digits: a score moves by the rounding of the weights, 5e-4 of each."""
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    for name, tensors in (("half", half), ("full", state)):
        torch.save(tensors, tmp_path / f"{name}.pth")
        words = ("--weights", str(tmp_path / f"{name}.pth"), "--views", "1x1", "--limit", "2")
        assert evaluate(tmp_path / name, "x3d_tiny", small_set / "vallist.txt", *words) == 0
    for one, other in zip(records(tmp_path / "half"), records(tmp_path / "full"), strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=5e-3)


def test_random_weights_are_told(small_set, tmp_path, capsys) -> None:
    words = ("--weights", "random", "--views", "1x1", "--limit", "2")
    assert evaluate(tmp_path / "run", "x3d_tiny", small_set / "vallist.txt", *words) == 0
    assert "random" in capsys.readouterr().out
    found = summary(tmp_path / "run")
    assert found["weights"] == "random"
    assert any("random" in line for line in found["verdict"]["lines"])
