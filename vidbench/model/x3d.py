"""X3D networks (Feichtenhofer 2020, arXiv:2004.04730), built by pytorchvideo."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

# what each size changes of create_x3d's defaults; the head pools over the training clip and crop
_SIZES: dict[str, dict[str, Any]] = {
    "xs": {"input_clip_length": 4, "input_crop_size": 160},
    "s": {"input_clip_length": 13, "input_crop_size": 160},
    "m": {"input_clip_length": 16, "input_crop_size": 224},
    "l": {"input_clip_length": 16, "input_crop_size": 312, "depth_factor": 5.0},
    # few positions and many channels: a step is cheap, and motions are about one position per frame,
    # which is what a 3 x 3 x 3 depthwise kernel can tell the direction of
    "tiny": {
        "input_clip_length": 8,
        "input_crop_size": 64,
        "width_factor": 1.0,
        "depth_factor": 0.5,
        "bottleneck_factor": 1.0,
        "stem_dim_in": 24,
        "stem_conv_kernel_size": (5, 9, 9),
        "stem_conv_stride": (1, 8, 8),
        "stage_spatial_stride": (1, 1, 2, 2),
        "head_dim_out": 256,
        "dropout_rate": 0.0,
    },
}


def build_x3d(size: str, num_classes: int) -> nn.Module:
    """An X3D with fresh weights.

    The head gives logits per position, `(N, num_classes, t, h, w)`: pytorchvideo's own softmax and
    average over positions are left to `Classifier`, which attacks and losses need before them.

    Args:
        size: "xs", "s", "m", "l", or "tiny" (7 blocks on a grid of 8 x 8 positions).
        num_classes: Outputs of the head.
    """
    with warnings.catch_warnings():
        # pytorchvideo scripts its activations at import, which torch has deprecated
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        from pytorchvideo.models.x3d import create_x3d

    net: nn.Module = create_x3d(
        model_num_class=num_classes,
        head_activation=None,
        head_output_with_global_average=False,
        **_SIZES[size],
    )
    if size == "tiny":
        _start_blind_to_stills(net)
    return net


def _start_blind_to_stills(net: nn.Module) -> None:
    """Take the mean off the stem's temporal kernels, so that at first only what changes gets through.

    From the usual start it takes longer until motion stands out from the scene.
    """
    stem: Any = net.blocks[0]  # type: ignore[index]
    # pytorchvideo names the two the other way round: conv_xy is the temporal one
    kernels = stem.conv.conv_xy.weight
    with torch.no_grad():
        kernels.sub_(kernels.mean(2, keepdim=True))


HEAD = "blocks.5.proj."
