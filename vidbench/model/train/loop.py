"""The loop over epochs and steps, and where it is taken up again."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from vidbench.errors import InputError
from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.draws import drawn_by_number
from vidbench.model.train.feed import Feed
from vidbench.model.train.objective import Objective
from vidbench.model.train.optimizers import train_mode
from vidbench.model.train.peers import Peers
from vidbench.model.train.precise_bn import precise_bn
from vidbench.model.train.robust import RobustValidation
from vidbench.model.train.rule import Rule
from vidbench.model.train.samples import Samples
from vidbench.model.train.schedules import Schedule, scaled_rate
from vidbench.model.train.settings import TrainSettings
from vidbench.model.train.shared_meter import SharedObjective
from vidbench.model.train.state import (
    State,
    pack,
    random_state,
    read_state_file,
    restore_random,
    write_state,
)
from vidbench.model.train.step_log import NoLog, StepLog
from vidbench.model.train.steps import Steps, parts_of, shared
from vidbench.model.train.update import Updater
from vidbench.progress import Reporter, Task
from vidbench.runs import RunDir
from vidbench.seeds import seed_for

Json = dict[str, Any]
Log = StepLog | NoLog
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
        robust: How validation clips are attacked; None for not at all.
        peers: The processes that train together. All go through the same steps with the same state; the first one
            writes.
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
        robust: RobustValidation | None = None,
        peers: Peers | None = None,
    ) -> None:
        self.peers = peers or Peers.alone()
        self.model, self.settings, self.seed, self.objective = model, settings, seed, objective
        self.train, self.val, self.feed, self.folder = train, val, feed, run
        self.robust = robust
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
        self.peers.spread(model.net.state_dict().values())
        self.updater = Updater(model, settings, self.lr, head, objective, rule, self.peers)
        self.steps = Steps(self.updater, seed, run.path / BEST)
        self.state = State()
        self._random: Json | None = None
        self._saved_at = time.monotonic()

    def resume(self) -> int:
        """Take up the stored state, if there is one; the number of epochs that are done."""
        path = self.folder.path / STATE
        if self.peers.tell(path.exists()):
            stream = io.BytesIO(self.peers.send(path)) if self.peers.size > 1 else None
            self.state, content = read_state_file(path, self.model.device, stream)
            self.updater.load_state_dict(content)
            others = content.get("randoms", ())
            self._random = others[self.peers.rank] if len(others) == self.peers.size else content["random"]
            self.feed.failures.update(self.state.failures)
            record = self.state.record
            if self.peers.first and record is not None and record["key"] not in self.folder.records:
                # killed between the state and its line in the log
                self.folder.append(record)
        return self.state.position.epoch - 1

    def run(self, reporter: Reporter) -> None:
        """The epochs that are left."""
        done = self.state.position.epoch - 1
        self._saved_at = time.monotonic()
        with (
            self._log() as log,
            reporter.task("Training", total=self.settings.epochs - done, unit="epochs") as task,
        ):
            while self.state.position.epoch <= self.settings.epochs:
                self._epoch(log)
                self._end_epoch(log, task)

    def _log(self) -> Log:
        if not self.peers.first:
            return NoLog()
        return StepLog(self.folder.path, self.state.position.step, self.folder.records, self.settings.tensorboard)

    def _epoch(self, log: Log) -> None:
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
            loss_sum, things = self.steps.take(batches, step_sizes, at, done)
            at.seconds = time.perf_counter() - began
            if things:
                at.step += 1
                log.step(at.step, at.epoch, at.lr, loss_sum / things)
                if at.batch < len(sizes) and self._is_time_to_save():
                    self._save(log)
        if at.seen == 0:
            self._gather_failures()
            raise InputError(
                f"{self.train.source}: no clip of the list can be decoded",
                "; ".join(f"{failed['path']}: {failed['reason']}" for failed in list(self.feed.failures.values())[:3]),
            )

    def _end_epoch(self, log: Log, task: Task) -> None:
        at, state = self.state.position, self.state
        began = time.perf_counter()
        with self._kept_weights():
            if self.settings.precise_bn:
                batches = self.feed.precise(self.train, at.epoch, self.settings.precise_bn)
                shown = self._together(batches)
                precise_bn(self.model, shown, self.settings.freeze_bn, self._show, self.peers)
            # statistics that are not synchronised are each process's own
            self.peers.spread(self.model.net.buffers())
            figures = self._validate() | self._attacked()
            reached = figures.get(self.figure)
            last = self.settings.best == "last"
            if last or reached is None or state.best_val is None or reached >= state.best_val:
                state.best_epoch, state.best_val = at.epoch, reached
                if self.peers.first:
                    write_state(self.folder.path / BEST, {"model": self.model.net.state_dict()})
        self._gather_failures()
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
            "data_seconds": round(at.data_seconds, 2),
        }
        log.epoch(state.record, at.step)
        state.position = at.next_epoch()
        self._save(log)
        if self.peers.first:
            self.folder.append(state.record)
        task.advance(note=self._note(state.record))

    def _together(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Each batch, or a clip of another process's part without weight, as long as any process has one."""
        for batch in batches:
            clips, counts = parts_of(batch, self.peers)
            if any(clips):
                self.peers.present = len(batch) > 0
                shown = self.peers.stand_in(batch, clips)
                with shared(shown, clips, counts, self.peers):
                    yield shown
                self.peers.present = True

    def _gather_failures(self) -> None:
        for held in self.peers.gather(self.feed.failures):
            self.feed.failures.update(held)

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
        attacked = record.get(f"val_robust_{figure}")
        told += "" if attacked is None else f", under attack {attacked:.1%}"
        return f"loss {record['train_loss']:.3f}{told}"

    @torch.inference_mode()
    def _validate(self) -> dict[str, float | None]:
        if self.val is None:
            return {self.objective.figure: None}
        self.model.eval()
        meter = SharedObjective(self.objective, self.peers).meter()
        for batch in self.feed.centre(self.val):
            drawn = drawn_by_number(seed_for(self.seed, "val"), batch.numbers)
            with self.updater.precision.forward(), drawn:
                logits = self._show(batch)
            meter.add(logits, batch)
        return meter.result()

    def _attacked(self) -> dict[str, float | None]:
        """The figures under attack, where they are asked for."""
        if self.val is None or self.robust is None:
            return {}
        self.model.eval()
        batches = (batch.to(self.model.device) for batch in self.feed.centre(self.val, self.robust.clips))
        with self.updater.precision.forward():
            return self.robust.measure(self.model, batches, SharedObjective(self.objective, self.peers))

    @property
    def figure(self) -> str:
        """The validation figure that epochs are compared by."""
        return f"robust_{self.objective.figure}" if self.settings.best == "robust" else self.objective.figure

    def _show(self, batch: Batch) -> Tensor:
        return batch.to(self.model.device).through(self.model)

    def _is_time_to_save(self) -> bool:
        steps, seconds = self.settings.saves()
        if steps is not None:
            return self.state.position.step % steps == 0
        if seconds is None:
            return False
        return self.peers.tell(time.monotonic() - self._saved_at >= seconds)

    def _save(self, log: Log) -> None:
        log.sync()
        self._gather_failures()
        self.state.failures = dict(self.feed.failures)
        own = random_state(self.model.device)
        others = {"randoms": self.peers.gather(own)} if self.peers.size > 1 else {}
        if self.peers.first:
            parts = {**self.updater.state_dict(), "random": own, **others}
            write_state(self.folder.path / STATE, pack(self.state, parts))
        self._saved_at = time.monotonic()
