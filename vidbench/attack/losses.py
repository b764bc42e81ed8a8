"""What an attack maximises: one number per clip, from its logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.attack.goal import Goal

LossName = Literal["ce", "dlr", "margin"]
Loss = Callable[[Tensor], Tensor]
"""`(N, K)` logits to `(N,)`; attacks go up it."""

TINY = 1e-12


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """`(N,)` cross entropy of `(N, K)` logits with `(N,)` classes."""
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """`(N,)` largest other logit minus that of the class: above 0 where the class is left (Carlini and Wagner 2017)."""
    own = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return others - own


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """`(N,)` difference of logits ratio, for 3 classes or more.

    `-(z_y - max_{i != y} z_i) / (z_{pi_1} - z_{pi_3} + 1e-12)`, pi the descending order (Croce and Hein 2020,
    arXiv:2003.01690, eq. 6, with the constant of its published code).
    """
    ordered = logits.sort(1).values
    own = logits.gather(1, labels[:, None])[:, 0]
    right = (logits.argsort(1)[:, -1] == labels).to(logits.dtype)
    best_other = ordered[:, -2] * right + ordered[:, -1] * (1 - right)
    return -(own - best_other) / (ordered[:, -1] - ordered[:, -3] + TINY)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """`(N,)` the same towards a target class (eq. 7), for 4 classes or more; the goal may be to leave `labels`."""
    ordered = logits.sort(1).values
    own = logits.gather(1, labels[:, None])[:, 0]
    wanted = logits.gather(1, targets[:, None])[:, 0]
    return -(own - wanted) / (ordered[:, -1] - 0.5 * (ordered[:, -3] + ordered[:, -4]) + TINY)


def loss_for(name: LossName, goal: Goal) -> Loss:
    """The loss by name, for a goal: towards its class where it is targeted, away from it otherwise."""
    plain = {"ce": cross_entropy, "dlr": dlr, "margin": margin}[name]
    sign = -1.0 if goal.targeted else 1.0
    return lambda logits: sign * plain(logits, goal.labels)
