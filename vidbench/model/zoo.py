"""The catalogue of models: what each one is, was published with, and how it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidbench.catalogue import Catalogue, Entry

if TYPE_CHECKING:
    from torch import nn

HUB = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
KINETICS_MEAN = (0.45, 0.45, 0.45)
KINETICS_STD = (0.225, 0.225, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """From decoded frames to the network's input.

    Attributes:
        frames: Frames of a clip, T.
        stride: Frames of the source between two of them, at `target_fps` (tau).
        short_side: Pixels of the shorter side after scaling, when one centre crop is taken.
        crop: Pixels of the square crop, when one centre crop is taken.
        wide: Pixels of short side and crop alike, when three crops are taken.
        mean: Per channel, of values in [0, 1].
        std: Per channel, of values in [0, 1].
        target_fps: The frame rate that `stride` is counted at.
    """

    frames: int
    stride: int
    short_side: int
    crop: int
    wide: int
    mean: tuple[float, float, float] = KINETICS_MEAN
    std: tuple[float, float, float] = KINETICS_STD
    target_fps: int = 30


@dataclass(frozen=True)
class Published:
    """Published weights and what they reached.

    Attributes:
        urls: Where the file is, the first one first; mirrors follow.
        file: Its name in the cache.
        top1: Per cent, Kinetics-400 validation, under `views`.
        top5: Per cent, likewise.
        views: Temporal x spatial views of that measurement.
        source: Who says so.
        licence: Of the weights.
        sha256: Of the file, where known; the first download records what it got.
    """

    urls: tuple[str, ...]
    file: str
    top1: float
    top5: float
    views: str
    source: str
    licence: str
    sha256: str = ""


@dataclass(frozen=True)
class ModelCard:
    """One catalogue model.

    Attributes:
        name: What the user types.
        family: The architecture family.
        preprocess: Its input.
        num_classes: Outputs of the published head.
        labels: The class table that the published head was trained on; empty for none.
        parameters_m: Millions of parameters with that head.
        build: Gives the network with fresh weights and a head of that many classes; its output is
            `(N, num_classes, t, h, w)` logits before pooling over positions, or `(N, num_classes)`.
        published: Weights to be had, if any.
        note: What else a user should know.
    """

    name: str
    family: str
    preprocess: Preprocess
    num_classes: int
    labels: str
    parameters_m: float
    build: Callable[[int], nn.Module]
    published: Published | None = None
    note: str = ""


def _x3d(size: str) -> Callable[[int], nn.Module]:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.x3d import build_x3d

        return build_x3d(size, num_classes)

    return build


def _x3d_card(
    size: str, frames: int, stride: int, train: int, short_side: int, wide: int, params: float, top1: float, top5: float
) -> ModelCard:
    return ModelCard(
        name=f"x3d_{size}",
        family="X3D",
        preprocess=Preprocess(frames, stride, short_side, train, wide),
        num_classes=400,
        labels="kinetics400",
        parameters_m=params,
        build=_x3d(size),
        published=Published(
            urls=(f"{HUB}/X3D_{size.upper()}.pyth",),
            file=f"X3D_{size.upper()}.pyth",
            top1=top1,
            top5=top5,
            views="10x3",
            source="pytorchvideo model zoo",
            licence="Apache-2.0",
        ),
    )


def _entry(summary: str, card: ModelCard) -> Entry[ModelCard]:
    return Entry(card.name, summary, lambda: card)


TINY = ModelCard(
    name="x3d_tiny",
    family="X3D",
    preprocess=Preprocess(frames=8, stride=5, short_side=64, crop=64, wide=64),
    num_classes=6,
    labels="",
    parameters_m=0.34,
    build=_x3d("tiny"),
    note="A small X3D to be trained from scratch on a CPU; no weights are published for it.",
)

MODELS: Catalogue[ModelCard] = Catalogue(
    "model",
    (
        _entry("X3D-XS, 4 frames x stride 12, 160 px", _x3d_card("xs", 4, 12, 160, 182, 182, 3.79, 69.12, 88.63)),
        _entry("X3D-S, 13 frames x stride 6, 160 px", _x3d_card("s", 13, 6, 160, 182, 182, 3.79, 73.33, 91.27)),
        _entry("X3D-M, 16 frames x stride 5, 224 px", _x3d_card("m", 16, 5, 224, 256, 256, 3.79, 75.94, 92.72)),
        _entry("X3D-L, 16 frames x stride 5, 312 px", _x3d_card("l", 16, 5, 312, 356, 356, 6.15, 77.44, 93.31)),
        _entry("a small X3D to train on a CPU, 8 frames x stride 5, 64 px", TINY),
    ),
    group="vidbench.models",
    listing="vidbench model list",
)
