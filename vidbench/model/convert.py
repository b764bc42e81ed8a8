"""`weights import` and `weights export`: files of weights in other programs' layouts, checked against the network."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save
from torch import Tensor, nn

import vidbench
from vidbench.data.jobs import PART
from vidbench.errors import InputError, VidbenchError, disk_errors
from vidbench.model.checkpoint import BESIDE, StateFile, load_strict, read_state
from vidbench.model.detection import load_detector
from vidbench.model.persons import named_now
from vidbench.model.remap import Dialect, Mapped, from_vidbench, inflate_state, map_state
from vidbench.model.resolve import load_model, task_of
from vidbench.model.sniff import FileKind
from vidbench.model.start_load import network_names, whole_names
from vidbench.model.starts import NETWORK, recognise
from vidbench.model.weights import imported_path
from vidbench.model.zoo import MODELS, ModelCard
from vidbench.net.transfer import locked, record_path
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import file_sha256, now, write_json_atomic

Form = Literal["pyslowfast", "pytorchvideo", "torchvision", "timm", "safetensors"]


class ImportRequest(BaseModel):
    """A file of weights to bring to a catalogue model.

    Attributes:
        file: In any of the forms that `read_state` knows, under the names of any program that `remap` knows.
        model: The catalogue name.
        out: Where the mapped weights go, as safetensors; into the cache, as that model's weights, where None.
        inflate: Repeat 2D convolutions over time where the network's are 3D.
        other_sampling: Take weights whose own configuration names other frames or another stride than the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    model: str
    out: Path | None = None
    inflate: bool = False
    other_sampling: bool = False


@dataclass(frozen=True)
class Imported:
    """Weights that were mapped and fit.

    Attributes:
        name: The model.
        path: The file written.
        sha256: Of it.
        source: The file read.
        source_sha256: Of it.
        kind: Its format.
        dialect: Whose names it had; None where they were taken as they are.
        taken: Tensors of the source that were used.
        ignored: Tensors of the source that are no weights.
        loaded: Tensors of the network that got their values; always all.
        inflated: Names of the tensors that were inflated.
        remarks: What else there is to know, a sentence each.
    """

    name: str
    path: Path
    sha256: str
    source: Path
    source_sha256: str
    kind: FileKind
    dialect: Dialect | None
    taken: int
    ignored: tuple[str, ...]
    loaded: int
    inflated: tuple[str, ...]
    remarks: tuple[str, ...]


