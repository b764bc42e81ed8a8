"""Whether a network takes clips of another size than its own, found out before anything is decoded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vidbench.errors import InputError
from vidbench.model.card import Preprocess


def refuse_unfit(net: nn.Module, size: Preprocess, name: str) -> None:
    """Refuse clips that a network cannot be shown.

    Shapes alone are worked out, without numbers; where a network needs numbers for that it is shown a black clip.

    Args:
        net: Gives logits for `(N, 3, T, S, S)` clips.
        size: The clips.
        name: Of the network, for the message.

    Raises:
        InputError: Its layers do not fit them.
    """
    was = net.training
    net.eval()
    try:
        shape = (1, 3, size.frames, size.crop, size.crop)
        like = next(net.parameters())
        with torch.no_grad():
            if not _shapes_fit(net, shape):
                net(torch.zeros(shape, dtype=like.dtype, device=like.device))
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        reason = str(error).strip().splitlines()
        raise InputError(
            f"{name} does not take clips of {size.frames} frames of {size.crop} x {size.crop} pixels"
            + (f": {reason[0]}" if reason else ""),
            "Leave its own: `vidbench model show` tells them; or train another network.",
        ) from error
    finally:
        net.train(was)


def _shapes_fit(net: nn.Module, shape: tuple[int, ...]) -> bool:
    held: dict[str, Tensor] = net.state_dict(keep_vars=True)
    state = {name: torch.empty_like(tensor, device="meta") for name, tensor in held.items()}
    state |= {
        name: torch.empty_like(tensor, device="meta") for name, tensor in net.named_buffers() if name not in state
    }
    try:
        functional_call(net, state, (torch.empty(shape, device="meta"),))
    except (RuntimeError, NotImplementedError, ValueError, AssertionError, IndexError):
        # it may be the lack of numbers
        return False
    return True
