"""MODEL as the user types it: a catalogue name, a run folder or a file, to a loaded classifier."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from vidbench.errors import InputError, UnknownNameError
from vidbench.formats.labels import load_labels
from vidbench.model.card import Preprocess
from vidbench.model.checkpoint import MODEL_FILE, TENSORS_FILE, load_strict, read_model, read_state
from vidbench.model.classifier import Classifier
from vidbench.model.remap import map_state
from vidbench.model.variant import UNCHANGED, Variant, apply_variant
from vidbench.model.weights import require, tags
from vidbench.model.zoo import MODELS, ModelCard
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import file_sha256

FINDS = {
    "classify": "the class of a clip",
    "multilabel": "the classes of a clip",
    "detect": "actions of persons in boxes",
    "persons": "persons in images",
}
"""What models find, for messages."""


@dataclass(frozen=True)
class LoadedModel:
    """A classifier in evaluation mode, and where it came from.

    Attributes:
        classifier: On the device that was asked for.
        reference: What the user typed.
        architecture: The catalogue name of the network.
        weights: "pretrained", "random", the tag of other published weights, or the file.
        weights_sha256: Of the file; for random weights "random:<seed>".
        card: The catalogue's facts.
        behind: The defence that clips passed while it was trained, as typed; empty for none.
    """

    classifier: Classifier
    reference: str
    architecture: str
    weights: str
    weights_sha256: str
    card: ModelCard
    behind: str = ""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its outputs: its own, or those of its published head; empty where none are known."""
        own, card = self.classifier.classes, self.card
        if own or not card.labels or self.classifier.num_classes != card.num_classes:
            return own
        return load_labels(card.labels).names


def load_model(
    reference: str,
    *,
    weights: str = "pretrained",
    pull: bool = False,
    seed: int = 0,
    device: torch.device | None = None,
    reporter: Reporter | None = None,
) -> LoadedModel:
    """Load the model that `reference` names.

    Args:
        reference: A catalogue name, a run folder of `model finetune`, or its `model.json` or
            `model.safetensors`.
        weights: For a catalogue name: "pretrained", the tag of another of its published files, "random", or a
            file in a layout that `vidbench.model.remap` knows.
        pull: Download pretrained weights that are missing.
        seed: Of random weights.
        device: Where the network goes; the CPU by default.
        reporter: Hears of a download.

    Raises:
        UnknownNameError: Neither a catalogue name nor something that exists.
        MissingError: The pretrained weights are not here.
        InputError: The file does not fit the network, or the model is no classifier of clips.
    """
    if reference in MODELS:
        loaded = _from_catalogue(reference, weights, pull, seed, reporter or SilentReporter())
    else:
        loaded = _from_path(reference, weights)
    loaded.classifier.eval().to(device or torch.device("cpu"))
    return loaded


