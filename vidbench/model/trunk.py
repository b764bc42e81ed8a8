"""Classifiers without their heads: networks that give features of a clip, of which detectors classify regions.

The tensors that are left keep their names, so that weights of a classifier fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import interpolate
from torchvision.models.video import S3D, MViT, SwinTransformer3d, VideoResNet  # type: ignore[import-untyped]

from vidbench.errors import InputError
from vidbench.model.card import ModelCard
from vidbench.model.slowfast import TwoPathways

# of the clips that a trunk is tried out with
_SIDE = 256
# what heads have beside the classifying layer, which follows the pooling as well
_BESIDE_HEAD = {"X3D": ("blocks.5.pool.post_conv.",), "EfficientX3D": ("head.lin_5.",)}
# of the classifiers that the published detectors were trained from
_OF_DETECTORS = ("blocks.5.proj.", "blocks.6.proj.")


def build_trunk(net: nn.Module, card: ModelCard, dilated: bool = False) -> nn.Module:
    """The network up to its last features before any pooling over time and space; `net` is taken apart.

    Called with `(N, 3, T, H, W)` normalised clips, of any height and width, it gives `(N, C, t, h, w)`. Of two
    pathways, which differ in their number of frames, it gives the means over time, `(N, C, 1, h, w)`. An X3D's
    features are those after the convolution before its pooling. An MViT's are the tokens of its last block as a grid,
    without the class token; its position embeddings are interpolated where the clip has another size than they were
    made for (over space bicubically, over time linearly, as PySlowFast does when it loads them). A Swin pads.

    Args:
        net: What `card.build` gives.
        card: The network.
        dilated: Take the spatial stride out of the last stage and dilate its kernels by two in its place.

    Raises:
        InputError: A network whose features have no place and time, or without a last stage to dilate.
    """
    if card.framewise:
        raise InputError(
            f"{card.name} looks at each frame by itself: it has no features over time to take regions from",
            "Take a 3-D network, as x3d_s or slow_r50; `vidbench model list` shows all.",
        )
    trunk, last = _cut(net, card)
    if dilated:
        if last is None:
            raise InputError(
                f"the last stage of {card.name} cannot be dilated: that is for networks of residual stages",
                "Leave the resolution of its features as it is.",
            )
        dilate(last)
    return trunk.train(net.training)


def head_fronts(card: ModelCard) -> tuple[str, ...]:
    """Fronts of the names of a classifier's tensors that its trunk does not have."""
    if card.task == "detect":
        return _OF_DETECTORS
    return (*_BESIDE_HEAD.get(card.family, ()), *((card.head,) if card.head else ()))


@dataclass(frozen=True)
class Features:
    """What a trunk gives.

    Attributes:
        channels: Of the features.
        stride: Pixels of the clip from one position to the next.
    """

    channels: int
    stride: int


