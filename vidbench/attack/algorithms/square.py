"""Random search by squares: an attack that sees scores alone."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.algorithms.l1_ball import nearest
from vidbench.attack.losses import loss_for
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.moves import Moves
from vidbench.attack.pool import State, work_through
from vidbench.attack.target import Target
from vidbench.attack.threat import TINY, Budget, Norm
from vidbench.errors import UsageError

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the share of the squares is halved, for a run of 10 000 (arXiv:1912.00049, section 3.2)."""
BLOCK = 32
"""Queries whose random numbers are drawn together."""
PLACES = 7
"""Random numbers per query beside the signs: frame, row and column of two windows, and the pattern's orientation."""


class SquareSettings(Settings):
    """The settings of Square.

    Attributes:
        queries: Forward passes per run and clip, after that of the start.
        restarts: Runs from new starts, on the clips that withstood so far.
        p_init: The share of a frame that the first squares cover, in (0, 1].
        loss: What has to rise: "margin" or "ce".
        resc_schedule: Stretch the schedule of shares, made for 10 000 queries, over the queries that there are.
        temporal: "frame": a square is in all frames, its sign drawn for each frame and channel (what comes out when a
            clip is folded into an image of 3T channels); "clip": in all frames, its sign drawn for each channel;
            "tube": likewise in a random span of frames, with the share `p` of the clip.
    """

    queries: int = Field(5000, ge=1, le=1_000_000)
    restarts: int = Field(1, ge=1, le=1000)
    p_init: float = Field(0.8, gt=0, le=1)
    loss: Literal["margin", "ce"] = "margin"
    resc_schedule: bool = False
    temporal: Literal["frame", "clip", "tube"] = "frame"

    def share(self, query: int) -> float:
        """`p` of a query, counted from 1."""
        if self.resc_schedule:
            query = query * 10_000 // self.queries
        return self.p_init * 0.5 ** sum(query > number for number in HALVINGS)


class Square:
    """Square attack.

    Each query changes one square of the best perturbation so far and keeps it if the loss rises: to plus or minus
    eps in L-infinity (Andriushchenko et al. 2020, arXiv:1912.00049, algorithm 2), by a pattern that takes over the
    mass of another square in L2 (algorithm 3); in L1 likewise, with the projection onto the ball cut by the box
    (Croce and Hein 2021, arXiv:2103.01208). Places and signs are drawn for each clip by itself.

    Within a support a square counts as far as it lies in it. A flicker is searched in L-infinity alone, by spans of
    frames.
    """

    name = "square"
    summary = "random squares, by scores alone: no gradient"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")
    source = "Andriushchenko et al. 2020, arXiv:1912.00049, algorithms 1 to 3; L1: arXiv:2103.01208"
    settings: type[Settings] = SquareSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """All restarts, each on the clips that withstood; the first success, or the highest loss.

        Raises:
            UsageError: A flicker in another norm than L-infinity.
        """
        assert isinstance(settings, SquareSettings)
        search = _Search(target, batch, budget, settings)
        work_through(search, len(batch), batch.width, batch.clips.device)
        return search.outcome()


