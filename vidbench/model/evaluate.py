"""`vidbench model eval`: the accuracy of a model on a list of clips, view by view."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.dataset import NO_LABEL, ClipItem, ClipList, read_clips
from vidbench.errors import InputError, UsageError
from vidbench.memory import keep_memory
from vidbench.model import events, misses
from vidbench.model.card import Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.defences import Defended, defend
from vidbench.model.device import resolve_device
from vidbench.model.events import require_tensorboard, write_events
from vidbench.model.gradcam import cam_layers
from vidbench.model.layout import fast_layout
from vidbench.model.metrics import argmax, rank_of
from vidbench.model.misses import write_misses
from vidbench.model.protocol import Protocol
from vidbench.model.reading import Reader, read_all
from vidbench.model.resolve import LoadedModel, load_model, tell_of_defence
from vidbench.model.scoring import Scored, Scorer, batch_for, require_compiler
from vidbench.model.shards import LARGE, PATTERN, Team, gather, share_of
from vidbench.model.summary import class_names, summarise
from vidbench.model.views import VideoViews, video_views
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.records import Records
from vidbench.runs import RunDir, default_run_dir
from vidbench.seeds import seed_for
from vidbench.video.clip import Frames, VideoError
from vidbench.video.decoder import AUTO, DECODERS, choose
from vidbench.video.sampling import Resize

Json = dict[str, Any]


class EvaluateRequest(BaseModel):
    """What `model eval` is asked.

    Attributes:
        model: Catalogue name, run folder or file.
        clips: A list of `path label`, a manifest, a frame list, or images with their classes.
        out: Run folder; None for `runs/eval-<model>-<hash>`.
        root: Folder of the list's relative paths.
        protocol: The rule that views are taken by; None for the one of the model's published figure.
        views: Temporal x spatial views, "10x3"; None likewise.
        resize: "decode" or "exact"; None for the protocol's.
        weights: "pretrained", "random", the tag of other published weights or a file, for a catalogue name.
        pull: Download missing weights.
        defence: Defences before the model, "gcm,jpeg:75"; None for none.
        layout: "fast" (channels-last, folded normalisation) or "reference"; equal to about 1e-6.
        precision: "fp32", "bf16" or "fp16".
        compile: Run the network through `torch.compile`.
        batch: Views per forward pass; 0 for what fits.
        workers: Processes that decode; 0 for one per core.
        timeout_s: Seconds that reading one video may take.
        misses: Film strips to draw of the worst misses.
        cam: Draw below them where Grad-CAM finds the evidence.
        cam_layers: The modules that Grad-CAM looks at; empty chooses by the network.
        tensorboard: Write events for TensorBoard, too.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    clips: Path
    out: Path | None = None
    root: Path | None = None
    protocol: str | None = None
    views: str | None = None
    resize: Resize | None = None
    weights: str = "pretrained"
    pull: bool = False
    defence: str | None = None
    layout: str = Field("fast", pattern="^(fast|reference)$")
    precision: str = Field("fp32", pattern="^(fp32|bf16|fp16)$")
    compile: bool = False
    device: str = "auto"
    decoder: str = "pyav"
    batch: int = Field(0, ge=0)
    workers: int = Field(0, ge=0)
    timeout_s: float = Field(600.0, gt=0, allow_inf_nan=False)
    misses: int = Field(6, ge=0)
    cam: bool = False
    cam_layers: tuple[str, ...] = ()
    tensorboard: bool = False
    seed: int = 0
    limit: int | None = Field(None, ge=1)
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """The part that decides the result."""
        chosen = (
            "model", "clips", "root", "protocol", "views", "resize", "weights", "layout", "precision", "decoder",
            "seed", "limit",
        )  # fmt: skip
        settings = {name: value for name, value in self.model_dump(mode="json").items() if name in chosen}
        # only where there is one: the folder of a run is named by its settings
        return settings if self.defence is None else settings | {"defence": self.defence}


@dataclass(frozen=True)
class EvaluateResult:
    """What `model eval` found.

    Attributes:
        out: The run folder.
        resumed: Clips that were done before.
        summary: `summary.json`.
        first: Whether this process is the one that tells people, of several under torchrun.
    """

    out: Path
    resumed: int
    summary: Json
    first: bool = True


def evaluate(request: EvaluateRequest, reporter: Reporter | None = None) -> EvaluateResult:
    """Measure the accuracy of a model; a run that was interrupted goes on where it stopped.

    Every video is decoded once for all its views, by processes that a broken video may take down without harm to
    the run. A video that cannot be decoded is recorded as failed and counts in `failed`, never in the accuracy.
    Under torchrun all processes share the run: the records are those of one process.

    Raises:
        InputError: The list, or a label beyond the model's classes.
        MissingError: Weights or device.
        UsageError: No such defence, or another setting that does not fit.
        RunConflictError: `out` holds a run of other settings.
    """
    team = Team.join()
    try:
        return _evaluate(request, team, (reporter or SilentReporter()) if team.first else SilentReporter())
    finally:
        team.leave()


