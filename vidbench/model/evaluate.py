"""`vidbench model eval`: the accuracy of a model on a list of clips, view by view."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.dataset import ClipItem, ClipList, read_clips
from vidbench.errors import InputError
from vidbench.model.classifier import Classifier
from vidbench.model.device import resolve_device
from vidbench.model.layout import fast_layout
from vidbench.model.metrics import argmax, confusion, mean_class_accuracy, rank_of, wilson
from vidbench.model.resolve import LoadedModel, load_model
from vidbench.model.views import VideoViews, Views, read_views
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.runs import RunDir, default_run_dir
from vidbench.video.clip import VideoError
from vidbench.video.decoder import DECODERS

Json = dict[str, Any]
LARGEST_CONFUSION = 50


class EvaluateRequest(BaseModel):
    """What `model eval` is asked.

    Attributes:
        model: Catalogue name, run folder or file.
        clips: The list, `path label` per line, or a manifest.
        out: Run folder; None for `runs/eval-<model>-<hash>`.
        root: Folder of the list's relative paths.
        views: Temporal x spatial views, "10x3".
        weights: "pretrained", "random" or a file, for a catalogue name.
        pull: Download missing weights.
        layout: "fast" (channels-last, folded normalisation) or "reference"; equal to about 1e-6.
        batch: Views per forward pass.
        workers: Threads that decode; 0 for one per core.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    clips: Path
    out: Path | None = None
    root: Path | None = None
    views: str = "10x3"
    weights: str = "pretrained"
    pull: bool = False
    layout: str = Field("fast", pattern="^(fast|reference)$")
    device: str = "auto"
    decoder: str = "pyav"
    batch: int = Field(3, ge=1)
    workers: int = Field(0, ge=0)
    seed: int = 0
    limit: int | None = Field(None, ge=1)
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """The part that decides the result."""
        chosen = ("model", "clips", "root", "views", "weights", "layout", "decoder", "seed", "limit")
        return {name: value for name, value in self.model_dump(mode="json").items() if name in chosen}


@dataclass(frozen=True)
class EvaluateResult:
    """What `model eval` found: `summary.json`, and where it is."""

    out: Path
    resumed: int
    summary: Json


def evaluate(request: EvaluateRequest, reporter: Reporter | None = None) -> EvaluateResult:
    """Measure the accuracy of a model; a run that was interrupted goes on where it stopped.

    Every video is decoded once for all its views; the score of a class is the mean of the views'
    softmax (PySlowFast's test loop). A video that cannot be decoded is recorded as failed and counts
    in `failed`, never in the accuracy.

    Raises:
        InputError: The list, or a label beyond the model's classes.
        MissingError: Weights or device.
        RunConflictError: `out` holds a run of other settings.
    """
    reporter = reporter or SilentReporter()
    views = Views.parse(request.views)
    decode = DECODERS.get(request.decoder)
    device = resolve_device(request.device)
    clips = read_clips(request.clips, request.root, request.limit)
    model = load_model(
        request.model, weights=request.weights, pull=request.pull, seed=request.seed, device=device, reporter=reporter
    )
    check_labels(clips, model.classifier.num_classes, request.model)
    out = request.out or default_run_dir("eval", request.model, request.settings())
    resolved = {
        "architecture": model.architecture,
        "weights_sha256": model.weights_sha256,
        "list_sha256": clips.sha256,
        "root": str(clips.root),
        "root_rule": clips.root_rule,
    }
    with RunDir.open(
        out,
        command="model eval",
        request=request.model_dump(mode="json"),
        settings=request.settings(),
        resolved=resolved,
        provenance=provenance(str(device), request.seed),
        overwrite=request.overwrite,
    ) as run:
        # a clip that failed is tried again: its file may have been mended
        todo = [item for item in clips.items if run.records.get(item.key, {}).get("status") != "ok"]
        resumed = len(clips.items) - len(todo)
        if resumed:
            reporter.info(f"{out}: {resumed} of {len(clips.items)} clips are done")
        classifier = fast_layout(model.classifier) if request.layout == "fast" else model.classifier
        with reporter.task("Evaluating", total=len(todo), unit="videos") as task:
            read = lambda item: read_views(item.file(), model.classifier.preprocess, views, decode)  # noqa: E731
            with closing(prefetch(todo, read, request.workers)) as decoded:
                right = good = 0
                for item, outcome in decoded:
                    record = _record(item, outcome, classifier, device, request.batch)
                    run.append(record)
                    good += record["status"] == "ok"
                    right += record.get("pred") == item.label
                    task.advance(note=f"top-1 {right / good:.1%}" if good else "")
        summary = summarise(clips.items, run.records, model, views, clips.listed)
        run.finish(summary)
    return EvaluateResult(out, resumed, summary)


