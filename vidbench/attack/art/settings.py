"""Settings of the toolbox's attacks: the parameters of their classes, as typed."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, create_model, model_validator

from vidbench.attack.art.table import ArtAttack
from vidbench.attack.method import Settings

RESERVED = (
    "estimator", "classifier", "norm", "eps", "targeted", "batch_size", "verbose",
    "summary_writer", "adv_criterion", "loss", "estimator_orig", "optimizer_kwargs",
)  # fmt: skip
"""Parameters that the budget, the goal and the batch decide, or that no text can be."""

OURS = {"steps": ("max_iter",), "step": ("eps_step",), "restarts": ("num_random_init", "nb_random_init")}
"""Names of our own attacks' settings, and the toolbox's for the same."""


class ArtSettings(Settings):
    """Parameters of one class of the toolbox, and our names of some of them."""

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        for ours, theirs in OURS.items():
            for name in theirs:
                if {ours, name} <= self.model_fields_set:
                    raise ValueError(f"{ours} and {name} are the same setting")
        given = self.model_dump()
        if given.get("rng", "own") not in ("own", "art"):
            raise ValueError("rng is own or art")
        if given.get("random_start") is False and (given.get("restarts") or 1) > 1:
            raise ValueError("restarts without a random start repeat the same attack")
        return self


def settings_model(name: str, attack: ArtAttack, signatures: Iterable[Mapping[str, Any]]) -> type[Settings]:
    """The model of an attack's settings.

    Args:
        name: Of the attack.
        attack: Its row.
        signatures: The parameters of its class, and those of an attack within it that may be set, by name with
            their defaults; `inspect.Parameter.empty` where there is none.
    """
    fields: dict[str, Any] = {}
    for signature in signatures:
        for parameter, default in signature.items():
            if parameter in RESERVED or parameter in (attack.eps, "attacker" if attack.inner else ""):
                continue
            default = attack.defaults.get(parameter, default)
            if parameter in ("eps_step", "step_size") or default is inspect.Parameter.empty:
                default = None
            fields[parameter] = _field(default)
    for ours, value in attack.ours.items():
        # what both can say is left open under the toolbox's name
        for theirs in OURS.get(ours, ()):
            if theirs in fields:
                fields[theirs] = (Annotated[Any, BeforeValidator(_literal)], None)
        fields[ours] = (str | None, value) if ours == "step" else _field(value)
    return create_model(f"{name} settings", __base__=ArtSettings, **fields)


def parameters_of(cls: type) -> dict[str, Any]:
    """The parameters of a class's constructor with their defaults."""
    found = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return {name: parameter.default for name, parameter in found.items() if name != "self"}


def _field(default: Any) -> tuple[Any, Any]:
    if isinstance(default, bool):
        return (bool, default)
    if isinstance(default, int):
        return (int, default)
    if isinstance(default, float):
        return (Annotated[float, BeforeValidator(_number)], default)
    if isinstance(default, str):
        return (str, default)
    return (Annotated[Any, BeforeValidator(_literal)], default)


def _number(given: Any) -> Any:
    """A number that may be written as a fraction."""
    if isinstance(given, str) and "/" in given:
        try:
            return float(Fraction(given))
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"{given!r} is not a number") from None
    return given


def _literal(given: Any) -> Any:
    """What a text says in Python's notation: 3, 0.5, (3, 32, 32), {"eps": 0.1}; a fraction; else the text itself."""
    if not isinstance(given, str):
        return given
    try:
        return ast.literal_eval(given)
    except (ValueError, SyntaxError):
        try:
            return float(Fraction(given))
        except (ValueError, ZeroDivisionError):
            return given
