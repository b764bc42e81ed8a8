"""PySlowFast's and Caffe2's names come to those of vidbench's networks, one to one; the mapped weights answer alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor

from vidbench.model.classifier import Classifier
from vidbench.model.remap import (
    dialect_of,
    from_pyslowfast_names,
    from_vidbench,
    map_state,
    to_pyslowfast_names,
    to_vidbench,
)
from vidbench.model.zoo import MODELS, Preprocess

HERE = Path(__file__).parent
PAIRS = {
    "x3d_xs": ("pyslowfast__x3d_xs", "pytorchvideo__x3d_xs"),
    "x3d_s": ("pyslowfast__x3d_s", "pytorchvideo__x3d_s"),
    "x3d_m": ("pyslowfast__x3d_m", "pytorchvideo__x3d_m"),
    "x3d_l": ("pyslowfast__x3d_l", "pytorchvideo__x3d_l"),
    "c2d_r50": ("pyslowfast__c2d_8x8_r50", "pytorchvideo__c2d_r50"),
    "i3d_r50": ("pyslowfast__i3d_8x8_r50", "pytorchvideo__i3d_r50"),
    "slow_r50": ("pyslowfast__slow_8x8_r50", "pytorchvideo__slow_r50"),
    "slow_r50_4x16": ("pyslowfast__slow_4x16_r50", "pytorchvideo__slow_r50_4x16"),
    "slowfast_r50": ("pyslowfast__slowfast_8x8_r50", "pytorchvideo__slowfast_r50"),
    "slowfast_r50_4x16": ("pyslowfast__slowfast_4x16_r50", "pytorchvideo__slowfast_r50_4x16"),
    "slowfast_r101": ("pyslowfast__slowfast_8x8_r101_101_101", "pytorchvideo__slowfast_r101"),
    "slowfast_16x8_r101_50_50": ("pyslowfast__slowfast_16x8_r101_50_50", "pytorchvideo__slowfast_16x8_r101_50_50"),
    "slow_r50_detection": ("pyslowfast__ava_slow_8x8_r50_c2", "pytorchvideo__slow_r50_detection"),
    "slowfast_r50_detection": ("pyslowfast__ava_slowfast_32x2_r50_c2", "pytorchvideo__slowfast_r50_detection"),
    "mvit_base_16x4": ("pyslowfast__mvit_b_16x4", "pytorchvideo015__mvit_base_16x4"),
    "mvit_v1_b": ("pyslowfast__mvit_b_16x4", "torchvision__mvit_v1_b"),
    "mvit_v2_s": ("pyslowfast__mvitv2_s_16x4", "torchvision__mvit_v2_s"),
}
# torchvision and pytorchvideo register the parts of MViT in another order
SAME_ORDER = tuple(name for name in PAIRS if not name.startswith("mvit"))
CAFFE2 = {
    "ava_slow_8x8_r50_c2": "resnet",
    "ava_slowfast_64x2_r101_50_50": "slowfast",
    "c2d_nopool_8x8_r50": "resnet",
    "i3d_8x8_r50": "pooled resnet",
    "i3d_nln_8x8_r50": "pooled resnet",
    "slow_4x16_r50": "resnet",
    "slow_8x8_r50": "resnet",
    "slowfast_4x16_r50": "slowfast",
    "slowfast_8x8_r50": "slowfast",
}


def layout(name: str) -> dict[str, Any]:
    return json.loads((HERE / "layouts" / f"{name}.json").read_text())


def state(name: str) -> dict[str, Tensor]:
    """Tensors of the layout's shapes, each filled with a number of its own."""
    keys = layout(name)["keys"]
    return {key: torch.full(shape, float(index + 1)) for index, (key, shape) in enumerate(keys.items())}


def shapes(tensors: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in tensors.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_pyslowfast_layout_comes_to_the_networks_and_back(name: str) -> None:
    theirs, ours = PAIRS[name]
    source, expected = state(theirs), layout(ours)["keys"]

    mapped = map_state(source, name)
    back = from_vidbench(mapped.tensors, name, "pyslowfast")

    assert (mapped.dialect, mapped.taken, mapped.ignored) == ("pyslowfast", len(source), ())
    assert shapes(mapped.tensors) == expected
    if name in SAME_ORDER:
        assert list(mapped.tensors) == list(expected)
    assert shapes(back) == layout(theirs)["keys"]
    assert list(back) == list(source)
    folded = {
        "s2.pathway0_res0.branch1.weight",
        "s2.pathway0_res0.branch2.c_bn.bias",
        *(key for key in source if key.startswith("s2.pathway0_res0.branch1_bn.")),
    }
    same = [key for key in source if not (name.startswith("x3d") and key in folded)]
    assert all(torch.equal(back[key], source[key]) for key in same)
    assert len(same) >= len(source) - 7


@pytest.mark.parametrize("name", PAIRS)
def test_own_names_pass_unchanged(name: str) -> None:
    own = state(PAIRS[name][1])

    mapped = map_state(own, name)

    assert list(mapped.tensors) == list(own)
    assert all(mapped.tensors[key] is own[key] for key in own)
    assert mapped.dialect == ("torchvision" if name.startswith("mvit_v") else "pytorchvideo")


def test_mvit_goes_between_pytorchvideo_and_torchvision() -> None:
    ours = state("pytorchvideo015__mvit_base_16x4")

    theirs = to_vidbench(ours, "mvit_v1_b")
    back = to_vidbench(theirs, "mvit_base_16x4")

    assert shapes(theirs) == layout("torchvision__mvit_v1_b")["keys"]
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)


