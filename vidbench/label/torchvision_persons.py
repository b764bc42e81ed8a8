"""Persons by a detection network of torchvision, with published weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vidbench.errors import InputError
from vidbench.label.detectors import DetectorSettings, VideoFacts, found_of
from vidbench.label.finite import refuse_non_finite
from vidbench.label.seen import Found, Picture
from vidbench.model.device import resolve_device
from vidbench.model.persons import DEFAULT_PERSONS, LoadedPersons, find_persons, load_persons, person_detectors
from vidbench.model.zoo import MODELS

CONF = 0.5


def build(settings: DetectorSettings, video: VideoFacts) -> TorchvisionPersons:
    """A detector with the weights that are asked for; a network is loaded once in a process.

    Raises:
        MissingError: Published weights that are not here, or the device.
        InputError: No such file, or one that does not fit the network.
    """
    name, weights = _chosen(settings.weights)
    path = None if weights in ("pretrained", "random") else Path(weights).expanduser()
    if path is not None and not path.is_file():
        raise InputError(
            f"{weights}: neither a weights file nor a person detector of torchvision",
            f"There are {', '.join(person_detectors())}; with MODEL:FILE a file is for one of them.",
        )
    facts = None if path is None else (path.stat().st_mtime_ns, path.stat().st_size)
    loaded = _load(
        name,
        weights if path is None else str(path.absolute()),
        str(resolve_device(settings.device)),
        facts,
        settings.seed,
        settings.iou,
        settings.image_size,
        settings.max_persons,
    )
    return TorchvisionPersons(loaded, settings)


class TorchvisionPersons:
    """Finds persons, as `vidbench.label.seen.Detector` says.

    Attributes:
        told: The network, its weights and their sha256, for records.
    """

    def __init__(self, loaded: LoadedPersons, settings: DetectorSettings) -> None:
        self._loaded, self._settings = loaded, settings
        self._conf = CONF if settings.conf is None else settings.conf
        self.told = {
            "model": loaded.architecture,
            "weights": loaded.weights,
            "weights_sha256": loaded.weights_sha256,
        }

    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """See `vidbench.label.seen.Detector`."""
        images = [np.require(picture.image, requirements=("C", "W")) for picture in pictures]
        found = []
        for image, persons in zip(images, find_persons(self._loaded, images, self._conf), strict=True):
            height, width = image.shape[:2]
            boxes = np.array([one.box for one in persons], dtype=np.float64).reshape(-1, 4)
            boxes *= (width, height, width, height)
            scores = np.array([one.score for one in persons], dtype=np.float64)
            found.append(found_of(boxes, scores, width, height, conf=self._conf, settings=self._settings))
        return found


def _chosen(text: str | None) -> tuple[str, str]:
    """Model and weights."""
    name, colon, rest = (text or DEFAULT_PERSONS).partition(":")
    if name in MODELS and MODELS.get(name).task == "persons":
        return name, rest if colon and rest else "pretrained"
    return DEFAULT_PERSONS, text or "pretrained"


@lru_cache(maxsize=1)
def _load(
    name: str,
    weights: str,
    device: str,
    _facts: tuple[int, int] | None,
    seed: int,
    iou: float | None,
    image_size: int | None,
    most: int,
) -> LoadedPersons:
    loaded = load_persons(name, weights=weights, seed=seed, device=resolve_device(device))
    # SSD has these itself, Faster R-CNN in the part that judges regions
    head: Any = getattr(loaded.net, "roi_heads", loaded.net)
    if iou is not None:
        head.nms_thresh = iou
    # of all classes together: persons are not to be crowded out
    head.detections_per_img = max(head.detections_per_img, most)
    scaling: Any = loaded.net.transform
    if image_size is not None and scaling.fixed_size is None:
        scaling.min_size, scaling.max_size = (image_size,), image_size
    refuse_non_finite(loaded.net.head if head is loaded.net else head.box_predictor)
    return loaded
