"""One video: decoded once, persons found in its pictures, followed from one to the next, and stored."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidbench.data.jobs import PART
from vidbench.errors import InputError, UsageError, disk_errors
from vidbench.formats.framelist import save_lines
from vidbench.formats.labelset import Row, TrackPath, dump_paths, dump_rows
from vidbench.label.detectors import DETECTORS, DetectorSettings, VideoFacts
from vidbench.label.faint import FaintBuilder
from vidbench.label.given_boxes import GivenPersons
from vidbench.label.keyframes import Kept, keep, keyframe_range
from vidbench.label.linking import LinkSettings, PersonTrack, link
from vidbench.label.live import Pulse
from vidbench.label.seen import GRID_FPS, Detector, Found, Picture, Tracker, Tracklet
from vidbench.label.shots import ShotWatch
from vidbench.label.still import StillWatch, without_still
from vidbench.label.store import KEYFRAMES, PATHS, TRACKS
from vidbench.label.trackers import TRACKERS, TrackerSettings
from vidbench.label.tracklets import TrackletBuilder
from vidbench.records import Json
from vidbench.video.clip import UnusableError
from vidbench.video.steady import Steady

_QUALITY = 92
GIVEN = "boxes"
"""The detector that reads boxes from a file."""
GIVEN_NUMBERS = "given"
"""No tracker: persons have the numbers of the file."""
DEFAULT_TRACKER = "deepsort"


@dataclass(frozen=True)
class VideoJob:
    """A video and everything that decides what is found in it.

    Attributes:
        key: Its id in the set.
        source: The file.
        home: Its folder in the set; appears when it is whole.
        pulse: Where to tell how far it is.
        detector: A name of the catalogue.
        detecting: The detector's settings.
        tracker: A name of the catalogue, or "given"; None is the numbers of a file of boxes that has them, else
            DeepSORT.
        tracking: The tracker's settings.
        linking: What happens to the tracks after the video.
        margin: Seconds without keyframes at both ends.
        shots: Whether tracks end at shot changes.
        batch: Pictures that the detector gets at a time.
        threads: Threads that decode.
    """

    key: str
    source: Path
    home: Path
    pulse: Path
    detector: str
    detecting: DetectorSettings
    tracker: str | None
    tracking: TrackerSettings
    linking: LinkSettings
    margin: int
    shots: bool
    batch: int
    threads: int

    @property
    def name(self) -> str:
        """For people."""
        return str(self.source)


@dataclass
class _Clock:
    """Seconds spent in each stage."""

    decoding: float = 0.0
    detector: float = 0.0
    tracker: float = 0.0
    jpeg: float = 0.0


def track_video(job: VideoJob) -> Json:
    """Find and follow the persons of a video, and store them in its folder; gives its record.

    The folder appears when it is whole; a video that cannot be read to its end leaves none.

    Raises:
        MissingError: A package, weights, a device or disk space are not there.
        InputError: Settings that the detector cannot work with.
    """
    started = time.monotonic()
    part = job.home.with_name(f"{job.home.name}.{os.getpid()}{PART}")
    record: Json = {"reason": "ok", "detail": "", "source_bytes": _size(job.source)}
    with disk_errors(job.home):
        try:
            shutil.rmtree(part, ignore_errors=True)
            (part / KEYFRAMES).mkdir(parents=True)
            record |= _work(job, part)
            if job.home.exists():
                shutil.rmtree(job.home)
            part.rename(job.home)
        except UnusableError as error:
            return {**record, "reason": error.reason, "detail": str(error)}
        except _NotFiniteError as error:
            return {**record, "reason": "not_finite", "detail": str(error)}
        except InputError as error:
            if job.detector != GIVEN:
                raise
            # of several videos one may be missing in the file
            return {**record, "reason": "no_boxes", "detail": str(error).replace("\n", " ")}
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return {**record, "seconds": round(time.monotonic() - started, 3)}


class _NotFiniteError(Exception):
    """The detector gave values that are not finite."""


def _work(job: VideoJob, folder: Path) -> Json:
    cuts = _Cuts()
    # cuts are looked for in all frames: from one to the next a camera that shakes moves little
    steady = Steady(
        job.source, every=GRID_FPS // job.tracking.rate, threads=job.threads, glance=cuts.glance if job.shots else None
    )
    pictures = iter(steady)
    first = next(pictures, None)
    if first is None:
        raise UnusableError("empty", "a video without pictures")
    height, width = first.image.shape[:2]
    facts = VideoFacts(job.source, job.key, width, height, steady.fps)
    detector = DETECTORS.get(job.detector)(job.detecting, facts)
    follow = _follower(job, detector)
    builder, unsure, pulse, clock = TrackletBuilder(), FaintBuilder(), Pulse(job.pulse), _Clock()
    # boxes of a file are believed
    watch = None if job.detector == GIVEN else StillWatch()
    shot = boxes = seen = 0
    for batch in _batches(_told(first, pictures, cuts), job.batch, clock):
        seen_now = [picture for picture, _ in batch]
        for (picture, shots), found in zip(
            batch, _found(detector, seen_now, job.detector != GIVEN, clock), strict=True
        ):
            began = time.monotonic()
            if shots > shot:
                shot = shots
                follow.tracker.reset()
            if follow.numbers is None or picture.number in follow.numbers:
                tracks = follow.tracker.update(picture, found)
                builder.add(picture.number, found, tracks, follow.tracker.looks(), shot)
                unsure.add(picture.number, found, tracks)
                if watch is not None:
                    watch.add(picture, found, tracks)
            clock.tracker += time.monotonic() - began
            if picture.number % GRID_FPS == 0 and picture.number >= job.margin * GRID_FPS:
                began = time.monotonic()
                _save(picture, folder)
                clock.jpeg += time.monotonic() - began
            seen += 1
            boxes += len(found.scores)
        pulse.tell(seen, boxes)
    began = time.monotonic()
    tracklets = builder.tracklets()
    if follow.linking is None:
        persons = _as_given(tracklets)
    else:
        persons = link(tracklets, follow.linking, builder.shots, unsure.faint())
    everybody = len(persons)
    if watch is not None:
        persons = without_still(persons, watch)
    begin, last = keyframe_range(steady.end, job.margin)
    kept = keep(persons, range(begin, last + 1), width, height)
    clock.tracker += time.monotonic() - began
    for path in (folder / KEYFRAMES).iterdir():
        if int(path.stem) > last:
            path.unlink()
    _store(folder, kept.rows, kept.paths)
    return {
        "width": width,
        "height": height,
        "fps": str(steady.fps),
        "pictures": steady.end,
        "lead": steady.lead,
        "tracker": follow.name,
        "detector": dict(getattr(detector, "told", {})),
        "first": begin,
        "last": last,
        "seen": seen,
        "boxes": boxes,
        "shots": shot + 1,
        "tracklets": len(tracklets),
        "joined": sum(len(person.joined) for person in persons),
        "still": everybody - len(persons),
        **_counts(kept),
        "decoding_s": round(clock.decoding, 3),
        "detector_s": round(clock.detector, 3),
        "tracker_s": round(clock.tracker, 3),
        "looks_s": round(getattr(follow.tracker, "looked_s", 0.0), 3),
        "jpeg_s": round(clock.jpeg, 3),
    }


@dataclass(frozen=True)
class _Follower:
    """How the persons of a video are followed.

    Attributes:
        name: Of the tracker.
        tracker: It.
        linking: What happens to its tracks; None keeps them as they are.
        numbers: The moments that are known of; None is all. At others nobody is known to be absent.
    """

    name: str
    tracker: Tracker
    linking: LinkSettings | None
    numbers: frozenset[int] | None = None


class _GivenNumbers:
    """The tracker "given": persons are who a file of boxes says they are."""

    def __init__(self, given: GivenPersons) -> None:
        self._given = given

    def update(self, picture: Picture, found: Found) -> NDArray[np.int64]:
        """The file's numbers."""
        return self._given.persons(picture.number)

    def looks(self) -> None:
        """Nobody looks."""

    def reset(self) -> None:
        """The file knows better."""


