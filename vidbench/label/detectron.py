"""Persons by a network of Detectron2.

Detectron2 has no packages that can be installed by name; it is built from source. This adapter follows the interface of
its release 0.6, `build_model` and what its own predictor does around it, and is not run by vidbench's tests: take its
first results with care.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidbench.errors import InputError, MissingError
from vidbench.label.detectors import DetectorSettings, VideoFacts, found_of
from vidbench.label.finite import refuse_non_finite
from vidbench.label.seen import Found, Picture
from vidbench.model.checkpoint import load_strict, read_state
from vidbench.model.device import resolve_device
from vidbench.runs import file_sha256

CONF = 0.5

_COCO_CLASSES = 80
# older files keep what the configuration says as tensors
_CONSTANTS = ("pixel_mean", "pixel_std")


def ready() -> None:
    """Whether Detectron2 is here.

    Raises:
        MissingError: It is not; the remedy says how it is built.
    """
    try:
        import detectron2  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingError(
            "person detector 'detectron2' needs the package 'detectron2', which is built from source",
            "With a C++ compiler (and CUDA's for a GPU): pip install --no-build-isolation "
            "'git+https://github.com/facebookresearch/detectron2.git'; --detector torchvision has Faster R-CNN, too.",
        ) from error


def build(settings: DetectorSettings, video: VideoFacts) -> Detectron:
    """A detector of a configuration file and a file of weights; a network is loaded once in a process.

    Weights are read without running code: files of `torch.save` or safetensors. The `.pkl` files of Detectron2's model
    zoo hold numpy arrays, are refused, and can be written anew with `torch.save` where they are trusted.

    Raises:
        MissingError: Detectron2 or the device is not here.
        InputError: No weights or configuration, files that do not fit, or a network that knows no persons.
    """
    ready()
    files = []
    for what, given in (("weights", settings.weights), ("configuration", settings.config)):
        if given is None:
            raise InputError(
                f"the detector detectron2 needs a file of {what}", "It has no default: give both files of a network."
            )
        path = Path(given).expanduser()
        if not path.is_file():
            raise InputError(f"{path}: no such file of {what}", "Addresses are not read; download the file first.")
        files.append(path.absolute())
    weights, config = files
    net = _load(weights, weights.stat().st_mtime_ns, config, config.stat().st_mtime_ns, settings)
    return Detectron(net, settings)


class Net:
    """A loaded network.

    Attributes:
        told: Its files and the sha256 of the weights.
        persons: The index of its class person.
    """

    def __init__(self, weights: Path, config: Path, settings: DetectorSettings) -> None:
        from detectron2.config import get_cfg
        from detectron2.data import MetadataCatalog
        from detectron2.data.transforms import ResizeShortestEdge
        from detectron2.modeling import build_model

        held = get_cfg()
        try:
            # Detectron2 would also make any Python object that the file names
            held.merge_from_file(str(config), allow_unsafe=False)
            held.MODEL.WEIGHTS = ""
            held.MODEL.DEVICE = str(resolve_device(settings.device))
            heads = held.MODEL.ROI_HEADS
            heads.SCORE_THRESH_TEST = _conf(settings)
            heads.NMS_THRESH_TEST = heads.NMS_THRESH_TEST if settings.iou is None else settings.iou
            held.TEST.DETECTIONS_PER_IMAGE = max(held.TEST.DETECTIONS_PER_IMAGE, settings.max_persons)
            self._net: Any = build_model(held).eval()
            names = MetadataCatalog.get(held.DATASETS.TEST[0]).get("thing_classes") if held.DATASETS.TEST else None
        except (AttributeError, KeyError, ValueError) as error:
            raise InputError(f"{config}: Detectron2 cannot build its network: {error}") from error
        tensors = {name: one for name, one in read_state(weights).tensors.items() if name not in _CONSTANTS}
        load_strict(self._net, tensors, source=str(weights))
        self._scaling = ResizeShortestEdge(
            [held.INPUT.MIN_SIZE_TEST, held.INPUT.MIN_SIZE_TEST], held.INPUT.MAX_SIZE_TEST
        )
        self._bgr = held.INPUT.FORMAT == "BGR"
        self.persons = _person(names, heads.NUM_CLASSES, config)
        self.told = {"weights": str(weights), "weights_sha256": file_sha256(weights), "config": str(config)}
        predictor = getattr(getattr(self._net, "roi_heads", None), "box_predictor", None)
        if isinstance(predictor, torch.nn.Module):
            refuse_non_finite(predictor)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray[Any, Any]) -> Any:
        """Detectron2's instances in an RGB picture."""
        height, width = image.shape[:2]
        ordered = np.ascontiguousarray(image[..., ::-1] if self._bgr else image)
        scaled = self._scaling.get_transform(ordered).apply_image(ordered)
        tensor = torch.from_numpy(np.ascontiguousarray(scaled.astype(np.float32).transpose(2, 0, 1)))
        return self._net([{"image": tensor, "height": height, "width": width}])[0]["instances"]


class Detectron:
    """Finds persons, as `vidbench.label.seen.Detector` says.

    Attributes:
        told: The files and the sha256 of the weights, for records.
    """

    def __init__(self, net: Net, settings: DetectorSettings) -> None:
        self._net, self._settings = net, settings
        self.told = net.told

    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """See `vidbench.label.seen.Detector`."""
        found = []
        for picture in pictures:
            told = self._net(picture.image)
            person = (told.pred_classes == self._net.persons).cpu().numpy()
            boxes = told.pred_boxes.tensor.double().cpu().numpy()[person]
            scores = told.scores.double().cpu().numpy()[person]
            height, width = picture.image.shape[:2]
            found.append(found_of(boxes, scores, width, height, conf=_conf(self._settings), settings=self._settings))
        return found


@lru_cache(maxsize=1)
def _load(weights: Path, _weights_ns: int, config: Path, _config_ns: int, settings: DetectorSettings) -> Net:
    return Net(weights, config, settings)


def _conf(settings: DetectorSettings) -> float:
    return CONF if settings.conf is None else settings.conf


def _person(names: Sequence[str] | None, classes: int, config: Path) -> int:
    """The index of the class person; by name where the configuration's set has names, else by COCO's order."""
    folded = [name.casefold() for name in names or ()]
    if "person" in folded:
        return folded.index("person")
    if not folded and classes in (1, _COCO_CLASSES):
        return 0
    raise InputError(
        f"{config}: no telling which of the network's {classes} classes is person",
        "Name a registered set with a class person as DATASETS.TEST, or take a network for COCO.",
    )
