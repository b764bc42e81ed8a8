"""Every result of an attack judged afresh: by the reference network, in float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.model.classifier import Classifier
from vidbench.seeds import seed_for


@dataclass(frozen=True)
class Judge:
    """The classifier that has the last word.

    Attributes:
        classifier: In the reference layout, with its defences.
        width: Clips per pass.
        random: Whether it draws random numbers: then each clip is judged alone, after a seed of its own.
        draws: Passes whose logits are averaged, where it is random.
        seed: The user's.
    """

    classifier: Classifier
    width: int
    random: bool = False
    draws: int = 1
    seed: int = 0

    @torch.no_grad()
    def logits(self, clips: Tensor, keys: Sequence[str]) -> Tensor:
        """`(N, K)` float32 logits of `(N, 3, T, H, W)` clips in [0, 1]."""
        if not self.random:
            return torch.cat([self.classifier(part).float() for part in torch.split(clips, self.width)])
        rows = []
        for clip, key in zip(clips, keys, strict=True):
            with seeded(seed_for(self.seed, key, "judge")):
                drawn = self.classifier(clip[None].expand(self.draws, *clip.shape))
            rows.append(drawn.float().mean(0))
        return torch.stack(rows)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch draws from a seed within, and goes on afterwards from where it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
