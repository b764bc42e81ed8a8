"""The catalogue of models, by the names that users type."""

from __future__ import annotations

from vidbench.catalogue import Catalogue, Entry
from vidbench.model.card import KINETICS_MEAN, KINETICS_STD, ModelCard, Preprocess, Published
from vidbench.model.cards import CARDS, TINY

__all__ = ["KINETICS_MEAN", "KINETICS_STD", "MODELS", "TINY", "ModelCard", "Preprocess", "Published"]


def _entry(card: ModelCard) -> Entry[ModelCard]:
    size = card.preprocess
    title = f"{card.family}, {size.frames} frames x stride {size.stride}, {size.crop} px"
    return Entry(card.name, title, lambda: card)


MODELS: Catalogue[ModelCard] = Catalogue(
    "model", map(_entry, CARDS), group="vidbench.models", listing="vidbench model list"
)
