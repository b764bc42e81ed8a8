"""Where the persons are: boxes from a file, or found by a detector of torchvision in single frames."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import (  # type: ignore[import-untyped]
    FasterRCNN,
    fasterrcnn_resnet50_fpn_v2,
    ssdlite320_mobilenet_v3_large,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone  # type: ignore[import-untyped]
from torchvision.ops.misc import FrozenBatchNorm2d  # type: ignore[import-untyped]

from vidbench.errors import InputError, UnknownNameError
from vidbench.formats import ava
from vidbench.model.checkpoint import load_strict, read_state
from vidbench.model.weights import require
from vidbench.model.zoo import MODELS, ModelCard
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import file_sha256

DEFAULT_PERSONS = "fasterrcnn_resnet50_fpn_v2"
PERSON = 1
"""COCO's class "person" among the outputs; 0 is the background."""

# torchvision's networks of before 2022 had single convolutions where there are sequences of one now
_RENAMED = (
    (re.compile(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)"), r"\1.0.\2"),
    (re.compile(r"(rpn\.head\.conv)\.(weight|bias)"), r"\1.0.0.\2"),
)


@dataclass(frozen=True)
class Person:
    """A person at a moment.

    Attributes:
        box: x1, y1, x2, y2 in fractions of the frame's width and height, within [0, 1], with an area.
        score: Of the detector, in [0, 1]; None where no detector gave the box.
        person: The number that the person has in the whole video; None where it is not known.
    """

    box: tuple[float, float, float, float]
    score: float | None = None
    person: int | None = None


@dataclass(frozen=True)
class PersonFile:
    """The boxes of a file.

    Attributes:
        path: The file.
        videos: Video name to second, as the file counts them, to the persons there. A second that the file names
            may have none left.
        low: Boxes that were left out because their score is below the one asked for.
        flat: Boxes that were left out because they have no area.
    """

    path: Path
    videos: Mapping[str, Mapping[int, tuple[Person, ...]]]
    low: int
    flat: int


def read_persons(path: Path, *, ids: bool, score: float) -> PersonFile:
    """Read boxes in one of AVA's formats.

    Args:
        path: `video,second,x1,y1,x2,y2,action,score` with an action that may be empty, as detectors give them; or,
            with `ids`, `video,second,x1,y1,x2,y2,action,person`, AVA's labels, where the rows of one person at a
            second are one box. The actions are not looked at.
        ids: Which of the two: both have eight columns, and 1 may be a score or a person.
        score: Boxes below it are left out; labels have none and stay.

    Raises:
        InputError: Malformed lines as `file:line: reason` (boxes outside [0, 1] and NaN among them), no line at all,
            or a person with two boxes at a second.
    """
    found: dict[str, dict[int, list[Person]]] = {}
    low = flat = 0
    if ids:
        for row in ava.load(path, ava.parse_labels):
            there = found.setdefault(row.video, {}).setdefault(row.second, [])
            if isinstance(row, ava.Second):
                continue
            person = Person(_floats(row.box), None, row.person)
            same = [one for one in there if one.person == row.person]
            if same and same[0].box != person.box:
                raise InputError(f"{path}: {row.video} at second {row.second}: person {row.person} has two boxes")
            if not same:
                there.append(person)
    else:
        try:
            rows = ava.load(path, ava.parse_predicted)
        except InputError as error:
            if ": score " not in str(error):
                raise
            raise InputError(str(error), "If the last column is a person's number, say --person-ids.") from None
        for one in rows:
            there = found.setdefault(one.video, {}).setdefault(one.second, [])
            box = _floats(one.box)
            if box[2] <= box[0] or box[3] <= box[1]:
                flat += 1
            elif float(one.score) < score:
                low += 1
            else:
                there.append(Person(box, float(one.score)))
    if not found:
        raise InputError(f"{path}: no boxes")
    videos = {name: {second: tuple(there) for second, there in seconds.items()} for name, seconds in found.items()}
    return PersonFile(path, videos, low, flat)


def _floats(box: ava.Box) -> tuple[float, float, float, float]:
    return float(box.x1), float(box.y1), float(box.x2), float(box.y2)


@dataclass(frozen=True)
class LoadedPersons:
    """A detector of persons in evaluation mode, and where it came from.

    Attributes:
        net: A detection network of torchvision, on the device that was asked for.
        architecture: The catalogue name.
        weights: "pretrained", "random", or the file.
        weights_sha256: Of the file; for random weights "random:<seed>".
        device: Where it is.
    """

    net: nn.Module
    architecture: str
    weights: str
    weights_sha256: str
    device: torch.device


def person_detectors() -> tuple[str, ...]:
    """Names of the catalogue's detectors of persons."""
    return tuple(name for name in MODELS.names() if MODELS.get(name).task == "persons")


def person_card(name: str) -> ModelCard:
    """The card of a detector of persons.

    Raises:
        UnknownNameError: No such name.
        InputError: A model that finds no persons.
    """
    if name not in MODELS:
        raise UnknownNameError(
            "person detector", name, person_detectors(), "--persons also takes a .csv file of boxes."
        )
    card = MODELS.get(name)
    if card.task != "persons":
        raise InputError(f"--persons {name}: no detector of persons", f"Choose one of {', '.join(person_detectors())}.")
    return card


def load_persons(
    name: str,
    *,
    weights: str = "pretrained",
    pull: bool = False,
    seed: int = 0,
    device: torch.device | None = None,
    reporter: Reporter | None = None,
) -> LoadedPersons:
    """Load a detector of persons.

    Args:
        name: A catalogue name, of a card whose task is "persons".
        weights: "pretrained", "random" (its boxes mean nothing), or a file in torchvision's layout.
        pull: Download published weights that are missing.
        seed: Of random weights.
        device: Where the network goes; the CPU by default.
        reporter: Hears of a download.

    Raises:
        UnknownNameError: No such name.
        MissingError: The published weights are not here.
        InputError: No such file, or one that does not fit the network.
    """
    card = person_card(name)
    path = None
    if weights == "pretrained":
        path = require(card, pull=pull, reporter=reporter or SilentReporter())
    elif weights != "random":
        path = Path(weights)
        if not path.is_file():
            raise InputError(f"{path}: no such weights file", "--person-weights takes pretrained, random or a file.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = card.build(card.num_classes)
    sha256 = f"random:{seed}"
    if path is not None:
        load_strict(net, named_now(read_state(path).tensors, net), source=str(path))
        sha256 = file_sha256(path)
    place = device or torch.device("cpu")
    return LoadedPersons(net.eval().to(place), name, weights, sha256, place)


def build_persons(name: str, num_classes: int) -> nn.Module:
    """A detection network with fresh weights, as torchvision builds it around its published ones.

    `fasterrcnn_resnet50_fpn` was trained with normalisation that is frozen and has no epsilon: torchvision puts
    that in when it loads the weights itself, and so it is here from the start.

    Args:
        name: A catalogue name.
        num_classes: Outputs, the background included.
    """
    net: nn.Module
    if name == "fasterrcnn_resnet50_fpn":
        net = FasterRCNN(
            resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d), num_classes
        )
        for module in net.modules():
            if isinstance(module, FrozenBatchNorm2d):
                module.eps = 0.0
    elif name == "fasterrcnn_resnet50_fpn_v2":
        net = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=num_classes)
    else:
        net = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
    return net


