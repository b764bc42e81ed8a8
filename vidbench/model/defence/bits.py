"""Fewer grey levels."""

from __future__ import annotations

from torch import Tensor

from vidbench.model.defence.layer import Defence
from vidbench.model.defence.setting import parts, whole

BITS = 5


class BitDepth(Defence):
    """`round(x * (2^b - 1)) / (2^b - 1)` for b bits (Xu et al. 2018, arXiv:1704.01155).

    Halves go to the even level. The derivative is zero: the backward pass is the identity.
    """

    differentiable = False

    def __init__(self, bits: int = BITS) -> None:
        super().__init__(f"bits:{bits}")
        self.bits = bits

    def change(self, clips: Tensor) -> Tensor:
        """Each value by itself."""
        most = 2**self.bits - 1
        squeezed: Tensor = (clips.clamp(0.0, 1.0) * most).round() / most
        return squeezed


def build(setting: str) -> BitDepth:
    """From "" or "5"."""
    found = parts("bits", setting, 1, "[:BITS]")
    return BitDepth(whole("bits", "bits", found[0], 1, 8) if found else BITS)
