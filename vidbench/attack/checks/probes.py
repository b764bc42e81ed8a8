"""What is measured on a model without attacking it: its answers, its gradients, and what its forward pass calls."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from vidbench.attack.checks.answers import SAME
from vidbench.attack.confirm import seeded
from vidbench.attack.losses import cross_entropy, margin
from vidbench.seeds import seed_for

Json = dict[str, Any]
Forward = Callable[[Tensor], Tensor]

PASSES = 5
WIDTHS = (1e-4, 1e-3, 1e-2)
"""Step widths of finite differences in units of the pixel range; the first in float64 alone."""
DIRECTIONS = 4
NOISES = 3
NOISE = 1 / 255
BLIND = ("round", "floor", "ceil", "trunc", "sign", "argmax", "bernoulli", "detach", "heaviside")
"""Operations whose derivative is zero almost everywhere, or is left out."""


def answers(classifier: nn.Module, clips: Tensor, keys: Sequence[str], seed: int) -> list[Json]:
    """How alike equal passes are, for `(N, 3, T, H, W)` clean clips, and what kind of numbers they give."""
    with torch.no_grad(), seeded(seed_for(seed, keys[0], "answers")):
        passes = torch.stack([classifier(clips).double() for _ in range(PASSES)])
    first = passes[0]
    size = first.abs().amax(1).clamp_min(1e-12)
    changes = (passes - first).abs().amax((0, 2)) / size
    flips = (passes.argmax(2) != passes[0].argmax(1)).any(0)
    finite = torch.isfinite(passes).all(2).all(0)
    inside = (first >= 0).all(1) & (first <= 1).all(1) & ((first.sum(1) - 1).abs() <= 1e-5)
    return [
        {
            "change": float(changes[row]) if bool(finite[row]) else 0.0,
            "flips": bool(flips[row]),
            "finite": bool(finite[row]),
            # the sum of a single output is itself
            "probabilities": bool(inside[row]),
        }
        for row in range(len(clips))
    ]


def is_random(answer: Json) -> bool:
    """Whether an answer changed by more than rounding."""
    return bool(answer["finite"]) and (answer["change"] > SAME or answer["flips"])


def gradients(
    classifier: nn.Module, clips: Tensor, labels: Tensor, keys: Sequence[str], seed: int, random: bool
) -> list[Json]:
    """What autograd says at `(N, 3, T, H, W)` clean clips, beside finite differences and beside its neighbours.

    Finite differences are central, and of a copy of the network in float64 where that gives the same logits: in
    float32 a difference of two logits is rounding for the most part. A random model is looked at clip by clip, with
    the same draws in all passes.
    """
    exact = _in_double(classifier)
    found = []
    width = 1 if random else len(clips)
    for start in range(0, len(clips), width):
        rows = list(range(len(clips)))[start : start + width]
        number = seed_for(seed, keys[rows[0]], "gradients") if random else None
        part, named = clips[rows], [keys[row] for row in rows]
        found += _gradients(classifier, exact, part, labels[rows], named, seed, number)
    return found


def _gradients(
    classifier: nn.Module, exact: nn.Module | None, clips: Tensor, labels: Tensor, keys: Sequence[str], seed: int,
    draw: int | None,
) -> list[Json]:  # fmt: skip
    forward = _repeated(classifier, draw)
    try:
        slope = _gradient(forward, clips, labels, margin)
        entropy = _gradient(forward, clips, labels, cross_entropy)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        return [{"connected": False, "reason": reason} for _ in keys]
    found: list[Json] = []
    finite = torch.isfinite(slope).flatten(1).all(1)
    norms = slope.double().flatten(1).norm(dim=1)
    entropies = entropy.double().flatten(1).norm(dim=1)
    frames = slope.abs().amax((1, 3, 4))
    for row in range(len(keys)):
        found.append({
            "connected": True,
            "norm": float(norms[row]) if bool(finite[row]) else 0.0,
            "finite": bool(finite[row]),
            "dead_frames": int((frames[row] == 0).sum()),
            "frames": frames.shape[1],
            "cross_entropy_norm": float(entropies[row].nan_to_num(0.0)),
            "slopes": {},
            "cosine": None,
            "spread": None,
        })  # fmt: skip
    usable = [row for row in range(len(keys)) if found[row]["finite"] and found[row]["norm"] > 0]
    if usable:
        part, chosen = clips[usable], labels[usable]
        names = [keys[row] for row in usable]
        slopes = _slopes(forward, exact, part, chosen, slope[usable], names, seed, draw)
        near = _neighbours(forward, part, chosen, slope[usable], names, seed)
        for place, row in enumerate(usable):
            found[row] |= {"slopes": slopes[place], **near[place]}
    return found


def _gradient(forward: Forward, clips: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The gradient of each clip's loss at the clips.

    Raises:
        RuntimeError: Autograd does not lead to them.
    """
    point = clips.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        output = forward(point).float()
        if not output.requires_grad:
            raise RuntimeError("the output does not depend on the input for autograd")
        (gradient,) = torch.autograd.grad(loss(output, labels).sum(), point, allow_unused=True)
    if gradient is None:
        raise RuntimeError("the output does not depend on the input for autograd")
    return gradient.detach()


