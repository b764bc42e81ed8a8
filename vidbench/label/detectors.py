"""The catalogue of person detectors: where the persons of a picture are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidbench.catalogue import Catalogue, Entry
from vidbench.formats.given import VideoShape
from vidbench.label.seen import Detector, Found

_LARGEST_RATE = 1_001_000


@dataclass(frozen=True)
class DetectorSettings:
    """What all detectors are told; each takes what it has a use for.

    Attributes:
        weights: What the network's weights are; None is the detector's own choice.

            * yolo: a `.pt` file, or the name of a published one that was put into vidbench's cache; `yolo11n.pt`.
            * torchvision: a model of the catalogue, a file for it as `MODEL:FILE`, a file for the default model, or
              "random" in the file's place; `fasterrcnn_resnet50_fpn_v2`.
            * detectron2: a file; there is no default.
        boxes: A file of boxes, or a folder with one for each video; for the detector "boxes" alone.
        config: The configuration file of a network of Detectron2.
        conf: The least score that counts, 0 to 1. None is 0.25 for yolo, as Ultralytics has it; 0.5 for torchvision and
            detectron2, whose two-stage networks score sparser and higher; 0 for given boxes, which were chosen before.
        iou: Of two boxes that overlap more, the surer one stays, 0 to 1. None is what the network has: 0.7 for yolo,
            0.5 for Faster R-CNN. YOLO networks without that step (YOLOv10, YOLO26) do not look at it.
        image_size: Pixels that the longer side of a picture is scaled to. None is what the network was made for: 640
            for yolo, at most 1333 with a shorter side of 800 for Faster R-CNN. The network ssdlite320 and Detectron2,
            whose configuration has a size, do not look at it.
        min_size: Boxes whose shorter side has fewer pixels of the upright picture are left out.
        max_persons: Of more persons in a picture the surest stay.
        device: auto, cpu, cuda, cuda:N or mps.
        seed: Of random weights.
    """

    weights: str | None = None
    boxes: Path | None = None
    config: Path | None = None
    conf: float | None = None
    iou: float | None = None
    image_size: int | None = None
    min_size: float = 8
    max_persons: int = 300
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (value for value in (self.conf, self.iou) if value is not None)
        if not all(0 <= value <= 1 for value in shares) or self.min_size < 0 or self.max_persons < 1:
            raise ValueError(f"no such detector: {self}")
        if self.image_size is not None and self.image_size < 32:
            raise ValueError(f"pictures of {self.image_size} pixels are too small for any detector")


@dataclass(frozen=True)
class VideoFacts:
    """The video that a detector is made for.

    Attributes:
        path: The file.
        id: Its name in the set.
        width: Pixels of the upright picture.
        height: Likewise.
        fps: Average frames a second.
    """

    path: Path
    id: str
    width: int
    height: int
    fps: Fraction | float

    @property
    def shape(self) -> VideoShape:
        """The same for readers of boxes."""
        return VideoShape(self.id, self.width, self.height, Fraction(self.fps).limit_denominator(_LARGEST_RATE))


BuildDetector = Callable[[DetectorSettings, VideoFacts], Detector]
"""Makes a detector for a video.

Raises:
    MissingError: Weights or a device are not there.
    InputError: Weights or boxes that cannot be used.
    UsageError: No such device.
"""


def found_of(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    width: int,
    height: int,
    *,
    conf: float,
    settings: DetectorSettings,
    faint: float | None = None,
) -> Found:
    """What counts of a detector's boxes in a picture, the surest first; of equal scores the earlier first.

    Args:
        boxes: `(N, 4)`: x1, y1, x2, y2 in pixels; clipped to the picture here.
        scores: `(N,)`, 0 to 1.
        width: Of the picture.
        height: Likewise.
        conf: The least score.
        settings: With the least size and the most persons.
        faint: The least score of boxes that are told apart from those that count; None tells none.

    Raises:
        ValueError: A value is not finite.
    """
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("the person detector's output is not finite")
    inside = np.clip(boxes.astype(np.float64), 0.0, np.array((width, height, width, height), dtype=np.float64))
    sides = (inside[:, 2:] - inside[:, :2]).min(axis=1) if len(inside) else np.empty(0)
    large = (sides > 0) & (sides >= settings.min_size)
    parts = []
    for rows in (scores >= conf, (scores < conf) & (scores >= (conf if faint is None else faint))):
        kept = np.flatnonzero(large & rows)
        order = kept[np.argsort(-scores[kept], kind="stable")][: settings.max_persons]
        parts += [inside[order], np.clip(scores[order].astype(np.float64), 0.0, 1.0)]
    return Found(*parts)


def _yolo() -> BuildDetector:
    from vidbench.label.yolo import build, ready

    ready()
    return build


def _torchvision() -> BuildDetector:
    from vidbench.label.torchvision_persons import build

    return build


def _detectron2() -> BuildDetector:
    from vidbench.label.detectron import build, ready

    ready()
    return build


def _boxes() -> BuildDetector:
    from vidbench.label.given_boxes import build

    return build


DETECTORS: Catalogue[BuildDetector] = Catalogue(
    "person detector",
    (
        Entry("yolo", "YOLO networks by Ultralytics (AGPL-3.0); weights are yours to bring", _yolo, "label"),
        Entry("torchvision", "Faster R-CNN and SSDlite of torchvision, published weights", _torchvision),
        Entry("detectron2", "networks of Detectron2, which is built from source", _detectron2),
        Entry("boxes", "no network: boxes from a CSV, MOTChallenge or COCO file", _boxes),
    ),
    group="vidbench.detectors",
)
