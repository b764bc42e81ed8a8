"""The end of an evaluation of action detection: its files are written and scored, and its worst misses drawn."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidbench.data.ava_set import AvaSet, Keyframe
from vidbench.errors import InputError
from vidbench.formats import ava
from vidbench.model import detect_misses
from vidbench.model.ava_scorers import RULES
from vidbench.model.detect_figures import figures
from vidbench.model.detect_files import (
    CLASSES,
    DETECTIONS,
    EXCLUDED,
    GROUND_TRUTH,
    Seen,
    save_classes,
    save_detections,
    save_ground_truth,
)
from vidbench.model.detect_misses import write_misses
from vidbench.model.detect_request import Asked, EvaluateDetectRequest
from vidbench.model.score import ScoredFiles, ScoreRequest, score_files
from vidbench.progress import Reporter
from vidbench.records import Records
from vidbench.video.clip import VideoError
from vidbench.video.steady import GRID_FPS

Json = dict[str, Any]
PRODUCTS = (DETECTIONS, GROUND_TRUTH, CLASSES, EXCLUDED, *detect_misses.PRODUCTS)


def finish(request: EvaluateDetectRequest, asked: Asked, store: Records, out: Path, reporter: Reporter) -> Json:
    """Write the files, score them, draw the worst misses; gives what `summary.json` holds.

    Args:
        request: What was asked.
        asked: What it stands for.
        store: The records of all keyframes.
        out: The run folder.
        reporter: Hears of pictures that could not be drawn.

    Raises:
        InputError: No keyframe could be evaluated, or a file cannot be written.
    """
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
    asked: Asked,
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
    centre = known.centre + (second - known.second) * GRID_FPS
    if not 0 <= centre < source.count:
        raise VideoError("its picture is not there")
    return np.asarray(source.read([centre]).data[0], dtype=np.uint8)