class _Search:
    """Random searches as rows of a pool; the best of each clip is kept outside of it.

    Perturbations are canvases of `(C, F, H, W)`, a sign for each channel C and, unless signs are shared, each F. They
    have the shape of clips; of a flicker they are its offsets, `(3, 1, 1, T)`.
    """

    def __init__(self, target: Target, batch: Batch, budget: Budget, settings: SquareSettings) -> None:
        self.target, self.batch, self.budget, self.settings = target, batch, budget, settings
        self.moves = Moves(budget, tuple(batch.clips.shape[1:]))
        if self.moves.flicker and budget.norm != "linf":
            raise UsageError(
                f"square has no flicker in {budget.norm}: its patterns lie within frames", "Take --norm linf."
            )
        channels, frames, height, width = self.moves.shape
        self.canvas = (channels, 1, 1, frames) if self.moves.flicker else (channels, frames, height, width)
        self.shared = settings.temporal != "frame"
        labels = batch.goal.labels
        self.clips = batch.clips.clone()
        self.loss = torch.full_like(labels, -torch.inf, dtype=torch.float32)
        self.reached = torch.zeros_like(labels, dtype=torch.bool)
        self.restart, self.forwards = torch.zeros_like(labels), torch.zeros_like(labels)
        self.when = torch.full_like(labels, -1)

    def outcome(self) -> Outcome:
        """What is kept."""
        return Outcome(
            self.clips, self.reached, self.forwards.cpu(), torch.zeros(len(self.batch), dtype=torch.long),
            self.restart.cpu(), self.when.cpu(),
        )  # fmt: skip

    def enter(self, rows: Tensor) -> State:
        """Nothing is known before the first query, which is the start."""
        zeros, clips = torch.zeros_like(rows), self.batch.clips
        return {
            "delta": clips.new_zeros(len(rows), *self.canvas),
            "loss": clips.new_full((len(rows),), -torch.inf),
            "noise": clips.new_zeros(len(rows), BLOCK, PLACES + self._signs()),
            "query": zeros,
            "restart": zeros.clone(),
        }

    def advance(self, rows: Tensor, state: State) -> Tensor:
        """One query of each clip; it is kept if the loss rises."""
        settings = self.settings
        queries = state["query"].tolist()
        delta = self._candidates(rows, state, queries)
        clips, delta = self._fit(rows, delta)
        goal = self.batch.goal.of(rows)
        logits = self.target(clips)
        reached = goal.reached(logits)
        values = loss_for(settings.loss, goal)(logits)
        values = values.masked_fill(~torch.isfinite(values), -torch.inf)
        start = state["query"] == 0
        better = start | reached | (values > state["loss"])
        state["delta"] = torch.where(better.view(-1, 1, 1, 1, 1), delta, state["delta"])
        state["loss"] = torch.where(better, values, state["loss"])
        self._note(rows, state, clips, values, reached)
        last = state["query"] == settings.queries
        done = reached | (last & (state["restart"] + 1 == settings.restarts))
        state["restart"] += last & ~done
        state["query"] = torch.where(last, 0, state["query"] + 1)
        return done

    def _note(self, rows: Tensor, state: State, clips: Tensor, values: Tensor, reached: Tensor) -> None:
        first = (state["query"] == 0) & (state["restart"] == 0)
        best = first | reached | (values > self.loss[rows])
        chosen = rows[best]
        self.clips[chosen], self.loss[chosen] = clips[best], values[best]
        self.restart[chosen] = state["restart"][best]
        self.reached[rows] = reached
        self.when[rows[reached]] = (state["restart"] * self.settings.queries + state["query"])[reached]
        self.forwards[rows] += self.target.draws

    def _candidates(self, rows: Tensor, state: State, queries: list[int]) -> Tensor:
        """`(n, C, F, H, W)`: starts, and best perturbations with one square changed."""
        delta = state["delta"].clone()
        starting = [place for place, query in enumerate(queries) if query == 0]
        if starting:
            numbers = state["restart"].tolist()
            for place in starting:
                generator = self.batch.generator(int(rows[place]), "square", numbers[place])
                delta[place] = self._start(generator).to(delta)
        self._draw(rows, state, queries)
        sides: dict[tuple[int, int, int], list[int]] = {}
        for place, query in enumerate(queries):
            if query:
                sides.setdefault(self._sides(query), []).append(place)
        for window, places in sides.items():
            here = torch.tensor(places, device=delta.device)
            turns = torch.tensor([(queries[place] - 1) % BLOCK for place in places], device=delta.device)
            noise = state["noise"][here, turns]
            delta[here] = self._proposed(delta[here], window, noise)
        return delta

    def _start(self, generator: torch.Generator) -> Tensor:
        """Stripes from top to bottom; in L2 and L1 a grid of 5 x 5 patterns."""
        channels, frames, height, width = self.canvas
        groups = 1 if self.shared else frames
        if self.budget.norm == "linf":
            signs = torch.rand(channels, groups, 1, width, generator=generator) < 0.5
            return torch.where(signs, self.budget.eps, -self.budget.eps).expand(self.canvas)
        down, across = max(height // 5, 1), max(width // 5, 1)
        side = min(down, across)
        rows, columns = height // side, width // side
        signs = torch.where(torch.rand(channels, groups, rows, columns, generator=generator) < 0.5, 1.0, -1.0)
        turned = torch.rand(rows, columns, generator=generator) < 0.5
        tiles = torch.where(turned[:, :, None, None], pattern(side).T, pattern(side))
        grid = (signs[..., None, None] * tiles).permute(0, 1, 2, 4, 3, 5).reshape(channels, groups, rows * side, -1)
        top, left = (height - rows * side) // 2, (width - columns * side) // 2
        delta = torch.zeros(self.canvas)
        delta[:, :, top : top + rows * side, left : left + columns * side] = grid
        return delta * (self.budget.eps / delta.abs().sum()) if self.budget.norm == "l1" else delta

    def _draw(self, rows: Tensor, state: State, queries: list[int]) -> None:
        """The random numbers of the next queries of those clips that have used up theirs."""
        for place, query in enumerate(queries):
            if query and (query - 1) % BLOCK == 0:
                block, number = (query - 1) // BLOCK, int(state["restart"][place])
                generator = self.batch.generator(int(rows[place]), "square", number, block)
                state["noise"][place] = torch.rand(BLOCK, PLACES + self._signs(), generator=generator)

    def _signs(self) -> int:
        return self.canvas[0] * (1 if self.shared else self.canvas[1])

    def _sides(self, query: int) -> tuple[int, int, int]:
        """Frames, rows and columns of a query's window."""
        _, frames, height, width = self.canvas
        share, span = self.settings.share(query), frames
        if self.settings.temporal == "tube" and not self.moves.flicker:
            span = max(round(share ** (1 / 3) * frames), 1)
            share *= frames / span
        if self.moves.flicker:
            return 1, 1, max(round(share * width), 1)
        side = max(round((share * height * width) ** 0.5), 1)
        if self.budget.norm != "linf":
            # a pattern has two halves, and a middle
            side = max(side, 3)
            side += 1 - side % 2
        return span, min(side, height), min(side, width)

    def _proposed(self, delta: Tensor, window: tuple[int, int, int], noise: Tensor) -> Tensor:
        groups = 1 if self.shared else self.canvas[1]
        signs = torch.where(noise[:, PLACES:] < 0.5, 1.0, -1.0).view(-1, self.canvas[0], groups, 1, 1)
        here = self._window(window, noise[:, :3])
        if self.budget.norm == "linf":
            new = (signs * self.budget.eps).expand(-1, -1, self.canvas[1] if groups > 1 else window[0], *window[1:])
            return delta.index_put(here, new)
        there = self._window(window, noise[:, 3:6])
        order = 1 if self.budget.norm == "l1" else 2
        old = delta[here]
        whole = _mass(delta, order, self.shared)
        delta = delta.index_put(there, delta.new_zeros(())).index_put(here, delta.new_zeros(()))
        taken = (whole - _mass(delta, order, self.shared)).clamp_min_(0.0)
        total = whole.sum((1, 2), keepdim=True)
        free = (self.budget.eps**order - total).clamp_min_(0.0) / (whole.shape[1] * whole.shape[2])
        shape = pattern(max(window[1:])).to(delta)[: window[1], : window[2]]
        turned = pattern(max(window[1:])).T.to(delta)[: window[1], : window[2]]
        tile = torch.where((noise[:, 6] < 0.5).view(-1, 1, 1, 1, 1), turned, shape)
        new = signs * tile + old / _size(old, order, self.shared)
        mass = free + taken
        if order == 1:
            # more than the ball holds: the projection then takes the mass from the small values everywhere
            mass = mass * (whole.shape[1] * whole.shape[2])
        new = new / _size(new, order, self.shared) * mass ** (1 / order)
        return delta.index_put(here, new.expand_as(old))

    def _window(self, sides: tuple[int, int, int], drawn: Tensor) -> tuple[Tensor, ...]:
        """The indices of a window in each of `(n, C, F, H, W)`, by `(n, 3)` numbers in [0, 1)."""
        device = drawn.device
        axes = [torch.arange(len(drawn), device=device), torch.arange(self.canvas[0], device=device)]
        index = [axes[0].view(-1, 1, 1, 1, 1), axes[1].view(1, -1, 1, 1, 1)]
        for axis, side in enumerate(sides):
            room = self.canvas[axis + 1] - side
            first = (drawn[:, axis] * (room + 1)).long().clamp_max(room)
            shape = [1, 1, 1, 1, 1]
            shape[0], shape[axis + 2] = len(drawn), side
            index.append((first[:, None] + torch.arange(side, device=device)).view(shape))
        return tuple(index)

    def _fit(self, rows: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """The clips that canvases stand for, in support, ball and box; and what is left of the canvases."""
        clean, eps = self.batch.clips[rows], self.budget.eps
        if self.moves.flicker:
            return self.moves.clips(clean, delta.permute(0, 1, 4, 2, 3)), delta
        if self.budget.support is not None:
            delta = self.budget.support.of(rows).pull(delta)
        if self.budget.norm == "linf":
            return (clean + delta).clamp_(0.0, 1.0), delta
        if self.budget.norm == "l2":
            norms = delta.flatten(1).double().norm(dim=1).clamp_min(TINY)
            delta = (delta * (eps / norms).view(-1, 1, 1, 1, 1)).float()
        else:
            sums = delta.flatten(1).double().abs().sum(1).clamp_min(TINY)
            # up to the sphere, as in L2; whatever lies beyond is projected, which makes it sparse
            delta = (delta * (eps / sums).clamp_min(1.0).view(-1, 1, 1, 1, 1)).float()
            delta = nearest(clean, delta, eps)
        clips = (clean + delta).clamp_(0.0, 1.0)
        return clips, clips - clean


@lru_cache(maxsize=64)
def pattern(side: int) -> Tensor:
    """`(side, side)` of unit L2 norm: a hill in the upper half and a hollow in the lower one (arXiv:1912.00049, eq. 3).

    Each falls off from its middle as the sums of `1 / k^2` over the squares around it that cover a pixel.
    """
    upper, lower = _hill(side // 2, side), _hill(side - side // 2, side)
    both = torch.cat([upper, -lower])
    whole: Tensor = both / both.norm()
    return whole


def _hill(height: int, width: int) -> Tensor:
    across = (torch.arange(width) - width // 2).abs()
    down = (torch.arange(height) - height // 2).abs()
    steps = 1 / torch.arange(1, max(height, width) // 2 + 2).float() ** 2
    # from the widest square inwards
    sums = steps.flip(0).cumsum(0).flip(0)
    hill: Tensor = sums[torch.maximum(down[:, None], across[None])]
    return hill / hill.norm().clamp_min(TINY) if height else hill


def _mass(values: Tensor, order: int, shared: bool) -> Tensor:
    """The sums of `|v|^order` over what shares a sign, with the dimensions kept."""
    sums: Tensor = values.abs().pow(order).sum((2, 3, 4) if shared else (3, 4), keepdim=True)
    return sums


def _size(values: Tensor, order: int, shared: bool) -> Tensor:
    return _mass(values, order, shared).pow(1 / order).clamp_min(TINY)
