"""The clips of a training: read ahead by threads, in an order that the seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from vidbench.data.dataset import ClipItem, ClipList
from vidbench.model.augment.pipeline import ClipAugment
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.footage import Footage, FootageStore
from vidbench.model.zoo import Preprocess
from vidbench.seeds import seed_for
from vidbench.video.clip import VideoError

Json = dict[str, Any]
Read = Callable[[ClipItem], Tensor | VideoError]
Batch = tuple[Tensor, Tensor]
_AHEAD = 2


class Feed:
    """Batches of clips; all that is random is drawn from (seed, epoch, clip).

    A clip that cannot be decoded is left out of its batch and noted in `failures`.

    Attributes:
        failures: Path and reason of what could not be decoded, by key.

    Args:
        store: Where videos come from.
        preprocess: The clips that the network wants.
        seed: Of the run.
        batch: Clips per batch.
        jitter: Largest short side of a random clip, as a multiple of the crop.
        flip: Probability that a random clip is flipped.
        augment: What else happens to random clips.
        pool: Threads that read.
    """

    def __init__(
        self,
        store: FootageStore,
        preprocess: Preprocess,
        *,
        seed: int,
        batch: int,
        jitter: float,
        flip: float,
        augment: AugmentSettings,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.store, self.preprocess, self.seed, self.batch = store, preprocess, seed, batch
        self.jitter, self.flip, self.pool = jitter, flip, pool
        self.augment = ClipAugment(augment)
        self.failures: dict[str, Json] = {}

    def training(self, clips: ClipList, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on: clips `(N, 3, T, S, S)` and labels `(N,)`; N may be 0."""
        parts = self._shuffled(clips, "order", epoch)
        return self._batches(clips.items, parts[start:], lambda item: self._random_clip(item, epoch))

    def planned(self, clips: ClipList) -> list[int]:
        """How many clips each batch of an epoch has."""
        total = len(clips.items)
        return [min(self.batch, total - at) for at in range(0, total, self.batch)]

    def precise(self, clips: ClipList, epoch: int, batches: int) -> Iterator[Tensor]:
        """At most so many batches of training clips, drawn apart from those of the epoch."""
        parts = self._shuffled(clips, "precise", epoch)[:batches]
        for images, _ in self._batches(clips.items, parts, lambda item: self._random_clip(item, "precise", epoch)):
            if len(images):
                yield images

    def centre(self, clips: ClipList) -> Iterator[Batch]:
        """Every clip once, in the order of the list, at the test protocol's centre."""
        numbers = range(len(clips.items))
        parts = [numbers[at : at + self.batch] for at in range(0, len(numbers), self.batch)]
        return self._batches(clips.items, parts, self._centre_clip)

    def _shuffled(self, clips: ClipList, *what: object) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed_for(self.seed, *what))
        order = torch.randperm(len(clips.items), generator=generator).tolist()
        return [order[at : at + self.batch] for at in range(0, len(order), self.batch)]

    def _random_clip(self, item: ClipItem, *what: object) -> Tensor | VideoError:
        generator = torch.Generator().manual_seed(seed_for(self.seed, *what, item.key))
        try:
            footage = self.store.footage(item.file())
        except VideoError as error:
            return error
        clip = footage.random_clip(self.preprocess, self.jitter, self.flip, generator)
        return self.augment(clip, generator)

    def _centre_clip(self, item: ClipItem) -> Tensor | VideoError:
        try:
            footage: Footage = self.store.footage(item.file())
        except VideoError as error:
            return error
        return footage.centre_clip(self.preprocess)

    def _batches(self, items: Sequence[ClipItem], parts: Sequence[Sequence[int]], read: Read) -> Iterator[Batch]:
        def submit(part: Sequence[int]) -> list[Any]:
            return [(items[index], self.pool.submit(read, items[index])) for index in part]

        ahead = [submit(part) for part in parts[:_AHEAD]]
        for number in range(len(parts)):
            results = [(item, future.result()) for item, future in ahead.pop(0)]
            if number + _AHEAD < len(parts):
                ahead.append(submit(parts[number + _AHEAD]))
            yield self._collate(results)

    def _collate(self, results: Sequence[tuple[ClipItem, Tensor | VideoError]]) -> Batch:
        good = []
        for item, outcome in results:
            if isinstance(outcome, VideoError):
                self.failures[item.key] = {"path": item.name, "reason": str(outcome)}
            else:
                good.append((outcome, item.label))
        if not good:
            return torch.empty(0), torch.empty(0, dtype=torch.long)
        return torch.stack([clip for clip, _ in good]), torch.tensor([label for _, label in good])
