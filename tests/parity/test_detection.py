"""AVA detectors with PySlowFast's weights give its scores; clips and boxes are cut as its AVA test cuts them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor

from vidbench.model.ava_sampling import ava_clip_indices, boxes_in_clip
from vidbench.model.checkpoint import load_strict
from vidbench.model.detection import ActionDetector, build_detector
from vidbench.model.remap import map_state
from vidbench.model.zoo import MODELS, Preprocess
from vidbench.video.sampling import scaled_size

HERE = Path(__file__).parent
DATA = HERE / "data" / "detection"
CASES = {
    "slow_r50_detection": ("ava_slow_4x16_r50", "ava_slow_8x8_r50_c2"),
    "slowfast_r50_detection": ("ava_slowfast_8x8_r50", "ava_slowfast_32x2_r50_c2"),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def recipe_input(frames: int, height: int, width: int) -> Tensor:
    sizes = (2, 3, frames, height, width)
    b, c, t, y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in sizes), indexing="ij")
    wave = (1 + 2 * b) * np.sin(0.05 * (b + 1) * x + 0.03 * (c + 1) * y + 0.2 * t) + b * (c - 1)
    return torch.from_numpy(wave + 0.5 * noise("input", wave.size).reshape(wave.shape)).float()


@pytest.mark.parametrize("name", CASES)
def test_scores_equal_pyslowfast(name: str) -> None:
    file, layout = CASES[name]
    golden = np.load(DATA / f"{file}.npz")
    keys = json.loads((HERE / "layouts" / f"pyslowfast__{layout}.json").read_text())["keys"]
    theirs = {
        key: value(key, [10, *shape[1:]] if key.startswith("head.projection.") else shape, golden)
        for key, shape in keys.items()
    }
    frames = MODELS.get(name).preprocess.frames
    assert frames == int(golden["num_frames"])
    net = build_detector(name, 10)
    load_strict(net, map_state(theirs, name).tensors, source=file)
    # the recipe's input is fed to the network as it is
    plain = Preprocess(frames, 1, 128, 128, 128, mean=(0, 0, 0), std=(1, 1, 1))
    detector = ActionDetector(net, plain, 10).eval()
    clips = recipe_input(frames, int(golden["height"]), int(golden["width"]))
    boxes = torch.from_numpy(golden["boxes"])
    features: list[Tensor] = []
    net.model.register_forward_hook(lambda _module, _given, out: features.append(out))

    with torch.no_grad():
        given = {"not_aligned": detector(clips, boxes)}
        # the trunk does not depend on it, and takes all of the time
        net.detection_head.aligned = True
        given["aligned"] = net.detection_head(features[0], boxes)

    for kind, logits in given.items():
        assert np.abs(logits.double().numpy() - golden[f"logits_f64_{kind}"]).max() <= 5e-5
        assert np.abs(torch.sigmoid(logits).double().numpy() - golden[f"scores_f64_{kind}"]).max() <= 5e-6
    assert (given["aligned"] - given["not_aligned"]).abs().max() > 0.1


def test_published_networks_do_not_align() -> None:
    with torch.device("meta"):
        nets = [build_detector(name, 80) for name in MODELS.names() if MODELS.get(name).task == "detect"]
    assert [net.detection_head.aligned for net in nets] == [False] * 4


def test_clip_around_a_moment_has_pyslowfasts_frames() -> None:
    rows = json.loads((DATA / "ava_clip_index.json").read_text())
    assert len(rows) >= 20
    for row in rows:
        found = ava_clip_indices(row["center"], row["T"], row["tau"], row["num_frames"])
        assert list(found) == row["index"], row


def test_boxes_are_scaled_and_clipped_as_pyslowfast_does() -> None:
    rows = json.loads((DATA / "ava_test_boxes.json").read_text())
    assert len(rows) == 7
    for row in rows:
        width, height = row["frame"]
        assert list(scaled_size(width, height, 256)) == row["scaled"]
        found = boxes_in_clip(row["normalised"], width, height, 256)
        assert np.abs(found - np.array(row["boxes"])).max() <= 1e-9, row
