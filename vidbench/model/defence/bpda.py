"""Modules that change next to nothing but ruin the gradient: finding them, and the identity in place of it."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from vidbench.errors import UsageError
from vidbench.model.defence.layer import Defence, IdentityBackward

M = TypeVar("M", bound=nn.Module)

TAU = 1e-3
TRUSTED = 0.5
"""Below this the gradient of a module is taken for wrong; honest modules have about 1."""

_PAIRS = 8
_STEP = 1e-2


class NearIdentity(NamedTuple):
    """A module whose output is its input, but whose gradient is not the identity's.

    Attributes:
        path: Its name, as `get_submodule` takes it.
        change: The largest `|output - input|`.
        trust: How far autograd agrees with finite differences, from about 1 (the same) by 0 (no relation, or no
            gradient) to -1.
    """

    path: str
    change: float
    trust: float


def near_identity_modules(model: nn.Module, clips: Tensor, tau: float = TAU) -> list[NearIdentity]:
    """The modules that an attack should pass by the identity, in the order in which the model calls them.

    A module is listed where its output has the shape of its input, differs from it by at most `tau` (of the largest
    input, where that is below 1), and its gradient is wrong: for pairs of random sign vectors u and v,
    `<u, J v>` by autograd is far from `<u, f(x + h v) - f(x - h v)> / 2h`, h being ten times the change that `tau`
    allows, and at least 0.01 of the largest input. Modules inside one that is listed are not. What a model does
    outside its modules, in the `forward` of one that changes more, is not seen. A source of the idea: Backward Pass
    Differentiable Approximation, Athalye et al. 2018, arXiv:1802.00420, section 4.1.

    Args:
        model: In evaluation mode. Modules of several inputs or outputs are passed over.
        clips: Of the shape and range that the model takes; a few are enough.
        tau: The largest change.
    """
    found: list[NearIdentity] = []
    for path, module, values, change in _candidates(model, clips, tau):
        if any(path.startswith(f"{other.path}.") for other in found):
            continue
        trust = _trust(module, values, tau)
        if trust < TRUSTED:
            found = [other for other in found if not other.path.startswith(f"{path}.")]
            found.append(NearIdentity(path, change, trust))
    return found


def with_identity_backward(model: M, paths: Sequence[str]) -> M:
    """A copy in which these modules have the identity as their backward pass; it shares the model's tensors.

    Raises:
        UsageError: The model has no module of that name.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    changed = copy.deepcopy(model, dict(shared))
    known = [path for path, _ in model.named_modules() if path]
    for path in paths:
        if path not in known:
            near = difflib.get_close_matches(path, known, n=3, cutoff=0.5)
            raise UsageError(f"the model has no module {path!r}", f"Did you mean {' or '.join(near)}?" if near else "")
        above, _, name = path.rpartition(".")
        setattr(changed.get_submodule(above), name, IdentityBackward(changed.get_submodule(path)))
    return changed


def _candidates(model: nn.Module, clips: Tensor, tau: float) -> list[tuple[str, nn.Module, Tensor, float]]:
    """Modules whose output is close to their input, with that input, in the order of their calls."""
    found: dict[str, tuple[str, nn.Module, Tensor, float]] = {}
    order: list[str] = []
    waiting: dict[str, list[Tensor]] = {}

    def before(path: str) -> Callable[..., None]:
        def take(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            # a copy: the module may work in place
            one = not named and _is_one(inputs)
            waiting.setdefault(path, []).append(inputs[0].clone() if one else torch.empty(0))
            if path not in order:
                order.append(path)

        return take

    def after(path: str) -> Callable[..., None]:
        def compare(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
            values = waiting[path].pop()
            alike = isinstance(output, Tensor) and output.shape == values.shape and values.numel() > 0
            if path in found or not alike or not output.is_floating_point():
                return
            change = float((output - values).abs().amax())
            # zeros alone tell nothing: whatever keeps them is near to the identity
            if _scale(values) > 0 and change <= tau * _scale(values):
                found[path] = path, module, values, change

        return compare

    hooks = []
    try:
        for path, module in _asked(model, ""):
            if path:
                hooks.append(module.register_forward_pre_hook(before(path), with_kwargs=True))
                hooks.append(module.register_forward_hook(after(path)))
        with torch.no_grad(), _seeded(clips.device):
            model(clips)
    finally:
        for hook in hooks:
            hook.remove()
    return [found[path] for path in order if path in found]


def _asked(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules with their paths, but not those inside one that gradients pass by the identity already."""
    yield path, module
    if isinstance(module, IdentityBackward) or (isinstance(module, Defence) and module.adaptive):
        return
    for name, child in module.named_children():
        yield from _asked(child, f"{path}.{name}" if path else name)


def _trust(module: nn.Module, values: Tensor, tau: float) -> float:
    """How well a module's gradient fits its finite differences: `<a, d> / max(|a|^2, |d|^2)` over pairs (u, v)."""
    generator = torch.Generator().manual_seed(0)
    scale = _scale(values)
    step = max(10 * tau, _STEP) * scale
    # a value nearer to zero than the step would cross the kink of a ReLU
    free = (values.abs() > step).to(values.dtype)
    if not bool(free.any()):
        free = torch.ones_like(values)

    def call(point: Tensor) -> Tensor:
        with _seeded(values.device):
            result: Tensor = module(point)
            return result

    by_autograd, by_difference = [], []
    for _ in range(_PAIRS):
        outwards, along = (_signs(values, generator) for _ in range(2))
        along = along * free
        with torch.inference_mode(False), torch.enable_grad():
            point = values.clone().requires_grad_(True)
            # times one: a module may work in place, which a leaf forbids
            output = call(point * 1.0)
            gradient = None
            if output.requires_grad:
                (gradient,) = torch.autograd.grad(output, point, outwards, allow_unused=True)
        with torch.no_grad():
            moved = call(values + step * along).double() - call(values - step * along).double()
        slope = 0.0 if gradient is None else float((gradient.double() * along).nan_to_num(0.0, 0.0, 0.0).sum())
        by_autograd.append(slope)
        by_difference.append(float((outwards * moved).sum()) / (2 * step))
    ours, theirs = torch.tensor(by_autograd).double(), torch.tensor(by_difference).double()
    size = float(torch.maximum(ours.square().sum(), theirs.square().sum()))
    return float((ours * theirs).sum()) / size if size > 0 else 1.0


def _scale(values: Tensor) -> float:
    return min(1.0, float(values.abs().amax()))


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(0, 2, like.shape, generator=generator) * 2 - 1
    return drawn.to(like)


def _is_one(inputs: tuple[Any, ...]) -> bool:
    return len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point()


@contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """Random modules draw the same numbers at every call, and nobody else's draws change."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
