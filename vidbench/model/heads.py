"""Classifying layers in place of a network's own: ML-Decoder, which asks the features about each group of classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidbench.errors import InputError

GROUPS, WIDTH, HEADS, HIDDEN, DROPOUT = 100, 768, 8, 2048, 0.1


class MlDecoder(nn.Module):
    """ML-Decoder (Ridnik et al. 2021, arXiv:2111.12933): one decoder layer without self-attention.

    Features of all positions are embedded by a linear layer and ReLU. At most 100 queries attend to them (8 heads,
    width 768, a hidden layer of 2048, dropout 0.1), and each query's answer gives the logits of its group of classes
    by a linear map of its own. Group g has the classes from `g * ceil(K / groups)` on.

    Args:
        channels: Of the features, C.
        num_classes: K.
        learnt: Whether queries are trained; otherwise they stay the normal draw that they begin as, as the CSIG
            robustness solutions have them.

    Attributes:
        out_features: K, as of a linear layer.
    """

    def __init__(self, channels: int, num_classes: int, *, learnt: bool = False) -> None:
        super().__init__()
        groups = min(GROUPS, num_classes)
        each = -(-num_classes // groups)
        self.in_features, self.out_features = channels, num_classes
        self.embed = nn.Linear(channels, WIDTH)
        self.queries = nn.Parameter(torch.randn(groups, WIDTH), requires_grad=learnt)
        self.dropouts = nn.ModuleList(nn.Dropout(DROPOUT) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, dropout=DROPOUT, batch_first=True)
        self.hidden, self.back = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(groups, WIDTH, each)))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(N, K)` of `(N, L, C)` features of L positions, in any order."""
        memory = functional.relu(self.embed(features))
        asked = self.queries.expand(len(features), -1, -1)
        asked = self.norms[0](asked + self.dropouts[0](asked))
        found, _ = self.attention(asked, memory, memory, need_weights=False)
        asked = self.norms[1](asked + self.dropouts[1](found))
        found = self.back(self.dropouts[2](functional.relu(self.hidden(asked))))
        asked = self.norms[2](asked + self.dropouts[3](found))
        grouped = torch.einsum("ngd,gdk->ngk", asked, self.weight.to(asked.dtype))
        return grouped.flatten(1)[:, : self.out_features] + self.bias


class PerPosition(MlDecoder):
    """The same where a network has a linear layer over positions: `(N, t, h, w, C)` to `(N, 1, 1, 1, K)`."""

    def forward(self, features: Tensor) -> Tensor:
        """One row of logits per clip."""
        return super().forward(features.flatten(1, 3))[:, None, None, None]


class Flattened(MlDecoder):
    """The same where a network flattens its features first: `(N, C * L)` to `(N, K)`."""

    def forward(self, features: Tensor) -> Tensor:
        """One row of logits per clip."""
        return super().forward(features.view(len(features), self.in_features, -1).transpose(1, 2))


def use_ml_decoder(net: nn.Module, learnt: bool = False) -> None:
    """Put an ML-Decoder, in place, where a network has its linear classifying layer, and take its pooling out.

    The decoder has the layer's name and number of classes, and fresh weights from torch's global generator. Networks
    are those with pytorchvideo's heads (X3D, C2D, I3D, Slow, R(2+1)D, SlowFast, CSN) and torchvision's residual ones.
    The fast pathway's features are averaged over time to as many steps as the slow one has.

    Raises:
        InputError: The network's head is of another kind.
    """
    blocks = getattr(net, "blocks", None)
    if isinstance(blocks, nn.ModuleList) and isinstance(getattr(blocks[-1], "proj", None), nn.Linear):
        head: Any = blocks[-1]
        before: Any = blocks[-2]
        pools = getattr(before, "pool", None)
        if hasattr(head.pool, "post_conv"):
            head.pool.pool = nn.Identity()
        elif isinstance(pools, nn.ModuleList) and len(pools) == 2:
            ratio = _time(pools[1]) // _time(pools[0])
            pools[0] = nn.Identity()
            pools[1] = nn.AvgPool3d((ratio, 1, 1), (ratio, 1, 1))
        elif type(head).__name__ == "ResNetBasicHead":
            head.pool = None
        else:
            raise _other(net)
        head.proj = _decoder(PerPosition, head.proj, learnt)
    elif type(net).__name__ == "VideoResNet" and isinstance(getattr(net, "fc", None), nn.Linear):
        found: Any = net
        found.avgpool = nn.Identity()
        found.fc = _decoder(Flattened, found.fc, learnt)
    else:
        raise _other(net)


def _decoder(kind: type[MlDecoder], linear: nn.Linear, learnt: bool) -> MlDecoder:
    if linear.weight.device.type == "meta":
        with torch.device("meta"):
            return kind(linear.in_features, linear.out_features, learnt=learnt)
    return kind(linear.in_features, linear.out_features, learnt=learnt).to(linear.weight)


def _time(pool: nn.Module) -> int:
    size = getattr(pool, "kernel_size", None)
    if not isinstance(size, tuple):
        raise InputError("an ML-Decoder does not fit: a pathway of this network is pooled in another way")
    return int(size[0])


def _other(net: nn.Module) -> InputError:
    return InputError(
        f"an ML-Decoder does not fit {type(net).__name__}, whose features are pooled in another way",
        "X3D, C2D, I3D, Slow, R(2+1)D, CSN and SlowFast take one.",
    )
