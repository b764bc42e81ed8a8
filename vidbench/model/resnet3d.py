"""C2D, I3D and Slow networks of 50 layers (Wang 2018, Feichtenhofer 2019), built by pytorchvideo."""

from __future__ import annotations

from typing import Any

from torch import nn

from vidbench.model.hub import PER_POSITION, builder

_FLAT, _DEEP = (1, 1, 1), (3, 1, 1)
# what each changes of create_resnet's defaults; C2D and I3D halve the frames after the first stage
_NETWORKS: dict[str, dict[str, Any]] = {
    "c2d_r50": {
        "stem_conv_kernel_size": (1, 7, 7),
        "stage1_pool": nn.MaxPool3d,
        "stage_conv_a_kernel_size": (_FLAT, _FLAT, _FLAT, _FLAT),
        "head_pool_kernel_size": (4, 7, 7),
    },
    "i3d_r50": {
        "stem_conv_kernel_size": (5, 7, 7),
        "stage1_pool": nn.MaxPool3d,
        "stage_conv_a_kernel_size": (
            (_DEEP, _DEEP, _DEEP),
            (_DEEP, _FLAT, _DEEP, _FLAT),
            (_DEEP, _FLAT, _DEEP, _FLAT, _DEEP, _FLAT),
            (_FLAT, _DEEP, _FLAT),
        ),
        "head_pool_kernel_size": (4, 7, 7),
    },
    "slow_r50": {"stem_conv_kernel_size": (1, 7, 7), "head_pool_kernel_size": (8, 7, 7)},
    "slow_r50_4x16": {"stem_conv_kernel_size": (1, 7, 7), "head_pool_kernel_size": (4, 7, 7)},
}


def build_resnet3d(name: str, num_classes: int) -> nn.Module:
    """A network with fresh weights whose head gives logits per position, `(N, num_classes, t, h, w)`.

    Args:
        name: "c2d_r50", "i3d_r50", "slow_r50" or "slow_r50_4x16".
        num_classes: Outputs of the head.
    """
    create = builder("resnet", "create_resnet")
    return create(model_depth=50, model_num_class=num_classes, **PER_POSITION, **_NETWORKS[name])
