"""Folders of videos: what lies in them, and how a list writes their paths."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.jobs import PART
from vidbench.errors import InputError
from vidbench.formats.kinetics import path_problem

VIDEO_ENDINGS = frozenset(
    (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp", ".ts", ".m2ts", ".ogv")
)
"""What makes a file a video here; whether it is one, `vidbench data check` tells."""
IMAGE_ENDINGS = frozenset((".jpg", ".jpeg", ".png"))
_HALF = (".part", PART, ".ytdl")


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video in a folder.

    Attributes:
        folder: The class folder's name; empty for a video that lies in none.
        name: The file's name.
        size: In bytes.
    """

    folder: str
    name: str
    size: int


@dataclass(frozen=True)
class FolderScan:
    """What lies in a folder of class folders.

    Attributes:
        root: The folder.
        classes: Class folder to its videos, both by name.
        loose: Videos beside the class folders.
        links: Class folders that are symbolic links.
        skipped: What is no video, counted by kind.
    """

    root: Path
    classes: Mapping[str, tuple[VideoFile, ...]]
    loose: tuple[VideoFile, ...]
    links: frozenset[str]
    skipped: Mapping[str, int]

    def videos(self) -> list[VideoFile]:
        """All videos, loose ones first."""
        return [*self.loose, *(video for videos in self.classes.values() for video in videos)]


def scan(root: Path) -> FolderScan:
    """Look through a folder and the folders in it, no deeper; links are followed.

    Raises:
        InputError: No such folder, or one that may not be read.
    """
    if not root.is_dir():
        what = "not a folder" if root.exists() else "no such folder"
        raise InputError(f"{root}: {what}", "Give the folder that holds the class folders.")
    skipped: Counter[str] = Counter()
    folders, loose = _look(root, "", skipped)
    classes: dict[str, tuple[VideoFile, ...]] = {}
    for name in folders:
        inner, videos = _look(root / name, name, skipped)
        classes[name] = videos
        if inner:
            skipped["folders in class folders"] += len(inner)
    links = frozenset(name for name in folders if (root / name).is_symlink())
    return FolderScan(root, classes, loose, links, dict(sorted(skipped.items())))


def videos_below(folder: Path, leave_out: Path | None = None) -> tuple[list[str], int]:
    """The videos in a folder and all folders in it, by their paths from there, sorted; and how many other files.

    Links to folders are followed, each folder is entered once. Hidden names are other files.

    Args:
        folder: Where to look.
        leave_out: A folder that is not entered, as the one that is written to.

    Raises:
        InputError: There is no video, or a name is not UTF-8.
    """
    out = None if leave_out is None else os.path.realpath(leave_out)
    seen = {os.path.realpath(folder)}
    found: list[str] = []
    others = 0
    for home, folders, names in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(home, name))
            if not name.startswith(".") and not name.endswith(PART) and real != out and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        videos = [name for name in names if is_video_name(name)]
        others += sum(not name.endswith(PART) for name in names) - len(videos)
        found += [os.path.relpath(os.path.join(home, name), folder) for name in videos]
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{folder}: a name is not UTF-8: {os.fsencode(name)!r}", "Rename that file.") from None
    if not found:
        raise InputError(
            f"{folder}: no video in this folder ({others} other files)",
            f"Videos are told by their names: {' '.join(sorted(VIDEO_ENDINGS))}.",
        )
    return sorted(found), others


def is_video_name(name: str) -> bool:
    """Whether a file's name is a video's: by its ending, and not hidden, as the `._x.mp4` of a Mac are."""
    return not os.path.basename(name).startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_ENDINGS


def _look(folder: Path, name: str, skipped: Counter[str]) -> tuple[list[str], tuple[VideoFile, ...]]:
    folders: list[str] = []
    videos: list[VideoFile] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                ending = os.path.splitext(entry.name)[1].lower()
                if entry.name.startswith("."):
                    skipped["hidden"] += 1
                elif entry.is_dir():
                    folders.append(entry.name)
                elif ending in _HALF:
                    skipped["half written"] += 1
                elif ending not in VIDEO_ENDINGS:
                    skipped["not videos"] += 1
                elif not entry.is_file():
                    skipped["broken links"] += 1
                else:
                    videos.append(VideoFile(name, entry.name, entry.stat().st_size))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
    return sorted(folders), tuple(sorted(videos, key=lambda video: video.name))


def written(folder: Path) -> str:
    """How a list writes a folder: absolute where it was given so, else from the working folder, behind `./`.

    Raises:
        InputError: The path has a blank or another character that no list can hold.
    """
    text = folder.as_posix()
    if not folder.is_absolute():
        text = "." if text == "." else f"./{text}"
    problem = path_problem(text)
    if problem:
        raise InputError(
            f"{folder}: cannot stand in a list: {problem[0]}",
            f"Rename that folder, or work from within: cd {quoted(folder)} and give the folder as .",
        )
    return text


def quoted(path: Path | str) -> str:
    """A path as a shell takes it."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def beside(folder: Path, name: str) -> Path:
    """A file beside a folder, also where the folder is given as `.` or ends in `..`."""
    if folder.name in ("", ".."):
        return Path(os.path.relpath(Path(os.path.abspath(folder)).parent / name))
    return folder.parent / name


def named(folder: Path) -> str:
    """The name of a folder, also where it is given as `.`."""
    return Path(os.path.abspath(folder)).name


def shown(path: Path | str) -> str:
    """A path fit for a terminal."""
    text = str(path)
    return text if text.isprintable() else repr(text)
