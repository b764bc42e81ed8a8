"""How a detector cuts regions out of a clip's features: their size, RoIAlign's shift, the last stage's resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vidbench.model.card import ModelCard


@dataclass(frozen=True)
class RoISettings:
    """What detectors on the same network may have differently.

    None of it shows in names and shapes of tensors, so `model.json` carries it.

    Attributes:
        region: Positions of a region's side, of which the largest value is taken per channel.
        aligned: RoIAlign's half-pixel shift, as detectron2 and PySlowFast have it unless told otherwise.
        dropout: Probability in training that a channel of a region is dropped before the linear layer.
        dilated: The last stage keeps the resolution of the one before, with dilated kernels, as in PySlowFast's AVA
            configurations; of networks made of residual stages.
    """

    region: Annotated[int, Field(ge=1, le=64)] = 7
    aligned: bool = True
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    dilated: bool = False


PUBLISHED = RoISettings(aligned=False, dilated=True)
"""Of the published AVA networks."""


def roi_of(card: ModelCard) -> RoISettings:
    """What a network has where nothing is asked for: the published detectors as they were trained, others as above."""
    return PUBLISHED if card.task == "detect" else RoISettings()
