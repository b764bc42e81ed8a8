"""The loop over epochs and steps, and where it is taken up again."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vidbench.errors import InputError, UsageError
from vidbench.model.augment.pipeline import BatchMix
from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.draws import Part, drawn_together
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
from vidbench.model.train.update import Outcome, Updater
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
        self.mix = None
        if settings.augment.mixes:
            # of several classes the loss does --smoothing itself, which for shares of one class it cannot
            one_class = objective.figure == "top1"
            smoothing = settings.augment.smoothing or (settings.smoothing if one_class else 0.0)
            self.mix = BatchMix(settings.augment.model_copy(update={"smoothing": smoothing}), model.num_classes)
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
            loss_sum, things = self._step(batches, step_sizes, done)
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

    def _step(self, batches: Iterator[Batch], sizes: list[int], done: float) -> tuple[float, int]:
        """One optimizer step; the sum of its things' losses, and how many they were, in all processes."""
        at = self.state.position
        loss_sum, things, right, bad = 0.0, 0, 0, ""
        for number in range(len(sizes)):
            began = time.perf_counter()
            batch = next(batches)
            at.data_seconds += time.perf_counter() - began
            clips, counts = self._parts(batch)
            whole = sum(counts)
            if number == 0:
                self.updater.begin(whole if len(sizes) == 1 else sum(sizes))
            if whole:
                own = batch.things
                outcome = self._take(batch, clips, counts, done)
                if own:
                    loss_sum, things = loss_sum + outcome.loss * own, things + own
                    right += outcome.right or 0
                    bad = bad or ("" if math.isfinite(outcome.loss) else self._named(batch))
            at.seen += sum(clips)
            at.batch += 1
        loss_sum, things, right = self._refused_or_summed(loss_sum, things, right, bad)
        at.loss_sum += loss_sum
        at.things += things
        at.right += right
        self.updater.apply(at.lr)
        return loss_sum, things

    def _take(self, batch: Batch, clips: list[int], counts: list[int], done: float) -> Outcome:
        """One pass of this process's part of a batch; with a clip of another's, of no weight, where it has none.

        Args:
            batch: The part, on the CPU.
            clips: How many each process has.
            counts: How many things each has.
            done: Epochs done so far.
        """
        peers = self.peers
        if self.mix is not None and batch.things:
            batch, labels = self._mixed(batch, clips)
        else:
            batch = peers.stand_in(batch, counts).to(self.model.device)
            labels = batch.targets
        peers.present = counts[peers.rank] > 0
        parts = [_part(held, peers.rank) for held in (clips, counts)] if peers.size > 1 else []
        try:
            with drawn_together(parts) if parts else nullcontext():
                return self.updater.take(batch, labels, done, self._generator("rule", peers.rank), sum(counts))
        finally:
            peers.present = True

    def _parts(self, batch: Batch) -> tuple[list[int], list[int]]:
        """Clips and things of each process's part of a batch."""
        clips, counts = self.peers.numbers((len(batch), batch.things)).long().T.tolist()
        return clips, counts

    def _mixed(self, batch: Batch, clips: list[int]) -> tuple[Batch, Tensor]:
        """The batch on the device, mixed as the whole one, and what its clips were."""
        _refuse_boxes(batch)
        before = self.peers.clip_before(batch, clips)
        self.peers.stand_in(batch, clips)
        batch = batch.to(self.model.device)
        held, labels = batch.clips, batch.targets
        if before is not None:
            before = before.to(self.model.device)
            held, labels = torch.cat((before.clips, held)), torch.cat((before.targets, labels))
        mixed, targets = self.mix(held, labels, self._generator("mix")) if self.mix is not None else (held, labels)
        own = slice(0 if before is None else 1, None)
        return replace(batch, clips=mixed[own], targets=targets[own]), batch.targets

    def _refused_or_summed(self, loss_sum: float, things: int, right: int, bad: str) -> tuple[float, int, int]:
        """A step's sums over all processes; InputError where a loss is not finite."""
        totals = self.peers.numbers((loss_sum, things, right)).sum(0).tolist()
        if not math.isfinite(totals[0]):
            named = next((one for one in self.peers.gather(bad) if one), "in a sum of losses")
            raise InputError(
                f"the loss is not finite {named}",
                f"Lower --lr, or lengthen --warmup. {self.folder.path / STATE} is of before.",
            )
        return totals[0], int(totals[1]), int(totals[2])

    def _generator(self, what: str, rank: int = 0) -> torch.Generator:
        at = self.state.position
        return torch.Generator().manual_seed(
            seed_for(self.seed, what, at.epoch, at.batch, *((f"process {rank}",) if rank else ()))
        )

    def _named(self, batch: Batch) -> str:
        at = self.state.position
        more = f" and {len(batch) - 3} more" if len(batch) > 3 else ""
        return f"in epoch {at.epoch}, batch {at.batch + 1} ({', '.join(batch.names[:3])}{more})"

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
            if reached is None or state.best_val is None or reached >= state.best_val:
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
            clips, _ = self._parts(batch)
            if any(clips):
                self.peers.present = len(batch) > 0
                yield self.peers.stand_in(batch, clips)
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
            with self.updater.precision.forward():
                logits = self._show(batch)
            meter.add(logits, batch)
        return meter.result()

    def _attacked(self) -> dict[str, float | None]:
        """The figures under attack, where they are asked for."""
        if self.val is None or self.robust is None:
            return {}
        self.model.eval()
        # the first clips alone, which the processes share
        drawn = self.feed.centre(self.val, self.robust.clips if self.peers.size > 1 else None)
        batches = (batch.to(self.model.device) for batch in drawn)
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


def _part(held: list[int], rank: int) -> Part:
    # a clip that stands in is drawn for, too
    return Part(held[rank], sum(held[:rank]), sum(held)) if held[rank] else Part(1, 0, sum(held))


def _refuse_boxes(batch: Batch) -> None:
    """A clip that is mixed with another has the persons of both, and the boxes of one."""
    if batch.boxes is not None:
        raise UsageError(
            "--augment mixup, cutmix and smoothing change whole clips; here the classes are those of boxes",
            "Leave them out; --smoothing smooths the classes of boxes.",
        )
