"""Training X3D-S: steps of ours against pytorchvideo's model in the plain loop, and what reading videos takes."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from evaluate import kinetics_like
from timing import in_turns, report
from torch import Tensor, nn
from torch.nn import functional

from vidbench.data.dataset import read_clips
from vidbench.memory import keep_memory
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.classifier import Classifier
from vidbench.model.footage import FootageStore
from vidbench.model.layout import training_layout
from vidbench.model.resolve import build
from vidbench.model.train.batch import Batch
from vidbench.model.train.clip_rules import clip_rule
from vidbench.model.train.feed import Feed
from vidbench.model.train.objective import OneClass
from vidbench.model.train.optimizers import parameter_groups, train_mode
from vidbench.model.train.placing import JITTER, Placing
from vidbench.model.train.rule import Plain
from vidbench.model.train.samples import ListSamples
from vidbench.model.train.settings import TrainSettings
from vidbench.model.train.update import Updater
from vidbench.model.zoo import MODELS
from vidbench.video.seeking import Seeking

CARD = MODELS.get("x3d_s")
CLASSES = 400
LR = 1e-3
Step = Callable[[Tensor, Tensor], float]


def fresh() -> Classifier:
    """The network with the weights that both begin with."""
    return build(CARD, CLASSES, (), seed=0)


def plain(settings: TrainSettings) -> Step:
    """Pytorchvideo's network as it is built, memory contiguous, and the usual five lines."""
    model = fresh()
    net: nn.Module = model.net.train()
    groups = parameter_groups(net, settings.weight_decay)
    optimizer = torch.optim.AdamW([{key: group[key] for key in ("params", "weight_decay")} for group in groups], lr=LR)

    def step(clips: Tensor, labels: Tensor) -> float:
        torch.manual_seed(1)
        logits = net((clips - model.mean) / model.std).flatten(2).mean(2)
        loss = functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
        optimizer.step()
        return float(loss.detach())

    return step


def ours(settings: TrainSettings) -> Step:
    """As `model finetune` does it."""
    model = training_layout(fresh())
    train_mode(model, False)
    updater = Updater(model, settings, LR, CARD.head, OneClass(), Plain())

    def step(clips: Tensor, labels: Tensor) -> float:
        torch.manual_seed(1)
        updater.begin(len(clips))
        found = updater.take(Batch(clips, labels), labels, 0.0, torch.Generator())
        updater.apply(LR)
        return found.loss

    return step


def batches(size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Clips of noise: a network's time does not depend on what it sees."""
    generator = torch.Generator().manual_seed(0)
    shape = (size, 3, CARD.preprocess.frames, CARD.preprocess.crop, CARD.preprocess.crop)
    while True:
        clips = torch.rand(shape, generator=generator)
        yield clips, torch.randint(CLASSES, (size,), generator=generator)


def reading(folder: Path, videos: int, size: int, cache_mb: int, step: Step) -> str:
    """An epoch after the first: processor time of reading alone, and of reading with its steps; what was waited."""
    for number in range(videos):
        if not (folder / f"{number}.mp4").exists():
            kinetics_like(folder / f"{number}.mp4", number)
    (folder / "list.txt").write_text("".join(f"{number}.mp4 {number}\n" for number in range(videos)))
    placing = Placing.of(CARD.preprocess, JITTER, "uniform", "jitter", 0.5)
    samples = ListSamples(
        read_clips(folder / "list.txt"),
        FootageStore(Seeking(), max(placing.short_side, CARD.preprocess.short_side), cache_mb * 2**20),
        CARD.preprocess,
        classes=0,
        rule=clip_rule("videos", ""),
        placing=placing,
        augment=AugmentSettings.model_validate({}),
    )
    with ThreadPoolExecutor(2) as pool:
        feed = Feed(seed=0, batch=size, pool=pool)
        for _ in feed.training(samples, 1, 0):
            pass
        began = time.process_time()
        for _ in feed.training(samples, 2, 0):
            pass
        read, waited = time.process_time() - began, 0.0
        started, began = time.perf_counter(), time.process_time()
        coming = feed.training(samples, 3, 0)
        while True:
            asked = time.perf_counter()
            batch = next(coming, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            step(batch.clips, batch.targets)
        whole, wall = time.process_time() - began, time.perf_counter() - started
    return (
        f"reading with {cache_mb} MiB kept: {read / videos * 1000:.0f} ms of processor time a clip, "
        f"{read / whole:.1%} of that of a step; the step waited {waited / wall:.1%} of its time"
    )


def main() -> None:
    """Rounds of one step each, then an epoch over rendered videos."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--videos", type=int, default=16, help="to read; 0 leaves reading out")
    parser.add_argument("--threads", type=int, help="of torch; as many as it takes by itself if left out")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_memory()
    settings = TrainSettings(lr=LR)
    steps = {"ours": ours(settings), "pytorchvideo, plain loop": plain(settings)}
    data = batches(options.batch)
    losses: dict[str, list[float]] = {name: [] for name in steps}
    # the first step of each finds memory and kernels
    drawn = [next(data) for _ in range(options.rounds + 1)]
    for name, step in steps.items():
        losses[name].append(step(*drawn[0]))

    busy: dict[str, list[float]] = {name: [] for name in steps}

    def timed(name: str) -> Callable[[], None]:
        def call() -> None:
            began = time.process_time()
            losses[name].append(steps[name](*drawn[len(losses[name])]))
            busy[name].append(time.process_time() - began)

        return call

    seconds = in_turns({name: timed(name) for name in steps}, options.rounds)
    apart = max(abs(one - two) / two for one, two in zip(*losses.values(), strict=True))
    own, peer = (statistics.median(busy[name]) for name in steps)
    notes = [
        f"processor time of a step: {own:.2f} s and {peer:.2f} s, {peer / own:.2f} times; other work on the machine "
        "changes it less than the time by the clock",
        f"losses of {options.rounds + 1} steps are equal to {apart:.1e} of their size",
    ]
    if options.videos:
        with tempfile.TemporaryDirectory() as folder:
            notes += [
                reading(Path(folder), options.videos, options.batch, cache_mb, steps["ours"]) for cache_mb in (0, 2048)
            ]
    report(
        f"Training X3D-S, batches of {options.batch}, {torch.get_num_threads()} threads",
        seconds,
        "pytorchvideo, plain loop",
        notes,
    )


if __name__ == "__main__":
    main()
