"""A classifier behind defences: composed as typed, each with its own or the identity's backward pass."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from vidbench.errors import UnknownNameError, UsageError
from vidbench.model.classifier import Classifier
from vidbench.model.defence.bpda import NearIdentity, near_identity_modules, with_identity_backward
from vidbench.model.defence.layer import Defence
from vidbench.model.defence_names import DEFENCES, describe_defences

__all__ = [
    "DEFENCES",
    "Defended",
    "NearIdentity",
    "defend",
    "describe_defences",
    "near_identity_modules",
    "with_identity_backward",
]


class Defended(Classifier):
    """A classifier whose clips pass defences first; for everything else it is a classifier like another.

    Args:
        inner: The classifier, which is shared, not copied.
        defences: The one that the clips meet first comes first.

    Attributes:
        inner: The classifier without them.
        defences: `Defence` layers.
        text: As typed, with the settings that went without saying.
    """

    def __init__(self, inner: Classifier, defences: Sequence[Defence]) -> None:
        # the network is registered once, inside `inner`
        nn.Module.__init__(self)
        self.inner = inner
        self.defences = nn.ModuleList(defences)
        self.text = ",".join(defence.text for defence in defences)
        self.preprocess = inner.preprocess
        self.num_classes = inner.num_classes
        self.classes = inner.classes
        self.several = inner.several
        self.register_buffer("mean", inner.mean, persistent=False)
        self.register_buffer("std", inner.std, persistent=False)
        self.training = inner.training

    @property
    def net(self) -> nn.Module:  # type: ignore[override]
        """The network, inside the inner classifier."""
        return self.inner.net

    @property
    def undefended(self) -> Classifier:
        """The classifier without defences."""
        return self.inner

    @property
    def random(self) -> bool:
        """Whether any defence draws random numbers: equal clips then have different logits."""
        return any(getattr(defence, "random", False) for defence in self.defences)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits `(N, num_classes)` of `(N, 3, T, H, W)` clips in [0, 1]."""
        if clips.ndim != 5 or clips.shape[1] != 3:
            raise ValueError(f"expected (N, 3, T, H, W), got {tuple(clips.shape) = }")
        result: Tensor = self.inner(self.changed(clips))
        return result

    def changed(self, clips: Tensor) -> Tensor:
        """The clips as the inner classifier sees them: behind all defences, in the same shape and range."""
        for defence in self.defences:
            clips = defence(clips)
        return clips

    def identity_backward(self) -> Defended:
        """The same with the identity as the backward pass of every defence; it shares the classifier.

        Backward Pass Differentiable Approximation (Athalye et al. 2018, arXiv:1802.00420, section 4.1): gradients
        are those of the undefended network at the defended clips.
        """
        adaptive = [copy.deepcopy(defence) for defence in self.defences if isinstance(defence, Defence)]
        for defence in adaptive:
            defence.adaptive = True
        return Defended(self.inner, adaptive)


def defend(classifier: Classifier, text: str) -> Defended:
    """Put defences before a classifier.

    Args:
        classifier: Shared, not copied.
        text: Names, each with its setting after a colon, in the order in which clips meet them:
            "gcm,resize-pad:218".

    Raises:
        UsageError: No such defence, or a setting out of its range or not for such clips.
    """
    defences = [_built(part.strip()) for part in text.split(",")]
    for defence in defences:
        defence.check(classifier.preprocess)
    return Defended(classifier, defences)


def _built(part: str) -> Defence:
    name, colon, setting = part.partition(":")
    try:
        card = DEFENCES.get(name)
    except UnknownNameError as error:
        raise UsageError(error.message, error.remedy) from None
    if colon and not setting:
        raise UsageError(f"defence {part} has an empty setting", f"{name} takes {card.setting}.")
    try:
        return card.build(setting)
    except UsageError as error:
        raise UsageError(error.message, error.remedy or f"{name} takes {card.setting}.") from None
