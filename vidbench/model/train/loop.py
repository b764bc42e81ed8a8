"""The loop over epochs and steps, and where it is taken up again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vidbench.errors import InputError
from vidbench.model.augment.pipeline import BatchMix
from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.feed import Feed
from vidbench.model.train.objective import Objective
from vidbench.model.train.optimizers import train_mode
from vidbench.model.train.precise_bn import precise_bn
from vidbench.model.train.rule import Rule
from vidbench.model.train.samples import Samples
from vidbench.model.train.schedules import Schedule, scaled_rate
from vidbench.model.train.settings import TrainSettings
from vidbench.model.train.state import (
    State,
    pack,
    random_state,
    read_state_file,
    restore_random,
    write_state,
)
from vidbench.model.train.step_log import StepLog
from vidbench.model.train.update import Updater
from vidbench.progress import Reporter, Task
from vidbench.runs import RunDir
from vidbench.seeds import seed_for

Json = dict[str, Any]
STATE = "last.pt"
NAMES = {"top1": "top-1", "mean_ap": "mAP"}
"""Figures as people are told of them."""
BEST = "best.pt"


class Training:
    """One training run, from its state on.

    Args:
        model: The network, on its device and arranged for training; frozen parameters want no gradient.
        settings: How to train.
        seed: Of everything random.
        objective: What is learnt.
        train: What to train on.
        val: What to measure on after each epoch; the best epoch is kept.
        feed: Makes batches of samples.
        run: The folder, with a record for each finished epoch.
        head: Front of the names of the head's parameters.
        rule: How the loss of a batch comes about.
    """

    def __init__(
        self,
        model: Network,
        settings: TrainSettings,
        seed: int,
        objective: Objective,
        train: Samples,
        val: Samples | None,
        feed: Feed,
        run: RunDir,
        head: str,
        rule: Rule,
    ) -> None:
        self.model, self.settings, self.seed, self.objective = model, settings, seed, objective
        self.train, self.val, self.feed, self.folder = train, val, feed, run
        self.lr = scaled_rate(settings.lr, settings.clips_per_step, settings.base_batch)
        self.schedule = Schedule(
            settings.schedule,
            settings.epochs,
            settings.warmup,
            settings.warmup_start,
            settings.final_lr / settings.lr,
            settings.steps,
            settings.step_factors,
        )
        self.updater = Updater(model, settings, self.lr, head, objective, rule)
        self.mix = None
        if settings.augment.mixes:
            smoothing = settings.augment.smoothing or settings.smoothing
            self.mix = BatchMix(settings.augment.model_copy(update={"smoothing": smoothing}), model.num_classes)
        self.state = State()
        self._random: Json | None = None
        self._saved_at = time.monotonic()

    def resume(self) -> int:
        """Take up the stored state, if there is one; the number of epochs that are done."""
        path = self.folder.path / STATE
        if path.exists():
            self.state, content = read_state_file(path, self.model.device)
            self.updater.load_state_dict(content)
            self._random = content["random"]
            self.feed.failures.update(self.state.failures)
            record = self.state.record
            if record is not None and record["key"] not in self.folder.records:
                # killed between the state and its line in the log
                self.folder.append(record)
        return self.state.position.epoch - 1

    def run(self, reporter: Reporter) -> None:
        """The epochs that are left."""
        done = self.state.position.epoch - 1
        self._saved_at = time.monotonic()
        with (
            StepLog(self.folder.path, self.state.position.step, self.folder.records, self.settings.tensorboard) as log,
            reporter.task("Training", total=self.settings.epochs - done, unit="epochs") as task,
        ):
            while self.state.position.epoch <= self.settings.epochs:
                self._epoch(log)
                self._end_epoch(log, task)

    def _epoch(self, log: StepLog) -> None:
        """The steps of the epoch that are left."""
        at = self.state.position
        began = time.perf_counter() - at.seconds
        if self._random is not None and at.batch:
            restore_random(self._random, self.model.device)
        else:
            torch.manual_seed(seed_for(self.seed, "epoch", at.epoch))
        self._random = None
        train_mode(self.model, self.settings.freeze_bn)
        sizes = self.feed.planned(self.train)
        batches = self.feed.training(self.train, at.epoch, at.batch)
        while at.batch < len(sizes):
            step_sizes = sizes[at.batch : at.batch + self.settings.accumulate]
            done = at.epoch - 1 + at.batch / len(sizes)
            at.lr = self.lr * self.schedule.factor(done)
            loss_sum, things = self._step(batches, step_sizes, done)
            at.seconds = time.perf_counter() - began
            if things:
                at.step += 1
                log.step(at.step, at.epoch, at.lr, loss_sum / things)
                if at.batch < len(sizes) and self._is_time_to_save():
                    self._save(log)
        if at.seen == 0:
            raise InputError(
                f"{self.train.source}: no clip of the list can be decoded",
                "; ".join(f"{failed['path']}: {failed['reason']}" for failed in list(self.feed.failures.values())[:3]),
            )

    def _step(self, batches: Iterator[Batch], sizes: list[int], done: float) -> tuple[float, int]:
        """One optimizer step; the sum of its things' losses, and how many they were."""
        at = self.state.position
        loss_sum, things = 0.0, 0
        for number in range(len(sizes)):
            batch = next(batches)
            if number == 0:
                self.updater.begin(batch.things if len(sizes) == 1 else sum(sizes))
            if batch.things:
                batch = batch.to(self.model.device)
                labels = batch.targets
                if self.mix is not None:
                    clips, targets = self.mix(batch.clips, labels, self._generator("mix"))
                    batch = replace(batch, clips=clips, targets=targets)
                outcome = self.updater.take(batch, labels, done, self._generator("rule"))
                if not math.isfinite(outcome.loss):
                    self._refuse(batch)
                loss_sum, things = loss_sum + outcome.loss * batch.things, things + batch.things
                at.right += outcome.right or 0
                at.loss_sum += outcome.loss * batch.things
            at.seen += len(batch)
            at.batch += 1
        at.things += things
        self.updater.apply(at.lr)
        return loss_sum, things

    def _generator(self, what: str) -> torch.Generator:
        at = self.state.position
        return torch.Generator().manual_seed(seed_for(self.seed, what, at.epoch, at.batch))

    def _refuse(self, batch: Batch) -> None:
        at = self.state.position
        more = f" and {len(batch) - 3} more" if len(batch) > 3 else ""
        raise InputError(
            f"the loss is not finite in epoch {at.epoch}, batch {at.batch + 1} ({', '.join(batch.names[:3])}{more})",
            f"Lower --lr, or lengthen --warmup. {self.folder.path / STATE} is of before.",
        )

    def _end_epoch(self, log: StepLog, task: Task) -> None:
        at, state = self.state.position, self.state
        began = time.perf_counter()
        with self._kept_weights():
            if self.settings.precise_bn:
                batches = self.feed.precise(self.train, at.epoch, self.settings.precise_bn)
                precise_bn(self.model, batches, self.settings.freeze_bn, self._show)
            figures = self._validate()
            reached = figures.get(self.objective.figure)
            if reached is None or state.best_val is None or reached >= state.best_val:
                state.best_epoch, state.best_val = at.epoch, reached
                write_state(self.folder.path / BEST, {"model": self.model.net.state_dict()})
        state.record = {
            "key": f"epoch-{at.epoch:04d}",
            "epoch": at.epoch,
            "lr": at.lr,
            "train_loss": at.loss_sum / at.things,
            **self._trained(),
            **{f"val_{name}": value for name, value in figures.items()},
            "clips": at.seen,
            "steps": at.step,
            "failures": list(self.feed.failures.values()),
            "seconds": round(at.seconds + time.perf_counter() - began, 2),
        }
        log.epoch(state.record, at.step)
        state.position = at.next_epoch()
        self._save(log)
        self.folder.append(state.record)
        task.advance(note=self._note(state.record))

    @contextmanager
    def _kept_weights(self) -> Iterator[None]:
        """Inside, the model is what is measured and kept: the average, where there is one."""
        average = self.updater.ema
        with nullcontext() if average is None else average.applied(self.model.net):
            yield

    def _trained(self) -> Json:
        """The share of things that were right in training, where the task has such a figure."""
        at, counted = self.state.position, self.objective.figure == "top1"
        return {"train_top1": at.right / at.things} if counted else {}

    def _note(self, record: Json) -> str:
        figure = self.objective.figure
        reached = record.get(f"val_{figure}")
        reached = record.get(f"train_{figure}") if reached is None else reached
        told = "" if reached is None else f", {NAMES[figure]} {reached:.1%}"
        return f"loss {record['train_loss']:.3f}{told}"

    @torch.inference_mode()
    def _validate(self) -> dict[str, float | None]:
        if self.val is None:
            return {self.objective.figure: None}
        self.model.eval()
        meter = self.objective.meter()
        for batch in self.feed.centre(self.val):
            with self.updater.precision.forward():
                logits = self._show(batch)
            meter.add(logits, batch)
        return meter.result()

    def _show(self, batch: Batch) -> Tensor:
        return batch.to(self.model.device).through(self.model)

    def _is_time_to_save(self) -> bool:
        steps, seconds = self.settings.saves()
        if steps is not None:
            return self.state.position.step % steps == 0
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def _save(self, log: StepLog) -> None:
        log.sync()
        self.state.failures = dict(self.feed.failures)
        parts = {**self.updater.state_dict(), "random": random_state(self.model.device)}
        write_state(self.folder.path / STATE, pack(self.state, parts))
        self._saved_at = time.monotonic()
