"""Grad-CAM finds evidence where it is known to be, in every build of network, and leaves the network as it was."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vidbench.errors import UsageError
from vidbench.model.classifier import Classifier
from vidbench.model.gradcam import cam_layers, gradcam, heat_colours, overlay_heat
from vidbench.model.resolve import build
from vidbench.model.slowfast import TwoPathways
from vidbench.model.zoo import MODELS, Preprocess

PLAIN = Preprocess(4, 1, 16, 16, 16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Colours(nn.Module):
    """Classes red, green and blue: the logit is the mean of that channel above a half."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 3, 1)
        self.head = nn.Linear(3, 3)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None, None])
            self.conv.bias.fill_(-0.5)
            self.head.weight.copy_(torch.eye(3))
            self.head.bias.zero_()

    def forward(self, clips: Tensor) -> Tensor:
        # in place, as published networks do: what a hook keeps must not be overwritten
        features = functional.relu_(self.conv(clips))
        return self.head(features.mean((2, 3, 4)))


def small(net: nn.Module, classes: int) -> Classifier:
    return Classifier(net, PLAIN, classes).eval()


@cache
def untrained(name: str) -> Classifier:
    return build(MODELS.get(name), 7, (), seed=0).eval()


def test_the_heat_lies_where_the_class_is() -> None:
    clips = torch.zeros(2, 3, 4, 16, 16)
    clips[:, 0, 1, 2:5, 3:6] = 1  # red, early
    clips[:, 1, 3, 10:14, 8:12] = 1  # green, late
    found = gradcam(small(Colours(), 3), clips, [0, 1])
    for heat, (frame, rows, columns) in zip(
        found.combined, [(1, slice(2, 5), slice(3, 6)), (3, slice(10, 14), slice(8, 12))], strict=True
    ):
        expected = torch.zeros(4, 16, 16)
        expected[frame, rows, columns] = 1
        torch.testing.assert_close(heat, expected)
    assert gradcam(small(Colours(), 3), clips, [2, 2]).combined.abs().max() == 0


class Pooled(nn.Module):
    """Convolutions, the mean over positions, a linear head: here Grad-CAM is CAM."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 6, 3, (1, 2, 2), 1), nn.ReLU(), nn.Conv3d(6, 8, 3, (2, 2, 2), 1))
        self.head = nn.Linear(8, classes)

    def forward(self, clips: Tensor) -> Tensor:
        return self.head(self.body(clips).mean((2, 3, 4)))


def test_before_a_pooled_head_it_is_class_activation_mapping() -> None:
    torch.manual_seed(0)
    net = Pooled()
    clips, targets = torch.rand(3, 3, 4, 16, 16), [4, 0, 2]
    found = gradcam(small(net, 5), clips, targets)
    with torch.no_grad():
        maps = net.body(clips)
        cam = torch.einsum("nk,nkthw->nthw", net.head.weight[targets], maps)
    assert found.names == ("body.2",)
    assert found.raw[0].shape == (3, 2, 4, 4)
    torch.testing.assert_close(found.raw[0], functional.relu(cam) / cam[0].numel())
    larger = functional.interpolate(functional.relu(cam)[:, None], (4, 16, 16), mode="trilinear")[:, 0]
    assert larger.any()
    # of a clip without positive evidence the map stays zero
    torch.testing.assert_close(found.combined, torch.nan_to_num(larger / larger.amax((1, 2, 3), keepdim=True)))


def test_the_evidence_of_several_layers_adds_up_to_the_logit() -> None:
    """Two branches of other sizes before one linear head: their sum's mean is the logit less its bias."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine, self.coarse = nn.Conv3d(3, 4, 1), nn.Conv3d(3, 4, (4, 2, 2), (4, 2, 2))
            self.head = nn.Linear(8, 5)

        def forward(self, clips: Tensor) -> Tensor:
            return self.head(torch.cat([self.fine(clips).mean((2, 3, 4)), self.coarse(clips).mean((2, 3, 4))], 1))

    torch.manual_seed(1)
    net = Branches()
    with torch.no_grad():
        # all positive, so that cutting at zero takes nothing away
        for parameter in net.parameters():
            parameter.abs_()
    clips = torch.rand(1, 3, 4, 16, 16)
    found = gradcam(small(net, 5), clips, [3], ["fine", "coarse"])
    assert found.names == ("fine", "coarse")
    evidence = [functional.interpolate(one[:, None], (4, 16, 16), mode="trilinear") * one.numel() for one in found.raw]
    both = torch.stack(evidence).sum(0)[:, 0]
    logit = net(clips)[0, 3] - net.head.bias[3]
    # at the rim, interpolation repeats the outermost cells
    torch.testing.assert_close(both.mean(), logit.detach(), rtol=1e-2, atol=0)
    torch.testing.assert_close(found.combined, both / both.max())


