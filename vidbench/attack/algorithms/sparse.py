"""Attacks that touch few frames: one frame of each clip, and frames chosen by the L2,1 norm."""

from __future__ import annotations

import math
import re

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from vidbench.attack.algorithms.pgd import Pgd, PgdSettings
from vidbench.attack.losses import loss_for
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import TINY, Budget, Norm, frame_norms, norms_of, spread
from vidbench.errors import UsageError

BETAS = (0.9, 0.9)
GROW = 1.05
"""How fast the weight of the norm follows success and failure, per step."""


class OneFrameSettings(Settings):
    """The settings of the one-frame attack.

    Attributes:
        frame: "gradient" tries the frames with the largest gradients, "scan" every frame in turn, and an index that
            frame alone.
        tries: Frames that "gradient" tries at most.
        steps: Gradient steps per frame.
        step: Step size like eps ("2/255"); None for a quarter of eps.
        restarts: Runs per frame from new starts.
        random_start: Start at a uniform draw from the ball.
    """

    frame: str = "gradient"
    tries: int = Field(3, ge=1)
    steps: int = Field(20, ge=1, le=100_000)
    step: str | None = None
    restarts: int = Field(1, ge=1, le=1000)
    random_start: bool = True

    @field_validator("frame")
    @classmethod
    def _known(cls, frame: str) -> str:
        if frame not in ("gradient", "scan") and not frame.isdecimal():
            raise ValueError("gradient, scan, or the index of a frame")
        return frame

    @model_validator(mode="after")
    def _pgd_takes_them(self) -> OneFrameSettings:
        self.pgd()
        return self

    def pgd(self) -> PgdSettings:
        """What each frame is attacked with."""
        return PgdSettings(
            steps=self.steps, step=self.step, restarts=self.restarts, random_start=self.random_start
        )  # fmt: skip


class OneFrame:
    """PGD in one frame of each clip, which all other frames leave as they are.

    Hwang et al. 2021 add a perturbation to the frame t alone, `x_t + delta` with `|delta|_inf <= eps`, by iterated
    gradient steps, and do so for each t. With "scan" this is that experiment; with "gradient" the frames are tried in
    the order of the L2 norm of the loss gradient in them, which needs fewer passes.
    """

    name = "one-frame"
    summary = "PGD in the one frame of each clip that serves best"
    norms: tuple[Norm, ...] = ("linf", "l2")
    source = "Hwang et al. 2021, arXiv:2011.14585, section 3"
    settings: type[Settings] = OneFrameSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """Frame after frame, each on the clips that withstood so far; of failures the one with the largest loss.

        Raises:
            UsageError: An index beyond the clip, or outside the support.
        """
        assert isinstance(settings, OneFrameSettings)
        plan, cost = self._plan(target, batch, budget, settings)
        device = batch.clips.device
        forwards, backwards = cost.clone(), cost.clone()
        clips, reached = batch.clips.clone(), torch.zeros(len(batch), dtype=torch.bool, device=device)
        best = torch.full((len(batch),), -torch.inf, device=device)
        restarts = torch.zeros(len(batch), dtype=torch.long)
        steps = torch.full((len(batch),), -1, dtype=torch.long)
        for rank in range(plan.shape[1]):
            left = (~reached).nonzero().flatten()
            if len(left) == 0:
                break
            here = Budget(
                budget.norm,
                budget.eps,
                _one_frame(plan[left, rank], batch.clips.shape[2]).meet(budget.of(left).support),
            )
            found = Pgd().run(target, batch.of(left), here, settings.pgd())
            host = left.cpu()
            forwards[host] += found.forwards
            backwards[host] += found.backwards
            values = found.reached.to(best.dtype)
            if plan.shape[1] > 1:
                # only where there is a choice is it worth a pass to know which failure came nearest
                values, asked = _losses(target, batch.of(left), found)
                forwards[host] += asked
            better = values > best[left]
            best[left] = torch.where(better, values, best[left])
            clips[left[better]], reached[left] = found.clips[better], found.reached
            taken = better.cpu()
            restarts[host[taken]] = rank * settings.restarts + found.restarts[taken]
            won = found.reached.cpu()
            steps[host[won]] = rank * settings.restarts * settings.steps + found.steps[won]
        return Outcome(clips, reached, forwards, backwards, restarts, steps)

    def _plan(self, target: Target, batch: Batch, budget: Budget, settings: OneFrameSettings) -> tuple[Tensor, Tensor]:
        """`(N, K)` frames to try in order, and `(N,)` passes that finding it took."""
        count, frames, device = len(batch), batch.clips.shape[2], batch.clips.device
        free = torch.zeros(count, dtype=torch.long)
        usable = torch.ones(frames, dtype=torch.bool, device=device)
        if budget.support is not None:
            usable = budget.support.mask.amax((0, 1, 3, 4)).bool().expand(frames)
        order = usable.nonzero().flatten()
        if settings.frame.isdecimal():
            index = int(settings.frame)
            if index >= frames:
                raise UsageError(f"one-frame: frame={index}, and clips have frames 0 to {frames - 1}")
            return torch.full((count, 1), index, device=device), free
        if settings.frame == "scan" or len(order) == 1:
            return order.expand(count, -1), free
        norms = []
        for _, part in batch.parts():
            gradient = target.ascend(part.clips, loss_for("ce", part.goal)).gradient
            norms.append(frame_norms(gradient if budget.support is None else budget.support.pull(gradient)))
        ranked = torch.cat(norms)[:, order].argsort(1, descending=True)
        return order[ranked[:, : settings.tries]], free + target.draws


