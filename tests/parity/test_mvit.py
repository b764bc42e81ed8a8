"""MViTs built by torchvision's class are torchvision's own where it has them, and answer as PySlowFast's do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models import video

from vidbench.model.mvit_class import SETTINGS, build_mvit_class
from vidbench.model.remap import to_vidbench

HERE = Path(__file__).parent
CASES = {"mvit_v1_b": "mvit_b_16x4", "mvit_v2_s": "mvitv2_s_16x4"}


@pytest.mark.parametrize("name", CASES)
def test_settings_give_what_torchvision_builds(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = build_mvit_class(name, 400), getattr(video, name)()

    # every layer with its sizes, kernels, strides and rates
    assert str(ours) == str(theirs)
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_grids_fit_through_all_blocks(name: str) -> None:
    settings = SETTINGS[name]
    with torch.device("meta"):
        net = build_mvit_class(name, 11).eval()
        clips = torch.empty(2, 3, settings.frames, settings.size, settings.size)
        assert net(clips).shape == (2, 11)


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
    if any(part in name for part in ("pos_embed", "rel_pos", "cls_token")):
        v = 0.2 * v
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


def mapped(name: str, golden: Any) -> torch.nn.Module:
    """The network with the recipe's weights, which go through PySlowFast's names."""
    keys = json.loads((HERE / "layouts" / f"pyslowfast__{CASES[name]}.json").read_text())["keys"]
    weights = {
        key: value(key, [10, *shape[1:]] if key.startswith("head.projection.") else shape, golden)
        for key, shape in keys.items()
    }
    with torch.device("meta"):
        net = build_mvit_class(name, 10)
    net.load_state_dict(to_vidbench(weights, name), strict=True, assign=True)
    return net.eval()


@pytest.mark.parametrize(
    ("name", "clips"),
    [
        ("mvit_v2_s", slice(0, 1)),
        pytest.param("mvit_v2_s", slice(0, 2), marks=pytest.mark.slow),
        pytest.param("mvit_v1_b", slice(0, 2), marks=pytest.mark.slow),
    ],
)
def test_mapped_weights_give_pyslowfasts_numbers(name: str, clips: slice) -> None:
    golden = np.load(HERE / "data" / "mvit" / f"{CASES[name]}.npz")
    settings = SETTINGS[name]
    assert settings.frames == int(golden["num_frames"])
    net = mapped(name, golden)

    with torch.no_grad():
        logits = net(recipe_input(settings.frames, settings.size)[clips])

    assert np.abs(logits.double().numpy() - golden["logits_f64_224"][clips]).max() <= 5e-5
    probabilities = torch.softmax(logits, dim=1).double().numpy()
    assert np.abs(probabilities - golden["probs_f64_224"][clips]).max() <= 5e-6