def test_layers_behind_one_another_do_not_change_each_other() -> None:
    torch.manual_seed(2)
    classifier = small(Pooled(), 5)
    clips = torch.rand(1, 3, 4, 16, 16)
    both = gradcam(classifier, clips, [1], ["body.0", "body.2"])
    for index, name in enumerate(("body.0", "body.2")):
        torch.testing.assert_close(both.raw[index], gradcam(classifier, clips, [1], [name]).raw[0])


def test_the_logit_of_several_positions_is_their_mean() -> None:
    class PerPosition(Pooled):
        def forward(self, clips: Tensor) -> Tensor:
            return self.head(self.body(clips).movedim(1, -1)).movedim(-1, 1)

    torch.manual_seed(3)
    pooled = Pooled()
    positions = PerPosition()
    positions.load_state_dict(pooled.state_dict())
    clips = torch.rand(2, 3, 4, 16, 16)
    torch.testing.assert_close(
        gradcam(small(positions, 5), clips, [1, 2]).raw[0], gradcam(small(pooled, 5), clips, [1, 2]).raw[0]
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_the_network_is_left_as_it_was(frozen: bool) -> None:
    classifier = small(Pooled(), 5)
    classifier.requires_grad_(not frozen)
    clips = torch.rand(1, 3, 4, 16, 16, requires_grad=True)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    with torch.inference_mode():
        made = clips * 1
        found = gradcam(classifier, made, torch.tensor([2]))
    torch.testing.assert_close(found.combined, gradcam(classifier, clips, [2]).combined)
    assert not found.combined.requires_grad
    assert clips.grad is None
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert all(parameter.requires_grad is not frozen for parameter in classifier.parameters())
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in classifier.modules())


@pytest.mark.parametrize(
    ("name", "layer", "grid"),
    [
        ("x3d_xs", "blocks.4", (4, 5, 5)),
        pytest.param("c2d_r50", "blocks.5", (4, 7, 7), marks=pytest.mark.slow),
        ("efficient_x3d_xs", "s5", (4, 5, 5)),
        ("r3d_18", "layer4", (2, 7, 7)),
        pytest.param("swin3d_t", "norm", (4, 7, 7), marks=pytest.mark.slow),
        ("mvit_base_16x4", "blocks.15.norm1", (8, 7, 7)),
        pytest.param("mvit_v2_s", "blocks.15.norm1", (8, 7, 7), marks=pytest.mark.slow),
    ],
)
def test_single_path_networks(name: str, layer: str, grid: tuple[int, int, int]) -> None:
    classifier = untrained(name)
    size = classifier.preprocess
    frames = 8 if name == "swin3d_t" else size.frames
    clips = torch.rand(1, 3, frames, size.crop, size.crop, generator=torch.Generator().manual_seed(5))
    # of untrained networks some class may have nothing for it
    found = next(one for target in range(7) if (one := gradcam(classifier, clips, [target])).combined.any())
    assert cam_layers(classifier) == (layer,)
    assert found.raw[0].shape == (1, *grid)
    assert found.combined.shape == (1, frames, size.crop, size.crop)
    assert found.combined.min() >= 0
    assert found.combined.max() == 1


