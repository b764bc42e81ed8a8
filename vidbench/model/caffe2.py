"""Caffe2's pickles of weights: the arrays of their blobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vidbench.errors import InputError
from vidbench.formats.pickles import PickledArray, read_pickle


def read_blobs(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a Caffe2 file, by the names of their blobs.

    Raises:
        InputError: It is not such a file, needs more than arrays and plain values, or is damaged.
    """
    held = read_pickle(path)
    if not isinstance(held, dict) or not isinstance(held.get("blobs"), dict):
        keys = ", ".join(str(key)[:40] for key in list(held)[:20]) if isinstance(held, dict) else type(held).__name__
        raise InputError(f"{path}: a pickle without Caffe2's 'blobs'; it holds {keys or 'nothing'}")
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in held["blobs"].items():
        if isinstance(value, PickledArray):
            value = value.values
        elif isinstance(value, bool | int | float):
            value = np.asarray(value)
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise InputError(f"{path}: blob {str(name)[:80]!r} is no array")
        found[name] = value
    if not found:
        raise InputError(f"{path}: no blobs")
    return found
