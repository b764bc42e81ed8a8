"""A network as everything else sees it: clips in [0, 1] go in, logits come out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from vidbench.model.zoo import Preprocess


class Classifier(nn.Module):
    """A video classifier whose input is unnormalised, so that attack budgets mean the same for every model.

    Normalisation and pooling over positions happen inside. `forward` takes `(N, 3, T, H, W)` float
    clips, RGB in [0, 1], and gives `(N, num_classes)` logits.

    Where the crop is larger than the network was trained with, its head gives logits at several
    positions. PySlowFast's rule is softmax at each position, then the mean; the logits given here
    are the logarithm of exactly that mean, so that softmax of them returns it
    (`slowfast/models/head_helper.py`, `X3DHead`). A network of several labels has sigmoid in softmax's place
    (`ResNetBasicHead` with `act_func="sigmoid"`).

    Args:
        net: Gives `(N, K)` or `(N, K, t, h, w)` logits for normalised clips.
        preprocess: The clips it wants.
        classes: Names of the K outputs; empty where they have none.
        several: Whether a clip may have several classes: probabilities by sigmoid.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        preprocess: Preprocess,
        num_classes: int,
        classes: tuple[str, ...] = (),
        several: bool = False,
    ) -> None:
        super().__init__()
        if classes and len(classes) != num_classes:
            raise ValueError(f"{num_classes} outputs, but {len(classes) = }")
        self.net = net
        self.preprocess = preprocess
        self.num_classes = num_classes
        self.classes = classes
        self.several = several
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits `(N, num_classes)` of `(N, 3, T, H, W)` clips in [0, 1]; differentiable."""
        if clips.ndim != 5 or clips.shape[1] != 3:
            raise ValueError(f"expected (N, 3, T, H, W), got {tuple(clips.shape) = }")
        # in place where that is free: the difference is nobody else's
        return pool_positions(self.net((clips - self.mean).div_(self.std)), self.several)

    def logits(self, clips: Tensor) -> Tensor:
        """The same as calling the classifier, by the name that attacks use."""
        result: Tensor = self(clips)
        return result

    def probabilities(self, logits: Tensor) -> Tensor:
        """`(N, num_classes)` in [0, 1] of such logits: softmax, or sigmoid where a clip may have several classes."""
        return torch.sigmoid(logits) if self.several else torch.softmax(logits, dim=1)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.mean.device


def pool_positions(logits: Tensor, several: bool = False) -> Tensor:
    """`(N, K, t, h, w)` logits to `(N, K)`: those of the mean of the positions' softmax, or sigmoid.

    A single position, or `(N, K)` input, passes through unchanged.
    """
    if logits.ndim == 2:
        return logits
    flat = logits.flatten(2)
    positions = flat.shape[2]
    if positions == 1:
        return flat[:, :, 0]
    if several:
        # log(p / (1 - p)) of the mean p
        return torch.logsumexp(logsigmoid(flat), dim=2) - torch.logsumexp(logsigmoid(-flat), dim=2)
    return torch.logsumexp(torch.log_softmax(flat, dim=1), dim=2) - math.log(positions)