def _follower(job: VideoJob, detector: Detector) -> _Follower:
    """The tracker that was asked for; without a wish the numbers of a file that has them, else DeepSORT."""
    if not isinstance(detector, GivenPersons):
        if job.tracker == GIVEN_NUMBERS:
            raise UsageError(
                "--tracker given takes the numbers of a file of boxes", "Give --detector boxes --boxes FILE."
            )
        name = job.tracker or DEFAULT_TRACKER
        guide = name == DEFAULT_TRACKER and job.tracking.rate == 1
        return _Follower(name, TRACKERS.get(name)(replace(job.tracking, guide=guide)), job.linking)
    numbered = all((detector.persons(number) >= 0).all() for number in detector.numbers)
    if job.tracker == GIVEN_NUMBERS and not numbered:
        raise UsageError(f"{detector.told['boxes']}: boxes without a person's number", "Choose another --tracker.")
    if numbered and job.tracker in (None, GIVEN_NUMBERS):
        return _Follower(GIVEN_NUMBERS, _GivenNumbers(detector), None, frozenset(detector.numbers))
    # a file of one box a second is a tracker's picture a second
    rate = _rate(detector.numbers, job.tracking.rate)
    name = job.tracker or DEFAULT_TRACKER
    tracker = TRACKERS.get(name)(replace(job.tracking, rate=rate))
    return _Follower(name, tracker, replace(job.linking, rate=rate), frozenset(detector.numbers))


