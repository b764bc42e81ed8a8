"""What a list, a frame list, a manifest or a folder of images names: where each item lies, its classes, its key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.clips import NO_LABEL, ClipItem, ClipList, Kind, clip_key, decode_item
from vidbench.data.frame_sets import FrameRows, FrameVideo, is_frame_list, read_frame_list
from vidbench.data.image_sets import read_image_folder
from vidbench.data.roots import BY_OPTION, Root, find_root
from vidbench.errors import InputError, UsageError
from vidbench.formats.kinetics import ListLine, decode_list, line_errors, read_list_bytes
from vidbench.formats.label_sets import LabelsLine, decode_label_sets
from vidbench.formats.manifest import Manifest, decode_manifest, is_manifest
from vidbench.video.images import is_image_name

__all__ = [
    "ALL_KINDS",
    "BY_FOLDER",
    "BY_MANIFEST",
    "NO_LABEL",
    "ClipItem",
    "ClipList",
    "Kind",
    "Listed",
    "clip_key",
    "decode_item",
    "manifest_paths",
    "read_clips",
    "read_listed",
]

BY_MANIFEST = "manifest"
BY_FOLDER = "folder"

ALL_KINDS: tuple[Kind, ...] = ("videos", "images", "frames")

_TOLD: dict[Kind, str] = {"videos": "videos", "images": "images", "frames": "the frames of videos as image files"}


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


def read_clips(
    source: Path,
    root: Path | None = None,
    limit: int | None = None,
    *,
    labelled: bool = True,
    several: bool = False,
    kinds: Sequence[Kind] = ALL_KINDS,
) -> ClipList:
    """Read what is to be worked on, and find the folder that relative paths start from.

    The source is told by its content. Of a list, `path label` per line, an item is a video or an image. A frame list
    (see `vidbench.formats.framelist`) gives one item per video, whose labels are those of all its rows. A manifest
    (see `vidbench.formats.manifest`) gives its usable rows that have a label, and its own root. A folder is taken as
    class folders of images.

    For a list, the root is `root` where given. Otherwise it is the list's folder or the working folder, whichever
    holds a file of the list; for a list of images also the folder `images` beside it. One folder serves the whole
    list, whatever the limit. If two hold files of the list, and not the same ones, none is taken. A root is found
    with the first file that is there, so a file that is missing further on is not noticed here: it is a failed clip,
    told when it is opened. Of a frame list's videos only the first frames are looked for.

    Args:
        source: The list, manifest or folder.
        root: The folder of relative paths.
        limit: Take the first so many items only, 1 or more.
        labelled: Whether rows of a manifest or frame list need a label; without one an item has `NO_LABEL`.
        several: Whether an item may have any number of labels, as those of Charades do; `path 3,17,42` in a list, or
            `path -` for none.
        kinds: What the caller can work on.

    Raises:
        InputError: The source cannot be read, names a file twice, fits two roots, or no file of it exists; it has
            no usable item with a label, several labels where one is meant, or is of a kind that is not in `kinds`.
        UsageError: `limit` is below 1, or `root` is given with a folder.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} takes no video", "Give a limit of 1 or more.")
    if source.is_dir():
        return _folder_clips(source, root, limit, several, kinds)
    if is_frame_list(source):
        _refuse_kind(source, "frames", kinds)
        return _frame_clips(source, root, limit, labelled, several)
    data = read_list_bytes(source)
    if is_manifest(data, source.name):
        return _frozen_clips(source, data, root, limit, labelled, several, kinds)
    rows = _rows(source, data, several)
    names = [row.path for row in rows]
    kind = _kind(names)
    _refuse_kind(source, kind, kinds)
    place, rule = find_root(source, root, names, images=kind == "images")
    paths = [place.locate(name) for name in names]
    _refuse_repeats(source, rows, paths)
    items = tuple(_item(row, path) for row, path in zip(rows[:limit], paths[:limit], strict=True))
    digest = hashlib.sha256(data).hexdigest()
    return ClipList(source, Path(place.folder), rule, items, digest, len(rows), kind, several=several)


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
    place, rule = find_root(source, root, [row.path for row in rows])
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
    place = Root(folder)
    return Path(place.folder), tuple(place.locate(row.path) for row in manifest.rows)


def _item(row: ListLine | LabelsLine, path: str) -> ClipItem:
    if isinstance(row, ListLine):
        return ClipItem(row.path, Path(path), row.label, row.line, clip_key(row.path, row.label))
    return ClipItem(
        row.path, Path(path), _only(row.labels), row.line, clip_key(row.path, row.labels), labels=row.labels
    )


def _only(labels: tuple[int, ...]) -> int:
    return labels[0] if len(labels) == 1 else NO_LABEL


