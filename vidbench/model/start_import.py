"""`vidbench weights import --layout START`: a published start becomes a model folder of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from vidbench.errors import InputError
from vidbench.formats.labels import load_labels
from vidbench.model.card import Preprocess
from vidbench.model.checkpoint import TENSORS_FILE, ModelInfo, save_model
from vidbench.model.start_load import load_start
from vidbench.model.starts import HEAD, NETWORK, Task, find_start
from vidbench.model.variant import Variant
from vidbench.model.zoo import MODELS
from vidbench.runs import MANIFEST, file_sha256


class StartImportRequest(BaseModel):
    """A published start to bring here.

    Attributes:
        file: As published.
        layout: The start's name.
        out: The folder of the model.
        model: The catalogue name of the network: r2plus1d_18.
        task: What it is for, which decides its input.
        leave: Fronts of names that may be left over beside those known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    layout: str
    out: Path
    model: str = NETWORK
    task: Task = "recognition"
    leave: tuple[str, ...] = ()


@dataclass(frozen=True)
class StartImported:
    """A start that was brought here.

    Attributes:
        layout: The start.
        name: The network.
        path: The folder.
        sha256: Of its tensors.
        source: The file read.
        source_sha256: Of it.
        paper: Its arXiv number.
        task: What its input is for.
        preprocess: Its input.
        variant: What its network has other than the catalogue's.
        loaded: Tensors taken from the file.
        left_over: Tensors of the file that were not wanted.
        counters: Counters of batches that the file did not hold; they are zero.
        remarks: What else there is to know, a sentence each.
    """

    layout: str
    name: str
    path: Path
    sha256: str
    source: Path
    source_sha256: str
    paper: str
    task: Task
    preprocess: Preprocess
    variant: Variant
    loaded: int
    left_over: tuple[str, ...]
    counters: tuple[str, ...]
    remarks: tuple[str, ...]


def import_start(request: StartImportRequest) -> StartImported:
    """Read a start, check it strictly, and keep it as `model.json` and `model.safetensors` in a folder.

    A start without a head is kept without one: `model finetune --init FOLDER` gives it a fresh one.

    Raises:
        UnknownNameError: No such model or start.
        InputError: The model has no starts; the file cannot be read, is another's or does not fit; or `out` is a
            file or holds a run.
        MissingError: The disk is full.
    """
    card = MODELS.get(request.model)
    if card.name != NETWORK:
        raise InputError(f"the starts are those of {NETWORK}, not of {card.name}", f"Say --model {NETWORK}.")
    if request.out.is_file() or (request.out / MANIFEST).exists():
        what = "a file" if request.out.is_file() else "a folder with a run"
        raise InputError(f"--out {request.out}: {what}, where a folder for the model is wanted")
    with torch.random.fork_rng(devices=[]):
        net = card.build(card.num_classes)
    report = load_start(request.layout, request.file, net, request.task, request.leave)
    start = find_start(request.layout)
    source_sha256 = file_sha256(request.file)
    state = {name: value for name, value in net.state_dict().items() if start.variant.head or not name.startswith(HEAD)}
    trained = {
        "start": start.name,
        "paper": f"arXiv:{start.paper}",
        "task": request.task,
        "source": request.file.name,
        "source_sha256": source_sha256,
    }
    info = ModelInfo(
        architecture=card.name,
        classes=load_labels(card.labels).names if start.variant.head else (),
        preprocess=report.input.preprocess,
        init=f"start {start.name}",
        trained=trained,
        variant=report.variant,
    )
    save_model(request.out, state, info)
    return StartImported(
        layout=start.name,
        name=card.name,
        path=request.out,
        sha256=file_sha256(request.out / TENSORS_FILE),
        source=request.file,
        source_sha256=source_sha256,
        paper=start.paper,
        task=request.task,
        preprocess=report.input.preprocess,
        variant=report.variant,
        loaded=report.loaded,
        left_over=report.left_over,
        counters=report.counters,
        remarks=report.remarks,
    )
