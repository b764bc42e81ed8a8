"""Precise batch normalisation: statistics over many batches with the weights as they are now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vidbench.model.train.optimizers import batch_norms
from vidbench.model.train.peers import Peers

T = TypeVar("T")


class _Sums:
    """Sums over everything that went into one normalisation, in float64."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.count = 0
        self.total: Tensor | None = None
        self.squares: Tensor | None = None

    def take(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not self._peers.present:
            return
        values = inputs[0].detach()
        dims = [dim for dim in range(values.ndim) if dim != 1]
        # a second pass around the mean: squares of values far from 0 would lose the variance
        mean = values.mean(dims, dtype=torch.float64)
        shape = [1, -1] + [1] * (values.ndim - 2)
        spread = (values - mean.to(values.dtype).view(shape)).double().square().sum(dims)
        count = values.numel() // values.shape[1]
        total, squares = mean * count, spread + mean.square() * count
        self.total = total if self.total is None else self.total + total
        self.squares = squares if self.squares is None else self.squares + squares
        self.count += count

    def gather(self, norm: Any) -> None:
        """Take in what the other processes have."""
        if self._peers.size == 1:
            return
        row = torch.zeros(3, norm.num_features, dtype=torch.float64, device=norm.running_mean.device)
        if self.total is not None and self.squares is not None:
            row[0], row[1], row[2] = self.total, self.squares, self.count
        self.total, self.squares, counts = self._peers.sum(row)
        self.count = int(counts[0])

    def write(self, norm: Any) -> None:
        assert self.total is not None
        assert self.squares is not None
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp_min(0) * (self.count / max(self.count - 1, 1))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


@torch.no_grad()
def precise_bn(
    net: nn.Module, batches: Iterable[T], frozen: bool = False, show: Callable[[T], object] | None = None,
    peers: Peers | None = None,
) -> int:  # fmt: skip
    """Replace running means and variances by those over all `batches` together.

    Running statistics lag behind the weights and lean to the last batches; these are, for each normalisation, mean
    and unbiased variance of all values that it sees (Wu and Johnson 2021, arXiv:2105.07576). While they are taken
    normalisations work on the batch's own statistics, as in training, and dropout is off. Normalisations without
    trained parameters, whose statistics are frozen, keep theirs.

    Args:
        net: Left in evaluation mode.
        batches: What the network is shown, on its device.
        frozen: The statistics of all normalisations are frozen; nothing is done.
        show: Sends a batch through the network; None calls the network with it.
        peers: The processes whose values are taken together; all show as many batches.

    Returns:
        How many normalisations were set.
    """
    net.eval()
    norms = [norm for norm in batch_norms(net) if not frozen and _trains(norm)]
    if not norms:
        return 0
    sums = [_Sums(peers or Peers.alone()) for _ in norms]
    hooks = [norm.register_forward_pre_hook(one.take) for norm, one in zip(norms, sums, strict=True)]
    kept = [{name: tensor.clone() for name, tensor in norm.state_dict().items()} for norm in norms]
    try:
        for norm in norms:
            norm.train()
        for batch in batches:
            (show or net)(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for norm, state in zip(norms, kept, strict=True):
            norm.eval()
            norm.load_state_dict(state)
    for norm, one in zip(norms, sums, strict=True):
        one.gather(norm)
    seen = [(norm, one) for norm, one in zip(norms, sums, strict=True) if one.count]
    for norm, one in seen:
        one.write(norm)
    return len(seen)


def _trains(norm: nn.Module) -> bool:
    own = list(norm.parameters())
    return not own or any(parameter.requires_grad for parameter in own)
