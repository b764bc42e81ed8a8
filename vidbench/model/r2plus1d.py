"""R(2+1)D of 50 layers (Tran 2018, arXiv:1711.11248), built by pytorchvideo."""

from __future__ import annotations

from torch import nn

from vidbench.model.hub import PER_POSITION, builder


def build_r2plus1d(num_classes: int) -> nn.Module:
    """An R(2+1)D for 16 frames with fresh weights and logits per position, `(N, num_classes, t, h, w)`.

    pytorchvideo's own ends in a softmax, which `Classifier` leaves to its callers.
    """
    return builder("r2plus1d", "create_r2plus1d")(dropout_rate=0.5, model_num_class=num_classes, **PER_POSITION)
