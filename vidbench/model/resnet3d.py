"""C2D, I3D and Slow networks of 50 layers (Wang 2018, Feichtenhofer 2019), built by pytorchvideo."""

from __future__ import annotations

from typing import Any

from torch import nn

from vidbench.model.hub import PER_POSITION, builder
from vidbench.model.nonlocal_block import NonLocal, with_nonlocal

_FLAT, _DEEP = (1, 1, 1), (3, 1, 1)
_I3D: dict[str, Any] = {
    "stem_conv_kernel_size": (5, 7, 7),
    "stage1_pool": nn.MaxPool3d,
    "stage_conv_a_kernel_size": (
        (_DEEP, _DEEP, _DEEP),
        (_DEEP, _FLAT, _DEEP, _FLAT),
        (_DEEP, _FLAT, _DEEP, _FLAT, _DEEP, _FLAT),
        (_FLAT, _DEEP, _FLAT),
    ),
    "head_pool_kernel_size": (4, 7, 7),
}
# what each changes of create_resnet's defaults; C2D and I3D halve the frames after the first stage
_NETWORKS: dict[str, dict[str, Any]] = {
    "c2d_r50": {
        "stem_conv_kernel_size": (1, 7, 7),
        "stage1_pool": nn.MaxPool3d,
        "stage_conv_a_kernel_size": (_FLAT, _FLAT, _FLAT, _FLAT),
        "head_pool_kernel_size": (4, 7, 7),
    },
    # all frames are kept to the end
    "c2d_nopool_r50": {
        "stem_conv_kernel_size": (1, 7, 7),
        "stage_conv_a_kernel_size": (_FLAT, _FLAT, _FLAT, _FLAT),
        "head_pool_kernel_size": (8, 7, 7),
    },
    "i3d_r50": _I3D,
    "i3d_nln_r50": _I3D,
    "slow_r50": {"stem_conv_kernel_size": (1, 7, 7), "head_pool_kernel_size": (8, 7, 7)},
    "slow_r50_4x16": {"stem_conv_kernel_size": (1, 7, 7), "head_pool_kernel_size": (4, 7, 7)},
}
# five blocks: every second one of the third stage and of the fourth
_FIVE = {3: (1, 3), 4: (1, 3, 5)}
_NONLOCAL: dict[str, NonLocal] = {
    "i3d_nln_r50": NonLocal(_FIVE, "softmax"),
}
# networks without a head keep the resolution of the third stage in the last, with dilated kernels
_DILATED: dict[str, Any] = {
    "stage_conv_b_dilation": (_FLAT, _FLAT, _FLAT, (1, 2, 2)),
    "stage_spatial_h_stride": (1, 2, 2, 1),
    "stage_spatial_w_stride": (1, 2, 2, 1),
}
_TRUNKS: dict[str, dict[str, Any]] = {
    "slow_r50_detection": {"stem_conv_kernel_size": (1, 7, 7), **_DILATED},
}


def build_resnet3d(name: str, num_classes: int) -> nn.Module:
    """A network with fresh weights whose head gives logits per position, `(N, num_classes, t, h, w)`.

    Args:
        name: "c2d_r50", "c2d_nopool_r50", "i3d_r50", "i3d_nln_r50", "slow_r50" or "slow_r50_4x16".
        num_classes: Outputs of the head.
    """
    create = builder("resnet", "create_resnet")
    net = create(model_depth=50, model_num_class=num_classes, **PER_POSITION, **_NETWORKS[name])
    return with_nonlocal(net, _NONLOCAL.get(name))


def build_resnet3d_trunk(name: str) -> nn.Module:
    """A network with fresh weights and without a head, for regions: `(N, 2048, t, h, w)` at a sixteenth of the size.

    Args:
        name: "slow_r50_detection".
    """
    create = builder("resnet", "create_resnet")
    return with_nonlocal(create(model_depth=50, head=None, **_TRUNKS[name]), _NONLOCAL.get(name))
