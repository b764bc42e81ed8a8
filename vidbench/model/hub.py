"""The builders of pytorchvideo, imported without the warnings that its import causes."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import cast

from torch import nn

PER_POSITION = {"head_activation": None, "head_output_with_global_average": False}
"""What makes a builder's head give logits at each position, `(N, num_classes, t, h, w)`: `Classifier` pools them."""


def builder(module: str, name: str) -> Callable[..., nn.Module]:
    """The function `name` of `pytorchvideo.models.<module>`."""
    with warnings.catch_warnings():
        # pytorchvideo scripts its activations at import, which torch has deprecated
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        found = getattr(importlib.import_module(f"pytorchvideo.models.{module}"), name)
    return cast("Callable[..., nn.Module]", found)
