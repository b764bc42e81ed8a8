"""PySlowFast's configuration files as flat keys and values, with the line of each and those that stand twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from vidbench.errors import InputError

_BASE = "_BASE_"
_SECTION = object()
_Leaf = tuple[str, Any, int]


@dataclass(frozen=True)
class Config:
    """What a file says.

    Attributes:
        values: By the key in full, as "SOLVER.BASE_LR".
        lines: Where each stands; of one that stands twice the last.
        twice: Keys that stand more than once, with all their lines.
    """

    values: dict[str, Any]
    lines: dict[str, int]
    twice: dict[str, tuple[int, ...]]


def read_config(text: str, source: str) -> Config:
    """Read a configuration file; of a key that stands twice the last one counts, as for PySlowFast.

    Nothing but plain values is made: tags that would make objects are refused. Texts that are literals of Python are
    those: yaml takes `1e-4` and `(3, 7, 7)` for texts, PySlowFast for numbers.

    Args:
        text: The file.
        source: Its name, for messages.

    Raises:
        InputError: It is no YAML of sections and keys, or it builds on another file.
    """
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise InputError(f"{source}: aliases (*name), which configurations of PySlowFast do not have")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return Config({}, {}, {})
        if not isinstance(root, yaml.MappingNode):
            raise InputError(f"{source}:1: no configuration of sections and keys")
        found = list(_leaves(root, "", yaml.SafeLoader(""), source))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        raise InputError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    except RecursionError:
        raise InputError(f"{source}: nested too deeply") from None
    values: dict[str, Any] = {}
    lines: dict[str, list[int]] = {}
    for key, value, line in found:
        if key == _BASE:
            raise InputError(f"{source}:{line}: {_BASE} builds on {value!r}", "Give one file that has all of it.")
        lines.setdefault(key, []).append(line)
        if value is not _SECTION:
            values[key] = value
    last = {key: all_[-1] for key, all_ in lines.items()}
    return Config(values, last, {key: tuple(all_) for key, all_ in lines.items() if len(all_) > 1})


def _leaves(node: yaml.MappingNode, front: str, loader: yaml.SafeLoader, source: str) -> Iterator[_Leaf]:
    """Keys with their values and lines, in the file's order; a section that stands twice is told, its last one read."""
    places: dict[str, list[int]] = {}
    for index, (key, _) in enumerate(node.value):
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{source}:{key.start_mark.line + 1}: a key that is no name")
        places.setdefault(key.value, []).append(index)
    for index, (key, value) in enumerate(node.value):
        line, name, same = key.start_mark.line + 1, f"{front}{key.value}", places[key.value]
        if not isinstance(value, yaml.MappingNode):
            yield name, _plain(value, loader, source), line
            continue
        if len(same) > 1:
            # the last one replaces the others whole: what they alone say is lost
            yield name, _SECTION, line
        if index == same[-1]:
            yield from _leaves(value, f"{name}.", loader, source)


def _plain(node: yaml.Node, loader: yaml.SafeLoader, source: str) -> Any:
    try:
        return _literal(loader.construct_object(node, deep=True))
    except ValueError as error:
        # a date that there is not, a number of too many digits
        raise InputError(f"{source}:{node.start_mark.line + 1}: no value: {error}") from None


def _literal(value: Any) -> Any:
    if isinstance(value, list):
        return [_literal(one) for one in value]
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
