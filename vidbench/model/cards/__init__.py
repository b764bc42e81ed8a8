"""The built-in models as data, one file per kind; nothing here imports torch."""

from __future__ import annotations

from vidbench.model.card import ModelCard
from vidbench.model.cards.kinetics import KINETICS, TINY

__all__ = ["CARDS", "TINY"]

CARDS: tuple[ModelCard, ...] = (*KINETICS,)
