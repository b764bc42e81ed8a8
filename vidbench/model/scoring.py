"""Frames to class scores: views in batches through the network, in the precision that was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from vidbench.errors import MissingError
from vidbench.model.card import Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.defences import Defended
from vidbench.model.protocol import Protocol
from vidbench.model.views import VideoViews, clips_of
from vidbench.video.clip import VideoError, VideoInfo

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# on a CPU: more pixels at a time leave the caches, fewer leave cores idle; of X3D-S 30 views take 2.3 s two at a time,
# 3.0 s one or three at a time, 3.4 s six at a time (2 cores)
PIXELS_PER_BATCH = 900_000

I = TypeVar("I")  # noqa: E741


def batch_for(preprocess: Preprocess, protocol: Protocol, device: torch.device) -> int:
    """Views per forward pass where none is asked for: all of a video on a GPU, what suits the caches on a CPU.

    On a GPU whose memory does not hold that many, `Scorer` halves it.
    """
    views = protocol.views.temporal * protocol.views.spatial
    if device.type != "cpu":
        return views
    _, side = protocol.views.side(preprocess)
    fitting = max(1, PIXELS_PER_BATCH // (preprocess.frames * side * side))
    # batches of equal size: 30 views are 5 times 6 rather than 4 times 7 and a rest
    return -(-views // -(-views // fitting))


@dataclass(frozen=True)
class Scored:
    """What a network says of a video.

    Attributes:
        info: The video.
        scores: Of the K classes, in [0, 1] to 7 digits.
    """

    info: VideoInfo
    scores: list[float]


class Scorer:
    """Scores videos one after the other.

    Args:
        classifier: In the layout that is wanted, on its device.
        protocol: How the views' scores become one row.
        batch: Views per forward pass; more than a video has are taken from several videos.
        precision: "fp32", "bf16" or "fp16": of convolutions and products, by autocast. Sums over positions and views
            are float32 and float64.
        compiled: Whether the network goes through `torch.compile`.
        seeds: For a classifier that draws random numbers: the seed of a view of an item. Views then go through it
            one by one, so that its draws depend on nothing else.

    Attributes:
        batch: Views per forward pass now; halved where a GPU's memory did not hold them.

    Raises:
        MissingError: `compiled`, and there is no C++ compiler.
    """

    def __init__(
        self,
        classifier: Classifier,
        protocol: Protocol,
        batch: int,
        precision: str = "fp32",
        compiled: bool = False,
        seeds: Callable[[Any, int], int] | None = None,
    ) -> None:
        self.batch = batch if seeds is None else 1
        self._seeds = seeds
        self._classifier = classifier
        self._protocol = protocol
        self._precision = precision
        self._forward: Callable[[Tensor], Tensor] = compiled_network(classifier) if compiled else classifier

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self._classifier.device

    def score(self, videos: Iterable[tuple[I, VideoViews | VideoError]]) -> Iterator[tuple[I, Scored | VideoError]]:
        """The class scores of each video; those that could not be read pass through."""
        waiting: list[tuple[I, VideoViews]] = []
        views = 0
        for item, video in videos:
            if isinstance(video, VideoError):
                yield item, video
                continue
            waiting.append((item, video))
            views += len(video)
            if views >= self.batch:
                yield from self._together(waiting)
                waiting, views = [], 0
        yield from self._together(waiting)

    def _together(self, videos: list[tuple[I, VideoViews]]) -> Iterator[tuple[I, Scored | VideoError]]:
        # only views of one shape can share a batch, which they do: the crop is the protocol's
        views = [(place, view) for place, (_, video) in enumerate(videos) for view in range(len(video))]
        rows: list[list[Tensor]] = [[] for _ in videos]
        start = 0
        while start < len(views):
            part = views[start : start + self.batch]
            try:
                clips = clips_of([(videos[place][1], view) for place, view in part], self.device)
                with self._seeded(videos[part[0][0]][0], part[0][1]):
                    found = self._probabilities(clips)
            except torch.OutOfMemoryError:
                if self.batch == 1:
                    raise
                self.batch = -(-self.batch // 2)
                torch.cuda.empty_cache()
                continue
            for (place, _), row in zip(part, found, strict=True):
                rows[place].append(row)
            start += len(part)
        for (item, video), found_rows in zip(videos, rows, strict=True):
            scores = torch.stack(found_rows)
            total = scores.sum(0) / len(scores) if self._protocol.rule.ensemble == "mean" else scores.max(0).values
            yield item, Scored(video.info, [float(f"{score:.7g}") for score in total.tolist()])

    @contextmanager
    def _seeded(self, item: object, view: int) -> Iterator[None]:
        """Random numbers of the view's own, where there are any; those of everyone else go on as before."""
        if self._seeds is None:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self._seeds(item, view))
            yield

    @torch.inference_mode()
    def _probabilities(self, clips: Tensor) -> Tensor:
        """`(N, 3, T, S, S)` in [0, 1] to `(N, K)` float64 probabilities on the CPU."""
        with autocast(self.device, self._precision):
            logits = self._forward(clips)
        return self._classifier.probabilities(logits.float()).double().cpu()


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which a network computes in a precision: "fp32" changes nothing."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, PRECISIONS[precision])


def require_compiler(device: torch.device) -> None:
    """Refuse `torch.compile` on a CPU without a C++ compiler.

    Raises:
        MissingError: There is none.
    """
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "c++", "clang++"))):
        raise MissingError(
            "--compile needs a C++ compiler, and there is none", "Debian: apt install g++. Or leave out --compile."
        )


def compiled_network(classifier: Classifier) -> Callable[[Tensor], Tensor]:
    """The classifier through `torch.compile`; defences before it stay as they are, codecs and draws among them.

    Raises:
        MissingError: It needs a C++ compiler on a CPU, and there is none.
    """
    require_compiler(classifier.device)
    if isinstance(classifier, Defended):
        behind, changed = compiled_network(classifier.inner), classifier.changed
        return lambda clips: behind(changed(clips))
    compiled: Callable[[Tensor], Tensor] = torch.compile(classifier, dynamic=False)
    return compiled
