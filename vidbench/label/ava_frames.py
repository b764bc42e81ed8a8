"""The frames of the parts of an AVA export: made where they are missing, each folder at once, with a ledger."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidbench.data.frames import frame_name
from vidbench.data.jobs import PART, default_jobs, work_off
from vidbench.errors import disk_errors
from vidbench.formats.labelset import SetVideo
from vidbench.label.parts import Part
from vidbench.ledger import OK, Ledger
from vidbench.progress import Reporter
from vidbench.records import Json
from vidbench.video.clip import UnusableError
from vidbench.video.jpeg import JpegOptions, write_jpegs
from vidbench.video.steady import GRID_FPS

FRAMES = "frames"
RAWFRAMES = "rawframes"
CHANGED = "changed"
"""The reason of a video that is not the one that the set was made of."""

_LINKS = f"{RAWFRAMES}/"


@dataclass(frozen=True)
class PartFrames:
    """A part and where its frames come from and go to.

    Attributes:
        part: The part.
        source: The video file.
        size_bytes: Of the video file when the set was made.
        folder: The folder of its frames.
        short_side: Pixels of the shorter side; None keeps the size.
        quality: libav's qscale.
        threads: Threads that decode, and as many that encode.
    """

    part: Part
    source: Path
    size_bytes: int
    folder: Path
    short_side: int | None
    quality: int
    threads: int = 1

    @property
    def key(self) -> str:
        """The part's name."""
        return self.part.id

    @property
    def name(self) -> str:
        """The video file."""
        return str(self.source)


@dataclass(frozen=True)
class FailedPart:
    """A part without frames.

    Attributes:
        id: The export's name of it.
        video: The set's name of the video.
        source: The video file.
        reason: One word.
        detail: Why, in a few words.
    """

    id: str
    video: str
    source: str
    reason: str
    detail: str


@dataclass(frozen=True)
class FramesMade:
    """What became of the frames.

    Attributes:
        made: Parts whose frames this call made.
        frames: Files of all parts that have frames.
        bytes: Of all these files.
        failed: The parts that have none.
    """

    made: int
    frames: int
    bytes: int
    failed: tuple[FailedPart, ...]


def plan_frames(
    parts: Sequence[tuple[Part, SetVideo, Path]], out: Path, *, short_side: int | None, quality: int, jobs: int
) -> list[PartFrames]:
    """What is to be made: parts with their videos and files, in an export's folder."""
    cores = default_jobs()
    threads = max(1, math.ceil(cores / max(1, min(jobs or cores, len(parts)))))
    return [
        PartFrames(part, file, video.size_bytes, out / FRAMES / part.id, short_side, quality, threads)
        for part, video, file in parts
    ]


def make_frames(ledger: Ledger, wanted: Sequence[PartFrames], jobs: int, reporter: Reporter) -> FramesMade:
    """Make the frames of all parts that have none yet; a part that fails leaves no folder.

    The caller holds the ledger, and nothing else in the folder of frames is anybody's but ours.

    Raises:
        MissingError: The disk is full.
    """
    left = {one.key for one in wanted if not _is_done(one, ledger.records.get(one.key))}
    if wanted:
        home = wanted[0].folder.parent
        with disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
    work_off(
        ledger,
        # the longest first, so that no core waits for it at the end
        sorted(wanted, key=lambda one: -one.part.pictures),
        _extract,
        jobs=jobs,
        reporter=reporter,
        title="frames",
        is_done=lambda record: record["key"] not in left,
    )
    records = [ledger.records[one.key] for one in wanted]
    failed = [
        FailedPart(one.key, one.part.video, one.name, record["reason"], record["detail"])
        for one, record in zip(wanted, records, strict=True)
        if record["reason"] != OK
    ]
    good = [record for record in records if record["reason"] == OK]
    return FramesMade(
        len(left) - sum(one.id in left for one in failed),
        sum(record["frames"] for record in good),
        sum(record["bytes"] for record in good),
        tuple(failed),
    )


