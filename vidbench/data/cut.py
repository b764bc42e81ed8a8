"""Cut and scale videos: spans or whole videos, in several processes, resumable."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.dataset import read_clips
from vidbench.data.folders import VIDEO_ENDINGS, videos_below
from vidbench.data.jobs import PART, sweep, work_off
from vidbench.errors import InputError, UsageError, disk_errors
from vidbench.formats.spans import SpanRow, load_spans
from vidbench.ledger import FOLDER, Ledger
from vidbench.progress import Reporter, SilentReporter
from vidbench.records import Json
from vidbench.runs import content_hash, write_text_atomic
from vidbench.video.clip import UnusableError
from vidbench.video.cut import Coding, Engine, Mode, Span, cut
from vidbench.video.ffmpeg import require_ffmpeg

AVA = Span(900.0, 1801.0)
"""The part of AVA's films that is annotated, as `ffmpeg -ss 900 -t 901` of its preparation cuts it."""
DONE = ("ok", "short")
"""Reasons of records with a file."""

_JOB = "cut"
_CLAIMS = "cut.claims"
_SHOWN = 5

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]  # fmt: skip


class CutRequest(BaseModel):
    """What to cut.

    Attributes:
        sources: Lists of `path label`, videos, and folders of videos.
        out: Where the cuts go; not with `replace`.
        start_s: Where the span begins in each video; None is its start.
        end_s: Where it ends; None is its end.
        spans: "ava", or a file of spans; not with `start_s` and `end_s`.
        short_side: Pixels of the shorter side, even; None keeps the size.
        fps: Frames per second; None keeps every frame and its time.
        mode: "smart" copies whole groups of pictures where a stream allows it.
        engine: What encodes: "pyav" in this process, or the "ffmpeg" command line.
        replace: Text of a path as it is listed, and what stands in its place in the path of the cut.
        crf: x264's constant rate factor.
        preset: x264's speed preset.
        audio: Whether the sound is copied.
        jobs: Processes; 0 is one per core.
        root: Folder of a list's relative paths.
        overwrite: Replace files that the job has not made, and what it made with other settings.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Path, ...] = Field(min_length=1)
    out: Path | None = None
    start_s: float | None = None
    end_s: float | None = None
    spans: str | None = None
    short_side: int | None = None
    fps: Fraction | None = None
    mode: Mode = "exact"
    engine: Engine = "pyav"
    replace: tuple[str, str] | None = None
    crf: int = Field(default=18, ge=0, le=51)
    preset: Preset = "fast"
    audio: bool = False
    jobs: int = Field(default=0, ge=0)
    root: Path | None = None
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """What decides the bytes of a cut."""
        named = self.spans if self.spans in (None, "ava") else "file"
        return {
            "mode": self.mode, "engine": self.engine, "short_side": self.short_side,
            "fps": None if self.fps is None else str(self.fps), "crf": self.crf, "preset": self.preset,
            "audio": self.audio, "from": self.start_s, "to": self.end_s, "spans": named,
        }  # fmt: skip


@dataclass(frozen=True)
class CutPlan:
    """What a request would do.

    Attributes:
        out: Where the cuts would go.
        videos: Videos that something is cut from.
        cuts: Cuts.
        there: How many of them have a file already, of whatever kind.
        seconds: Seconds to write, over the cuts that end at a given time; videos may end before.
        open_ended: Cuts that go to the end of their video.
        unmatched: Lines of the file of spans that name none of the videos.
        idle: Videos that no line of the file of spans names.
        free_bytes: Free space where the cuts would go.
    """

    out: Path
    videos: int
    cuts: int
    there: int
    seconds: float
    open_ended: int
    unmatched: int
    idle: int
    free_bytes: int


@dataclass(frozen=True)
class Failure:
    """A cut that was not made.

    Attributes:
        name: The cut.
        reason: One word.
        detail: What happened.
    """

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class CutResult:
    """What was done, over all runs of the job.

    Attributes:
        out: Where the cuts are.
        ledger: The file with a line for every cut.
        videos: Videos that something was cut from.
        cuts: Cuts.
        counts: Cuts by reason: "ok"; "short": made, of a video that ends before the span does; others: not made.
        failed: Cuts that were not made.
        modes: Cuts by how they were made.
        fallbacks: Why smart cuts were made exact, and how many for each reason.
        frames: Frames in all cuts.
        seconds: Seconds in all cuts.
        bytes: Size of all cuts.
        failures: The cuts that were not made.
        unmatched: Lines of the file of spans that name none of the videos.
        idle: Videos that no line of the file of spans names.
    """

    out: Path
    ledger: Path
    videos: int
    cuts: int
    counts: dict[str, int]
    failed: int
    modes: dict[str, int]
    fallbacks: dict[str, int]
    frames: int
    seconds: float
    bytes: int
    failures: tuple[Failure, ...]
    unmatched: int
    idle: int


@dataclass(frozen=True)
class Making:
    """How all cuts of a job are made."""

    coding: Coding
    mode: Mode
    engine: Engine
    sound: bool


@dataclass(frozen=True, slots=True)
class CutItem:
    """One cut.

    Attributes:
        key: 16 hex digits of the place below the folder and the span.
        name: Its place below the folder.
        source: The video, absolute.
        target: The file to make, absolute.
        span: What of the video.
        making: How.
    """

    key: str
    name: str
    source: str
    target: str
    span: Span
    making: Making


@dataclass(frozen=True, slots=True)
class _Video:
    """A video to cut from: where it is, what it is called, and where a cut that keeps its name goes."""

    path: str
    name: str
    place: str


@dataclass(frozen=True)
class _Task:
    folder: Path
    videos: int
    items: tuple[CutItem, ...]
    unmatched: tuple[SpanRow, ...]
    idle: int


def plan_cuts(request: CutRequest) -> CutPlan:
    """Say what a request would do; writes nothing.

    Raises:
        UsageError: Options that contradict each other.
        InputError: A source or the file of spans cannot be used, or two cuts would have one name.
        MissingError: No ffmpeg where it is asked for.
    """
    task = _task(request)
    ends = [(item.span.start_s, item.span.end_s) for item in task.items]
    place = task.folder
    while not place.exists():
        place = place.parent
    return CutPlan(
        out=task.folder,
        videos=task.videos,
        cuts=len(task.items),
        there=sum(os.path.exists(item.target) for item in task.items),
        seconds=round(sum(end - start for start, end in ends if end is not None), 3),
        open_ended=sum(end is None for _, end in ends),
        unmatched=len(task.unmatched),
        idle=task.idle,
        free_bytes=shutil.disk_usage(place).free,
    )


def cut_videos(request: CutRequest, reporter: Reporter | None = None) -> CutResult:
    """Make the cuts that are not made yet.

    A cut is made when the ledger says so, its file has the recorded size, and its video is the one it was made
    from by size and time of change. A file appears under its name when it is whole and has been read back.

    Raises:
        UsageError: Options that contradict each other.
        InputError: A source or the file of spans cannot be used, two cuts would have one name, or a file is in the
            way that this job has not made.
        MissingError: No ffmpeg where it is asked for, or the disk is full.
        RunConflictError: The folder holds cuts of other settings, or another process is at it.
    """
    reporter = reporter or SilentReporter()
    task = _task(request)
    if task.unmatched:
        lines = "line names" if len(task.unmatched) == 1 else "lines name"
        first = task.unmatched[0]
        reporter.warn(
            f"{request.spans}: {len(task.unmatched)} {lines} none of the videos; "
            f"the first is {request.spans}:{first.line}: {first.video}"
        )
    if task.idle:
        reporter.warn(f"{task.idle} of the videos have no span in {request.spans}")
    with Ledger.open(
        task.folder,
        _JOB,
        command="data cut",
        argv=request.argv,
        settings=request.settings(),
        overwrite=request.overwrite,
    ) as ledger:
        _claim(task, ledger, request.overwrite)
        sweep(task.folder)
        items = {item.key: item for item in task.items}
        counts = work_off(
            ledger,
            task.items,
            make_cut,
            jobs=request.jobs,
            reporter=reporter,
            title="cut",
            is_done=lambda record: _is_made(record, items[record["key"]]),
        )
        records = [ledger.records[item.key] for item in task.items]
        return _result(task, ledger.store.path, counts, records)


def make_cut(item: CutItem) -> Json:
    """Make one cut, and give its record.

    Raises:
        MissingError: The disk is full.
        InputError: The folder cannot be written.
    """
    started = time.monotonic()
    source, target = Path(item.source), Path(item.target)
    record: Json = {"engine": item.making.engine, "source": item.source, "target": item.name}
    record |= {"start_s": item.span.start_s, "end_s": item.span.end_s}
    part = target.with_name(target.name + PART)
    try:
        with disk_errors(target):
            record |= _state(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            made = cut(
                source, item.span, part, item.making.coding,
                name=target.name, mode=item.making.mode, engine=item.making.engine, sound=item.making.sound,
            )  # fmt: skip
            size, digest = part.stat().st_size, _sha256(part)
            part.replace(target)
    except UnusableError as error:
        with disk_errors(target):
            # an earlier cut of a video that cannot be cut any more
            target.unlink(missing_ok=True)
        return {"reason": error.reason, "detail": str(error), **record}
    except OSError as error:
        return {"reason": "tool", "detail": f"{error.strerror or error}", **record}
    return {
        "reason": "short" if made.short else "ok",
        "detail": made.short,
        "mode": made.mode,
        "why": made.why,
        **record,
        "frames": made.frames,
        "fps": str(made.fps),
        "width": made.width,
        "height": made.height,
        "duration_s": round(made.duration_s, 6),
        "sound": made.sound,
        "bytes": size,
        "sha256": digest,
        "seconds": round(time.monotonic() - started, 3),
    }


def span_name(stem: str, span: Span) -> str:
    """The file name of one of several spans of a video: Kinetics' `<stem>_<start>_<end>.mp4`.

    Whole seconds have six digits, others also milliseconds.

    Example: 0wR5jVB-WPk_000417_000427.mp4, x_000001.500_000002.mp4.
    """
    assert span.end_s is not None
    return f"{stem}_{_stamp(span.start_s)}_{_stamp(span.end_s)}.mp4"


def _stamp(seconds: float) -> str:
    return f"{int(seconds):06d}" if seconds == int(seconds) else f"{seconds:010.3f}"


def _state(source: Path) -> Json:
    """Size and time of change by which a video is known again."""
    try:
        status = source.stat()
    except FileNotFoundError:
        raise UnusableError("missing", "no such file") from None
    return {"source_bytes": status.st_size, "source_mtime_ns": status.st_mtime_ns}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_made(record: Json, item: CutItem) -> bool:
    if record["reason"] not in DONE or record.get("source") != item.source:
        return False
    try:
        source, target = os.stat(item.source), os.stat(item.target)
    except OSError:
        return False
    held = (record.get("source_bytes"), record.get("source_mtime_ns"), record.get("bytes"))
    return held == (source.st_size, source.st_mtime_ns, target.st_size)


def _claim(task: _Task, ledger: Ledger, overwrite: bool) -> None:
    """Refuse files that are in the way, and note the names that will be this job's.

    A process that is killed between a file's appearance and its record leaves a file that no record tells of:
    the note says whose it is.
    """
    notes = task.folder / FOLDER / _CLAIMS
    try:
        claimed = set(notes.read_text().split())
    except FileNotFoundError:
        claimed = set()
    foreign = [
        item.target
        for item in task.items
        if item.key not in claimed
        and ledger.records.get(item.key, {}).get("reason") not in DONE
        and os.path.lexists(item.target)
    ]
    if foreign and not overwrite:
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise InputError(
            f"files are in the way that this job has not made: {', '.join(foreign[:_SHOWN])}{more}",
            "Give another folder, or --overwrite to replace them.",
        )
    keys = claimed | {item.key for item in task.items}
    if keys != claimed:
        write_text_atomic(notes, "".join(f"{key}\n" for key in sorted(keys)))


def _result(task: _Task, ledger: Path, counts: dict[str, int], records: Sequence[Json]) -> CutResult:
    made = [record for record in records if record["reason"] in DONE]
    failed = [record for record in records if record["reason"] not in DONE]
    why = Counter(record["why"] for record in made if record["why"])
    return CutResult(
        out=task.folder,
        ledger=ledger,
        videos=task.videos,
        cuts=len(records),
        counts=counts,
        failed=len(failed),
        modes=dict(Counter(record["mode"] for record in made).most_common()),
        fallbacks=dict(why.most_common()),
        frames=sum(record["frames"] for record in made),
        seconds=round(sum(record["duration_s"] for record in made), 3),
        bytes=sum(record["bytes"] for record in made),
        failures=tuple(Failure(record["name"], record["reason"], record.get("detail", "")) for record in failed),
        unmatched=len(task.unmatched),
        idle=task.idle,
    )


def _task(request: CutRequest) -> _Task:
    """All cuts of a request, checked against each other."""
    _refuse_options(request)
    if request.engine == "ffmpeg":
        require_ffmpeg()
    folders: list[str] = []
    videos = [video for source in request.sources for video in _videos(source, request, folders)]
    folder = Path(os.path.commonpath(folders)) if request.out is None else request.out.absolute()
    if folder == Path(folder.anchor):
        raise InputError("the cuts have no folder in common but /", "Cut one tree at a time.")
    if any(place.exists() and not place.is_dir() for place in (folder, *folder.parents)):
        raise InputError(f"{folder}: not a folder", "Give another --out.")
    making = Making(
        Coding(request.short_side, request.fps, request.crf, request.preset),
        request.mode,
        request.engine,
        request.audio,
    )
    unmatched: tuple[SpanRow, ...] = ()
    idle = 0
    named: Iterable[tuple[_Video, Span, str]]
    if request.spans is None:
        span = Span(request.start_s or 0.0, request.end_s)
        named = ((video, span, video.place) for video in videos)
    elif request.spans == "ava":
        named = ((video, AVA, video.place) for video in videos)
    else:
        rows = load_spans(Path(request.spans))
        matched, unmatched = _match(rows, videos, request.spans)
        if not matched:
            raise InputError(
                f"{request.spans}: no line names one of the {len(videos)} videos; the first line has {rows[0].video!r}",
                f"A video is named by its file name, with or without its ending, as {videos[0].name}.",
            )
        idle = len(videos) - len({video.path for video, _ in matched})
        named = [(video, _row_span(row), _row_place(video, row)) for video, row in matched]
    items = tuple(
        CutItem(
            key=content_hash([os.path.relpath(place, folder), span.start_s, span.end_s])[:16],
            name=os.path.relpath(place, folder),
            source=video.path,
            target=place,
            span=span,
            making=making,
        )
        for video, span, place in named
    )
    _refuse_clashes(items)
    return _Task(folder, len({item.source for item in items}), items, unmatched, idle)


def _refuse_options(request: CutRequest) -> None:
    if (request.out is None) == (request.replace is None):
        raise UsageError(
            "where do the cuts go? Either --out DIR or --replace OLD NEW is needed, and not both",
            "As --out cut, or --replace /val/ /val_256/ for a list.",
        )
    if request.replace is not None and (not request.replace[0] or request.replace[0] == request.replace[1]):
        raise UsageError("--replace needs a text to replace, and another one to put in its place", "")
    for option, value in (("--from", request.start_s), ("--to", request.end_s)):
        if value is not None and (not math.isfinite(value) or value < 0):
            raise UsageError(f"{option} {value:g}: not a time in a video", "Give seconds, 0 or more.")
    if request.end_s is not None and request.end_s <= (request.start_s or 0.0):
        raise UsageError(f"--to {request.end_s:g} is not after --from {request.start_s or 0:g}", "")
    if request.spans is not None and (request.start_s is not None or request.end_s is not None):
        raise UsageError("--spans and --from or --to say the same thing twice", "Give one of them.")
    if request.short_side is not None and (request.short_side < 16 or request.short_side % 2):
        raise UsageError(
            f"--short-side {request.short_side}: give an even number of pixels, 16 or more",
            "H.264 stores colours for blocks of two by two pixels.",
        )
    if request.fps is not None and not 0 < request.fps <= 1000:
        raise UsageError(f"--fps {request.fps}: give a rate above 0 and up to 1000", "As 25, 29.97 or 30000/1001.")


def _videos(source: Path, request: CutRequest, folders: list[str]) -> Iterator[_Video]:
    """The videos of one source; with --replace, also the folders that the cuts go to."""
    if source.is_dir():
        found, _ = videos_below(source, request.out)
        named = [(str((source / below).absolute()), str(source / below), below) for below in found]
    elif source.suffix.lower() in VIDEO_ENDINGS:
        if not source.is_file():
            raise InputError(f"{source}: no such file", "Give videos, folders of videos, or a list of `path label`.")
        named = [(str(source.absolute()), str(source), source.name)]
    else:
        clips = read_clips(source, request.root, labelled=False, kinds=("videos",))
        for clip in clips.items:
            if request.replace is None:
                yield _video(str(clip.path), clip.name, str(_below(request.out, _kept(clip.name))))
            else:
                target, folder = _replaced(clip.name, request.replace, f"{source}:{clip.line}: ")
                folders.append(os.path.normpath(os.path.join(clips.root, folder)))
                yield _video(str(clip.path), clip.name, os.path.normpath(os.path.join(clips.root, target)))
        return
    for path, name, below in named:
        if request.replace is None:
            yield _video(path, name, str(_below(request.out, below)))
        else:
            target, folder = _replaced(name, request.replace, "")
            folders.append(os.path.abspath(folder))
            yield _video(path, name, os.path.abspath(target))


def _video(path: str, name: str, place: str) -> _Video:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name!r}: the name is not UTF-8", "Rename the file.") from None
    return _Video(path, name, place)


def _below(out: Path | None, place: str) -> Path:
    assert out is not None
    return out.absolute() / place


def _kept(name: str) -> str:
    """Where a listed path lies below the folder: as it is written, or, where that would lead out, folder and name."""
    place = os.path.normpath(name)
    if place.startswith("/") or ".." in place.split("/"):
        return "/".join([part for part in place.split("/") if part not in ("", "..")][-2:])
    return place


def _replaced(name: str, replace: tuple[str, str], where: str) -> tuple[str, str]:
    """A path with the text replaced, and the folder in it that the replaced text names."""
    old, new = replace
    if old not in name:
        raise InputError(
            f"{where}the path {name} does not contain {old}", "Give a part that every path has, with --replace OLD NEW."
        )
    target = name.replace(old, new)
    after = len(target) - (len(name) - name.rindex(old) - len(old))
    if not target[:after].endswith("/"):
        after = target.find("/", after) + 1 or target.rfind("/") + 1
    return target, target[:after] or "."


def _match(
    rows: Sequence[SpanRow], videos: Sequence[_Video], source: str
) -> tuple[list[tuple[_Video, SpanRow]], tuple[SpanRow, ...]]:
    """Which video each row means: by path, file name, or file name without its ending."""
    known: dict[str, dict[str, _Video]] = {}
    for video in videos:
        path = Path(video.name)
        for name in {video.name, path.name, path.stem}:
            known.setdefault(name, {})[video.path] = video
    matched, unmatched = [], []
    for row in rows:
        fitting = list(known.get(row.video, {}).values())
        if len(fitting) > 1:
            raise InputError(
                f"{source}:{row.line}: {row.video} may be {fitting[0].name} or {fitting[1].name}",
                "Name the video by its file name with the ending, or by its whole path.",
            )
        if fitting:
            matched.append((fitting[0], row))
        else:
            unmatched.append(row)
    return matched, tuple(unmatched)


def _row_span(row: SpanRow) -> Span:
    return Span(row.start_s, row.end_s)


def _row_place(video: _Video, row: SpanRow) -> str:
    home, stem = os.path.dirname(video.place), Path(video.place).stem
    if not row.name:
        return os.path.join(home, span_name(stem, _row_span(row)))
    return os.path.join(home, row.name if Path(row.name).suffix.lower() in VIDEO_ENDINGS else f"{row.name}.mp4")


def _refuse_clashes(items: Sequence[CutItem]) -> None:
    sources = {os.path.realpath(item.source) for item in items}
    taken: dict[str, CutItem] = {}
    real: Callable[[str], str] = _Real()
    for item in items:
        held = taken.setdefault(item.target, item)
        if held is not item:
            told = " and ".join(f"{one.source} ({_told(one.span)})" for one in (held, item))
            raise InputError(f"two cuts would be {item.target}: {told}", "Rename one, or cut them into two folders.")
        if real(item.target) in sources:
            raise InputError(
                f"{item.target} is a video that is read: cutting it would destroy it", "Give another folder."
            )


class _Real:
    """Paths with links followed; asks the disk once per folder."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        head, _, name = path.rpartition("/")
        if head not in self._folders:
            self._folders[head] = os.path.realpath(head or "/")
        place = os.path.join(self._folders[head], name)
        return os.path.realpath(place) if os.path.islink(place) else place


def _told(span: Span) -> str:
    if span.end_s is None:
        return f"from {span.start_s:g} s" if span.start_s else "whole"
    return f"{span.start_s:g} to {span.end_s:g} s"
