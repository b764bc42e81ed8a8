"""Non-local blocks (Wang 2018, arXiv:1711.07971), and how they get into the stages of pytorchvideo's networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Instantiation = Literal["softmax", "dot_product"]


@dataclass(frozen=True)
class NonLocal:
    """Where a network has non-local blocks, and of which kind.

    Attributes:
        after: Stage (2 to 5, as in res2 ... res5) to the residual blocks that one follows, counted from 0.
        instantiation: How the affinities of a position are made weights: softmax of them over the square root of the
            inner channels, or each divided by their number.
        pool: Frames, rows and columns that are pooled to one position of those that are looked at.
    """

    after: Mapping[int, tuple[int, ...]]
    instantiation: Instantiation
    pool: tuple[int, int, int] = (1, 2, 2)


class NonLocalBlock(nn.Module):
    """Adds to each position what it finds at all positions of the clip, in half as many channels.

    pytorchvideo's own layer of this kind (`pytorchvideo/layers/nonlocal_net.py`) has the same names of tensors.

    Args:
        channels: Of the features.
        instantiation: As `NonLocal` says.
        pool: Likewise.
    """

    def __init__(self, channels: int, instantiation: Instantiation, pool: tuple[int, int, int]) -> None:
        super().__init__()
        inner = channels // 2
        self.conv_theta = nn.Conv3d(channels, inner, 1)
        self.conv_phi = nn.Conv3d(channels, inner, 1)
        self.conv_g = nn.Conv3d(channels, inner, 1)
        self.conv_out = nn.Conv3d(inner, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        # a fresh block changes nothing, so that it can be put into a trained network
        nn.init.zeros_(self.norm.weight)
        self.pool: nn.Module = nn.MaxPool3d(pool, pool) if max(pool) > 1 else nn.Identity()
        self.instantiation = instantiation

    def forward(self, features: Tensor) -> Tensor:
        """`(N, C, t, h, w)` features, changed by what other positions hold."""
        others = self.pool(features)
        theta = self.conv_theta(features)
        asked, phi, given = theta.flatten(2), self.conv_phi(others).flatten(2), self.conv_g(others).flatten(2)
        affinity = torch.bmm(asked.transpose(1, 2), phi)
        if self.instantiation == "softmax":
            weights = torch.softmax(affinity * asked.shape[1] ** -0.5, dim=2)
        else:
            weights = affinity / affinity.shape[2]
        found = torch.bmm(given, weights.transpose(1, 2)).view_as(theta)
        result: Tensor = features + self.norm(self.conv_out(found))
        return result


class NonLocalStage(nn.Module):
    """A stage of residual blocks, some of which a non-local block follows.

    The residual blocks keep the names they have in pytorchvideo's `ResStage`; the non-local block after the residual
    block i is `nonlocal_blocks.i`.

    Args:
        res_blocks: In order.
        nonlocal_blocks: By the number of the block they follow.
    """

    def __init__(self, res_blocks: nn.ModuleList, nonlocal_blocks: Mapping[int, NonLocalBlock]) -> None:
        super().__init__()
        self.res_blocks = res_blocks
        self.nonlocal_blocks = nn.ModuleDict({str(after): block for after, block in sorted(nonlocal_blocks.items())})

    def forward(self, features: Tensor) -> Tensor:
        """`(N, C, t, h, w)` features to those of the stage."""
        for number, block in enumerate(self.res_blocks):
            features = block(features)
            if str(number) in self.nonlocal_blocks:
                features = self.nonlocal_blocks[str(number)](features)
        return features


def with_nonlocal(net: nn.Module, option: NonLocal | None) -> nn.Module:
    """The same network, changed in place: non-local blocks in its stages, of two pathways in the slow one.

    Args:
        net: Of pytorchvideo's `create_resnet` or `create_slowfast`.
        option: Which; None for none.

    Raises:
        ValueError: The network has no such stage, or the stage no such block.
    """
    if option is None:
        return net
    blocks: Any = net.blocks
    # holders of the slow pathway's stages res2 ... res5, and the name each has there
    places: list[tuple[Any, str]] = []
    for index, block in enumerate(blocks):
        holder, name = (block.multipathway_blocks, "0") if hasattr(block, "multipathway_blocks") else (blocks, index)
        if hasattr(holder[int(name)], "res_blocks"):
            places.append((holder, str(name)))
    for stage, after in option.after.items():
        if not 2 <= stage < 2 + len(places):
            raise ValueError(f"no stage res{stage} in this network")
        holder, name = places[stage - 2]
        residual = holder[int(name)].res_blocks
        if not all(0 <= number < len(residual) for number in after):
            raise ValueError(f"res{stage} has {len(residual)} blocks, so that none can follow each of {after}")
        channels = residual[-1].branch2.conv_c.out_channels
        made = {number: NonLocalBlock(channels, option.instantiation, option.pool) for number in after}
        holder[int(name)] = NonLocalStage(residual, made)
    return net
