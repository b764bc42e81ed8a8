"""What a detector's training begins with: from nothing, from a classifier, from a published start, from a detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidbench.errors import InputError, MissingError, UsageError
from vidbench.model.checkpoint import ModelInfo, save_model
from vidbench.model.detection import ActionDetector, build_detector_on
from vidbench.model.remap import from_vidbench
from vidbench.model.resolve import build
from vidbench.model.roi import PUBLISHED, RoISettings
from vidbench.model.train.clip_settings import ClipSettings
from vidbench.model.train.detector_start import starting_detector
from vidbench.model.train.start import Start
from vidbench.model.variant import UNCHANGED, Variant
from vidbench.model.zoo import MODELS, TINY
from vidbench.progress import SilentReporter

NAMES = ("sit", "stand", "wave")
FRESH = ("detection_head.proj.weight", "detection_head.proj.bias")
# of an X3D: what comes after the pooling
BEHIND = ("blocks.5.pool.post_conv.weight", "blocks.5.proj.bias", "blocks.5.proj.weight")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks are built here; threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Told(SilentReporter):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)


def begin(
    init: str | Path, name: str = "x3d_tiny", names: tuple[str, ...] = NAMES, told: Told | None = None,
    roi: RoISettings | None = None, **clips: object,
) -> Start:  # fmt: skip
    card, settings = MODELS.get(name), ClipSettings(**clips)  # type: ignore[arg-type]
    return starting_detector(card, str(init), names, 1, False, told or Told(), roi, settings)


def trunk_is(start: Start, state: dict[str, Tensor]) -> bool:
    """Whether every tensor of the trunk is the one of that name in a classifier."""
    own = start.model.net.model.state_dict()  # type: ignore[union-attr]
    return all(torch.equal(value, state[name]) for name, value in own.items())


def test_scratch_takes_the_input_and_regions_of_the_network() -> None:
    start = begin("scratch")
    assert isinstance(start.model, ActionDetector)
    assert (start.loaded, start.replaced, start.sha256, start.variant) == (0, (), None, UNCHANGED)
    assert start.roi == RoISettings()
    assert start.model.preprocess == TINY.preprocess
    assert start.resolved == {
        "init_sha256": None,
        "init_roi": {"region": 7, "aligned": True, "dropout": 0.5, "dilated": False},
    }


def test_what_is_asked_for_replaces_the_networks_own() -> None:
    start = begin("scratch", roi=RoISettings(dilated=True), short_side=96, dropout=0.2)
    assert start.roi == RoISettings(dropout=0.2, dilated=True)
    assert start.model.preprocess.short_side == 96
    assert start.resolved["init_preprocess"]["short_side"] == 96
    assert start.model.net.detection_head.dropout.p == 0.2  # type: ignore[union-attr]


def test_a_classifier_of_ours_gives_its_trunk_and_its_input(tmp_path: Path) -> None:
    size = replace(TINY.preprocess, short_side=72, mean=(0.5, 0.5, 0.5))
    net = build(TINY, 5, tuple("abcde"), 3, size).net
    save_model(tmp_path, net.state_dict(), ModelInfo("x3d_tiny", tuple("abcde"), size, "scratch"))
    told = Told()

    start = begin(tmp_path, told=told)

    assert trunk_is(start, net.state_dict())
    assert (start.replaced, start.left_out) == (FRESH, BEHIND)
    assert start.loaded == len(net.state_dict()) - len(BEHIND)
    assert start.model.preprocess == size
    assert start.sha256 == start.resolved["init_sha256"]
    (line,) = told.lines
    assert "new head: detection_head.proj.weight" in line
    assert "left out: blocks.5.pool.post_conv.weight, blocks.5.proj.bias, blocks.5.proj.weight" in line


def test_a_classifier_with_another_kind_of_head_gives_its_trunk_alike(tmp_path: Path) -> None:
    variant = Variant(classifier="ml-decoder")
    net = build(TINY, 3, NAMES, 3, variant=variant).net
    save_model(tmp_path, net.state_dict(), ModelInfo("x3d_tiny", NAMES, TINY.preprocess, "scratch", variant=variant))

    start = begin(tmp_path)

    assert trunk_is(start, net.state_dict())
    assert (start.variant, start.replaced) == (UNCHANGED, FRESH)
    assert len(start.left_out) > 10
    assert all(name.startswith(("blocks.5.proj.", "blocks.5.pool.post_conv.")) for name in start.left_out)


def test_a_file_in_the_names_of_pyslowfast_fits_but_for_the_head(tmp_path: Path) -> None:
    net = build(TINY, 400, (), 3).net
    state = from_vidbench(net.state_dict(), "x3d_tiny", "pyslowfast")
    assert "head.lin_5.weight" in state
    torch.save({"model_state": state, "epoch": 1}, tmp_path / "x3d.pyth")

    start = begin(tmp_path / "x3d.pyth")

    assert set(start.left_out) == set(BEHIND)
    assert start.replaced == FRESH
    # what the file has beside the network is an extra normalisation of the first shortcut, folded into it
    own = start.model.net.model.state_dict()  # type: ignore[union-attr]
    assert all(torch.allclose(value, net.state_dict()[name], atol=1e-5) for name, value in own.items())


def test_a_file_that_lacks_a_tensor_of_the_trunk_is_refused(tmp_path: Path) -> None:
    state = dict(build(TINY, 400, (), 3).net.state_dict())
    del state["blocks.3.res_blocks.0.branch2.conv_b.weight"]
    torch.save(state | {"blocks.9.weight": torch.zeros(1)}, tmp_path / "x3d.pth")
    with pytest.raises(InputError, match=r"missing: model\.blocks\.3.*unexpected: model\.blocks\.9\.weight"):
        begin(tmp_path / "x3d.pth")


def test_a_start_without_a_head_brings_its_layers(tmp_path: Path) -> None:
    card = MODELS.get("mc3_18")
    variant = Variant(1e-3, head=False)
    size = replace(card.preprocess, short_side=112, frames=32, fixed=None)
    net = build(card, 1, (), 3, variant=variant).net
    state = {name: value for name, value in net.state_dict().items() if not name.startswith("fc.")}
    save_model(tmp_path, state, ModelInfo(card.name, (), size, "start gdt", variant=variant))

    start = begin(tmp_path, "mc3_18")

    assert start.variant == replace(variant, head=True)
    assert trunk_is(start, state)
    assert (start.replaced, start.left_out) == (FRESH, ())
    assert start.model.preprocess == size
    assert start.model.net.model.get_submodule("layer4.0.conv1.1").eps == 1e-3  # type: ignore[union-attr]


def test_a_detector_of_ours_keeps_its_head_where_it_fits(tmp_path: Path) -> None:
    roi = RoISettings(region=3, aligned=False, dilated=True)
    net = build_detector_on(TINY, 3, NAMES, 8, roi=roi).net
    save_model(
        tmp_path, net.state_dict(), ModelInfo("x3d_tiny", NAMES, TINY.preprocess, "scratch", task="detect", roi=roi)
    )

    same, other = begin(tmp_path), begin(tmp_path, names=("run", "walk"))

    assert (same.replaced, same.roi, same.left_out) == ((), roi, ())
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in same.model.net.state_dict().items())
    assert (other.replaced, other.roi) == (FRESH, roi)
    assert trunk_is(other, net.model.state_dict())
    assert begin(tmp_path, roi=RoISettings()).roi == RoISettings()


@pytest.mark.parametrize("kind", ["detector", "classifier"])
def test_a_published_detector_starts_from_either_kind_of_file(kind: str, tmp_path: Path) -> None:
    name = "slow_r50_detection"
    if kind == "detector":
        detector = build_detector_on(MODELS.get(name), 80, (), 8).net
        whole, trunk = detector.state_dict(), detector.model.state_dict()
    else:
        whole = build(MODELS.get("slow_r50_4x16"), 400, (), 8).net.state_dict()
        trunk = {one: value for one, value in whole.items() if not one.startswith("blocks.5.")}
    torch.save({"model_state": whole}, tmp_path / "slow.pyth")

    start = begin(tmp_path / "slow.pyth", name)

    assert (start.replaced, start.roi) == (FRESH, PUBLISHED)
    assert trunk_is(start, trunk)
    assert start.left_out == (() if kind == "detector" else ("blocks.5.proj.weight", "blocks.5.proj.bias"))


@pytest.mark.parametrize("name", ["slow_r50_detection", "x3d_xs"])
def test_published_weights_that_are_not_here_are_named(name: str) -> None:
    with pytest.raises(MissingError, match=r"DETECTION\.pyth|X3D_XS\.pyth"):
        begin("pretrained", name)


def test_what_is_no_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or run folder"):
        begin(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="--checkpoint"):
        begin("scratch", checkpoint=tmp_path / "x.pth")
