"""`vidbench model eval --task detect`: mean average precision of an action detector on an AVA set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.ava_set import FIRST_SECOND, MIN_SCORE, AvaFiles, AvaSet, Keyframe, read_ava_set
from vidbench.errors import InputError, UsageError
from vidbench.formats import ava
from vidbench.formats.labels import spelling
from vidbench.memory import keep_memory
from vidbench.model import detect_misses
from vidbench.model.ava_scorers import RULES, Scorer
from vidbench.model.detect_figures import figures
from vidbench.model.detect_files import (
    CLASSES,
    DETECTIONS,
    EXCLUDED,
    GROUND_TRUTH,
    Seen,
    outputs_of,
    save_classes,
    save_detections,
    save_ground_truth,
)
from vidbench.model.detect_misses import write_misses
from vidbench.model.detect_reading import Stretch, read_stretches, stretches
from vidbench.model.detect_scoring import BoxScorer
from vidbench.model.detection import LoadedDetector, load_detector
from vidbench.model.device import resolve_device
from vidbench.model.label_map import load_classes
from vidbench.model.score import ScoredFiles, ScoreRequest, score_files
from vidbench.progress import Reporter, SilentReporter, Task
from vidbench.provenance import provenance
from vidbench.records import Records
from vidbench.runs import RunDir, content_hash, default_run_dir
from vidbench.video.clip import VideoError

Json = dict[str, Any]
LARGE = ("boxes", "scores")
PRODUCTS = (DETECTIONS, GROUND_TRUTH, CLASSES, EXCLUDED, *detect_misses.PRODUCTS)


class EvaluateDetectRequest(BaseModel):
    """What `model eval --task detect` is asked.

    Attributes:
        model: Catalogue name of an action detector, run folder or file.
        data: A labelled set, its export in AVA's layout, or the published files.
        part: "val", "train" or "test".
        boxes: "truth": whose boxes are asked about are those of the ground truth; "detected": those of a person
            detector, which published figures use.
        boxes_file: The detector's boxes; None for those of the folder.
        min_score: The least score of a detector's box, in [0, 1]; None for 0.9.
        videos: Folder of video files that are read in place of frames.
        frames: Folder that the paths of the frame list start from.
        first_second: The second that the first picture of a video shows.
        video_start: The second of the video files at which the first picture lies; None as `read_ava_set` has it.
        missing: "refuse" a set some of whose videos or frames are not there, or "skip" these and say so.
        scorer: Whose rules count.
        labels: The classes that count: as of `ScoreRequest.labels`; None for those that the set says are scored.
        exclude: Seconds that do not count; None for the folder's.
        groups: As of `ScoreRequest.groups`.
        out: Run folder; None for `runs/eval-<model>-<hash>`.
        weights: "pretrained", "random", the tag of other published weights or a file, for a catalogue name.
        pull: Download missing weights.
        precision: "fp32", "bf16" or "fp16".
        batch: Keyframes per forward pass; 0 for what fits.
        workers: Processes that decode; 0 for one per core.
        timeout_s: Seconds that reading a few keyframes of a video may take.
        misses: Pictures of the worst misses, of each kind.
        limit: Take the first so many keyframes.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    data: Path
    part: Literal["train", "val", "test"] = "val"
    boxes: Literal["truth", "detected"] = "truth"
    boxes_file: Path | None = None
    min_score: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    videos: Path | None = None
    frames: Path | None = None
    first_second: int = Field(FIRST_SECOND, ge=0)
    video_start: int | None = Field(None, ge=0)
    missing: Literal["refuse", "skip"] = "refuse"
    scorer: Scorer = "activitynet"
    labels: str | None = None
    exclude: Path | None = None
    groups: Literal["auto", "ava", "none"] = "auto"
    out: Path | None = None
    weights: str = "pretrained"
    pull: bool = False
    precision: str = Field("fp32", pattern="^(fp32|bf16|fp16)$")
    device: str = "auto"
    batch: int = Field(0, ge=0)
    workers: int = Field(0, ge=0)
    timeout_s: float = Field(600.0, gt=0, allow_inf_nan=False)
    misses: int = Field(6, ge=0)
    seed: int = 0
    limit: int | None = Field(None, ge=1)
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """The part that decides the result."""
        without = {"out", "pull", "device", "batch", "workers", "timeout_s", "misses", "overwrite", "argv"}
        return {"task": "detect"} | self.model_dump(mode="json", exclude=without)


