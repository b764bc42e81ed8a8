"""What a defence is: a layer of clips in [0, 1], and the identity in place of its derivative."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from vidbench.model.card import Preprocess


class Defence(nn.Module, ABC):
    """A change of clips before the network, in the shape and the range of the clips.

    `forward` takes and gives `(N, 3, T, H, W)` float clips in [0, 1]; what it is given stays as it is. Random ones
    draw for each clip of the batch by itself, from torch's global generator of the CPU, so that a seed gives the
    same numbers on every device.

    Args:
        text: As typed, with its setting.

    Attributes:
        differentiable: Whether it has a derivative that says something; rounding and codecs have none.
        random: Whether it draws random numbers.
        adaptive: Whether its backward pass is the identity (Backward Pass Differentiable Approximation, Athalye et
            al. 2018, arXiv:1802.00420, section 4.1) and not its own derivative. Always so where it has no
            derivative.
    """

    differentiable = True
    random = False

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.adaptive = not self.differentiable

    def forward(self, clips: Tensor) -> Tensor:
        """`(N, 3, T, H, W)` in [0, 1] to the same."""
        return straight_through(self.change, clips) if self.adaptive else self.change(clips)

    @abstractmethod
    def change(self, clips: Tensor) -> Tensor:
        """The change itself; without gradients where `adaptive`."""

    def check(self, preprocess: Preprocess) -> None:
        """Refuse a network whose clips it cannot change.

        Raises:
            UsageError: Its setting does not fit such clips.
        """


class IdentityBackward(nn.Module):
    """Any module of one tensor, with the identity as its backward pass."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, values: Tensor) -> Tensor:
        """As the inner module, whose output has the shape of its input."""
        return straight_through(self.inner, values)


def straight_through(change: Any, values: Tensor) -> Tensor:
    """`change(values)`, to the bit; gradients pass as if it were the identity."""
    if not (torch.is_grad_enabled() and values.requires_grad):
        result: Tensor = change(values)
        return result
    with torch.no_grad():
        # a copy: modules that work in place may not change what others keep for their gradients
        changed = change(values.detach().clone())
    passed: Tensor = _StraightThrough.apply(values, changed)
    return passed


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, changed: Tensor) -> Tensor:
        return changed.view_as(changed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
