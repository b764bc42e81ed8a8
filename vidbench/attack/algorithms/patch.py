"""Patches and borders: what stands in a region of every frame, for one clip or for all."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from vidbench.attack.algorithms.pgd import Pgd, PgdSettings
from vidbench.attack.algorithms.universal import OneForAll, UniversalSettings, Update
from vidbench.attack.losses import Loss, loss_for
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Eps, Norm
from vidbench.errors import UsageError
from vidbench.seeds import seed_for

Place = Literal["centre", "top-left", "top-right", "bottom-left", "bottom-right"]
SIZE = re.compile(r"(\d+)x(\d+)(?:\+(\d+)\+(\d+))?")


def box_of(size: str, place: Place, height: int, width: int) -> tuple[int, int, int, int]:
    """`(left, top, width, height)` in pixels of "32x32+10+20", "32x32", or a share of the frame's area ("0.1").

    A share gives a patch of the frame's own proportions. `place` is for sizes that do not say where.

    Raises:
        UsageError: It does not lie in such frames.
    """
    found = SIZE.fullmatch(size)
    if found is None:
        side = math.sqrt(float(size))
        wide, high = max(1, round(width * side)), max(1, round(height * side))
    else:
        wide, high = int(found[1]), int(found[2])
    if found is not None and found[3] is not None:
        left, top = int(found[3]), int(found[4])
    elif place == "centre":
        left, top = (width - wide) // 2, (height - high) // 2
    else:
        left = 0 if place.endswith("left") else width - wide
        top = 0 if place.startswith("top") else height - high
    if not (wide and high and left >= 0 and top >= 0 and left + wide <= width and top + high <= height):
        raise UsageError(f"a patch of {size} does not lie in frames of {width}x{height}")
    return left, top, wide, high


def check_size(size: str) -> str:
    """The size, if it reads as one.

    Raises:
        ValueError: It does not.
    """
    if SIZE.fullmatch(size):
        return size
    try:
        share = float(size)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError("32x32+10+20 (width x height + left + top), 32x32, or a share of the frame such as 0.1")
    return size


def shown(content: Tensor, clean: Tensor, eps: float) -> Tensor:
    """What stands there: contents as near as eps lets them come to what was there; exactly the content at eps 1.

    Gradients go straight through to the content, also where eps holds it back.

    Args:
        content: `(N, 3, 1 or T, H, W)` in [0, 1].
        clean: `(N, 3, T, H, W)` in [0, 1].
        eps: Linf radius.
    """
    wanted = content.expand_as(clean)
    near = torch.minimum(torch.maximum(wanted, clean - eps), clean + eps).clamp(0.0, 1.0)
    return wanted + (near - wanted).detach()


class RegionSettings(Settings):
    """What attacks on a region have.

    Attributes:
        shared: The content is the same in all frames, like a thing that is stuck on; otherwise it may change.
        steps: Gradient steps.
        step: Step size like eps ("2/255") at first; shared contents take ever smaller steps. None for a quarter of eps.
        restarts: Runs from new starts, on the clips that withstood so far.
    """

    shared: bool = True
    steps: int = Field(40, ge=1, le=100_000)
    step: str | None = None
    restarts: int = Field(1, ge=1, le=1000)

    def step_size(self, budget: Budget) -> float:
        """The step, a share of the pixel range."""
        return budget.eps / 4 if self.step is None else Eps.parse(self.step, "linf").value


class _Region(ABC):
    """Sign steps on the content c of a region, which maximise the cross entropy of `(1 - M) x + M c`.

    M is the region's mask, as in Brown et al. 2017 (arXiv:1712.09665, section 2) and Zajac et al. 2019
    (arXiv:1812.04599, section 3). Each value stays within eps of the clip's; with eps 1 the content is free.
    """

    norms: tuple[Norm, ...] = ("linf",)
    minimal = False

    @abstractmethod
    def region(self, settings: Settings, clip_shape: tuple[int, ...], device: torch.device) -> Support:
        """Where, for clips of `(3, T, H, W)`."""

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """All restarts, each on the clips that withstood so far; of failures the one with the largest loss.

        Raises:
            UsageError: The region does not lie in the frames, or not in the budget's support.
        """
        assert isinstance(settings, RegionSettings)
        where = self.region(settings, tuple(batch.clips.shape[1:]), batch.clips.device).meet(budget.support)
        here = Budget("linf", budget.eps, where)
        if not settings.shared:
            plain = PgdSettings(steps=settings.steps, step=settings.step, restarts=settings.restarts)
            return Pgd().run(target, batch, here, plain)
        return Outcome.joined([_attack(target, part, here.of(chosen), settings) for chosen, part in batch.parts()])


def _attack(target: Target, batch: Batch, budget: Budget, settings: RegionSettings) -> Outcome:
    """Shared contents for at most `width` clips."""
    count, device = len(batch), batch.clips.device
    best, loss = batch.clips.clone(), torch.full((count,), -torch.inf, device=device)
    reached = torch.zeros(count, dtype=torch.bool, device=device)
    restarts, forwards, backwards = (torch.zeros(count, dtype=torch.long) for _ in range(3))
    when = torch.full((count,), -1, dtype=torch.long)
    size = settings.step_size(budget)
    for restart in range(settings.restarts):
        active = (~reached).nonzero().flatten()
        content = _contents(batch, active, budget.eps, restart)
        for number in range(settings.steps + 1):
            if len(active) == 0:
                break
            part, support, last = batch.of(active), budget.of(active).support, number == settings.steps
            assert support is not None
            clips = torch.where(support.mask > 0, shown(content, part.clips, budget.eps), part.clips)
            wanted = part.goal
            # at the last point only the answer counts
            found = target.ascend(clips, loss_for("ce", wanted), wanted.reached if not last else _always)
            host = active.cpu()
            forwards[host] += target.draws
            won = wanted.reached(found.logits)
            # of a clip that has won its gradient is not used, whoever shares the pass
            backwards[host] += target.draws * (~won).cpu() * found.backward
            better = won | (found.loss > loss[active])
            chosen = active[better]
            best[chosen], loss[chosen] = clips[better], found.loss[better]
            restarts[chosen.cpu()] = restart
            reached[active] = won
            when[active[won].cpu()] = restart * settings.steps + number
            pulled = support.pull(found.gradient).sum(2, keepdim=True).sign()
            content = (content + size * (1 - number / settings.steps) * pulled).clamp(0.0, 1.0)[~won]
            active = active[~won]
    return Outcome(best, reached, forwards, backwards, restarts, when)


def _always(logits: Tensor) -> Tensor:
    return torch.ones(len(logits), dtype=torch.bool, device=logits.device)


def _contents(batch: Batch, rows: Tensor, eps: float, restart: int) -> Tensor:
    """`(N, 3, 1, H, W)` starts: the clip's mean over time, and noise of the size of eps."""
    mean = batch.clips[rows].mean(2, keepdim=True)
    shape = tuple(mean.shape[1:])
    noise = [torch.rand(shape, generator=batch.generator(row, "content", restart)) for row in rows.tolist()]
    return (mean + (2 * torch.stack(noise).to(mean) - 1) * eps).clamp(0.0, 1.0) if noise else mean