@dataclass(frozen=True)
class EvaluateDetectResult:
    """What `model eval --task detect` found.

    Attributes:
        out: The run folder.
        resumed: Keyframes that were done before.
        summary: `summary.json`.
    """

    out: Path
    resumed: int
    summary: Json


@dataclass(frozen=True)
class _Asked:
    """What a request stands for, once its model and its set are read.

    Attributes:
        truth: The file of the ground truth.
        least: The least score of a detected box.
        classes: Numbers and names of the classes that count.
        outputs: The network's output of each.
        listed: Keyframes of the part, whatever the limit.
    """

    model: LoadedDetector
    data: AvaSet
    truth: Path
    least: float
    classes: dict[int, str]
    outputs: dict[int, int]
    listed: int


def evaluate_detect(request: EvaluateDetectRequest, reporter: Reporter | None = None) -> EvaluateDetectResult:
    """Measure an action detector; a run that was interrupted goes on where it stopped.

    Every keyframe is read as PySlowFast's AVA test reads it: the clip around it, the whole frame at the network's
    short side. All classes of all boxes are scored by sigmoid. The run folder then has `detections.csv`,
    `groundtruth.csv`, `classes.pbtxt` and, where seconds are excluded, `excluded.csv`; the figures are what
    `model score` says of them. A keyframe that cannot be read, or whose output is not finite, is recorded as failed:
    it is in neither file, so it counts in `failed` and not in the figures. Seconds that the set excludes are not
    looked at; a scorer that takes no exclusions gets a ground truth without them.

    Raises:
        InputError: The model, the set, or classes of the set that the model does not have.
        MissingError: Weights or device.
        RunConflictError: `out` holds a run of other settings.
    """
    reporter = reporter or SilentReporter()
    device = resolve_device(request.device)
    asked = _prepare(request, reporter)
    keyframes = asked.data.keyframes
    detector = asked.model.detector.to(device)
    out = request.out or default_run_dir("eval", request.model, request.settings())
    with RunDir.open(
        out,
        command="model eval",
        request=request.model_dump(mode="json"),
        settings=request.settings(),
        resolved={
            "architecture": asked.model.architecture,
            "weights_sha256": asked.model.weights_sha256,
            "set_sha256": asked.data.sha256,
            "classes_sha256": content_hash({str(number): name for number, name in asked.classes.items()}),
        },
        provenance=provenance(str(device), request.seed),
        overwrite=request.overwrite,
        products=PRODUCTS,
        on_disk=LARGE,
    ) as run:
        # one that failed is tried again: its file may have been mended
        todo = {one.key for one in keyframes if not _finished(run.records.get(one.key), one)}
        resumed = len(keyframes) - len(todo)
        if resumed:
            reporter.info(f"{out}: {resumed} of {len(keyframes)} keyframes are done")
        if device.type == "cpu":
            keep_memory()
        _work(request, BoxScorer(detector, request.batch, request.precision), asked.data, todo, run, reporter)
        run.store.settle([one.key for one in keyframes])
        summary = _finish(request, asked, run.store, out, reporter)
        run.finish(summary)
    return EvaluateDetectResult(out, resumed, summary)


def _prepare(request: EvaluateDetectRequest, reporter: Reporter) -> _Asked:
    """Everything that can be wrong with a request, before there is a run folder; the set is read before the model."""
    if request.boxes == "truth" and (request.boxes_file is not None or request.min_score is not None):
        option = "--min-score" if request.boxes_file is None else "--boxes-file"
        raise UsageError(f"{option} goes with --boxes detected", "Leave it out, or ask about detected boxes.")
    least = MIN_SCORE if request.min_score is None else request.min_score
    data = read_ava_set(
        request.data,
        request.part,
        boxes=request.boxes,
        min_score=least,
        videos=request.videos,
        frames=request.frames,
        given=AvaFiles(detected=request.boxes_file, excluded=request.exclude),
        first_second=request.first_second,
        video_start=request.video_start,
        missing=request.missing,
    )
    truth = data.groundtruth
    if truth is None:
        raise InputError(
            f"{request.data} has no ground truth of the part {request.part!r}, so there is nothing to score with",
            "Give another --part, or look at what the model says: vidbench model predict.",
        )
    classes = _counted(request, data)
    done = {label for one in data.keyframes for labels in one.labels for label in labels}
    if request.boxes == "truth" and not done & classes.keys():
        raise InputError(
            f"{truth}: no person does anything of the {len(classes)} classes that count",
            "Check the label map: --labels.",
        )
    for remark in data.remarks:
        reporter.info(remark)
    model = load_detector(
        request.model, weights=request.weights, pull=request.pull, seed=request.seed, reporter=reporter
    )
    detector = model.detector
    outputs = outputs_of(classes, detector.classes, detector.num_classes, request.model)
    listed = len(data.keyframes)
    if request.limit is not None and request.limit < listed:
        data = replace(data, keyframes=data.keyframes[: request.limit], limited=True)
    return _Asked(model, data, truth, least, classes, outputs, listed)


