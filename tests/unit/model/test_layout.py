"""The fast layout is the same function: outputs, input gradients and parameter gradients."""

import pytest
import torch
from torch.nn import functional

from vidbench.model.classifier import Classifier, pool_positions
from vidbench.model.layout import fast_layout, training_layout
from vidbench.model.resolve import build
from vidbench.model.zoo import MODELS


def made(name: str, classes: int = 7) -> Classifier:
    """A network whose batch normalisations have seen data, so that folding them is no identity."""
    classifier = build(MODELS.get(name), classes, (), seed=3)
    generator = torch.Generator().manual_seed(0)
    for key, buffer in classifier.net.named_buffers():
        if key.endswith("running_mean"):
            buffer.copy_(0.2 * torch.randn(buffer.shape, generator=generator))
        elif key.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return classifier.eval()


def clips_for(classifier: Classifier, side: int, count: int = 2) -> torch.Tensor:
    frames = classifier.preprocess.frames
    return torch.rand(count, 3, frames, side, side, generator=torch.Generator().manual_seed(1))


def gradient(classifier: Classifier, clips: torch.Tensor) -> torch.Tensor:
    point = clips.clone().requires_grad_(True)
    loss = functional.cross_entropy(classifier(point), torch.arange(len(clips)))
    return torch.autograd.grad(loss, point)[0]


@pytest.mark.parametrize(("name", "side"), [("x3d_tiny", 64), ("x3d_tiny", 80), ("x3d_xs", 96 + 64)])
def test_logits_and_input_gradients_agree(name: str, side: int) -> None:
    reference = made(name)
    fast = fast_layout(reference)
    clips = clips_for(reference, side)
    with torch.no_grad():
        expected, found = reference(clips), fast(clips)
    assert expected.std() > 0
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))
    one, two = gradient(reference, clips), gradient(fast, clips)
    assert (one - two).norm() < 1e-4 * one.norm()


def test_the_original_is_left_alone() -> None:
    reference = made("x3d_tiny")
    before = {key: value.clone() for key, value in reference.state_dict().items()}
    fast_layout(reference)
    assert all(torch.equal(before[key], value) for key, value in reference.state_dict().items())
    assert all(parameter.requires_grad for parameter in reference.parameters())


def test_every_normalisation_is_folded() -> None:
    fast = fast_layout(made("x3d_tiny"))
    kinds = [type(module).__name__ for module in fast.modules()]
    assert "BatchNorm3d" not in kinds
    assert "DepthwiseConv3d" in kinds
    assert "Swish" not in kinds


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b4", "densenet121"])
def test_image_networks_on_frames_agree(name: str) -> None:
    pytest.importorskip("timm")
    reference = made(name)
    fast = fast_layout(reference)
    clips = torch.rand(1, 3, 2, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = reference(clips), fast(clips)
    assert expected.std() > 0
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    left = sum(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    # those of DenseNet stand before their convolutions
    assert (left == 0) == (name != "densenet121")
    activations = [
        sum(isinstance(module, torch.nn.ReLU | torch.nn.SiLU) for module in network.modules())
        for network in (reference, fast)
    ]
    assert activations[0] == activations[1] > 10


def test_training_gradients_of_all_parameters_agree_and_names_are_kept() -> None:
    reference = made("x3d_tiny")
    trained = training_layout(made("x3d_tiny"))
    assert list(reference.state_dict()) == list(trained.state_dict())
    clips = clips_for(reference, 64)
    losses: list[float] = []
    for classifier in (reference, trained):
        loss = functional.cross_entropy(classifier(clips), torch.arange(2))
        losses.append(float(loss.detach()))
        loss.backward()
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for (name, one), two in zip(reference.named_parameters(), trained.parameters(), strict=True):
        assert one.grad is not None, name
        assert two.grad is not None, name
        assert (one.grad - two.grad).norm() <= 1e-4 * one.grad.norm() + 1e-7, name


def test_positions_are_pooled_as_probabilities() -> None:
    logits = torch.randn(3, 5, 1, 2, 2) * 4
    pooled = torch.softmax(pool_positions(logits), dim=1)
    assert torch.allclose(pooled, torch.softmax(logits, dim=1).mean(dim=(2, 3, 4)), atol=1e-6)
    assert torch.equal(pool_positions(logits[:, :, :, :1, :1]), logits[:, :, 0, 0, 0])
    assert torch.equal(pool_positions(logits[:, :, 0, 0, 0]), logits[:, :, 0, 0, 0])


def test_clips_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 3, T, H, W\)"):
        made("x3d_tiny")(torch.rand(2, 8, 3, 64, 64))