def features_of(trunk: nn.Module, frames: int) -> Features:
    """Find out from shapes alone what a trunk gives for clips of so many frames; nothing is computed or changed."""
    tensors = {**dict(trunk.named_parameters()), **dict(trunk.named_buffers())}
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    training = trunk.training
    trunk.eval()
    with torch.no_grad():
        found = functional_call(trunk, shapes, torch.empty(1, 3, frames, _SIDE, _SIDE, device="meta"))
    trunk.train(training)
    return Features(found.shape[1], _SIDE // found.shape[3])


def dilate(stage: nn.Module) -> None:
    """Let a stage, in place, keep its input's height and width: no stride, and kernels that reach twice as far.

    Source: PySlowFast's `RESNET.SPATIAL_STRIDES` and `SPATIAL_DILATIONS` of its AVA configurations, where all kernels
    of the stage are dilated, those of the block that had the stride as well.
    """
    for conv in stage.modules():
        if isinstance(conv, nn.Conv3d):
            conv.stride = (int(conv.stride[0]), 1, 1)
            if max(conv.kernel_size[1:]) > 1:
                conv.dilation = (int(conv.dilation[0]), 2, 2)
                high, wide = (2 * (size // 2) for size in conv.kernel_size[1:])
                conv.padding = (int(conv.padding[0]), high, wide)


def _cut(net: Any, card: ModelCard) -> tuple[nn.Module, nn.Module | None]:
    """The trunk, and its last stage where that is one of residual blocks."""
    kind = type(net).__name__
    if isinstance(net, TwoPathways):
        # the last two pool over fixed numbers of frames, and classify
        stages: list[nn.Module] = list(net.blocks)[:-2]  # type: ignore[arg-type]
        net.blocks = nn.ModuleList([*stages, _MeansOverTime()])
        return net, stages[-1]
    if kind == "Net" and hasattr(net, "blocks"):
        *stages, head = net.blocks
        # X3D projects the features before it pools them
        before = [_BeforePooling(head.pool)] if hasattr(head.pool, "pre_conv") else []
        return _Stages({"blocks": nn.Sequential(*stages, *before)}), stages[-1]
    if kind == "EfficientX3d":
        names = ("s1", "s2", "s3", "s4", "s5")
        projection = nn.Sequential(OrderedDict(conv_5=net.head.conv_5))
        return _Stages({name: getattr(net, name) for name in names} | {"head": projection}), net.s5
    if isinstance(net, VideoResNet):
        names = ("stem", "layer1", "layer2", "layer3", "layer4")
        return _Stages({name: getattr(net, name) for name in names}), net.layer4
    if isinstance(net, S3D):
        return _Stages({"features": net.features}), None
    if isinstance(net, SwinTransformer3d):
        return _SwinTrunk(net), None
    if isinstance(net, MViT):
        return _MViTTrunk(net), None
    if kind == "MultiscaleVisionTransformers":
        return _HubMViTTrunk(net), None
    raise InputError(
        f"{card.name} is a {kind}, and it is not known where its head begins",
        "Detectors are built on the 3-D networks that vidbench brings; `vidbench model list` shows them.",
    )


class _Stages(nn.Module):
    """Modules one after the other, by their names in the network they are from."""

    def __init__(self, stages: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, stage in stages.items():
            self.add_module(name, stage)

    def forward(self, clips: Tensor) -> Tensor:
        features = clips
        for stage in self.children():
            features = stage(features)
        return features


class _BeforePooling(nn.Module):
    """The part of an X3D's head that comes before its pooling, by the names it has there."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool = _Projection(pool.pre_conv, pool.pre_norm, pool.pre_act)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.pool(features)
        return result


class _Projection(nn.Module):
    def __init__(self, pre_conv: nn.Module, pre_norm: nn.Module | None, pre_act: nn.Module) -> None:
        super().__init__()
        self.pre_conv = pre_conv
        self.pre_norm = pre_norm
        self.pre_act = pre_act

    def forward(self, features: Tensor) -> Tensor:
        features = self.pre_conv(features)
        # none where it is folded into the convolution
        if self.pre_norm is not None:
            features = self.pre_norm(features)
        result: Tensor = self.pre_act(features)
        return result


class _MeansOverTime(nn.Module):
    """Each pathway's mean over its own number of frames, and their channels together."""

    def forward(self, pathways: list[Tensor]) -> Tensor:
        return torch.cat([features.mean(2, keepdim=True) for features in pathways], dim=1)


class _SwinTrunk(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.patch_embed = net.patch_embed
        self.pos_drop = net.pos_drop
        self.features = net.features
        self.norm = net.norm

    def forward(self, clips: Tensor) -> Tensor:
        # channels are the last dimension inside
        last: Tensor = self.norm(self.features(self.pos_drop(self.patch_embed(clips))))
        return last.permute(0, 4, 1, 2, 3)


class _MViTTrunk(nn.Module):
    """torchvision's class; version 2 has relative positions in its attention, which interpolates them itself."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.conv_proj = net.conv_proj
        self.pos_encoding = net.pos_encoding
        self.blocks = net.blocks
        self.norm = net.norm

    def forward(self, clips: Tensor) -> Tensor:
        patches = self.conv_proj(clips)
        grid = tuple(patches.shape[2:])
        own = self.pos_encoding
        tokens = torch.cat((own.class_token.expand(len(clips), 1, -1), patches.flatten(2).transpose(1, 2)), dim=1)
        if own.spatial_pos is not None:
            made_for = (own.temporal_size, *own.spatial_size)
            positions = _positions(own.temporal_pos, own.spatial_pos, made_for, grid)
            tokens = tokens + torch.cat((own.class_pos[None], positions))
        for block in self.blocks:
            tokens, grid = block(tokens, grid)
        return _as_grid(self.norm(tokens), grid)


class _HubMViTTrunk(nn.Module):
    """pytorchvideo's class, with absolute positions of time and space apart from each other."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.patch_embed = net.patch_embed
        self.cls_positional_encoding = net.cls_positional_encoding
        self.blocks = net.blocks
        self.norm_embed = net.norm_embed

    def forward(self, clips: Tensor) -> Tensor:
        patches = self.patch_embed.patch_model(clips)
        grid = tuple(patches.shape[2:])
        own = self.cls_positional_encoding
        tokens = torch.cat((own.cls_token.expand(len(clips), -1, -1), patches.flatten(2).transpose(1, 2)), dim=1)
        positions = _positions(own.pos_embed_temporal[0], own.pos_embed_spatial[0], own.patch_embed_shape, grid)
        tokens = tokens + torch.cat((own.pos_embed_class[0], positions))
        for block in self.blocks:
            tokens, grid = block(tokens, grid)
        return _as_grid(self.norm_embed(tokens), grid)


def _positions(temporal: Tensor, spatial: Tensor, made_for: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    """`(t * h * w, C)` embeddings for a grid, of those of `(T, C)` times and `(H * W, C)` places of another."""
    if grid[0] != made_for[0]:
        temporal = interpolate(temporal.t()[None], size=grid[0], mode="linear")[0].t()
    if grid[1:] != tuple(made_for[1:]):
        places = spatial.t().reshape(1, -1, *made_for[1:])
        spatial = interpolate(places, size=grid[1:], mode="bicubic", align_corners=False)[0].flatten(1).t()
    return (temporal[:, None] + spatial[None]).flatten(0, 1)


def _as_grid(tokens: Tensor, grid: tuple[int, ...]) -> Tensor:
    """`(N, 1 + t * h * w, C)` tokens, the first of which stands for the class, to `(N, C, t, h, w)`."""
    return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, *grid)