@dataclass(frozen=True)
class _Asked:
    """What a request stands for, once its model and its list are read."""

    device: torch.device
    model: LoadedModel
    clips: ClipList
    protocol: Protocol
    decoder: str
    out: Path


def _prepare(request: EvaluateRequest, team: Team, reporter: Reporter) -> _Asked:
    """Everything that can be wrong with a request, before there is a run folder."""
    if request.decoder != AUTO:
        DECODERS.get(request.decoder)
    if request.tensorboard:
        require_tensorboard()
    device = _device(request.device, team)
    if request.compile:
        require_compiler(device)
    model = load_model(
        request.model, weights=request.weights, pull=request.pull, seed=request.seed, device=device, reporter=reporter
    )
    tell_of_defence(model, request.defence, reporter)
    if request.defence is not None:
        model = replace(model, classifier=defend(model.classifier, request.defence))
    classifier = model.classifier
    if request.cam:
        cam_layers(classifier, request.cam_layers or None)
    clips = read_clips(request.clips, request.root, request.limit, several=classifier.several)
    protocol = protocol_for(request, model, clips)
    check_labels(clips, classifier.num_classes, request.model)
    decoder = choose(request.decoder, (item.path for item in clips.items if item.kind == "videos"))
    out = request.out or default_run_dir("eval", request.model, request.settings())
    return _Asked(device, model, clips, protocol, decoder, out)


def _evaluate(request: EvaluateRequest, team: Team, reporter: Reporter) -> EvaluateResult:
    asked = team.agree(lambda: _prepare(request, team, reporter))
    device, model, clips, protocol, out = asked.device, asked.model, asked.clips, asked.protocol, asked.out
    classifier = model.classifier
    reader = Reader(asked.decoder, preprocess_for(model, clips), protocol, request.resize)
    with ExitStack() as stack:
        run = _open(stack, request, asked, team)
        store = share_of(out, team) if run is None else run.store
        # a clip that failed is tried again: its file may have been mended
        done = team.tell([key for key, held in store.by_key.items() if _finished(held)]) or []
        finished = set(done)
        todo = [item for item in clips.items if item.key not in finished]
        resumed = len(clips.items) - len(todo)
        if resumed:
            reporter.info(f"{out}: {resumed} of {len(clips.items)} clips are done")
        scorer = Scorer(
            fast_layout(classifier) if request.layout == "fast" else classifier,
            protocol,
            request.batch or batch_for(reader.preprocess, protocol, device),
            request.precision,
            request.compile,
            _seeds(request.seed, classifier),
        )
        if team.size > 1:
            reporter.info(f"{team.size} processes share this run; what follows is this one's part")
        unit = "images" if clips.kind == "images" else "videos"
        _work(request, team, reader, scorer, todo, store, reporter, unit)
        team.wait()
        summary: Json = {}
        if run is not None:
            gather(out, store)
            store.settle([item.key for item in clips.items])
            summary = summarise(clips, store, model, reader, request.precision)
            _look(request, out, clips, store, model, reader, summary, reporter)
            run.finish(summary)
            if request.tensorboard:
                write_events(out, summary, request.settings())
        return EvaluateResult(out, resumed, team.tell(summary) or {}, team.first)


def _open(stack: ExitStack, request: EvaluateRequest, asked: _Asked, team: Team) -> RunDir | None:
    """The run folder, which the first process holds for all; an error of its is everyone's."""
    model, clips = asked.model, asked.clips
    resolved = {
        "architecture": model.architecture,
        "weights_sha256": model.weights_sha256,
        "list_sha256": clips.sha256,
        "root": str(clips.root),
        "root_rule": clips.root_rule,
        "protocol": str(asked.protocol),
    }
    if request.decoder == AUTO:
        resolved["decoder"] = asked.decoder

    def enter() -> RunDir | None:
        if not team.first:
            return None
        run = stack.enter_context(
            RunDir.open(
                asked.out,
                command="model eval",
                request=request.model_dump(mode="json"),
                settings=request.settings(),
                resolved=resolved,
                provenance=provenance(str(asked.device), request.seed) | _shared(team),
                overwrite=request.overwrite,
                products=(PATTERN, *misses.PRODUCTS, *events.PRODUCTS),
                on_disk=LARGE,
            )
        )
        gather(asked.out, run.store)
        return run

    return team.agree(enter)


def _shared(team: Team) -> Json:
    """How many processes share the run, for the record."""
    return {} if team.size == 1 else {"processes": team.size, "processes_per_machine": team.here}