def _counted(request: EvaluateDetectRequest, data: AvaSet) -> dict[int, str]:
    """The classes that count; a label map of one's own must mean the same by its numbers as the set."""
    if request.labels is None:
        return {number: data.classes[number] for number in data.scored}
    classes = load_classes(request.labels)
    for number, name in classes.items():
        own = data.classes.get(number)
        if own is not None and spelling(own) != spelling(name):
            raise InputError(
                f"--labels {request.labels}: class {number} is {name!r}, but {own!r} in {request.data}",
                "Give a label map with the numbers of the set.",
            )
    return classes


def _finished(record: Json | None, keyframe: Keyframe) -> bool:
    return record is not None and record.get("status") == "ok" and record.get("persons") == len(keyframe.boxes)


def _work(
    request: EvaluateDetectRequest,
    scorer: BoxScorer,
    data: AvaSet,
    todo: set[str],
    run: RunDir,
    reporter: Reporter,
) -> None:
    # the same parts whatever is done already: sums of a network differ in their last digits with what it is given
    # at once, and a resumed run shall end as one that ran through
    parts = (part for part in stretches(data.keyframes, data.sources) if any(one.key in todo for one in part.keyframes))
    with reporter.task("Evaluating", total=len(todo), unit="keyframes") as task:
        again = _pass(request, scorer, parts, todo, run, task)
        # of keyframes that are read together one that cannot be read takes the others with it
        _pass(request, scorer, stretches(again, data.sources, most=1), todo, run, task)


def _pass(
    request: EvaluateDetectRequest,
    scorer: BoxScorer,
    parts: Iterable[Stretch],
    todo: set[str],
    run: RunDir,
    task: Task,
) -> list[Keyframe]:
    """Record the keyframes that are to be done, but those that could not be read with others: these are given back."""
    processes = request.workers or os.cpu_count() or 1
    preprocess = scorer.detector.preprocess
    again: list[Keyframe] = []
    reading = read_stretches(parts, preprocess, processes, request.timeout_s, scorer.detector.device.type == "cpu")
    with closing(reading) as read:
        for stretch, found in read:
            if isinstance(found, VideoError) and len(stretch.keyframes) > 1:
                again += [one for one in stretch.keyframes if one.key in todo]
                continue
            rows: Sequence[NDArray[np.float64] | VideoError] = (
                [found] if isinstance(found, VideoError) else scorer.score(found, stretch.keyframes)
            )
            for keyframe, outcome in zip(stretch.keyframes, rows, strict=True):
                if keyframe.key in todo:
                    run.append(_record(keyframe, outcome))
                    task.advance()
    return again


def _record(keyframe: Keyframe, outcome: NDArray[np.float64] | VideoError) -> Json:
    record: Json = {"key": keyframe.key, "video": keyframe.video, "second": keyframe.second}
    if isinstance(outcome, VideoError):
        return record | {"status": "failed", "reason": str(outcome)}
    if not np.isfinite(outcome).all():
        return record | {"status": "failed", "reason": "the network's output is not finite"}
    scores = [[round(score, 12) for score in row] for row in outcome.tolist()]
    return record | {"status": "ok", "persons": len(scores), "boxes": keyframe.boxes.tolist(), "scores": scores}


