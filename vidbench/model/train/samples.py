"""Where the samples of a training come from: lists of clips of one class or of several."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vidbench.data.dataset import ClipItem, ClipList
from vidbench.model.augment.pipeline import ClipAugment
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.footage import FootageStore
from vidbench.model.train.batch import Sample
from vidbench.model.zoo import Preprocess


class Samples(Protocol):
    """A set of samples that are read one by one, by several threads at once.

    Attributes:
        source: The list or folder, for messages.
    """

    source: str

    def __len__(self) -> int:
        """How many there are."""

    def key(self, index: int) -> str:
        """What names a sample in every run: its random numbers depend on it."""

    def name(self, index: int) -> str:
        """What a user calls it."""

    def random(self, index: int, generator: torch.Generator) -> Sample:
        """One to train on: at a random time, scale and place, augmented; random by the generator alone.

        Raises:
            VideoError: It cannot be read.
        """

    def centre(self, index: int) -> Sample:
        """The same one each time, to validate on, at the test protocol's centre.

        Raises:
            VideoError: It cannot be read.
        """


class ListSamples:
    """The clips of a list.

    Args:
        clips: The list.
        store: Where videos come from.
        preprocess: The clips that the network wants.
        classes: How many, where a clip may have several of them; 0 where each has one.
        jitter: Largest short side of a random clip, as a multiple of the crop.
        flip: Probability that a random clip is flipped.
        augment: What else happens to random clips.
    """

    def __init__(
        self,
        clips: ClipList,
        store: FootageStore,
        preprocess: Preprocess,
        *,
        classes: int,
        jitter: float,
        flip: float,
        augment: AugmentSettings,
    ) -> None:
        self.clips, self.store, self.preprocess, self.classes = clips, store, preprocess, classes
        self.jitter, self.flip = jitter, flip
        self.augment = ClipAugment(augment)
        self.source = str(clips.source)

    def __len__(self) -> int:
        return len(self.clips.items)

    def key(self, index: int) -> str:
        """The item's key."""
        return self.clips.items[index].key

    def name(self, index: int) -> str:
        """The path as the list has it."""
        return self.clips.items[index].name

    def random(self, index: int, generator: torch.Generator) -> Sample:
        """A random clip of the item, with its classes."""
        item = self.clips.items[index]
        footage = self.store.footage(item.file())
        clip = footage.random_clip(self.preprocess, self.jitter, self.flip, generator)
        return Sample(self.augment(clip, generator), self._target(item))

    def centre(self, index: int) -> Sample:
        """The centre view of the item, with its classes."""
        item = self.clips.items[index]
        return Sample(self.store.footage(item.file()).centre_clip(self.preprocess), self._target(item))

    def _target(self, item: ClipItem) -> Tensor:
        if not self.classes:
            return torch.tensor(item.label)
        target = torch.zeros(self.classes)
        target[list(item.labels)] = 1.0
        return target