@pytest.mark.parametrize("name", CAFFE2)
def test_blobs_come_to_pyslowfast_and_back(name: str) -> None:
    golden = layout(f"caffe2__{name}")
    blobs, keys = golden["blobs"], list(layout(f"pyslowfast__{name}")["keys"])

    assert dialect_of(blobs) == "caffe2"
    assert to_pyslowfast_names(list(blobs), CAFFE2[name], "caffe2") == blobs
    back = from_pyslowfast_names(keys, CAFFE2[name], "caffe2")
    assert {blob: key for key, blob in back.items()} == blobs
    assert {key for key in keys if key not in back} == {key for key in keys if key.endswith("num_batches_tracked")}


def test_blobs_of_a_whole_file_come_to_the_network() -> None:
    keys = layout("pyslowfast__slowfast_8x8_r50")["keys"]
    blobs = {blob: torch.ones(keys[key]) for blob, key in layout("caffe2__slowfast_8x8_r50")["blobs"].items()}
    blobs |= {"conv1_w_momentum": torch.ones(1), "lr": torch.ones(1), "model_iter": torch.ones(1)}

    mapped = map_state(blobs, "slowfast_r50")

    assert shapes(mapped.tensors).keys() == layout("pytorchvideo__slowfast_r50")["keys"].keys()
    assert shapes(mapped.tensors) == layout("pytorchvideo__slowfast_r50")["keys"]
    assert mapped.ignored == ("conv1_w_momentum", "lr", "model_iter")
    assert mapped.taken == len(blobs) - 3


# --- numbers -----------------------------------------------------------------------------------------------


def noise(name: str, count: int) -> np.ndarray:
    """The recipe's numbers in [-1, 1): a hash of the tensor's name and the position."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) + np.uint32(crc32(name.encode()))
        x *= np.uint32(2654435761)
        x ^= x >> np.uint32(16)
        x *= np.uint32(2246822519)
        x ^= x >> np.uint32(13)
        x *= np.uint32(3266489917)
        x ^= x >> np.uint32(16)
    return 2 * x.astype(np.float64) / 2**32 - 1


def value(name: str, shape: list[int], golden: Any) -> Tensor:
    v = noise(name, int(np.prod(shape)))
    if name.endswith("running_mean"):
        v = 0.1 * v
    elif name.endswith("running_var"):
        v = 1 + 0.25 * v
    elif name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    elif name.endswith(".bias"):
        v = 0.1 * v
    elif len(shape) == 1:
        v = 0.75 + 0.25 * v
    else:
        v = float(golden["gain"]) * v * np.sqrt(3 / np.prod(shape[1:]))
        if name == "head.projection.weight":
            v = v * float(golden["head_scale"])
    return torch.from_numpy(v.reshape(shape)).float()


def recipe_input(frames: int, size: int) -> Tensor:
    b, c, t, y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in (2, 3, frames, size, size)), indexing="ij")
    wave = (1 + 2 * b) * np.sin(0.05 * (b + 1) * x + 0.03 * (c + 1) * y + 0.2 * t) + b * (c - 1)
    return torch.from_numpy(wave + 0.5 * noise("input", wave.size).reshape(wave.shape)).float()


@pytest.mark.parametrize(
    ("name", "file", "size"),
    [
        # the recipe's first shortcut has a normalisation that does much: folding it is tested here
        ("x3d_xs", "x3d/x3d_xs.npz", 160),
        ("slow_r50", "families/slow_8x8_r50.npz", 224),
    ],
)
def test_mapped_weights_give_pyslowfasts_probabilities(name: str, file: str, size: int) -> None:
    golden = np.load(HERE / file)
    keys = layout(PAIRS[name][0])["keys"]
    weights = {
        key: value(key, [10, *shape[1:]] if key.startswith("head.projection.") else shape, golden)
        for key, shape in keys.items()
    }
    net = MODELS.get(name).build(10)
    net.load_state_dict(to_vidbench(weights, name), strict=True)
    frames = int(golden["num_frames"])
    plain = Preprocess(frames, 1, size, size, size, mean=(0, 0, 0), std=(1, 1, 1))
    with torch.no_grad():
        ours = torch.softmax(Classifier(net, plain, 10).eval()(recipe_input(frames, size)[:1]), dim=1).double().numpy()

    assert np.abs(ours - golden[f"probs_f64_{size}"][:1]).max() <= 5e-6
