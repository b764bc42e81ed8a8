"""The folder of a labelled set: opened, read, written atomically, held by one writer at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError, disk_errors
from vidbench.formats.framelist import read_lines, save_lines
from vidbench.formats.labelset import (
    Row,
    SetFile,
    SetVideo,
    TrackPath,
    dump_paths,
    dump_rows,
    dump_set,
    parse_paths,
    parse_rows,
    parse_set,
)
from vidbench.records import lock_file
from vidbench.runs import read_json, write_json_atomic

SET = "set.json"
TRACKS = "tracks.jsonl"
PATHS = "paths.jsonl"
KEYFRAMES = "keyframes"
VIDEOS = "videos"
EXPORT = "ava"

_UNSAFE = re.compile("[^A-Za-z0-9_-]+")
_LONGEST = 80


@dataclass(frozen=True)
class LabelSet:
    """A set in its folder:

    ```
    set.json                            actions, videos, settings
    videos/ID/tracks.jsonl              the persons at the keyframes: the truth that people edit
    videos/ID/paths.jsonl               where the tracks were in between
    videos/ID/keyframes/000002.jpg      the picture of second 2
    ava/                                made from them
    ```

    Attributes:
        folder: The folder.
    """

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> LabelSet:
        """A set that is there.

        Raises:
            InputError: The folder holds none.
        """
        if not (folder / SET).is_file():
            raise InputError(
                f"{folder}: no labelled set ({SET} is missing)",
                f"Make one: vidbench label detect-track VIDEO... --out {folder}",
            )
        return cls(folder)

    def load(self) -> SetFile:
        """What `set.json` says.

        Raises:
            InputError: It is malformed.
        """
        path = self.folder / SET
        return parse_set(read_json(path), path)

    def save(self, content: SetFile) -> None:
        """Write `set.json`, whole or not at all."""
        write_json_atomic(self.folder / SET, dump_set(content))

    def home(self, video: str) -> Path:
        """The folder of a video."""
        return self.folder / VIDEOS / video

    def rows(self, video: str) -> tuple[Row, ...]:
        """The persons of a video, by second and person.

        Raises:
            InputError: The file is missing or malformed.
        """
        path = self.home(video) / TRACKS
        return parse_rows(read_lines(path), path)

    def save_rows(self, video: str, rows: Iterable[Row]) -> None:
        """Write the persons of a video, whole or not at all."""
        save_lines(self.home(video) / TRACKS, dump_rows(rows))

    def paths(self, video: str) -> tuple[TrackPath, ...]:
        """Where the tracks of a video were between the keyframes; none where the file is not there.

        Raises:
            InputError: The file is malformed.
        """
        path = self.home(video) / PATHS
        return parse_paths(read_lines(path), path) if path.exists() else ()

    def save_paths(self, video: str, paths: Iterable[TrackPath]) -> None:
        """Write where the tracks of a video were."""
        save_lines(self.home(video) / PATHS, dump_paths(paths))

    def keyframe(self, video: str, second: int) -> Path:
        """The JPEG file of a keyframe."""
        return self.home(video) / KEYFRAMES / f"{second:06d}.jpg"

    def file(self, video: SetVideo) -> Path:
        """The video file; a relative name starts from the set's folder. It may have been moved away."""
        return self.folder / video.file

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only one who writes.

        Raises:
            RunConflictError: Another process does.
        """
        lock = self.folder / ".vidbench" / "set.lock"
        with disk_errors(lock):
            lock.parent.mkdir(exist_ok=True)
        with lock_file(lock, f"another process is working on {self.folder}"):
            yield


def safe_id(stem: str, taken: Iterable[str]) -> str:
    """A name for a video that all readers of AVA files take, and that none of `taken` is, letter case apart.

    Letters, digits, `_` and `-` stay; anything else becomes one `_`. A number is added where the name is taken.
    """
    held = {one.casefold() for one in taken}
    base = _UNSAFE.sub("_", stem).strip("_")[:_LONGEST] or "video"
    name, number = base, 2
    while name.casefold() in held:
        name, number = f"{base}_{number}", number + 1
    return name
