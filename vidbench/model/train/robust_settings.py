"""The settings of a training that are about robustness: examples, defences, what is measured under attack; no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from vidbench.errors import UnknownNameError, UsageError
from vidbench.model.defence_names import DEFENCES
from vidbench.model.train.adversarial_settings import Adversarial, Check, Growth, PgdTraining

Head = Literal["linear", "ml-decoder", "ml-decoder-learnt"]
W4_EPS = "8/255"
"""Of validation where the training has many radii: that of the published robustness tables."""


def _known(text: str) -> str:
    for part in text.split(","):
        try:
            DEFENCES.get(part.strip().partition(":")[0])
        except UnknownNameError as error:
            raise UsageError(error.message, error.remedy) from None
    return text


class RobustSettings(BaseModel):
    """How a training makes a network robust; the defaults do nothing.

    Attributes:
        adversarial: Train on examples: settings, or words as `pgd:eps=8/255,steps=10` (`adversarial_settings`).
        eps_warmup: How their radius grows: epochs of a linear rise from 0 ("5"), or shares of it that begin at
            epochs ("0=0.25,2=0.5,4=1"); None is the whole radius from the start.
        robust_val: The attack of each validation, as `pgd:eps=8/255,steps=10`; "none" for none. None is that of the
            training with ten steps, and none without adversarial training.
        robust_val_clips: At most so many clips are attacked, the first ones of the list.
        best: What the kept epoch is best at: the validation clips as they are, or under attack; or "last", the last
            one, whatever it reached.
        defence: What clips pass in training and validation before the network, as "resize-pad:218".
        head: The classifying layer: "linear"; "ml-decoder", with queries that stay as drawn; "ml-decoder-learnt".
            None for that of the start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    adversarial: Adversarial | None = None
    eps_warmup: Growth | None = None
    robust_val: Check | None = None
    robust_val_clips: int = Field(64, ge=1)
    best: Literal["clean", "robust", "last"] = "clean"
    defence: Annotated[str, AfterValidator(_known)] | None = None
    head: Head | None = None

    @field_validator("eps_warmup")
    @classmethod
    def _of_examples(cls, value: Growth | None, info: ValidationInfo) -> Growth | None:
        if value is not None and info.data.get("adversarial") is None:
            raise ValueError("only --adversarial has a radius that grows")
        return value

    @field_validator("best")
    @classmethod
    def _is_measured(cls, value: str, info: ValidationInfo) -> str:
        attack = info.data.get("robust_val")
        if value == "robust" and (attack == "none" or (attack is None and info.data.get("adversarial") is None)):
            raise ValueError("nothing is attacked in validation: give --robust-val, as pgd:eps=8/255,steps=10")
        return value

    def validation_attack(self) -> PgdTraining | None:
        """What validation clips are attacked with; None for nothing."""
        if self.robust_val is not None:
            return None if self.robust_val == "none" else self.robust_val
        trained = self.adversarial
        if trained is None:
            return None
        eps = trained.eps or W4_EPS
        return PgdTraining.model_validate({"eps": eps, "norm": getattr(trained, "norm", "linf")})
