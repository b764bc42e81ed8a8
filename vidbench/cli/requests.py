"""From command-line options to a typed request, with its complaints as usage errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import typer
from pydantic import BaseModel, ValidationError

from vidbench.cli import console
from vidbench.errors import UsageError
from vidbench.model.weights import require, tags
from vidbench.model.zoo import MODELS

M = TypeVar("M", bound=BaseModel)


def weights_at_hand(model: str, weights: str, pull: bool) -> None:
    """Fail at once where published weights are wanted and missing: before torch is imported, which takes seconds.

    Raises:
        MissingError: They are not here and `pull` does not bring them.
    """
    if model not in MODELS or pull:
        return
    card = MODELS.get(model)
    if weights == "pretrained":
        require(card)
    elif weights in tags(card) and not Path(weights).exists():
        require(card, tag=weights)


def typed(context: typer.Context, options: Mapping[str, object]) -> dict[str, object]:
    """Those of the options that the user gave, and did not leave at their default."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return {name: options[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def ask(kind: type[M], options: Mapping[str, object], spelled: Mapping[str, str] = MappingProxyType({})) -> M:
    """A request from the options that it has fields for; `spelled` are fields whose options have other names.

    Raises:
        UsageError: A value outside its range; the message names the option.
    """
    given = {name: options[name] for name in kind.model_fields if name in options}
    if "argv" in kind.model_fields:
        given["argv"] = console.argv()
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        option = spelled.get(field, "--" + field.replace("_", "-"))
        raise UsageError(f"{option} {first['input']!r}: {first['msg']}") from error