class SparseSettings(Settings):
    """The settings of the sparse attack.

    Attributes:
        steps: Gradient steps.
        lr: Length of a step at first, per value of the frame with the largest gradient (root mean square).
        weight: The weight of the norm at first, as a share of the largest gradient of a frame: frames whose gradient
            is below that share stay untouched.
        frames: The mask: "all", or "first:k", "strided:k", "salient:k" for k frames at the beginning, evenly spread,
            or with the largest gradients.
    """

    steps: int = Field(200, ge=1, le=100_000)
    lr: float = Field(0.005, gt=0, le=1)
    weight: float = Field(0.9, ge=0)
    frames: str = "all"

    @field_validator("frames")
    @classmethod
    def _known(cls, frames: str) -> str:
        if frames != "all" and not re.fullmatch(r"(first|strided|salient):[1-9]\d*", frames):
            raise ValueError("all, first:k, strided:k or salient:k")
        return frames


class Sparse:
    """The smallest sum of the frames' norms that changes the answer.

    Wei et al. 2019 minimise `lambda * ||M E||_{2,1} - loss(y, f(X + M E))` over the perturbation E with Adam, where
    `||E||_{2,1} = sum_t ||E_t||_2` and M is a mask of frames. Here the norm's part of each step is its exact proximal
    step, which shrinks every frame's norm by one and the same amount and makes small ones 0; for that to be exact,
    Adam's second moment is one number per clip. As no lambda suits every clip, it grows while the goal is reached
    and falls while it is not.
    """

    name = "sparse"
    summary = "few perturbed frames, by the sum of the frames' norms"
    norms: tuple[Norm, ...] = ("l21",)
    source = "Wei et al. 2019, arXiv:1803.02536: l2,1 norm with a temporal mask; proximal Adam"
    settings: type[Settings] = SparseSettings
    minimal = True

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """The successful clip of the smallest L2,1 norm, or the clean clip; `budget.eps` is not looked at.

        Raises:
            UsageError: A mask of more frames than there are.
        """
        assert isinstance(settings, SparseSettings)
        return Outcome.joined(
            [self._run(target, part, budget.of(chosen).support, settings) for chosen, part in batch.parts()]
        )

    def _run(self, target: Target, batch: Batch, support: Support | None, settings: SparseSettings) -> Outcome:
        clean, goal, count = batch.clips, batch.goal, len(batch)
        loss = loss_for("ce", goal)
        unit = settings.lr * math.sqrt(clean[0, :, 0].numel())
        delta, first, second = torch.zeros_like(clean), torch.zeros_like(clean), clean.new_zeros(count)
        weight = torch.full((count,), settings.weight, device=clean.device)
        best, smallest = clean.clone(), torch.full((count,), torch.inf, dtype=torch.float64, device=clean.device)
        when = torch.full((count,), -1, dtype=torch.long)
        mask: Tensor | None = None
        for number in range(settings.steps):
            point = (clean + delta).clamp_(0.0, 1.0)
            found = target.ascend(point, loss)
            reached = goal.reached(found.logits)
            _keep(clean, point, reached, best, smallest, when, number)
            gradient = found.gradient if support is None else support.pull(found.gradient)
            if mask is None:
                mask = _mask(settings.frames, gradient)
            gradient = gradient * spread(mask, gradient)
            first = first.lerp(gradient, 1 - BETAS[0])
            second = second.lerp(frame_norms(gradient).amax(1) ** 2, 1 - BETAS[1])
            scale = (second / (1 - BETAS[1] ** (number + 1))).sqrt().clamp_min(TINY)
            direction = first / ((1 - BETAS[0] ** (number + 1)) * scale.view(-1, 1, 1, 1, 1))
            weight = torch.where(reached, weight * GROW, weight / GROW)
            size = unit * (0.02 + 0.49 * (1 + math.cos(math.pi * number / settings.steps)))
            moved = delta + size * direction
            norms = frame_norms(moved)
            shrunk = moved * spread((1 - size * weight[:, None] / norms.clamp_min(TINY)).clamp_min(0.0), moved)
            delta = (clean + shrunk).clamp_(0.0, 1.0) - clean
        point = (clean + delta).clamp_(0.0, 1.0)
        _keep(clean, point, goal.reached(target(point)), best, smallest, when, settings.steps)
        passes = torch.full((count,), settings.steps * target.draws, dtype=torch.long)
        none = torch.zeros(count, dtype=torch.long)
        return Outcome(best, torch.isfinite(smallest), passes + target.draws, passes.clone(), none, when)


