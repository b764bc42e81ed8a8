"""Folders of numbered frames, one per video, to the frame lists that PySlowFast reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from vidbench.data.folders import IMAGE_ENDINGS
from vidbench.errors import InputError
from vidbench.formats.framelist import FrameLine, save_frames

_NUMBER = re.compile(r"(\d+)\.[A-Za-z]+")


@dataclass(frozen=True)
class FrameFolder:
    """The frames of a video.

    Attributes:
        video: The video's name, and the folder's.
        names: The files, by rising number.
        numbers: Their numbers.
    """

    video: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]

    @property
    def gapless(self) -> bool:
        """Whether the numbers go from 1 up without a gap, so that the place in a list tells the time."""
        return self.numbers == tuple(range(1, len(self.numbers) + 1))


def frames_of(root: Path, video: str) -> FrameFolder | None:
    """The frames in `<root>/<video>`: images whose names end in a number; None where there are none."""
    found: list[tuple[int, str]] = []
    try:
        with os.scandir(root / video) as entries:
            for entry in entries:
                match = _NUMBER.search(entry.name)
                if match and os.path.splitext(entry.name)[1].lower() in IMAGE_ENDINGS and entry.name[0] != ".":
                    found.append((int(match[1]), entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{root / video}: cannot be read: {error.strerror}") from error
    found.sort()
    return FrameFolder(video, tuple(name for _, name in found), tuple(n for n, _ in found)) if found else None


def require_folder(root: Path) -> None:
    """Refuse a folder of frames that is none.

    Raises:
        InputError: It is not there.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder", "Give the folder that holds a folder of frames per video.")


def frame_rows(folder: FrameFolder, place: int, labels: Iterable[tuple[int, ...]]) -> Iterator[FrameLine]:
    """The rows of a video in a frame list.

    Args:
        folder: Its frames.
        place: The video's place in the list, from 0.
        labels: Classes of every frame.
    """
    for index, (name, classes) in enumerate(zip(folder.names, labels, strict=True)):
        yield FrameLine(folder.video, place, index, f"{folder.video}/{name}", classes)


def write_frame_list(path: Path, rows: Iterator[FrameLine]) -> int:
    """Write a frame list, whole or not at all, and give the number of frames; where there is none, no list."""
    first = next(rows, None)
    return 0 if first is None else save_frames(path, chain([first], rows))
