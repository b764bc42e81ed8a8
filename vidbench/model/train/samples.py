"""Where the samples of a training come from: lists of clips of one class or of several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from vidbench.data.dataset import ClipItem, ClipList
from vidbench.model.augment.pipeline import ClipAugment
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.footage import FootageStore
from vidbench.model.train.batch import Sample
from vidbench.model.train.clip_rules import ClipRule, Indices
from vidbench.model.train.placing import Placing, centred
from vidbench.model.zoo import Preprocess
from vidbench.seeds import seed_for


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
        store: Where the frames come from.
        preprocess: The clips that the network wants.
        classes: How many, where a clip may have several of them; 0 where each has one.
        rule: Which frames a clip takes.
        placing: Where in the frames a random clip lies.
        augment: What else happens to random clips.
        of_frames: A random clip has the classes of the frames from its first to its last, as a frame list tells them,
            and not those of its video.
    """

    def __init__(
        self,
        clips: ClipList,
        store: FootageStore,
        preprocess: Preprocess,
        *,
        classes: int,
        rule: ClipRule,
        placing: Placing,
        augment: AugmentSettings,
        of_frames: bool = False,
    ) -> None:
        self.clips, self.store, self.preprocess, self.classes = clips, store, preprocess, classes
        self.rule, self.placing, self.of_frames = rule, placing, of_frames
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
        time, *draw = torch.rand(5, generator=generator).tolist()
        # drawn from a generator of its own: what is asked twice has to answer alike
        seed = seed_for(generator.initial_seed(), "frames")
        footage = self.store.clip(
            item, lambda info: self.rule.random(info, self.preprocess, time, torch.Generator().manual_seed(seed))
        )
        clip = self.augment(self.placing(footage.images, draw, generator), generator)
        return Sample(clip, self._target(item, footage.indices if self.of_frames else None))

    def centre(self, index: int) -> Sample:
        """The centre view of the item, with the classes of the whole of it."""
        item = self.clips.items[index]
        footage = self.store.clip(item, lambda info: self.rule.centre(info, self.preprocess), again=True)
        return Sample(centred(footage.images, self.preprocess), self._target(item))

    def _target(self, item: ClipItem, shown: Indices | None = None) -> Tensor:
        if not self.classes:
            return torch.tensor(item.label)
        labels: Iterable[int] = item.labels
        if shown is not None and item.frames is not None:
            # every frame between the first and the last counts, not those alone that the clip takes
            labels = {label for frame in item.frames.labels()[min(shown) : max(shown) + 1] for label in frame}
        target = torch.zeros(self.classes)
        target[list(labels)] = 1.0
        return target


class Repeated:
    """Each sample of others several times in a row, every time at another place and augmented anew.

    The order of an epoch keeps them together, so that they meet in a batch (Hoffer et al., arXiv:1901.09335;
    PySlowFast's `AUG.NUM_SAMPLE`).

    Attributes:
        group: How many times.
    """

    def __init__(self, samples: Samples, times: int) -> None:
        self.samples, self.group = samples, times
        self.source = samples.source

    def __len__(self) -> int:
        return len(self.samples) * self.group

    def key(self, index: int) -> str:
        """That of the sample: what cannot be read is told once."""
        return self.samples.key(index // self.group)

    def name(self, index: int) -> str:
        """That of the sample."""
        return self.samples.name(index // self.group)

    def random(self, index: int, generator: torch.Generator) -> Sample:
        """One of the sample's clips; the first is that of a training without repeats."""
        sample, turn = divmod(index, self.group)
        if turn:
            generator = torch.Generator().manual_seed(seed_for(generator.initial_seed(), "repeat", turn))
        return self.samples.random(sample, generator)

    def centre(self, index: int) -> Sample:
        """The sample's centre."""
        return self.samples.centre(index // self.group)
