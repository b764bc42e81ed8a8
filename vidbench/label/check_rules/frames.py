"""Folders of frames: names, numbering, foreign files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from vidbench.label.check_rules.columns import FIRST_SECOND, FPS
from vidbench.label.check_rules.rule import LOADERS, Findings, Loader, rule

FOLDERS = ("frames", "rawframes")
REACH = 32
"""Frames after the keyframe's that a clip of 32 frames with stride 2 takes in MMAction2."""

FOREIGN = rule(
    "frames-foreign",
    "error",
    "Move the file away.",
    pytorchvideo="takes every file of the folder for a frame, in natural order",
)
GAP = rule(
    "frames-gap",
    "error",
    "Make the frames of this video again: `vidbench data frames`.",
    mmaction2="FileNotFoundError for the missing number",
    pytorchvideo="counts files, so every later keyframe comes too early",
)
FIRST = rule(
    "frames-first",
    "error",
    "Number the files from 1.",
    pyslowfast="if the list is like the folder, every keyframe is at another moment",
    mmaction2="FileNotFoundError, or every keyframe is at another moment",
    pytorchvideo="counts files, so every keyframe is at another moment",
)
MIXED = rule(
    "frames-mixed",
    "error",
    "Keep the frames of one making alone in the folder.",
    pytorchvideo="takes all of them for one video, in natural order",
)
EMPTY_FILE = rule(
    "frames-empty-file",
    "error",
    "Make the frames of this video again: `vidbench data frames`.",
    every="cannot decode it",
)
NAMING = rule(
    "frames-naming",
    "error",
    "Name them img_00001.jpg and so on, or put hard links of such names into rawframes.",
    mmaction2="FileNotFoundError: its file name template img_{:05}.jpg cannot hold the video's name",
)
MISSING = rule(
    "frames-missing",
    "error",
    "Make the frames of this video, or take its rows out.",
    every="cannot open the frames",
)
BEYOND = rule(
    "frames-beyond",
    "error",
    "Take the rows out, or make the frames at 30 a second up to the video's end.",
    pyslowfast="repeats the last frame without a word",
    mmaction2="FileNotFoundError",
    pytorchvideo="gives an empty or a shorter clip, so batches cannot be made",
)
SHORT = rule(
    "frames-short",
    "error",
    "Keep keyframes two seconds from the end of the video.",
    pyslowfast="repeats the last frame without a word",
    mmaction2="FileNotFoundError with clips of 32 frames and stride 2",
    pytorchvideo="gives a shorter clip where the clip ends behind the video, so batches cannot be made",
)

_IMAGE = re.compile(r"(.*?)([0-9]+)\.(jpg|jpeg|png)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """A folder of frames.

    Attributes:
        path: The folder.
        images: Image files in it.
        plain: Whether they are called img_00001.jpg and so on.
    """

    path: Path
    images: int
    plain: bool


class FrameFolders:
    """The folders of frames of a set, each scanned once as it is asked for."""

    def __init__(self, root: Path, found: Findings) -> None:
        self._root, self._found = root, found
        self._facts: dict[Path, FolderFacts | None] = {}
        self.bases = tuple(root / name for name in FOLDERS if (root / name).is_dir())

    def base_of(self, path: str) -> Path:
        """The folder from which a path of a frame list starts; `frames` where none fits."""
        for base in (*self.bases, self._root):
            if (base / path).parent.is_dir():
                return base
        return self.bases[0] if self.bases else self._root / FOLDERS[0]

    def scan(self, folder: Path) -> set[str] | None:
        """The names of the files in a folder, which is checked the first time; None where it is not there."""
        names: set[str] = set()
        empty: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    names.add(entry.name)
                    if _IMAGE.fullmatch(entry.name) and not entry.stat().st_size:
                        empty.append(entry.name)
        except OSError:
            self._facts[folder] = None
            return None
        if folder not in self._facts:
            for name in sorted(empty):
                self._found.add(EMPTY_FILE, folder, None, f"{name} has zero bytes")
            self._facts[folder] = _check(folder, names, self._found)
        return names

    def facts(self, folder: Path) -> FolderFacts | None:
        """What a folder holds; None where it is not there."""
        if folder not in self._facts:
            self.scan(folder)
        return self._facts[folder]

    def of_video(self, video: str) -> tuple[FolderFacts, ...]:
        """The folders of a video by its name."""
        # a hand-written name must not lead out of the folder
        if not video or video in (".", "..") or "/" in video or "\0" in video:
            return ()
        return tuple(one for base in self.bases if (one := self.facts(base / video)) is not None)


def check_length(
    path: Path, video: str, last: tuple[int, int], frames: int, only: tuple[Loader, ...], found: Findings
) -> None:
    """Whether a video has the frames that its last keyframe needs.

    Args:
        path: The file of boxes.
        video: The video's name.
        last: Its greatest second, and the line of it.
        frames: Frames that it has.
        only: The loaders that read the file.
        found: Where findings go.
    """
    second, line = last
    centre = (second - FIRST_SECOND) * FPS
    if centre >= frames:
        told = f"{video}: second {second} is frame {centre + 1}, and there are {frames}"
        found.add(BEYOND, path, line, told, only)
    elif centre + REACH > frames:
        told = f"{video}: a clip around second {second} needs frame {centre + REACH}, and there are {frames}"
        # a clip of two seconds ends one second after the keyframe
        short = centre + FPS > frames
        found.add(SHORT, path, line, told, tuple(one for one in only if short or one != "pytorchvideo"))


def check_naming(path: Path, video: str, line: int, folders: tuple[FolderFacts, ...], found: Findings) -> None:
    """Whether MMAction2 finds the frames of a video under the names that it makes."""
    if folders and not any(one.plain for one in folders):
        found.add(NAMING, folders[0].path, None, f"{video}: no frames called img_00001.jpg and so on")
    elif not folders:
        found.add(MISSING, path, line, f"{video}: no folder of frames", LOADERS)


def _check(folder: Path, names: set[str], found: Findings) -> FolderFacts:
    numbers: dict[str, list[int]] = {}
    plain = True
    images = 0
    for name in sorted(names):
        match = _IMAGE.fullmatch(name)
        if match is None:
            found.add(FOREIGN, folder, None, f"{name} is no frame")
            continue
        images += 1
        numbers.setdefault(f"{match[1]}*.{match[3]}", []).append(int(match[2]))
        plain = plain and match[1] == "img_" and len(match[2]) >= 5 and match[3] == "jpg"
    if len(numbers) > 1:
        found.add(MIXED, folder, None, f"files of several kinds: {', '.join(sorted(numbers)[:4])}")
    for kind, held in sorted(numbers.items()):
        held.sort()
        if held[0] != 1:
            found.add(FIRST, folder, None, f"{kind}: the first number is {held[0]}, not 1")
        gaps = [after for before, after in pairwise(held) if after > before + 1]
        if gaps:
            missing = held[-1] - held[0] + 1 - len(set(held))
            found.add(GAP, folder, None, f"{kind}: {missing} numbers are missing, the first before {gaps[0]}")
    return FolderFacts(folder, images, plain and images > 0)