def _finish(request: EvaluateDetectRequest, asked: _Asked, store: Records, out: Path, reporter: Reporter) -> Json:
    """Write the files, score them, draw the worst misses; gives what `summary.json` holds."""
    data = asked.data
    taken = [(one, store.by_key[one.key]) for one in data.keyframes]
    good = [one for one, record in taken if record["status"] == "ok"]
    failed = [(one, record) for one, record in taken if record["status"] != "ok"]
    if not good:
        raise InputError(
            f"none of the {len(failed)} keyframes could be evaluated; the first: {failed[0][1]['reason']}",
            f"The reasons are in {store.path}.",
        )
    files, written = _score(request, asked, store, good, {(one.video, one.second) for one, _ in failed}, out, reporter)
    size = asked.model.detector.preprocess
    found = figures(files)
    remarks = [*data.remarks, *files.result.remarks, *written]
    shown = "-" if found["mean_ap"] is None else f"{found['mean_ap']:.2%}"
    summary: Json = {
        "kind": "eval",
        "task": "detect",
        "headline": f"mAP {shown} at IoU 0.5 ({request.scorer}'s rules)",
        "model": asked.model.reference,
        "architecture": asked.model.architecture,
        "weights": asked.model.weights,
        "data": str(request.data),
        "part": request.part,
        "boxes_from": request.boxes,
        "min_score": asked.least if request.boxes == "detected" else None,
        "listed": asked.listed,
        "clips": len(taken),
        "evaluated": len(good),
        "failed": len(failed),
        "boxes": sum(len(one.boxes) for one in good),
        "videos": len({one.video for one in good}),
        "frames": size.frames,
        "stride": size.stride,
        "short_side": size.short_side,
        "precision": request.precision,
        **found,
        "remarks": remarks,
        "failures": [{"path": f"{one.video} {one.second:04d}", "reason": record["reason"]} for one, record in failed],
    }
    examples, undrawn = write_misses(out, files, asked.classes, partial(_picture, data), request.misses)
    summary["examples"] = list(examples)
    for remark in undrawn:
        reporter.warn(remark)
    return summary


def _score(
    request: EvaluateDetectRequest,
    asked: _Asked,
    store: Records,
    good: list[Keyframe],
    failed: set[tuple[str, int]],
    out: Path,
    reporter: Reporter,
) -> tuple[ScoredFiles, list[str]]:
    """What the scorer says of the files, which are written first, and remarks on them."""
    data, rules = asked.data, RULES[request.scorer]
    remarks: list[str] = []
    inside = data.scope()
    excluded = sorted(moment for moment in data.excluded if inside(*moment))
    if excluded and not rules.exclusions:
        remarks.append(f"{len(excluded)} excluded seconds are in neither file: {request.scorer}'s scorer takes no list")
    left_out = failed if rules.exclusions else failed | set(excluded)

    def kept(row: ava.Label | ava.Second) -> bool:
        # a line without a box says something to a scorer that reads it, and is malformed for the others
        read = isinstance(row, ava.Label) or 2 in rules.truth.columns
        return read and inside(row.video, row.second) and (row.video, row.second) not in left_out

    save_detections(out / DETECTIONS, _seen(good, store), asked.outputs)
    save_ground_truth(out / GROUND_TRUTH, filter(kept, ava.load(asked.truth, ava.parse_labels)))
    save_classes(out / CLASSES, asked.classes)
    (out / EXCLUDED).unlink(missing_ok=True)
    listed = excluded if rules.exclusions else []
    if listed:
        ava.save(out / EXCLUDED, ava.dump_seconds(ava.Second(*moment) for moment in listed))
    files = score_files(
        ScoreRequest(
            detections=out / DETECTIONS,
            groundtruth=out / GROUND_TRUTH,
            labels=str(out / CLASSES),
            exclude=out / EXCLUDED if listed else None,
            scorer=request.scorer,
            groups=request.groups,
            every=1,
        ),
        reporter,
    )
    return files, remarks


def _seen(good: list[Keyframe], store: Records) -> Iterator[Seen]:
    for one in good:
        record = store.read(one.key)
        yield Seen(one.video, one.second, record["boxes"], record["scores"])


def _picture(data: AvaSet, video: str, second: int) -> NDArray[np.uint8]:
    """The frame of a keyframe; a second at which nobody was asked about is found by the distance from one that was."""
    source = data.sources.get(video)
    if source is None:
        raise VideoError("no keyframe of this video was looked at")
    known = next(one for one in data.keyframes if one.video == video)
    centre = known.centre + (second - known.second) * 30
    if not 0 <= centre < source.count:
        raise VideoError("its picture is not there")
    return np.asarray(source.read([centre]).data[0], dtype=np.uint8)
