"""Image networks of timm as video classifiers: each frame by itself, and one pooling over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from vidbench.errors import InputError, MissingError

__all__ = [
    "ATTENTION",
    "BACKBONE",
    "COMPUTED",
    "FrameWise",
    "Pooling",
    "TemporalAttention",
    "build_framewise",
    "from_timm",
    "image_network",
    "to_timm",
]

Pooling = Literal["mean", "attention"]

BACKBONE = "backbone."
"""The front of the names of timm's tensors in `FrameWise`."""

ATTENTION = "attention."
"""The front of the names of the temporal attention's tensors, which no file of an image network has."""

COMPUTED = (".relative_position_index", ".attn_mask")
"""Ends of names of what Swin computes from its sizes: timm's files list it, its networks of today keep no such tensor
(`timm/models/swin_transformer.py`, `checkpoint_filter_fn`)."""


class TemporalAttention(nn.Module):
    """Multi-head self-attention over the frames of a clip, with a residual shortcut.

    Query, key, value and output are linear maps without bias; in training half of the attention weights and half
    of the outputs are dropped. There is no positional information: frames in another order give the same features
    in that order. This is the temporal fusion of the HUAWEI CSIG 2022 action network (ForeverPs/
    huawei_csig_action_recognition, `model/model.py` and `inference/example/temporal_module.py`, commit 6df2837),
    for any number of clips at a time.

    Args:
        width: Features of a frame, D; a multiple of `heads`.
        heads: Parts that attend apart from each other.
        dropout: Share of attention weights, and of outputs, that training drops; in [0, 1].

    Raises:
        ValueError: `width` does not divide into heads.
    """

    def __init__(self, width: int, heads: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"{width} features do not divide into {heads} heads")
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """`(N, T, D)` features of frames to `(N, T, D)`."""
        query, key, value = (
            linear(features).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        # written out: fvcore counts matrix products, but not torch's fused attention
        weights = torch.softmax(query @ key.transpose(2, 3) / query.shape[3] ** 0.5, dim=3)
        joined = (self.dropout(weights) @ value).transpose(1, 2).flatten(2)
        found: Tensor = features + self.dropout(self.out(joined))
        return found


class FrameWise(nn.Module):
    """An image network of timm on every frame of a clip; the frames' features become one before its classifier.

    With `pooling` "mean" the features are averaged over time, so that a clip of one frame gives exactly what the
    image network gives, and the tensors are the image network's under `BACKBONE`. With "attention" the frames attend
    to each other first (`TemporalAttention`), whose tensors stand under `ATTENTION`. Both are indifferent to the
    order of the frames.

    Args:
        backbone: A classifier of `timm.create_model`.
        pooling: "mean" or "attention".

    Raises:
        ValueError: Another pooling, or a width that does not divide into eight heads.
    """

    def __init__(self, backbone: nn.Module, pooling: Pooling = "mean") -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise ValueError(f"{pooling = } is none of {', '.join(get_args(Pooling))}")
        self.backbone = backbone
        self.pooling = pooling
        self.attention = TemporalAttention(_width(backbone)) if pooling == "attention" else None

    def forward(self, clips: Tensor) -> Tensor:
        """Logits `(N, K)` of normalised `(N, 3, T, H, W)` clips of any T >= 1; H and W as the image network wants."""
        if clips.ndim != 5 or clips.shape[2] < 1:
            raise ValueError(f"expected (N, 3, T, H, W), got {tuple(clips.shape) = }")
        count, _, length = clips.shape[:3]
        # a view where the clips are channels-last, a copy where they are not
        frames = clips.transpose(1, 2).flatten(0, 1)
        maps = self.backbone.forward_features(frames)  # type: ignore[operator]
        features: Tensor = self.backbone.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        features = features.reshape(count, length, -1)
        if self.attention is not None:
            features = self.attention(features)
        logits: Tensor = self.backbone.get_classifier()(features.mean(1))  # type: ignore[operator]
        return logits


def build_framewise(name: str, pooling: Pooling, num_classes: int) -> FrameWise:
    """A frame-wise network with fresh weights; gives `(N, num_classes)` logits.

    Args:
        name: Of the image network, as timm calls it.
        pooling: Over time.
        num_classes: Outputs of the head.

    Raises:
        MissingError: timm is not installed.
    """
    return FrameWise(image_network(name, num_classes), pooling)


def image_network(name: str, num_classes: int) -> nn.Module:
    """The image network alone, with fresh weights: `(N, 3, H, W)` images to `(N, num_classes)` logits.

    Raises:
        MissingError: timm is not installed.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise MissingError(
            f"the image network {name!r} needs the package {error.name!r}", "pip install 'vidbench[timm]'"
        ) from error
    net: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes)
    return net


def from_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of an image network under the names of `FrameWise`: `BACKBONE` before each, nothing else changed.

    What Swin computes by itself (`COMPUTED`) is left out. A state that has our names already comes back as it is.
    The tensors of `TemporalAttention` are not made up: strict loading into the attention variant names them as
    missing, unless they are to stay fresh: `load_strict(..., allow_replaced_head=ATTENTION)`.

    Args:
        state: Tensors by timm's names, as its published files have them.
    """
    if any(name.startswith(BACKBONE) for name in state):
        return dict(state)
    return {BACKBONE + name: value for name, value in state.items() if not name.endswith(COMPUTED)}


def to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_timm`: what `timm.create_model(...).load_state_dict` takes.

    Raises:
        InputError: The state has tensors that an image network has no place for, as those of the attention.
    """
    others = [name for name in state if not name.startswith(BACKBONE)]
    if others:
        raise InputError(
            f"no image network of timm has a place for {', '.join(others[:4])}"
            + (f", ... ({len(others)} in all)" if len(others) > 4 else "")
        )
    return {name.removeprefix(BACKBONE): value for name, value in state.items()}


def _width(backbone: nn.Module) -> int:
    """Features that the classifier takes: after the head's hidden layer, where it has one."""
    return int(getattr(backbone, "head_hidden_size", 0) or backbone.num_features)  # type: ignore[arg-type]
