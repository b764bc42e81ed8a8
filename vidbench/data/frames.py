"""Turn videos into folders of JPEG frames, and into the frame list that PySlowFast reads."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vidbench.data.dataset import read_clips
from vidbench.data.folders import VIDEO_ENDINGS, videos_below
from vidbench.data.jobs import PART, default_jobs, work_off
from vidbench.errors import InputError, RunConflictError, UsageError, disk_errors
from vidbench.formats.framelist import FrameLine, name_problem, save_frames
from vidbench.ledger import FOLDER, OK, Ledger, count_reasons
from vidbench.progress import Reporter, SilentReporter
from vidbench.records import Json
from vidbench.runs import content_hash
from vidbench.video.clip import UnusableError
from vidbench.video.jpeg import FINEST, JpegOptions, write_jpegs

JOB = "frames"
SHORT = "short"
"""The reason of a video that ends before --to; it has the frames that there are."""
SOURCE = "source"
"""The rate that keeps every frame."""

_LONGEST_NAME = 235
_SHOWN = 3

Layout = Literal["ava", "mmaction2"]


class FramesRequest(BaseModel):
    """What to extract.

    Attributes:
        sources: Videos, folders of videos, or lists of `path label`.
        out: The folder of the frames; each video gets a folder of its name in it.
        fps: Frames a second as "30" or "30000/1001"; "source" or "0" keeps every frame of the source.
        from_s: Where the span begins, in seconds from the start of the video; None is the start.
        to_s: Where it ends, not included; None is the end.
        short_side: Pixels of the shorter side; None keeps the size.
        quality: As FFmpeg's `-q:v`, 1 (best, the same as 2) to 31.
        layout: "ava": `<id>/<id>_000001.jpg`; "mmaction2": `<id>/img_00001.jpg`.
        frame_list: Where to write the frame list; None writes none.
        jobs: Videos at a time; 0 is one per core.
        root: The folder that relative paths of a list start from.
        overwrite: Make again what was made with other settings, and replace folders of frames from elsewhere.
        dry_run: Only say what would be done.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Path, ...] = Field(min_length=1)
    out: Path
    fps: str = "30"
    from_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    to_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    short_side: int | None = Field(default=None, ge=16, le=8192)
    quality: int = Field(default=1, ge=1, le=31)
    layout: Layout = "ava"
    frame_list: Path | None = None
    jobs: int = Field(default=0, ge=0)
    root: Path | None = None
    overwrite: bool = False
    dry_run: bool = False
    argv: tuple[str, ...] = ()

    @field_validator("fps")
    @classmethod
    def _rate_text(cls, text: str) -> str:
        if text in (SOURCE, "0"):
            return SOURCE
        try:
            rate = Fraction(text)
        except (ValueError, ZeroDivisionError):
            raise ValueError("a rate is a number as 30 or 30000/1001, or `source`") from None
        if not 0 < rate <= 1000:
            raise ValueError("a rate is more than 0 and at most 1000")
        return str(rate)

    @property
    def rate(self) -> Fraction | None:
        """Frames a second; None keeps every frame."""
        return None if self.fps == SOURCE else Fraction(self.fps)

    def settings(self) -> Json:
        """The part that decides the files of a video."""
        return {
            "fps": self.fps,
            "from_s": self.from_s or 0.0,
            "to_s": self.to_s,
            "short_side": self.short_side,
            "quality": max(self.quality, FINEST),
            "layout": self.layout,
        }


@dataclass(frozen=True)
class FailedVideo:
    """A video without frames.

    Attributes:
        id: Its name without the ending.
        source: The file.
        reason: One word.
        detail: Why, in a few words.
    """

    id: str
    source: str
    reason: str
    detail: str


@dataclass(frozen=True)
class FramesResult:
    """What was extracted.

    Attributes:
        out: The folder.
        videos: How many there are.
        made: How many of them this call extracted, or would extract.
        counts: Videos by reason, "ok" first; "short" ones have frames, too.
        frames: Files of all videos that have frames.
        bytes: Of all these files.
        failed: The videos that have none.
        frame_list: The list that was written.
        ledger: Where every video has a record.
        dry_run: Whether nothing was done.
    """

    out: Path
    videos: int
    made: int
    counts: Mapping[str, int]
    frames: int
    bytes: int
    failed: tuple[FailedVideo, ...]
    frame_list: Path | None
    ledger: Path
    dry_run: bool


@dataclass(frozen=True)
class _Video:
    key: str
    source: Path
    folder: Path
    claim: Path
    layout: Layout
    options: JpegOptions

    @property
    def name(self) -> str:
        return str(self.source)


