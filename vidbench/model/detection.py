"""Action detectors: what persons in given boxes do; boxes in pixels of the clip go in, logits of each box come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align  # type: ignore[import-untyped]

from vidbench.errors import InputError
from vidbench.formats.labels import table
from vidbench.model.card import ModelCard, Preprocess
from vidbench.model.checkpoint import load_strict, read_model, read_state
from vidbench.model.remap import map_state
from vidbench.model.resnet3d import build_resnet3d_trunk
from vidbench.model.resolve import FINDS, how_to_use, model_path
from vidbench.model.roi import RoISettings, roi_of
from vidbench.model.slowfast import build_slowfast_trunk
from vidbench.model.trunk import build_trunk, features_of
from vidbench.model.variant import UNCHANGED, Variant, apply_variant
from vidbench.model.weights import require, tags
from vidbench.model.zoo import MODELS
from vidbench.progress import Reporter
from vidbench.runs import file_sha256

HEAD = "detection_head."
"""Front of the names of what is not the trunk's in a `BoxNet`."""
TRUNK = "model."
"""Front of the names of the trunk's tensors there; behind it they have the names of the classifier's network."""

# of the published networks' features: the last stage keeps the resolution of the one before
_SCALE = 1 / 16


class RoIHead(nn.Module):
    """Logits of each box from the features of the whole clip.

    Mean over time (however many frames there are), RoIAlign to a square region, the largest value of each channel,
    dropout, one linear layer. The name of its linear layer, `proj`, is that of pytorchvideo's `ResNetRoIHead`, which
    has a sigmoid after it; here there is none.

    Args:
        channels: Of the features.
        num_classes: Outputs.
        aligned: RoIAlign's half-pixel shift: detectron2's `ROIAlign` has it unless told otherwise, the published
            AVA networks were trained without.
        scale: Positions of the features per pixel of the clip.
        region: Positions of a region's side.
        dropout: Probability of the dropout.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        aligned: bool = False,
        scale: float = _SCALE,
        region: int = 7,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.aligned = aligned
        self.scale = scale
        self.region = region
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(channels, num_classes)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """`(N, C, t, h, w)` features and `(M, 5)` boxes to `(M, num_classes)` logits."""
        flat = features.mean(2)
        # in half precision boxes would be moved by pixels, and of many clips to another
        flat = flat.float() if flat.dtype in (torch.float16, torch.bfloat16) else flat
        at = boxes.to(flat.dtype)
        regions = roi_align(flat, at, self.region, self.scale, sampling_ratio=0, aligned=self.aligned)
        largest = regions.flatten(2).max(dim=2).values.to(features.dtype)
        result: Tensor = self.proj(self.dropout(largest))
        return result


class BoxNet(nn.Module):
    """A network that classifies boxes: the trunk sees the clip, the head the trunk's features and the boxes.

    Its parts have the names of pytorchvideo's `DetectionBBoxNetwork`.

    Args:
        model: Normalised clips to features, `(N, C, t, h, w)`.
        detection_head: Features and boxes to logits.
    """

    def __init__(self, model: nn.Module, detection_head: RoIHead) -> None:
        super().__init__()
        self.model = model
        self.detection_head = detection_head

    def forward(self, clips: Tensor, boxes: Tensor) -> Tensor:
        """Logits `(M, num_classes)`: each class of each box is a question of its own, sigmoid gives its probability.

        Args:
            clips: `(N, 3, T, H, W)`, normalised; of two pathways the fast one's, the slow one is taken from it.
            boxes: `(M, 5)` float: index of the clip in the batch, x1, y1, x2, y2 in pixels of the clip.
        """
        result: Tensor = self.detection_head(self.model(clips), boxes)
        return result


class ActionDetector(nn.Module):
    """What `Classifier` is for clips, for boxes in clips: unnormalised input, logits out.

    Args:
        net: The network.
        preprocess: The clips it wants; the whole frame with its short side at `short_side`, no crop.
        num_classes: Of each box.
        classes: Names of the outputs, in order; empty where they have none.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: BoxNet, preprocess: Preprocess, num_classes: int, classes: tuple[str, ...] = ()) -> None:
        super().__init__()
        if classes and len(classes) != num_classes:
            raise ValueError(f"{num_classes} outputs, but {len(classes) = }")
        self.net = net
        self.preprocess = preprocess
        self.num_classes = num_classes
        self.classes = classes
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, clips: Tensor, boxes: Tensor) -> Tensor:
        """Logits `(M, num_classes)`, differentiable with respect to the clips; `torch.sigmoid` gives probabilities.

        Args:
            clips: `(N, 3, T, H, W)` in [0, 1], T as `preprocess` says.
            boxes: `(M, 5)` float: index of the clip in the batch, x1, y1, x2, y2 in pixels of the clip
                (`vidbench.model.ava_sampling.boxes_in_clip`); M may be 0.

        Raises:
            ValueError: Another shape, or a box that is of no clip of the batch, NaN or infinite.
        """
        if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[2] != self.preprocess.frames:
            raise ValueError(f"expected (N, 3, {self.preprocess.frames}, H, W), got {tuple(clips.shape) = }")
        if boxes.ndim != 2 or boxes.shape[1] != 5 or not boxes.is_floating_point():
            raise ValueError(f"expected (M, 5) float boxes, got {tuple(boxes.shape) = } of {boxes.dtype}")
        # RoIAlign reads memory that is not the batch's where an index is wrong
        owner = boxes[:, 0]
        if not bool(torch.isfinite(boxes).all() & (owner >= 0).all() & (owner < len(clips)).all()):
            raise ValueError(f"boxes of clips outside the batch of {len(clips)}, or with values that are not finite")
        result: Tensor = self.net((clips - self.mean) / self.std, boxes)
        return result

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.mean.device


