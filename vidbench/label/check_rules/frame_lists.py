"""Frame lists, `frame_lists/train.csv`, row by row and against the files on disk."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from vidbench.formats.framelist import HEADER as HEADER_LINE
from vidbench.label.check_rules.columns import FPS, SECONDS
from vidbench.label.check_rules.frames import FrameFolders
from vidbench.label.check_rules.rule import Findings, Loader, rule
from vidbench.label.check_rules.text import lines_of

READERS: tuple[Loader, ...] = ("pyslowfast", "pytorchvideo")

HEADER = rule(
    "list-header",
    "error",
    f"Put the line `{HEADER_LINE}` first.",
    pyslowfast="drops the first row unread, so every keyframe of that video comes a frame late, without a word",
    pytorchvideo="drops the first row unread",
)
EMPTY = rule(
    "list-empty", "error", "Make the list of the frames again.", pyslowfast="AssertionError", pytorchvideo="KeyError"
)
FIELDS = rule(
    "list-fields",
    "error",
    'Write `name video_id frame_id path ""` with one blank between, and no blanks in names.',
    pyslowfast="AssertionError",
    pytorchvideo="AssertionError",
)
FRAME_ID = rule(
    "list-frame-id",
    "error",
    "Number the rows of a video 0, 1, 2, ...",
    pytorchvideo="ValueError: int() does not read it",
)
GAP = rule(
    "list-gap",
    "error",
    "Add the missing rows: second t of a video is row 30 t of it, from 0.",
    pyslowfast="counts rows, so every later keyframe comes too late, without a word",
)
UNSORTED = rule(
    "list-unsorted",
    "error",
    "Sort the rows of a video by frame.",
    pyslowfast="keeps the order of the file, so clips show other frames, without a word",
)
FOLDER = rule(
    "list-folder",
    "error",
    "Put the frames of a video into one folder.",
    pytorchvideo="takes the folder of the video's first row for the whole video",
)
ABSOLUTE = rule("list-path-absolute", "warning", "Write paths from the folder of frames; these hold on one machine.")
FILE_MISSING = rule(
    "list-file-missing",
    "error",
    "Make the frames of this video again, or its rows from the frames that are there.",
    pyslowfast="cannot open the frame",
)
FOLDER_MISSING = rule(
    "list-folder-missing",
    "error",
    "Make the frames of this video, or take its rows out.",
    pyslowfast="cannot open the frames",
    pytorchvideo="cannot open the folder",
)
UNLISTED = rule(
    "list-frames-unlisted",
    "warning",
    "List them or remove them.",
    pytorchvideo="reads the folder, not the list, so it sees other frames than PySlowFast",
)
LONG = rule(
    "list-video-long",
    "warning",
    "Split the video into parts of 900 s, each with a name of its own.",
    pyslowfast="knows no keyframe after second 1798",
    mmaction2="ends every video after 900 s",
    pytorchvideo="passes over keyframes after second 1798",
)

_NUMBERED = re.compile(r"([0-9]{1,18})\.[A-Za-z]+$")
# AVA's own cut is 901 s; a frame more or two come from rounding
_MOST_FRAMES = (SECONDS[-1] + 4 - 900) * FPS


@dataclass(slots=True)
class Listed:
    """What a frame list says of a video.

    Attributes:
        line: Where it begins.
        folder: The folder of its first frame, as it is written.
        frames: Rows.
        frame: `frame_id` of the last row.
        number: The number in the file name of the last row; -1 where there is none.
    """

    line: int
    folder: str
    frames: int = 0
    frame: int = -1
    number: int = -1


@dataclass
class ListFacts:
    """What a frame list holds.

    Attributes:
        path: The file.
        split: As in `LabelFacts`.
        videos: By name, in the list's order.
        rows: Rows, broken ones included.
    """

    path: Path
    split: str | None
    videos: dict[str, Listed] = field(default_factory=dict)
    rows: int = 0


def check_frame_list(path: Path, split: str | None, folders: FrameFolders | None, found: Findings) -> ListFacts:
    """Check a frame list; memory holds the file names of one video.

    Args:
        path: The file.
        split: Which split it is of.
        folders: The frames on disk; None to leave them alone.
        found: Where findings go.
    """
    facts = ListFacts(path, split)
    current: str | None = None
    files: _Files | None = None
    for number, text in lines_of(path, found, READERS):
        row = text.split()
        if number == 1:
            if len(row) != 5 or not row[2].isdigit():
                continue
            found.add(HEADER, path, 1, f"the first line is a row: {text[:60]!r}", READERS)
        facts.rows += 1
        if len(row) != 5:
            found.add(FIELDS, path, number, f"{len(row)} fields, not 5", READERS)
            continue
        name, file = row[0], row[3]
        video = facts.videos.get(name)
        if video is None:
            video = facts.videos[name] = Listed(number, os.path.dirname(file))
        if name != current:
            if files is not None:
                files.close()
            current = name
            files = None if folders is None else _Files(path, name, video, file, folders, found)
        _row(path, number, name, row[2], file, video, found)
        if files is not None:
            files.take(number, file)
    if files is not None:
        files.close()
    if not facts.videos:
        found.add(EMPTY, path, None, "no row that can be read", READERS)
    for name, video in facts.videos.items():
        if video.frames > _MOST_FRAMES:
            told = f"{name}: {video.frames} frames are {video.frames / FPS:.0f} s"
            found.add(LONG, path, video.line, told)
    return facts


def _row(path: Path, line: int, name: str, frame_id: str, file: str, video: Listed, found: Findings) -> None:
    """Compare a row with the one before of its video."""
    video.frames += 1
    folder = os.path.dirname(file)
    if folder != video.folder:
        found.add(FOLDER, path, line, f"{name}: {file} is not in {video.folder}, where the video begins", READERS)
    if file.startswith("/"):
        found.add(ABSOLUTE, path, line, f"{name}: {file}")
    match = _NUMBERED.search(file)
    number = int(match[1]) if match else -1
    try:
        frame = int(frame_id)
    except ValueError:
        found.add(FRAME_ID, path, line, f"{name}: frame_id {frame_id!r} is no whole number", READERS)
        video.number = number
        return
    begins = video.frames == 1
    if begins and (frame not in (0, 1) or number > 1):
        found.add(GAP, path, line, f"{name} begins with frame_id {frame} and file {os.path.basename(file)}", READERS)
    elif not begins:
        _step(path, line, name, (video.frame, frame), (video.number, number), found)
    video.frame, video.number = frame, number


def _step(path: Path, line: int, name: str, frame: tuple[int, int], number: tuple[int, int], found: Findings) -> None:
    for what, (before, here) in (("frame_id", frame), ("file number", number)):
        if -1 in (before, here) and what == "file number":
            continue
        if here <= before:
            found.add(UNSORTED, path, line, f"{name}: {what} {here} comes after {before}", READERS)
            return
        if here > before + 1:
            found.add(GAP, path, line, f"{name}: {what} {here} comes after {before}", READERS)
            return


class _Files:
    """The files of one video: those in the list beside those in the folder."""

    def __init__(self, path: Path, name: str, video: Listed, file: str, folders: FrameFolders, found: Findings) -> None:
        self._path, self._name, self._video, self._found = path, name, video, found
        self._base = folders.base_of(file)
        folder = self._base / os.path.dirname(file)
        self._prefix = os.path.dirname(file)
        self._there = folders.scan(folder)
        self._listed: set[str] = set()
        if self._there is None:
            told = f"{name}: {folder} is not there"
            found.add(FOLDER_MISSING, path, video.line, told, READERS)

    def take(self, line: int, file: str) -> None:
        """A row."""
        if self._there is None:
            return
        folder, name = os.path.split(file)
        if folder == self._prefix:
            self._listed.add(name)
            there = name in self._there
        else:
            there = (self._base / file).is_file()
        if not there:
            self._found.add(FILE_MISSING, self._path, line, f"{self._name}: {file} is not there", READERS)

    def close(self) -> None:
        """The rows of the video have ended."""
        if self._there is None or self._video.frames != len(self._listed):
            return
        more = sorted(name for name in self._there - self._listed if _NUMBERED.search(name))
        if more:
            told = f"{self._name}: {more[0]} is in the folder and not in the list"
            self._found.add(UNLISTED, self._path, self._video.line, told, READERS, len(more))
