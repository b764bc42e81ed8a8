"""Channel-separated network of 101 layers (Tran 2019, arXiv:1904.02811), built by pytorchvideo."""

from __future__ import annotations

from torch import nn

from vidbench.model.hub import PER_POSITION, builder


def build_csn(num_classes: int) -> nn.Module:
    """A CSN for 32 frames with fresh weights and logits per position, `(N, num_classes, t, h, w)`."""
    return builder("csn", "create_csn")(
        model_depth=101,
        stem_pool=nn.MaxPool3d,
        head_pool_kernel_size=(4, 7, 7),
        model_num_class=num_classes,
        **PER_POSITION,
    )
