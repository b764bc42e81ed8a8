"""The videos of a list as things that can be opened: where each one lies, its label, its key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError, UsageError
from vidbench.formats.kinetics import ListLine, decode_list, line_errors, read_list_bytes
from vidbench.formats.manifest import Manifest, decode_manifest, is_manifest
from vidbench.runs import content_hash
from vidbench.video.clip import VideoError

NO_LABEL = -1
"""The label of an item that has none."""
BY_OPTION = "--root"
BY_LIST = "list folder"
BY_WORKING = "working folder"
ABSOLUTE = "absolute"
BY_MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class ClipItem:
    """One video of a list.

    Attributes:
        name: The path as the list writes it.
        path: Where that is, absolute; whether a file is there is not known until it is opened.
        label: The class number, 0 or more.
        line: The line in the list, from 1.
        key: 16 hex digits that name the item in a run: the start of the sha256 of (name, label, span).
            The same line has the same key in every list and under every root.
        bytes: The file's size where a manifest tells it.
    """

    name: str
    path: Path
    label: int
    line: int
    key: str
    bytes: int | None = None

    def file(self) -> Path:
        """The path, to be opened now.

        Raises:
            VideoError: The file is not of the size that the manifest tells, so it is not the one that was checked.
        """
        if self.bytes is not None:
            try:
                size = self.path.stat().st_size
            except OSError:
                raise VideoError("no such file") from None
            if size != self.bytes:
                raise VideoError(f"changed since the manifest: {size} bytes, {self.bytes} when it was checked")
        return self.path


@dataclass(frozen=True)
class ClipList:
    """The videos of a list, or the usable ones of a manifest.

    Attributes:
        source: The list or manifest file.
        root: The folder that relative paths start from, absolute.
        root_rule: Why that one: "--root", "list folder", "working folder", "manifest", or "absolute" where
            the list has no relative path and no root is needed.
        items: The videos in the list's order.
        sha256: Of the source file's bytes, in hex.
        listed: Videos that the source lists, whatever the limit, and for a manifest whatever their class: a result
            over fewer says so.
    """

    source: Path
    root: Path
    root_rule: str
    items: tuple[ClipItem, ...]
    sha256: str
    listed: int


@dataclass(frozen=True)
class Listed:
    """The lines of a list and where their files are, whether they are there or not.

    Attributes:
        root: The folder that relative paths start from, absolute.
        root_rule: Why that one, as in `ClipList`.
        rows: The lines.
        paths: Where each one's file is, absolute.
        sha256: Of the list file's bytes, in hex.
    """

    root: Path
    root_rule: str
    rows: tuple[ListLine, ...]
    paths: tuple[str, ...]
    sha256: str


def read_clips(source: Path, root: Path | None = None, limit: int | None = None, *, labelled: bool = True) -> ClipList:
    """Read a list of videos, or a manifest, and find the folder that its relative paths start from.

    A manifest (see `vidbench.formats.manifest`) gives its usable rows that have a label, and its own root. For a list,
    that folder is `root` where given. Otherwise it is the list's folder or the working folder, whichever
    holds a file of the list; one folder serves the whole list, whatever the limit. If both hold files of
    the list, and not the same ones, neither is taken. A root is found with the first file that is there, so
    a file that is missing further on is not noticed here: it is a failed clip, told when it is opened.

    Args:
        source: The list, lines of `path label`, or the manifest.
        root: The folder of relative paths.
        limit: Take the first so many videos only, 1 or more.
        labelled: Whether rows of a manifest need a label; without one an item has `NO_LABEL`.

    Raises:
        InputError: The list cannot be read, names a video twice, fits two roots, or no file of it exists; or the
            manifest has no usable video with a label.
        UsageError: `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} takes no video", "Give a limit of 1 or more.")
    data = read_list_bytes(source)
    if is_manifest(data, source.name):
        return _frozen_clips(source, data, root, limit, labelled)
    found = read_listed(source, root, data)
    _refuse_repeats(source, found.rows, found.paths)
    items = tuple(
        ClipItem(row.path, Path(path), row.label, row.line, clip_key(row.path, row.label))
        for row, path in zip(found.rows[:limit], found.paths[:limit], strict=True)
    )
    return ClipList(source, found.root, found.root_rule, items, found.sha256, len(found.rows))


def read_listed(source: Path, root: Path | None = None, data: bytes | None = None) -> Listed:
    """Read a list of videos with its faults: a video may be listed twice, and files may be missing.

    Args:
        source: The list.
        root: The folder of relative paths; None finds it as `read_clips` does.
        data: The list's bytes, where they were read before.

    Raises:
        InputError: The list cannot be read, fits two roots, or no file of it exists.
    """
    data = read_list_bytes(source) if data is None else data
    rows = decode_list(data, source)
    place, rule = _find_root(source, root, rows)
    paths = tuple(place.locate(row.path) for row in rows)
    return Listed(Path(place.folder), rule, rows, paths, hashlib.sha256(data).hexdigest())


def manifest_paths(manifest: Manifest, source: Path, root: Path | None = None) -> tuple[Path, tuple[str, ...]]:
    """The root of a manifest's relative paths, absolute, and where each row's file is.

    Raises:
        InputError: There is no such folder.
    """
    folder = root or manifest.base(source)
    if not folder.is_dir() and not all(row.path.startswith("/") for row in manifest.rows):
        told = f"--root {root}" if root else f"{source}:1: root {manifest.root}"
        raise InputError(f"{told}: no such folder", "Give the folder that the manifest's paths start from: --root DIR.")
    place = _Root(folder)
    return Path(place.folder), tuple(place.locate(row.path) for row in manifest.rows)


def _frozen_clips(source: Path, data: bytes, root: Path | None, limit: int | None, labelled: bool) -> ClipList:
    manifest = decode_manifest(data, source)
    folder, paths = manifest_paths(manifest, source, root)
    chosen = [
        (row, path, NO_LABEL if row.label is None else row.label)
        for row, path in zip(manifest.rows, paths, strict=True)
        if row.usable and not (labelled and row.label is None)
    ]
    items = tuple(
        ClipItem(row.path, Path(path), label, row.line, clip_key(row.path, label), row.bytes)
        for row, path, label in chosen
    )
    if not items and not labelled:
        raise InputError(
            f"{source}: no usable video among {len(manifest.rows)}", "`data check --repair` may mend some."
        )
    if not items:
        raise InputError(
            f"{source}: no usable video with a label among {len(manifest.rows)}",
            "A manifest of a folder has no labels: check a list of `path label`.",
        )
    rule = BY_OPTION if root is not None else BY_MANIFEST
    digest = hashlib.sha256(data).hexdigest()
    return ClipList(source, folder, rule, items[:limit], digest, len(manifest.rows))


def clip_key(name: str, label: int, span: tuple[float, float] | None = None) -> str:
    """The key of a video, or of a part of one, in the records of a run.

    Args:
        name: The path as the list writes it.
        label: The class number.
        span: Start and end in seconds; None is the whole video.
    """
    return content_hash([name, label, span])[:16]


class _Root:
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


def _find_root(source: Path, given: Path | None, rows: Iterable[ListLine]) -> tuple[_Root, str]:
    beside = _Root(source.absolute().parent)
    relative = [row.path for row in rows if not row.path.startswith("/")]
    absolute = [row.path for row in rows if row.path.startswith("/")]
    if given is not None and not given.is_dir():
        raise InputError(f"--root {given}: no such folder", "Give the folder that the paths of the list start from.")
    if not relative:
        if not _first(beside, absolute):
            raise _nothing_there(source, absolute[0], [])
        return beside, ABSOLUTE
    if given is not None:
        roots = {BY_OPTION: _Root(given)}
    else:
        roots = {BY_LIST: beside, BY_WORKING: _Root(Path.cwd())}
        if roots[BY_WORKING].folder == beside.folder:
            del roots[BY_WORKING]
    fitting = [rule for rule, place in roots.items() if _first(place, relative)]
    if len(fitting) > 1:
        rule = _only_fit(source, roots[BY_LIST], roots[BY_WORKING], relative)
    elif fitting or _first(beside, absolute):
        rule = next(iter(fitting or roots))
    else:
        raise _nothing_there(source, relative[0], [place.folder for place in roots.values()])
    return roots[rule], rule


def _only_fit(source: Path, beside: _Root, working: _Root, names: list[str]) -> str:
    """The rule of the one root with files of its own; a path that leads both to one file speaks for neither."""

    def own(place: _Root) -> str | None:
        return next((name for name in names if place.holds(name) and _apart(beside, working, name)), None)

    mine, other = own(beside), own(working)
    if mine and other:
        raise InputError(
            f"{source}: its relative paths fit two folders: the list's, {beside.folder}, has {mine}, "
            f"and the working folder, {working.folder}, has {other}",
            "Say which one is meant: --root DIR.",
        )
    return BY_WORKING if other else BY_LIST


def _first(place: _Root, names: Iterable[str]) -> str | None:
    return next((name for name in names if place.holds(name)), None)


def _apart(first: _Root, second: _Root, name: str) -> bool:
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


def _refuse_repeats(source: Path, rows: Iterable[ListLine], paths: Iterable[str]) -> None:
    seen: dict[str, ListLine] = {}
    problems = []
    for row, path in zip(rows, paths, strict=True):
        held = seen.setdefault(path, row)
        if held is not row:
            spelled = "" if held.path == row.path else f" as {held.path}"
            labels = "" if held.label == row.label else f" with label {held.label}, here with {row.label}"
            problems.append((row.line, f"{row.path} is listed before, at line {held.line}{spelled}{labels}"))
    if problems:
        raise line_errors(source, problems, "Keep one line per video: a video listed twice would count twice.")
