"""AVA data as a set of keyframes: persons' boxes with what they do, and how the frames around them are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidbench.data.ava_layout import AvaFiles, Layout, find_layout, overridden
from vidbench.data.ava_open import open_sources
from vidbench.data.ava_rows import BoxFile, Held, Moment, read_detected, read_truth
from vidbench.data.ava_source import AvaSource
from vidbench.errors import InputError
from vidbench.formats import ava
from vidbench.formats.kinetics import line_errors
from vidbench.formats.labels import table
from vidbench.runs import content_hash, file_sha256
from vidbench.video.steady import GRID_FPS

__all__ = ["AvaFiles", "AvaSet", "AvaSource", "Keyframe", "read_ava_set"]

Part = Literal["train", "val", "test"]
Taken = Literal["truth", "detected", "both"]
FIRST_SECOND = 900
"""The second that picture 0 shows: where AVA's 15 minutes of each film begin."""
MIN_SCORE = 0.9
"""PySlowFast's `DETECTION_SCORE_THRESH`; the configurations of SlowFast networks say 0.8."""
_NONE_GIVEN = AvaFiles()


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A second at which persons are asked about.

    Attributes:
        video: The video's name.
        second: As the annotations count it.
        centre: Number of its picture in the video's source.
        boxes: `(M, 4)` float64: x1, y1, x2, y2 as fractions of the picture; M is at least 1.
        labels: Class ids of each box, rising, from 1; () for a person who does none, or of whom nothing is known.
        scores: `(M,)` float64: of the detector; 1 in ground truth.
        key: 16 hex digits that name it in every run: the start of the sha256 of (video, second).
    """

    video: str
    second: int
    centre: int
    boxes: NDArray[np.float64]
    labels: tuple[tuple[int, ...], ...]
    scores: NDArray[np.float64]
    key: str


@dataclass(frozen=True)
class AvaSet:
    """A part of an AVA set.

    Attributes:
        source: The folder that was given.
        part: "train", "val" or "test".
        keyframes: Those with a box, video by video in the order of the sources, by rising second.
        sources: By the name of the video; those with a keyframe.
        classes: Names of all classes by id, rising.
        scored: Ids of the classes that the benchmark counts, rising; all where the folder does not tell.
        excluded: Keyframes that do not count and are not in `keyframes`.
        groundtruth: File of the ground truth; None where there is none.
        labels_file: The action list that the classes are from; None for AVA's own 80.
        files: Where each file is.
        every: Only seconds that are multiples of this are in the set.
        unseen: Videos, and keyframes of others, whose pictures are not there and that were skipped.
        limited: Whether the set ends after so many keyframes as were asked for.
        sha256: Of all files that were read and how.
        remarks: What was left out, and what else is to be known.
    """

    source: Path
    part: Part
    keyframes: tuple[Keyframe, ...]
    sources: Mapping[str, AvaSource]
    classes: dict[int, str]
    scored: tuple[int, ...]
    excluded: frozenset[Moment]
    groundtruth: Path | None
    labels_file: Path | None
    files: AvaFiles
    every: int
    unseen: frozenset[str | Moment]
    limited: bool
    sha256: str
    remarks: tuple[str, ...]

    def scope(self) -> Callable[[str, int], bool]:
        """Tells of a video and a second whether what ground truth says of it is asked for.

        It is where the set was taken whole, also where no detected box was good enough to make a keyframe.
        """
        held = {(one.video, one.second) for one in self.keyframes} if self.limited else None

        def inside(video: str, second: int) -> bool:
            if held is not None:
                return (video, second) in held
            return second % self.every == 0 and video not in self.unseen and (video, second) not in self.unseen

        return inside


def read_ava_set(
    folder: Path,
    part: Part,
    *,
    boxes: Taken = "truth",
    min_score: float = MIN_SCORE,
    negatives: bool = True,
    every: int = 1,
    videos: Path | None = None,
    frames: Path | None = None,
    given: AvaFiles = _NONE_GIVEN,
    first_second: int = FIRST_SECOND,
    video_start: int | None = None,
    missing: Literal["refuse", "skip"] = "refuse",
    limit: int | None = None,
) -> AvaSet:
    """Read a part of an AVA set, in full before anything is decoded.

    A keyframe without a box is no sample, nor is one that is excluded, and a video without a keyframe is not in the
    set; how many they are is in the remarks. Rows of one keyframe that have the same box are one person with all
    their actions, as for all published loaders.

    Args:
        folder: A labelled set that was exported, such an export, or the published files: `annotations/`, with
            `frames/` and `frame_lists/` or `videos/`.
        part: Which one.
        boxes: "truth", "detected" or "both": whose boxes are samples.
        min_score: Boxes of a detector below it are left out, in [0, 1].
        negatives: Boxes of a detector without an action stay, as persons who do nothing.
        every: Take only seconds that are multiples of it; PySlowFast validates with 4 in training.
        videos: Folder of video files, `<id>.mp4`, `.mkv` or `.webm`; frames are then read straight from them.
        frames: Folder that the paths of the frame list start from. With neither, the folder's own `frames/` are
            taken, or the videos that an export was made of, or its `videos/`.
        given: Files that are taken in place of the folder's.
        first_second: The second that picture 0 shows.
        video_start: Second of the video files at which picture 0 lies; None is 0 for `videos_15min` and
            `first_second` for others. An export says it itself.
        missing: "refuse" a row whose video or frame is not there, or "skip" it and say so.
        limit: Take the first so many keyframes.

    Raises:
        InputError: A file that is not there or malformed, as `file:line: reason`; boxes outside the image or without
            area, an action that no class has, a second before the first or after the last frame, a video that is not
            there or is there twice; nothing left.
    """
    if not 0 <= min_score <= 1 or every < 1:
        raise InputError(f"{min_score = } and {every = }", "A score is from 0 to 1, and seconds are counted from 1.")
    layout = find_layout(folder, part)
    files = overridden(layout.files, given)
    remarks = list(layout.remarks)
    classes, scored = _classes(files)
    read = [*_read(layout, files, part, boxes, min_score, remarks)]
    for one in read:
        _refuse_unknown(one, classes, files.classes)
    excluded = frozenset((row.video, row.second) for row in _excluded(files))
    sources, lost, digests = open_sources(
        layout, files, frames=frames, videos=videos, first_second=first_second, video_start=video_start,
        wanted=dict.fromkeys(video for one in read for video, _ in one.boxes), missing=missing,
    )  # fmt: skip
    if lost:
        video, reason = next(iter(lost.items()))
        remarks.append(f"{len(lost)} annotated videos were left out, as they have no pictures; {video}: {reason}")
    placed, beyond = _placed(read, sources, first_second, missing)
    if beyond:
        remarks.append(f"{len(beyond)} keyframes were left out, as their pictures are not there")
    chosen = _chosen(placed, read, excluded, every, negatives, remarks)
    keyframes = tuple(_keyframes(chosen, sources, first_second, limit))
    if not keyframes:
        raise InputError(
            f"{folder}: no keyframe of the part {part!r} is left; {'; '.join(remarks) or 'the files have no boxes'}",
            f"Lower the least score of boxes (now {min_score:g}), or take other boxes.",
        )
    used = dict.fromkeys(one.video for one in keyframes)
    if len(used) < len(sources) and limit is None:
        remarks.append(f"{len(sources) - len(used)} of {len(sources)} videos have no keyframe with a box")
    for name in ("truth", "detected", "excluded", "classes", "scored"):
        path = getattr(files, name)
        if path is not None:
            digests[name] = file_sha256(path)
    how = [part, boxes, min_score, negatives, every, first_second, video_start, missing, limit]
    return AvaSet(
        source=folder,
        part=part,
        keyframes=keyframes,
        sources={video: sources[video] for video in used},
        classes=classes,
        scored=scored,
        excluded=excluded,
        groundtruth=files.truth,
        labels_file=files.classes,
        files=files,
        every=every,
        unseen=frozenset([*lost, *beyond]),
        limited=limit is not None and len(keyframes) == limit,
        sha256=content_hash([digests, how]),
        remarks=tuple(remarks),
    )


def _classes(files: AvaFiles) -> tuple[dict[int, str], tuple[int, ...]]:
    if files.classes is None:
        names = dict(table("ava_80"))
    else:
        actions, _ = ava.load(files.classes, ava.parse_actions)
        names = {action.id: action.name for action in actions}
    names = dict(sorted(names.items()))
    if files.scored is None:
        return names, tuple(names)
    counted, _ = ava.load(files.scored, ava.parse_actions)
    for action in counted:
        if action.id not in names:
            raise InputError(
                f"{files.scored}: class {action.id}, {action.name!r}, is not in {files.classes or 'the 80 of AVA'}",
                "Give action lists that number the same classes.",
            )
    return names, tuple(sorted(action.id for action in counted))


def _read(
    layout: Layout, files: AvaFiles, part: Part, boxes: Taken, min_score: float, remarks: list[str]
) -> Iterator[BoxFile]:
    if boxes != "detected":
        if files.truth is None:
            raise InputError(
                f"{layout.root} has no ground truth of the part {part!r}: annotations/ava_{part}_v2.2.csv",
                "Give the file, take detected boxes, or answer for persons and export again: vidbench label review.",
            )
        yield _told(read_truth(files.truth), remarks)
    if boxes != "truth":
        if files.detected is None:
            raise InputError(
                f"{layout.root} has no detected boxes of the part {part!r}", "Give the file, or take the ground truth."
            )
        found = _told(read_detected(files.detected, min_score), remarks)
        if part == "train" and found.boxes and not found.labelled:
            raise InputError(
                f"{files.detected}: boxes without labels: in training each would be a person who does nothing",
                "Give ava_detection_train_boxes_and_labels_include_negative_v2.2.csv, or train on ground truth alone.",
            )
        yield found


def _told(found: BoxFile, remarks: list[str]) -> BoxFile:
    if found.below:
        remarks.append(f"{found.path.name}: {found.below} of {found.rows} rows are below the least score")
    if found.flat:
        remarks.append(f"{found.path.name}: {found.flat} boxes without area were left out")
    if found.repeated:
        remarks.append(
            f"{found.path}:{found.first_repeated}: says what an earlier row says; so do {found.repeated} rows in all, "
            "each counted once"
        )
    return found


def _refuse_unknown(found: BoxFile, classes: Mapping[int, str], source: Path | None) -> None:
    unknown = sorted((line, action) for action, line in found.actions.items() if action not in classes)
    problems = [(line, f"action {action} is no class") for line, action in unknown]
    if problems:
        raise line_errors(
            found.path,
            problems,
            f"{source or 'AVA'} has {len(classes)} classes, from {min(classes)} to {max(classes)}; "
            "give the action list of these rows.",
        )


def _excluded(files: AvaFiles) -> tuple[ava.Second, ...]:
    return () if files.excluded is None else ava.load(files.excluded, ava.parse_seconds)


def _placed(
    read: list[BoxFile], sources: Mapping[str, AvaSource], first_second: int, missing: str
) -> tuple[set[Moment], set[Moment]]:
    """The moments of all files whose picture there is, and those of opened videos whose picture there is not."""
    placed: set[Moment] = set()
    beyond: set[Moment] = set()
    for one in read:
        problems: list[tuple[int, str]] = []
        for moment, boxes in one.boxes.items():
            video, second = moment
            source = sources.get(video)
            if source is None:
                continue
            centre = (second - first_second) * GRID_FPS
            if 0 <= centre < source.count:
                placed.add(moment)
                continue
            beyond.add(moment)
            where = f"before the first picture, second {first_second}"
            if centre >= 0:
                where = f"after the last picture, second {first_second + (source.count - 1) / GRID_FPS:.2f}"
            problems.append((next(iter(boxes.values())).line, f"second {second} of {video} is {where}"))
        if problems and missing == "refuse":
            raise line_errors(
                one.path,
                problems,
                "Extract all frames, say which second the first picture shows and where videos start, or skip what is "
                "missing.",
            )
    return placed, beyond


def _chosen(
    placed: set[Moment],
    read: list[BoxFile],
    excluded: frozenset[Moment],
    every: int,
    negatives: bool,
    remarks: list[str],
) -> dict[Moment, dict[tuple[float, ...], Held]]:
    """The boxes of each keyframe that is taken, of all files together."""
    chosen: dict[Moment, dict[tuple[float, ...], Held]] = {}
    without = 0
    out = {moment for moment in placed if moment in excluded}
    for one in read:
        for moment, boxes in one.boxes.items():
            if moment not in placed or moment in out or moment[1] % every:
                continue
            for box, held in boxes.items():
                if not (held.labels or negatives):
                    without += 1
                    continue
                there = chosen.setdefault(moment, {}).setdefault(box, held)
                if there is not held:
                    there.labels += [label for label in held.labels if label not in there.labels]
                    there.score = max(there.score, held.score)
    if out:
        remarks.append(f"{len(out)} keyframes are excluded")
    if without:
        remarks.append(f"{without} boxes without an action were left out")
    return chosen


def _keyframes(
    chosen: Mapping[Moment, Mapping[tuple[float, ...], Held]],
    sources: Mapping[str, AvaSource],
    first_second: int,
    limit: int | None,
) -> Iterator[Keyframe]:
    places = {video: place for place, video in enumerate(sources)}
    for video, second in sorted(chosen, key=lambda moment: (places[moment[0]], moment[1]))[:limit]:
        boxes = chosen[video, second]
        yield Keyframe(
            video,
            second,
            (second - first_second) * GRID_FPS,
            np.array(list(boxes), dtype=np.float64),
            tuple(tuple(sorted(held.labels)) for held in boxes.values()),
            np.array([held.score for held in boxes.values()], dtype=np.float64),
            content_hash([video, second])[:16],
        )
