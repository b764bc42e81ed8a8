"""Augmentations as typed: `NAME`, `NAME:VALUE` or `NAME:FIELD=VALUE,...`; without torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from vidbench.errors import UnknownNameError, UsageError
from vidbench.model.augment.operations import BY_NAME, Operation
from vidbench.model.augment.settings import AugmentSettings

ALL = "w4"
# what a name alone means: the values of PySlowFast's MViT and colour recipes
USUAL: dict[str, Any] = {
    "jitter-brightness": 0.4,
    "jitter-contrast": 0.4,
    "jitter-saturation": 0.4,
    "jitter-hue": 0.1,
    "grey": 0.2,
    "randaugment": "m7-n4-mstd0.5-inc1",
    "erasing": 0.25,
    "mixup": 0.8,
    "cutmix": 1.0,
    "smoothing": 0.1,
}
_FURTHER = ("jitter-probability", "erasing-mode", "erasing-aspect", "mix-probability", "mix-switch")
_FIELDS = {name: name.replace("-", "_") for name in (*USUAL, *_FURTHER)} | {
    "jitter-brightness": "brightness",
    "jitter-contrast": "contrast",
    "jitter-saturation": "saturation",
    "jitter-hue": "hue",
    "jitter-probability": "colour_probability",
}
NAMES = (*_FIELDS, ALL, *BY_NAME)


def settings_from(specs: Iterable[str]) -> AugmentSettings:
    """Settings from words such as `randaugment`, `erasing:0.25`, `w4:0.05` or `rain:probability=0.1,degrees=20`.

    A field's name takes a value, or means that of the published recipes. `w4` is the whole robust-training list,
    `w4:P` with that probability of each; an operation named besides replaces the list's or is added to its end, and
    a number alone after its name is its probability. Ranges are written `LOW..HIGH`.

    Raises:
        UnknownNameError: No augmentation of that name.
        UsageError: A value that does not belong, one out of its range, or a name that stands twice.
    """
    given: dict[str, Any] = {}
    listed: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for spec in specs:
        name, colon, value = spec.strip().partition(":")
        if name in seen:
            raise UsageError(f"augmentation {name} stands twice")
        seen.add(name)
        if colon and not value:
            raise UsageError(f"augmentation {spec!r}: nothing stands after the colon")
        if name in _FIELDS:
            if not value and name not in USUAL:
                raise UsageError(f"augmentation {name} needs a value", f"Write {name}:VALUE.")
            given[_FIELDS[name]] = value or USUAL[name]
        elif name == ALL:
            each = {"probability": value} if value else {}
            listed = {key: {"name": key} | each | listed.get(key, {}) for key in BY_NAME}
        elif name in BY_NAME:
            listed[name] = listed.get(name, {"name": name}) | _arguments(name, value)
        else:
            raise UnknownNameError("augmentation", name, NAMES, f"There are: {', '.join(NAMES)}.")
    try:
        return AugmentSettings.model_validate(given | {"w4": tuple(listed.values())})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "w4" and not isinstance(part, int))
        raise UsageError(f"augmentation {where}: {first['msg']}, not {first['input']!r}") from error


def _arguments(name: str, text: str) -> dict[str, Any]:
    if not text:
        return {}
    if "=" not in text:
        return {"probability": text}
    found: dict[str, Any] = {}
    for part in text.split(","):
        field, equals, value = part.partition("=")
        if not equals or not value or field in found:
            raise UsageError(f"augmentation {name}: {part!r} is no FIELD=VALUE, or stands twice")
        if field not in BY_NAME[name].model_fields or field == "name":
            known = ", ".join(key for key in BY_NAME[name].model_fields if key != "name")
            raise UsageError(f"augmentation {name} has no {field}", f"It has: {known}.")
        found[field] = tuple(value.split("..")) if ".." in value else value
    return found


def describe() -> list[dict[str, str]]:
    """A row for each operation of the robust-training list: name, usual parameters, what it does."""
    return [
        {
            "name": name,
            "parameters": parameters(kind.model_validate({})),
            "summary": (kind.__doc__ or "").splitlines()[0],
        }
        for name, kind in BY_NAME.items()
    ]


def parameters(operation: Operation) -> str:
    """The fields of an operation in words, less its name and probability."""
    given = operation.model_dump(exclude={"name", "probability"})
    return ", ".join(f"{field} {_shown(value)}" for field, value in given.items())


def _shown(value: Any) -> str:
    return f"{value[0]:.3g}..{value[1]:.3g}" if isinstance(value, tuple) else f"{value:.4g}"
