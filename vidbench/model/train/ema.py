"""An exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """The average that is measured and kept in place of the weights themselves.

    Each update makes it `d * average + (1 - d) * weights`, with d = min(decay, (1 + n) / (10 + n)) at the n-th update,
    counted from 0: the smaller d of the beginning lets the average forget the start, whatever the length of the
    training. Parameters and the statistics of normalisations are averaged alike; counters are copied.

    Args:
        net: Its weights are the start of the average.
        decay: In [0, 1).
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.average = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, tensor in net.state_dict().items():
            held = self.average[name]
            if held.is_floating_point():
                held.lerp_(tensor, 1 - decay)
            else:
                held.copy_(tensor)

    @contextmanager
    def applied(self, net: nn.Module) -> Iterator[None]:
        """Inside, the network has the averaged weights; what changes there does not last."""
        own = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
        net.load_state_dict(self.average)
        try:
            yield
        finally:
            net.load_state_dict(own)

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` takes."""
        return {"average": self.average, "updates": self.updates}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on where a state was taken."""
        average, updates = state["average"], state["updates"]
        assert isinstance(average, dict)
        assert isinstance(updates, int)
        for name, tensor in average.items():
            held: Tensor = self.average[name]
            held.copy_(tensor)
        self.updates = updates
