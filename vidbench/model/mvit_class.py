"""Multiscale vision transformers in PySlowFast's sizes (arXiv:2104.11227, arXiv:2112.01526), built by torchvision.

torchvision has constructors for MViTv1-B and MViTv2-S alone; its class `MViT` builds the others from a list of
blocks, which is derived here from the values that PySlowFast's configurations set.

Source: `configs/Kinetics/MVIT*.yaml` and `slowfast/models/video_model_builder.py` of PySlowFast, commit 287ec00.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision.models.video.mvit import MSBlockConfig, MViT  # type: ignore[import-untyped]

Triple = tuple[int, int, int]

# PySlowFast's POOL_KV_STRIDE_ADAPTIVE, the same in all of them
_FIRST_STRIDE_KV = (1, 8, 8)
# at a step the grid is halved in height and width
_HALF = (1, 2, 2)
_WHOLE = (1, 1, 1)


@dataclass(frozen=True)
class Settings:
    """What tells one MViT from another.

    Attributes:
        version: 1 or 2. Version 2 has relative positions and pooled residuals, and widens inside the attention.
        frames: Frames of its clips.
        size: Pixels of its square input.
        depth: Blocks.
        width: Channels of the first block.
        heads: Heads of the first block.
        steps: Blocks at which heads and channels double and the grid is halved.
        drop_path: Probability at the last block that its branch is dropped in training.
        kernel: Of all pooling (POOL_KVQ_KERNEL). Where the configuration sets none, each kernel follows from its
            stride, and is so large that windows overlap by one.
    """

    version: int
    frames: int
    size: int
    depth: int
    width: int
    heads: int
    steps: tuple[int, ...]
    drop_path: float
    kernel: Triple | None = (3, 3, 3)


SETTINGS: dict[str, Settings] = {
    "mvit_v1_b": Settings(1, 16, 224, 16, 96, 1, (1, 3, 14), 0.2),
    "mvit_v1_b24": Settings(1, 32, 224, 24, 96, 1, (2, 5, 21), 0.3, kernel=None),
    "mvit_v2_s": Settings(2, 16, 224, 16, 96, 1, (1, 3, 14), 0.2),
    "mvit_v2_b": Settings(2, 32, 224, 24, 96, 1, (2, 5, 21), 0.3),
    "mvit_v2_l": Settings(2, 40, 312, 48, 144, 2, (2, 8, 44), 0.75),
}


def build_mvit_class(name: str, num_classes: int) -> nn.Module:
    """A network with fresh weights; gives `(N, num_classes)` logits. Its tensors have torchvision's names.

    Args:
        name: "mvit_v1_b", "mvit_v1_b24", "mvit_v2_s", "mvit_v2_b" or "mvit_v2_l".
        num_classes: Outputs of the head.
    """
    settings = SETTINGS[name]
    second = settings.version == 2
    net: nn.Module = MViT(
        spatial_size=(settings.size, settings.size),
        temporal_size=settings.frames,
        block_setting=block_settings(settings),
        residual_pool=second,
        residual_with_cls_embed=False,
        rel_pos_embed=second,
        proj_after_attn=second,
        stochastic_depth_prob=settings.drop_path,
        num_classes=num_classes,
    )
    return net


def block_settings(settings: Settings) -> list[MSBlockConfig]:
    """The blocks in order, as torchvision's class takes them.

    Version 1 pools the queries at the steps alone, and the block before a step widens at its end. Version 2 pools
    the queries in every block, and widens at the step. Keys and values are pooled so much that their grid stays the
    same: by 8 at first, by half as much after each step.
    """
    blocks: list[MSBlockConfig] = []
    second = settings.version == 2
    heads, width = settings.heads, settings.width
    stride_kv = _FIRST_STRIDE_KV
    for index in range(settings.depth):
        stepping = index in settings.steps
        if stepping:
            heads *= 2
            stride_kv = _over(stride_kv, _HALF)
        # in version 1 the next block's step widens this one
        widening = stepping if second else index + 1 in settings.steps
        wider = 2 * width if widening else width
        stride_q = _HALF if stepping else _WHOLE
        pools = second or stepping
        blocks.append(
            MSBlockConfig(
                num_heads=heads,
                input_channels=width,
                output_channels=wider,
                kernel_q=_kernel(settings, stride_q) if pools else [],
                kernel_kv=_kernel(settings, stride_kv),
                stride_q=list(stride_q) if pools else [],
                stride_kv=list(stride_kv),
            )
        )
        width = wider
    return blocks


def _kernel(settings: Settings, stride: Triple) -> list[int]:
    return list(settings.kernel or (step + 1 if step > 1 else step for step in stride))


def _over(stride: Triple, by: Triple) -> Triple:
    time, height, width = (max(left // right, 1) for left, right in zip(stride, by, strict=True))
    return time, height, width
