"""Which clips a network is fed in training and what it starts from, as far as that differs from its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from vidbench.model.card import Preprocess


def _three(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Colour = Annotated[tuple[float, float, float], BeforeValidator(_three)]
Pixels = Annotated[int, Field(ge=8, le=4096)]


class ClipSettings(BaseModel):
    """The clips of a training where they are not the network's own; None everywhere keeps those.

    Attributes:
        checkpoint: The published file of a start that `init` names.
        frames: Frames of a clip.
        stride: Frames between two of them, at `fps`.
        fps: Frames per second that `stride` is counted at.
        crop_size: Pixels of the square crop.
        short_side: Pixels of the shorter side that one centre crop is taken from, in validation and in tests.
        wide: Pixels of short side and crop alike where a test takes three crops; None grows with `crop_size`.
        mean: Of each channel, subtracted from values in [0, 1].
        std: Of each channel, divided by afterwards.
        dropout: Probability of dropout before the classifying layer, in training.
        min_score: Of a detector's boxes, in training on boxes: those below it are left out.
        faithful: Boxes that a random crop does not show stay, as in PySlowFast, in training on boxes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint: Path | None = None
    frames: int | None = Field(default=None, ge=1, le=1024)
    stride: int | None = Field(default=None, ge=1, le=1024)
    fps: int | None = Field(default=None, ge=1, le=1000)
    crop_size: Pixels | None = None
    short_side: Pixels | None = None
    wide: Pixels | None = None
    mean: Colour | None = None
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=3, max_length=3)] | None = None
    dropout: float | None = Field(default=None, ge=0, lt=1)
    min_score: float | None = Field(default=None, ge=0, le=1)
    faithful: bool = False

    def applied(self, preprocess: Preprocess) -> Preprocess:
        """The input with what is asked for in place of its own; sizes that frames had whatever their shape end."""
        names = {"fps": "target_fps", "crop_size": "crop"}
        asked = ("frames", "stride", "fps", "crop_size", "short_side", "wide", "mean", "std")
        given: dict[str, Any] = {
            names.get(name, name): getattr(self, name) for name in asked if getattr(self, name) is not None
        }
        if "crop" in given and "wide" not in given:
            # a test of three crops shows things as large beside those of one as before
            given["wide"] = max(round(preprocess.wide * given["crop"] / preprocess.crop), given["crop"])
        if given.keys() & {"crop", "short_side", "wide"}:
            given["fixed"] = None
        return replace(preprocess, **given)
