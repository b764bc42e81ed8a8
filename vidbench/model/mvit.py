"""Multiscale vision transformers, MViTv1-B (Fan 2021, arXiv:2104.11227), built by pytorchvideo."""

from __future__ import annotations

from torch import nn

from vidbench.model.hub import builder

# at these blocks channels and heads double and the grid is halved
_STEPS = (1, 3, 14)


def build_mvit(frames: int, num_classes: int) -> nn.Module:
    """An MViTv1-B of 16 blocks with fresh weights; gives `(N, num_classes)` logits.

    Args:
        frames: Frames of its clips, of 224 x 224 pixels: the position embedding is made for them.
        num_classes: Outputs of the head.
    """
    return builder("vision_transformers", "create_multiscale_vision_transformers")(
        spatial_size=224,
        temporal_size=frames,
        embed_dim_mul=[[block, 2.0] for block in _STEPS],
        atten_head_mul=[[block, 2.0] for block in _STEPS],
        pool_q_stride_size=[[block, 1, 2, 2] for block in _STEPS],
        pool_kv_stride_adaptive=[1, 8, 8],
        pool_kvq_kernel=[3, 3, 3],
        head_num_classes=num_classes,
    )
