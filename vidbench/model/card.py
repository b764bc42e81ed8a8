"""What the catalogue knows of a model: its input, its published weights, its builder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Task = Literal["classify", "multilabel", "detect", "persons"]

KINETICS_MEAN = (0.45, 0.45, 0.45)
KINETICS_STD = (0.225, 0.225, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """From decoded frames to the network's input.

    Attributes:
        frames: Frames of a clip, T. Of a network with two pathways: of the fast one.
        stride: Frames of the source between two of them, at `target_fps` (tau).
        short_side: Pixels of the shorter side after scaling, when one centre crop is taken.
        crop: Pixels of the square crop, when one centre crop is taken, and in training.
        wide: Pixels of short side and crop alike, when three crops are taken.
        mean: Per channel, of values in [0, 1].
        std: Per channel, of values in [0, 1].
        target_fps: The frame rate that `stride` is counted at.
        fixed: Width and height that every frame is scaled to whatever its shape, before the crop; None keeps the
            shape.
    """

    frames: int
    stride: int
    short_side: int
    crop: int
    wide: int
    mean: tuple[float, float, float] = KINETICS_MEAN
    std: tuple[float, float, float] = KINETICS_STD
    target_fps: int = 30
    fixed: tuple[int, int] | None = None


@dataclass(frozen=True)
class Published:
    """Published weights and what they reached.

    Attributes:
        urls: Where the file is, the first one first; mirrors follow.
        file: Its name in the cache.
        top1: Per cent under `views`; None where another figure is published.
        top5: Per cent, likewise.
        views: Temporal x spatial views of that measurement.
        source: Who says so.
        licence: Of the weights.
        sha256: Of the file, where known; the first download records what it got.
        protocol: The rule that the views' frames were taken by, a name of `vidbench.model.protocol`.
        mean_ap: Mean average precision in per cent, of networks with several labels or boxes.
        data: The set whose validation part was measured.
        tag: What `--weights` takes to mean this file rather than the first one.
        bytes: Size of the file, where known.
    """

    urls: tuple[str, ...]
    file: str
    top1: float | None
    top5: float | None
    views: str
    source: str
    licence: str
    sha256: str = ""
    protocol: str = "pyslowfast"
    mean_ap: float | None = None
    data: str = "kinetics400"
    tag: str = ""
    bytes: int | None = None

    @property
    def headline(self) -> str:
        """The figure that people quote, with its views: "76.94 (10x3)", "mAP 24.67"."""
        if self.mean_ap is not None:
            return f"mAP {self.mean_ap:.2f}" + (f" ({self.views})" if self.views else "")
        return "-" if self.top1 is None else f"{self.top1:.2f} ({self.views})"


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
        head: The front of the names of the classifying layer's tensors, which another number of
            classes replaces; empty where no part may be replaced.
        task: "classify", one class per clip; "multilabel", any number of them; "detect", any number of them for
            each box (`build` gives a `vidbench.model.detection.BoxNet`); "persons", boxes of persons in images.
        others: Other published weights of the same network, told apart by their tags.
        extra: The extra of vidbench that `build` needs; empty for none.
        framewise: Whether the network looks at each frame by itself, so that a clip may have any number of them.
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
    head: str = ""
    task: Task = "classify"
    others: tuple[Published, ...] = ()
    extra: str = ""
    framewise: bool = False
