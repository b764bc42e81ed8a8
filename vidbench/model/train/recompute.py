"""Activation checkpointing: blocks forget their activations and compute them again in the backward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vidbench.errors import InputError
from vidbench.model.train.draws import drawn_again
from vidbench.model.train.optimizers import batch_norms

# modules that are repeated, take and give tensors and change no argument: pytorchvideo's residual and
# attention blocks, those of torchvision's networks of videos, and of timm's of images
_BLOCKS = frozenset(
    {
        "ResBlock", "MultiScaleBlock", "X3dBottleneckBlock",
        "BasicBlock", "Bottleneck", "MultiscaleBlock", "SwinTransformerBlock", "SepInceptionBlock3D",
        "DenseBlock", "InvertedResidual", "DepthwiseSeparableConv", "Block", "ConvNeXtBlock",
    }
)  # fmt: skip


def recompute_blocks(net: nn.Module) -> int:
    """Make the blocks of a network, in place, keep nothing but their input for the backward pass; how many.

    Results are the same to the last bit: random numbers are drawn again from the same state, and the statistics of
    batch normalisations take a batch in once.

    Raises:
        InputError: The network has no block that this is known to work for.
    """
    blocks = [part for part in net.modules() if type(part).__name__ in _BLOCKS]
    if not blocks:
        raise InputError("this network has no blocks to compute again", "Train it without --checkpointing.")
    for block in blocks:
        block.forward = _recomputed(block, block.forward)
    return len(blocks)


def _recomputed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def run(*inputs: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: _contexts(block))

    return run


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(block)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Batch normalisations work as in training, but take nothing in."""
    norms = batch_norms(block)
    held = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        with drawn_again():
            yield
    finally:
        for norm, (momentum, tracked) in zip(norms, held, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