def check_labels(clips: ClipList, num_classes: int, model: str) -> None:
    """Refuse a list whose labels the model does not have, before any work is done."""
    wrong = [item for item in clips.items if item.label >= num_classes]
    if wrong:
        more = f" (and {len(wrong) - 1} more lines)" if len(wrong) > 1 else ""
        raise InputError(
            f"{clips.source}:{wrong[0].line}: label {wrong[0].label}, but {model} has {num_classes} classes, "
            f"0 to {num_classes - 1}{more}",
            "Check that list and model share one class table.",
        )


T = TypeVar("T")
R = TypeVar("R")


def prefetch(items: Sequence[T], work: Any, workers: int) -> Generator[tuple[T, Any]]:
    """`(item, result or VideoError)` in order, with a few items decoded ahead by threads."""
    count = workers or os.cpu_count() or 1
    queue: list[tuple[T, Future[Any]]] = []
    source = iter(items)
    pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
    try:
        queue.extend((item, pool.submit(work, item)) for item in islice(source, count + 1))
        while queue:
            item, future = queue.pop(0)
            try:
                result = future.result()
            except VideoError as error:
                result = error
            queue.extend((following, pool.submit(work, following)) for following in islice(source, 1))
            yield item, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _record(
    item: ClipItem, outcome: VideoViews | VideoError, classifier: Classifier, device: torch.device, batch: int
) -> Json:
    record: Json = {"key": item.key, "path": item.name, "label": item.label}
    if isinstance(outcome, VideoError):
        return record | {"status": "failed", "reason": str(outcome)}
    started = time.perf_counter()
    scores = score_views(classifier, outcome, device, batch)
    if not all(math.isfinite(score) for score in scores):
        return record | {"status": "failed", "reason": "the network's output is not finite"}
    return record | {
        "status": "ok",
        "pred": argmax(scores),
        "scores": scores,
        "frames": outcome.info.frames,
        "fps": str(outcome.info.fps),
        "seconds": round(time.perf_counter() - started, 3),
    }


@torch.inference_mode()
def score_views(classifier: Classifier, video: VideoViews, device: torch.device, batch: int) -> list[float]:
    """The K class scores of one video: the mean over its views of softmax, in [0, 1], to 7 digits."""
    total = torch.zeros(classifier.num_classes, dtype=torch.float64)
    for clips in video.batches(batch):
        total += torch.softmax(classifier(clips.to(device)).float(), dim=1).double().sum(0).cpu()
    return [float(f"{score:.7g}") for score in (total / len(video)).tolist()]


def summarise(
    items: Sequence[ClipItem], records: Mapping[str, Json], model: LoadedModel, views: Views, listed: int
) -> Json:
    """The figures of a run: a function of its records alone, in the order of the list."""
    classifier = model.classifier
    taken = [(item, records[item.key]) for item in items if item.key in records]
    good = [(item, record) for item, record in taken if record["status"] == "ok"]
    labels = [item.label for item, _ in good]
    predictions = [record["pred"] for _, record in good]
    right = sum(label == prediction for label, prediction in zip(labels, predictions, strict=True))
    within = min(5, classifier.num_classes)
    right5 = sum(rank_of(item.label, record["scores"]) < within for item, record in good)
    low, high = wilson(right, len(good))
    names = classifier.classes or tuple(str(index) for index in range(classifier.num_classes))
    per_class = [
        {
            "label": label,
            "class": names[label],
            "clips": labels.count(label),
            "correct": sum(truth == label == guess for truth, guess in zip(labels, predictions, strict=True)),
        }
        for label in sorted(set(labels))
    ]
    summary: Json = {
        "kind": "eval",
        "model": model.reference,
        "architecture": model.architecture,
        "classes": list(classifier.classes) or None,
        "num_classes": classifier.num_classes,
        "listed": listed,
        "clips": len(items),
        "evaluated": len(good),
        "failed": len(taken) - len(good),
        "top1": right / len(good) if good else None,
        "top1_low": low,
        "top1_high": high,
        "top5": right5 / len(good) if good else None,
        "mean_class_accuracy": mean_class_accuracy(labels, predictions),
        "views": {"temporal": views.temporal, "spatial": views.spatial},
        "per_class": per_class,
        "failures": [
            {"path": item.name, "reason": record["reason"]} for item, record in taken if record["status"] != "ok"
        ],
    }
    if classifier.num_classes <= LARGEST_CONFUSION:
        summary["confusion"] = confusion(labels, predictions, classifier.num_classes)
    return summary