def _rows(source: Path, data: bytes, several: bool) -> tuple[ListLine | LabelsLine, ...]:
    if several:
        return decode_label_sets(data, source)
    try:
        return decode_list(data, source)
    except InputError as refused:
        try:
            sets = decode_label_sets(data, source)
        except InputError:
            raise refused from None
        raise _several_refused(source, [(row.line, row.path, row.labels) for row in sets]) from None


def _several_refused(source: Path, rows: Iterable[tuple[int, str, tuple[int, ...]]]) -> InputError:
    problems = []
    for line, name, labels in rows:
        if len(labels) != 1:
            count = f"{len(labels)} labels, {','.join(map(str, labels))}" if labels else "no label"
            problems.append((line, f"{name} has {count}, where one is meant"))
    return line_errors(
        source,
        problems,
        "Keep one label per video, or take a model that scores every class by itself, as those for Charades do.",
    )


def _kind(names: Sequence[str]) -> Kind:
    return "images" if all(is_image_name(name) for name in names) else "videos"


def _refuse_kind(source: Path, kind: Kind, kinds: Sequence[Kind]) -> None:
    if kind not in kinds:
        meant = " or ".join(_TOLD[one] for one in kinds)
        raise InputError(f"{source}: it lists {_TOLD[kind]}; this works on {meant} only", f"Give a list of {meant}.")


def _folder_clips(source: Path, root: Path | None, limit: int | None, several: bool, kinds: Sequence[Kind]) -> ClipList:
    if "images" not in kinds:
        read_list_bytes(source)  # says that it is a folder
        _refuse_kind(source, "images", kinds)
    found = read_image_folder(source)
    if root is not None:
        raise UsageError(f"--root {root} with a folder of images", "Leave --root out: the folder holds its images.")
    digest = hashlib.sha256()
    for name, label in found.images:
        digest.update(f"{name} {label}\n".encode())
    items = tuple(
        ClipItem(name, Path(f"{found.root.rstrip('/')}/{name}"), label, place, clip_key(name, label))
        for place, (name, label) in enumerate(found.images[:limit], start=1)
    )
    home = Path(found.root)
    return ClipList(
        source, home, BY_FOLDER, items, digest.hexdigest(), len(found.images), "images", found.classes, several
    )


def _frame_clips(source: Path, root: Path | None, limit: int | None, labelled: bool, several: bool) -> ClipList:
    videos, digest = read_frame_list(source)
    if labelled and not several and any(len(video.labels) != 1 for video in videos):
        raise _several_refused(source, [(video.line, video.name, video.labels) for video in videos])
    place, rule = find_root(source, root, [video.first for video in videos])
    home, listed = place.folder, os.path.realpath(source)
    items = tuple(_frame_item(video, home, listed) for video in videos[:limit])
    return ClipList(source, Path(home), rule, items, digest, len(videos), "frames", several=several)


def _frame_item(video: FrameVideo, home: str, listed: str) -> ClipItem:
    rows = FrameRows(listed, home, video.offset, video.size, video.count, video.crc)
    return ClipItem(
        name=video.name,
        path=Path(home, video.first),
        label=_only(video.labels),
        line=video.line,
        key=clip_key(video.name, video.labels),
        labels=video.labels,
        frames=rows,
    )


def _frozen_clips(
    source: Path,
    data: bytes,
    root: Path | None,
    limit: int | None,
    labelled: bool,
    several: bool,
    kinds: Sequence[Kind],
) -> ClipList:
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
    kind = _kind([item.name for item in items])
    _refuse_kind(source, kind, kinds)
    rule = BY_OPTION if root is not None else BY_MANIFEST
    digest = hashlib.sha256(data).hexdigest()
    return ClipList(source, folder, rule, items[:limit], digest, len(manifest.rows), kind, several=several)


def _refuse_repeats(source: Path, rows: Sequence[ListLine | LabelsLine], paths: Iterable[str]) -> None:
    seen: dict[str, ListLine | LabelsLine] = {}
    problems = []
    for row, path in zip(rows, paths, strict=True):
        held = seen.setdefault(path, row)
        if held is not row:
            spelled = "" if held.path == row.path else f" as {held.path}"
            labels = "" if _told(held) == _told(row) else f" with label {_told(held)}, here with {_told(row)}"
            problems.append((row.line, f"{row.path} is listed before, at line {held.line}{spelled}{labels}"))
    if problems:
        raise line_errors(source, problems, "Keep one line per video: a video listed twice would count twice.")


def _told(row: ListLine | LabelsLine) -> str:
    return str(row.label) if isinstance(row, ListLine) else ",".join(map(str, row.labels)) or "-"
