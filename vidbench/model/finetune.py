"""`vidbench model finetune`: train a classifier on a list of clips, epoch by epoch, resumable."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from vidbench.errors import InputError
from vidbench.model.checkpoint import ModelInfo, save_model
from vidbench.model.device import resolve_device
from vidbench.model.events import PRODUCTS as EVENTS
from vidbench.model.events import require_tensorboard
from vidbench.model.layout import training_layout
from vidbench.model.resolve import how_to_use
from vidbench.model.train.feed import Feed
from vidbench.model.train.loop import BEST, STATE, Training
from vidbench.model.train.optimizers import freeze
from vidbench.model.train.recompute import recompute_blocks
from vidbench.model.train.rule import Plain
from vidbench.model.train.settings import TrainSettings, deciding
from vidbench.model.train.start import Start, starting
from vidbench.model.train.step_log import STEPS
from vidbench.model.train.task_data import ListData, TaskData
from vidbench.model.zoo import MODELS, ModelCard
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.runs import RunDir, default_run_dir
from vidbench.seeds import seed_for

Json = dict[str, Any]
Learnt = Literal["classify", "multilabel"]
EPOCHS = "epochs.jsonl"
PRODUCTS = (STATE, BEST, STEPS, "model.json", "model.safetensors", *EVENTS)


class FinetuneRequest(TrainSettings):
    """What `model finetune` is asked; how to train is said by the fields of `TrainSettings`.

    Attributes:
        model: Catalogue name: the architecture.
        clips: The training list, `path label` per line; for "multilabel" `path 3,17,42`.
        task: "classify", one class per clip; "multilabel", any number of them. None for the model's own.
        init: "scratch", "pretrained", or a file or run folder whose weights are the start; a head
            with another number of classes is replaced and named, and so is attention over time that a file
            of an image network does not have. A model of ours brings its input and what its layers have other.
        val: A list to measure after each epoch, centre view; the best epoch is the one kept.
        classes: File with one class name per line; without it classes are called by their number.
        flip: Probability of a horizontal flip; 0 where left and right are classes.
        jitter: Largest short side in training, as a multiple of the crop.
        cache_mb: Memory for decoded videos; what does not fit is decoded again each epoch.
        argv: The command line, for the record.
    """

    model: str
    clips: Path
    task: Learnt | None = None
    init: str = "scratch"
    val: Path | None = None
    classes: Path | None = None
    root: Path | None = None
    out: Path | None = None
    flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(1.25, ge=1, le=4)
    pull: bool = False
    device: str = "auto"
    decoder: str = "pyav"
    workers: int = Field(0, ge=0)
    cache_mb: int = Field(2048, ge=0)
    seed: int = 0
    limit: int | None = Field(None, ge=1)
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """The part that decides the result."""
        aside = ("out", "pull", "device", "workers", "cache_mb", "overwrite", "argv")
        values = {name: value for name, value in deciding(self.model_dump(mode="json")).items() if name not in aside}
        # named where it is asked for alone: a run folder is named by its settings
        return {name: value for name, value in values.items() if name != "task" or value is not None}


@dataclass(frozen=True)
class FinetuneResult:
    """What `model finetune` made: a model in `out`, and `summary.json`."""

    out: Path
    resumed: int
    summary: Json


def finetune(request: FinetuneRequest, reporter: Reporter | None = None) -> FinetuneResult:
    """Train; an interrupted run goes on where its state was last stored and ends as if it had run through.

    All that is random is drawn from (seed, epoch, clip), or from generators whose state is stored, so nothing depends
    on threads or on where a run was interrupted. Clips that cannot be decoded are left out and reported, never
    replaced.

    Raises:
        InputError: The lists, the class names, or the initial weights; the model does not learn such a task, or the
            list is not one of videos; a loss that is not finite.
        MissingError: Weights, device, or the extra for TensorBoard.
        RunConflictError: `out` holds a run of other settings.
    """
    reporter = reporter or SilentReporter()
    card = MODELS.get(request.model)
    task = _task(request, card)
    if request.tensorboard:
        require_tensorboard()
    device = resolve_device(request.device)
    data: TaskData = ListData(
        request.clips, request.val, request.classes, request.root, request.limit, task == "multilabel"
    )
    start = starting(
        card, request.init, data.names, seed_for(request.seed, "init"), task == "multilabel", request.pull, reporter
    )
    frozen = freeze(start.model.net, request.freeze, card.head) if request.freeze else ()
    if request.checkpointing:
        recompute_blocks(start.model.net)
    out = request.out or default_run_dir("finetune", request.model, request.settings())
    with RunDir.open(
        out,
        command="model finetune",
        request=request.model_dump(mode="json"),
        settings=request.settings(),
        resolved={**data.resolved(), **start.resolved},
        provenance=provenance(str(device), request.seed),
        overwrite=request.overwrite,
        records_name=EPOCHS,
        products=PRODUCTS,
    ) as run:
        model = training_layout(start.model.to(device))
        train, val = data.open(model.preprocess, request)
        with ThreadPoolExecutor(request.workers or os.cpu_count() or 1, thread_name_prefix="clips") as pool:
            feed = Feed(seed=request.seed, batch=request.batch, pool=pool)
            training = Training(model, request, request.seed, data.objective, train, val, feed, run, card.head, Plain())
            _tell(request, training.lr, frozen, reporter)
            resumed = training.resume()
            _tell_resumed(training, out, resumed, reporter)
            training.run(reporter)
        summary = _finish(request, task, training, data.names, start, frozen)
        run.finish(summary)
    return FinetuneResult(out, resumed, summary)


def _task(request: FinetuneRequest, card: ModelCard) -> Learnt:
    """What is learnt; InputError where the model cannot."""
    if card.task not in ("classify", "multilabel"):
        raise InputError(f"{card.name} cannot be trained: finetune trains classifiers of clips", how_to_use(card))
    return request.task or card.task


def _tell(request: FinetuneRequest, lr: float, frozen: tuple[str, ...], reporter: Reporter) -> None:
    if request.base_batch is not None:
        per_step = f"{request.clips_per_step} clips per step / {request.base_batch}"
        reporter.info(f"largest learning rate: {request.lr:g} x {per_step} = {lr:g}")
    if frozen:
        reporter.info(f"frozen: {len(frozen)} tensors, {frozen[0]} to {frozen[-1]}")


def _tell_resumed(training: Training, out: Path, resumed: int, reporter: Reporter) -> None:
    at = training.state.position
    within = f", and {at.batch} batches of the next" if at.batch else ""
    if resumed or within:
        reporter.info(f"{out}: {resumed} of {training.settings.epochs} epochs are done{within}")


def _finish(
    request: FinetuneRequest, task: Learnt, training: Training, names: tuple[str, ...], start: Start,
    frozen: tuple[str, ...],
) -> Json:  # fmt: skip
    """Write the best epoch as the model, and give the summary."""
    folder, state = training.folder, training.state
    best_val = f"best_val_{training.objective.figure}"
    records = [folder.records[key] for key in sorted(folder.records)]
    failures = {failure["path"]: failure for record in records for failure in record["failures"]}
    best = torch.load(folder.path / BEST, weights_only=True, map_location="cpu")["model"]
    info = ModelInfo(
        architecture=request.model,
        classes=names,
        preprocess=training.model.preprocess,
        init=request.init,
        trained={"epochs": len(records), "best_epoch": state.best_epoch, best_val: state.best_val},
        variant=start.variant,
        task=task if task != MODELS.get(request.model).task else "",
    )
    save_model(folder.path, {name: tensor.contiguous() for name, tensor in best.items()}, info)
    parameters = list(training.model.parameters())
    return {
        "kind": "finetune",
        "model": request.model,
        "task": task,
        "init": start.init,
        "replaced": list(start.replaced),
        "classes": list(names),
        "epochs": len(records),
        "steps": state.position.step,
        "lr": training.lr,
        "clips": len(training.train),
        "best_epoch": state.best_epoch,
        best_val: state.best_val,
        "weights": "average" if request.ema else "last step",
        "final_train_loss": records[-1]["train_loss"],
        "seconds": round(sum(record["seconds"] for record in records), 2),
        "parameters": sum(parameter.numel() for parameter in parameters),
        "trained_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "frozen": list(frozen),
        "failed": len(failures),
        "failures": list(failures.values()),
    }
