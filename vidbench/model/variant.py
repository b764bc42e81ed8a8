"""How a network differs from its catalogue entry: batch normalisation's epsilon, exchanged layers, no head yet.

Weights that were trained in such a network are only themselves in such a network. None of it shows in names and
shapes alone, so `model.json` carries it, and whoever builds the network applies it before loading.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidbench.errors import InputError
from vidbench.model.heads import use_ml_decoder

Layers = Literal["", "tclr"]
Head = Literal["", "ml-decoder", "ml-decoder-learnt"]


@dataclass(frozen=True)
class Variant:
    """What is different; without arguments, nothing.

    Attributes:
        bn_eps: Epsilon of every batch normalisation; None for the network's own.
        layers: "tclr" for the first block of the last stage of R(2+1)D-18 as TCLR has it; see `apply_variant`.
        head: Whether the weights have a classifying layer; without one they are a start for training alone.
        classifier: The classifying layer in place of the linear one, with queries as drawn or learnt; "" for none.
    """

    bn_eps: float | None = None
    layers: Layers = ""
    head: bool = True
    classifier: Head = ""

    def facts(self) -> dict[str, Any]:
        """As JSON values; the classifying layer only where it is another."""
        return {name: value for name, value in asdict(self).items() if name != "classifier" or value}


UNCHANGED = Variant()


def apply_variant(net: nn.Module, variant: Variant) -> None:
    """Change a network in place, before its weights are loaded; exchanged layers get fresh weights.

    "tclr" is the change of TCLR (arXiv:2101.07974) to torchvision's `r2plus1d_18`: `layer4[0].conv1[0]` becomes one
    3 x 3 x 3 convolution with a dilation of two over time in place of a spatial and a temporal one, and neither it
    nor the shortcut beside it strides over time. The last stage so has twice the time steps. The fresh weights are
    drawn from torch's global generator.

    Raises:
        InputError: The network has no such layers, no batch normalisation to set, or a head of another kind.
    """
    if variant.layers == "tclr":
        _tclr_layers(net)
    if variant.classifier:
        use_ml_decoder(net, learnt=variant.classifier == "ml-decoder-learnt")
    if variant.bn_eps is None:
        return
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise InputError("the network has no batch normalisation, whose epsilon is to be set")
    for norm in norms:
        norm.eps = variant.bn_eps


def _tclr_layers(net: nn.Module) -> None:
    try:
        conv, shortcut = net.get_submodule("layer4.0.conv1"), net.get_submodule("layer4.0.downsample")
    except AttributeError as error:
        raise InputError("TCLR's layers are those of r2plus1d_18; this network has none of them") from error
    if not isinstance(conv, nn.Sequential) or not isinstance(shortcut, nn.Sequential) or not _splits(conv[0]):
        raise InputError("TCLR's layers are those of r2plus1d_18; this network is built otherwise")
    like = next(net.parameters())
    wide = nn.Conv3d(256, 512, 3, stride=(1, 2, 2), padding=(2, 1, 1), dilation=(2, 1, 1), bias=False)
    narrow = nn.Conv3d(256, 512, 1, stride=(1, 2, 2), bias=False)
    if like.device.type != "meta":
        for layer in (wide, narrow):
            # as torchvision draws the network's other convolutions
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    conv[0] = wide.to(device=like.device, dtype=like.dtype)
    shortcut[0] = narrow.to(device=like.device, dtype=like.dtype)


def _splits(first: nn.Module) -> bool:
    """Whether it is a (2+1)D convolution, or the one that TCLR has in its place."""
    return isinstance(first, nn.Sequential) or (isinstance(first, nn.Conv3d) and first.dilation == (2, 1, 1))
