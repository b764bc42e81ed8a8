"""Recipes: how others trained, as settings of ours that what the user types goes before."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeGuard

from vidbench.errors import InputError, UnknownNameError, UsageError
from vidbench.model.checkpoint import MODEL_FILE, TENSORS_FILE
from vidbench.model.finetune_request import FinetuneRequest
from vidbench.model.named_start import is_named
from vidbench.model.pyslowfast_recipe import YAML, read_pyslowfast
from vidbench.model.recipe_record import RecipeRecord

Json = dict[str, Any]
_OWN = frozenset(
    ("clips", "val", "classes", "root", "out", "pull", "device", "decoder", "workers", "cache_mb", "seed", "limit",
     "overwrite", "recipe", "argv", "checkpoint", "save_every", "tensorboard")
)  # fmt: skip
"""What belongs to the user's machine and data, and so to no recipe."""
START_RATE = "warmup_start_lr"
_TABLES = ("settings", "faithful", "notes", "test")
_TESTS = ("task", "protocol", "views", "boxes", "min_score", "scorer")
_HEADS = ("title", "source", "column")
# settings that mean nothing without another one: (setting, the one it hangs on, that one's value)
_HANG = (
    ("steps", "schedule", "steps"),
    ("step_factors", "schedule", "steps"),
    ("final_lr", "schedule", "cosine"),
    ("momentum", "optimizer", "sgd"),
    ("jitter_rule", "crop", "jitter"),
    ("min_score", "task", "detect"),
    ("val_every", "task", "detect"),
    ("aligned", "task", "detect"),
    ("dilated", "task", "detect"),
)


@dataclass(frozen=True)
class Recipe:
    """How somebody trained.

    Attributes:
        name: Of a published recipe, or the file.
        title: One line for people.
        source: Where its values are from.
        sha256: Of its file.
        values: Fields of `FinetuneRequest`, with `model`.
        faithful: Those that it has otherwise where its authors' contradictions are wanted.
        fixed: What is otherwise than published unless they are, a line for each setting that it hangs on.
        notes: What else a user should know, a line each.
        test: How its authors test, as options of `model eval`.
        column: Its column of the benchmark's table; empty for none.
    """

    name: str
    title: str
    source: str
    sha256: str
    values: Json
    faithful: Json
    fixed: dict[str, str]
    notes: tuple[str, ...]
    test: dict[str, str]
    column: str = ""


@dataclass(frozen=True)
class Resolved:
    """A recipe with what the user types.

    Attributes:
        values: Fields of a request: the recipe's, and the typed ones before them.
        record: What the run keeps.
        lines: What the user is told.
    """

    values: Json
    record: RecipeRecord
    lines: tuple[str, ...]


