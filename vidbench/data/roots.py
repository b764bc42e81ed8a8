"""Where the relative paths of a list start: the folder that is given, or the one that holds its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vidbench.errors import InputError

BY_OPTION = "--root"
BY_LIST = "list folder"
BY_WORKING = "working folder"
BY_IMAGES = "images folder"
ABSOLUTE = "absolute"
IMAGES = "images"
"""The folder beside a list of images where they may lie."""

_TOLD = {BY_LIST: "the list's", BY_IMAGES: "the images folder beside it", BY_WORKING: "the working folder"}


class Root:
    """A folder that relative paths may start from; asks the disk once per folder, not once per file."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)
        self._parents: dict[str, str] = {}
        self._present: dict[str, bool] = {}

    def parent(self, name: str) -> str:
        """The folder of a listed file, absolute and with links followed."""
        head = name[: name.rfind("/") + 1]
        found = self._parents.get(head)
        if found is None:
            found = self._parents[head] = os.path.realpath(os.path.join(self.folder, head))
        return found

    def locate(self, name: str) -> str:
        """Where a listed file is."""
        base = name.rpartition("/")[2]
        if base in ("", ".", ".."):
            return os.path.realpath(os.path.join(self.folder, name))
        return f"{self.parent(name).rstrip('/')}/{base}"

    def holds(self, name: str) -> bool:
        """Whether a listed file is there."""
        parent = self.parent(name)
        present = self._present.get(parent)
        if present is None:
            present = self._present[parent] = os.path.isdir(parent)
        return present and os.path.isfile(self.locate(name))


def find_root(source: Path, given: Path | None, names: Sequence[str], *, images: bool = False) -> tuple[Root, str]:
    """The folder that a list's relative paths start from, and the rule that found it.

    Args:
        source: The list.
        given: The folder, where it is said.
        names: The paths of the list, one or more.
        images: They are images: the folder `images` beside the list may hold them, too.

    Raises:
        InputError: No such folder, no folder or more than one that holds files of the list.
    """
    beside = Root(source.absolute().parent)
    relative = [name for name in names if not name.startswith("/")]
    absolute = [name for name in names if name.startswith("/")]
    if given is not None and not given.is_dir():
        raise InputError(f"--root {given}: no such folder", "Give the folder that the paths of the list start from.")
    if not relative:
        if not _first(beside, absolute):
            raise _nothing_there(source, absolute[0], [])
        return beside, ABSOLUTE
    roots = {BY_OPTION: Root(given)} if given is not None else _candidates(beside, images)
    fitting = {rule: place for rule, place in roots.items() if _first(place, relative)}
    if len(fitting) > 1:
        rule = _only_fit(source, fitting, relative)
    elif fitting or _first(beside, absolute):
        rule = next(iter(fitting or roots))
    else:
        raise _nothing_there(source, relative[0], [place.folder for place in roots.values()])
    return roots[rule], rule


def _candidates(beside: Root, images: bool) -> dict[str, Root]:
    roots = {BY_LIST: beside}
    folder = os.path.join(beside.folder, IMAGES)
    if images and os.path.isdir(folder):
        roots[BY_IMAGES] = Root(Path(folder))
    working = Root(Path.cwd())
    if all(working.folder != place.folder for place in roots.values()):
        roots[BY_WORKING] = working
    return roots


def _only_fit(source: Path, roots: dict[str, Root], names: Sequence[str]) -> str:
    """The rule of the one root with files of its own; a path that leads two to one file speaks for neither."""

    def own(rule: str) -> str | None:
        others = [place for other, place in roots.items() if other != rule]
        held = (name for name in names if roots[rule].holds(name))
        return next((name for name in held if any(_apart(roots[rule], other, name) for other in others)), None)

    owners = [(rule, name) for rule in roots if (name := own(rule))]
    if len(owners) > 1:
        (one, mine), (two, other) = owners[:2]
        raise InputError(
            f"{source}: its relative paths fit two folders: {_TOLD[one]}, {roots[one].folder}, has {mine}, "
            f"and {_TOLD[two]}, {roots[two].folder}, has {other}",
            "Say which one is meant: --root DIR.",
        )
    return owners[0][0] if owners else next(iter(roots))


def _first(place: Root, names: Sequence[str]) -> str | None:
    return next((name for name in names if place.holds(name)), None)


def _apart(first: Root, second: Root, name: str) -> bool:
    """Whether a path leads the two roots to different files."""
    if first.parent(name) == second.parent(name):
        return False
    return os.path.realpath(first.locate(name)) != os.path.realpath(second.locate(name))


def _nothing_there(source: Path, name: str, folders: list[str]) -> InputError:
    tried = f", looked for under {' and '.join(folders)}" if folders else ""
    return InputError(
        f"{source}: none of its files exists; the first is {name}{tried}",
        "Give the folder that its paths start from: --root DIR." if folders else "Correct the paths of the list.",
    )
