"""A model as the toolbox sees it: one module without weights, in the layout that an attack wants."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidbench.attack.art.table import Layout
from vidbench.attack.target import Logits

_AXES: dict[Layout, tuple[int, ...]] = {
    "NCTHW": (0, 1, 2, 3, 4),
    "NFHWC": (0, 2, 3, 4, 1),
    "NFCHW": (0, 2, 1, 3, 4),
    "N(CT)HW": (0, 1, 2, 3, 4),
}
"""The axes of clips `(N, C, T, H, W)` in the order that a layout has them; the last one is folded afterwards."""


def to_layout(clips: Tensor, layout: Layout) -> Tensor:
    """Clips `(N, 3, T, H, W)` in a layout; contiguous."""
    moved = clips.permute(_AXES[layout]).contiguous()
    return moved.flatten(1, 2) if layout == "N(CT)HW" else moved


def from_layout(values: Tensor, layout: Layout, clip_shape: tuple[int, ...]) -> Tensor:
    """Clips `(N, 3, T, H, W)` of values in a layout; contiguous."""
    if layout == "N(CT)HW":
        return values.reshape(-1, *clip_shape)
    order = _AXES[layout]
    return values.permute([order.index(axis) for axis in range(5)]).contiguous()


def to_numpy(clips: Tensor, layout: Layout) -> NDArray[np.float32]:
    """A copy of clips as an array in a layout: some attacks of the toolbox write into what they are given."""
    copy: NDArray[np.float32] = to_layout(clips.detach().cpu(), layout).numpy().copy()
    return copy


class Network(nn.Module):
    """Logits as one opaque module that counts its passes.

    The toolbox keeps every child's output of a Sequential alive, moves modules to its own choice of device and resets
    their mode: here it finds no weights. The one child, an identity, is the layer whose output are the logits.

    Args:
        logits: Clips to logits, differentiable.
        clip_shape: `(3, T, H, W)`.
        device: Where clips go; on a device that the toolbox does not know it works with the CPU's copies.
        width: Clips per pass; larger inputs are split.
        layout: Of the inputs.
        probabilities: Give softmax probabilities.

    Attributes:
        forwards: Clips that went through so far.
        backwards: Clips that a gradient came back for.
    """

    def __init__(
        self, logits: Logits, clip_shape: tuple[int, ...], device: torch.device, width: int, layout: Layout,
        probabilities: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.output = nn.Identity()
        self.forwards = self.backwards = 0
        self._logits, self._shape, self._device = logits, clip_shape, device
        self._width, self._layout, self._probabilities = width, layout, probabilities

    def forward(self, inputs: Tensor) -> Tensor:
        """`(N, K)` logits or probabilities of inputs in the layout, of any float type, on the inputs' device."""
        clips = from_layout(inputs.to(self._device, torch.float32), self._layout, self._shape)
        self.forwards += len(clips)
        logits = torch.cat([self._logits(part) for part in torch.split(clips, self._width)])
        if logits.requires_grad:
            logits.register_hook(self._came_back)  # type: ignore[no-untyped-call]
        answer: Tensor = self.output(torch.softmax(logits, 1) if self._probabilities else logits)
        return answer.to(inputs.device)

    def _came_back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)
