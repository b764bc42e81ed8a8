"""`vidbench model finetune`: train a classifier on a list of clips, epoch by epoch, resumable."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from vidbench.data.dataset import ClipList, read_clips
from vidbench.errors import InputError
from vidbench.model.checkpoint import (
    MODEL_FILE,
    TENSORS_FILE,
    ModelInfo,
    load_strict,
    read_model,
    read_state,
    save_model,
)
from vidbench.model.classifier import Classifier
from vidbench.model.device import resolve_device
from vidbench.model.evaluate import check_labels
from vidbench.model.events import PRODUCTS as EVENTS
from vidbench.model.events import require_tensorboard
from vidbench.model.footage import FootageStore
from vidbench.model.framewise import ATTENTION, FrameWise
from vidbench.model.layout import training_layout
from vidbench.model.remap import map_state
from vidbench.model.resolve import build, how_to_use, load_model
from vidbench.model.train.feed import Feed
from vidbench.model.train.loop import BEST, STATE, Training
from vidbench.model.train.optimizers import freeze
from vidbench.model.train.recompute import recompute_blocks
from vidbench.model.train.settings import TrainSettings, deciding
from vidbench.model.train.step_log import STEPS
from vidbench.model.variant import UNCHANGED, Variant
from vidbench.model.zoo import MODELS, ModelCard, Preprocess
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.runs import RunDir, default_run_dir, file_sha256
from vidbench.seeds import seed_for
from vidbench.video.decoder import DECODERS, choose

Json = dict[str, Any]
EPOCHS = "epochs.jsonl"
PRODUCTS = (STATE, BEST, STEPS, "model.json", "model.safetensors", *EVENTS)


class FinetuneRequest(TrainSettings):
    """What `model finetune` is asked; how to train is said by the fields of `TrainSettings`.

    Attributes:
        model: Catalogue name: the architecture.
        clips: The training list, `path label` per line.
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
        return {name: value for name, value in deciding(self.model_dump(mode="json")).items() if name not in aside}


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
        InputError: The lists, the class names, or the initial weights; the model is no classifier of one class per
            clip, or the list is not one of videos; a loss that is not finite.
        MissingError: Weights, device, or the extra for TensorBoard.
        RunConflictError: `out` holds a run of other settings.
    """
    reporter = reporter or SilentReporter()
    card = MODELS.get(request.model)
    _check_trainable(card)
    if request.tensorboard:
        require_tensorboard()
    device = resolve_device(request.device)
    clips = read_clips(request.clips, request.root, request.limit, kinds=("videos",))
    val = read_clips(request.val, request.root, kinds=("videos",)) if request.val else None
    names = class_names(request.classes, clips, val)
    for part in (clips, val):
        if part is not None:
            check_labels(part, len(names), f"{request.classes or 'the training list'}")
    classifier, init_facts = _initial(request, names, reporter)
    frozen = freeze(classifier.net, request.freeze, card.head) if request.freeze else ()
    if request.checkpointing:
        recompute_blocks(classifier.net)
    out = request.out or default_run_dir("finetune", request.model, request.settings())
    resolved = {
        "list_sha256": clips.sha256,
        "val_sha256": val.sha256 if val else None,
        "classes_sha256": file_sha256(request.classes) if request.classes else None,
        "init_sha256": init_facts["sha256"],
        "root": str(clips.root),
        "root_rule": clips.root_rule,
        **init_facts["model"],
    }
    with RunDir.open(
        out,
        command="model finetune",
        request=request.model_dump(mode="json"),
        settings=request.settings(),
        resolved=resolved,
        provenance=provenance(str(device), request.seed),
        overwrite=request.overwrite,
        records_name=EPOCHS,
        products=PRODUCTS,
    ) as run:
        model = training_layout(classifier.to(device))
        decode = DECODERS.get(choose(request.decoder, (item.path for item in clips.items)))
        store = FootageStore(decode, round(model.preprocess.crop * request.jitter), request.cache_mb * 2**20)
        with ThreadPoolExecutor(request.workers or os.cpu_count() or 1, thread_name_prefix="clips") as pool:
            feed = Feed(
                store,
                model.preprocess,
                seed=request.seed,
                batch=request.batch,
                jitter=request.jitter,
                flip=request.flip,
                augment=request.augment,
                pool=pool,
            )
            training = Training(model, request, request.seed, clips, val, feed, run, card.head)
            _tell(request, training.lr, frozen, reporter)
            resumed = training.resume()
            _tell_resumed(training, out, resumed, reporter)
            training.run(reporter)
        summary = _finish(request, training, names, init_facts, frozen)
        run.finish(summary)
    return FinetuneResult(out, resumed, summary)


def _check_trainable(card: ModelCard) -> None:
    """Raise InputError where training by cross-entropy, one class per clip, is not what the model needs."""
    if card.task == "multilabel":
        raise InputError(
            f"{card.name} gives any number of classes to a clip; finetune trains one class per clip for now",
            "Train the same network as one of one class, as slow_r50 or slowfast_r50.",
        )
    if card.task != "classify":
        raise InputError(f"{card.name} cannot be trained: finetune trains classifiers of clips", how_to_use(card))


def class_names(file: Path | None, clips: ClipList, val: ClipList | None) -> tuple[str, ...]:
    """Names from a file, one per line, or the numbers from 0 to the largest label of the training list."""
    if file is None:
        items = (*clips.items, *(val.items if val else ()))
        return tuple(str(index) for index in range(max(item.label for item in items) + 1))
    try:
        names = tuple(file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot read the class names: {error}") from error
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise InputError(f"{file}:{number}: an empty class name")
        if names.index(name) != number - 1:
            raise InputError(f"{file}:{number}: {name!r} stands twice")
    if not names:
        raise InputError(f"{file}: no class names")
    return names


def _initial(request: FinetuneRequest, names: tuple[str, ...], reporter: Reporter) -> tuple[Classifier, Json]:
    card = MODELS.get(request.model)
    info = _own_model(Path(request.init)) if request.init not in ("scratch", "pretrained") else None
    preprocess, variant = _brought(info, card)
    classifier = build(card, len(names), names, seed_for(request.seed, "init"), preprocess, variant)
    # of a resumed run, these too have to be what they were
    other = {"variant": asdict(variant)} if variant != UNCHANGED else {}
    other |= {"preprocess": asdict(preprocess)} if preprocess != card.preprocess else {}
    brought: Json = {"variant": variant, "model": {f"init_{name}": value for name, value in other.items()}}
    if request.init == "scratch":
        return classifier, {"init": "scratch", "sha256": None, "loaded": 0, "replaced": [], **brought}
    if request.init == "pretrained":
        start = load_model(request.model, pull=request.pull, reporter=reporter)
        tensors, source, digest = start.classifier.net.state_dict(), start.weights, start.weights_sha256
    else:
        path = Path(request.init)
        if path.is_dir():
            path = path / "model.safetensors"
        if not path.is_file():
            raise InputError(f"--init {request.init}: no such file or run folder", "Or say scratch or pretrained.")
        tensors, source, digest = map_state(read_state(path).tensors, card.name).tensors, str(path), file_sha256(path)
    attends = isinstance(classifier.net, FrameWise) and classifier.net.attention is not None
    fronts = (*((ATTENTION,) if attends else ()), *((card.head,) if card.head else ()))
    report = load_strict(classifier.net, tensors, source=source, allow_replaced_head=fronts)
    if report.replaced:
        fresh = [name for name in report.replaced if not (attends and name.startswith(ATTENTION))]
        told = [f"new head: {', '.join(fresh)}"] if fresh else []
        told += [f"fresh attention: {ATTENTION}*"] if len(fresh) < len(report.replaced) else []
        reporter.info(f"{source}: {report.loaded} tensors loaded; {'; '.join(told)}")
    return classifier, {
        "init": request.init,
        "sha256": digest,
        "loaded": report.loaded,
        "replaced": list(report.replaced),
        **brought,
    }


def _own_model(path: Path) -> ModelInfo | None:
    """What `model.json` says of a start that is a model of ours; None for other files."""
    folder = path if path.is_dir() else path.parent
    ours = (path.is_dir() or path.name == TENSORS_FILE) and (folder / MODEL_FILE).is_file()
    return read_model(folder)[0] if ours else None


def _brought(info: ModelInfo | None, card: ModelCard) -> tuple[Preprocess, Variant]:
    """The input and the layers that training goes on with: those of the start, which its weights are made for."""
    if info is None:
        return card.preprocess, UNCHANGED
    variant = replace(info.variant, head=True)
    if info.architecture != card.name:
        # the same network for clips of another sampling: these stay as the model wants them
        return replace(card.preprocess, mean=info.preprocess.mean, std=info.preprocess.std), variant
    return info.preprocess, variant


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
    request: FinetuneRequest, training: Training, names: tuple[str, ...], init_facts: Json, frozen: tuple[str, ...]
) -> Json:
    """Write the best epoch as the model, and give the summary."""
    folder, state = training.folder, training.state
    records = [folder.records[key] for key in sorted(folder.records)]
    failures = {failure["path"]: failure for record in records for failure in record["failures"]}
    best = torch.load(folder.path / BEST, weights_only=True, map_location="cpu")["model"]
    info = ModelInfo(
        architecture=request.model,
        classes=names,
        preprocess=training.model.preprocess,
        init=request.init,
        trained={"epochs": len(records), "best_epoch": state.best_epoch, "best_val_top1": state.best_val},
        variant=init_facts["variant"],
    )
    save_model(folder.path, {name: tensor.contiguous() for name, tensor in best.items()}, info)
    parameters = list(training.model.parameters())
    return {
        "kind": "finetune",
        "model": request.model,
        "init": init_facts["init"],
        "replaced": init_facts["replaced"],
        "classes": list(names),
        "epochs": len(records),
        "steps": state.position.step,
        "lr": training.lr,
        "clips": len(training.clips.items),
        "best_epoch": state.best_epoch,
        "best_val_top1": state.best_val,
        "weights": "average" if request.ema else "last step",
        "final_train_loss": records[-1]["train_loss"],
        "seconds": round(sum(record["seconds"] for record in records), 2),
        "parameters": sum(parameter.numel() for parameter in parameters),
        "trained_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "frozen": list(frozen),
        "failed": len(failures),
        "failures": list(failures.values()),
    }
