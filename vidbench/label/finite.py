"""A hook for networks that find persons: what is not finite is an error, before a threshold drops it unseen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


def refuse_non_finite(module: nn.Module) -> None:
    """Make a part of a network raise a ValueError where its output has values that are not finite."""
    module.register_forward_hook(_look)


def _look(_module: nn.Module, _inputs: object, output: object) -> None:
    if not all(bool(torch.isfinite(one).all()) for one in _tensors(output)):
        raise ValueError("the person detector's output is not finite")


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(one)