def owned(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes of the clips of a batch, each with its clip's number before it.

    Args:
        boxes: Of each clip `(M, 4)` float32; at least one clip.

    Returns:
        `(M, 5)` float32, in the order of the clips.
    """
    return torch.cat(
        [torch.cat((torch.full((len(one), 1), float(number)), one), dim=1) for number, one in enumerate(boxes)]
    )


@dataclass(frozen=True)
class LoadedDetector:
    """A detector in evaluation mode, and where it came from.

    Attributes:
        detector: On the device that was asked for.
        reference: What the user typed.
        architecture: The catalogue name of the network, or of the classifier whose trunk it has.
        weights: "pretrained", "random", the tag of published weights, or the file.
        weights_sha256: Of the file; for random weights "random:<seed>".
        card: The catalogue's facts.
    """

    detector: ActionDetector
    reference: str
    architecture: str
    weights: str
    weights_sha256: str
    card: ModelCard


def detectors() -> tuple[str, ...]:
    """Names of the catalogue's action detectors."""
    return tuple(name for name in MODELS.names() if MODELS.get(name).task == "detect")


def load_detector(
    reference: str,
    *,
    weights: str = "pretrained",
    pull: bool = False,
    seed: int = 0,
    device: torch.device | None = None,
    reporter: Reporter | None = None,
) -> LoadedDetector:
    """Load the action detector that `reference` names.

    Args:
        reference: A catalogue name, of a card whose task is "detect"; or a run folder of
            `model finetune --task detect`, its `model.json` or `model.safetensors`.
        weights: For a catalogue name: "pretrained", the tag of other published weights of the card, "random", or a
            file in the layout of PySlowFast, Caffe2 or pytorchvideo.
        pull: Download published weights that are missing.
        seed: Of random weights.
        device: Where the network goes; the CPU by default.
        reporter: Hears of a download.

    Raises:
        UnknownNameError: Neither a name nor something that exists.
        MissingError: The published weights are not here.
        InputError: A model that is no detector, no such file, or one that does not fit the network.
    """
    if reference not in MODELS:
        loaded = _from_run(reference, weights)
        loaded.detector.eval().to(device or torch.device("cpu"))
        return loaded
    card = MODELS.get(reference)
    if card.task != "detect":
        raise InputError(f"{reference} is no action detector", f"Choose one of {', '.join(detectors())}.")
    path = None
    tagged = weights in tags(card) and not Path(weights).exists()
    if weights == "pretrained" or tagged:
        # before the network is built: building it takes seconds, and the file may be missing
        path = require(card, pull=pull, reporter=reporter, tag=weights if tagged else "")
    elif weights != "random":
        path = Path(weights)
        if not path.is_file():
            raise InputError(
                f"{path}: no such weights file",
                f"--weights takes pretrained, {', '.join(tags(card))}, random or a file.",
            )
    detector = build(card, card.num_classes, class_names(card), seed)
    sha256 = f"random:{seed}"
    if path is not None:
        load_strict(detector.net, map_state(read_state(path).tensors, reference).tensors, source=str(path))
        sha256 = file_sha256(path)
    detector.eval().to(device or torch.device("cpu"))
    return LoadedDetector(detector, reference, reference, weights, sha256, card)


def _from_run(reference: str, weights: str) -> LoadedDetector:
    info, path = read_model(model_path(reference, weights, "action detector", detectors()))
    card = MODELS.get(info.architecture)
    if info.roi is None:
        raise InputError(
            f"{reference} is no action detector: it finds {FINDS[info.task or card.task]}",
            f"`vidbench model finetune {card.name} SET --task detect --init {reference}` makes one of it.",
        )
    detector = build_detector_on(card, len(info.classes), info.classes, 0, info.preprocess, info.variant, roi=info.roi)
    load_strict(detector.net, read_state(path).tensors, source=str(path))
    return LoadedDetector(detector, reference, info.architecture, str(path), file_sha256(path), card)


def build(card: ModelCard, num_classes: int, classes: tuple[str, ...], seed: int) -> ActionDetector:
    """A detector with fresh weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = card.build(num_classes)
    if not isinstance(net, BoxNet):
        raise InputError(f"{card.name} is no action detector: its network takes no boxes")
    return ActionDetector(net, card.preprocess, num_classes, classes)


def build_detector_on(
    card: ModelCard,
    num_classes: int,
    classes: tuple[str, ...],
    seed: int,
    preprocess: Preprocess | None = None,
    variant: Variant = UNCHANGED,
    *,
    roi: RoISettings | None = None,
) -> ActionDetector:
    """A detector with fresh weights on a 3-D network of the catalogue, a classifier of clips or a detector.

    The classifier's head is cut off; `vidbench.model.trunk.build_trunk` says where, and what of which network allows
    clips of any size. Regions are taken at the resolution of its features, which is found out.

    Args:
        card: The network.
        num_classes: Of each box.
        classes: Their names; may be empty.
        seed: Of the weights.
        preprocess: The clips it wants, the card's by default: the whole frame with its short side at `short_side`
            when it is asked, crops of `crop` pixels in training. Never scaled to a fixed shape, which would bend
            persons, whatever the classifier does.
        variant: What the network has otherwise than the catalogue's; its classifying layer does not matter.
        roi: How regions are taken; `vidbench.model.roi.roi_of` by default.

    Raises:
        InputError: A network of single frames, one that cannot be dilated, or one that finds persons; or the
            variant's layers are not this network's.
    """
    roi = roi or roi_of(card)
    size = whole_frames(preprocess or card.preprocess)
    if card.task == "persons":
        raise InputError(f"{card.name} is no network of clips: it finds {FINDS[card.task]}", how_to_use(card))
    if card.task == "detect" and not roi.dilated:
        raise InputError(
            f"{card.name} has a dilated last stage", "Leave it so, or build a detector on the classifier of its family."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = card.build(num_classes)
        apply_variant(net, replace(variant, classifier=""))
        if not isinstance(net, BoxNet):
            trunk = build_trunk(net, card, roi.dilated)
            found = features_of(trunk, size.frames)
            net = BoxNet(trunk, RoIHead(found.channels, num_classes, scale=1 / found.stride))
    head = net.detection_head
    head.aligned, head.region, head.dropout.p = roi.aligned, roi.region, roi.dropout
    return ActionDetector(net, size, num_classes, classes)


def whole_frames(preprocess: Preprocess) -> Preprocess:
    """The same input without scaling to a fixed shape: boxes want the frame's own."""
    return replace(preprocess, fixed=None)


def class_names(card: ModelCard) -> tuple[str, ...]:
    """Names of a card's outputs, in order; empty where it names no table. Output 0 is AVA's class 1."""
    return tuple(table(card.labels).classes.values()) if card.labels else ()


@dataclass(frozen=True)
class _Kind:
    slowfast: bool
    channels: int


# the trunk's kind, and channels of the features that its last stage gives
_NETWORKS = {
    "slow_r50_detection": _Kind(False, 2048),
    "slowfast_r50_detection": _Kind(True, 2304),
    "slowfast_32x2_r101_50_50_ava": _Kind(True, 2304),
    "slowfast_64x2_r101_50_50_ava": _Kind(True, 2304),
}


def build_detector(name: str, num_classes: int, *, aligned: bool = False) -> BoxNet:
    """A network with fresh weights.

    Args:
        name: A catalogue name.
        num_classes: Outputs of the head.
        aligned: RoIAlign's half-pixel shift; False in every published configuration.
    """
    kind = _NETWORKS[name]
    trunk = build_slowfast_trunk(name) if kind.slowfast else build_resnet3d_trunk(name)
    return BoxNet(trunk, RoIHead(kind.channels, num_classes, aligned=aligned))
