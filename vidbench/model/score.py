"""`vidbench model score`: mean average precision of a file of action detections, as a published scorer counts it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vidbench.errors import InputError, UsageError
from vidbench.formats import ava
from vidbench.formats.labels import spelling, table
from vidbench.model.ava_boxes import Images, Table, load_boxes
from vidbench.model.ava_map import Ints
from vidbench.model.ava_scorers import RULES, Scored, Scorer, score_tables
from vidbench.model.label_map import load_classes
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import write_text_atomic

AVA_GROUPS = {"pose": (1, 14), "object": (15, 63), "person": (64, 80)}
"""First and last number of AVA's three groups: poses, what is done with objects, what is done with persons."""

NOT_TAKEN = "second not asked for"


class ScoreRequest(BaseModel):
    """What `model score` is asked.

    Attributes:
        detections: A csv of `video_id,second,x1,y1,x2,y2,action,score`, no header.
        groundtruth: A csv of `video_id,second,x1,y1,x2,y2,action,person`; for ActivityNet's scorer also
            `video_id,second`, a second without boxes.
        labels: The classes that count: "ava_60", "ava_80", an action list (.pbtxt, of either dialect) or a file with
            a name a line.
        exclude: A csv of `video_id,second`: these do not count. ActivityNet's scorer takes none.
        scorer: Whose rules; see `vidbench.model.ava_scorers.Rules`.
        groups: "ava": means over `AVA_GROUPS`, too, whatever the classes' names; "none": without; "auto": with them
            where numbers and names of all classes are AVA's, and for MMAction2's scorer, which always tells them.
        every: Only seconds that this number divides; 1 takes all. PySlowFast's validation during training takes
            every fourth.
        empty_seconds: For MMAction2's scorer alone: detections on seconds without ground truth are wrong instead of
            being ignored, its `ignore_empty_frames=False`.
        csv: Where to write a line per class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detections: Path
    groundtruth: Path
    labels: str = "ava_60"
    exclude: Path | None = None
    scorer: Scorer = "activitynet"
    groups: Literal["auto", "ava", "none"] = "auto"
    every: int = Field(1, ge=1)
    empty_seconds: bool = False
    csv: Path | None = None


@dataclass(frozen=True)
class ClassResult:
    """One class.

    Attributes:
        id: Its number.
        name: Its name.
        average_precision: In [0, 1], IoU 0.5; nan where it has none.
        ground_truth: Boxes.
        detections: Detections that count.
        in_mean: Whether it enters the mean, as a class with an average precision does.
    """

    id: int
    name: str
    average_precision: float
    ground_truth: int
    detections: int
    in_mean: bool


@dataclass(frozen=True)
class GroupResult:
    """Some classes.

    Attributes:
        name: "pose", "object" or "person".
        first: The least number.
        last: The largest.
        classes: How many enter the mean.
        mean_ap: In [0, 1]; nan where none does.
    """

    name: str
    first: int
    last: int
    classes: int
    mean_ap: float


@dataclass(frozen=True)
class FileResult:
    """What was read of a file.

    Attributes:
        path: The file.
        lines: Its lines, empty ones not counted.
        boxes: Lines that have a box.
        counted: Boxes that count.
        left_out: The others by reason, each at its first reason.
    """

    path: Path
    lines: int
    boxes: int
    counted: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class ScoreResult:
    """What a scorer says of a file of detections.

    Attributes:
        scorer: Whose rules.
        mean_ap: Mean average precision at IoU 0.5, in [0, 1].
        classes_in_mean: How many classes it is the mean of.
        classes: All of the label map, by number.
        groups: Of AVA's classes; may be none.
        detections: What was read.
        ground_truth: What was read.
        seconds: Seconds that the ground truth names.
        excluded: Excluded seconds that were given.
        excluded_missed: Boxes of excluded seconds that stay in the ground truth, where nothing can find them, as
            MMAction2's scorer has it; 0 for the others.
        remarks: What looks like a mistake in the files.
        csv: The file with a line per class; None where none was asked for.
    """

    scorer: str
    mean_ap: float
    classes_in_mean: int
    classes: tuple[ClassResult, ...]
    groups: tuple[GroupResult, ...]
    detections: FileResult
    ground_truth: FileResult
    seconds: int
    excluded: int
    excluded_missed: int
    remarks: tuple[str, ...]
    csv: Path | None


def score(request: ScoreRequest, reporter: Reporter | None = None) -> ScoreResult:
    """Score a file of action detections as ActivityNet's, PySlowFast's or MMAction2's program does.

    The figures are those of the original to 1e-9 where scores are distinct. Where scores are equal the originals
    rank them by an unstable sort, whose answer depends on numpy's build and the processor; here all sorts are
    stable, and equal scores stand as they would if the original's sort were, too.

    Raises:
        UsageError: Exclusions for ActivityNet's scorer, or `empty_seconds` for another than MMAction2's.
        UnknownNameError: No such label map.
        InputError: A file that is missing or malformed, as `file:line: reason`, or no ground truth to score with.
    """
    return score_files(request, reporter).result


@dataclass(frozen=True)
class ScoredFiles:
    """What a scorer says of two files, and each box that it counted.

    Attributes:
        result: The figures.
        scored: The boxes, with the numbers of `images`.
        images: The numbers of videos and seconds.
    """

    result: ScoreResult
    scored: Scored
    images: Images


def score_files(request: ScoreRequest, reporter: Reporter | None = None) -> ScoredFiles:
    """The same as `score`, with the boxes behind the figures."""
    reporter = reporter or SilentReporter()
    rules = RULES[request.scorer]
    if request.exclude is not None and not rules.exclusions:
        raise UsageError(
            f"the {request.scorer} scorer takes no excluded seconds",
            "Leave out --exclude, or take --scorer pyslowfast or mmaction2.",
        )
    if request.empty_seconds:
        if request.scorer != "mmaction2":
            raise UsageError("--empty-seconds is a switch of --scorer mmaction2 alone", "Leave it out.")
        rules = replace(rules, images="all", by_truth=False)
    classes = load_classes(request.labels)
    images = Images(rules.truth.whole)
    with reporter.task("Scoring", total=3, unit="steps") as task:
        truth = load_boxes(request.groundtruth, rules.truth, images)
        task.advance(note="ground truth")
        detections = load_boxes(request.detections, rules.detections, images)
        task.advance(note="detections")
        known = len(images.seconds)
        excluded = _excluded(request.exclude, images)
        remarks = _remarks(detections, truth, excluded, known)
        taken = np.array([request.every == 1 or second % request.every == 0 for second in images.seconds], dtype=bool)
        asked, asked_truth = _only(detections, taken), _only(truth, taken)
        scored = score_tables(asked, asked_truth, list(classes), rules, excluded)
        task.advance(note="average precision")
    if not any(one.positives for one in scored.classes.values()):
        raise InputError(
            f"{request.groundtruth}: no box to score with is of a class in {request.labels}",
            "Check that the action numbers are those of --labels, and --exclude.",
        )
    rows = tuple(
        ClassResult(
            number, name, one.average_precision, one.positives, one.detections, not math.isnan(one.average_precision)
        )
        for number, name in classes.items()
        for one in (scored.classes[number],)
    )
    if request.csv is not None:
        write_text_atomic(request.csv, _csv(rows))
    result = ScoreResult(
        scorer=request.scorer,
        mean_ap=_mean(rows),
        classes_in_mean=sum(row.in_mean for row in rows),
        classes=rows,
        groups=_groups(rows, request),
        detections=_file(request.detections, detections, asked, scored.detections_left_out),
        ground_truth=_file(request.groundtruth, truth, asked_truth, scored.truth_left_out),
        seconds=len(asked_truth.images),
        excluded=len(excluded),
        excluded_missed=scored.excluded_missed,
        remarks=remarks,
        csv=request.csv,
    )
    return ScoredFiles(result, scored, images)


def _excluded(path: Path | None, images: Images) -> Ints:
    if path is None:
        return np.zeros(0, dtype=np.int64)
    seconds = ava.load(path, ava.parse_seconds)
    return np.unique(np.array([images[one.video, str(one.second)] for one in seconds], dtype=np.int64))


def _only(read: Table, taken: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Table:
    return Table(read.boxes.take(taken[read.boxes.image]), read.images[taken[read.images]], read.lines)


def _remarks(detections: Table, truth: Table, excluded: Ints, known: int) -> tuple[str, ...]:
    """What looks like a mistake; images from `known` on are in neither file of boxes."""
    told = []
    if not len(detections.boxes):
        told.append("there are no detections")
    elif not np.isin(detections.images, truth.images).any():
        told.append("no second of the ground truth has a detection: are names and seconds of one kind in both files?")
    reach = [float(np.abs(read.boxes.box).max(initial=0)) for read in (detections, truth)]
    if min(reach) > 0 and max(reach) > 2 and max(reach) / min(reach) > 10:
        told.append(
            f"boxes reach {reach[0]:g} in the detections and {reach[1]:g} in the ground truth: pixels and fractions?"
        )
    strange = int(np.count_nonzero(excluded >= known))
    if strange:
        told.append(f"{strange} of {len(excluded)} excluded seconds are in neither file of boxes")
    return tuple(told)


def _file(path: Path, read: Table, asked: Table, left_out: dict[str, int]) -> FileResult:
    reasons = {NOT_TAKEN: len(read.boxes) - len(asked.boxes)} if len(asked.boxes) < len(read.boxes) else {}
    reasons |= left_out
    return FileResult(path, read.lines, len(read.boxes), len(read.boxes) - sum(reasons.values()), reasons)


def _groups(rows: Sequence[ClassResult], request: ScoreRequest) -> tuple[GroupResult, ...]:
    known = dict(table("ava_80"))
    of_ava = all(spelling(known.get(row.id, "")) == spelling(row.name) for row in rows)
    if request.groups == "none" or (request.groups == "auto" and not of_ava and request.scorer != "mmaction2"):
        return ()
    found = []
    for name, (first, last) in AVA_GROUPS.items():
        own = [row for row in rows if first <= row.id <= last]
        found.append(GroupResult(name, first, last, sum(row.in_mean for row in own), _mean(own)))
    return tuple(found)


def _mean(rows: Iterable[ClassResult]) -> float:
    own = [row.average_precision for row in rows if row.in_mean]
    return float(np.mean(own)) if own else float("nan")


def _csv(rows: Iterable[ClassResult]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("id", "name", "average_precision", "ground_truth", "detections", "in_mean"))
    for row in rows:
        ap = "" if math.isnan(row.average_precision) else repr(row.average_precision)
        lines.writerow((row.id, row.name, ap, row.ground_truth, row.detections, "yes" if row.in_mean else "no"))
    return text.getvalue()
