"""X3D arranged for CPUs of phones, built by pytorchvideo's accelerator."""

from __future__ import annotations

from torch import nn

from vidbench.model.hub import builder


def build_efficient_x3d(size: str, num_classes: int) -> nn.Module:
    """An EfficientX3D with fresh weights; it pools over all positions before its head: `(N, num_classes)` logits.

    Args:
        size: "xs" or "s", which are the same network.
        num_classes: Outputs of the head.
    """
    create = builder("accelerator.mobile_cpu.efficient_x3d", "create_x3d")
    return create(expansion=size.upper(), num_classes=num_classes)
