"""Which videos `model predict` looks at, and where it writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.dataset import NO_LABEL, ClipItem, read_clips
from vidbench.data.folders import is_video_name, videos_below
from vidbench.data.jobs import PART
from vidbench.errors import InputError, UsageError, disk_errors


@dataclass(frozen=True)
class Source:
    """One video to look at.

    Attributes:
        name: For people.
        path: Where it is.
        inner: Its name in a folder of overlays.
        truth: The class number that a list tells; None where it tells none, or more than one.
        item: The list's entry.
    """

    name: str
    path: Path
    inner: str
    truth: int | None = None
    item: ClipItem | None = None

    def file(self) -> Path:
        """The file to open.

        Raises:
            VideoError: It is not the one that the manifest was made of.
        """
        return self.path if self.item is None else self.item.file()


def find_sources(
    texts: Sequence[str], root: Path | None, overlay: Path | None, *, several: bool = False
) -> list[Source]:
    """The videos behind videos, folders, lists and manifests as typed.

    Args:
        texts: As typed.
        root: Folder of the relative paths of lists.
        overlay: Where overlays go: a folder of them is not looked through.
        several: Whether lists may tell any number of classes for a video, `path 3,17,42`.

    Raises:
        InputError: A source that is not there, or a malformed list.
    """
    found: list[Source] = []
    folder = overlay if overlay is not None and not _is_file_target(overlay) else None
    for text in texts:
        path = Path(text)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"a name is not UTF-8: {os.fsencode(text)!r}", "Rename that file.") from None
        if path.is_dir():
            names, _ = videos_below(path, leave_out=folder)
            found.extend(Source(str(path / name), path / name, name) for name in names)
        elif not path.exists():
            raise InputError(f"{text}: no such video, folder or list")
        elif is_video_name(path.name) or not _is_text(path):
            found.append(Source(text, path, path.name))
        else:
            found.extend(_listed(path, root, several))
    return found


def _listed(path: Path, root: Path | None, several: bool) -> Iterator[Source]:
    for item in read_clips(path, root, labelled=False, several=several, kinds=("videos",)).items:
        inside = not item.name.startswith("/") and ".." not in Path(item.name).parts
        inner = item.name if inside else item.path.name
        yield Source(item.name, item.path, inner, None if item.label == NO_LABEL else item.label, item)


def _is_text(path: Path) -> bool:
    """Whether a file of no video's name is a list: text has no zero byte, and no container goes without for long."""
    with path.open("rb") as file:
        return b"\0" not in file.read(4096)


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A name to write a file under, which gets its final name when the block ends without an error.

    Raises:
        MissingError: The disk is full.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}{PART}")
    try:
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _is_file_target(overlay: Path) -> bool:
    return overlay.suffix.lower() == ".mp4" and not overlay.is_dir()


def place_outputs(
    sources: Sequence[Source], overlay: Path | None, csv: Path | None, inputs: Sequence[str]
) -> list[Path]:
    """Where the overlay of each source goes; empty where none is asked for.

    Args:
        sources: The videos.
        overlay: One `.mp4` file, or a folder.
        csv: A file that is written as well.
        inputs: Files that are read beside the videos, as typed.

    Raises:
        UsageError: Outputs that do not go together, or that would take the place of an input.
    """
    if csv is not None and csv.is_dir():
        raise UsageError(f"--csv {csv} is a folder", "Give the name of a file.")
    if overlay is None:
        targets = []
    elif _is_file_target(overlay):
        if len(sources) != 1:
            raise UsageError(f"--overlay {overlay} is one file for {len(sources)} videos", "Give a folder's name.")
        targets = [overlay]
    else:
        if overlay.exists() and not overlay.is_dir():
            raise UsageError(f"--overlay {overlay} is neither an .mp4 file nor a folder")
        targets = [overlay / Path(source.inner).with_suffix(".mp4") for source in sources]
    outputs = [*targets, *([csv] if csv is not None else [])]
    read = {os.path.realpath(source.path) for source in sources} | {os.path.realpath(text) for text in inputs}
    taken: set[str] = set()
    for target in outputs:
        real = os.path.realpath(target)
        if real in read:
            raise UsageError(f"{target} would be overwritten: it is an input", "Give another name or folder.")
        if real in taken:
            raise UsageError(f"two videos would be written to {target}", "Run the command once for each of them.")
        taken.add(real)
    return targets
