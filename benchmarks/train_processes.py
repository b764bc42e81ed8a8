"""Training on two processes of one thread each against one process of one thread: the same steps, the same batches.

Run as `python benchmarks/train_processes.py [--model x3d_s] [--batch 4] [--steps 6]`. Processes are started once; what
is timed are steps after the first, without reading. Each takes its part of the same global batch, with batch
normalisation over both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

# before torch: one thread each
os.environ["OMP_NUM_THREADS"] = "1"

import torch

from vidbench.model.layout import training_layout
from vidbench.model.resolve import build
from vidbench.model.shards import Team
from vidbench.model.train.batch import Batch
from vidbench.model.train.draws import Part, drawn_together
from vidbench.model.train.launch import launch
from vidbench.model.train.objective import OneClass
from vidbench.model.train.optimizers import train_mode
from vidbench.model.train.peers import Peers
from vidbench.model.train.rule import Plain
from vidbench.model.train.settings import TrainSettings
from vidbench.model.train.sync_bn import synchronise
from vidbench.model.train.update import Updater
from vidbench.model.zoo import MODELS
from vidbench.progress import Reporter, SilentReporter

CLASSES = 10
Taken = tuple[list[float], list[float], list[float]]


def steps(model: str, batch: int, count: int, frozen: bool, reporter: Reporter) -> Taken:
    """Seconds, processor seconds and losses of training steps in this process, with its peers where it has any."""
    torch.set_num_threads(1)
    team = Team.join()
    peers = Peers(team, torch.device("cpu"))
    card = MODELS.get(model)
    classifier = training_layout(build(card, CLASSES, (), seed=0))
    if peers.size > 1 and not frozen:
        synchronise(classifier, peers)
    settings = TrainSettings.model_validate({"optimizer": "sgd", "batch": batch, "freeze_bn": frozen})
    updater = Updater(classifier, settings, 0.01, card.head, OneClass(), Plain(), peers)
    train_mode(classifier, frozen)
    asked = card.preprocess
    shape = (batch, 3, asked.frames, asked.crop, asked.crop)
    clips = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    share = peers.share(batch)
    own = slice(share.start, share.stop)
    part = Batch(clips[own].clone(), torch.arange(batch)[own] % CLASSES)
    seconds, busy, losses = [], [], []
    for _ in range(count + 1):
        torch.manual_seed(0)
        started, began = time.perf_counter(), time.process_time()
        updater.begin(batch)
        # dropout as in one process
        with drawn_together([Part(len(part), own.start, batch)]):
            outcome = updater.take(part, part.targets, 0.0, torch.Generator(), batch)
        total = peers.numbers((outcome.loss * len(part),)).sum()
        updater.apply(0.01)
        seconds.append(time.perf_counter() - started)
        busy.append(time.process_time() - began)
        losses.append(float(total) / batch)
    # what the busiest process takes is what all wait for
    most = [max(each) for each in zip(*peers.gather(busy), strict=True)]
    team.leave()
    return seconds[1:], most[1:], losses


def main() -> None:
    """Rounds in turns, and a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="x3d_s")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(f"## Training on two processes: {asked.model}, {asked.batch} clips per step, one thread each\n")
    print(
        "| batch normalisation | one process, s per step | two processes | ratio | processor s of one | "
        "of the busier of two | ratio | largest difference of losses |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(Path(folder))
        for frozen in (True, False):
            held: dict[int, list[float]] = {1: [], 2: []}
            busy: dict[int, list[float]] = {1: [], 2: []}
            ratios, apart = [], 0.0
            for _ in range(asked.rounds):
                taken = {
                    size: launch(partial(steps, asked.model, asked.batch, asked.steps, frozen), size, SilentReporter())
                    for size in held
                }
                for size, (seconds, own, _) in taken.items():
                    held[size].append(statistics.median(seconds))
                    busy[size].append(statistics.median(own))
                ratios.append(held[1][-1] / held[2][-1])
                apart = max(apart, *(abs(a - b) for a, b in zip(taken[1][2], taken[2][2], strict=True)))
            name = "frozen" if frozen else "over both"
            one, two = (statistics.median(held[size]) for size in held)
            alone, busier = (statistics.median(busy[size]) for size in busy)
            print(
                f"| {name} | {one:.2f} | {two:.2f} | {statistics.median(ratios):.2f} | {alone:.2f} | {busier:.2f} | "
                f"{alone / busier:.2f} | {apart:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
