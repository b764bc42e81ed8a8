"""Which device the network runs on."""

from __future__ import annotations

import torch

from vidbench.errors import MissingError, UsageError


def resolve_device(name: str) -> torch.device:
    """The device behind `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        UsageError: Not such a name.
        MissingError: The device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdecimal())):
        raise UsageError(f"unknown device {name!r}", "Choose auto, cpu, cuda, cuda:N or mps.")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise MissingError(
            f"{name} is not there: torch sees {torch.cuda.device_count()} CUDA devices",
            "`vidbench env check` says why; --device cpu works everywhere.",
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise MissingError("mps is not there", "--device cpu works everywhere.")
    return torch.device(name)