def _keep(
    clean: Tensor, point: Tensor, reached: Tensor, best: Tensor, smallest: Tensor, when: Tensor, number: int
) -> None:
    """Note, in place, the successful clips that are nearer than those before."""
    sizes = norms_of(point - clean, "l21")
    better = reached & (sizes < smallest)
    best[better], smallest[better] = point[better], sizes[better]
    when[(when < 0) & reached.cpu()] = number


def _mask(text: str, gradient: Tensor) -> Tensor:
    """`(N, T)` of 0 and 1: the frames that may be touched."""
    kind, _, rest = text.partition(":")
    sizes = frame_norms(gradient)
    if kind == "all":
        return torch.ones_like(sizes)
    wanted, frames = int(rest), sizes.shape[1]
    if wanted > frames:
        raise UsageError(f"sparse: frames={text}, and clips have {frames} frames")
    if kind == "salient":
        order = sizes.argsort(1, descending=True)[:, :wanted]
    else:
        chosen = range(wanted) if kind == "first" else [index * frames // wanted for index in range(wanted)]
        order = torch.tensor(list(chosen), device=gradient.device).expand(len(sizes), -1)
    return torch.zeros_like(sizes).scatter_(1, order, 1.0)


def _one_frame(chosen: Tensor, frames: int) -> Support:
    """The support of `(N,)` frames, one of each clip."""
    mask = torch.zeros(len(chosen), frames, device=chosen.device).scatter_(1, chosen[:, None], 1.0)
    return Support("one frame of each clip", mask[:, None, :, None, None])


def _losses(target: Target, batch: Batch, found: Outcome) -> tuple[Tensor, Tensor]:
    """`(N,)` cross entropies, infinite where the goal is reached, and `(N,)` passes that it took to know them."""
    values = torch.full((len(batch),), torch.inf, device=batch.clips.device)
    passes = torch.zeros(len(batch), dtype=torch.long)
    left = (~found.reached).nonzero().flatten()
    for start in range(0, len(left), batch.width):
        chosen = left[start : start + batch.width]
        values[chosen] = loss_for("ce", batch.goal.of(chosen))(target(found.clips[chosen])).nan_to_num(-torch.inf)
    passes[left.cpu()] = target.draws
    return values, passes
