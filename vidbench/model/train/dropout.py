"""Dropout before the classifying layer of any network: its own where it has one, otherwise one in front of it."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from vidbench.errors import InputError


def head_dropout(net: nn.Module, head: str, share: float) -> None:
    """Set the dropout that the classifying layer's input goes through in training; in place.

    Names of tensors stay what they are: a network without dropout drops in a hook before its last linear layer.

    Args:
        net: The network.
        head: The front of the names of the classifying layer's tensors, as "fc." or "blocks.5.proj.".
        share: Probability of each value, in [0, 1).

    Raises:
        InputError: There is no classifying layer to put it before.
    """
    name = head.rstrip(".")
    parts = dict(net.named_modules())
    layer = parts.get(name)
    if not name or layer is None:
        raise InputError("--dropout: the network has no classifying layer that it could stand before")
    around = name.rpartition(".")[0]
    # within the part that holds the layer alone: dropout elsewhere is the network's own affair
    own = [
        part
        for other, part in parts.items()
        if isinstance(part, _DropoutNd) and around and other.rpartition(".")[0] == around
    ]
    for part in own:
        part.p = share
    if not own:
        layer.register_forward_pre_hook(_Drop(share))


class _Drop:
    """A hook that drops from the first input of a layer while that is trained."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (functional.dropout(inputs[0], self.share, layer.training), *inputs[1:])
