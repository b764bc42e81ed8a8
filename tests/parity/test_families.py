"""Slow, C2D, I3D and SlowFast behind `Classifier` give PySlowFast's probabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor

from vidbench.model.classifier import Classifier
from vidbench.model.layout import fast_layout
from vidbench.model.slowfast import slow_indices
from vidbench.model.zoo import MODELS, Preprocess

FAMILIES = Path(__file__).parent / "families"
CASES = {
    "slow_r50": "slow_8x8_r50",
    "slowfast_r50_4x16": "slowfast_4x16_r50",
    "c2d_r50": "c2d_8x8_r50",
    "i3d_r50": "i3d_8x8_r50",
}
SIZE = 224


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


def pyslowfast_name(key: str, family: str) -> str:
    """The name that PySlowFast gives a tensor of pytorchvideo's ResNet or SlowFast."""
    found = re.fullmatch(r"blocks\.(\d+)\.(?:multipathway_blocks\.(\d)\.)?(.+)\.(\w+)", key)
    assert found, key
    block, pathway, inner, leaf = int(found[1]), found[2] or "0", found[3], found[4]
    if inner == "proj":
        return f"head.projection.{leaf}"
    # the temporal pooling of C2D and I3D is block 2
    stage = block + 1 - (family in ("C2D", "I3D") and block > 2)
    if inner.startswith("multipathway_fusion."):
        part = {"conv_fast_to_slow": "conv_f2s", "norm": "bn"}[inner.partition(".")[2]]
        return f"s{stage}_fuse.{part}.{leaf}"
    if block == 0:
        return f"s1.pathway{pathway}_stem.{ {'conv': 'conv', 'norm': 'bn'}[inner] }.{leaf}"
    _, number, part = inner.split(".", 2)
    part = re.sub(r"^branch2\.norm_([abc])$", r"branch2.\1_bn", re.sub(r"^branch2\.conv_", "branch2.", part))
    part = {"branch1_conv": "branch1", "branch1_norm": "branch1_bn"}.get(part, part)
    return f"s{stage}.pathway{pathway}_res{number}.{part}.{leaf}"


def value(name: str, like: Tensor, golden: Mapping[str, Any]) -> Tensor:
    v = noise(name, like.numel())
    if name.endswith("running_mean"):
        v = 0.1 * v
    elif name.endswith("running_var"):
        v = 1 + 0.25 * v
    elif name.endswith("num_batches_tracked"):
        v = np.zeros(like.numel())
    elif name.endswith(".bias"):
        v = 0.1 * v
    elif like.ndim == 1:
        v = 0.75 + 0.25 * v
    else:
        v = float(golden["gain"]) * v * np.sqrt(3 / np.prod(like.shape[1:]))
        if name == "head.projection.weight":
            v = v * float(golden["head_scale"])
    return torch.from_numpy(np.asarray(v).reshape(tuple(like.shape))).to(like.dtype)


def recipe_input(frames: int, size: int) -> Tensor:
    b, c, t, y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in (2, 3, frames, size, size)), indexing="ij")
    wave = (1 + 2 * b) * np.sin(0.05 * (b + 1) * x + 0.03 * (c + 1) * y + 0.2 * t) + b * (c - 1)
    return torch.from_numpy(wave + 0.5 * noise("input", wave.size).reshape(wave.shape)).float()


@pytest.mark.parametrize("name", CASES)
def test_probabilities_equal_pyslowfast(name: str) -> None:
    golden = np.load(FAMILIES / f"{CASES[name]}.npz")
    card = MODELS.get(name)
    net = card.build(10)
    keys = {key: pyslowfast_name(key, card.family) for key in net.state_dict()}
    assert len(set(keys.values())) == len(keys)
    net.load_state_dict({key: value(keys[key], tensor, golden) for key, tensor in net.state_dict().items()})
    frames = card.preprocess.frames
    assert frames == int(golden["num_frames"])
    # the recipe's input is fed to the network as it is
    plain = Preprocess(frames, 1, SIZE, SIZE, SIZE, mean=(0, 0, 0), std=(1, 1, 1))
    classifier = Classifier(net, plain, 10).eval()
    clips = recipe_input(frames, SIZE)

    # that both layouts agree is a contract of every model; the cheapest network is run in both
    models = [fast_layout(classifier), *([classifier] if name == "c2d_r50" else [])]
    for model in models:
        with torch.no_grad():
            logits = model(clips)
        assert np.abs(logits.double().numpy() - golden[f"logits_f64_{SIZE}"].reshape(2, 10)).max() <= 5e-5
        assert np.abs(torch.softmax(logits, dim=1).double().numpy() - golden[f"probs_f64_{SIZE}"]).max() <= 5e-6


@pytest.mark.parametrize(
    ("frames", "alpha", "expected"),
    [
        (16, 4, [0, 5, 10, 15]),
        (32, 4, [0, 4, 8, 13, 17, 22, 26, 31]),
        (32, 8, [0, 10, 20, 31]),
        (64, 4, [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]),
        (64, 8, [0, 9, 18, 27, 36, 45, 54, 63]),
    ],
)
def test_the_slow_pathway_takes_the_frames_that_pyslowfast_takes(frames: int, alpha: int, expected: list[int]) -> None:
    assert slow_indices(frames, alpha).tolist() == expected
