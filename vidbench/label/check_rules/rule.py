"""What a rule is, what a finding is, and how findings of one rule in one file are gathered."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Loader = Literal["pyslowfast", "mmaction2", "pytorchvideo"]
"""Training code that reads AVA's files."""
LOADERS: tuple[Loader, ...] = get_args(Loader)
Severity = Literal["error", "warning", "note"]
"""error: a loader fails, or quietly learns or scores something else; warning: likely a mistake; note: worth knowing."""
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

RULES: dict[str, Rule] = {}
"""Every rule by its id; filled as the modules of this package are imported."""


@dataclass(frozen=True)
class Rule:
    """Something that can be wrong.

    Attributes:
        id: Its stable name, as "box-order".
        severity: How bad it is.
        fix: What mends it.
        effects: What a loader does with it; empty where it concerns the data itself, whoever reads it.
    """

    id: str
    severity: Severity
    fix: str
    effects: Mapping[Loader, str] = field(default_factory=dict)


def rule(
    name: str,
    severity: Severity,
    fix: str,
    *,
    every: str = "",
    pyslowfast: str = "",
    mmaction2: str = "",
    pytorchvideo: str = "",
) -> Rule:
    """Make a rule known.

    Args:
        name: Its id.
        severity: How bad it is.
        fix: What mends it.
        every: What all three loaders do; a loader of its own text takes that.
        pyslowfast: What PySlowFast does.
        mmaction2: What MMAction2 does.
        pytorchvideo: What PyTorchVideo does.
    """
    if name in RULES:
        raise ValueError(f"two rules are called {name}")
    told = {"pyslowfast": pyslowfast or every, "mmaction2": mmaction2 or every, "pytorchvideo": pytorchvideo or every}
    RULES[name] = Rule(name, severity, fix, {loader: told[loader] for loader in LOADERS if told[loader]})
    return RULES[name]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is wrong.

    Attributes:
        line: From 1; None where the file or folder as a whole is meant.
        message: What is wrong there.
    """

    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What a loader does with it."""

    loader: Loader
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """All that breaks one rule in one file.

    Attributes:
        rule: The rule's stable id.
        severity: How bad it is.
        loaders: Of those asked for, the ones that stumble; empty where it concerns the data itself.
        file: The file or folder, from the folder that was checked.
        line: Of the first place; None where the file as a whole is meant.
        message: What is wrong at the first place.
        fix: What mends it.
        count: Places in all.
        effects: What each of `loaders` does with it.
        places: The first places, by rising line.
    """

    rule: str
    severity: Severity
    loaders: tuple[Loader, ...]
    file: str
    line: int | None
    message: str
    fix: str
    count: int
    effects: tuple[Effect, ...] = ()
    places: tuple[Place, ...] = ()


class Findings:
    """What is wrong so far; memory does not grow with the number of broken rows."""

    def __init__(self, root: Path, loaders: Iterable[Loader] = LOADERS, shown: int = 5) -> None:
        """Begin with nothing.

        Args:
            root: The folder that is checked; files are named from there.
            loaders: The loaders to think of.
            shown: Places to keep of each rule in each file.
        """
        self._root, self._loaders, self._shown = root, tuple(loaders), shown
        self._groups: dict[tuple[str, str], _Group] = {}

    def add(
        self, broken: Rule, file: Path, line: int | None, message: str, only: Iterable[Loader] = LOADERS, times: int = 1
    ) -> None:
        """Add a place.

        Args:
            broken: The rule.
            file: The file.
            line: From 1; None where the file as a whole is meant.
            message: What is wrong.
            only: The loaders that read this file at all.
            times: Places that the message stands for.
        """
        key = broken.id, str(file)
        group = self._groups.get(key)
        if group is None:
            allowed = set(only)
            told = tuple(
                Effect(loader, broken.effects[loader])
                for loader in self._loaders
                if loader in broken.effects and loader in allowed
            )
            heard = bool(told) or not broken.effects
            group = self._groups[key] = _Group(broken, file, told, heard)
        group.count += times
        place = line or 0, message
        if len(group.places) < self._shown:
            insort(group.places, place)
        elif place < group.places[-1]:
            group.places.pop()
            insort(group.places, place)

    def all(self) -> tuple[Finding, ...]:
        """All of them that concern the loaders asked for: errors first, then by file, line and rule."""
        made = [self._finding(group) for group in self._groups.values() if group.heard]
        return tuple(sorted(made, key=lambda one: (SEVERITIES.index(one.severity), one.file, one.line or 0, one.rule)))

    def _finding(self, group: _Group) -> Finding:
        places = tuple(Place(line or None, message) for line, message in group.places)
        file = group.file
        name = file.relative_to(self._root).as_posix() if file.is_relative_to(self._root) else str(file)
        return Finding(
            group.rule.id,
            group.rule.severity,
            tuple(effect.loader for effect in group.effects),
            name,
            places[0].line,
            places[0].message,
            group.rule.fix,
            group.count,
            group.effects,
            places,
        )


@dataclass
class _Group:
    rule: Rule
    file: Path
    effects: tuple[Effect, ...]
    heard: bool
    count: int = 0
    places: list[tuple[int, str]] = field(default_factory=list)
