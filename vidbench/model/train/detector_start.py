"""The detector that a training begins with: a classifier's trunk and a fresh head, or a detector as it is."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vidbench.errors import InputError
from vidbench.model.checkpoint import TENSORS_FILE, ModelInfo, load_strict, read_state
from vidbench.model.detection import HEAD, TRUNK, build_detector_on, load_detector, whole_frames
from vidbench.model.named_start import TASKS, NamedStart, check_checkpoint, input_line, is_named, named_start
from vidbench.model.remap import map_state
from vidbench.model.resolve import load_model
from vidbench.model.roi import RoISettings, roi_of
from vidbench.model.train.clip_settings import ClipSettings
from vidbench.model.train.start import Start, input_and_layers, own_model
from vidbench.model.trunk import head_fronts
from vidbench.model.variant import UNCHANGED
from vidbench.model.zoo import ModelCard
from vidbench.progress import Reporter
from vidbench.runs import file_sha256

Json = dict[str, Any]
_AS_IS = ClipSettings()


def starting_detector(
    card: ModelCard,
    init: str,
    names: tuple[str, ...],
    seed: int,
    pull: bool,
    reporter: Reporter,
    roi: RoISettings | None = None,
    clips: ClipSettings = _AS_IS,
) -> Start:
    """Build a detector for boxes of the classes `names` on a network, and load the start into it.

    Args:
        card: The network: a classifier of clips, or a detector of the catalogue.
        init: "scratch"; "pretrained", the network's published weights; the name of a published start; a file of
            weights or a run folder: of a classifier, whose head is left out, or of a detector, whose head stays
            where it has as many classes.
        names: Of the classes.
        seed: Of fresh weights.
        pull: Download published weights that are missing.
        reporter: Hears what was loaded and what not.
        roi: How regions are taken; by default as in the start where that is a detector of ours, else as
            `vidbench.model.roi.roi_of` says.
        clips: What is asked for in place of the input that the network or the start has; the file of a named start.

    Raises:
        UsageError: A file beside a start that is not named, or none beside one that is.
        InputError: No such file, or one that does not fit; or no detector can be built on the network.
        MissingError: The published weights are not here.
    """
    check_checkpoint(init, clips.checkpoint)
    published = named_start(init, clips.checkpoint, card, TASKS["detect"], pull, reporter) if is_named(init) else None
    info = own_model(Path(init)) if init not in ("scratch", "pretrained") and published is None else None
    own, variant = (published.preprocess, published.variant) if published else input_and_layers(info, card)
    # whatever a classifier had in place of its linear layer, it stays behind
    variant = replace(variant, classifier="")
    preprocess = whole_frames(clips.applied(own))
    if published is not None:
        reporter.info(input_line(preprocess))
    roi = roi or (info.roi if info else None) or roi_of(card)
    if clips.dropout is not None:
        roi = replace(roi, dropout=clips.dropout)
    detector = build_detector_on(card, len(names), names, seed, preprocess, variant, roi=roi)
    other: Json = {"roi": asdict(roi)}
    other |= {"variant": variant.facts()} if variant != UNCHANGED else {}
    other |= {"preprocess": asdict(preprocess)} if preprocess != whole_frames(card.preprocess) else {}
    brought = {f"init_{name}": value for name, value in other.items()}
    if init == "scratch":
        return Start(detector, init, None, 0, (), variant, {"init_sha256": None, **brought}, roi=roi)
    tensors, source, digest = _weights(card, init, info, published, pull, reporter)
    tensors, left_out = _for_detector(tensors, card)
    report = load_strict(detector.net, tensors, source=source, allow_replaced_head=HEAD)
    told = [f"new head: {', '.join(report.replaced)}"] if report.replaced else []
    told += [f"left out: {', '.join(left_out)}"] if left_out else []
    if told:
        reporter.info(f"{source}: {report.loaded} tensors loaded; {'; '.join(told)}")
    return Start(
        model=detector,
        init=init,
        sha256=digest,
        loaded=report.loaded,
        replaced=report.replaced,
        variant=variant,
        resolved={"init_sha256": digest, **brought},
        named=published.record() if published else None,
        roi=roi,
        left_out=left_out,
    )


def _weights(
    card: ModelCard, init: str, info: ModelInfo | None, published: NamedStart | None, pull: bool, reporter: Reporter
) -> tuple[dict[str, Tensor], str, str]:
    """Tensors of a classifier or a detector by our names, where they are from, and the sha256 of the file."""
    if published is not None:
        return published.tensors, str(published.source), published.sha256
    if init == "pretrained" and card.task == "detect":
        found = load_detector(card.name, pull=pull, reporter=reporter)
        return found.detector.net.state_dict(), found.weights, found.weights_sha256
    if init == "pretrained":
        start = load_model(card.name, pull=pull, reporter=reporter)
        return start.classifier.net.state_dict(), start.weights, start.weights_sha256
    path = Path(init)
    if path.is_dir():
        path = path / TENSORS_FILE
    if not path.is_file():
        raise InputError(f"--init {init}: no such file or run folder", "Or say scratch or pretrained.")
    tensors = read_state(path).tensors
    if info is None and not _has_boxes_head(tensors):
        tensors = map_state(tensors, card.name).tensors
    return tensors, str(path), file_sha256(path)


def _for_detector(tensors: dict[str, Tensor], card: ModelCard) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A detector's tensors, and the names of those of a classifier that it has no place for."""
    if _has_boxes_head(tensors):
        return tensors, ()
    plain = {name.removeprefix(TRUNK): value for name, value in tensors.items()}
    left_out = tuple(name for name in plain if name.startswith(head_fronts(card)))
    return {TRUNK + name: value for name, value in plain.items() if name not in left_out}, left_out


def _has_boxes_head(tensors: dict[str, Tensor]) -> bool:
    return any(name.startswith(HEAD) for name in tensors)