def _slopes(
    forward: Forward, exact: nn.Module | None, clips: Tensor, labels: Tensor, gradient: Tensor, keys: Sequence[str],
    seed: int, draw: int | None,
) -> list[Json]:  # fmt: skip
    """Per clip and step width: measured over analytic slope along the gradient's sign, and agreement elsewhere."""
    evaluate, dtype = forward, torch.float32
    if exact is not None:
        double = _repeated(exact, draw)
        if _same(forward, double, clips):
            evaluate, dtype = double, torch.float64
    directions = [gradient.sign()]
    for number in range(DIRECTIONS):
        drawn = [_signs(clips.shape[1:], seed_for(seed, key, "direction", number)) for key in keys]
        directions.append(torch.stack(drawn).to(clips))
    found: list[Json] = [{} for _ in keys]
    for width in WIDTHS if dtype == torch.float64 else WIDTHS[1:]:
        measured, analytic = [], []
        for direction in directions:
            # what would leave the box stays: models need not be defined beyond it
            inside = direction * ((clips + width <= 1) & (clips - width >= 0))
            step = width * inside.to(dtype)
            with torch.no_grad():
                up, down = (margin(evaluate(clips.to(dtype) + sign * step), labels) for sign in (1.0, -1.0))
            measured.append((up - down).double() / (2 * width))
            analytic.append((gradient.double() * inside).flatten(1).sum(1))
        for row, slopes in enumerate(found):
            along = float(analytic[0][row])
            pairs = [(float(m[row]), float(a[row])) for m, a in zip(measured[1:], analytic[1:], strict=True)]
            # a direction without room on either side tells nothing
            pairs = [(m, a) for m, a in pairs if a != 0.0]
            if along == 0.0:
                continue
            slopes[f"{width:g}"] = {
                "ratio": float(measured[0][row]) / along,
                "agree": sum((m > 0) == (a > 0) and m != 0 for m, a in pairs),
                "directions": len(pairs),
            }
    return found


def _neighbours(
    forward: Forward, clips: Tensor, labels: Tensor, gradient: Tensor, keys: Sequence[str], seed: int
) -> list[Json]:
    """Per clip: how alike its gradient is to those at clips with a little noise."""
    clean = gradient.double().flatten(1)
    cosines, norms = [], [clean.norm(dim=1)]
    for number in range(NOISES):
        drawn = []
        for key in keys:
            generator = torch.Generator().manual_seed(seed_for(seed, key, "noise", number))
            drawn.append((torch.rand(clips.shape[1:], generator=generator) * 2 - 1) * NOISE)
        other = _gradient(forward, (clips + torch.stack(drawn).to(clips)).clamp(0, 1), labels, margin)
        other = other.double().flatten(1).nan_to_num(0.0, 0.0, 0.0)
        norms.append(other.norm(dim=1))
        cosines.append((clean * other).sum(1) / (norms[0] * norms[-1]).clamp_min(1e-300))
    sizes = torch.stack(norms)
    spread = sizes.std(0) / sizes.mean(0).clamp_min(1e-300)
    mean = torch.stack(cosines).mean(0)
    return [{"cosine": float(mean[row]), "spread": float(spread[row])} for row in range(len(keys))]


def _signs(shape: Sequence[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, tuple(shape), generator=generator).float() * 2 - 1


def _repeated(classifier: nn.Module, draw: int | None) -> Forward:
    """The forward pass, with the same random numbers each time."""

    def forward(clips: Tensor) -> Tensor:
        with nullcontext() if draw is None else seeded(draw):
            logits: Tensor = classifier(clips)
        return logits

    return forward


def _in_double(classifier: nn.Module) -> nn.Module | None:
    """A copy in float64; None where the device or the network has none."""
    try:
        return copy.deepcopy(classifier).double()
    except (TypeError, RuntimeError):
        return None


def _same(forward: Forward, double: Forward, clips: Tensor) -> bool:
    """Whether the copy in float64 takes such clips and says the same of them."""
    with torch.no_grad():
        ours = forward(clips).double()
        try:
            theirs = double(clips.double())
        except (TypeError, RuntimeError):
            return False
    return theirs.dtype == torch.float64 and bool((ours - theirs).abs().amax() <= 1e-3 * ours.abs().amax())


def calls(classifier: nn.Module, clips: Tensor) -> Json:
    """What one forward pass with gradients calls: operations without a useful derivative, and backward operations."""
    point = clips[:1].detach().clone().requires_grad_(True)
    with _Blind() as blind, _Backward() as backward, _parameters_as_they_are(classifier), torch.enable_grad():
        classifier(point)
    return {"operations": sorted(blind.seen), "backward": backward.count}


class _Blind(TorchFunctionMode):
    """Notes which of `BLIND` are called from Python."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "").rstrip("_")
        if name in BLIND:
            self.seen.add(name)
        return function(*arguments, **(named or {}))


class _Backward(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts kernels of backward passes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        self.count += "backward" in str(function)
        return function(*arguments, **(named or {}))


@contextmanager
def _parameters_as_they_are(classifier: nn.Module) -> Iterator[None]:
    """What a defence that optimises leaves in the parameters' gradients is put aside again."""
    before = [(parameter, parameter.grad) for parameter in classifier.parameters()]
    try:
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient
