"""The data of a training as its task has it: what is learnt, of which classes, from which samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from vidbench.data.dataset import ClipList, read_clips
from vidbench.errors import InputError
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.evaluate import check_labels
from vidbench.model.footage import FootageStore
from vidbench.model.train.objective import Objective, OneClass, SeveralClasses
from vidbench.model.train.samples import ListSamples, Samples
from vidbench.model.zoo import Preprocess
from vidbench.runs import file_sha256
from vidbench.video.decoder import DECODERS, choose

Json = dict[str, Any]


class Sampling(Protocol):
    """The part of a request that says how clips are taken from videos."""

    decoder: str
    jitter: float
    flip: float
    augment: AugmentSettings
    cache_mb: int


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
    """Lists of clips, of one class each or of several.

    Raises:
        InputError: A list, its labels or the class names cannot be used.
    """

    def __init__(
        self, source: Path, val: Path | None, classes: Path | None, root: Path | None, limit: int | None, several: bool
    ) -> None:
        self._clips = read_clips(source, root, limit, several=several, kinds=("videos",))
        self._val = read_clips(val, root, several=several, kinds=("videos",)) if val else None
        self._classes, self._several = classes, several
        self.names = class_names(classes, self._clips, self._val)
        self.objective: Objective = SeveralClasses() if several else OneClass()
        for part in (self._clips, self._val):
            if part is not None:
                check_labels(part, len(self.names), f"{classes or 'the training list'}")

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
        """The clips, in a store of decoded videos that both parts share."""
        decode = DECODERS.get(choose(sampling.decoder, (item.path for item in self._clips.items)))
        store = FootageStore(decode, round(preprocess.crop * sampling.jitter), sampling.cache_mb * 2**20)

        def samples(clips: ClipList) -> Samples:
            return ListSamples(
                clips,
                store,
                preprocess,
                classes=len(self.names) if self._several else 0,
                jitter=sampling.jitter,
                flip=sampling.flip,
                augment=sampling.augment,
            )

        return samples(self._clips), samples(self._val) if self._val else None


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
