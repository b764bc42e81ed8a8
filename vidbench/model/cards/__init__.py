"""The built-in models as data, one file per kind; nothing here imports torch."""

from __future__ import annotations

from vidbench.model.card import ModelCard
from vidbench.model.cards.detection import DETECTION
from vidbench.model.cards.framewise import FRAMEWISE
from vidbench.model.cards.kinetics import KINETICS, TINY
from vidbench.model.cards.mvit import MVITS
from vidbench.model.cards.nonlocal_nets import NONLOCAL
from vidbench.model.cards.other_sets import OTHER_SETS
from vidbench.model.cards.persons import PERSONS

__all__ = ["CARDS", "TINY"]

CARDS: tuple[ModelCard, ...] = (*KINETICS, *MVITS, *OTHER_SETS, *NONLOCAL, *DETECTION, *PERSONS, *FRAMEWISE)