class ExportRequest(BaseModel):
    """A model's weights to write in another program's layout.

    Attributes:
        model: A catalogue name whose weights are here, or a run folder of ours.
        to: The layout; "safetensors" keeps vidbench's names.
        out: The file. For timm, which tells formats by names, one that ends in .safetensors is written as such.
        weights: As for other commands: "pretrained", the tag of other published weights, "random" or a file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    to: Form
    out: Path
    weights: str = "pretrained"


@dataclass(frozen=True)
class Exported:
    """A file that was written: of which model, in whose layout, how many tensors, and its sha256."""

    name: str
    path: Path
    to: Form
    tensors: int
    sha256: str
    weights_sha256: str


def import_weights(request: ImportRequest, reporter: Reporter | None = None) -> Imported:
    """Read a file in any form, map its names, check it strictly against the network, and keep it as safetensors.

    Nothing is written unless every tensor of the network is in the file, with its shape, and nothing else is.

    Raises:
        UnknownNameError: No such model.
        InputError: The file cannot be read or does not fit; every difference is named, and the model that it
            would fit, where there is one.
        MissingError: The disk is full.
    """
    reporter = reporter or SilentReporter()
    card = MODELS.get(request.model)
    source = read_state(request.file, BESIDE)
    source_sha256 = file_sha256(request.file)
    with torch.random.fork_rng(devices=[]):
        net = card.build(card.num_classes)
    try:
        mapped, inflated = _mapped(source, card, net, request.inflate)
        loaded = load_strict(net, mapped.tensors, source=str(request.file)).loaded
    except InputError as error:
        raise _with_guess(error, source, card) from error
    remarks = list(mapped.remarks)
    trained = _sampling(source.config)
    wanted = (card.preprocess.frames, card.preprocess.stride)
    if trained is None:
        remarks.append("the file does not say with how many frames it was trained: networks of other sampling can fit")
    elif trained != wanted:
        said = f"its configuration says {trained[0]} frames x stride {trained[1]}, "
        said += f"{card.name} takes {wanted[0]} x {wanted[1]}"
        if not request.other_sampling:
            raise InputError(
                f"{request.file}: {said}",
                "Name the model that it was trained as, or take it all the same with --other-sampling.",
            )
        remarks.append(said)
    target = request.out or imported_path(card.name)
    state = {name: net.state_dict()[name].detach().clone().contiguous() for name in sorted(net.state_dict())}
    note = {"model": card.name, "source_sha256": source_sha256, "names": mapped.dialect or "unchanged"}
    data = save(state, metadata=note)
    sha256 = hashlib.sha256(data).hexdigest()
    result = Imported(
        name=card.name,
        path=target,
        sha256=sha256,
        source=request.file,
        source_sha256=source_sha256,
        kind=source.kind,
        dialect=mapped.dialect,
        taken=mapped.taken,
        ignored=mapped.ignored,
        loaded=loaded,
        inflated=inflated,
        remarks=tuple(remarks),
    )
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    if request.out is not None:
        _write(target, data)
        return result
    with locked(target, reporter):
        # the record first: a kill in between leaves a pair that does not agree, which is told, not used
        write_json_atomic(record_path(target), _record(result, len(data)))
        _write(target, data)
    return result


def export_weights(request: ExportRequest) -> Exported:
    """Write a model's weights under the names, and in the file form, of another program.

    Raises:
        UnknownNameError: No such model.
        MissingError: Its weights are not here, or the disk is full.
        InputError: The program has no such network, or the model is a detector of persons.
    """
    architecture, weights_sha256, own = _own(request)
    state = own if request.to == "safetensors" else from_vidbench(own, architecture, request.to)
    if request.to == "safetensors" or (request.to == "timm" and request.out.suffix == ".safetensors"):
        data = save({name: state[name].clone().contiguous() for name in sorted(state)}, {"model": architecture})
    else:
        buffer = io.BytesIO()
        # no epoch beside it: PySlowFast would go on with an optimizer that is not there
        torch.save(state if request.to in ("torchvision", "timm") else {"model_state": state}, buffer)
        data = buffer.getvalue()
    with disk_errors(request.out.parent):
        request.out.parent.mkdir(parents=True, exist_ok=True)
    _write(request.out, data)
    return Exported(architecture, request.out, request.to, len(state), hashlib.sha256(data).hexdigest(), weights_sha256)


def _own(request: ExportRequest) -> tuple[str, str, dict[str, Tensor]]:
    """The architecture of a model, the sha256 of its weights, and its tensors by our names."""
    task = MODELS.get(request.model).task if request.model in MODELS else task_of(request.model)
    if task == "persons":
        raise InputError(
            f"{request.model} finds persons in images: there is no other program to export it to",
            f"Its published file is torchvision's: `vidbench weights path {request.model}` says where it is.",
        )
    net: nn.Module
    if task == "detect":
        found = load_detector(request.model, weights=request.weights)
        architecture, digest, net = found.architecture, found.weights_sha256, found.detector.net
        if MODELS.get(architecture).task != task and request.to != "safetensors":
            raise InputError(
                f"{request.model} is a detector built on {architecture} here: {request.to} has no such network",
                "Say --to safetensors for its tensors by the names of vidbench.",
            )
    else:
        model = load_model(request.model, weights=request.weights)
        architecture, digest, net = model.architecture, model.weights_sha256, model.classifier.net
    return architecture, digest, {name: value.detach().cpu() for name, value in net.state_dict().items()}


def _mapped(source: StateFile, card: ModelCard, net: nn.Module, inflate: bool) -> tuple[Mapped, tuple[str, ...]]:
    if card.task == "persons":
        tensors = named_now(source.tensors, net)
        return Mapped(tensors, "torchvision", len(source.tensors)), ()
    mapped = map_state(source.tensors, card.name)
    if not inflate:
        return mapped, ()
    tensors, inflated = inflate_state(mapped.tensors, {name: value.shape for name, value in net.state_dict().items()})
    return Mapped(tensors, mapped.dialect, mapped.taken, mapped.ignored, mapped.remarks), inflated


def _sampling(config: str) -> tuple[int, int] | None:
    """Frames and stride that a PySlowFast configuration names once each."""
    found = [re.findall(rf"^\s*{key}:\s*(\d+)\s*$", config, re.MULTILINE) for key in ("NUM_FRAMES", "SAMPLING_RATE")]
    if any(len(values) != 1 for values in found):
        return None
    return int(found[0][0]), int(found[1][0])


def _record(result: Imported, size: int) -> dict[str, object]:
    return {
        **{key: str(value) if isinstance(value, Path) else value for key, value in asdict(result).items()},
        "path": result.path.name,
        "source": str(result.source.absolute()),
        "size": size,
        "imported": now(),
        "vidbench": vidbench.__version__,
    }


def _write(target: Path, data: bytes) -> None:
    part = target.with_name(f"{target.name}.{os.getpid()}{PART}")
    with disk_errors(target):
        try:
            with part.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


# --- what else it could be ---------------------------------------------------------------------------------


def _with_guess(error: InputError, source: StateFile, asked: ModelCard) -> VidbenchError:
    """The same complaint, with the published starts or catalogue models that all tensors of the file do fit."""
    starts = [name for name in recognise(whole_names(source), network_names()) if name != "supervised"]
    if starts:
        layout = " or ".join(f"--layout {name}" for name in starts)
        return InputError(
            error.message,
            f"It looks like the published start {' or '.join(starts)} of {NETWORK}: "
            f"`vidbench weights import {source.path} --model {NETWORK} {layout} --out FOLDER`.",
        )
    others = [card for card in (entry.load() for entry in MODELS) if card.name != asked.name and card.task != "persons"]
    found = {card.name: _fits(source.tensors, card) for card in others}
    # a network with another head is a guess only where none fits as it is
    fitting = [name for fit in ("whole", "but the head") for name, its in found.items() if its == fit]
    fitting = [name for name in fitting if found[name] == found[fitting[0]]]
    if not fitting:
        return error
    return InputError(error.message, f"It looks like {' or '.join(fitting)}; you asked for {asked.name}.")


def _fits(tensors: Mapping[str, Tensor], card: ModelCard) -> Literal["whole", "but the head", "no"]:
    """Whether names and shapes are the card's, or all but a head of another number of classes."""
    try:
        mapped = map_state(tensors, card.name).tensors
        if card.head and f"{card.head}weight" not in mapped:
            # most are told apart so, without being built
            return "no"
        # shapes alone: nothing is allocated or drawn
        with torch.device("meta"):
            own = card.build(card.num_classes).state_dict()
    except (VidbenchError, NotImplementedError, RuntimeError):
        return "no"
    if mapped.keys() != own.keys():
        return "no"
    other = [name for name in own if own[name].shape != mapped[name].shape]
    if not other:
        return "whole"
    of_head = len(other) <= 2 and all(
        own[name].shape[1:] == mapped[name].shape[1:] and own[name].shape[:1] == (card.num_classes,) for name in other
    )
    return "but the head" if of_head else "no"