class PatchSettings(RegionSettings):
    """The settings of the patch.

    Attributes:
        size: "32x32+10+20" (width x height + left + top), "32x32", or a share of the frame's area.
        place: Where a patch stands that does not say so: centre, top-left, top-right, bottom-left, bottom-right.
    """

    size: str = "0.1"
    place: Place = "centre"

    _known = field_validator("size")(check_size)


class Patch(_Region):
    """A patch in one place of all frames."""

    name = "patch"
    summary = "a patch that stays in its place over all frames"
    source = "Brown et al. 2017, arXiv:1712.09665, section 2, for one clip; sign steps"
    settings: type[Settings] = PatchSettings

    def region(self, settings: Settings, clip_shape: tuple[int, ...], device: torch.device) -> Support:
        """The patch's box."""
        assert isinstance(settings, PatchSettings)
        left, top, wide, high = box_of(settings.size, settings.place, *clip_shape[2:])
        found = Support.parse(f"patch:{wide}x{high}+{left}+{top}", clip_shape, device)
        assert found is not None
        return found


class BorderSettings(RegionSettings):
    """The settings of the border.

    Attributes:
        thickness: In pixels, or below 1 as a share of the frame's short side.
    """

    thickness: float = Field(0.04, gt=0)


class Border(_Region):
    """A border around all frames."""

    name = "border"
    summary = "a border around all frames"
    source = "Zajac et al. 2019, arXiv:1812.04599, section 3, for one clip; sign steps"
    settings: type[Settings] = BorderSettings

    def region(self, settings: Settings, clip_shape: tuple[int, ...], device: torch.device) -> Support:
        """The frame of that thickness, one pixel at least."""
        assert isinstance(settings, BorderSettings)
        given = settings.thickness
        pixels = max(1, round(given if given >= 1 else given * min(clip_shape[2:])))
        found = Support.parse(f"border:{pixels}", clip_shape, device)
        assert found is not None
        return found


