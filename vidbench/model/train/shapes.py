"""Which samples may be in one batch of a validation: those whose clips have one shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol, runtime_checkable

from vidbench.model.train.samples import Samples


@runtime_checkable
class Shaped(Protocol):
    """Samples whose clips, where whole frames are shown, have the shape of their video."""

    def shape_of(self, index: int) -> str:
        """What is equal where shapes are; samples of one shape stand beside each other."""


def centre_parts(samples: Samples, numbers: Sequence[int], batch: int) -> list[Sequence[int]]:
    """The numbers of samples, in order, in parts of at most `batch` whose clips have one shape."""
    runs = [numbers]
    if isinstance(samples, Shaped):
        runs = [list(run) for _, run in groupby(numbers, key=samples.shape_of)]
    return [run[at : at + batch] for run in runs for at in range(0, len(run), batch)]
