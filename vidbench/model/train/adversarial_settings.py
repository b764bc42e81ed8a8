"""Adversarial training as asked: which examples, how far from the clip, and what is made of their loss; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vidbench.errors import UsageError
from vidbench.model.radius import Eps

Mode = Literal["eval", "train"]


def _radius(text: str) -> str:
    return Eps.parse(text, "l2").text


Radius = Annotated[str, AfterValidator(_radius)]


class _Examples(BaseModel):
    """What all ways to make examples have in common.

    Attributes:
        mode: How the network computes while examples are made: "eval" with the statistics of batch normalisation
            that it has gathered, "train" with those of the batch. These are not changed either way, and dropout is off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = "eval"


class FgsmTraining(_Examples):
    """Training on examples of one step.

    Attributes:
        eps: Largest change of a value, of the pixel range.
        step: None for 1.25 eps from a random start (Wong et al. 2020, arXiv:2001.03994, section 4.1), and for eps
            from the clip (Goodfellow et al. 2015, arXiv:1412.6572).
        start: Whether at a uniform draw from the ball.
        clean: Share of the clips' own loss; the examples have the rest.
    """

    method: Literal["fgsm"] = "fgsm"
    eps: Radius = "8/255"
    step: Radius | None = None
    start: bool = True
    clean: float = Field(0.0, ge=0, lt=1)

    def relative_step(self) -> float:
        """The step as a multiple of eps."""
        return _relative(self.step, self.eps, 1.25 if self.start else 1.0)


class PgdTraining(_Examples):
    """Training on examples of projected gradient steps (Madry et al. 2018, arXiv:1706.06083).

    Attributes:
        norm: Of the change of a whole clip.
        eps: Its radius: in "linf" of the pixel range, in "l2" the length of the whole clip's change.
        steps: Gradient steps.
        step: None for 2.5 eps / steps.
        start: Whether at a uniform draw from the ball.
        clean: Share of the clips' own loss; the examples have the rest.
    """

    method: Literal["pgd"] = "pgd"
    norm: Literal["linf", "l2"] = "linf"
    eps: Radius = "8/255"
    steps: int = Field(10, ge=1, le=1000)
    step: Radius | None = None
    start: bool = True
    clean: float = Field(0.0, ge=0, lt=1)

    def relative_step(self) -> float:
        """The step as a multiple of eps."""
        return _relative(self.step, self.eps, 2.5 / self.steps)


class TradesTraining(_Examples):
    """The clips' own loss, and how far the network's answer can be moved (Zhang et al. 2019, arXiv:1901.08573).

    Attributes:
        norm: As of `PgdTraining`, and so `eps`, `steps` and `step`.
        beta: Weight of the divergence, 1 / lambda of the paper.
    """

    method: Literal["trades"] = "trades"
    norm: Literal["linf", "l2"] = "linf"
    eps: Radius = "8/255"
    steps: int = Field(10, ge=1, le=1000)
    step: Radius | None = None
    beta: float = Field(6.0, ge=0)

    def relative_step(self) -> float:
        """The step as a multiple of eps."""
        return _relative(self.step, self.eps, 2.5 / self.steps)


class W4Training(_Examples):
    """FGSM as a regularisation: the clips' own loss, and that of examples beside them.

    From the history of Robust-Classification (ForeverPs, commit b42da2e): one example up and one down the sign of
    the gradient, both with the clip's label, and one towards a class drawn at random, each from the clip itself.

    Attributes:
        eps: None draws it for each batch and kind from `levels` values from `low` to `high`, evenly spaced.
        weight: Of each kind's loss; 1 there, 0.02 before.
        symmetric: Whether there are examples up and down.
        targeted: Whether there are those towards a class.
    """

    method: Literal["w4"] = "w4"
    eps: Radius | None = None
    low: float = Field(0.001, ge=0, le=1)
    high: float = Field(0.08, ge=0, le=1)
    levels: int = Field(20, ge=2)
    weight: float = Field(1.0, ge=0)
    symmetric: bool = True
    targeted: bool = True


