"""`vidbench model finetune`: train a classifier on a list of clips, epoch by epoch, resumable."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from vidbench.data.dataset import ClipItem, ClipList, read_clips
from vidbench.errors import InputError, disk_errors
from vidbench.model.checkpoint import ModelInfo, load_strict, read_state, save_model
from vidbench.model.classifier import Classifier
from vidbench.model.device import resolve_device
from vidbench.model.evaluate import check_labels
from vidbench.model.footage import Footage, FootageStore
from vidbench.model.framewise import ATTENTION, FrameWise
from vidbench.model.layout import training_layout
from vidbench.model.remap import map_state
from vidbench.model.resolve import build, how_to_use, load_model
from vidbench.model.zoo import MODELS, ModelCard, Preprocess
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.runs import RunDir, default_run_dir, file_sha256
from vidbench.seeds import seed_for
from vidbench.video.clip import VideoError
from vidbench.video.decoder import DECODERS, choose

Json = dict[str, Any]
EPOCHS = "epochs.jsonl"
STATE = "last.pt"
BEST = "best.pt"
PRODUCTS = (STATE, BEST, "model.json", "model.safetensors")


class FinetuneRequest(BaseModel):
    """What `model finetune` is asked.

    Attributes:
        model: Catalogue name: the architecture.
        clips: The training list, `path label` per line.
        init: "scratch", "pretrained", or a file or run folder whose weights are the start; a head
            with another number of classes is replaced and named, and so is attention over time that a file
            of an image network does not have.
        val: A list to measure after each epoch, centre view; the best epoch is the one kept.
        classes: File with one class name per line; without it classes are called by their number.
        epochs: Passes over the list.
        batch: Clips per step; the last, smaller batch of an epoch is used too.
        lr: Largest learning rate; it rises linearly over `warmup` epochs and falls as a cosine.
        optimizer: "adamw" or "sgd" (Nesterov, momentum 0.9).
        weight_decay: On convolution and linear weights alone, not on biases and normalisation.
        smoothing: Label smoothing in [0, 1).
        flip: Probability of a horizontal flip; 0 where left and right are classes.
        jitter: Largest short side in training, as a multiple of the crop.
        cache_mb: Memory for decoded videos; what does not fit is decoded again each epoch.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    clips: Path
    init: str = "scratch"
    val: Path | None = None
    classes: Path | None = None
    root: Path | None = None
    out: Path | None = None
    epochs: int = Field(30, ge=1)
    batch: int = Field(16, ge=1)
    lr: float = Field(2e-3, gt=0)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(2.0, ge=0)
    smoothing: float = Field(0.0, ge=0, lt=1)
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
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in aside}


@dataclass(frozen=True)
class FinetuneResult:
    """What `model finetune` made: a model in `out`, and `summary.json`."""

    out: Path
    resumed: int
    summary: Json


def finetune(request: FinetuneRequest, reporter: Reporter | None = None) -> FinetuneResult:
    """Train; an interrupted run goes on after its last finished epoch and ends as if it had run through.

    All that is random is drawn from (seed, epoch, clip), so nothing depends on threads or on where a
    run was interrupted. Clips that cannot be decoded are left out and reported, never replaced.

    Raises:
        InputError: The lists, the class names, or the initial weights; the model is no classifier of one class per
            clip, or the list is not one of videos.
        MissingError: Weights or device.
        RunConflictError: `out` holds a run of other settings.
    """
    reporter = reporter or SilentReporter()
    _check_trainable(MODELS.get(request.model))
    device = resolve_device(request.device)
    clips = read_clips(request.clips, request.root, request.limit, kinds=("videos",))
    val = read_clips(request.val, request.root, kinds=("videos",)) if request.val else None
    names = class_names(request.classes, clips, val)
    for part in (clips, val):
        if part is not None:
            check_labels(part, len(names), f"{request.classes or 'the training list'}")
    classifier, init_facts = _initial(request, names, reporter)
    out = request.out or default_run_dir("finetune", request.model, request.settings())
    resolved = {
        "list_sha256": clips.sha256,
        "val_sha256": val.sha256 if val else None,
        "classes_sha256": file_sha256(request.classes) if request.classes else None,
        "init_sha256": init_facts["sha256"],
        "root": str(clips.root),
        "root_rule": clips.root_rule,
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
        training = _Training(request, classifier, clips, val, run, device, reporter)
        resumed = training.resume()
        if resumed:
            reporter.info(f"{out}: {resumed} of {request.epochs} epochs are done")
        training.run(resumed)
        summary = training.finish(names, init_facts)
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
    classifier = build(card, len(names), names, seed_for(request.seed, "init"))
    if request.init == "scratch":
        return classifier, {"init": "scratch", "sha256": None, "loaded": 0, "replaced": []}
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
    }


