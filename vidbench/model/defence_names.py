"""The catalogue of defences, without torch: names, settings, sources, and what builds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from vidbench.catalogue import Catalogue, Entry

if TYPE_CHECKING:
    from vidbench.model.defence.layer import Defence


@dataclass(frozen=True)
class DefenceCard:
    """What the catalogue knows of a defence.

    Attributes:
        name: As typed.
        summary: One line.
        setting: What may follow the name: its form, its range and what goes without saying.
        source: Paper, or whose it is.
        build: Gives the layer for a setting, which is empty where none is typed; may import torch.
        differentiable: Whether it has a derivative of its own; otherwise gradients pass it as if it were the identity.
        random: Whether it draws random numbers.
    """

    name: str
    summary: str
    setting: str
    source: str
    build: Callable[[str], Defence]
    differentiable: bool = True
    random: bool = False


def _build(where: str, setting: str) -> Defence:
    module, _, function = where.partition(":")
    built: Defence = getattr(import_module(f"vidbench.model.defence.{module}"), function)(setting)
    return built


_CARDS = (
    DefenceCard(
        "gcm", "gradient concealment: a tiny sine with a huge derivative", ":W:EPSILON, above 0; 1e20:1e-8",
        "Pei et al. 2022", partial(_build, "concealment:build"),
    ),
    DefenceCard(
        "resize-pad", "a random smaller size, at a random place on black", ":SIZE, the smallest, pixels; 218/224 of it",
        "Xie et al. 2018, arXiv:1711.01991", partial(_build, "resize_pad:build"), random=True,
    ),
    DefenceCard(
        "jpeg", "each frame through JPEG, 4:2:0", ":QUALITY, 1 to 100; 75",
        "Dziugaite et al. 2016, arXiv:1608.00853", partial(_build, "jpeg:build"), differentiable=False,
    ),
    DefenceCard(
        "h264", "each clip through H.264, 4:2:0", ":CRF, 0 to 51; 23",
        "x264 and libavcodec", partial(_build, "h264:build"), differentiable=False,
    ),
    DefenceCard(
        "bits", "fewer grey levels", ":BITS, 1 to 8; 5",
        "Xu et al. 2018, arXiv:1704.01155", partial(_build, "bits:build"), differentiable=False,
    ),
    DefenceCard(
        "smooth-time", "mean or median over neighbouring frames", ":FRAMES:mean|median, odd, 3 to 15; 3:mean",
        "moving mean and median", partial(_build, "smoothing:build_time"),
    ),
    DefenceCard(
        "smooth-space", "median or Gaussian mean over neighbouring pixels",
        ":SIDE:median|gaussian, odd, 3 to 15; 3:median", "Xu et al. 2018, arXiv:1704.01155",
        partial(_build, "smoothing:build_space"),
    ),
    DefenceCard(
        "drop", "random frames replaced by the kept one before", ":SHARE, above 0, below 1; 0.25",
        "error concealment by repetition", partial(_build, "frame_drop:build"), random=True,
    ),
)  # fmt: skip


def _entry(card: DefenceCard) -> Entry[DefenceCard]:
    return Entry(card.name, card.summary, lambda: card)


DEFENCES: Catalogue[DefenceCard] = Catalogue("defence", map(_entry, _CARDS), group="vidbench.defences")


def describe_defences() -> list[dict[str, object]]:
    """A row for each defence: name, summary, setting, differentiable, random, source."""
    return [
        {
            "name": card.name,
            "summary": card.summary,
            "setting": card.setting,
            "differentiable": card.differentiable,
            "random": card.random,
            "source": card.source,
        }
        for card in (entry.load() for entry in DEFENCES)
    ]