def _work(
    request: EvaluateRequest,
    team: Team,
    reader: Reader,
    scorer: Scorer,
    todo: list[ClipItem],
    store: Records,
    reporter: Reporter,
    unit: str,
) -> None:
    # the processes on one machine share its cores
    processes = min(request.workers or max(1, (os.cpu_count() or 1) // team.here), max(1, len(todo)))
    on_cpu = scorer.device.type == "cpu"
    if on_cpu:
        keep_memory()
    with (
        reporter.task("Evaluating", total=len(todo), unit=unit) as task,
        closing(read_all(reader, team.deal(todo), processes, request.timeout_s, in_turns=on_cpu)) as read,
    ):
        right = good = 0
        for item, outcome in scorer.score(_views(read, reader)):
            record = _record(item, outcome)
            store.append(record)
            good += "rank" in record
            right += record.get("rank") == 0
            task.advance(note=f"top-1 {right / good:.1%}" if good else "")


def _look(
    request: EvaluateRequest,
    out: Path,
    clips: ClipList,
    store: Records,
    model: LoadedModel,
    reader: Reader,
    summary: Json,
    reporter: Reporter,
) -> None:
    """Draw the worst misses, and name their files in the summary."""
    found = write_misses(
        out,
        clips.items,
        store,
        lambda item: video_views(reader(item), reader.preprocess, reader.protocol),
        class_names(model),
        request.misses,
        model.classifier if request.cam else None,
        request.cam_layers or None,
    )
    summary["examples"] = list(found.examples)
    for remark in found.remarks:
        reporter.warn(remark)


def _views(
    read: Iterable[tuple[ClipItem, Frames | VideoError]], reader: Reader
) -> Iterator[tuple[ClipItem, VideoViews | VideoError]]:
    for item, found in read:
        yield item, found if isinstance(found, VideoError) else video_views(found, reader.preprocess, reader.protocol)


def _record(item: ClipItem, outcome: Scored | VideoError) -> Json:
    record: Json = {"key": item.key, "path": item.name}
    record |= {"labels": list(item.labels)} if item.label == NO_LABEL else {"label": item.label}
    if isinstance(outcome, VideoError):
        return record | {"status": "failed", "reason": str(outcome)}
    scores = outcome.scores
    if not all(math.isfinite(score) for score in scores):
        return record | {"status": "failed", "reason": "the network's output is not finite"}
    record |= {"status": "ok", "pred": argmax(scores)}
    if item.label != NO_LABEL:
        record["rank"] = rank_of(item.label, scores)
    return record | {"scores": scores, "frames": outcome.info.frames, "fps": str(outcome.info.fps)}


def _finished(record: Json) -> bool:
    """Whether a video has its scores: one whose record was changed by something else is done again."""
    return record.get("status") == "ok" and "pred" in record and ("rank" in record or "labels" in record)


def _seeds(seed: int, classifier: Classifier) -> Callable[[ClipItem, int], int] | None:
    """What the defences of each view draw from; None where nothing is random."""
    if not (isinstance(classifier, Defended) and classifier.random):
        return None
    return lambda item, view: seed_for(seed, "defence", item.key, view)


def _device(name: str, team: Team) -> torch.device:
    """The device of this process: of several, each takes a GPU of its own where there are enough."""
    if team.size > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        return resolve_device(f"cuda:{team.local % torch.cuda.device_count()}")
    return resolve_device(name)


def protocol_for(request: EvaluateRequest, model: LoadedModel, clips: ClipList) -> Protocol:
    """The views that are asked for, or those of the published figure; of an image there is one over time."""
    if clips.kind != "images":
        return Protocol.choose(model.card, request.protocol, request.views, model.weights)
    protocol = Protocol.choose(model.card, request.protocol, request.views or "1x1", model.weights)
    if protocol.views.temporal != 1:
        raise UsageError(f"--views {protocol.views}: an image has one view over time", "Say 1x1 or 1x3.")
    return protocol


def preprocess_for(model: LoadedModel, clips: ClipList) -> Preprocess:
    """The input of the network: of an image a frame-wise one takes a single frame."""
    size = model.classifier.preprocess
    return replace(size, frames=1) if clips.kind == "images" and model.card.framewise else size


def check_labels(clips: ClipList, num_classes: int, model: str) -> None:
    """Refuse a list whose labels the model does not have, before any work is done."""
    wrong = [item for item in clips.items if item.labels and max(item.labels) >= num_classes]
    if wrong:
        more = f" (and {len(wrong) - 1} more lines)" if len(wrong) > 1 else ""
        raise InputError(
            f"{clips.source}:{wrong[0].line}: label {max(wrong[0].labels)}, but {model} has {num_classes} classes, "
            f"0 to {num_classes - 1}{more}",
            "Check that list and model share one class table.",
        )