def _as_given(tracklets: Sequence[Tracklet]) -> tuple[PersonTrack, ...]:
    """The pieces of each number together, whatever lies between them."""
    pieces: dict[int, list[Tracklet]] = {}
    for one in tracklets:
        pieces.setdefault(one.track, []).append(one)
    return tuple(
        PersonTrack(
            person,
            numbers := np.concatenate([one.numbers for one in found]),
            np.concatenate([one.boxes for one in found]),
            np.concatenate([one.scores for one in found]),
            np.full_like(numbers, found[0].track),
            frozenset(),
            frozenset(),
        )
        for person, found in enumerate(pieces.values())
    )


def _rate(numbers: Sequence[int], most: int) -> int:
    """Pictures a second of which a file of boxes speaks, at most `most`."""
    every = GRID_FPS // most
    seen = [number for number in numbers if number % every == 0]
    steps = Counter(later - number for number, later in pairwise(seen))
    usual = steps.most_common(1)[0][0] if steps else GRID_FPS
    return max(rate for rate in range(1, most + 1) if GRID_FPS % rate == 0 and (rate == 1 or GRID_FPS // rate >= usual))


def _counts(kept: Kept) -> Json:
    return {
        "persons": len(kept.paths),
        "rows": len(kept.rows),
        "doubtful": sum(bool(row.doubts) for row in kept.rows),
        "passing": kept.passing,
        "flat": kept.flat,
    }


class _Cuts:
    """Counts the shots of a video as its frames come by."""

    def __init__(self) -> None:
        self._watch = ShotWatch()
        self.shots = 0

    def glance(self, image: NDArray[np.uint8]) -> None:
        """The next frame, small."""
        self.shots += self._watch.is_cut(image)


def _told(first: Picture, rest: Iterator[Picture], cuts: _Cuts) -> Iterator[tuple[Picture, int]]:
    """Pictures, each with the number of cuts until then."""
    yield first, 0
    for picture in rest:
        yield picture, cuts.shots


def _batches(pictures: Iterator[tuple[Picture, int]], size: int, clock: _Clock) -> Iterator[list[tuple[Picture, int]]]:
    while True:
        began = time.monotonic()
        batch = list(islice(pictures, size))
        clock.decoding += time.monotonic() - began
        if not batch:
            return
        yield batch


def _found(detector: Detector, batch: Sequence[Picture], by_look: bool, clock: _Clock) -> list[Found]:
    """What the detector finds; a picture that is on for long is looked at once, where only its look counts."""
    began = time.monotonic()
    fresh = [n for n, picture in enumerate(batch) if not (n and by_look and picture.image is batch[n - 1].image)]
    try:
        told = detector([batch[n] for n in fresh])
    except ValueError as error:
        raise _NotFiniteError(f"at {batch[0].time_s:.1f} s: {error}") from error
    found: list[Found] = []
    for n in range(len(batch)):
        found.append(told[fresh.index(n)] if n in fresh else found[-1])
    clock.detector += time.monotonic() - began
    return found


def _save(picture: Picture, folder: Path) -> None:
    path = folder / KEYFRAMES / f"{picture.number // GRID_FPS:06d}.jpg"
    Image.fromarray(np.ascontiguousarray(picture.image)).save(path, quality=_QUALITY, subsampling=0)


def _store(folder: Path, rows: Sequence[Row], paths: Sequence[TrackPath]) -> None:
    save_lines(folder / TRACKS, dump_rows(rows))
    save_lines(folder / PATHS, dump_paths(paths))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
