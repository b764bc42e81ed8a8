"""X3D behind `Classifier` gives PySlowFast's probabilities, also where the crop is larger than in training."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.model.classifier import Classifier
from vidbench.model.layout import fast_layout
from vidbench.model.zoo import MODELS, Preprocess

GOLDEN = np.load(Path(__file__).parent / "x3d" / "x3d_xs.npz")


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


def pyslowfast_name(key: str) -> str:
    """The name that PySlowFast gives a tensor of pytorchvideo's X3D."""
    head = {"pool.pre_conv": "conv_5", "pool.pre_norm": "conv_5_bn", "pool.post_conv": "lin_5", "proj": "projection"}
    parts = key.split(".")
    block, leaf = int(parts[1]), parts[-1]
    if block == 0:
        if parts[2] == "norm":
            return f"s1.pathway0_stem.bn.{leaf}"
        # pytorchvideo names the spatial convolution conv_t
        return f"s1.pathway0_stem.{'conv_xy' if parts[3] == 'conv_t' else 'conv'}.{leaf}"
    if block == 5:
        return f"head.{head['.'.join(parts[2:-1])]}.{leaf}"
    base = f"s{block + 1}.pathway0_res{parts[3]}."
    if parts[4] == "branch1_conv":
        return f"{base}branch1.{leaf}"
    if parts[4] == "branch1_norm":
        return f"{base}branch1_bn.{leaf}"
    inner = parts[5]
    if inner.startswith("conv_"):
        return f"{base}branch2.{inner[5:]}.{leaf}"
    if inner == "norm_b" and parts[6] == "1":
        return f"{base}branch2.se.fc{1 if parts[8] == '0' else 2}.{leaf}"
    return f"{base}branch2.{inner[5:]}_bn.{leaf}"


def value(name: str, like: Tensor) -> Tensor:
    v = noise(name, like.numel())
    shape = tuple(like.shape)
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
        v = float(GOLDEN["gain"]) * v * np.sqrt(3 / np.prod(shape[1:]))
        if name == "head.projection.weight":
            v = v * float(GOLDEN["head_scale"])
    return torch.from_numpy(np.asarray(v).reshape(shape)).to(like.dtype)


def recipe_input(frames: int, size: int) -> Tensor:
    b, c, t, y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in (2, 3, frames, size, size)), indexing="ij")
    wave = (1 + 2 * b) * np.sin(0.05 * (b + 1) * x + 0.03 * (c + 1) * y + 0.2 * t) + b * (c - 1)
    return torch.from_numpy(wave + 0.5 * noise("input", wave.size).reshape(wave.shape)).float()


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    net = MODELS.get("x3d_xs").build(10)
    # PySlowFast normalises the first shortcut of the first stage; pytorchvideo's builder leaves that out
    net.blocks[1].res_blocks[0].branch1_norm = nn.BatchNorm3d(24)
    state = {key: value(pyslowfast_name(key), tensor) for key, tensor in net.state_dict().items()}
    net.load_state_dict(state)
    # the recipe's input is fed to the network as it is
    plain = Preprocess(frames=4, stride=12, short_side=182, crop=160, wide=182, mean=(0, 0, 0), std=(1, 1, 1))
    return Classifier(net, plain, 10).eval()


def test_recipe_matches_its_check_values() -> None:
    assert noise("input", 3) == pytest.approx([0.4699148624204099, 0.42863250244408846, 0.07085689902305603], abs=1e-15)


@pytest.mark.parametrize("size", [160, 182])
@pytest.mark.parametrize("layout", ["reference", "fast"])
def test_probabilities_equal_pyslowfast(classifier: Classifier, size: int, layout: str) -> None:
    model = fast_layout(classifier) if layout == "fast" else classifier
    with torch.no_grad():
        ours = torch.softmax(model(recipe_input(4, size)), dim=1).double().numpy()
    assert np.abs(ours - GOLDEN[f"probs_f64_{size}"]).max() <= 5e-6


def test_the_mean_of_logits_would_be_another_answer() -> None:
    """The larger crop tells the two rules apart, so the test above can fail."""
    logits = GOLDEN["logits_f64_182"].reshape(2, 4, 10).mean(axis=1)
    other = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(other - GOLDEN["probs_f64_182"]).max() > 1e-2
