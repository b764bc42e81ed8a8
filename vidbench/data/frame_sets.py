"""The videos of a frame list, each as the place of its rows: a list of millions of frames takes no memory."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError
from vidbench.formats.framelist import HEADER, parse_frames
from vidbench.formats.kinetics import SHOWN_PROBLEMS, line_errors
from vidbench.video.clip import VideoError


@dataclass(frozen=True, slots=True)
class FrameRows:
    """Where the rows of one video are in a frame list, so that they can be read when the video is opened.

    Attributes:
        source: The frame list, absolute.
        root: The folder that its paths start from, absolute.
        offset: The first row's first byte.
        size: Bytes of all rows.
        count: Rows, which is frames.
        crc: Of those bytes: rows that changed since are noticed.
    """

    source: str
    root: str
    offset: int
    size: int
    count: int
    crc: int

    def files(self) -> tuple[str, ...]:
        """The images in the order of the rows, which is that of time, absolute.

        Raises:
            VideoError: The frame list is gone, or these rows of it changed.
        """
        return tuple(os.path.join(self.root, line.split(" ")[3]) for line in self._lines())

    def labels(self) -> tuple[tuple[int, ...], ...]:
        """The classes of each frame, in the same order.

        Raises:
            VideoError: As of `files`.
        """
        cells = (line.rpartition(" ")[2].strip('"') for line in self._lines())
        return tuple(tuple(map(int, cell.split(","))) if cell else () for cell in cells)

    def _lines(self) -> list[str]:
        try:
            with open(self.source, "rb") as stream:
                stream.seek(self.offset)
                data = stream.read(self.size)
        except OSError as error:
            raise VideoError(f"the frame list {self.source} cannot be read: {error.strerror}") from None
        if zlib.crc32(data) != self.crc:
            raise VideoError(f"the frame list {self.source} changed since it was read")
        # the checksum holds, so these are the rows that were understood before
        return [line.removesuffix("\r") for line in data.decode().removesuffix("\n").split("\n")]


@dataclass(frozen=True, slots=True)
class FrameVideo:
    """One video of a frame list.

    Attributes:
        name: As the first column writes it.
        line: Its first row's line, from 1.
        first: The first row's path, as written.
        labels: All classes of its rows, ascending: what PySlowFast's test compares with.
        offset: The first row's first byte.
        size: Bytes of all rows.
        count: Rows, which is frames.
        crc: Of those bytes.
    """

    name: str
    line: int
    first: str
    labels: tuple[int, ...]
    offset: int
    size: int
    count: int
    crc: int


def is_frame_list(source: Path) -> bool:
    """Whether a file begins as a frame list does: with the first word of its header."""
    try:
        # a pipe can be read once only, and not from here
        if not stat.S_ISREG(source.stat().st_mode):
            return False
        with source.open("rb") as stream:
            first, blank, _ = stream.readline(len(HEADER) + 2).partition(b" ")
    except OSError:
        return False
    return bool(blank) and first == HEADER.split(" ")[0].encode()


def read_frame_list(source: Path) -> tuple[tuple[FrameVideo, ...], str]:
    """The videos of a frame list in its order, and the sha256 of its bytes in hex; read once, row by row.

    Raises:
        InputError: It cannot be read, is malformed, has no row, or the rows of a video do not follow each other.
    """
    scan = _Scan(source)
    videos = tuple(scan.videos())
    if not videos:
        raise InputError(f"{source}: the frame list has no row after its header", "Give a list with frames.")
    return videos, scan.hash.hexdigest()


class _Scan:
    """One pass over a frame list that knows at which byte it is."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.hash = hashlib.sha256()
        self._line = b""
        self._number = 0
        self._end = 0

    def videos(self) -> Iterator[FrameVideo]:
        begun: dict[str, int] = {}
        problems: list[tuple[int, str]] = []
        name = first = ""
        start = offset = count = crc = 0
        labels: set[int] = set()
        for row in parse_frames(self._lines(), self.source):
            if row.name != name:
                if count:
                    here = self._end - len(self._line)
                    yield FrameVideo(name, start, first, tuple(sorted(labels)), offset, here - offset, count, crc)
                if row.name in begun:
                    problems.append((self._number, f"{row.name} goes on here; it began at line {begun[row.name]}"))
                    if len(problems) > SHOWN_PROBLEMS:
                        break
                name, first, start = row.name, row.path, self._number
                offset, count, crc = self._end - len(self._line), 0, 0
                labels = set()
                begun.setdefault(name, start)
            count += 1
            crc = zlib.crc32(self._line, crc)
            labels.update(row.labels)
        if problems:
            raise line_errors(self.source, problems, "Sort the list so that the rows of a video follow each other.")
        if count:
            yield FrameVideo(name, start, first, tuple(sorted(labels)), offset, self._end - offset, count, crc)

    def _lines(self) -> Iterator[str]:
        try:
            with self.source.open("rb") as stream:
                for line in stream:
                    self.hash.update(line)
                    self._line = line
                    self._number += 1
                    self._end += len(line)
                    yield line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.source}:{self._number}: not UTF-8: {error.reason}", "Save the file as UTF-8 text."
            ) from error
        except OSError as error:
            raise InputError(f"{self.source}: cannot be read: {error.strerror}") from error
