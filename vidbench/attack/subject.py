"""What is attacked: a model with its defences, and the clips of a list."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vidbench import cache
from vidbench.attack.target import Target
from vidbench.data import synthetic
from vidbench.data.dataset import ClipItem, ClipList, read_clips
from vidbench.errors import InputError
from vidbench.memory import keep_memory
from vidbench.model.classifier import Classifier
from vidbench.model.defences import Defended, defend
from vidbench.model.device import resolve_device
from vidbench.model.evaluate import check_labels, preprocess_for
from vidbench.model.layout import fast_layout
from vidbench.model.protocol import Protocol
from vidbench.model.reading import Reader, read_ahead
from vidbench.model.resolve import LoadedModel, load_model, tell_of_defence
from vidbench.model.views import video_views
from vidbench.progress import Reporter, SilentReporter
from vidbench.video.clip import VideoError
from vidbench.video.decoder import choose


class SubjectRequest(BaseModel):
    """Which model, and which clips.

    Attributes:
        model: Catalogue name, run folder or file.
        data: The list or manifest; None for the built-in synthetic clips.
        root: Folder of the list's relative paths.
        defence: Defences before the model, "gcm,jpeg:75"; None for none.
        weights: As of `model eval`.
        pull: Download missing weights.
        limit: Clips to attack.
        workers: Threads that decode; 0 for one per core.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    data: Path | None = None
    root: Path | None = None
    defence: str | None = None
    weights: str = "pretrained"
    pull: bool = False
    device: str = "auto"
    decoder: str = "pyav"
    workers: int = Field(0, ge=0)
    seed: int = 0
    limit: int = Field(16, ge=1)


@dataclass(frozen=True)
class Subject:
    """What is attacked.

    Attributes:
        model: As loaded; its classifier has no defences.
        classifier: With the defences, frozen, in the reference layout: what judges every result.
        clips: The list.
        reader: Reads the centre view of each.
        by_labels: Whether the list's labels are the model's classes; else its own predictions are attacked.
        device: Where.
        workers: Threads that decode.
    """

    model: LoadedModel
    classifier: Classifier
    clips: ClipList
    reader: Reader
    by_labels: bool
    device: torch.device
    workers: int

    @property
    def random(self) -> bool:
        """Whether a defence draws random numbers."""
        return isinstance(self.classifier, Defended) and self.classifier.random

    def target(
        self, *, layout: str = "fast", precision: str = "fp32", draws: int = 1, classifier: Classifier | None = None
    ) -> Target:
        """The classifier, or another one such as its undefended part, as attacks see it."""
        chosen = classifier or self.classifier
        chosen = fast_layout(chosen) if layout == "fast" else chosen.requires_grad_(False)
        return Target(chosen.logits, chosen.num_classes, precision=precision, draws=draws, random=self.random)

    def read(self, items: Iterable[ClipItem]) -> Generator[tuple[ClipItem, Tensor | VideoError]]:
        """The centre view of each item, `(3, T, H, W)` float32 in [0, 1] on the CPU, in order."""
        with closing(read_ahead(self.reader, items, self.workers)) as decoded:
            for item, found in decoded:
                if isinstance(found, VideoError):
                    yield item, found
                else:
                    yield item, video_views(found, self.reader.preprocess, self.reader.protocol).clip(0).contiguous()


def load_subject(request: SubjectRequest, reporter: Reporter | None = None) -> Subject:
    """Load the model and read the list; the clips are those of `model eval --views 1x1`.

    Raises:
        InputError: The list, a label beyond the model's classes, or a model of several classes per clip.
        MissingError: Weights or device.
        UsageError: No such defence.
    """
    reporter = reporter or SilentReporter()
    device = resolve_device(request.device)
    if device.type == "cpu":
        keep_memory()
    model = load_model(
        request.model, weights=request.weights, pull=request.pull, seed=request.seed, device=device, reporter=reporter
    )
    plain = model.classifier
    if plain.several:
        raise InputError(
            f"{request.model} gives several classes per clip, which no attack here takes",
            "Attack a model of one class.",
        )
    tell_of_defence(model, request.defence, reporter)
    classifier = defend(plain, request.defence) if request.defence else plain
    clips = _clips(request, plain, reporter)
    decoder = choose(request.decoder, (item.path for item in clips.items if item.kind == "videos"))
    by_labels = request.data is not None or plain.classes == synthetic.CLASSES
    if not by_labels:
        reporter.info(
            "The built-in clips carry no label of this model's classes: "
            "its own predictions are attacked, and the figure is the fooling rate."
        )
    protocol = Protocol.choose(model.card, None, "1x1", model.weights)
    reader = Reader(decoder, preprocess_for(model, clips), protocol)
    workers = request.workers or os.cpu_count() or 1
    return Subject(model, classifier.eval().requires_grad_(False), clips, reader, by_labels, device, workers)


def _clips(request: SubjectRequest, classifier: Classifier, reporter: Reporter) -> ClipList:
    if request.data is not None:
        clips = read_clips(request.data, request.root, request.limit)
        check_labels(clips, classifier.num_classes, request.model)
        return clips
    per_class = -(-request.limit // len(synthetic.CLASSES))
    folder = cache.home() / "synthetic" / f"v{synthetic.CONTENT_VERSION}-seed{request.seed}-{per_class}"
    rendered = synthetic.render(
        synthetic.SyntheticRequest(out=folder, train_per_class=1, val_per_class=per_class, seed=request.seed), reporter
    )
    clips = read_clips(rendered.lists["val"], folder)
    # one clip of each class in turn, so that a small limit still shows every motion
    items = sorted(clips.items, key=lambda item: (item.line - 1) % per_class)[: request.limit]
    return replace(clips, items=tuple(items))