def test_two_pathways_have_a_map_each() -> None:
    classifier = build(MODELS.get("slowfast_r50"), 7, (), seed=0).eval()
    assert isinstance(classifier.net, TwoPathways)
    clips = torch.rand(1, 3, 32, 224, 224, generator=torch.Generator().manual_seed(5))
    found = gradcam(classifier, clips, [3])
    assert found.names == ("slow", "fast")
    assert [tuple(one.shape) for one in found.raw] == [(1, 8, 7, 7), (1, 32, 7, 7)]
    assert [tuple(one.shape) for one in (*found.maps, found.combined)] == [(1, 32, 224, 224)] * 3
    assert all(one.max() == 1 for one in (*found.maps, found.combined))
    assert not any(torch.equal(one, found.combined) for one in found.maps)


@pytest.mark.parametrize(
    ("name", "frames"), [("resnet10t", 3), ("vit_tiny_patch16_224", 3), ("vit_tiny_patch16_224", 1)]
)
def test_image_networks_have_a_map_per_frame(name: str, frames: int) -> None:
    """What is shown in another frame changes that frame's map alone, up to the common scale."""
    pytest.importorskip("timm")
    from vidbench.model.framewise import build_framewise

    torch.manual_seed(0)
    classifier = small(build_framewise(name, "mean", 5), 5)
    clips = torch.rand(2, 3, frames, 224, 224)
    found = gradcam(classifier, clips, [1, 2])
    assert found.raw[0].shape[:2] == (2, frames)
    assert found.combined.shape == (2, frames, 224, 224)
    swapped = gradcam(classifier, clips.flip(2), [1, 2])
    torch.testing.assert_close(swapped.raw[0], found.raw[0].flip(1), rtol=1e-3, atol=1e-7)
    apart = gradcam(classifier, clips[1:], [2])
    torch.testing.assert_close(apart.raw[0], found.raw[0][1:], rtol=1e-3, atol=1e-7)


def test_what_cannot_be_is_said() -> None:
    classifier = small(Pooled(), 5)
    clips = torch.rand(1, 3, 4, 16, 16)
    with pytest.raises(UsageError, match="no layer 'tail'"):
        cam_layers(classifier, ["tail"])
    with pytest.raises(UsageError, match=r"lies on no grid"):
        gradcam(classifier, clips, [0], ["head"])
    with pytest.raises(UsageError, match="it has no convolution"):
        cam_layers(small(nn.Sequential(nn.Flatten(), nn.Linear(3072, 5)), 5))
    with pytest.raises(ValueError, match="a target outside 0 to 4"):
        gradcam(classifier, clips, [5])
    with pytest.raises(ValueError, match="evaluation mode"):
        gradcam(classifier.train(), clips, [0])


def test_behind_a_class_token_there_is_nothing_to_see() -> None:
    """Of the last block's output the head reads the class token alone."""
    classifier = untrained("mvit_base_16x4")
    with pytest.raises(UsageError, match="does not depend"):
        gradcam(classifier, torch.rand(1, 3, 16, 224, 224), [0], ["norm_embed"])


def test_colours_rise_in_lightness() -> None:
    colours = heat_colours(np.linspace(0, 1, 101)).astype(float)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert heat_colours(np.array(2.0)).tolist() == heat_colours(np.array(1.0)).tolist() == [252, 255, 164]


def test_an_overlay_is_grey_where_it_is_cold_and_coloured_where_it_is_hot() -> None:
    frame = np.full((2, 4, 6, 3), (200, 100, 50), dtype=np.uint8)
    heat = np.zeros((2, 4, 6))
    heat[1, 2, 3] = 1
    shown = overlay_heat(frame, heat)
    assert shown.dtype == np.uint8
    assert shown.shape == frame.shape
    grey = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert (shown[heat == 0] == grey).all()
    assert shown[1, 2, 3].tolist() == [round(0.25 * 124.2 + 0.75 * one) for one in (252, 255, 164)]
    with pytest.raises(ValueError, match="do not fit"):
        overlay_heat(frame, heat[:1])