def named_now(tensors: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a torchvision file under the names of today's networks.

    Older files have other names for the pyramid's and the region proposals' convolutions, and torchvision's
    loader renames them unseen. Counters of batches are dropped where the network's normalisation is frozen.
    """
    own = net.state_dict()
    named = {}
    for name, value in tensors.items():
        fresh = name
        for pattern, new in _RENAMED:
            fresh = pattern.sub(new, fresh) if pattern.fullmatch(fresh) else fresh
        if fresh in own or not name.endswith(".num_batches_tracked"):
            named[fresh] = value
    return named


@torch.inference_mode()
def find_persons(
    loaded: LoadedPersons, images: Sequence[NDArray[np.uint8]], score: float
) -> tuple[tuple[Person, ...], ...]:
    """The persons in each image, the surest first.

    Args:
        loaded: The detector.
        images: `(H, W, 3)` uint8 RGB each, of any size.
        score: The least score that counts.

    Returns:
        For each image its persons; boxes without an area are left out.

    Raises:
        ValueError: The network gives values that are not finite.
    """
    if not images:
        return ()
    clips = [torch.from_numpy(image).permute(2, 0, 1).to(loaded.device).float().div_(255.0) for image in images]
    found = []
    for image, told in zip(images, loaded.net(clips), strict=True):
        height, width = image.shape[:2]
        size = torch.tensor([width, height, width, height], dtype=torch.float64)
        boxes = told["boxes"].double().cpu() / size
        scores = told["scores"].double().cpu()
        if not bool(torch.isfinite(boxes).all() and torch.isfinite(scores).all()):
            raise ValueError("the person detector's output is not finite")
        chosen = _persons(boxes.tolist(), scores.tolist(), told["labels"].tolist(), score)
        found.append(tuple(sorted(chosen, key=lambda one: -(one.score or 0.0))))
    return tuple(found)


def _persons(
    boxes: Iterable[Sequence[float]], scores: Iterable[float], labels: Iterable[int], least: float
) -> list[Person]:
    persons = []
    for box, score, label in zip(boxes, scores, labels, strict=True):
        x1, y1, x2, y2 = (min(max(value, 0.0), 1.0) for value in box)
        if label == PERSON and score >= least and x2 > x1 and y2 > y1 and math.isfinite(score):
            persons.append(Person((x1, y1, x2, y2), score))
    return persons