def extract_frames(request: FramesRequest, reporter: Reporter | None = None) -> FramesResult:
    """Extract the frames of all videos that have none yet; see `write_jpegs` for which frames.

    A folder of frames appears under its name when it is whole. A video that fails leaves none.

    Raises:
        UsageError: A span that ends before it begins.
        InputError: No such source, two videos of one name, or a name that a frame list cannot hold.
        RunConflictError: A folder that this job did not make, other settings, or another process at work.
        MissingError: The disk is full.
    """
    reporter = reporter or SilentReporter()
    if request.to_s is not None and request.to_s <= (request.from_s or 0.0):
        raise UsageError(f"--to {request.to_s:g} is not after --from {request.from_s or 0:g}", "Give a later --to.")
    videos = _videos(request)
    if request.frame_list is not None:
        _refuse_unlistable(videos)
    if request.dry_run:
        ledger = Ledger.peek(request.out, JOB)
        return _result(request, ledger, videos, len(_left(ledger, videos)))
    with Ledger.open(
        request.out,
        JOB,
        command="data frames",
        argv=request.argv,
        settings=request.settings(),
        overwrite=request.overwrite,
    ) as ledger:
        left = {video.key for video in _left(ledger, videos)}
        _refuse_foreign(ledger, [video for video in videos if video.key in left], request.overwrite)
        _sweep(request.out)
        claims = _claims(request.out)
        claims.mkdir(exist_ok=True)
        work_off(
            ledger,
            # the longest first, so that no core waits for it at the end
            sorted(videos, key=lambda video: -_size(video.source)),
            _extract,
            jobs=request.jobs,
            reporter=reporter,
            title="frames",
            is_done=lambda record: record["key"] not in left,
        )
        shutil.rmtree(claims)
        if request.frame_list is not None:
            save_frames(request.frame_list, _lines(ledger, videos))
        result = _result(request, ledger, videos, len(left))
        _warn(ledger, videos, reporter)
    return result


def frame_name(layout: Layout, video: str, number: int) -> str:
    """The file of a frame in its video's folder, for its number from 1."""
    return f"{video}_{number:06d}.jpg" if layout == "ava" else f"img_{number:05d}.jpg"


def _extract(video: _Video) -> Json:
    """One video to its folder; the record of it."""
    started = time.monotonic()
    # of this process alone: the worker of a killed run may live on for a moment
    part = video.folder.with_name(f"{video.folder.name}.{os.getpid()}{PART}")
    record: Json = {"reason": OK, "detail": "", "frames": 0, "source_bytes": _size(video.source)}
    with disk_errors(video.folder):
        try:
            _remove(video.folder)
            part.mkdir()
            written = write_jpegs(
                video.source, part, lambda number: frame_name(video.layout, video.key, number), video.options
            )
            # a folder that no record tells of is ours where it has a claim
            video.claim.touch()
            _remove(video.folder)
            part.rename(video.folder)
        except UnusableError as error:
            return {**record, "reason": error.reason, "detail": str(error)}
        finally:
            shutil.rmtree(part, ignore_errors=True)
    if written.end_s is not None:
        record |= {"reason": SHORT, "detail": f"ends at {written.end_s:.3f} s"}
    return {
        **record,
        "frames": written.frames,
        "lead": written.lead,
        "fps": str(written.source_fps),
        "width": written.width,
        "height": written.height,
        "bytes": written.bytes,
        "seconds": round(time.monotonic() - started, 3),
    }


def _videos(request: FramesRequest) -> list[_Video]:
    found = list(_sources(request))
    _refuse_same_names(found)
    cores = default_jobs()
    processes = min(request.jobs or cores, len(found))
    options = JpegOptions(
        fps=request.rate,
        from_s=Fraction(str(request.from_s or 0.0)),
        to_s=None if request.to_s is None else Fraction(str(request.to_s)),
        short_side=request.short_side,
        quality=request.quality,
        threads=max(1, math.ceil(cores / processes)),
    )
    claims = _claims(request.out)
    return [
        _Video(path.stem, path, request.out / path.stem, claims / content_hash(path.stem)[:32], request.layout, options)
        for path in found
    ]


def _sources(request: FramesRequest) -> Iterator[Path]:
    for source in request.sources:
        if source.is_dir():
            yield from (source / name for name in videos_below(source, request.out)[0])
        elif not source.is_file():
            raise InputError(f"{source}: no such file or folder", "Give videos, folders of videos, or a list.")
        elif source.suffix.lower() in VIDEO_ENDINGS:
            yield source
        else:
            yield from (clip.path for clip in read_clips(source, request.root, labelled=False, kinds=("videos",)).items)


