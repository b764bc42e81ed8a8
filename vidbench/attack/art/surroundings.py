"""What surrounds a call of the toolbox: its random numbers, its remarks, the home folder that it sees."""

from __future__ import annotations

import logging
import os
import random
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators of numpy, Python and torch start from a seed, and are put back afterwards."""
    before, pythons = np.random.get_state(), random.getstate()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        np.random.seed(seed % 2**32)
        random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
            random.setstate(pythons)


@contextmanager
def quiet() -> Iterator[None]:
    """No remarks of the toolbox: what came out is judged here."""
    logger = logging.getLogger("art")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def home_elsewhere() -> Iterator[None]:
    """The toolbox writes `.art/config.json` into the home folder when it is imported; give it another one."""
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory(prefix="vidbench-art-") as folder:
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before
