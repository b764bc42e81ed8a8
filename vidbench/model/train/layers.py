"""The layers of a network by depth, and parts of it by name."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from torch import nn

from vidbench.errors import InputError

BACKBONE = "backbone"
"""Stands for everything but the head, where parts are named."""

_SHOWN = 12
# numbered layers as pytorchvideo, its efficient X3D (s1 to s5), torchvision and timm name them; a detector's trunk is
# `model`
_NUMBERED = re.compile(r"(?:^(?:model\.)?s|(?:^|\.)(?:blocks|layers?|features|stages|denseblock)\.?)(\d+)\.")


def depths(net: nn.Module, head: str) -> dict[str, int]:
    """The depth of each parameter: 0 for what comes before the first numbered layer, then a number per layer.

    What has no number belongs to the layer before it. The head, whose names start with `head`, is the deepest, with
    whatever comes after it.
    """
    found: dict[str, int] = {}
    current = 0
    numbers: dict[int, int] = {}
    for name, _ in net.named_parameters():
        if head and name.startswith(head):
            break
        match = _NUMBERED.search(name)
        if match:
            current = numbers.setdefault(int(match[1]), len(numbers) + 1)
        found[name] = current
    top = max(found.values(), default=0) + 1
    return {name: found.get(name, top) for name, _ in net.named_parameters()}


def parts_named(net: nn.Module, patterns: Sequence[str], head: str) -> set[str]:
    """Names of the parameters that patterns mean.

    A pattern is the name of a module (`blocks.0`), or of a parameter, may hold `*` and `?`, or is `backbone`:
    everything but the head.

    Raises:
        InputError: A pattern that means nothing in this network.
    """
    names = [name for name, _ in net.named_parameters()]
    chosen: set[str] = set()
    for pattern in patterns:
        some = {name for name in names if _means(pattern, name, head)}
        if not some:
            parts = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
            also = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
            raise InputError(
                f"no part of the network is named {pattern!r}", f"Parts are {', '.join(parts[:_SHOWN])}{also}."
            )
        chosen |= some
    return chosen


def _means(pattern: str, name: str, head: str) -> bool:
    if pattern == BACKBONE and head:
        return not name.startswith(head)
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")