def _refuse_same_names(paths: Iterable[Path]) -> None:
    held: dict[str, Path] = {}
    for path in paths:
        try:
            length = len(str(path).encode() and path.stem.encode())
        except UnicodeEncodeError:
            raise InputError(f"{str(path)!r}: the name is not UTF-8", "Rename the file.") from None
        if path.stem.startswith(".") or path.stem.endswith(PART) or length > _LONGEST_NAME:
            raise InputError(f"{path}: its name cannot be that of a folder of frames", "Rename the file.")
        other = held.setdefault(path.stem, path)
        if other is not path:
            raise InputError(
                f"two videos have the name {path.stem}: {other} and {path}",
                "Frames lie in a folder of the video's name: rename one, or give them different --out.",
            )


def _refuse_unlistable(videos: Iterable[_Video]) -> None:
    for video in videos:
        problem = name_problem(video.key)
        if problem:
            raise InputError(
                f"{video.name!r}: its name cannot stand in a frame list: {problem}", "Rename the file, or omit --list."
            )


def _left(ledger: Ledger, videos: Iterable[_Video]) -> list[_Video]:
    return [video for video in videos if not _is_done(video, ledger.records.get(video.key))]


def _is_done(video: _Video, record: Json | None) -> bool:
    """Whether a record says so, its files are there, and the video is still the one that was read."""
    if not _has_frames(record) or record is None:
        return False
    try:
        there = len(os.listdir(video.folder))
    except OSError:
        return False
    size = _size(video.source)
    # a video that was removed after its frames were made is no reason to lose them
    return there == record["frames"] and size in (0, record["source_bytes"])


def _has_frames(record: Json | None) -> bool:
    return record is not None and record["reason"] in (OK, SHORT)


def _refuse_foreign(ledger: Ledger, videos: Iterable[_Video], overwrite: bool) -> None:
    """What is about to be removed must be frames, and ours unless it was asked for."""
    foreign = []
    for video in videos:
        if not os.path.lexists(video.folder):
            continue
        other = _other_content(video.folder)
        if other is not None:
            raise RunConflictError(
                f"{video.folder} holds something else than frames: {other}", "Move it away, or give another --out."
            )
        if not overwrite and not _has_frames(ledger.records.get(video.key)) and not video.claim.exists():
            foreign.append(video.folder)
    if foreign:
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise RunConflictError(
            f"not made by this job: {', '.join(map(str, foreign[:_SHOWN]))}{more}",
            "Give another --out, or --overwrite to replace them.",
        )


def _other_content(folder: Path) -> str | None:
    if folder.is_symlink() or not folder.is_dir():
        return "it is no folder"
    with os.scandir(folder) as entries:
        return next((entry.name for entry in entries if not entry.name.endswith(".jpg") or entry.is_dir()), None)


def _sweep(out: Path) -> None:
    """Remove what a killed run left half written; only at the top, as there may be millions of files below."""
    with os.scandir(out) as entries:
        halves = [entry.path for entry in entries if entry.name.endswith(PART) and entry.is_dir(follow_symlinks=False)]
    for path in halves:
        shutil.rmtree(path, ignore_errors=True)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _claims(out: Path) -> Path:
    return out / FOLDER / f"{JOB}.claims"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _lines(ledger: Ledger, videos: Sequence[_Video]) -> Iterator[FrameLine]:
    listed = [video for video in videos if _has_frames(ledger.records.get(video.key))]
    for number, video in enumerate(listed):
        for frame in range(ledger.records[video.key]["frames"]):
            path = f"{video.key}/{frame_name(video.layout, video.key, frame + 1)}"
            yield FrameLine(video.key, number, frame, path)


def _result(request: FramesRequest, ledger: Ledger, videos: Sequence[_Video], made: int) -> FramesResult:
    records = [ledger.records[video.key] for video in videos if video.key in ledger.records]
    good = [record for record in records if _has_frames(record)]
    failed = [
        FailedVideo(record["key"], record["name"], record["reason"], record["detail"])
        for record in records
        if not _has_frames(record)
    ]
    return FramesResult(
        out=request.out,
        videos=len(videos),
        made=made,
        counts=count_reasons(records),
        frames=sum(record["frames"] for record in good),
        bytes=sum(record["bytes"] for record in good),
        failed=tuple(failed),
        frame_list=None if request.dry_run else request.frame_list,
        ledger=request.out / FOLDER / f"{JOB}.jsonl",
        dry_run=request.dry_run,
    )


def _warn(ledger: Ledger, videos: Iterable[_Video], reporter: Reporter) -> None:
    records = [ledger.records[video.key] for video in videos]
    short = [record for record in records if record["reason"] == SHORT]
    if short:
        first = f"{short[0]['key']} {short[0]['detail']}"
        reporter.warn(f"{len(short)} of {len(records)} videos end before --to; the first: {first}")
    late = [record for record in records if record.get("lead")]
    if late:
        reporter.warn(
            f"{len(late)} of {len(records)} videos start after their container's time 0, and the first picture "
            f"stands for what is missing; the first: {late[0]['key']}, {late[0]['lead']} frames"
        )
