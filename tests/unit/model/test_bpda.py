"""Modules that ruin gradients are found in any model, honest ones are not, and the identity takes their place."""

import pytest
import torch
from torch import Tensor, nn

from vidbench.errors import UsageError
from vidbench.model.card import Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.defence.concealment import GradientConcealment
from vidbench.model.defences import defend, near_identity_modules, with_identity_backward
from vidbench.model.layout import fast_layout
from vidbench.model.resolve import build
from vidbench.model.zoo import MODELS

SIZE = Preprocess(4, 1, 16, 16, 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Rounded(nn.Module):
    """To 10 bits: a zero derivative."""

    def forward(self, values: Tensor) -> Tensor:
        return (values * 1023).round() / 1023


class Cut(nn.Module):
    """The same values, cut off from the graph."""

    def forward(self, values: Tensor) -> Tensor:
        return values.detach().clone()


class Shaken(nn.Module):
    """Noise too small to matter: random, but its gradient is right."""

    def forward(self, values: Tensor) -> Tensor:
        return values + 1e-5 * torch.randn_like(values)


class Halved(nn.Module):
    """In place, and honest."""

    def forward(self, values: Tensor) -> Tensor:
        return values.mul_(1.0005)


class Wrapped(nn.Module):
    def __init__(self, front: nn.Module, net: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.net = net

    def forward(self, clips: Tensor) -> Tensor:
        result: Tensor = self.net(self.front(clips))
        return result


@pytest.fixture
def clips() -> Tensor:
    return torch.rand(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("front", [GradientConcealment(), Rounded(), Cut()])
def test_finds_what_ruins_gradients(net: nn.Module, clips: Tensor, front: nn.Module) -> None:
    model = Wrapped(nn.Sequential(nn.Identity(), front), net)
    (found,) = near_identity_modules(model, clips)
    # the sequence as a whole is no more than what is in it
    assert found.path == "front"
    assert found.change <= 1e-3
    assert abs(found.trust) < 1e-6


@pytest.mark.parametrize("front", [nn.Identity(), nn.Dropout(0.5), nn.ReLU(), nn.Hardtanh(0, 1), Shaken(), Halved()])
def test_leaves_the_honest_alone(net: nn.Module, clips: Tensor, front: nn.Module) -> None:
    before = clips.clone()
    assert near_identity_modules(Wrapped(front.eval(), net), clips.clone()) == []
    assert torch.equal(clips, before)


def test_tau_is_the_largest_change(net: nn.Module, clips: Tensor) -> None:
    model = Classifier(Wrapped(nn.Identity(), net), SIZE, 5).eval()
    coarse = defend(model, "bits:6")
    hidden = Wrapped(Plain6(), net)
    assert near_identity_modules(hidden, clips, tau=5e-3) == []
    (found,) = near_identity_modules(hidden, clips, tau=2e-2)
    assert found.path == "front"
    assert found.change == pytest.approx(0.5 / 63, rel=0.01)
    # a defence whose backward pass is the identity already can be trusted
    assert near_identity_modules(coarse, clips, tau=2e-2) == []


class Plain6(nn.Module):
    """To 6 bits without an identity backward."""

    def forward(self, values: Tensor) -> Tensor:
        return (values * 63).round() / 63


def test_scanning_changes_nothing(net: nn.Module, clips: Tensor) -> None:
    model = Wrapped(GradientConcealment(), net)
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    near_identity_modules(model, clips)
    assert torch.equal(torch.rand(3), wanted)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("layout", ["reference", "fast"])
def test_a_real_network_is_honest_and_its_concealment_is_found(layout: str) -> None:
    card = MODELS.get("x3d_tiny")
    network = build(card, 6, (), 0).eval().requires_grad_(False)
    size = card.preprocess
    some = torch.rand(1, 3, size.frames, size.crop, size.crop, generator=torch.Generator().manual_seed(0))
    hidden = defend(network, "gcm")
    if layout == "fast":
        network, hidden = fast_layout(network), fast_layout(hidden)
    assert near_identity_modules(network, some) == []
    assert [found.path for found in near_identity_modules(hidden, some)] == ["defences.0"]


def test_the_identity_takes_their_place(net: nn.Module, clips: Tensor) -> None:
    model = Wrapped(nn.Sequential(nn.Identity(), GradientConcealment()), net)
    paths = [found.path for found in near_identity_modules(model, clips)]
    mended = with_identity_backward(model, paths)
    assert torch.equal(mended(clips), model(clips))
    assert near_identity_modules(mended, clips) == []

    def gradient(of: nn.Module) -> Tensor:
        point = clips.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(of(point)[:, 0].sum(), point)
        return found

    # the logits differ by rounding, and so a ReLU may
    assert torch.allclose(gradient(mended), gradient(net), atol=1e-5)
    assert not torch.allclose(gradient(model), gradient(net), atol=1.0)
    # the model itself is as it was, and its weights are shared
    assert isinstance(model.front, nn.Sequential)
    assert {id(one) for one in mended.parameters()} == {id(one) for one in model.parameters()}


def test_a_module_that_is_not_there(net: nn.Module) -> None:
    model = Wrapped(nn.Identity(), net)
    with pytest.raises(UsageError, match="front"):
        with_identity_backward(model, ["fron"])
    with pytest.raises(UsageError, match="no module"):
        with_identity_backward(model, [""])
