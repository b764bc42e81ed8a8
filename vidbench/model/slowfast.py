"""SlowFast networks (Feichtenhofer 2019, arXiv:1812.03982), built by pytorchvideo."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vidbench.model.hub import PER_POSITION, builder
from vidbench.model.nonlocal_block import NonLocal, with_nonlocal

_FLAT, _DEEP = (1, 1, 1), (3, 1, 1)
# of the 23 blocks of the third stage only as many have temporal kernels as a network of 50 layers has
_SIX_OF_23 = (_DEEP,) * 6 + (_FLAT,) * 17
_AS_FIFTY = ((_FLAT, _FLAT, _SIX_OF_23, _DEEP), (_DEEP, _DEEP, _SIX_OF_23, _DEEP))
# alpha, and what each changes of create_slowfast's defaults
_NETWORKS: dict[str, tuple[int, dict[str, Any]]] = {
    "slowfast_r50": (4, {"model_depth": 50, "slowfast_fusion_conv_kernel_size": (7, 1, 1)}),
    "slowfast_r50_4x16": (
        8,
        {
            "model_depth": 50,
            "slowfast_fusion_conv_kernel_size": (5, 1, 1),
            "slowfast_fusion_conv_stride": (8, 1, 1),
            "head_pool_kernel_sizes": ((4, 7, 7), (32, 7, 7)),
        },
    ),
    "slowfast_16x8_r50": (
        4,
        {
            "model_depth": 50,
            "slowfast_fusion_conv_kernel_size": (7, 1, 1),
            "head_pool_kernel_sizes": ((16, 7, 7), (64, 7, 7)),
        },
    ),
    "slowfast_r101": (4, {"model_depth": 101, "slowfast_fusion_conv_kernel_size": (5, 1, 1)}),
    "slowfast_16x8_r101_50_50": (
        4,
        {
            "model_depth": 101,
            "slowfast_fusion_conv_kernel_size": (5, 1, 1),
            "stage_conv_a_kernel_sizes": _AS_FIFTY,
            "head_pool_kernel_sizes": ((16, 7, 7), (64, 7, 7)),
        },
    ),
}
# for regions: the last stage keeps the resolution of the third, with dilated kernels
_DILATED: dict[str, Any] = {
    "stage_conv_b_dilations": ((_FLAT, _FLAT, _FLAT, (1, 2, 2)),) * 2,
    "stage_spatial_strides": ((1, 2, 2, 1),) * 2,
}
_AVA_R101: dict[str, Any] = {
    "model_depth": 101,
    "slowfast_fusion_conv_kernel_size": (5, 1, 1),
    "stage_conv_a_kernel_sizes": _AS_FIFTY,
    **_DILATED,
}
_TRUNKS: dict[str, tuple[int, dict[str, Any]]] = {
    "slowfast_r50_detection": (
        4,
        {
            "model_depth": 50,
            "slowfast_fusion_conv_kernel_size": (7, 1, 1),
            "head_pool_kernel_sizes": ((8, 1, 1), (32, 1, 1)),
            **_DILATED,
        },
    ),
    "slowfast_32x2_r101_50_50_ava": (4, {**_AVA_R101, "head_pool_kernel_sizes": ((8, 1, 1), (32, 1, 1))}),
    "slowfast_64x2_r101_50_50_ava": (4, {**_AVA_R101, "head_pool_kernel_sizes": ((16, 1, 1), (64, 1, 1))}),
}
_AVA_NONLOCAL = NonLocal({4: (6, 13, 20)}, "dot_product", (2, 2, 2))
_NONLOCAL: dict[str, NonLocal] = {
    "slowfast_32x2_r101_50_50_ava": _AVA_NONLOCAL,
    "slowfast_64x2_r101_50_50_ava": _AVA_NONLOCAL,
}


def build_slowfast(name: str, num_classes: int) -> nn.Module:
    """A network with fresh weights that takes the fast pathway's clip, and packs the slow one itself.

    Its tensors have the names of the pytorchvideo network. Its head gives logits per position,
    `(N, num_classes, t, h, w)`.

    Args:
        name: "slowfast_r50", "slowfast_r50_4x16", "slowfast_16x8_r50", "slowfast_r101" or "slowfast_16x8_r101_50_50".
        num_classes: Outputs of the head.
    """
    alpha, changes = _NETWORKS[name]
    create = builder("slowfast", "create_slowfast")
    net = create(model_num_class=num_classes, **PER_POSITION, **changes)
    return TwoPathways(with_nonlocal(net, _NONLOCAL.get(name)), alpha)


def build_slowfast_trunk(name: str) -> nn.Module:
    """A network with fresh weights and without a head, for regions.

    It takes the fast pathway's clip as the others do, and gives `(N, 2304, 1, h, w)`, the mean over time of both
    pathways' features, at a sixteenth of the clip's size.

    Args:
        name: "slowfast_r50_detection", "slowfast_32x2_r101_50_50_ava" or "slowfast_64x2_r101_50_50_ava".
    """
    alpha, changes = _TRUNKS[name]
    create = builder("slowfast", "create_slowfast")
    return TwoPathways(with_nonlocal(create(head=None, **changes), _NONLOCAL.get(name)), alpha)


class TwoPathways(nn.Module):
    """A network of two pathways, called with the clip of the fast one.

    Args:
        net: A pytorchvideo `Net`; its blocks pass the list of slow and fast features on.
        alpha: Fast frames to one slow frame.
    """

    def __init__(self, net: nn.Module, alpha: int) -> None:
        super().__init__()
        # the blocks and not the network: the names stay those of the published file
        self.blocks = net.blocks
        self.alpha = alpha

    def forward(self, clips: Tensor) -> Tensor:
        """`(N, 3, T, H, W)` clips to what the last block gives; T a multiple of alpha."""
        slow = slow_indices(clips.shape[2], self.alpha).to(clips.device)
        # a fresh list each time: blocks overwrite its items
        features: Any = [clips.index_select(2, slow), clips]
        for block in self.blocks:  # type: ignore[union-attr]
            features = block(features)
        result: Tensor = features
        return result


def slow_indices(frames: int, alpha: int) -> Tensor:
    """Which of the fast pathway's frames the slow one takes: `frames // alpha` of them.

    Source: PySlowFast `slowfast/datasets/utils.py`, `pack_pathway_output`.
    """
    return torch.linspace(0, frames - 1, frames // alpha).long()
