"""Batch normalisation over the parts of a batch that several processes have, on the CPU as on GPUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from vidbench.model.train.peers import Peers


def synchronise(net: nn.Module, peers: Peers) -> int:
    """Make all batch normalisations of a network, in place, work on everybody's values together; how many.

    In training mode each normalises by mean and variance over the values of all processes, and its gradient is that
    of the batch as a whole; processes may have different numbers of values, or none (`Peers.present`). In
    evaluation mode nothing changes. Parameters, buffers and their names stay, and so does what a subclass does
    after it normalised, where it is timm's, which drops and activates.
    """
    norms = [part for part in net.modules() if isinstance(part, _BatchNorm)]
    for norm in norms:
        norm.__class__ = _synchronised(type(norm))
        norm.peers = peers  # type: ignore[assignment]
    return len(norms)


def _synchronised(kind: type[_BatchNorm]) -> type[_BatchNorm]:
    if issubclass(kind, _Synchronised):
        return kind
    return _KINDS.setdefault(kind, type(f"Sync{kind.__name__}", (_Synchronised, kind), {}))


_KINDS: dict[type[_BatchNorm], type[_BatchNorm]] = {}


class _Synchronised(_BatchNorm):
    """What a batch normalisation does otherwise in several processes."""

    peers: Peers

    def forward(self, values: Tensor) -> Tensor:
        """As the normalisation; in training mode over everybody's values."""
        if not self.training or self.peers.size == 1:
            return super().forward(values)
        self._check_input_dim(values)  # type: ignore[no-untyped-call]
        mean, variance, count = self._statistics(values)
        if self.track_running_stats:
            self._take_in(mean, variance, count)
        result: Tensor = _Normalise.apply(
            values, self.weight, self.bias, mean, variance, count, self.eps, self.peers, self.peers.present
        )
        # timm's normalisations hold what follows
        for name in ("drop", "act"):
            after = getattr(self, name, None)
            if isinstance(after, nn.Module):
                result = after(result)
        return result

    @torch.no_grad()
    def _statistics(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and biased variance over everybody's values, `(C,)` float64, and how many each channel has, `()`."""
        channels = values.shape[1]
        own = values.numel() // channels if self.peers.present else 0
        row = torch.zeros(2 * channels + 1, dtype=torch.float64, device=values.device)
        if own:
            mean, variance = torch.batch_norm_update_stats(_full(values.detach()), None, None, 0.0)
            row[:channels], row[channels:-1], row[-1] = mean, variance, own
        rows = self.peers.rows(row)
        means, variances, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:]
        count = counts.sum()
        if own < 2 and count < 2:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {values.shape}")
        mean = (means * counts).sum(0) / count
        # around the common mean: squares of values far from 0 would lose the variance
        variance = ((variances + (means - mean).square()) * counts).sum(0) / count
        return mean, variance, count

    @torch.no_grad()
    def _take_in(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """The running statistics, with the unbiased variance, as `_BatchNorm` has them."""
        assert self.running_mean is not None
        assert self.running_var is not None
        factor = 0.0 if self.momentum is None else self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                factor = 1.0 / float(self.num_batches_tracked)
        unbiased = variance * (count / (count - 1))
        for held, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            held.copy_(held * (1 - factor) + new.to(held.dtype) * factor)


class _Normalise(torch.autograd.Function):
    """`weight * (values - mean) / sqrt(variance + eps) + bias`, where mean and variance depend on all values."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor,
        count: Tensor, eps: float, peers: Peers, present: bool,
    ) -> Tensor:  # fmt: skip
        full = _full(values)
        invstd = (variance + eps).rsqrt()
        ctx.save_for_backward(values, weight, mean, invstd, count)
        ctx.eps, ctx.peers, ctx.present = eps, peers, present
        normal = functional.batch_norm(full, mean.to(full), variance.to(full), weight, bias, False, 0.0, eps)
        return normal.to(values.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, mean, invstd, count = ctx.saved_tensors
        full, slope = _full(values), _full(gradient)
        if full.ndim == 5 and full.is_contiguous(memory_format=torch.channels_last_3d):
            slope = slope.contiguous(memory_format=torch.channels_last_3d)
        _, along, plain = torch.ops.aten.native_batch_norm_backward(
            slope, full, weight, None, None, mean.to(full), invstd.to(full), True, ctx.eps, [False, True, True]
        )
        to_values = None
        own = torch.stack((plain, along)).double()
        # what is made of a clip that stands in is nobody's loss
        totals = ctx.peers.sum(own if ctx.present else torch.zeros_like(own)) / count
        if ctx.needs_input_grad[0]:
            scale = invstd if weight is None else invstd * weight.double()
            shape = (1, -1) + (1,) * (values.ndim - 2)
            steep = scale.to(full).view(shape)
            if ctx.present:
                tilt = -scale * invstd * totals[1]
                level = -scale * totals[0] - tilt * mean
                through = torch.addcmul(level.to(full).view(shape), full, tilt.to(full).view(shape))
                to_values = torch.addcmul(through, slope, steep).to(values.dtype)
            else:
                # the statistics are those of others' values alone
                to_values = (slope * steep).to(values.dtype)
        to_weight, to_bias = (
            part if wanted else None for part, wanted in zip((along, plain), ctx.needs_input_grad[1:3], strict=True)
        )
        return to_values, to_weight, to_bias, None, None, None, None, None, None


def _full(values: Tensor) -> Tensor:
    return values if values.dtype in (torch.float32, torch.float64) else values.float()
