"""Find and follow the persons of one's own videos: the set that people then label."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vidbench.data.folders import videos_below
from vidbench.data.jobs import default_jobs, sweep
from vidbench.data.pool import Lost, each
from vidbench.errors import InputError, RunConflictError, UsageError
from vidbench.formats.labelset import SetAction, SetFile, SetVideo
from vidbench.label.actions import load_actions
from vidbench.label.detectors import DETECTORS, DetectorSettings
from vidbench.label.given_boxes import for_one_video
from vidbench.label.linking import LinkSettings
from vidbench.label.live import Board, watched
from vidbench.label.seen import GRID_FPS
from vidbench.label.store import SET, TRACKS, VIDEOS, LabelSet, safe_id
from vidbench.label.track_video import GIVEN, GIVEN_NUMBERS, VideoJob, track_video
from vidbench.label.trackers import TRACKERS, TrackerSettings
from vidbench.ledger import FOLDER, OK, Ledger, count_reasons
from vidbench.progress import Reporter, SilentReporter
from vidbench.records import Json
from vidbench.runs import file_sha256
from vidbench.video.clip import VideoError
from vidbench.video.pyav import probe

JOB = "detect-track"
RATES = tuple(rate for rate in range(1, GRID_FPS + 1) if GRID_FPS % rate == 0)
"""Pictures a second that hit every keyframe of the grid of 30."""
LIVE = "live"
_LEAST_S = 0.3


class DetectTrackRequest(BaseModel):
    """What to find, and how.

    Attributes:
        sources: Videos, and folders of videos.
        out: The folder of the set.
        detector: A name of the catalogue of detectors; "boxes" takes the boxes of a file.
        weights: The detector's weights: a file, or what else it knows; None is its default.
        boxes: A file of boxes, for the detector "boxes".
        conf: The least score that counts; None is the detector's default.
        iou: Of two boxes that overlap more, the surer one stays; None is what the network has.
        min_size: Boxes whose shorter side has fewer pixels are left out.
        image_size: Pixels that the longer side is scaled to for the detector; None is what it was made for.
        config: The configuration of a network of Detectron2.
        tracker: A name of the catalogue of trackers, or "given", the numbers of the file of boxes; None is these where
            all boxes have one, else "deepsort".
        rate: Pictures a second that are looked at; divides 30.
        margin: Seconds without keyframes at both ends of a video.
        max_gap_s: Longest gap in seconds over which the pieces of a person's track are joined; 0 joins none.
        min_boxes: Tracks with fewer boxes are dropped; None is those of 0.3 s.
        shots: End all tracks at shot changes.
        actions: What persons may do: "ava_80", "ava_60", or a file with an action a line.
        device: Where the networks run.
        batch: Pictures that the detector gets at a time.
        jobs: Videos at a time; 0 is one per core, or one on a GPU.
        limit: Take the first videos only.
        overwrite: Make videos again that were made with other settings; not those that people have labelled.
        dry_run: Only say what would be done.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Path, ...] = Field(min_length=1)
    out: Path
    detector: str = "yolo"
    weights: str | None = None
    boxes: Path | None = None
    conf: float | None = Field(default=None, gt=0, lt=1)
    iou: float | None = Field(default=None, gt=0, le=1)
    min_size: int = Field(default=8, ge=0, le=10_000)
    image_size: int | None = Field(default=None, ge=32, le=8192)
    config: Path | None = None
    tracker: str | None = None
    rate: int = 10
    margin: int = Field(default=2, ge=0, le=3600)
    max_gap_s: float = Field(default=3.0, ge=0, le=60)
    min_boxes: int | None = Field(default=None, ge=1, le=10_000)
    shots: bool = True
    actions: str = "ava_80"
    device: str = "auto"
    batch: int = Field(default=8, ge=1, le=1024)
    jobs: int = Field(default=0, ge=0)
    limit: int | None = Field(default=None, ge=1)
    overwrite: bool = False
    dry_run: bool = False
    argv: tuple[str, ...] = ()

    @field_validator("rate")
    @classmethod
    def _divides(cls, rate: int) -> int:
        if rate not in RATES:
            raise ValueError(f"a rate that hits the first picture of each second: {', '.join(map(str, RATES))}")
        return rate

    @property
    def least_boxes(self) -> int:
        """Boxes of a track that is kept."""
        return max(1, round(_LEAST_S * self.rate)) if self.min_boxes is None else self.min_boxes

    def settings(self) -> Json:
        """The part that decides the boxes of a video."""
        return {
            "detector": self.detector,
            "weights": self.weights,
            "weights_sha256": _sha256(self.weights),
            "boxes": None if self.boxes is None else str(self.boxes),
            "boxes_sha256": _sha256(self.boxes),
            "conf": self.conf,
            "iou": self.iou,
            "min_size": self.min_size,
            "image_size": self.image_size,
            "config": None if self.config is None else str(self.config),
            "tracker": self.tracker,
            "rate": self.rate,
            "margin": self.margin,
            "max_gap_s": self.max_gap_s,
            "min_boxes": self.least_boxes,
            "shots": self.shots,
        }


