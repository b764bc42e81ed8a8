"""Published starts of R(2+1)D-18: names come to the network exactly, and it answers as if it were filled directly."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidbench.errors import InputError
from vidbench.model.start_load import load_start, network_names
from vidbench.model.starts import STARTS, find_start, recognise
from vidbench.model.torchvision_video import build_torchvision

DATA = Path(__file__).parent / "data" / "vssl"
NAMES = tuple(start.name for start in STARTS)
CLASSES = 400
TWINS = {"moco": "video_moco", "video_moco": "moco", "ctp": "tubelet_contrast", "tubelet_contrast": "ctp"}
# the others are read by the same rules with other names; the slow run answers with all
SOME = [
    name if name in ("supervised", "moco", "tclr") else pytest.param(name, marks=pytest.mark.slow) for name in NAMES
]


@cache
def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return found


def noise(name: str, count: int) -> np.ndarray:
    """The recipe's numbers in [-1, 1): a hash of the tensor's name and the position."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) + np.uint32(crc32(name.encode()))
        for factor, shift in ((2654435761, 16), (2246822519, 13), (3266489917, 16)):
            x *= np.uint32(factor)
            x ^= x >> np.uint32(shift)
    return 2 * x.astype(np.float64) / 2**32 - 1


@cache
def value(name: str, *shape: int) -> Tensor:
    """A tensor by the rule of `test_keys.py`; small variances, among which an epsilon of 1e-3 counts.

    Named as in the network: one start's tensors then serve all.
    """
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    v = noise(name, int(np.prod(shape)))
    if name.endswith("running_mean"):
        v = 0.1 * v
    elif name.endswith("running_var"):
        v = 0.02 + 0.01 * v
    elif name.endswith(".bias"):
        v = 0.1 * v
    elif len(shape) == 1:
        v = 0.15 + 0.05 * v
    else:
        v = v * np.sqrt(3 / np.prod(shape[1:]))
    return torch.from_numpy(v.reshape(shape)).float()


def published(name: str, folder: Path, empty: bool = False) -> Path:
    """A file with the layout of a start's: the trunk by the rule, all else ones, beside the other entries.

    With `empty` the trunk is ones too; a tensor of ones takes a single number of the file.
    """
    layout = golden(name)
    trunk = {} if empty else layout["maps_to"]
    state = {
        key: value(trunk[key], *shape) if key in trunk else torch.tensor(7 if not shape else 1.0).expand(shape)
        for key, shape in layout["keys"].items()
    }
    outer = layout["outer_key"]
    path = folder / f"{name}.pth"
    torch.save({outer: state, **dict.fromkeys(layout["other_outer_entries"], "x")} if outer else state, path)
    return path


def filled(name: str) -> nn.Module:
    """The network as the reference builds it, filled from the published tensors by the reference's own map."""
    layout = golden(name)
    net = build_torchvision("r2plus1d_18", CLASSES)
    if name == "tclr":
        block = net.get_submodule("layer4.0")
        wide = nn.Conv3d(256, 512, (3, 3, 3), (1, 2, 2), padding=(2, 1, 1), dilation=(2, 1, 1), bias=False)
        block.get_submodule("conv1")[0] = wide  # type: ignore[operator]
        block.get_submodule("downsample")[0] = nn.Conv3d(256, 512, 1, (1, 2, 2), bias=False)  # type: ignore[operator]
    state = {ours: value(ours, *layout["keys"][theirs]) for theirs, ours in layout["maps_to"].items()}
    state |= {"fc.weight": value("fc.weight", CLASSES, 512), "fc.bias": value("fc.bias", CLASSES)}
    net.load_state_dict(state, strict=True)
    if name in ("ctp", "tubelet_contrast"):
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.eps = 1e-3
    return net.eval()


def fresh() -> nn.Module:
    """A network whose head is by the rule, so that logits can be compared; the trunk is random."""
    net = build_torchvision("r2plus1d_18", CLASSES)
    with torch.no_grad():
        net.get_parameter("fc.weight").copy_(value("fc.weight", CLASSES, 512))
        net.get_parameter("fc.bias").copy_(value("fc.bias", CLASSES))
    return net


