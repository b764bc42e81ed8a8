"""The network that a training begins with, and what of its weights came from where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vidbench.errors import InputError
from vidbench.model.checkpoint import MODEL_FILE, TENSORS_FILE, ModelInfo, load_strict, read_model, read_state
from vidbench.model.classifier import Classifier
from vidbench.model.framewise import ATTENTION, FrameWise
from vidbench.model.named_start import TASKS, NamedStart, check_checkpoint, input_line, is_named, named_start
from vidbench.model.remap import map_state
from vidbench.model.resolve import build, load_model
from vidbench.model.roi import RoISettings
from vidbench.model.train.batch import Network
from vidbench.model.train.clip_settings import ClipSettings
from vidbench.model.train.input_check import refuse_unfit
from vidbench.model.train.robust_settings import Head
from vidbench.model.variant import UNCHANGED, Variant
from vidbench.model.zoo import ModelCard, Preprocess
from vidbench.progress import Reporter
from vidbench.runs import file_sha256

Json = dict[str, Any]
_AS_IS = ClipSettings()


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    Attributes:
        model: The network, with the start's weights where it has any.
        init: What was asked for.
        sha256: Of the file of weights; None for fresh ones.
        loaded: Tensors that came from the start.
        replaced: Tensors that kept fresh values, as those of a new head do.
        variant: What the network has otherwise than the catalogue's.
        resolved: What a resumed run has to find the same.
        named: What a run keeps of a published start that was named; None for others.
        roi: How a detector takes regions; None of a classifier.
        left_out: Tensors of the start that a detector has no place for: what its classifier has behind its features.
    """

    model: Network
    init: str
    sha256: str | None
    loaded: int
    replaced: tuple[str, ...]
    variant: Variant
    resolved: Json
    named: Json | None = None
    roi: RoISettings | None = None
    left_out: tuple[str, ...] = ()


def starting(
    card: ModelCard, init: str, names: tuple[str, ...], seed: int, several: bool, pull: bool, reporter: Reporter,
    clips: ClipSettings = _AS_IS, head: Head | None = None,
) -> Start:  # fmt: skip
    """Build the network with a head for `names`, and load the start into it.

    Args:
        card: The network.
        init: "scratch", "pretrained", the name of a published start, a file of weights or a run folder.
        names: Of the classes.
        seed: Of fresh weights.
        several: Whether a clip may have several classes.
        pull: Download published weights that are missing.
        reporter: Hears what was loaded and what not.
        clips: What is asked for in place of the input that the network or the start has; the file of a named start.
        head: The classifying layer; None for that of the start.

    Raises:
        UsageError: A file beside a start that is not named, or none beside one that is.
        InputError: No such file, or one that does not fit; or clips that the network cannot be shown.
        MissingError: The published weights are not here.
    """
    check_checkpoint(init, clips.checkpoint)
    published = (
        named_start(init, clips.checkpoint, card, TASKS["multilabel" if several else "classify"], pull, reporter)
        if is_named(init)
        else None
    )
    info = own_model(Path(init)) if init not in ("scratch", "pretrained") and published is None else None
    preprocess, variant = (published.preprocess, published.variant) if published else input_and_layers(info, card)
    preprocess = clips.applied(preprocess)
    if published is not None:
        reporter.info(input_line(preprocess))
    if head is not None:
        variant = replace(variant, classifier="" if head == "linear" else head)
    classifier = build(card, len(names), names, seed, preprocess, variant)
    classifier.several = several
    if clips.frames is not None or clips.crop_size is not None:
        refuse_unfit(classifier.net, preprocess, card.name)
    other = {"variant": variant.facts()} if variant != UNCHANGED else {}
    other |= {"preprocess": asdict(preprocess)} if preprocess != card.preprocess else {}
    brought = {f"init_{name}": value for name, value in other.items()}
    if init == "scratch":
        return Start(classifier, init, None, 0, (), variant, {"init_sha256": None, **brought})
    if published is not None:
        return _of_published(published, classifier, card, init, brought, reporter)
    if init == "pretrained":
        start = load_model(card.name, pull=pull, reporter=reporter)
        tensors, source, digest = start.classifier.net.state_dict(), start.weights, start.weights_sha256
    else:
        path = Path(init)
        if path.is_dir():
            path = path / TENSORS_FILE
        if not path.is_file():
            raise InputError(f"--init {init}: no such file or run folder", "Or say scratch or pretrained.")
        tensors, source, digest = map_state(read_state(path).tensors, card.name).tensors, str(path), file_sha256(path)
    attends = isinstance(classifier.net, FrameWise) and classifier.net.attention is not None
    fronts = (*((ATTENTION,) if attends else ()), *((card.head,) if card.head else ()))
    report = load_strict(classifier.net, tensors, source=source, allow_replaced_head=fronts)
    if report.replaced:
        fresh = [name for name in report.replaced if not (attends and name.startswith(ATTENTION))]
        told = [f"new head: {', '.join(fresh)}"] if fresh else []
        told += [f"fresh attention: {ATTENTION}*"] if len(fresh) < len(report.replaced) else []
        reporter.info(f"{source}: {report.loaded} tensors loaded; {'; '.join(told)}")
    return Start(classifier, init, digest, report.loaded, report.replaced, variant, {"init_sha256": digest, **brought})


def _of_published(
    start: NamedStart, classifier: Classifier, card: ModelCard, init: str, brought: Json, reporter: Reporter
) -> Start:
    report = load_strict(classifier.net, start.tensors, source=str(start.source), allow_replaced_head=card.head)
    reporter.info(f"new head: {', '.join(report.replaced)}")
    resolved = {"init_sha256": start.sha256, **brought}
    variant, record = start.variant, start.record()
    return Start(classifier, init, start.sha256, report.loaded, report.replaced, variant, resolved, record)


def own_model(path: Path) -> ModelInfo | None:
    """What `model.json` says of a start that is a model of ours; None for other files."""
    folder = path if path.is_dir() else path.parent
    ours = (path.is_dir() or path.name == TENSORS_FILE) and (folder / MODEL_FILE).is_file()
    return read_model(folder)[0] if ours else None


def input_and_layers(info: ModelInfo | None, card: ModelCard) -> tuple[Preprocess, Variant]:
    """The input and the layers that training goes on with: those of the start, which its weights are made for."""
    if info is None:
        return card.preprocess, UNCHANGED
    variant = replace(info.variant, head=True)
    if info.architecture != card.name:
        # the same network for clips of another sampling: these stay as the model wants them
        return replace(card.preprocess, mean=info.preprocess.mean, std=info.preprocess.std), variant
    return info.preprocess, variant
