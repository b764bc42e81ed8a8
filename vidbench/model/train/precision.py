"""Low precision in training: autocast, and scaled gradients where float16 would lose them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

PrecisionName = Literal["fp32", "bf16", "fp16"]
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """How a training step computes; weights and optimizer stay in float32.

    Attributes:
        scaler: Scales losses and gradients, for float16 alone.

    Args:
        name: "fp32", or "bf16" or "fp16" for convolutions and products by autocast.
        device: Of the network.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.name, self._device = name, device.type
        self.scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def forward(self) -> AbstractContextManager[Any]:
        """The forward pass belongs inside; the loss outside, of logits in float32."""
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self._device, dtype=_TYPES[self.name])

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of the loss, scaled where they have to be."""
        torch.autograd.backward(loss if self.scaler is None else self.scaler.scale(loss))

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the scale off the gradients, before they are clipped."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """The optimizer's step; False where float16 overflowed, which leaves it out and lowers the scale."""
        if self.scaler is None:
            optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= before

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes; empty without a scaler."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken."""
        if self.scaler is not None:
            self.scaler.load_state_dict(state)