def build(
    card: ModelCard,
    num_classes: int,
    classes: tuple[str, ...],
    seed: int,
    preprocess: Preprocess | None = None,
    variant: Variant = UNCHANGED,
) -> Classifier:
    """A classifier with fresh weights drawn from `seed`; with the card's input and layers where none are given."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = _classifier(card, preprocess or card.preprocess, num_classes, classes)
        apply_variant(classifier.net, variant)
    return classifier


def how_to_use(card: ModelCard) -> str:
    """Which command a detector is for, as a remedy where a classifier is wanted."""
    if card.task == "persons":
        return f"It goes beside an action detector: `vidbench model predict --persons {card.name}`."
    return f"`vidbench model predict --model {card.name}` uses it; `vidbench model list` shows what each model does."


def task_of(reference: str) -> str:
    """What a model is for, whether of the catalogue or one of ours; "classify" of anything else.

    Raises:
        InputError: A model of ours that is damaged.
    """
    if reference in MODELS:
        return MODELS.get(reference).task
    path = Path(reference)
    folder = path if path.is_dir() else path.parent
    ours = path.is_dir() or path.name in (MODEL_FILE, TENSORS_FILE)
    if not ours or not (folder / MODEL_FILE).is_file():
        return "classify"
    info, _ = read_model(folder)
    return info.task or MODELS.get(info.architecture).task


def _classifier(card: ModelCard, preprocess: Preprocess, num_classes: int, classes: tuple[str, ...]) -> Classifier:
    if card.task not in ("classify", "multilabel"):
        raise InputError(f"{card.name} is no classifier of clips: it finds {FINDS[card.task]}", how_to_use(card))
    return Classifier(card.build(num_classes), preprocess, num_classes, classes, card.task == "multilabel")


def _from_catalogue(name: str, weights: str, pull: bool, seed: int, reporter: Reporter) -> LoadedModel:
    card = MODELS.get(name)
    path = Path(weights)
    tagged = weights in tags(card) and not path.exists()
    if weights == "pretrained" or tagged:
        # before the network is built: building it takes seconds, and the file may be missing
        path = require(card, pull=pull, reporter=reporter, tag=weights if tagged else "")
    classifier = build(card, card.num_classes, (), seed)
    if weights == "random":
        return LoadedModel(classifier, name, name, weights, f"random:{seed}", card)
    if not path.is_file():
        taken = ", ".join(("pretrained", *tags(card), "random"))
        raise InputError(f"{path}: no such weights file", f"--weights takes {taken} or a file.")
    load_strict(classifier.net, map_state(read_state(path).tensors, name).tensors, source=str(path))
    return LoadedModel(classifier, name, name, weights, file_sha256(path), card)


def model_path(reference: str, weights: str, kind: str = "model", names: tuple[str, ...] | None = None) -> Path:
    """A model of ours as the user typed it; `read_model` reads it.

    Args:
        reference: What was typed.
        weights: Likewise; must be "pretrained", which nobody has to type.
        kind: What was to be named, for messages.
        names: Of the catalogue, that could have been meant; all by default.

    Raises:
        UnknownNameError: Neither a catalogue name nor something that exists.
        InputError: No model of ours, or other weights were asked for.
    """
    path = Path(reference)
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise InputError(f"{reference}: no such model file or run folder")
        raise UnknownNameError(kind, reference, names or MODELS.names(), "`vidbench model list` shows all.")
    if path.is_dir() and not (path / MODEL_FILE).exists():
        raise InputError(f"{path} holds no {MODEL_FILE}", "A run folder of a finished `vidbench model finetune` does.")
    if path.is_file() and path.name != MODEL_FILE and not path.with_name(MODEL_FILE).exists():
        raise InputError(
            f"{path}: a weights file does not say which network it is for",
            f"Name the network: MODEL --weights {path}, where MODEL is one of {', '.join(MODELS.names())}.",
        )
    if weights != "pretrained":
        raise InputError(f"--weights goes with a catalogue name; {reference} has its own weights")
    return path


def _from_path(reference: str, weights: str) -> LoadedModel:
    info, tensors_path = read_model(model_path(reference, weights))
    card = MODELS.get(info.architecture)
    if not info.variant.head:
        raise InputError(
            f"{reference} has no classifying layer: it is a start for training ({info.init})",
            f"`vidbench model finetune {card.name} LIST --init {reference}` trains it on a list of clips.",
        )
    if info.task == "detect":
        raise InputError(
            f"{reference} is no classifier of clips: it finds {FINDS['detect']}",
            f"`vidbench model eval --task detect {reference} SET` measures it.",
        )
    classifier = _classifier(card, info.preprocess, len(info.classes), info.classes)
    classifier.several = (info.task or card.task) == "multilabel"
    apply_variant(classifier.net, info.variant)
    load_strict(classifier.net, read_state(tensors_path).tensors, source=str(tensors_path))
    digest, behind = file_sha256(tensors_path), str(info.trained.get("defence") or "")
    return LoadedModel(classifier, reference, info.architecture, str(tensors_path), digest, card, behind)


def tell_of_defence(model: LoadedModel, chosen: str | None, reporter: Reporter) -> None:
    """Say that a model was trained behind a defence where none is put before it now."""
    if model.behind and not chosen:
        reporter.info(
            f"{model.reference} was trained behind a defence, without which it is used here: "
            f"--defence {model.behind} puts it there."
        )