@dataclass(frozen=True)
class VideoTracked:
    """What was found in a video.

    Attributes:
        id: Its name in the set.
        source: The file.
        seconds: How long it is.
        keyframes: How many it has.
        persons: At its keyframes.
        rows: Persons at keyframes, counted each time: what people label.
        doubtful: How many of these deserve a look.
        joined: Gaps in tracks that were bridged.
        shots: How many there are.
        still: Tracks left out as no persons, see `vidbench.label.still`.
        pictures_per_s: Pictures looked at in a second, all included.
        detector_share: Part of the time that the detector took, decoding left out; 0 to 1.
    """

    id: str
    source: str
    seconds: float
    keyframes: int
    persons: int
    rows: int
    doubtful: int
    joined: int
    shots: int
    still: int
    pictures_per_s: float
    detector_share: float


@dataclass(frozen=True)
class FailedTracking:
    """A video that is not in the set.

    Attributes:
        id: The name it would have.
        source: The file.
        reason: One word.
        detail: Why, in a few words.
    """

    id: str
    source: str
    reason: str
    detail: str


@dataclass(frozen=True)
class DetectTrackResult:
    """What was made.

    Attributes:
        out: The set.
        made: Videos that this call worked on, or would work on.
        videos: All videos of the set with their figures.
        failed: Videos that could not be read.
        counts: Videos by reason, "ok" first.
        persons: Of all videos.
        rows: Of all videos.
        actions: How many actions the set has.
        settings: What decided the boxes.
        ledger: Where every video has a record.
        dry_run: Whether nothing was done.
    """

    out: Path
    made: int
    videos: tuple[VideoTracked, ...]
    failed: tuple[FailedTracking, ...]
    counts: Mapping[str, int]
    persons: int
    rows: int
    actions: int
    settings: Mapping[str, object]
    ledger: Path
    dry_run: bool


def detect_track(request: DetectTrackRequest, reporter: Reporter | None = None) -> DetectTrackResult:
    """Make a labelled set of videos, or add videos to one; running it again resumes video by video.

    Each video is decoded once. `request.rate` pictures a second of its grid of 30 go to the detector, among them the
    first of every second, and in this order to the tracker. When the video has ended, tracks are settled as a whole
    (`vidbench.label.linking`), and the boxes at the keyframes are stored.

    Raises:
        UsageError: Options that contradict each other.
        InputError: No such source; a set of other actions.
        UnknownNameError: No such detector or tracker.
        MissingError: A package, weights, a device or disk space are not there.
        RunConflictError: The folder holds something else, a set of other settings, or labels that would be lost.
    """
    reporter = reporter or SilentReporter()
    if (request.boxes is not None) != (request.detector == GIVEN):
        raise UsageError("--boxes and --detector boxes belong together", "Give both to use your own boxes, or neither.")
    DETECTORS.entry(request.detector)
    if request.tracker not in (None, GIVEN_NUMBERS):
        TRACKERS.entry(request.tracker)
    actions = load_actions(request.actions)
    files = _videos(request)
    if request.boxes is not None and len(files) > 1 and for_one_video(request.boxes):
        raise InputError(
            f"{request.boxes} does not say of which of {len(files)} videos its boxes are",
            "Give one video, or a folder with a file for each: VIDEO.txt or VIDEO/gt/gt.txt.",
        )
    held = _held(request.out)
    if held is not None and held.actions != actions and request.actions != _DEFAULT_ACTIONS:
        raise InputError(
            f"{request.out} has other actions than {request.actions}",
            f"Change them with: vidbench label relabel {request.out} --actions {request.actions}",
        )
    if request.overwrite and held is not None:
        _refuse_labelled(request.out, held)
    ids = _ids(files, request.out, held)
    if request.dry_run:
        ledger = Ledger.peek(request.out, JOB)
        left = [path for path in files if not _is_done(request.out, ids[path], path, ledger.records)]
        return _result(request, ledger, held or SetFile(actions), ids.values(), len(left))
    with Ledger.open(
        request.out,
        JOB,
        command="label detect-track",
        argv=request.argv,
        settings=request.settings(),
        overwrite=request.overwrite,
    ) as ledger:
        store = LabelSet(request.out)
        with store.hold():
            sweep(request.out / VIDEOS)
            jobs = [
                _job(request, ids[path], path)
                for path in files
                if not _is_done(request.out, ids[path], path, ledger.records)
            ]
            ledger.plan(len(files), "videos")
            _work(request, ledger, jobs, files, reporter)
            content = _content(request, held, actions, ids, ledger)
            store.save(content)
    return _result(request, ledger, content, ids.values(), len(jobs))


