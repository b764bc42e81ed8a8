"""Files of weights: what they hold, how they get into a network, and how ours are written."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vidbench.errors import InputError, disk_errors
from vidbench.model.caffe2 import read_blobs
from vidbench.model.roi import RoISettings
from vidbench.model.sniff import FileKind, sniff
from vidbench.model.variant import UNCHANGED, Variant
from vidbench.model.zoo import MODELS, Preprocess
from vidbench.runs import file_sha256, write_json_atomic

__all__ = [
    "BESIDE",
    "CONTAINERS",
    "MODEL_FILE",
    "PREFIXES",
    "SCHEMA_VERSION",
    "TENSORS_FILE",
    "FileKind",
    "LoadReport",
    "ModelInfo",
    "StateFile",
    "load_strict",
    "read_model",
    "read_state",
    "save_model",
    "sniff",
]

SCHEMA_VERSION = 1
MODEL_FILE = "model.json"
TENSORS_FILE = "model.safetensors"

# where training programs put the tensors: PySlowFast and the pytorchvideo hub; Lightning; many others
CONTAINERS = ("model_state", "state_dict", "model")
# what a wrapper puts before every name: DistributedDataParallel; PySlowFast around a pytorchvideo model
PREFIXES = ("module.", "model.")

# what training programs put beside the tensors: their options, and numbers and paths among these
BESIDE = (
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)

_NAMED = 20
_PYSLOWFAST = re.compile(r"s\d(_fuse|\.pathway\d_)")


@dataclass(frozen=True)
class StateFile:
    """The tensors of a file, on the CPU, by the names they have in the network.

    Attributes:
        path: The file.
        kind: Its format.
        tensors: In the file's order.
        container: The key that held them; empty for a flat file.
        prefixes: What was taken off the front of every name.
        source_keys: The top-level keys of the file, without those of a flat one.
        config: The configuration that PySlowFast keeps beside the tensors, as YAML text; empty for none.
    """

    path: Path
    kind: FileKind
    tensors: dict[str, Tensor]
    container: str = ""
    prefixes: tuple[str, ...] = ()
    source_keys: tuple[str, ...] = ()
    config: str = ""


@dataclass(frozen=True)
class LoadReport:
    """What strict loading did.

    Attributes:
        loaded: Tensors taken from the file, counters included.
        replaced: Tensors of the network's new head, which kept their fresh values; empty where the
            file's head fits.
    """

    loaded: int
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """What `model.json` says of a model of ours.

    Attributes:
        architecture: The catalogue name of the network.
        classes: Names of its outputs, in order; all different; empty where the variant has no head.
        preprocess: Its input.
        init: What it was trained from, as "pretrained x3d_m" or "random".
        trained: Facts of the training that are for people, not for the loader: JSON values.
        schema_version: Of the file.
        variant: How the network differs from the catalogue's; the file says so only where it does.
        task: What the network was trained for; "" for the catalogue's. "multilabel" of a classifier: probabilities by
            sigmoid; "detect": the network is the trunk of an action detector.
        roi: How a detector takes regions; None of a classifier.
    """

    architecture: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    init: str
    trained: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    variant: Variant = UNCHANGED
    task: Literal["", "classify", "multilabel", "detect"] = ""
    roi: RoISettings | None = None


def read_state(path: Path, beside: tuple[str, ...] = ()) -> StateFile:
    """The tensors of a safetensors file, of one that `torch.save` wrote, or of a pickle of Caffe2.

    The format is told by content. Files of torch are read with `weights_only=True`, and pickles of Caffe2 by
    `vidbench.model.caffe2`, so that reading runs no code.

    Args:
        path: The file.
        beside: Full names of classes whose objects a file of torch may hold beside the tensors, as `BESIDE`. Each
            such object is read as an empty one of ours; the class itself is neither imported nor called.

    Raises:
        InputError: The file is none of these, is damaged, would run code, or holds something else than tensors.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        kind = sniff(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if kind == "safetensors":
        held: object = _read_safetensors(path)
    elif kind in ("torch-zip", "torch-legacy"):
        held = _read_torch(path, beside)
    elif kind == "pickle":
        blobs = read_blobs(path)
        # own copies in the machine's byte order: torch knows no other
        state = {
            name: torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
            for name, value in blobs.items()
        }
        return StateFile(path, kind, state, "blobs", source_keys=("blobs",))
    else:
        raise InputError(
            f"{path}: neither a safetensors file nor a whole file of torch.save", "Was its download cut off?"
        )
    container, tensors = _unwrap(path, held)
    tensors, prefixes = _without_prefixes(tensors)
    keys = tuple(str(key) for key in held) if container and isinstance(held, Mapping) else ()
    config = held.get("cfg") if container and isinstance(held, Mapping) else None
    return StateFile(path, kind, tensors, container, prefixes, keys, config if isinstance(config, str) else "")


def load_strict(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    allow_replaced_head: str | tuple[str, ...] | None = None,
) -> LoadReport:
    """Load every tensor, or none and say which do not fit.

    Values of half or other precision become the network's own. The network is untouched where this raises.

    Args:
        module: The network.
        tensors: By name.
        source: Where they are from, for messages.
        allow_replaced_head: The front of the names of the one part that may differ, as "blocks.5.proj.", or the
            fronts of several. Where any tensor of a part is missing, unexpected or of another shape, the whole of
            that part keeps the network's fresh values.

    Raises:
        InputError: Names or shapes differ (all kinds of difference are listed), or a value is NaN or infinite.
        ValueError: No tensor of the network has the allowed front.
    """
    own: dict[str, Tensor] = module.state_dict()
    fronts = (allow_replaced_head,) if isinstance(allow_replaced_head, str) else allow_replaced_head or ()
    for front in fronts:
        if not any(name.startswith(front) for name in own):
            raise ValueError(f"no tensor of the network begins with {front!r}")
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    reshaped = [name for name in own if name in tensors and not _fits(tensors[name], own[name])]
    differing = (*missing, *unexpected, *reshaped)
    changed = tuple(front for front in fronts if any(name.startswith(front) for name in differing))
    replaced = tuple(name for name in own if name.startswith(changed))
    missing, unexpected, reshaped = (
        [name for name in names if not name.startswith(changed)] for names in (missing, unexpected, reshaped)
    )
    if missing or unexpected or reshaped:
        raise _do_not_fit(source, tensors, own, missing, unexpected, reshaped)
    if not tensors or len(replaced) == len(own):
        raise InputError(f"{source}: no tensor of this file belongs to the network")
    fresh = set(replaced)
    state = {
        name: own[name] if name in fresh else tensors[name].to(device=own[name].device, dtype=own[name].dtype)
        for name in own
    }
    broken = [name for name, value in state.items() if name not in fresh and not _is_finite(value)]
    if broken:
        raise InputError(
            f"{source}: NaN or infinite values in {_first(broken)}", "The training that wrote it has diverged."
        )
    module.load_state_dict(state, strict=True)
    return LoadReport(len(state) - len(replaced), replaced)


def save_model(folder: Path, module_state: Mapping[str, Tensor], info: ModelInfo) -> Path:
    """Write `model.safetensors` and `model.json` into a folder; equal input gives equal bytes.

    The tensors come first and `model.json`, which holds their sha256, last: a pair of two different
    saves, left by a kill in between, is told by `read_model`.

    Args:
        folder: Made when absent.
        module_state: The network's state dict; every value finite.
        info: What goes beside it.

    Returns:
        The path of `model.json`.

    Raises:
        InputError: `info` is not what `read_model` would accept, or a value is NaN or infinite.
        MissingError: The disk is full.
    """
    target = folder / MODEL_FILE
    document = _document(info)
    # own copies: the format knows no views and no shared storage
    state = {name: module_state[name].detach().cpu().clone().contiguous() for name in sorted(module_state)}
    broken = [name for name, value in state.items() if not _is_finite(value)]
    if not state or broken:
        raise InputError(f"{target}: NaN or infinite values in {_first(broken)}" if broken else f"{target}: no tensors")
    data = save(state)
    document["weights"] = {
        "file": TENSORS_FILE,
        "sha256": hashlib.sha256(data).hexdigest(),
        "tensors": len(state),
    }
    # before anything is written: a bad field must not cost the model that the folder holds
    _parse(target, document)
    temporary = folder / f".{TENSORS_FILE}.{os.getpid()}.tmp"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(folder / TENSORS_FILE)
        finally:
            temporary.unlink(missing_ok=True)
    write_json_atomic(target, document)
    return target


def read_model(path: Path) -> tuple[ModelInfo, Path]:
    """What a model of ours is, and the file of its tensors, whose sha256 is checked.

    Args:
        path: The folder, or its `model.json` or `model.safetensors`.

    Raises:
        InputError: A file is not there, a field is wrong (it is named), or the two files are of different saves.
    """
    if path.is_file() and path.name not in (MODEL_FILE, TENSORS_FILE):
        raise InputError(f"{path}: not a model of vidbench, which is a {MODEL_FILE} beside a {TENSORS_FILE}")
    target = path / MODEL_FILE if path.is_dir() else path.with_name(MODEL_FILE)
    if not target.is_file():
        raise InputError(
            f"{target}: no such file", f"A model of vidbench is a folder with {MODEL_FILE} and {TENSORS_FILE}."
        )
    try:
        text = target.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {target}: {error.strerror}") from error
    parsed = _parse(target, text)
    tensors = target.with_name(TENSORS_FILE)
    if not tensors.is_file():
        raise InputError(f"{tensors}: no such file, though {MODEL_FILE} beside it names it")
    sha256 = file_sha256(tensors)
    if sha256 != parsed.weights.sha256:
        raise InputError(
            f"{tensors}: sha256 {sha256}, but {MODEL_FILE} beside it says {parsed.weights.sha256}",
            "The two files are of different saves, or one was changed. Save or copy them again together.",
        )
    info = ModelInfo(
        architecture=parsed.architecture,
        classes=parsed.classes,
        preprocess=parsed.preprocess,
        init=parsed.init,
        trained=parsed.trained,
        schema_version=parsed.schema_version,
        variant=parsed.variant,
        task=parsed.task,
        roi=parsed.roi,
    )
    return info, tensors


# --- reading -----------------------------------------------------------------------------------------------


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"{path}: not a whole safetensors file: {error}") from error


