"""The loop over epochs and steps, and where it is taken up again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from vidbench.data.dataset import ClipList
from vidbench.errors import InputError
from vidbench.model.augment.pipeline import BatchMix
from vidbench.model.classifier import Classifier
from vidbench.model.train.feed import Feed
from vidbench.model.train.optimizers import train_mode
from vidbench.model.train.precise_bn import precise_bn
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
BEST = "best.pt"


class Training:
    """One training run, from its state on.

    Args:
        model: The network, on its device and arranged for training; frozen parameters want no gradient.
        settings: How to train.
        seed: Of everything random.
        clips: What to train on.
        val: What to measure on after each epoch; the best epoch is kept.
        feed: Where clips come from.
        run: The folder, with a record for each finished epoch.
        head: Front of the names of the head's parameters.
    """

    def __init__(
        self,
        model: Classifier,
        settings: TrainSettings,
        seed: int,
        clips: ClipList,
        val: ClipList | None,
        feed: Feed,
        run: RunDir,
        head: str,
    ) -> None:
        self.model, self.settings, self.seed = model, settings, seed
        self.clips, self.val, self.feed, self.folder = clips, val, feed, run
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
        self.updater = Updater(model, settings, self.lr, head)
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
        sizes = self.feed.planned(self.clips)
        batches = self.feed.training(self.clips, at.epoch, at.batch)
        while at.batch < len(sizes):
            step_sizes = sizes[at.batch : at.batch + self.settings.accumulate]
            at.lr = self.lr * self.schedule.factor(at.epoch - 1 + at.batch / len(sizes))
            loss_sum, seen = self._step(batches, step_sizes)
            at.seconds = time.perf_counter() - began
            if seen:
                at.step += 1
                log.step(at.step, at.epoch, at.lr, loss_sum / seen)
                if at.batch < len(sizes) and self._is_time_to_save():
                    self._save(log)
        if at.seen == 0:
            raise InputError(
                f"{self.clips.source}: no clip of the list can be decoded",
                "; ".join(f"{failed['path']}: {failed['reason']}" for failed in list(self.feed.failures.values())[:3]),
            )

    def _step(self, batches: Iterator[tuple[Tensor, Tensor]], sizes: list[int]) -> tuple[float, int]:
        """One optimizer step; the sum of its clips' losses, and how many they were."""
        at, device = self.state.position, self.model.device
        loss_sum, seen = 0.0, 0
        for number in range(len(sizes)):
            clips, labels = next(batches)
            if number == 0:
                self.updater.begin(len(clips) if len(sizes) == 1 else sum(sizes))
            if len(clips):
                clips, labels = clips.to(device), labels.to(device)
                targets = labels
                if self.mix is not None:
                    generator = torch.Generator().manual_seed(seed_for(self.seed, "mix", at.epoch, at.batch))
                    clips, targets = self.mix(clips, labels, generator)
                outcome = self.updater.take(clips, labels, targets)
                if not math.isfinite(outcome.loss):
                    raise InputError(
                        f"the loss is not finite in epoch {at.epoch}, batch {at.batch + 1}",
                        f"Lower --lr, or lengthen --warmup. {self.folder.path / STATE} is of before.",
                    )
                loss_sum, seen = loss_sum + outcome.loss * len(clips), seen + len(clips)
                at.right += outcome.right
                at.loss_sum += outcome.loss * len(clips)
            at.batch += 1
        at.seen += seen
        self.updater.apply(at.lr)
        return loss_sum, seen

    def _end_epoch(self, log: StepLog, task: Task) -> None:
        at, state = self.state.position, self.state
        began = time.perf_counter()
        with self._kept_weights():
            if self.settings.precise_bn:
                batches = self.feed.precise(self.clips, at.epoch, self.settings.precise_bn)
                precise_bn(self.model, (clips.to(self.model.device) for clips in batches), self.settings.freeze_bn)
            val_top1 = self._validate()
            if val_top1 is None or state.best_val is None or val_top1 >= state.best_val:
                state.best_epoch, state.best_val = at.epoch, val_top1
                write_state(self.folder.path / BEST, {"model": self.model.net.state_dict()})
        state.record = {
            "key": f"epoch-{at.epoch:04d}",
            "epoch": at.epoch,
            "lr": at.lr,
            "train_loss": at.loss_sum / at.seen,
            "train_top1": at.right / at.seen,
            "val_top1": val_top1,
            "clips": at.seen,
            "steps": at.step,
            "failures": list(self.feed.failures.values()),
            "seconds": round(at.seconds + time.perf_counter() - began, 2),
        }
        log.epoch(state.record, at.step)
        state.position = at.next_epoch()
        self._save(log)
        self.folder.append(state.record)
        accuracy = state.record["train_top1"] if val_top1 is None else val_top1
        task.advance(note=f"loss {state.record['train_loss']:.3f}, top-1 {accuracy:.1%}")

    @contextmanager
    def _kept_weights(self) -> Iterator[None]:
        """Inside, the model is what is measured and kept: the average, where there is one."""
        average = self.updater.ema
        with nullcontext() if average is None else average.applied(self.model.net):
            yield

    @torch.inference_mode()
    def _validate(self) -> float | None:
        if self.val is None:
            return None
        self.model.eval()
        right = seen = 0
        for clips, labels in self.feed.centre(self.val):
            if len(clips):
                with self.updater.precision.forward():
                    guesses = self.model(clips.to(self.model.device)).argmax(1).cpu()
                right, seen = right + int((guesses == labels).sum()), seen + len(clips)
        return right / seen if seen else None

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