_DEFAULT_ACTIONS: str = DetectTrackRequest.model_fields["actions"].default


def _videos(request: DetectTrackRequest) -> list[Path]:
    found: list[Path] = []
    for source in request.sources:
        if source.is_dir():
            found += [source / name for name in videos_below(source, request.out)[0]]
        elif source.is_file():
            found.append(source)
        else:
            raise InputError(f"{source}: no such file or folder", "Give videos, or folders of videos.")
    unique = {path.resolve(): path for path in reversed(found)}
    kept = [path for path in found if unique[path.resolve()] is path]
    return kept[: request.limit]


def _held(out: Path) -> SetFile | None:
    if not out.exists() or (out / SET).is_file():
        return LabelSet(out).load() if (out / SET).is_file() else None
    others = [name for name in os.listdir(out) if name not in (FOLDER, VIDEOS)] if out.is_dir() else [out.name]
    if others:
        raise RunConflictError(f"{out} holds something else: {others[0]}", "Give another --out.")
    return None


def _ids(files: Sequence[Path], out: Path, held: SetFile | None) -> dict[Path, str]:
    """The names of the videos: those that they have in the set already, else made of the file's name."""
    before = Ledger.peek(out, JOB).records
    known = {str(record["source"]): key for key, record in before.items()}
    if held is not None:
        known |= {str((out / video.file).resolve()): video.id for video in held.videos}
    taken = set(known.values())
    ids: dict[Path, str] = {}
    for path in files:
        name = known.get(str(path.resolve()))
        if name is None:
            name = safe_id(path.stem, taken)
            taken.add(name)
        ids[path] = name
    return ids


def _refuse_labelled(out: Path, held: SetFile) -> None:
    """What people have worked on is not made anew."""
    store = LabelSet(out)
    for video in held.videos:
        if not (store.home(video.id) / TRACKS).exists():
            continue
        answered = sum(row.actions is not None for row in store.rows(video.id))
        if answered:
            raise RunConflictError(
                f"{out}: {answered} boxes of {video.id} are labelled already, which --overwrite would lose",
                "Give another --out; `vidbench label merge` joins sets.",
            )


def _is_done(out: Path, key: str, source: Path, records: Mapping[str, Json]) -> bool:
    record = records.get(key)
    if record is None or record["reason"] != OK or not (LabelSet(out).home(key) / TRACKS).is_file():
        return False
    try:
        return bool(source.stat().st_size == record["source_bytes"])
    except OSError:
        return True


