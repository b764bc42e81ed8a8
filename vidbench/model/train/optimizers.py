"""Optimizers and their parameter groups: without decay, by depth, and what is held still."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidbench.errors import InputError
from vidbench.model.train.layers import depths, parts_named

SCALE = "lr_scale"
"""The key of a group's share of the learning rate."""


def parameter_groups(
    net: nn.Module, weight_decay: float, layer_decay: float = 1.0, head: str = ""
) -> list[dict[str, Any]]:
    """Groups of the parameters that want gradients.

    Biases, normalisation and everything else of one dimension at most have no weight decay. Each layer has its own
    share of the learning rate, `layer_decay ** (layers above it)`, 1 for the head (as in BEiT, arXiv:2106.08254).
    """
    depth = depths(net, head)
    top = max(depth.values(), default=0)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for decayed in (True, False):
        for name, parameter in net.named_parameters():
            if parameter.requires_grad and (parameter.ndim > 1) == decayed:
                layer = top - depth[name] if layer_decay != 1 else 0
                groups.setdefault((layer, decayed), []).append(parameter)
    return [
        {"params": some, "weight_decay": weight_decay if decayed else 0.0, SCALE: layer_decay**above}
        for (above, decayed), some in groups.items()
    ]


def build_optimizer(
    kind: Literal["adamw", "sgd"], groups: list[dict[str, Any]], lr: float, momentum: float
) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov's momentum."""
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0)
    return torch.optim.AdamW(groups, lr=lr)


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[SCALE]


def freeze(net: nn.Module, patterns: Iterable[str], head: str) -> tuple[str, ...]:
    """Take the parameters that patterns mean out of training; their names.

    Raises:
        InputError: A pattern that means nothing, or nothing is left to train.
    """
    still = parts_named(net, tuple(patterns), head)
    for name, parameter in net.named_parameters():
        if name in still:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise InputError("every parameter is frozen: nothing is left to train", "Freeze less.")
    return tuple(name for name, _ in net.named_parameters() if name in still)


def batch_norms(net: nn.Module) -> list[_BatchNorm]:
    """The batch normalisations that keep statistics."""
    return [part for part in net.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


def train_mode(net: nn.Module, freeze_bn: bool = False) -> None:
    """Training mode, but for the statistics of batch normalisations that are frozen.

    Frozen are all of them with `freeze_bn`, and otherwise those whose own parameters are all frozen: a part that
    is not trained computes what it computed before.
    """
    net.train()
    for norm in batch_norms(net):
        own = list(norm.parameters())
        if freeze_bn or (own and not any(parameter.requires_grad for parameter in own)):
            norm.eval()
