"""The names users type, and the objects behind them, loaded when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from vidbench.errors import InputError, MissingError, UnknownNameError

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One name of a catalogue.

    Attributes:
        name: What the user types.
        summary: One line for lists.
        load: Gives the object; may import heavy packages.
        extra: The extra of `vidbench` that brings what `load` imports; empty for the core.
    """

    name: str
    summary: str
    load: Callable[[], T]
    extra: str = ""


class Catalogue(Generic[T]):
    """A table of entries; listing it imports nothing that the entries need.

    Args:
        kind: What the entries are, for messages ("model", "attack").
        entries: The built-in entries; a name may occur once.
        group: The entry-point group of plug-ins. Each entry point must load an `Entry`.
        listing: The command that shows all entries, for messages; empty where there is none.
    """

    def __init__(self, kind: str, entries: Iterable[Entry[T]], group: str = "", listing: str = "") -> None:
        self.kind = kind
        self._listing = listing
        self._group = group
        self._entries: dict[str, Entry[T]] = {}
        for entry in entries:
            if entry.name in self._entries:
                raise ValueError(f"two {kind} entries are called {entry.name!r}")
            self._entries[entry.name] = entry

    def __iter__(self) -> Iterator[Entry[T]]:
        """All entries, built-in ones first; plug-ins are loaded by this."""
        yield from self._entries.values()
        for point in self._plugins().values():
            yield self._entry_of(point)

    def names(self) -> tuple[str, ...]:
        """All names, without loading a plug-in."""
        return (*self._entries, *self._plugins())

    def __contains__(self, name: str) -> bool:
        return name in self._entries or name in self._plugins()

    def entry(self, name: str) -> Entry[T]:
        """The entry of `name`, or an error with the nearest names."""
        if name in self._entries:
            return self._entries[name]
        plugins = self._plugins()
        if name in plugins:
            return self._entry_of(plugins[name])
        raise UnknownNameError(
            self.kind,
            name,
            self.names(),
            f"`{self._listing}` shows all." if self._listing else f"There are: {', '.join(self.names())}.",
        )

    def get(self, name: str) -> T:
        """The object behind `name`, or an error that says what is missing."""
        entry = self.entry(name)
        try:
            return entry.load()
        except ModuleNotFoundError as error:
            if not entry.extra:
                raise
            raise MissingError(
                f"{self.kind} {name!r} needs the package {error.name!r}",
                f"pip install 'vidbench[{entry.extra}]'",
            ) from error

    def _plugins(self) -> dict[str, EntryPoint]:
        if not self._group:
            return {}
        found = {point.name: point for point in entry_points(group=self._group)}
        for name in found.keys() & self._entries.keys():
            raise InputError(
                f"the plug-in {found[name].value!r} may not take the built-in {self.kind} name {name!r}",
                "Rename the entry point or uninstall its package.",
            )
        return found

    def _entry_of(self, point: EntryPoint) -> Entry[T]:
        entry = point.load()
        if not isinstance(entry, Entry):
            raise InputError(f"the plug-in {point.value!r} is no vidbench.catalogue.Entry")
        return entry