@pytest.fixture(scope="module")
def clip() -> Tensor:
    return torch.from_numpy(noise("input", 3 * 8 * 32 * 32).reshape(1, 3, 8, 32, 32)).float()


@pytest.mark.parametrize("name", NAMES)
def test_names_go_where_the_reference_puts_them(name: str) -> None:
    layout, start = golden(name), find_start(name)

    mapped = {key: start.target(key) for key in layout["keys"]}

    assert {key: ours for key, ours in mapped.items() if ours is not None} == layout["maps_to"]
    assert all(start.is_left(key) for key, ours in mapped.items() if ours is None)
    assert start.container == (layout["outer_key"] or "")
    assert recognise(layout["keys"], network_names()) == tuple(n for n in NAMES if n in (name, TWINS.get(name)))


@pytest.mark.parametrize("name", SOME)
def test_imported_start_answers_like_a_network_filled_directly(name: str, tmp_path: Path, clip: Tensor) -> None:
    layout = golden(name)
    expected = layout.get("expected_with_layer4_change", layout["expected"])
    net = fresh()

    report = load_start(name, published(name, tmp_path), net, task="ava")

    assert report.loaded == expected["loaded"]
    assert report.replaced == tuple(expected["missing"])
    assert set(report.left_over) == set(layout["keys"]) - set(layout["maps_to"])
    assert report.counters == ()
    reference = filled(name)
    with torch.no_grad():
        logits = net.eval()(clip)
        assert torch.equal(logits, reference(clip))
    assert logits.std() > 1e-3
    assert all(torch.equal(held, reference.state_dict()[key]) for key, held in net.state_dict().items())


@pytest.mark.parametrize("name", ["ctp", "tubelet_contrast"])
def test_epsilon_of_the_start_counts(name: str, tmp_path: Path, clip: Tensor) -> None:
    net = fresh().eval()
    load_start(name, published(name, tmp_path), net)
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    assert {norm.eps for norm in norms} == {1e-3}
    with torch.no_grad():
        right = net(clip)
        for norm in norms:
            norm.eps = 1e-5
        wrong = net(clip)

    assert (right - wrong).abs().max() > 0.01 * right.abs().max()


def test_blue_first_is_turned_round_in_the_weights(tmp_path: Path, clip: Tensor) -> None:
    net, reference = fresh(), filled("tclr")

    report = load_start("tclr", published("tclr", tmp_path), net, task="recognition")

    assert report.input.colours == "bgr"
    assert "clips have red first here" in report.remarks[-1]
    with torch.no_grad():
        logits = net.eval()(clip)
        torch.testing.assert_close(logits, reference(clip.flip(1)), rtol=1e-5, atol=1e-5)
        assert (logits - reference(clip)).abs().max() > 1e-3


@pytest.mark.parametrize("name", [name for name in NAMES if name != "supervised"])
def test_file_of_another_start_is_named(name: str, tmp_path: Path) -> None:
    path = published(name, tmp_path, empty=True)
    wrong = next(other for other in NAMES if other not in (name, TWINS.get(name)))
    net = fresh()
    before = {key: held.clone() for key, held in net.state_dict().items()}

    with pytest.raises(InputError) as caught:
        load_start(wrong, path, net)

    named = " or ".join(n for n in NAMES if n in (name, TWINS.get(name)))
    assert caught.value.message == f"{path} is not the file of {wrong}: by its names it is that of {named}"
    assert f"--layout {name}" in caught.value.remedy
    assert all(torch.equal(held, before[key]) for key, held in net.state_dict().items())


def test_head_of_another_size_is_replaced(tmp_path: Path) -> None:
    path = published("supervised", tmp_path, empty=True)

    report = load_start("supervised", path, build_torchvision("r2plus1d_18", 5))

    assert (report.loaded, report.replaced) == (222, ("fc.weight", "fc.bias"))


def test_trunk_alone_leaves_the_head_over(tmp_path: Path) -> None:
    net = build_torchvision("r2plus1d_18", 5)
    net.fc = nn.Identity()

    report = load_start("supervised", published("supervised", tmp_path, empty=True), net)

    assert (report.loaded, report.replaced, report.left_over) == (222, (), ("fc.weight", "fc.bias"))


def test_scratch_has_no_layout() -> None:
    assert golden("scratch")["file"] is None
    assert "scratch" not in NAMES
