"""`vidbench model eval --task detect`: mean average precision of an action detector on an AVA set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidbench.data.ava_set import AvaSet, Keyframe
from vidbench.memory import keep_memory
from vidbench.model.detect_reading import Stretch, read_stretches, stretches
from vidbench.model.detect_request import EvaluateDetectRequest, prepare
from vidbench.model.detect_results import PRODUCTS, finish
from vidbench.model.detect_scoring import BoxScorer
from vidbench.model.device import resolve_device
from vidbench.progress import Reporter, SilentReporter, Task
from vidbench.provenance import provenance
from vidbench.runs import RunDir, content_hash, default_run_dir
from vidbench.video.clip import VideoError

Json = dict[str, Any]
LARGE = ("boxes", "scores")


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
    asked = prepare(request, reporter)
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
        summary = finish(request, asked, run.store, out, reporter)
        run.finish(summary)
    return EvaluateDetectResult(out, resumed, summary)


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
