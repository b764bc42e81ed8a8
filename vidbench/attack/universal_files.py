"""Perturbations that all clips share, kept in the run folder that learnt them."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vidbench.attack.threat import Eps
from vidbench.errors import InputError, disk_errors
from vidbench.runs import content_hash


def _path(folder: Path, label: str, eps: Eps) -> Path:
    return folder / "learnt" / f"{content_hash([label, str(eps.exact)])[:16]}.safetensors"


def load_learnt(folder: Path, label: str, eps: Eps) -> Tensor | None:
    """What was learnt for a column and a radius; None where nothing was.

    Raises:
        InputError: The file is damaged.
    """
    path = _path(folder, label, eps)
    if not path.exists():
        return None
    try:
        return load_file(path)["perturbation"]
    except (SafetensorError, KeyError, OSError) as error:
        raise InputError(f"{path}: not a learnt perturbation: {error}", "Remove it to learn again.") from error


def save_learnt(folder: Path, label: str, eps: Eps, learnt: Tensor) -> None:
    """Keep it, whole or not at all."""
    path = _path(folder, label, eps)
    partial = path.with_suffix(".part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file({"perturbation": learnt.detach().cpu().contiguous()}, partial, {"column": label, "eps": eps.text})
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