class _Nothing:
    """Stands for an object of another program, whatever that is made from."""

    def __new__(cls, *_: object) -> _Nothing:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        return None

    def __setstate__(self, _: object) -> None:
        return None


def _read_torch(path: Path, beside: tuple[str, ...] = ()) -> object:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # torch.load would hand it to torch.jit.load
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise InputError(f"{path}: a TorchScript program, not tensors by name")
            # nor does it look at checksums: a flipped bit would be a silent other network
            try:
                damaged = archive.testzip()
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
                raise InputError(f"{path}: torch cannot read it: {_first_line(error)}") from error
            if damaged is not None:
                raise InputError(
                    f"{path}: damaged: the checksum of {damaged} in it is another",
                    "Fetch or copy it again: vidbench weights verify checks what the cache holds.",
                )
    try:
        with torch.serialization.safe_globals([(_Nothing, name) for name in beside]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needs = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it needs {needs[1]}" if needs else str(error).splitlines()[0]
        raise InputError(
            f"{path}: not only tensors and plain values ({what}), so that reading it could run code",
            "Where you trust it, load it with the program that wrote it and save the state dict alone.",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        # torch names no errors of its own for files that are cut off or hold something else
        raise InputError(f"{path}: torch cannot read it: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _unwrap(path: Path, held: object) -> tuple[str, dict[str, Tensor]]:
    if not isinstance(held, Mapping) or not held:
        what = "nothing" if isinstance(held, Mapping) else f"a {type(held).__name__}"
        raise InputError(f"{path}: holds {what}, not tensors by name")
    if all(isinstance(value, Tensor) for value in held.values()):
        return "", _plain(path, held)
    found = [name for name in CONTAINERS if isinstance(held.get(name), Mapping)]
    if len(found) != 1:
        reason = f"more than one of them could be meant ({', '.join(found)})" if found else "no tensors under them"
        raise InputError(
            f"{path}: {reason}; its top-level keys are {_first([str(key) for key in held])}",
            f"Expected tensors by name, at the top or under one of {', '.join(CONTAINERS)}.",
        )
    inner = held[found[0]]
    others = [str(name) for name, value in inner.items() if not isinstance(value, Tensor)]
    if others or not inner:
        reason = f"holds more than tensors: {_first(others)}" if others else "is empty"
        raise InputError(f"{path}: {found[0]!r} {reason}")
    return found[0], _plain(path, inner)


def _plain(path: Path, tensors: Mapping[Any, Tensor]) -> dict[str, Tensor]:
    odd = [
        str(name)
        for name, value in tensors.items()
        if not isinstance(name, str)
        or value.layout is not torch.strided
        or value.is_quantized
        or value.device.type != "cpu"
    ]
    if odd:
        raise InputError(f"{path}: sparse, quantized, empty-device or nameless tensors: {_first(odd)}")
    return {str(name): value.detach() for name, value in tensors.items()}


def _without_prefixes(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    taken = []
    for prefix in PREFIXES:
        if all(name.startswith(prefix) and name != prefix for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
            taken.append(prefix)
    return tensors, tuple(taken)


# --- fitting -----------------------------------------------------------------------------------------------


def _fits(given: Tensor, own: Tensor) -> bool:
    """Equal shapes, and both fractional or both whole numbers."""
    return (
        given.shape == own.shape
        and given.is_floating_point() == own.is_floating_point()
        and given.is_complex() == own.is_complex()
    )


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _do_not_fit(
    source: str,
    tensors: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    missing: list[str],
    unexpected: list[str],
    reshaped: list[str],
) -> InputError:
    shapes = [f"{name} {_describe(tensors[name])} for {_describe(own[name])}" for name in reshaped]
    parts = [
        f"{label}: {_first(names)}"
        for label, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    message = f"{source} does not fit the network; {'; '.join(parts)}"
    if any(_PYSLOWFAST.match(name.removeprefix("model.")) for name in unexpected):
        return InputError(
            message,
            "The names look like PySlowFast's own (s1.pathway0_stem...): `vidbench weights import FILE --model NAME` "
            "gives them the network's names.",
        )
    return InputError(message, "Is it a file of another architecture, or of another number of classes?")


def _describe(value: Tensor) -> str:
    return f"({', '.join(str(size) for size in value.shape)}) {str(value.dtype).removeprefix('torch.')}"


def _first(names: Iterable[str]) -> str:
    """The first twenty, and how many there are in all."""
    listed = list(names)
    more = f", ... ({len(listed)} in all)" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


# --- our own files -----------------------------------------------------------------------------------------


class _Weights(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    file: Literal["model.safetensors"]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tensors: int = Field(ge=1)


class _ModelFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1]
    architecture: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    init: str
    trained: dict[str, Any]
    weights: _Weights
    variant: Variant = UNCHANGED
    task: Literal["", "classify", "multilabel", "detect"] = ""
    roi: RoISettings | None = None


def _document(info: ModelInfo) -> dict[str, Any]:
    document = {**asdict(info), "variant": info.variant.facts()}
    if info.variant == UNCHANGED:
        # so that earlier versions, which know no variants, still read what they can use
        del document["variant"]
    if not info.task:
        del document["task"]
    if info.roi is None:
        del document["roi"]
    # the version first: it says how to read the rest
    return {"schema_version": document.pop("schema_version"), **document}


def _parse(path: Path, source: bytes | Mapping[str, Any]) -> _ModelFile:
    text = source if isinstance(source, bytes) else json.dumps(source).encode()
    try:
        parsed = _ModelFile.model_validate_json(text)
        given = json.loads(text)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in wrong["loc"])
        raise InputError(f"{path}: {where + ': ' if where else ''}{wrong['msg']}") from error
    reason = _wrong_value(parsed, given["preprocess"]) or _wrong_regions(parsed, given.get("roi"))
    if reason:
        raise InputError(f"{path}: {reason}")
    return parsed


def _wrong_regions(parsed: _ModelFile, roi: Mapping[str, Any] | None) -> str:
    """What is wrong with a detector's settings, or nothing."""
    detects = (parsed.task or MODELS.get(parsed.architecture).task) == "detect"
    if detects != (parsed.roi is not None):
        return "roi: Field required, as this is a detector" if detects else "roi: there are no boxes"
    absent = [item.name for item in fields(RoISettings) if roi is not None and item.name not in roi]
    return f"roi.{absent[0]}: Field required" if absent else ""


def _wrong_value(parsed: _ModelFile, preprocess: Mapping[str, Any]) -> str:
    """The first field whose value cannot be, or nothing."""
    # a default that steps in unseen would change the input of the network
    absent = [item.name for item in fields(Preprocess) if item.name not in preprocess]
    if absent:
        return f"preprocess.{absent[0]}: Field required"
    if parsed.architecture not in MODELS:
        return f"architecture: no model of the catalogue is called {parsed.architecture!r}"
    if bool(parsed.classes) != parsed.variant.head:
        return "classes: none, though there is a head" if parsed.variant.head else "classes: there is no head for them"
    if parsed.variant.bn_eps is not None and not parsed.variant.bn_eps > 0:
        return "variant.bn_eps: must be positive"
    if len(set(parsed.classes)) < len(parsed.classes):
        twice = next(name for name in parsed.classes if parsed.classes.count(name) > 1)
        return f"classes: {twice!r} occurs twice"
    if not all(name.strip() for name in parsed.classes):
        return "classes: a blank name"
    for name in ("frames", "stride", "short_side", "crop", "wide", "target_fps"):
        if getattr(parsed.preprocess, name) < 1:
            return f"preprocess.{name}: must be at least 1"
    if not all(value > 0 for value in parsed.preprocess.std):
        return "preprocess.std: must be positive"
    return ""
