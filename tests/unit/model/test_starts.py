"""The table of published starts, what is read of their files, and what `model.json` keeps of them."""

from __future__ import annotations

import argparse
import json
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.errors import InputError, UnknownNameError
from vidbench.model.checkpoint import BESIDE, ModelInfo, load_strict, read_model, read_state, save_model
from vidbench.model.resolve import load_model
from vidbench.model.start_import import StartImportRequest, import_start
from vidbench.model.start_load import load_start, network_names
from vidbench.model.starts import STARTS, Start, find_start, recognise
from vidbench.model.torchvision_video import build_torchvision
from vidbench.model.variant import Variant, apply_variant
from vidbench.model.zoo import MODELS, Preprocess

INPUT = Preprocess(8, 5, 64, 64, 64)


@pytest.fixture(scope="module")
def trunk() -> dict[str, Tensor]:
    """A state of torchvision's network without its head."""
    torch.manual_seed(3)
    state = build_torchvision("r2plus1d_18", 2).state_dict()
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def moco(trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.encoder_q.{name}": value for name, value in trunk.items()}


# --- the table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("SeLaVi", "selavi"),
        ("Video_MoCo", "video_moco"),
        ("Video-MoCo", "video_moco"),
        ("CTP", "ctp"),
        ("TCLR", "tclr"),
    ],
)
def test_start_is_found_however_it_is_written(written: str, name: str) -> None:
    assert find_start(written).name == name


def test_unknown_start_names_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean rspnet\?"):
        find_start("rspnett")


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.name)
def test_input_of_each_task(start: Start) -> None:
    ava, charades, recognition = (start.input(task).preprocess for task in ("ava", "charades", "recognition"))

    assert (ava.frames, ava.stride, ava.target_fps, ava.crop) == (32, 2, 30, 112)
    assert charades == replace(ava, stride=8, target_fps=24)
    assert (recognition.frames, recognition.target_fps, recognition.short_side) == (32, 16, 128)
    plain = start.name == "tclr"
    assert ava.std == ((1.0,) * 3 if plain else (0.225,) * 3)
    assert recognition.mean == ((0.0,) * 3 if plain else (0.485, 0.456, 0.406))
    assert [start.input(task).colours for task in ("ava", "recognition")] == ["rgb", "bgr" if plain else "rgb"]


def test_only_ctp_and_tubelet_have_another_epsilon() -> None:
    found = {start.name: start.variant.bn_eps for start in STARTS if start.variant.bn_eps is not None}

    assert found == {"ctp": 1e-3, "tubelet_contrast": 1e-3}


def test_a_trunk_with_a_tensor_less_is_recognised_as_nothing(trunk: dict[str, Tensor]) -> None:
    held = set(moco(trunk))

    assert recognise(held, network_names()) == ("moco", "video_moco")
    assert recognise(held - {"module.encoder_q.layer3.0.conv1.0.3.weight"}, network_names()) == ()


# --- the layers --------------------------------------------------------------------------------------------


def test_tclr_keeps_its_time_steps_in_the_last_stage() -> None:
    net = build_torchvision("r2plus1d_18", 2).eval()
    shapes: list[tuple[int, ...]] = []
    net.get_submodule("layer4").register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape)))
    clip = torch.rand(1, 3, 16, 32, 32)
    with torch.no_grad():
        net(clip)
        apply_variant(net, Variant(layers="tclr"))
        out = net(clip)

    assert shapes == [(1, 512, 2, 2, 2), (1, 512, 4, 2, 2)]
    assert out.shape == (1, 2)
    full = sum(parameter.numel() for name, parameter in net.named_parameters() if not name.startswith("fc."))
    # 31 505 787 with a head of 400 classes
    assert full + 400 * 513 == 31_505_787