def _job(request: DetectTrackRequest, key: str, path: Path) -> VideoJob:
    cores = default_jobs()
    return VideoJob(
        key=key,
        source=path.resolve(),
        home=(request.out / VIDEOS / key).resolve(),
        pulse=(request.out / FOLDER / LIVE / f"{key}.pulse").resolve(),
        detector=request.detector,
        detecting=DetectorSettings(
            weights=request.weights,
            boxes=None if request.boxes is None else request.boxes.resolve(),
            config=request.config,
            conf=request.conf,
            iou=request.iou,
            min_size=request.min_size,
            image_size=request.image_size,
            device=request.device,
        ),
        tracker=request.tracker,
        tracking=TrackerSettings(rate=request.rate, max_age_s=max(request.max_gap_s, 1.0), device=request.device),
        linking=LinkSettings(rate=request.rate, gap_s=request.max_gap_s, min_hits=request.least_boxes),
        margin=request.margin,
        shots=request.shots,
        batch=request.batch,
        threads=max(1, cores // max(request.jobs or cores, 1)),
    )


def _work(
    request: DetectTrackRequest, ledger: Ledger, jobs: Sequence[VideoJob], files: Sequence[Path], reporter: Reporter
) -> None:
    if not jobs:
        return
    cores = default_jobs()
    processes = min(request.jobs or (1 if _on_gpu(request.device) else cores), len(jobs))
    total = sum(_expected(job) for job in jobs)
    environment = {"OMP_NUM_THREADS": str(max(1, math.ceil(cores / processes)))}
    title = f"{len(jobs)} of {len(files)} videos"
    with (
        reporter.task(title, total or None, "pictures") as task,
        watched(request.out / FOLDER / LIVE, task) as board,
        # the longest first, so that no core waits for it at the end
        closing(
            each(track_video, sorted(jobs, key=lambda job: -_size(job.source)), processes, environment=environment)
        ) as results,
    ):
        for job, result in results:
            if isinstance(result, Lost):
                result = {"reason": "tool", "detail": f"{result.reason}: {result.detail}"}
            _note(ledger, board, job, result)
            if result["reason"] != OK:
                reporter.warn(f"{job.source}: {result['reason']}: {result['detail']}")


def _note(ledger: Ledger, board: Board, job: VideoJob, result: Json) -> None:
    ledger.append({"key": job.key, "name": job.name, "source": str(job.source), **result})
    board.finish(job.key, int(result.get("seen", 0)), int(result.get("boxes", 0)))


def _on_gpu(device: str) -> bool:
    if device == "cpu":
        return False
    if device != "auto":
        return True
    # torch takes seconds to import, and its workers do that themselves
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _expected(job: VideoJob) -> int:
    """Pictures that will be looked at, for the progress; 0 where the video does not say."""
    try:
        return math.ceil(probe(job.source).duration_s * job.tracking.rate)
    except VideoError:
        return 0


def _content(
    request: DetectTrackRequest,
    held: SetFile | None,
    actions: tuple[SetAction, ...],
    ids: Mapping[Path, str],
    ledger: Ledger,
) -> SetFile:
    before = {} if held is None else {video.id: video for video in held.videos}
    fresh: dict[str, SetVideo] = {}
    for path, key in ids.items():
        record = ledger.records.get(key)
        if record is None or record["reason"] != OK:
            continue
        split = before[key].split if key in before else "train"
        fresh[key] = SetVideo(
            key,
            _written(path, request.out),
            record["source_bytes"],
            record["width"],
            record["height"],
            record["fps"],
            record["pictures"],
            record["first"],
            record["last"],
            split,
        )
    videos = [fresh.pop(key, video) for key, video in before.items()]
    return SetFile(
        actions if held is None else held.actions,
        (*videos, *fresh.values()),
        {**request.settings(), "made": time.strftime("%Y-%m-%d", time.gmtime())},
    )


def _written(path: Path, out: Path) -> str:
    """How a set names a file: from its own folder where the file lies near, so that both can be moved together."""
    near, far = out.resolve().parent, path.resolve()
    return os.path.relpath(far, out.resolve()) if far.is_relative_to(near) else str(far)


def _result(
    request: DetectTrackRequest, ledger: Ledger, content: SetFile, ids: Iterable[str], made: int
) -> DetectTrackResult:
    asked = [ledger.records[key] for key in ids if key in ledger.records]
    listed = [(video, ledger.records.get(video.id)) for video in content.videos]
    tracked = tuple(_figures(video, record) for video, record in listed if record is not None)
    failed = tuple(
        FailedTracking(record["key"], record["name"], record["reason"], record["detail"])
        for record in asked
        if record["reason"] != OK
    )
    return DetectTrackResult(
        out=request.out,
        made=made,
        videos=tracked,
        failed=failed,
        counts=count_reasons(asked),
        persons=sum(one.persons for one in tracked),
        rows=sum(one.rows for one in tracked),
        actions=len(content.actions),
        settings=request.settings(),
        ledger=request.out / FOLDER / f"{JOB}.jsonl",
        dry_run=request.dry_run,
    )


def _figures(video: SetVideo, record: Json) -> VideoTracked:
    took = max(float(record.get("seconds", 0)), 1e-9)
    return VideoTracked(
        video.id,
        video.file,
        round(video.duration_s, 3),
        len(video.keyframes),
        record.get("persons", 0),
        record.get("rows", 0),
        record.get("doubtful", 0),
        record.get("joined", 0),
        record.get("shots", 1),
        record.get("still", 0),
        round(record.get("seen", 0) / took, 2),
        round(min(record.get("detector_s", 0.0) / took, 1.0), 3),
    )


def _sha256(file: str | Path | None) -> str | None:
    return file_sha256(Path(file)) if file is not None and Path(file).is_file() else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
