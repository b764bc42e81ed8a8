"""Starts by their name: published layouts read for training, with exactly the expected leftovers, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vidbench.errors import InputError, UsageError
from vidbench.model.named_start import check_checkpoint, fronts, is_named, named_start
from vidbench.model.starts import STARTS
from vidbench.model.train.clip_settings import ClipSettings
from vidbench.model.train.start import starting
from vidbench.model.zoo import MODELS
from vidbench.progress import SilentReporter

LAYOUTS = Path(__file__).parents[2] / "parity" / "data" / "vssl"
R18 = MODELS.get("r2plus1d_18")


class Hears(SilentReporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, message: str) -> None:
        self.said.append(message)


def layout(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LAYOUTS / f"{name}.json").read_text())
    return found


def published(name: str, folder: Path, more: dict[str, Tensor] | None = None) -> Path:
    """A file of the published layout, all ones, which take a number each in the file."""
    held = layout(name)
    state = {key: torch.tensor(1.0 if shape else 1).expand(shape) for key, shape in held["keys"].items()} | (more or {})
    path = folder / f"{name}.pth"
    torch.save({held["outer_key"]: state} if held["outer_key"] else state, path)
    return path


@pytest.mark.parametrize("name", [start.name for start in STARTS])
def test_published_layout_leaves_exactly_what_is_expected(name: str, tmp_path: Path) -> None:
    held, path, hears = layout(name), published(name, tmp_path), Hears()

    found = named_start(name.upper(), path, R18, "charades", False, hears)

    trunk = {theirs for theirs, ours in held["maps_to"].items() if not ours.startswith("fc.")}
    assert set(found.report.left_over) == set(held["keys"]) - trunk
    assert found.report.loaded == len(trunk)
    assert not any(tensor_name.startswith("fc.") for tensor_name in found.tensors)
    assert (found.preprocess.frames, found.preprocess.stride, found.preprocess.target_fps) == (32, 8, 24)
    assert found.preprocess.std == ((1.0,) * 3 if name == "tclr" else (0.225,) * 3)
    assert found.variant.bn_eps == (1e-3 if name in ("ctp", "tubelet_contrast") else None)
    assert (found.variant.layers, found.variant.head) == ("tclr" if name == "tclr" else "", True)
    assert any(f"{len(trunk)} tensors of {path}" in line for line in hears.said)
    assert any("epsilon" in line for line in hears.said) == (found.variant.bn_eps is not None)
    record = found.record()
    assert (record["name"], record["left_over"]) == (name, len(found.report.left_over))
    assert sum(record["left_over_fronts"].values()) == record["left_over"]
    json.dumps(record)


def test_training_begins_with_the_start_and_its_input(tmp_path: Path) -> None:
    path = published("tclr", tmp_path)

    start = starting(R18, "TCLR", ("a", "b"), 0, False, False, SilentReporter(), ClipSettings(checkpoint=path))

    assert start.replaced == ("fc.weight", "fc.bias")
    assert start.variant.layers == "tclr"
    assert (start.model.preprocess.frames, start.model.preprocess.target_fps) == (32, 16)
    assert start.model.mean.flatten().tolist() == [0.0] * 3
    assert start.resolved["init_sha256"] == start.sha256
    assert start.named is not None
    # recognition feeds it blue first: clips have red first here, and the first layer is turned round
    assert start.named["trained_with_colours"] == "bgr"


def test_what_is_asked_for_goes_before_the_starts_input(tmp_path: Path) -> None:
    path = published("moco", tmp_path)
    asked = ClipSettings(checkpoint=path, frames=8, crop_size=64, short_side=72)

    size = starting(R18, "moco", ("a", "b"), 0, True, False, SilentReporter(), asked).model.preprocess

    assert (size.frames, size.stride, size.crop, size.short_side, size.std) == (8, 8, 64, 72, (0.225,) * 3)


def test_unknown_tensors_are_refused(tmp_path: Path) -> None:
    path = published("selavi", tmp_path, {"module.other.weight": torch.ones(1)})

    with pytest.raises(InputError, match=r"not expected to hold: module\.other\.weight"):
        named_start("selavi", path, R18, "ava", False, SilentReporter())


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="those of r2plus1d_18, not of x3d_s"):
        named_start("gdt", tmp_path / "a.pth", MODELS.get("x3d_s"), "ava", False, SilentReporter())


@pytest.mark.parametrize(
    ("init", "given", "reason"),
    [
        ("scratch", True, "scratch is random"),
        ("pretrained", True, "names none"),
        ("gdt", False, r"needs its published file, gdt_K400\.pth"),
    ],
)
def test_files_and_names_that_do_not_go_together(init: str, given: bool, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        check_checkpoint(init, Path("a.pth") if given else None)


def test_supervised_may_be_the_catalogues_own() -> None:
    check_checkpoint("supervised", None)
    assert is_named("Video-MoCo")
    assert not is_named("./moco")
    assert not is_named("scratch")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file\n.*selavi_kinetics\.pth"):
        named_start("selavi", tmp_path / "none.pth", R18, "ava", False, SilentReporter())


def test_leftovers_are_counted_by_their_fronts() -> None:
    assert fronts(("a.b.c", "a.b.d", "queue")) == {"a.b": 2, "queue": 1}
