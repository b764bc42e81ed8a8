"""I3D with non-local blocks and PySlowFast's weights gives PySlowFast's probabilities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from vidbench.model.checkpoint import load_strict
from vidbench.model.classifier import Classifier
from vidbench.model.remap import map_state
from vidbench.model.zoo import MODELS, Preprocess

HERE = Path(__file__).parent
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


def test_blobs_of_caffe2_give_pyslowfasts_probabilities() -> None:
    golden = np.load(HERE / "data" / "detection" / "i3d_nln_8x8_r50.npz")
    keys = json.loads((HERE / "layouts" / "pyslowfast__i3d_nln_8x8_r50.json").read_text())["keys"]
    names = json.loads((HERE / "layouts" / "caffe2__i3d_nln_8x8_r50.json").read_text())["blobs"]
    blobs = {
        blob: value(key, [10, *keys[key][1:]] if key.startswith("head.projection.") else keys[key], golden)
        for blob, key in names.items()
    }
    card = MODELS.get("i3d_nln_r50")
    net = card.build(10)
    mapped = map_state(blobs, card.name)
    assert mapped.dialect == "caffe2"
    load_strict(net, mapped.tensors, source="blobs")
    frames = int(golden["num_frames"])
    assert frames == card.preprocess.frames
    plain = Preprocess(frames, 1, SIZE, SIZE, SIZE, mean=(0, 0, 0), std=(1, 1, 1))
    classifier = Classifier(net, plain, 10).eval()
    clips = recipe_input(frames, SIZE)

    with torch.no_grad():
        logits = classifier(clips)

    assert np.abs(logits.double().numpy() - golden[f"logits_f64_{SIZE}"].reshape(2, 10)).max() <= 3e-4
    assert np.abs(torch.softmax(logits, dim=1).double().numpy() - golden[f"probs_f64_{SIZE}"]).max() <= 5e-5
