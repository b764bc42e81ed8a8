"""Which clips of a set: by class, the first ones, or a balanced sample that grows without changing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vidbench.errors import UnknownNameError, UsageError
from vidbench.formats.labels import spelling

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """What is wanted of a set.

    Attributes:
        ids: Names of source videos, as YouTube calls them; empty for all.
        classes: Class names in any spelling; empty for all.
        per_class: At most so many of each class.
        limit: At most so many in all.
        sample_seed: Seed of the order in which a class is taken; None takes what comes first.
    """

    ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    per_class: int | None = None
    limit: int | None = None
    sample_seed: int | None = None

    @property
    def balanced(self) -> bool:
        """Whether the set is chosen by class before anything is fetched."""
        return self.per_class is not None or self.sample_seed is not None

    def named(self, items: Sequence[T], name: Callable[[T], str]) -> list[T]:
        """The items of the videos that were named; all where none was.

        Raises:
            UnknownNameError: No item is of such a video.
        """
        if not self.ids:
            return list(items)
        known = {name(item) for item in items}
        for wanted in self.ids:
            if wanted not in known:
                raise UnknownNameError("video", wanted, known, "Names are separated by commas: --ids=A,B.")
        return [item for item in items if name(item) in self.ids]

    def choose(self, items: Sequence[T], label: Callable[[T], str], key: Callable[[T], str]) -> list[T]:
        """The items that are wanted, in the order given.

        A balanced sample takes the first of every class, then the second of every class, and so on until
        `limit`. Which one is first hangs on the seed and the item's key alone, so a greater limit or number
        per class adds items and takes none away.

        Args:
            items: All items.
            label: The class of an item; empty where it has none.
            key: What tells it from the others.

        Raises:
            UnknownNameError: A class that no item has.
            UsageError: A choice by class in a set without labels.
        """
        if (self.classes or self.balanced) and not any(label(item) for item in items):
            raise UsageError(
                "this split has no labels, so nothing can be chosen by class",
                "Leave out --classes, --per-class and --sample-seed.",
            )
        found = self._of_classes(items, label)
        if not self.balanced:
            return found[: self.limit]
        seed = self.sample_seed or 0
        by_class: dict[str, list[T]] = defaultdict(list)
        for item in found:
            by_class[label(item)].append(item)
        ranked: list[tuple[int, str, T]] = []
        for name, members in by_class.items():
            members.sort(key=lambda item: _place(seed, key(item)))
            place = _place(seed, name)
            ranked += [(rank, place, item) for rank, item in enumerate(members[: self.per_class])]
        ranked.sort(key=lambda entry: entry[:2])
        chosen = {key(item) for _, _, item in ranked[: self.limit]}
        return [item for item in found if key(item) in chosen]

    def _of_classes(self, items: Sequence[T], label: Callable[[T], str]) -> list[T]:
        if not self.classes:
            return list(items)
        known = {spelling(name): name for name in {label(item) for item in items}}
        wanted = set()
        for name in self.classes:
            if spelling(name) not in known:
                raise UnknownNameError("class", name, known.values(), "Classes are separated by commas.")
            wanted.add(known[spelling(name)])
        return [item for item in items if label(item) in wanted]


def parse_names(text: str) -> tuple[str, ...]:
    """Names separated by commas, as `--classes` and `--ids` take them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _place(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}\0{text}".encode()).hexdigest()