@pytest.mark.parametrize(
    ("name", "variant", "reason"),
    [("r3d_18", Variant(layers="tclr"), "built otherwise"), ("x3d_tiny", Variant(layers="tclr"), "has none of them")],
)
def test_layers_of_another_network_are_refused(name: str, variant: Variant, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        apply_variant(MODELS.get(name).build(3), variant)


def test_epsilon_needs_a_normalisation() -> None:
    with pytest.raises(InputError, match="no batch normalisation"):
        apply_variant(nn.Linear(2, 2), Variant(bn_eps=1e-3))


# --- reading -----------------------------------------------------------------------------------------------


def test_options_and_numbers_beside_the_tensors_are_read_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    options = argparse.Namespace(lr=np.float64(0.1), out=PurePosixPath("x"), data=Path("y"), epochs=3)
    held: dict[str, Any] = {"model": OrderedDict(a=torch.ones(2)), "epoch": 3, "best": np.float32(7)}
    torch.save({**held, "args": argparse.Namespace(lr=np.float64(0.1), data=Path("y"))}, path)

    with pytest.raises(InputError, match=r"could run code|argparse|numpy"):
        read_state(path)
    assert read_state(path, BESIDE).tensors["a"].tolist() == [1.0, 1.0]

    # what is not listed is refused as before
    torch.save({**held, "args": options}, path)
    with pytest.raises(InputError, match="PurePosixPath"):
        read_state(path, BESIDE)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, mark = tmp_path / "a.pth", tmp_path / "ran"
    torch.save({"state_dict": {"a": torch.ones(1)}, "args": Evil(mark)}, path)

    with pytest.raises(InputError, match="could run code"):
        load_start("moco", path, build_torchvision("r2plus1d_18", 2))
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()


# --- loading -----------------------------------------------------------------------------------------------


def test_unexpected_leftovers_are_listed_and_can_be_left(trunk: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {**moco(trunk), "module.extra.weight": torch.ones(2), "clock": torch.ones(1)}}, path)
    net = build_torchvision("r2plus1d_18", 2)
    before = {name: value.clone() for name, value in net.state_dict().items()}

    with pytest.raises(InputError, match=r"not expected to hold: module\.extra\.weight, clock\n.*--leave FRONT"):
        load_start("moco", path, net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    report = load_start("moco", path, net, leave=("module.extra.", "clock"))

    assert report.left_over == ("module.extra.weight", "clock")
    assert report.loaded == 222


def test_counters_that_are_not_in_the_file_are_zero_and_told(trunk: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    held = {name: value for name, value in moco(trunk).items() if not name.endswith("num_batches_tracked")}
    torch.save({"state_dict": held}, path)
    net = build_torchvision("r2plus1d_18", 2)

    report = load_start("video_moco", path, net)

    assert (report.loaded, len(report.counters)) == (len(held), 222 - len(held))
    assert all(torch.equal(net.state_dict()[name], value) for name, value in trunk.items())


def test_other_middle_channels_are_told_with_the_reason(trunk: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    held = moco(trunk) | {"module.encoder_q.layer2.0.conv2.0.0.weight": torch.ones(288, 128, 1, 3, 3)}
    torch.save({"state_dict": held}, path)

    with pytest.raises(InputError, match=r"layer2\.0\.conv2\.0\.0\.weight \(288, 128, 1, 3, 3\) float32 for \(230"):
        load_start("moco", path, build_torchvision("r2plus1d_18", 2))


def test_scratch_has_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        load_start("scratch", tmp_path / "a.pth", build_torchvision("r2plus1d_18", 2))


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="those of r2plus1d_18"):
        load_start("moco", tmp_path / "a.pth", build_torchvision("s3d", 2))


def test_global_generator_is_left_alone(trunk: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": moco(trunk)}, path)
    net = build_torchvision("r2plus1d_18", 2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    load_start("moco", path, net)

    assert torch.equal(torch.rand(3), expected)


# --- what is kept ------------------------------------------------------------------------------------------


def test_model_file_of_a_plain_network_is_as_before(tmp_path: Path) -> None:
    info = ModelInfo("x3d_tiny", ("a", "b"), INPUT, "random")

    path = save_model(tmp_path, {"a": torch.ones(1)}, info)

    assert "variant" not in json.loads(path.read_text())
    assert read_model(tmp_path)[0].variant == Variant()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"variant": {"bn_eps": 0.0}}, r"variant\.bn_eps: must be positive"),
        ({"variant": {"bn_eps": "1e-3"}}, r"variant\.bn_eps: "),
        ({"variant": {"layers": "other"}}, r"variant\.layers: "),
        ({"variant": {"colour": 1}}, r"variant\.colour: Unexpected"),
        ({"variant": {"head": False}}, "classes: there is no head for them"),
        ({"classes": []}, "classes: none, though there is a head"),
    ],
    ids=["zero", "text", "layers", "unknown", "classes-without-head", "head-without-classes"],
)
def test_wrong_variant_is_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = save_model(tmp_path, {"a": torch.ones(1)}, ModelInfo("x3d_tiny", ("a", "b"), INPUT, "random"))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    with pytest.raises(InputError, match=reason):
        read_model(tmp_path)


def test_a_saved_epsilon_is_used_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = MODELS.get("x3d_tiny").build(2).eval()
    apply_variant(net, Variant(bn_eps=0.1))
    info = ModelInfo("x3d_tiny", ("a", "b"), INPUT, "random")
    save_model(tmp_path / "eps", net.state_dict(), replace(info, variant=Variant(bn_eps=0.1)))
    save_model(tmp_path / "plain", net.state_dict(), info)
    clip = torch.rand(1, 3, 8, 64, 64)
    with torch.no_grad():
        expected = net(clip).flatten(1)
        same = load_model(str(tmp_path / "eps")).classifier.net(clip).flatten(1)
        other = load_model(str(tmp_path / "plain")).classifier.net(clip).flatten(1)

    assert torch.equal(same, expected)
    assert (other - expected).abs().max() > 1e-6


def test_start_without_a_head_is_no_classifier(trunk: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": moco(trunk)}, tmp_path / "a.pth")
    done = import_start(StartImportRequest(file=tmp_path / "a.pth", layout="MoCo", out=tmp_path / "moco"))

    assert (done.loaded, done.variant, done.layout) == (222, Variant(head=False), "moco")
    with pytest.raises(InputError, match=r"no classifying layer: .*\n.*finetune r2plus1d_18 LIST --init"):
        load_model(str(tmp_path / "moco"))
    info, file = read_model(tmp_path / "moco")
    assert info.classes == ()
    assert read_state(file).tensors.keys() == trunk.keys()
    net = build_torchvision("r2plus1d_18", 5)
    report = load_strict(net, read_state(file).tensors, "a", allow_replaced_head="fc.")
    assert report.replaced == ("fc.weight", "fc.bias")


@pytest.mark.parametrize(("name", "inside"), [("a-file", None), ("a-run", "manifest.json")])
def test_start_is_not_written_over_a_file_or_a_run(
    trunk: dict[str, Tensor], tmp_path: Path, name: str, inside: str | None
) -> None:
    out = tmp_path / name
    if inside:
        out.mkdir()
    (out / inside if inside else out).write_text("{}")

    with pytest.raises(InputError, match="where a folder for the model is wanted"):
        import_start(StartImportRequest(file=tmp_path / "a.pth", layout="moco", out=out))


def test_starts_are_of_one_network(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not of r3d_18"):
        import_start(StartImportRequest(file=tmp_path / "a.pth", layout="moco", out=tmp_path / "o", model="r3d_18"))