AdversarialSettings = FgsmTraining | PgdTraining | TradesTraining | W4Training
METHODS: dict[str, type[AdversarialSettings]] = {
    "fgsm": FgsmTraining,
    "pgd": PgdTraining,
    "trades": TradesTraining,
    "w4": W4Training,
}


def _relative(step: str | None, eps: str, usual: float) -> float:
    radius = float(Eps.parse(eps, "l2").exact)
    return usual if step is None or not radius else float(Eps.parse(step, "l2").exact) / radius


def adversarial_from(word: str) -> AdversarialSettings:
    """Settings from `pgd` or `pgd:eps=8/255,steps=10,step=2/255`.

    Raises:
        UsageError: No such method, a setting that it does not have, or a value out of its range.
    """
    name, colon, text = word.strip().partition(":")
    if name not in METHODS:
        raise UsageError(f"no adversarial training is called {name!r}", f"There are {', '.join(METHODS)}.")
    if colon and not text:
        raise UsageError(f"{word!r}: nothing stands after the colon")
    kind = METHODS[name]
    known = [field for field in kind.model_fields if field != "method"]
    given: dict[str, str] = {}
    for part in text.split(",") if text else ():
        field, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value or field in given:
            raise UsageError(f"{name}: {part!r} is no SETTING=VALUE, or stands twice")
        if field not in known:
            raise UsageError(f"{name} has no setting {field!r}", f"It has {', '.join(known)}.")
        given[field] = value
    try:
        settings = kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{name}: {first['loc'][0]} {first['input']!r}: {first['msg']}") from None
    if settings.eps is not None and getattr(settings, "norm", "linf") == "linf":
        Eps.parse(settings.eps, "linf")
    return settings


def _asked(value: object) -> object:
    if isinstance(value, str):
        return adversarial_from(value)
    if isinstance(value, Mapping):
        return METHODS[str(value.get("method"))].model_validate(value) if value.get("method") in METHODS else value
    return value


Adversarial = Annotated[AdversarialSettings, BeforeValidator(_asked)]


def _check(value: object) -> object:
    if isinstance(value, str) and value != "none":
        found = adversarial_from(value)
        if not isinstance(found, PgdTraining):
            raise UsageError(f"--robust-val {value}: only pgd attacks in validation", "Write pgd:eps=8/255,steps=10.")
        return found
    return value


Check = Annotated[PgdTraining | Literal["none"], BeforeValidator(_check)]
"""The attack of a validation: PGD, or none."""


class EpsSchedule(BaseModel):
    """How the radius grows over the epochs, as a share of the training's eps.

    Attributes:
        rise: Epochs, whole or not, of a linear rise from 0.
        parts: Epochs from which on shares of eps hold, in place of a rise; the first is 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rise: float = Field(0.0, ge=0, allow_inf_nan=False)
    parts: tuple[tuple[float, float], ...] = ()

    def share(self, epoch: float) -> float:
        """Of eps, after so many epochs."""
        if self.parts:
            return next(share for start, share in reversed(self.parts) if epoch >= start)
        return min(epoch / self.rise, 1.0) if self.rise else 1.0


def schedule_from(value: object) -> object:
    """A rise over five epochs from "5"; from "0=0,2=0.5,4=1" shares of eps that begin at epochs.

    Raises:
        UsageError: Neither.
    """
    if isinstance(value, int | float):
        return {"rise": value}
    if not isinstance(value, str):
        return value
    refused = UsageError(
        f"--eps-warmup {value}: neither a number of epochs nor shares of eps that begin at epochs",
        "Write 5, or 0=0.25,2=0.5,4=1, from epoch 0 on.",
    )
    try:
        if "=" not in value:
            return EpsSchedule.model_validate({"rise": float(value)})
        parts = tuple(
            (float(start), float(share)) for start, _, share in (one.partition("=") for one in value.split(","))
        )
    except (ValueError, ValidationError):
        raise refused from None
    rising = parts[0][0] == 0 and all(one[0] < two[0] for one, two in pairwise(parts))
    if not rising or any(not 0 <= share <= 1 for _, share in parts):
        raise refused
    return {"parts": parts}


Growth = Annotated[EpsSchedule, BeforeValidator(schedule_from)]
FULL = EpsSchedule.model_validate({})
