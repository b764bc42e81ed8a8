"""What goes through the network at once in training: clips, what is true of them, and boxes to ask about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidbench.model.classifier import Classifier
from vidbench.model.detection import ActionDetector, owned

Network = Classifier | ActionDetector
"""What is trained: clips in [0, 1], and boxes for a detector, go in, logits come out."""


@dataclass(frozen=True)
class Sample:
    """One clip, and what is true of it.

    Attributes:
        clip: `(3, T, H, W)` float32 RGB in [0, 1].
        target: Of a clip of one class its number, `()` int64; of several `(K,)` float32 of 0 and 1; of boxes
            `(M, K)` float32, a row per box.
        boxes: `(M, 4)` float32: x1, y1, x2, y2 in pixels of the clip; None where clips are classified.
    """

    clip: Tensor
    target: Tensor
    boxes: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Samples of one shape together.

    What is counted and averaged is a *thing*: a clip, or where there are boxes, a box.

    Attributes:
        clips: `(N, 3, T, H, W)` float32 in [0, 1]; N may be 0.
        targets: `(N,)` int64, `(N, K)` float32, or `(M, K)` float32 for M boxes.
        boxes: `(M, 5)` float32: number of the clip in the batch, x1, y1, x2, y2 in its pixels; None without boxes.
        names: Of the samples, in order, for messages.
        numbers: Their places in the list, in order: what is drawn for a clip in validation depends on its own.
    """

    clips: Tensor
    targets: Tensor
    boxes: Tensor | None = None
    names: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def things(self) -> int:
        """What the loss is a mean over: clips, or boxes."""
        return len(self.targets)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        boxes = None if self.boxes is None else self.boxes.to(device)
        return replace(self, clips=self.clips.to(device), targets=self.targets.to(device), boxes=boxes)

    def through(self, model: Network, clips: Tensor | None = None) -> Tensor:
        """Logits, a row per thing: of the batch's clips, or of others of their shape in their place."""
        shown = self.clips if clips is None else clips
        logits: Tensor = model(shown) if self.boxes is None else model(shown, self.boxes)
        return logits


def collate(samples: Sequence[Sample], names: Sequence[str], numbers: Sequence[int] = ()) -> Batch:
    """Samples of one shape as a batch; none make a batch of no clip.

    Raises:
        ValueError: Some have boxes and some have none.
    """
    if not samples:
        return Batch(torch.empty(0), torch.empty(0))
    clips = torch.stack([sample.clip for sample in samples])
    boxed = [sample.boxes for sample in samples if sample.boxes is not None]
    if not boxed:
        targets = torch.stack([sample.target for sample in samples])
        return Batch(clips, targets, None, tuple(names), tuple(numbers))
    if len(boxed) != len(samples):
        raise ValueError("samples with boxes and samples without")
    targets = torch.cat([sample.target for sample in samples])
    return Batch(clips, targets, owned(boxed), tuple(names), tuple(numbers))