def link_rawframes(ledger: Ledger, parts: Iterable[PartFrames], out: Path, reporter: Reporter) -> int:
    """Give the frames MMAction2's names, `rawframes/<id>/img_00001.jpg`, as further names of the same files.

    Gives how many files were copied, where the disk does not know hard links.
    """
    parts = list(parts)
    copied = 0
    with reporter.task("rawframes", len(parts), "videos") as task:
        for one in parts:
            made = ledger.records[one.key]["time"]
            folder = out / RAWFRAMES / one.key
            record = ledger.records.get(_LINKS + one.key, {})
            if record.get("of") != made or _count(folder) != one.part.pictures:
                copied += _link(one, folder)
                detail = {"reason": OK, "detail": "", "of": made}
                ledger.append({"key": _LINKS + one.key, "name": str(folder), **detail})
            task.advance(1)
    return copied


def remove_strangers(ledger: Ledger, known: Iterable[str], out: Path) -> list[str]:
    """Remove frames that this export made of videos which are no longer in the set; gives their folders."""
    held = set(known)
    gone = []
    for key in ledger.records:
        home, name = (RAWFRAMES, key.removeprefix(_LINKS)) if key.startswith(_LINKS) else (FRAMES, key)
        folder = out / home / name
        if name not in held and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
            gone.append(f"{home}/{name}")
    return gone


def sweep_halves(out: Path) -> None:
    """Remove the folders that a killed export left half made."""
    for home in (out / FRAMES, out / RAWFRAMES):
        if home.is_dir():
            with os.scandir(home) as entries:
                halves = [entry.path for entry in entries if entry.name.endswith(PART)]
            for path in halves:
                shutil.rmtree(path, ignore_errors=True)


def _extract(one: PartFrames) -> Json:
    """The frames of a part, in a worker process; its record."""
    half = _half(one.folder)
    part = one.part
    record: Json = {"video": part.video, "from_s": part.from_s, "pictures": part.pictures, "frames": 0, "bytes": 0}
    record |= {"source_bytes": one.size_bytes}
    if one.source.is_file() and one.source.stat().st_size != one.size_bytes:
        return {**record, "reason": CHANGED, "detail": "another file than the set was made of: its size differs"}
    options = JpegOptions(
        fps=Fraction(GRID_FPS),
        from_s=Fraction(part.from_s),
        to_s=part.to_s,
        short_side=one.short_side,
        quality=one.quality,
        threads=one.threads,
    )
    with disk_errors(one.folder):
        try:
            half.mkdir()
            written = write_jpegs(one.source, half, lambda number: frame_name("ava", one.key, number), options)
            if written.frames != part.pictures:
                detail = f"{written.frames} frames where the set tells of {part.pictures}"
                return {**record, "reason": CHANGED, "detail": detail}
            if one.folder.exists():
                shutil.rmtree(one.folder)
            half.rename(one.folder)
        except UnusableError as error:
            return {**record, "reason": error.reason, "detail": str(error)}
        finally:
            shutil.rmtree(half, ignore_errors=True)
    size = {"width": written.width, "height": written.height}
    return {**record, "reason": OK, "detail": "", "frames": written.frames, "bytes": written.bytes, **size}


def _is_done(one: PartFrames, record: Json | None) -> bool:
    """Whether a record says so of the same seconds of the same video, and its files are there."""
    if record is None or record["reason"] != OK:
        return False
    asked = {
        "video": one.part.video,
        "from_s": one.part.from_s,
        "pictures": one.part.pictures,
        "source_bytes": one.size_bytes,
    }
    return all(record.get(name) == value for name, value in asked.items()) and _count(one.folder) == record["frames"]


def _link(one: PartFrames, folder: Path) -> int:
    half = _half(folder)
    copied = 0
    with disk_errors(folder):
        try:
            half.mkdir(parents=True)
            for number in range(1, one.part.pictures + 1):
                frame = one.folder / frame_name("ava", one.key, number)
                name = half / frame_name("mmaction2", one.key, number)
                try:
                    os.link(frame, name)
                except OSError:
                    shutil.copyfile(frame, name)
                    copied += 1
            if folder.exists():
                shutil.rmtree(folder)
            half.rename(folder)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return copied


def _half(folder: Path) -> Path:
    # of this process alone: the worker of a killed run may live on for a moment
    return folder.with_name(f"{folder.name}.{os.getpid()}{PART}")


def _count(folder: Path) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return -1