def published() -> tuple[str, ...]:
    """The names of the recipes that come with vidbench."""
    folder = files("vidbench.model") / "recipes"
    return tuple(sorted(one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml")))


def read_recipe(reference: str) -> Recipe:
    """A published recipe by its name, or a file: TOML of ours, or YAML of PySlowFast.

    Raises:
        UnknownNameError: Neither a name nor a file.
        InputError: The file cannot be read, or has keys that mean nothing here; `file:line` is named.
    """
    path = Path(reference)
    if reference in published():
        text = (files("vidbench.model") / "recipes" / f"{reference}.toml").read_text(encoding="utf-8")
        return read_toml(text, reference, f"{reference}.toml")
    if not path.is_file():
        raise UnknownNameError(
            "recipe", reference, published(), f"There are {', '.join(published())}; or name a .toml or .yaml file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the recipe: {error}") from error
    if path.suffix in YAML:
        read = read_pyslowfast(text, str(path))
        return Recipe(
            name=reference,
            title=f"PySlowFast: {path.stem}",
            source=str(path),
            sha256=_sha256(text),
            values=read.values,
            faithful={},
            fixed={},
            notes=read.lines(),
            test=read.test,
        )
    return read_toml(text, reference, reference)


def read_toml(text: str, name: str, source: str) -> Recipe:
    """A recipe from TOML: `[settings]` names fields of `FinetuneRequest`; see the published ones.

    Args:
        text: The file.
        name: What the recipe is called.
        source: The file's name, for messages.

    Raises:
        InputError: It is no TOML, or a key means nothing here or has a value of another kind; `file:line` is named.
    """
    try:
        held = tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{source}: nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        raise InputError(f"{source}{f':{found[1]}' if found else ''}: not TOML: {error}") from error
    lines = _lines(text)
    for key, value in held.items():
        where = f"{source}:{lines.get(('', key), 1)}"
        if key not in (*_TABLES, *_HEADS):
            raise InputError(f"{where}: unknown key {key!r}", f"There are {', '.join((*_HEADS, *_TABLES))}.")
        if isinstance(value, dict) != (key in _TABLES):
            raise InputError(f"{where}: {key} is {'a table' if key in _TABLES else 'text'}")
    known = (set(FinetuneRequest.model_fields) - _OWN) | {START_RATE}
    for table in ("settings", "faithful"):
        for key in held.get(table, {}):
            if key not in known:
                place = f"{source}:{lines.get((table, key), 1)}"
                reason = "belongs to no recipe: it is typed" if key in _OWN else "is no setting of `model finetune`"
                raise InputError(f"{place}: {key} {reason}", f"Settings are {', '.join(sorted(known))}.")
    values = held.get("settings", {})
    notes, test = held.get("notes", {}), held.get("test", {})
    _only(notes, ("fixed", "always"), "notes", source, lines)
    _only(test, _TESTS, "test", source, lines)
    return Recipe(
        name=name,
        title=str(held.get("title", name)),
        source=str(held.get("source", source)),
        sha256=_sha256(text),
        values=_rates(values, {}, source),
        faithful=_rates(held.get("faithful", {}), values, source),
        fixed=_changes(notes, held.get("faithful", {}), source, lines),
        notes=_sentences(notes, "always", source, lines),
        test={key: str(value) for key, value in test.items()},
        column=str(held.get("column", "")),
    )


def resolve(recipe: Recipe, typed: Mapping[str, Any], faithful: bool = False) -> Resolved:
    """The settings of a training by a recipe, with what the user types before it.

    A setting that hangs on one which is typed otherwise goes with that: the steps of a schedule of steps, where a
    cosine is typed. A typed `lr` is taken as it is, not scaled by the recipe's batch. The input's mean and std are
    those of a start that brings its own.

    Args:
        recipe: The recipe.
        typed: Fields of `FinetuneRequest` that the user gave.
        faithful: Take the recipe's contradictions, too.

    Raises:
        UsageError: `faithful`, where the recipe has no contradictions.
    """
    if faithful and not recipe.faithful:
        raise UsageError(f"--faithful: {recipe.name} has nothing that is done otherwise here", "Leave it out.")
    wanted = recipe.values | (recipe.faithful if faithful else {})
    lines = [f"recipe {recipe.name}: {recipe.title} ({recipe.source})"]
    overridden: dict[str, tuple[Any, Any]] = {}
    for name, value in typed.items():
        if name in wanted and not _same(wanted[name], value):
            overridden[name] = (wanted[name], value)
    lines += [f"{_option(name)} {_shown(new)} instead of the recipe's {_shown(old)}" for name, (old, new) in
              overridden.items()]  # fmt: skip
    merged = wanted | dict(typed)
    for name, reason in _without_place(wanted, typed, overridden):
        overridden[name] = (merged.pop(name), None)
        lines.append(f"{_option(name)} {_shown(overridden[name][0])} of the recipe is left out: {reason}")
    lines += _own_colours(merged, wanted, typed)
    # a line on what is otherwise than published is true where the setting is the recipe's
    lines += () if faithful else (line for name, line in recipe.fixed.items() if name not in typed)
    taken = [_said(name, merged[name]) for name in recipe.faithful if faithful and name not in overridden]
    lines += [f"as published: {', '.join(taken)}"] if taken else []
    lines += recipe.notes
    if recipe.test:
        options = " ".join(f"{_option(name)} {value}" for name, value in recipe.test.items())
        data = "SET" if recipe.test.get("task") == "detect" else "LIST"
        lines.append(f"its authors test by: vidbench model eval RUN {data} {options}")
    record = RecipeRecord(
        name=recipe.name, sha256=recipe.sha256, faithful=faithful, overridden=overridden, test=recipe.test
    )
    return Resolved(merged | {"recipe": record}, record, tuple(lines))


def _without_place(wanted: Json, typed: Mapping[str, Any], overridden: Json) -> list[tuple[str, str]]:
    found = []
    for name, other, value in _HANG:
        if name in wanted and name not in typed and other in overridden and not str(typed[other]).startswith(value):
            found.append((name, f"it is for {_option(other)} {value}"))
    if "crop_size" in overridden and "wide" in wanted and "wide" not in typed:
        found.append(("wide", "it goes with its --crop-size"))
    if "lr" in overridden and "base_batch" in wanted and "base_batch" not in typed:
        found.append(("base_batch", "--lr is taken as it is typed"))
    if "warmup_start" in wanted and "warmup_start" not in typed and not float(typed.get("warmup", 1)):
        found.append(("warmup_start", "--warmup is 0"))
    return found


def _own_colours(merged: Json, wanted: Json, typed: Mapping[str, Any]) -> list[str]:
    """Leave mean and std to a start that brings them; what is said of it."""
    init = str(merged.get("init", "scratch"))
    path = Path(init)
    ours = (path / MODEL_FILE).is_file() or (path.name == TENSORS_FILE and path.with_name(MODEL_FILE).is_file())
    taken = [name for name in ("mean", "std") if name in wanted and name not in typed]
    if not taken or not (is_named(init) or ours):
        return []
    for name in taken:
        del merged[name]
    whose = f"the comparison feeds {init} with" if is_named(init) else f"{init} was trained with"
    return [f"{' and '.join(taken)} of the input: those that {whose}"]


def _rates(values: Json, beside: Json, source: str) -> Json:
    """The settings with a rate to begin the rise with as the share of the largest one that it is."""
    if START_RATE not in values:
        return dict(values)
    lr = values.get("lr", beside.get("lr"))
    if not _is_number(lr) or lr <= 0:
        raise InputError(f"{source}: {START_RATE} needs lr, the rate that the rise ends with")
    if not _is_number(values[START_RATE]):
        raise InputError(f"{source}: {START_RATE} {values[START_RATE]!r} is no rate")
    return {name: value for name, value in values.items() if name != START_RATE} | {
        "warmup_start": values[START_RATE] / lr
    }


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sentences(notes: Json, key: str, source: str, lines: dict[tuple[str, str], int]) -> tuple[str, ...]:
    held = notes.get(key, [])
    if not isinstance(held, list):
        raise InputError(f"{source}:{lines.get(('notes', key), 1)}: {key} is a list of sentences")
    return tuple(map(str, held))


def _changes(notes: Json, faithful: Json, source: str, lines: dict[tuple[str, str], int]) -> dict[str, str]:
    """A sentence for each setting that `[faithful]` has otherwise."""
    held = notes.get("fixed", {})
    where = f"{source}:{lines.get(('notes', 'fixed'), lines.get(('', 'notes.fixed'), 1))}"
    if not isinstance(held, dict):
        raise InputError(f"{where}: fixed is a table: a sentence for each setting of [faithful]")
    for name in held:
        if name not in faithful:
            raise InputError(f"{where}: {name} is no setting of [faithful]")
    return {name: str(sentence) for name, sentence in held.items()}


def _lines(text: str) -> dict[tuple[str, str], int]:
    """The line of each key, by its table and name."""
    found: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = header[1]
            found.setdefault(("", table), number)
        elif key := re.match(r"""\s*["']?([\w-]+)["']?\s*=""", line):
            found.setdefault((table, key[1]), number)
    return found


def _only(held: Json, known: tuple[str, ...], table: str, source: str, lines: dict[tuple[str, str], int]) -> None:
    for key in held:
        if key not in known:
            raise InputError(
                f"{source}:{lines.get((table, key), 1)}: unknown key {key!r}", f"[{table}] has {', '.join(known)}."
            )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _option(name: str) -> str:
    return name.upper() if name == "model" else "--" + name.replace("_", "-")


def _said(name: str, value: Any) -> str:
    return _option(name) if value is True else f"{_option(name)} {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, list | tuple) or isinstance(two, list | tuple):
        parts = [value.split(",") if isinstance(value, str) else list(value) for value in (one, two)]
        return len(parts[0]) == len(parts[1]) and all(map(_same, *parts))
    try:
        return float(one) == float(two)
    except (TypeError, ValueError):
        return str(one) == str(two)