class UniversalPatchSettings(UniversalSettings):
    """The settings of the universal patch.

    Attributes:
        epochs: Passes over the clips that are learnt from.
        minibatch: Clips per step.
        size: As of the patch.
        place: As of the patch.
        jitter: Each clip has the patch in a random place, another one in each epoch, so that it works wherever it is.
        step: Step size like eps at first; it falls to 0 over the epochs. None for a quarter of eps.
    """

    size: str = "0.1"
    place: Place = "centre"
    jitter: bool = False
    step: str | None = None

    _known = field_validator("size")(check_size)


class UniversalPatch(OneForAll):
    """One patch for all clips: `max over c in [0, 1] of mean_i l(f((1 - M_i) x_i + M_i c), y_i)`.

    Brown et al. 2017 (arXiv:1712.09665, section 2) take the mean over images and places; M_i is the place in clip i.
    """

    name = "patch-universal"
    summary = "one patch for all clips"
    norms: tuple[Norm, ...] = ("linf",)
    source = "Brown et al. 2017, arXiv:1712.09665, section 2; sign steps"
    settings: type[Settings] = UniversalPatchSettings
    minimal = False

    def start(self, clips: Tensor, budget: Budget, settings: Settings, seed: int) -> Tensor:
        """`(3, 1, h, w)` uniform in [0, 1]."""
        assert isinstance(settings, UniversalPatchSettings)
        _, _, wide, high = box_of(settings.size, settings.place, *clips.shape[3:])
        drawn = torch.rand(3, 1, high, wide, generator=torch.Generator().manual_seed(seed_for(seed, "patch")))
        return drawn.to(clips)

    def put_on(self, theta: Tensor, batch: Batch, budget: Budget, settings: Settings, moment: object) -> Tensor:
        """The patch in all frames of each clip, in its place or in a random one."""
        assert isinstance(settings, UniversalPatchSettings)
        clips = batch.clips
        left, top, wide, high = box_of(settings.size, settings.place, *clips.shape[3:])
        made = []
        for row in range(len(batch)):
            if settings.jitter:
                generator = batch.generator(row, "place", moment)
                left = int(torch.randint(clips.shape[4] - wide + 1, (), generator=generator))
                top = int(torch.randint(clips.shape[3] - high + 1, (), generator=generator))
            clean = clips[row]
            here = (..., slice(top, top + high), slice(left, left + wide))
            made.append(clean.clone())
            made[-1][here] = shown(theta[None], clean[here][None], budget.eps)[0]
        found = torch.stack(made)
        if budget.support is None:
            return found
        if budget.support.flicker:
            raise UsageError("a patch is no flicker")
        return torch.where(budget.support.mask > 0, found, clips)

    def loss(self, batch: Batch, settings: Settings) -> Loss:
        """The cross entropy."""
        return loss_for("ce", batch.goal)

    def updates(self, budget: Budget, settings: Settings) -> Update:
        """Sign steps of a size that falls linearly to 0, in the box."""
        assert isinstance(settings, UniversalPatchSettings)
        size = budget.eps / 4 if settings.step is None else Eps.parse(settings.step, "linf").value

        def update(theta: Tensor, gradient: Tensor, over: float) -> Tensor:
            return (theta + size * (1 - over) * gradient.sign()).clamp(0.0, 1.0)

        return update
