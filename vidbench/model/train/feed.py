"""The batches of a training: read ahead by threads, in an order that the seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from vidbench.model.train.batch import Batch, Sample, collate
from vidbench.model.train.peers import Peers
from vidbench.model.train.samples import Repeated, Samples
from vidbench.model.train.shapes import centre_parts
from vidbench.seeds import seed_for
from vidbench.video.clip import VideoError

Json = dict[str, Any]
Read = Callable[[int], Sample]
_AHEAD = 2


class Feed:
    """Batches of samples; all that is random is drawn from (seed, epoch, sample).

    A sample that cannot be read is left out of its batch and noted in `failures`.

    Attributes:
        failures: Name and reason of what could not be read, by key.

    Args:
        seed: Of the run.
        batch: Samples per batch.
        pool: Threads that read.
        peers: The processes that share each batch; batches are this one's parts, which may be empty.
    """

    def __init__(self, *, seed: int, batch: int, pool: ThreadPoolExecutor, peers: Peers | None = None) -> None:
        self.seed, self.batch, self.pool = seed, batch, pool
        self.peers = peers or Peers.alone()
        self.failures: dict[str, Json] = {}

    def training(self, samples: Samples, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on; one of which nothing can be read is empty."""
        parts = self._shuffled(samples, "order", epoch)
        return self._batches(samples, self._own(parts[start:]), lambda index: self._random(samples, index, epoch))

    def planned(self, samples: Samples) -> list[int]:
        """How many samples each batch of an epoch has, in all processes together."""
        total = len(samples)
        return [min(self.batch, total - at) for at in range(0, total, self.batch)]

    def precise(self, samples: Samples, epoch: int, batches: int) -> Iterator[Batch]:
        """At most so many batches of training samples, drawn apart from those of the epoch."""
        parts = self._own(self._shuffled(samples, "precise", epoch)[:batches])
        drawn = self._batches(samples, parts, lambda index: self._random(samples, index, "precise", epoch))
        # what is empty here may not be so in another process
        return drawn if self.peers.size > 1 else (batch for batch in drawn if len(batch))

    def centre(self, samples: Samples, first: int | None = None) -> Iterator[Batch]:
        """Every sample once, in order, as it is validated on; without the batches of which nothing can be read.

        Several processes have a stretch each, of all samples or of so many `first` ones.
        """
        numbers = self.peers.share(len(samples) if first is None else min(first, len(samples)))
        parts = centre_parts(samples, numbers, self.batch)
        return (batch for batch in self._batches(samples, parts, samples.centre) if len(batch))

    def _shuffled(self, samples: Samples, *what: object) -> list[list[int]]:
        # samples that are clips of one video stay together
        group = samples.group if isinstance(samples, Repeated) else 1
        heads = torch.randperm(len(samples) // group, generator=self._generator(*what)).tolist()
        order = [head * group + turn for head in heads for turn in range(group)]
        return [order[at : at + self.batch] for at in range(0, len(order), self.batch)]

    def _own(self, parts: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        """The stretch of each batch that is read here."""
        shares = [self.peers.share(len(part)) for part in parts]
        return [part[own.start : own.stop] for part, own in zip(parts, shares, strict=True)]

    def _random(self, samples: Samples, index: int, *what: object) -> Sample:
        return samples.random(index, self._generator(*what, samples.key(index)))

    def _generator(self, *what: object) -> torch.Generator:
        return torch.Generator().manual_seed(seed_for(self.seed, *what))

    def _batches(self, samples: Samples, parts: Sequence[Sequence[int]], read: Read) -> Iterator[Batch]:
        def submit(part: Sequence[int]) -> list[Any]:
            return [(index, self.pool.submit(_tried, read, index)) for index in part]

        ahead = [submit(part) for part in parts[:_AHEAD]]
        for number in range(len(parts)):
            results = [(index, future.result()) for index, future in ahead.pop(0)]
            if number + _AHEAD < len(parts):
                ahead.append(submit(parts[number + _AHEAD]))
            yield self._collate(samples, results)

    def _collate(self, samples: Samples, results: Sequence[tuple[int, Sample | VideoError]]) -> Batch:
        good, names, numbers = [], [], []
        for index, outcome in results:
            name = samples.name(index)
            if isinstance(outcome, VideoError):
                self.failures[samples.key(index)] = {"path": name, "reason": str(outcome)}
            else:
                good.append(outcome)
                names.append(name)
                numbers.append(index)
        return collate(good, names, numbers)


def _tried(read: Read, index: int) -> Sample | VideoError:
    try:
        return read(index)
    except VideoError as error:
        return error
