"""The data of a training as its task has it: what is learnt, of which classes, from which samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from vidbench.data.dataset import ClipList, Kind, read_clips
from vidbench.errors import InputError, UsageError
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.evaluate import check_labels
from vidbench.model.footage import FootageStore
from vidbench.model.train.clip_rules import clip_rule
from vidbench.model.train.objective import Objective, OneClass, SeveralClasses
from vidbench.model.train.placing import Jitter, Placing
from vidbench.model.train.samples import ListSamples, Repeated, Samples
from vidbench.model.zoo import MODELS, Preprocess
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import file_sha256
from vidbench.video.decoder import DECODERS, choose
from vidbench.video.seeking import Seeking

Json = dict[str, Any]
KINDS: tuple[Kind, ...] = ("videos", "frames")


class Sampling(Protocol):
    """The part of a request that says how clips are taken from videos."""

    @property
    def model(self) -> str:
        """Catalogue name of the network."""

    @property
    def decoder(self) -> str:
        """Reads the videos."""

    @property
    def jitter(self) -> Jitter:
        """Short sides, see `vidbench.model.train.placing`."""

    @property
    def jitter_rule(self) -> str:
        """How they are distributed."""

    @property
    def crop(self) -> str:
        """How a clip's place in the frames is drawn."""

    @property
    def flip(self) -> float:
        """How often clips are flipped."""

    @property
    def repeat(self) -> int:
        """Clips of each video in an epoch."""

    @property
    def clip_labels(self) -> Literal["clip", "video"] | None:
        """Whose classes a clip has; None decides by the list."""

    @property
    def augment(self) -> AugmentSettings:
        """What else happens to clips."""

    @property
    def cache_mb(self) -> int:
        """Memory for frames."""


class TaskData(Protocol):
    """What a task trains on.

    Attributes:
        names: Of the classes.
        objective: What is learnt.
    """

    names: tuple[str, ...]
    objective: Objective

    def resolved(self) -> Json:
        """Digests and places of what was read: a resumed run has to find the same."""

    def open(self, preprocess: Preprocess, sampling: Sampling) -> tuple[Samples, Samples | None]:
        """What to train on and what to validate on, for a network with this input."""


class ListData:
    """Lists of clips, of one class each or of several; videos, or frame lists.

    Args:
        source: The training list.
        val: The validation list.
        classes: A file of class names.
        root: The folder of relative paths.
        limit: Train on the first so many only.
        several: Whether a clip may have several classes.
        reporter: Is told what the lists lack.

    Raises:
        InputError: A list, its labels or the class names cannot be used.
    """

    def __init__(
        self,
        source: Path,
        val: Path | None,
        classes: Path | None,
        root: Path | None,
        limit: int | None,
        several: bool,
        reporter: Reporter | None = None,
    ) -> None:
        self._clips = read_clips(source, root, limit, several=several, kinds=KINDS)
        self._val = read_clips(val, root, several=several, kinds=KINDS) if val else None
        self._classes, self._several = classes, several
        self.names = class_names(classes, self._clips, self._val)
        self.objective: Objective = SeveralClasses() if several else OneClass()
        for part in (self._clips, self._val):
            if part is not None:
                check_labels(part, len(self.names), f"{classes or 'the training list'}")
        if several:
            self._look_for_positives(reporter or SilentReporter())

    def _look_for_positives(self, reporter: Reporter) -> None:
        """A class that no clip has cannot be learnt, and one that no clip of the validation has not be measured."""
        if not any(item.labels for item in self._clips.items):
            raise InputError(f"{self._clips.source}: no clip of it has a class, so there is nothing to learn")
        for clips, told in (
            (self._clips, "they cannot be learnt"),
            (self._val, "the mean average precision is that of the others"),
        ):
            if clips is None:
                continue
            there = {label for item in clips.items for label in item.labels}
            missing = [name for label, name in enumerate(self.names) if label not in there]
            if missing:
                reporter.warn(f"{clips.source}: {_listed(missing)} of {len(self.names)} without a clip: {told}")

    def resolved(self) -> Json:
        """Digests of the lists and the class names, and the folder that relative paths start from."""
        return {
            "list_sha256": self._clips.sha256,
            "val_sha256": self._val.sha256 if self._val else None,
            "classes_sha256": file_sha256(self._classes) if self._classes else None,
            "root": str(self._clips.root),
            "root_rule": self._clips.root_rule,
        }

    def open(self, preprocess: Preprocess, sampling: Sampling) -> tuple[Samples, Samples | None]:
        """The clips, in a store of frames that both parts share."""
        of_frames = self._of_frames(sampling.clip_labels)
        placing = Placing.of(preprocess, sampling.jitter, sampling.jitter_rule, sampling.crop, sampling.flip)
        parts = [clips for clips in (self._clips, self._val) if clips is not None]
        videos = [item.path for clips in parts for item in clips.items if item.kind == "videos"]
        decoder = choose(sampling.decoder, videos)
        store = FootageStore(
            Seeking() if decoder == "pyav" else DECODERS.get(decoder),
            max(placing.short_side, preprocess.short_side),
            sampling.cache_mb * 2**20,
        )
        published = MODELS.get(sampling.model).published

        def samples(clips: ClipList) -> ListSamples:
            return ListSamples(
                clips,
                store,
                preprocess,
                classes=len(self.names) if self._several else 0,
                rule=clip_rule(clips.kind, published.protocol if published else ""),
                placing=placing,
                augment=sampling.augment,
                of_frames=of_frames,
            )

        train: Samples = samples(self._clips)
        if sampling.repeat > 1:
            train = Repeated(train, sampling.repeat)
        return train, samples(self._val) if self._val else None

    def _of_frames(self, asked: Literal["clip", "video"] | None) -> bool:
        """Whether a training clip has the classes of its own frames; UsageError where these have none."""
        possible = self._several and self._clips.kind == "frames"
        if asked == "clip" and not possible:
            why = "its lines are videos" if self._several else "a clip has one class, that of its video"
            raise UsageError(
                f"--clip-labels clip: {self._clips.source} does not say which frames show a class: {why}",
                "`data csv charades` writes lists of frames with their classes; train on them with --task multilabel.",
            )
        return possible and asked != "video"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"class {shown}" if len(names) == 1 else f"classes {shown}"


def class_names(file: Path | None, clips: ClipList, val: ClipList | None) -> tuple[str, ...]:
    """Names from a file, one per line, or the numbers from 0 to the largest label of the lists."""
    if file is None:
        items = (*clips.items, *(val.items if val else ()))
        return tuple(str(index) for index in range(max(max(item.labels, default=0) for item in items) + 1))
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
