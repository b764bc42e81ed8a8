"""What is drawn at random for a batch, drawn for that of all processes: each takes the rows of its own clips."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vidbench.seeds import seed_for

V = TypeVar("V")


@dataclass(frozen=True)
class Part:
    """The rows that a process has of something that the processes have together.

    Attributes:
        own: How many.
        before: How many the processes before it have.
        total: How many all have.
    """

    own: int
    before: int
    total: int


@dataclass
class _Numbered:
    """Clips that are known by numbers; `turn` counts what was drawn for all of them."""

    seed: int
    numbers: Sequence[int]
    turn: int = 0


class _Draws(TorchFunctionMode):
    """Dropout, and the masks of stochastic depth, by whatever way a network draws them.

    A tensor belongs to the batch where its first size is that of a part, or a multiple, as for the frames of each
    clip. Numbers from a generator that a call names are left alone.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        self._parts = parts

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The call, with more rows where it draws."""
        # what a call does inside, as a backward pass that computes a block again, is not seen here
        _here.inside = False
        try:
            return self._called(func, args, kwargs or {})
        finally:
            _here.inside = True

    def _called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs.get("generator") is None:
            if func in _DROPOUTS:
                return self._dropout(func, *args, **kwargs)
            if func is torch.Tensor.bernoulli_:
                return self._bernoulli(*args, **kwargs)
            if func is torch.rand:
                return self._rand(*args, **kwargs)
        return func(*args, **kwargs)

    def _dropout(
        self, func: Callable[..., Tensor], input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        rows = self._rows(input.shape)
        if rows is None or not training or not 0 < p < 1:
            return func(input, p, training, inplace)
        shape = input.shape if func is functional.dropout else (*input.shape[:2], *(1,) * (input.ndim - 2))
        whole = torch.empty((rows.total, *shape[1:]), dtype=input.dtype, device=input.device)
        if func is functional.dropout and input.ndim == 5 and not input.is_contiguous():
            whole = whole.contiguous(memory_format=torch.channels_last_3d)
        kept = whole.bernoulli_(1 - p).div_(1 - p)[rows.before : rows.before + rows.own]
        return input.mul_(kept) if inplace else input * kept

    def _bernoulli(self, held: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        rows = self._rows(held.shape)
        if rows is None or any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
            return held.bernoulli_(*args, **kwargs)
        whole = held.new_empty((rows.total, *held.shape[1:])).bernoulli_(*args, **kwargs)
        return held.copy_(whole[rows.before : rows.before + rows.own])

    def _rand(self, *size: Any, **kwargs: Any) -> Tensor:
        shape = tuple(size[0]) if size and isinstance(size[0], Sequence) else size
        rows = self._rows(shape)
        if rows is None or "out" in kwargs:
            return torch.rand(*size, **kwargs)
        whole = torch.rand((rows.total, *shape[1:]), **kwargs)
        return whole[rows.before : rows.before + rows.own]

    def _rows(self, shape: Sequence[int]) -> Part | None:
        count = shape[0] if len(shape) else 0
        for part in sorted(self._parts, key=lambda part: part.own != count):
            if part.own and count and count % part.own == 0:
                times = count // part.own
                return Part(count, part.before * times, part.total * times)
        return None


_DROPOUTS = (functional.dropout, functional.dropout2d, functional.dropout3d)
_here = threading.local()
_now: list[Sequence[Part]] = []
_numbered: list[_Numbered] = []


@contextmanager
def drawn_together(parts: Sequence[Part]) -> Iterator[None]:
    """Inside, what a network draws is the same as for the whole batch in one process.

    All processes have to draw alike and from generators in the same state, which they leave alike. On the CPU
    the numbers are those of one process to the bit; a GPU's are others, as its generators are.

    Args:
        parts: Of what the batch has: its clips, and the things they ask about.
    """
    _now.append(parts)
    try:
        with _entered(parts):
            yield
    finally:
        _now.pop()


@contextmanager
def drawn_by_number(seed: int, numbers: Sequence[int]) -> Iterator[None]:
    """Inside, `each` draws by the seed and a clip's number: the same in whichever batch or process it stands.

    Args:
        seed: Of what is done with the clips.
        numbers: Of the clips of the batch, in order.
    """
    _numbered.append(_Numbered(seed, numbers))
    try:
        yield
    finally:
        _numbered.pop()


def each(count: int, draw: Callable[[], V]) -> list[V]:
    """What `draw` gives for each of so many clips of a batch, in order.

    Under `drawn_together` it is asked for the clips of all processes, in their order, and what is given for this
    one's is kept. Under `drawn_by_number` torch's global generator of the CPU is another one for each clip.
    """
    made: list[V] = []
    if _numbered:
        held = _numbered[-1]
        held.turn += 1
        with torch.random.fork_rng(devices=[]):
            for _, number in zip(range(count), held.numbers, strict=True):
                torch.manual_seed(seed_for(held.seed, number, held.turn))
                made.append(draw())
        return made
    part = clips_of_all(count)
    for place in range(part.total):
        drawn = draw()
        if part.before <= place < part.before + part.own:
            made.append(drawn)
    return made


def clips_of_all(count: int) -> Part:
    """Where so many clips stand among those of all processes; a multiple of the batch's has each clip's in a row."""
    return _stretch(count, 0)


def things_of_all(count: int) -> Part:
    """The same of things that are asked about."""
    return _stretch(count, 1)


def _stretch(count: int, which: int) -> Part:
    if not _now:
        return Part(count, 0, count)
    part = _now[-1][which % len(_now[-1])]
    if not part.own or count % part.own:
        raise ValueError(f"{count} rows are no multiple of the {part.own} of this process")
    times = count // part.own
    return Part(count, part.before * times, part.total * times)


def drawn_again() -> AbstractContextManager[None]:
    """`drawn_together` in whichever thread computes a part of the network again for the backward pass."""
    return nullcontext() if not _now or getattr(_here, "inside", False) else _entered(_now[-1])


@contextmanager
def _entered(parts: Sequence[Part]) -> Iterator[None]:
    before = getattr(_here, "inside", False)
    _here.inside = True
    try:
        with _Draws(parts):
            yield
    finally:
        _here.inside = before
