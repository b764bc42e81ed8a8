"""The video networks of torchvision."""

from __future__ import annotations

from torch import nn
from torchvision.models import video  # type: ignore[import-untyped]


def build_torchvision(name: str, num_classes: int) -> nn.Module:
    """A network with fresh weights; gives `(N, num_classes)` logits.

    Args:
        name: "r3d_18", "mc3_18", "r2plus1d_18", "s3d", "mvit_v1_b", "mvit_v2_s", "swin3d_t", "swin3d_s" or "swin3d_b".
        num_classes: Outputs of the head.
    """
    net: nn.Module = getattr(video, name)(num_classes=num_classes)
    return net
