"""The steps of a training: batches read, shared by the processes, mixed, passed through the network, and applied."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vidbench.errors import InputError, UsageError
from vidbench.model.augment.pipeline import BatchMix
from vidbench.model.train.batch import Batch
from vidbench.model.train.draws import Part, drawn_together
from vidbench.model.train.peers import Peers
from vidbench.model.train.state import Position
from vidbench.model.train.update import Outcome, Updater
from vidbench.seeds import seed_for


class Steps:
    """Takes optimizer steps; all processes take the same ones together.

    Args:
        updater: What changes the weights.
        seed: Of everything random.
        best: The file of the best epoch's weights, for messages.
    """

    def __init__(self, updater: Updater, seed: int, best: Path) -> None:
        self._updater, self._seed, self._best = updater, seed, best
        self._peers, self._device = updater.peers, updater.model.device
        self._mix = _mix_of(updater)

    def take(self, batches: Iterator[Batch], sizes: Sequence[int], at: Position, done: float) -> tuple[float, int]:
        """One optimizer step; the sum of its things' losses, and how many they were, in all processes.

        Args:
            batches: This process's parts; as many are taken as the step has.
            sizes: Samples of each batch in all processes, as planned.
            at: Where the training is; counts on.
            done: Epochs done so far.

        Raises:
            InputError: A loss that is not finite, or a batch that is too small or too large.
        """
        loss_sum, things, right, bad = 0.0, 0, 0, ""
        for number in range(len(sizes)):
            began = time.perf_counter()
            batch = next(batches)
            at.data_seconds += time.perf_counter() - began
            clips, counts = parts_of(batch, self._peers)
            whole = sum(counts)
            if number == 0:
                self._updater.begin(whole if len(sizes) == 1 else sum(sizes))
            if whole:
                own = batch.things
                outcome = self._pass(batch, clips, counts, at, done)
                if own:
                    loss_sum, things = loss_sum + outcome.loss * own, things + own
                    right += outcome.right or 0
                    bad = bad or ("" if math.isfinite(outcome.loss) else _named(batch, at))
            at.seen += sum(clips)
            at.batch += 1
        loss_sum, things, right = self._refused_or_summed(loss_sum, things, right, bad)
        at.loss_sum += loss_sum
        at.things += things
        at.right += right
        self._updater.apply(at.lr)
        return loss_sum, things

    def _pass(self, batch: Batch, clips: list[int], counts: list[int], at: Position, done: float) -> Outcome:
        """One pass of this process's part of a batch; with a clip of another's, of no weight, where it has none.

        Args:
            batch: The part, on the CPU.
            clips: How many each process has.
            counts: How many things each has.
            at: Where the training is.
            done: Epochs done so far.
        """
        peers = self._peers
        if self._mix is not None and batch.things:
            batch, labels = self._mixed(self._mix, batch, clips, at)
        else:
            batch = peers.stand_in(batch, counts).to(self._device)
            labels = batch.targets
        peers.present = counts[peers.rank] > 0
        try:
            with shared(batch, clips, counts, peers):
                return self._updater.take(batch, labels, done, self._generator(at, "rule"), sum(counts))
        finally:
            peers.present = True

    def _mixed(self, mix: BatchMix, batch: Batch, clips: list[int], at: Position) -> tuple[Batch, Tensor]:
        """The batch on the device, mixed as the whole one, and what its clips were."""
        _refuse_boxes(batch)
        before = self._peers.clip_before(batch, clips)
        self._peers.stand_in(batch, clips)
        batch = batch.to(self._device)
        held, labels = batch.clips, batch.targets
        if before is not None:
            before = before.to(self._device)
            held, labels = torch.cat((before.clips, held)), torch.cat((before.targets, labels))
        mixed, targets = mix(held, labels, self._generator(at, "mix"))
        own = slice(0 if before is None else 1, None)
        return replace(batch, clips=mixed[own], targets=targets[own]), batch.targets

    def _refused_or_summed(self, loss_sum: float, things: int, right: int, bad: str) -> tuple[float, int, int]:
        """A step's sums over all processes; InputError where a loss is not finite."""
        totals = self._peers.numbers((loss_sum, things, right)).sum(0).tolist()
        if not math.isfinite(totals[0]):
            named = next((one for one in self._peers.gather(bad) if one), "in a sum of losses")
            raise InputError(
                f"the loss is not finite {named}",
                self._way_out(),
            )
        return totals[0], int(totals[1]), int(totals[2])

    def _way_out(self) -> str:
        """What to do about a loss that is not finite; another rate is another run."""
        begin = f" --init {self._best} begins with the best epoch so far." if self._best.exists() else ""
        return f"Lower --lr or lengthen --warmup, in another --out or with --overwrite.{begin}"

    def _generator(self, at: Position, what: str) -> torch.Generator:
        """The same in all processes, for draws of the whole batch."""
        return torch.Generator().manual_seed(seed_for(self._seed, what, at.epoch, at.batch))


def parts_of(batch: Batch, peers: Peers) -> tuple[list[int], list[int]]:
    """Clips and things of each process's part of a batch."""
    clips, counts = peers.numbers((len(batch), batch.things)).long().T.tolist()
    return clips, counts


def _mix_of(updater: Updater) -> BatchMix | None:
    """What mixes clips, where that is asked for."""
    settings = updater.settings
    if not settings.augment.mixes:
        return None
    # of several classes the loss does --smoothing itself, which for shares of one class it cannot
    one_class = updater.objective.figure == "top1"
    smoothing = settings.augment.smoothing or (settings.smoothing if one_class else 0.0)
    return BatchMix(settings.augment.model_copy(update={"smoothing": smoothing}), updater.model.num_classes)


def shared(batch: Batch, clips: Sequence[int], counts: Sequence[int], peers: Peers) -> AbstractContextManager[None]:
    """`drawn_together` for a batch of which each process has so many clips and things.

    Args:
        batch: What this process shows the network: its part, or what stands in for one (`Peers.present`).
        clips: How many each process has.
        counts: How many things each has.
        peers: The processes.
    """
    if peers.size == 1:
        return nullcontext()
    # what stands in is drawn for, too
    before = [sum(held[: peers.rank]) if peers.present else 0 for held in (clips, counts)]
    own = (len(batch), batch.things)
    return drawn_together([Part(*part) for part in zip(own, before, (sum(clips), sum(counts)), strict=True)])


def _named(batch: Batch, at: Position) -> str:
    more = f" and {len(batch) - 3} more" if len(batch) > 3 else ""
    return f"in epoch {at.epoch}, batch {at.batch + 1} ({', '.join(batch.names[:3])}{more})"


def _refuse_boxes(batch: Batch) -> None:
    """A clip that is mixed with another has the persons of both, and the boxes of one."""
    if batch.boxes is not None:
        raise UsageError(
            "--augment mixup, cutmix and smoothing change whole clips; here the classes are those of boxes",
            "Leave them out; --smoothing smooths the classes of boxes.",
        )
