"""The keyframes of an AVA set as samples of a training: clips around them, persons' boxes, and what persons do."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidbench.data.ava_set import AvaSet, AvaSource, Keyframe
from vidbench.errors import UsageError
from vidbench.model.augment.pipeline import ClipAugment
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.ava_sampling import ava_clip_indices, boxes_in_clip
from vidbench.model.train.ava_pictures import PictureStore
from vidbench.model.train.ava_placing import AvaPlacing
from vidbench.model.train.batch import Sample
from vidbench.model.zoo import Preprocess

_MOVING = frozenset(
    ("rotate", "hflip", "vflip", "extend", "block-shuffle", "local-shuffle", "random-padding", "random-cut",
     "zoom-blur", "elastic")
)  # fmt: skip
"""Operations after which a person is not where the box says."""


def refuse_moving(augment: AugmentSettings) -> None:
    """Refuse what moves pixels, or mixes clips, without their boxes.

    Raises:
        UsageError: RandAugment, mixup, CutMix, or an operation of the robust-training list that moves pixels.
    """
    moving: list[str] = [one.name for one in augment.w4 if one.name in _MOVING]
    if augment.randaugment:
        moving.append("randaugment")
    if augment.mixes:
        moving += [name for name in ("mixup", "cutmix", "smoothing") if getattr(augment, name)]
    if moving:
        raise UsageError(
            f"--augment {', '.join(moving)}: clips would change and the persons' boxes would not",
            "Leave them out; colour, noise, blur and erasing go with boxes, and --smoothing smooths their classes.",
        )


class AvaSamples:
    """The keyframes of a set.

    Attributes:
        source: The folder of the set.
        shown: Boxes of the random clips so far.
        left_out: Boxes that were not enough in their random clip.

    Args:
        data: The set.
        train: Where random clips' pictures come from; None where none are asked for.
        centre: Where those of whole frames come from: an exact fit to the network's short side.
        preprocess: The clips that the network wants.
        placing: Where random clips lie.
        augment: What else happens to random clips.

    Raises:
        UsageError: An augmentation that moves pixels or mixes clips.
    """

    def __init__(
        self,
        data: AvaSet,
        *,
        train: PictureStore,
        centre: PictureStore,
        preprocess: Preprocess,
        placing: AvaPlacing,
        augment: AugmentSettings,
    ) -> None:
        refuse_moving(augment)
        self.data, self.preprocess, self.placing = data, preprocess, placing
        self._train, self._centre = train, centre
        self.augment = ClipAugment(augment)
        self.source = str(data.source)
        self.shown = self.left_out = 0
        self._columns = {number: column for column, number in enumerate(data.classes)}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.data.keyframes)

    def key(self, index: int) -> str:
        """The keyframe's key."""
        return self.data.keyframes[index].key

    def name(self, index: int) -> str:
        """`video,second` as the annotations write it."""
        return keyframe_name(self.data.keyframes[index])

    def shape_of(self, index: int) -> str:
        """The video: clips of whole frames have one shape there, and perhaps others elsewhere."""
        return self.data.keyframes[index].video

    def random(self, index: int, generator: torch.Generator) -> Sample:
        """A clip around the keyframe at a random scale and place, with the boxes that are in it; augmented.

        Boxes are `(M, 4)` in pixels of the clip, M at least 1; targets `(M, K)` by rising class id.

        Raises:
            VideoError: The pictures cannot be read.
        """
        one = self.data.keyframes[index]
        images, width, height = self._train.clip(*self._asked(one))
        placed = self.placing(images, width, height, one.boxes, generator)
        with self._lock:
            self.shown += len(placed.kept)
            self.left_out += len(one.boxes) - len(placed.kept)
        boxes = torch.from_numpy(placed.boxes).float()
        clip = placed.clip.contiguous()
        return Sample(self.augment(clip, generator), self._targets(one, placed.kept.tolist()), boxes)

    def centre(self, index: int) -> Sample:
        """The whole frame, its short side as the network wants it, with all boxes in the keyframe's order.

        Raises:
            VideoError: The pictures cannot be read.
        """
        one = self.data.keyframes[index]
        images, width, height = self._centre.clip(*self._asked(one))
        clip = images.permute(1, 0, 2, 3).float().div_(255.0).contiguous()
        boxes = boxes_in_clip(one.boxes, width, height, self.preprocess.short_side)
        return Sample(clip, self._targets(one, range(len(one.boxes))), torch.from_numpy(boxes).float())

    def _asked(self, one: Keyframe) -> tuple[AvaSource, tuple[int, ...]]:
        source = self.data.sources[one.video]
        return source, ava_clip_indices(one.centre, self.preprocess.frames, self.preprocess.stride, source.count)

    def _targets(self, one: Keyframe, kept: Sequence[int]) -> Tensor:
        targets = np.zeros((len(kept), len(self._columns)), np.float32)
        for row, place in enumerate(kept):
            targets[row, [self._columns[number] for number in one.labels[place]]] = 1.0
        return torch.from_numpy(targets)


def keyframe_name(one: Keyframe) -> str:
    """What names a keyframe in batches and messages."""
    return f"{one.video},{one.second:04d}"
