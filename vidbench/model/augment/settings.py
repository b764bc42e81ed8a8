"""What training clips are augmented with; without torch, and all of it off unless asked for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vidbench.model.augment.magnitude import parse_randaugment
from vidbench.model.augment.operations import AnyOperation, Probability


class AugmentSettings(BaseModel):
    """Everything that may happen to a clip or to a batch of clips between cropping and the network.

    The values of the published MViT and X3D recipes of PySlowFast stand beside the fields.

    Attributes:
        brightness: Half-width of the factor, which is uniform in [1 - x, 1 + x]; 0 to 1; 0 is off. PySlowFast 0.4.
        contrast: The same, away from the mean grey level of each frame.
        saturation: The same, away from each pixel's grey level.
        hue: Largest turn of the hue either way, as a share of the circle; 0 to 0.5.
        colour_probability: How often the four above are applied to a clip; 0 to 1.
        grey: Probability that a clip is made grey; 0 to 1.
        randaugment: As timm writes it, e.g. `m7-n4-mstd0.5-inc1`; `rand-` may stand before. None is off.
        erasing: Probability that a rectangle is erased; 0 to 1. MViT 0.25.
        erasing_area: Least and largest share of the frame that it takes; above 0, at most 1.
        erasing_aspect: Least ratio of its sides; ratios are log-uniform between it and its inverse.
        erasing_mode: "pixel" fills it with noise, "const" with grey.
        mixup: Alpha of the Beta distribution that shares are drawn from; 0 is off. MViT 0.8.
        cutmix: The same for CutMix. MViT 1.0.
        mix_probability: How often a batch is mixed at all; 0 to 1.
        mix_switch: Where both are on: how often a mixed batch takes CutMix; 0 to 1.
        smoothing: Probability mass that is spread over all classes; 0 to below 1. MViT 0.1. Where a clip may have
            several classes each is drawn towards a half by it.
        w4: Operations of the robust-training list, applied in this order before all others; each has its probability.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    saturation: float = Field(default=0.0, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    colour_probability: Probability = 1.0
    grey: Probability = 0.0
    randaugment: str | None = None
    erasing: Probability = 0.0
    erasing_area: tuple[float, float] = (0.02, 1 / 3)
    erasing_aspect: float = Field(default=0.3, gt=0, le=1)
    erasing_mode: Literal["pixel", "const"] = "pixel"
    mixup: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    cutmix: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    mix_probability: Probability = 1.0
    mix_switch: Probability = 0.5
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    w4: tuple[AnyOperation, ...] = ()

    @field_validator("randaugment")
    @classmethod
    def _a_policy(cls, text: str | None) -> str | None:
        if text is not None:
            parse_randaugment(text)
        return text

    @model_validator(mode="after")
    def _areas_in_order(self) -> Self:
        low, high = self.erasing_area
        if not 0 < low <= high <= 1:
            raise ValueError(f"erasing_area {self.erasing_area}: needs 0 < least <= largest <= 1")
        return self

    @property
    def changes_clips(self) -> bool:
        """Whether `ClipAugment` does anything at all."""
        colour = (self.brightness, self.contrast, self.saturation, self.hue)
        return bool(
            (any(colour) and self.colour_probability) or self.grey or self.randaugment or self.erasing or self.w4
        )

    @property
    def mixes(self) -> bool:
        """Whether targets are anything but the classes themselves."""
        return (self.mix_probability > 0 and (self.mixup > 0 or self.cutmix > 0)) or self.smoothing > 0