class _Training:
    """The state of one training run."""

    def __init__(
        self,
        request: FinetuneRequest,
        classifier: Classifier,
        clips: ClipList,
        val: ClipList | None,
        run: RunDir,
        device: torch.device,
        reporter: Reporter,
    ) -> None:
        self.request, self.run_dir, self.reporter, self.device = request, run, reporter, device
        self.clips, self.val = clips, val
        self.preprocess: Preprocess = classifier.preprocess
        self.model = training_layout(classifier.to(device))
        self.optimizer = _optimizer(self.model, request)
        decode = DECODERS.get(choose(request.decoder, (item.path for item in clips.items)))
        self.store = FootageStore(decode, round(self.preprocess.crop * request.jitter), request.cache_mb * 2**20)
        self.failures: dict[str, Json] = {}
        self.best: tuple[int, float | None] = (0, None)

    def resume(self) -> int:
        """Take up the state of the last finished epoch; the number of epochs that are done."""
        path = self.run_dir.path / STATE
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.model.net.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = (state["best_epoch"], state["best_val"])
        record = state["record"]
        if record["key"] not in self.run_dir.records:
            # killed between the state and its line in the log
            self.run_dir.append(record)
        epoch: int = record["epoch"]
        return epoch

    def run(self, done: int) -> None:
        """The epochs that are left."""
        total = self.request.epochs - done
        with (
            ThreadPoolExecutor(self.request.workers or os.cpu_count() or 1, thread_name_prefix="clips") as pool,
            self.reporter.task("Training", total=total, unit="epochs") as task,
        ):
            for epoch in range(done + 1, self.request.epochs + 1):
                record = self._epoch(epoch, pool)
                self._save(epoch, record)
                accuracy = record["train_top1"] if record["val_top1"] is None else record["val_top1"]
                task.advance(note=f"loss {record['train_loss']:.3f}, top-1 {accuracy:.1%}")

    def _epoch(self, epoch: int, pool: ThreadPoolExecutor) -> Json:
        started = time.perf_counter()
        seed = self.request.seed
        torch.manual_seed(seed_for(seed, "epoch", epoch))
        order = torch.randperm(
            len(self.clips.items), generator=torch.Generator().manual_seed(seed_for(seed, "order", epoch))
        ).tolist()
        batches = [order[at : at + self.request.batch] for at in range(0, len(order), self.request.batch)]
        self.model.train()
        loss_sum, right, seen, lr = 0.0, 0, 0, 0.0
        for number, (clips, labels) in enumerate(self._batches(batches, epoch, pool)):
            lr = self._set_lr(epoch - 1 + number / len(batches))
            if len(clips) == 0:
                continue
            loss, hits = self._step(clips, labels)
            loss_sum, right, seen = loss_sum + loss * len(clips), right + hits, seen + len(clips)
        if seen == 0:
            raise InputError(
                f"{self.clips.source}: no clip of the list can be decoded",
                "; ".join(f"{failure['path']}: {failure['reason']}" for failure in list(self.failures.values())[:3]),
            )
        if not math.isfinite(loss_sum):
            raise InputError(f"the loss is not finite in epoch {epoch}", "Lower --lr, or lengthen --warmup.")
        return {
            "key": f"epoch-{epoch:04d}",
            "epoch": epoch,
            "lr": lr,
            "train_loss": loss_sum / seen,
            "train_top1": right / seen,
            "val_top1": self._validate(pool) if self.val else None,
            "clips": seen,
            "failures": list(self.failures.values()),
            "seconds": round(time.perf_counter() - started, 2),
        }

    def _step(self, clips: Tensor, labels: Tensor) -> tuple[float, int]:
        clips, labels = clips.to(self.device), labels.to(self.device)
        logits = self.model(clips)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.request.smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        return float(loss.detach()), int((logits.detach().argmax(1) == labels).sum())

    def _batches(self, batches: Sequence[Sequence[int]], epoch: int, pool: ThreadPoolExecutor) -> Any:
        def read(index: int) -> tuple[ClipItem, Tensor | VideoError]:
            item = self.clips.items[index]
            generator = torch.Generator().manual_seed(seed_for(self.request.seed, epoch, item.key))
            try:
                return item, self.store.footage(item.file()).random_clip(
                    self.preprocess, self.request.jitter, self.request.flip, generator
                )
            except VideoError as error:
                return item, error

        ahead = [[pool.submit(read, index) for index in batch] for batch in batches[:2]]
        for number in range(len(batches)):
            results = [future.result() for future in ahead.pop(0)]
            if number + 2 < len(batches):
                ahead.append([pool.submit(read, index) for index in batches[number + 2]])
            yield self._collate(results)

    def _collate(self, results: Sequence[tuple[ClipItem, Tensor | VideoError]]) -> tuple[Tensor, Tensor]:
        good = []
        for item, outcome in results:
            if isinstance(outcome, VideoError):
                self.failures[item.key] = {"path": item.name, "reason": str(outcome)}
            else:
                good.append((outcome, item.label))
        if not good:
            return torch.empty(0), torch.empty(0, dtype=torch.long)
        return torch.stack([clip for clip, _ in good]), torch.tensor([label for _, label in good])

    @torch.inference_mode()
    def _validate(self, pool: ThreadPoolExecutor) -> float | None:
        self.model.eval()
        items = self.val.items if self.val else ()

        def read(item: ClipItem) -> Footage | VideoError:
            try:
                return self.store.footage(item.file())
            except VideoError as error:
                return error

        right = seen = 0
        for at in range(0, len(items), self.request.batch):
            part = items[at : at + self.request.batch]
            clips, labels = self._collate(
                [
                    (item, found if isinstance(found, VideoError) else found.centre_clip(self.preprocess))
                    for item, found in zip(part, pool.map(read, part), strict=True)
                ]
            )
            if len(clips):
                guesses = self.model(clips.to(self.device)).argmax(1).cpu()
                right, seen = right + int((guesses == labels).sum()), seen + len(clips)
        return right / seen if seen else None

    def _set_lr(self, progress: float) -> float:
        request = self.request
        if progress < request.warmup:
            factor = (progress + 0.1) / (request.warmup + 0.1)
        else:
            share = (progress - request.warmup) / max(request.epochs - request.warmup, 1e-9)
            factor = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = request.lr * factor
        return request.lr * factor

    def _save(self, epoch: int, record: Json) -> None:
        value = record["val_top1"]
        if value is None or self.best[1] is None or value >= self.best[1]:
            self.best = (epoch, value)
            self._write(BEST, {"model": self.model.net.state_dict()})
        self._write(
            STATE,
            {
                "model": self.model.net.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "best_epoch": self.best[0],
                "best_val": self.best[1],
                "record": record,
            },
        )
        self.run_dir.append(record)

    def _write(self, name: str, state: Json) -> None:
        target = self.run_dir.path / name
        temporary = target.with_name(f".{name}.tmp")
        with disk_errors(target):
            try:
                torch.save(state, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    def finish(self, names: tuple[str, ...], init_facts: Json) -> Json:
        """Write the best epoch as the model, and give the summary."""
        records = [self.run_dir.records[key] for key in sorted(self.run_dir.records)]
        failures = {failure["path"]: failure for record in records for failure in record["failures"]}
        best = torch.load(self.run_dir.path / BEST, weights_only=True, map_location="cpu")["model"]
        info = ModelInfo(
            architecture=self.request.model,
            classes=names,
            preprocess=self.preprocess,
            init=self.request.init,
            trained={"epochs": len(records), "best_epoch": self.best[0], "best_val_top1": self.best[1]},
        )
        save_model(self.run_dir.path, {name: tensor.contiguous() for name, tensor in best.items()}, info)
        return {
            "kind": "finetune",
            "model": self.request.model,
            "init": init_facts["init"],
            "replaced": init_facts["replaced"],
            "classes": list(names),
            "epochs": len(records),
            "clips": len(self.clips.items),
            "best_epoch": self.best[0],
            "best_val_top1": self.best[1],
            "final_train_loss": records[-1]["train_loss"],
            "seconds": round(sum(record["seconds"] for record in records), 2),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "failed": len(failures),
            "failures": list(failures.values()),
        }


def _optimizer(model: Classifier, request: FinetuneRequest) -> torch.optim.Optimizer:
    plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    groups = [{"params": decayed, "weight_decay": request.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if request.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=request.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=request.lr)
