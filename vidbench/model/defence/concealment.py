"""A sine too fast for its derivative to mean anything, and too small to be seen."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.model.defence.layer import Defence
from vidbench.model.defence.setting import parts, positive

W = 1e20
EPSILON = 1e-8


class GradientConcealment(Defence):
    """`x + epsilon * sin(w * x)` (Pei et al. 2022, "Gradient Concealment").

    With the usual w and epsilon the output is the input to float32 precision, while the derivative
    `1 + epsilon * w * cos(w * x)` is of size 1e12 and as good as random. It hides gradients; it changes no decision.
    In half precision `w * x` overflows: clips stay float32 here, also under autocast.
    """

    def __init__(self, w: float = W, epsilon: float = EPSILON) -> None:
        usual = (w, epsilon) == (W, EPSILON)
        super().__init__("gcm" if usual else f"gcm:{w:g}:{epsilon:g}")
        self.w = w
        self.epsilon = epsilon

    def change(self, clips: Tensor) -> Tensor:
        """Each value by itself."""
        return torch.sin(clips * self.w) * self.epsilon + clips


def build(setting: str) -> GradientConcealment:
    """From "", "1e20" or "1e20:1e-8"."""
    found = parts("gcm", setting, 2, "[:W[:EPSILON]]")
    w = positive("gcm", "w", found[0], 1e30) if found else W
    epsilon = positive("gcm", "epsilon", found[1], 1.0) if len(found) > 1 else EPSILON
    return GradientConcealment(w, epsilon)
