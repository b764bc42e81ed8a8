"""`vidbench model finetune`: train a network on clips, or on boxes in clips, epoch by epoch, resumable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vidbench.errors import InputError, UsageError
from vidbench.model.checkpoint import ModelInfo, save_model
from vidbench.model.classifier import Classifier
from vidbench.model.defences import defend
from vidbench.model.detection import HEAD
from vidbench.model.events import PRODUCTS as EVENTS
from vidbench.model.events import require_tensorboard
from vidbench.model.finetune_request import DECODER, FinetuneRequest, Learnt
from vidbench.model.layout import training_layout
from vidbench.model.resolve import how_to_use
from vidbench.model.shards import Team
from vidbench.model.train.adversarial import rule_for
from vidbench.model.train.adversarial_settings import PgdTraining
from vidbench.model.train.ava_data import AvaData
from vidbench.model.train.batch import Network
from vidbench.model.train.detector_start import starting_detector
from vidbench.model.train.devices import own_device, several_devices
from vidbench.model.train.dropout import head_dropout
from vidbench.model.train.feed import Feed
from vidbench.model.train.launch import launch, started_by_torchrun
from vidbench.model.train.loop import BEST, STATE, Training
from vidbench.model.train.optimizers import freeze
from vidbench.model.train.peers import Peers, one_fate
from vidbench.model.train.recompute import recompute_blocks
from vidbench.model.train.robust import RobustValidation
from vidbench.model.train.start import Start, starting
from vidbench.model.train.step_log import STEPS
from vidbench.model.train.sync_bn import synchronise
from vidbench.model.train.task_data import ListData, TaskData
from vidbench.model.zoo import MODELS, ModelCard
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.records import Records
from vidbench.runs import RunDir, default_run_dir
from vidbench.seeds import seed_for

Json = dict[str, Any]
EPOCHS = "epochs.jsonl"
PRODUCTS = (STATE, BEST, STEPS, "model.json", "model.safetensors", *EVENTS)


@dataclass(frozen=True)
class FinetuneResult:
    """What `model finetune` made: a model in `out`, and `summary.json`.

    Attributes:
        first: Whether this process is the one that tells people, of several under torchrun.
    """

    out: Path
    resumed: int
    summary: Json
    first: bool = True


def finetune(request: FinetuneRequest, reporter: Reporter | None = None) -> FinetuneResult:
    """Train; an interrupted run goes on where its state was last stored and ends as if it had run through.

    All that is random is drawn from (seed, epoch, clip), or from generators whose state is stored, so nothing depends
    on threads or on where a run was interrupted. Clips that cannot be decoded are left out and reported, never
    replaced.

    Several processes, those of `devices` or of torchrun, each take a stretch of every batch and make one step
    together: the losses are those of one process but for the order of sums. The first one holds the run folder.

    Raises:
        InputError: The lists, the class names, or the initial weights; the model does not learn such a task, or the
            list is not one of videos; a loss that is not finite.
        MissingError: Weights, device, or the extra for TensorBoard.
        RunConflictError: `out` holds a run of other settings.
        ProcessLostError: One of several processes was killed.
    """
    reporter = reporter or SilentReporter()
    devices = several_devices(request.devices) if request.devices else ()
    if len(devices) > 1 and not started_by_torchrun():
        return launch(partial(_joined, request, devices), len(devices), reporter)
    return _joined(request, devices, reporter)


def _joined(request: FinetuneRequest, devices: tuple[str, ...], reporter: Reporter) -> FinetuneResult:
    """The part of a training that one process has."""
    team = Team.join()
    with one_fate(team):
        peers = Peers(team, own_device(request.device, devices, team))
        result = _finetune(request, team, peers, reporter if team.first else SilentReporter())
    team.leave()
    return result


def _finetune(request: FinetuneRequest, team: Team, peers: Peers, reporter: Reporter) -> FinetuneResult:
    card = MODELS.get(request.model)
    task = _task(request, card)
    rule, robust = rule_for(request.adversarial, request.eps_warmup), _robust(request)
    if request.tensorboard:
        require_tensorboard()
    data, start = _begun(request, task, card, reporter)
    head = HEAD if task == "detect" else card.head
    network = _behind(start.model, request)
    frozen = freeze(start.model.net, request.freeze, head) if request.freeze else ()
    if request.dropout is not None and task != "detect":
        head_dropout(start.model.net, card.head, request.dropout)
    if request.checkpointing:
        recompute_blocks(start.model.net)
    out = request.out or default_run_dir("finetune", request.model, request.settings())
    with (RunDir.open if peers.first else _beside)(
        out,
        command="model finetune",
        request=request.model_dump(mode="json"),
        settings=request.settings(),
        resolved={**data.resolved(), **start.resolved, **_apart(request, team)},
        provenance={**provenance(str(peers.device), request.seed), **_processes(team)},
        overwrite=request.overwrite,
        records_name=EPOCHS,
        products=PRODUCTS,
    ) as run:
        model = training_layout(network.to(peers.device))
        if team.size > 1 and request.sync_bn and not request.freeze_bn:
            synchronise(model, peers)
        train, val = data.open(model.preprocess, request.model_copy(update={"cache_mb": request.cache_mb // team.here}))
        with ThreadPoolExecutor(_readers(request, team), thread_name_prefix="clips") as pool:
            feed = Feed(seed=request.seed, batch=request.batch, pool=pool, peers=peers)
            training = Training(
                model, request, request.seed, data.objective, train, val, feed, run, head, rule, robust, peers
            )
            _tell(request, training.lr, frozen, reporter)
            resumed = training.resume()
            _tell_resumed(training, out, resumed, reporter)
            training.run(reporter)
        summary: Json = {}
        if peers.first:
            summary = _finish(request, task, training, data.names, start, frozen) | _processes(team)
            run.finish(summary)
        summary = peers.tell(summary)
    return FinetuneResult(out, resumed, summary, peers.first)


@contextmanager
def _beside(path: Path, **asked: object) -> Iterator[RunDir]:
    """The run folder in a process that writes nothing into it."""
    yield RunDir(path, {}, Records(path / str(asked["records_name"])))


def _processes(team: Team) -> Json:
    """How the work is shared, for the record; nothing where it is not."""
    return {} if team.size == 1 else {"processes": team.size, "processes_per_machine": team.here}


def _apart(request: FinetuneRequest, team: Team) -> Json:
    """The number of processes where it decides the result: each normalises its own part of a batch."""
    return {} if team.size == 1 or request.sync_bn or request.freeze_bn else {"processes": team.size}


def _readers(request: FinetuneRequest, team: Team) -> int:
    return request.workers or max(1, (os.cpu_count() or 1) // team.here)


def _begun(request: FinetuneRequest, task: Learnt, card: ModelCard, reporter: Reporter) -> tuple[TaskData, Start]:
    """What is trained on, and the network that this begins with."""
    seed = seed_for(request.seed, "init")
    data: TaskData
    if task == "detect":
        _refuse(request, ("classes", "root", "clip_labels", "head", "defence"), "--task detect")
        if request.decoder != DECODER:
            raise UsageError(f"--decoder does not go with --task detect: {DECODER} reads its videos", "Leave it out.")
        data = AvaData(
            request.clips, request.val, request.data(request.min_score, request.faithful), request.limit,
            reporter=reporter,
        )  # fmt: skip
        start = starting_detector(
            card, request.init, data.names, seed, request.pull, reporter, request.regions(card), request
        )
        return data, start
    if request.asked():
        raise UsageError(f"{_option(next(iter(request.asked())))} is for --task detect", "Leave it out.")
    _refuse(request, ("min_score",), f"--task {task}")
    several = task == "multilabel"
    data = ListData(request.clips, request.val, request.classes, request.root, request.limit, several, reporter)
    start = starting(card, request.init, data.names, seed, several, request.pull, reporter, request, request.head)
    return data, start


def _refuse(request: FinetuneRequest, names: tuple[str, ...], where: str) -> None:
    given = [name for name in names if getattr(request, name) is not None]
    if given:
        raise UsageError(f"{_option(given[0])} does not go with {where}", "Leave it out.")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _behind(model: Network, request: FinetuneRequest) -> Network:
    """The network behind the defence that is asked for; of detectors none is."""
    return defend(model, request.defence) if request.defence and isinstance(model, Classifier) else model


def _robust(request: FinetuneRequest) -> RobustValidation | None:
    """How validation clips are attacked; UsageError where a list to attack is missing."""
    attack = request.validation_attack()
    if request.val is None and (request.best == "robust" or isinstance(request.robust_val, PgdTraining)):
        raise UsageError("there is nothing to attack in validation: --val is not given")
    if attack is None or request.val is None:
        return None
    return RobustValidation(attack, request.robust_val_clips, request.seed)


def _task(request: FinetuneRequest, card: ModelCard) -> Learnt:
    """What is learnt; InputError where the model cannot."""
    if card.task == "persons":
        raise InputError(f"{card.name} cannot be trained: finetune trains networks of clips", how_to_use(card))
    if card.task == "detect" and request.task not in (None, "detect"):
        raise UsageError(f"--task {request.task}: {card.name} answers about boxes", "Say --task detect, or nothing.")
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
    records = [folder.records[key] for key in sorted(folder.records)]
    kept = next((record for record in records if record["epoch"] == state.best_epoch), {})
    figures = [f"{front}{training.objective.figure}" for front in ("val_", "val_robust_")]
    reached = {f"best_{name}": kept[name] for name in figures if name in kept}
    behind = {"defence": request.defence} if request.defence else {}
    failures = {failure["path"]: failure for record in records for failure in record["failures"]}
    best = torch.load(folder.path / BEST, weights_only=True, map_location="cpu")["model"]
    info = ModelInfo(
        architecture=request.model,
        classes=names,
        preprocess=training.model.preprocess,
        init=request.init,
        trained={"epochs": len(records), "best_epoch": state.best_epoch, **reached, **behind},
        variant=start.variant,
        roi=start.roi,
        task=task if task != MODELS.get(request.model).task else "",
    )
    save_model(folder.path, {name: tensor.contiguous() for name, tensor in best.items()}, info)
    parameters = list(training.model.parameters())
    return {
        "kind": "finetune",
        "model": request.model,
        "task": task,
        "init": start.init,
        "start": start.named,
        "recipe": request.recipe.model_dump(mode="json") if request.recipe else None,
        "replaced": list(start.replaced),
        "left_out": list(start.left_out),
        "classes": list(names),
        "epochs": len(records),
        "steps": state.position.step,
        "lr": training.lr,
        "clips": len(training.train),
        "best_epoch": state.best_epoch,
        **reached,
        "adversarial": request.adversarial.model_dump(mode="json") if request.adversarial else None,
        "defence": request.defence,
        "weights": "average" if request.ema else "last step",
        "final_train_loss": records[-1]["train_loss"],
        "seconds": round(sum(record["seconds"] for record in records), 2),
        "parameters": sum(parameter.numel() for parameter in parameters),
        "trained_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "frozen": list(frozen),
        "failed": len(failures),
        "failures": list(failures.values()),
    }
