"""The Adversarial Robustness Toolbox as a second engine: the one file that imports it."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from vidbench.attack.gradient import Outcome
from vidbench.attack.methods import Batch, PgdSettings, Settings
from vidbench.attack.threat import Budget
from vidbench.errors import MissingError
from vidbench.model.classifier import Classifier
from vidbench.seeds import seed_for


class _Logits(torch.nn.Module):
    """The classifier as one opaque module: ART keeps every child's output of a Sequential alive."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.classifier.logits(clips)


def wrap(classifier: Classifier, clip_shape: tuple[int, ...]) -> Any:
    """`art.estimators.classification.PyTorchClassifier` around a classifier, for clips in [0, 1].

    The parameters are frozen first (ART would compute their gradients too); ART moves the module to
    its own device choice, so the classifier's is passed on.

    Args:
        classifier: In evaluation mode.
        clip_shape: `(3, T, H, W)`.
    """
    estimators = import_art()[0]
    frozen = _Logits(classifier).eval().requires_grad_(False)
    with torch.cuda.device(classifier.device) if classifier.device.type == "cuda" else _nothing():
        return estimators.PyTorchClassifier(
            frozen,
            torch.nn.CrossEntropyLoss(),
            clip_shape,
            classifier.num_classes,
            clip_values=(0.0, 1.0),
            device_type="gpu" if classifier.device.type == "cuda" else "cpu",
        )


def attack(wrapped: Any, method: str, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
    """Run ART's FGSM or PGD on a batch.

    ART's semantics stay: the last iterate is returned, restarts are chosen by ART, and random starts
    come from numpy's global generator, seeded here per batch and put back afterwards.
    """
    _, evasion = import_art()
    norm = np.inf if budget.norm == "linf" else 2
    common = {"norm": norm, "eps": budget.eps, "batch_size": len(batch.clips), "targeted": batch.goal.targeted}
    if method == "fgsm":
        made = evasion.FastGradientMethod(wrapped, **common)
        passes = (1, 1)
    else:
        if not isinstance(settings, PgdSettings):
            raise TypeError(f"expected PgdSettings, got {type(settings).__name__}")
        made = evasion.ProjectedGradientDescent(
            wrapped,
            eps_step=settings.step_size(budget),
            max_iter=settings.steps,
            num_random_init=settings.restarts if settings.random_start else 0,
            verbose=False,
            **common,
        )
        passes = (settings.steps * settings.restarts, settings.steps * settings.restarts)
    clips = batch.clips.cpu().numpy().copy()
    labels = batch.goal.labels.cpu().numpy()
    state = np.random.get_state()
    np.random.seed(seed_for(batch.seed, *batch.keys, "start") % 2**32)
    try:
        found = made.generate(clips, labels)
    finally:
        np.random.set_state(state)
    attacked = torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32)).to(batch.clips.device)
    with torch.no_grad():
        reached = batch.goal.reached(wrapped.model(attacked))
    count = len(batch.clips)
    # one more forward for `reached`, and two of ART's own to log its success
    forwards = torch.full((count,), passes[0] + (3 if method == "pgd" else 1))
    return Outcome(attacked, reached, forwards, torch.full((count,), passes[1]))


def import_art() -> tuple[Any, Any]:
    """ART's modules of estimators and of evasion attacks, imported without its traces in the home folder.

    Raises:
        MissingError: ART, or a package that it needs and does not declare, is not installed.
    """
    with _home_elsewhere(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import art.attacks.evasion as evasion
            import art.estimators.classification as estimators
        except ImportError as error:
            raise MissingError(
                f"--engine art needs the package {error.name!r}",
                "pip install adversarial-robustness-toolbox packaging",
            ) from error
    return estimators, evasion


@contextmanager
def _home_elsewhere() -> Iterator[None]:
    """ART writes `.art/config.json` into the home folder when it is imported; give it another one."""
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


@contextmanager
def _nothing() -> Iterator[None]:
    yield
