"""How a network is trained, as asked: optimizer, rates, precision, augmentation, what is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.augment.specs import settings_from
from vidbench.model.train.clip_settings import ClipSettings
from vidbench.model.train.placing import parse_area
from vidbench.model.train.robust_settings import RobustSettings

Share = Annotated[float, Field(ge=0, le=1)]
MOMENTUM = 0.9
NO_AUGMENT = AugmentSettings.model_validate({})


def _listed(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _words(value: object) -> object:
    """`("mixup:0.8", "randaugment")` as the settings that they mean."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    return settings_from(str(one) for one in value)


def _a_crop(value: str) -> str:
    parse_area(value)
    return value


Numbers = Annotated[tuple[float, ...], BeforeValidator(_listed)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Augment = Annotated[AugmentSettings, BeforeValidator(_words)]
Crop = Annotated[str, AfterValidator(_a_crop)]
SaveEvery = Annotated[str, Field(pattern=r"^\s*(\d+|\d+(\.\d+)?\s*m)\s*$")]


class TrainSettings(ClipSettings, RobustSettings):
    """The part of a request that says how to train; the defaults train as simply as possible.

    Attributes:
        epochs: Passes over the list.
        batch: Clips that go through the network at once; the last, smaller batch of an epoch is used too.
        accumulate: Batches whose gradients make one step.
        optimizer: "adamw" or "sgd" (Nesterov).
        momentum: Of SGD; 0.9 unless given.
        weight_decay: On convolution and linear weights alone, not on biases and normalisation.
        lr: Largest learning rate.
        base_batch: Clips per step that `lr` is meant for: it is scaled in proportion to the clips per step. None
            takes `lr` as it is.
        schedule: "cosine" falls from the largest rate to `final_lr`; "steps" multiplies by factors.
        steps: Epochs at which the factors of "steps" begin, rising from 0.
        step_factors: One for each.
        final_lr: Where a cosine ends; scaled as `lr` is.
        warmup: Epochs, whole or not, of a linear rise at the beginning.
        warmup_start: Share of the largest rate that the rise starts with; None starts as after a tenth of an epoch.
        layer_decay: Factor of the learning rate from each layer to the one below it; 1 is off.
        freeze: Parts that are not trained: names of modules, `*` for anything, or "backbone", all but the head.
        freeze_bn: Keep the statistics of all batch normalisations as they are.
        clip_norm: Largest L2 norm of all gradients together; 0 does not clip.
        ema: Decay of an average of the weights, which is then measured and kept; 0 is off.
        precision: "fp32", "bf16" or "fp16": of the forward and backward pass.
        checkpointing: Compute activations again in the backward pass, to save memory.
        sync_bn: Batch normalisations work on the values of all processes together, where there are several.
        precise_bn: Training batches whose statistics replace the running ones before an epoch's weights are measured
            and kept; 0 keeps the running ones.
        smoothing: Label smoothing in [0, 1): that share of a target is spread over all classes; where a clip may have
            several, each class is drawn towards a half by it.
        crop: "jitter" scales a frame to a random short side and crops it; "random-resized" scales a random part of it,
            of 8 % to all of its area, or of others: "random-resized:0.2..1".
        jitter_rule: "uniform" short sides, or "inverse": their inverse is uniform, as PySlowFast's recipes have it.
        repeat: Clips of each video in an epoch, which meet in a batch.
        clip_labels: "clip": a training clip has the classes of its own frames; "video": those of its video. None takes
            the frames' where a frame list tells them.
        augment: What is done to clips and batches, or words as `mixup:0.8` (`vidbench.model.augment.specs`).
        save_every: Steps ("200") or minutes ("10m") after which the state is stored within an epoch; None stores it
            after each epoch.
        tensorboard: Write events, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(30, ge=1)
    batch: int = Field(16, ge=1)
    accumulate: int = Field(1, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float | None = Field(None, ge=0, lt=1)
    weight_decay: float = Field(0.05, ge=0)
    lr: float = Field(2e-3, gt=0)
    base_batch: int | None = Field(None, ge=1)
    schedule: Literal["cosine", "steps"] = "cosine"
    steps: Numbers = ()
    step_factors: Numbers = Field((), validate_default=True)
    final_lr: float = Field(0.0, ge=0)
    warmup: float = Field(2.0, ge=0)
    warmup_start: Share | None = None
    layer_decay: float = Field(1.0, gt=0, le=1)
    freeze: Names = ()
    freeze_bn: bool = False
    clip_norm: float = Field(5.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    checkpointing: bool = False
    sync_bn: bool = True
    precise_bn: int = Field(0, ge=0)
    smoothing: float = Field(0.0, ge=0, lt=1)
    crop: Crop = "jitter"
    jitter_rule: Literal["uniform", "inverse"] = "uniform"
    repeat: int = Field(1, ge=1)
    clip_labels: Literal["clip", "video"] | None = None
    augment: Augment = NO_AUGMENT
    save_every: SaveEvery | None = None
    tensorboard: bool = False

    @field_validator("momentum")
    @classmethod
    def _of_sgd(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("optimizer") != "sgd":
            raise ValueError("only --optimizer sgd has momentum")
        return value

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if steps and info.data.get("schedule") != "steps":
            raise ValueError("only --schedule steps has steps")
        if steps and (steps[0] != 0 or any(one >= two for one, two in pairwise(steps))):
            raise ValueError("steps rise from 0, as 0,41,49")
        return steps

    @field_validator("step_factors")
    @classmethod
    def _as_many(cls, factors: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        stepped, steps = info.data.get("schedule") == "steps", info.data.get("steps", ())
        if factors and not stepped:
            raise ValueError("only --schedule steps has factors")
        if stepped and (not factors or len(factors) != len(steps)):
            raise ValueError(f"--schedule steps needs --steps and a factor for each of its {len(steps)} steps")
        if any(factor < 0 for factor in factors):
            raise ValueError("a factor is below 0")
        return factors

    @field_validator("final_lr")
    @classmethod
    def _of_a_cosine(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("schedule") != "cosine":
            raise ValueError("only --schedule cosine has a final rate; steps end with their last factor")
        if value > info.data.get("lr", value):
            raise ValueError("above --lr")
        return value

    @field_validator("warmup_start")
    @classmethod
    def _of_a_rise(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and not info.data.get("warmup"):
            raise ValueError("there is no rise to start: --warmup is 0")
        return value

    @field_validator("freeze")
    @classmethod
    def _no_empty_name(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(names):
            raise ValueError("an empty name")
        return names

    @field_validator("precise_bn")
    @classmethod
    def _not_frozen(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("freeze_bn"):
            raise ValueError("--freeze-bn keeps the statistics that this would replace")
        return value

    @field_validator("repeat")
    @classmethod
    def _fits_the_batch(cls, value: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch")
        if batch is not None and batch % value:
            raise ValueError(f"the clips of a video meet in a batch, and {batch} is no multiple of them")
        return value

    @field_validator("jitter_rule")
    @classmethod
    def _of_jitter(cls, value: str, info: ValidationInfo) -> str:
        if value != "uniform" and info.data.get("crop", "jitter") != "jitter":
            raise ValueError("--crop random-resized has no short sides to draw")
        return value

    @field_validator("augment")
    @classmethod
    def _smoothed_once(cls, value: AugmentSettings, info: ValidationInfo) -> AugmentSettings:
        if value.smoothing and info.data.get("smoothing"):
            raise ValueError("smoothing is given here and by --smoothing")
        return value

    @property
    def clips_per_step(self) -> int:
        """Clips whose gradients make one step."""
        return self.batch * self.accumulate

    def saves(self) -> tuple[int | None, float | None]:
        """Steps, or seconds, between two states within an epoch."""
        if self.save_every is None:
            return None, None
        found = re.match(r"\s*([\d.]+)\s*(m?)", self.save_every)
        assert found is not None
        number, minutes = found.groups()
        return (None, float(number) * 60) if minutes else (max(int(number), 1), None)


ASIDE = ("save_every", "tensorboard")
"""Settings that do not decide the result."""
# named even at their default
_KEPT = frozenset(("epochs", "batch", "lr", "optimizer", "weight_decay", "warmup", "smoothing"))


def deciding(values: dict[str, Any]) -> dict[str, Any]:
    """The settings of a request's values that decide the result.

    Those left at their default are not named, but for the most common: a run folder stays the same run when
    vidbench learns another setting.
    """
    standard = TrainSettings.model_validate({}).model_dump(mode="json")
    return {
        name: value
        for name, value in values.items()
        if name not in ASIDE and (name in _KEPT or name not in standard or value != standard[name])
    }
