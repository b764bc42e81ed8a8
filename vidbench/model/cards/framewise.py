"""Image networks on single frames as data: inputs, published figures on ImageNet, addresses.

Inputs are those of timm's `pretrained_cfg` of each tag (timm 1.0.31), at the size that its figure was measured at:
the short side is the crop over `crop_pct`, rounded down. Figures are those of timm's `results/results-imagenet.csv`
at commit 0173a13; they are of single images, resized by bicubic interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vidbench.model.card import ModelCard, Preprocess, Published

if TYPE_CHECKING:
    from torch import nn

Triple = tuple[float, float, float]

IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: tuple[Triple, Triple] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

FRAMES, STRIDE = 8, 8
SOURCE = "timm results/results-imagenet.csv at 0173a13: single images, bicubic"


@dataclass(frozen=True)
class Backbone:
    """One image network and the published weights of one tag.

    Attributes:
        name: What the user types for it.
        title: Its name in papers.
        timm: Its name in timm.
        tag: Of the weights, as timm has it.
        parameters: Numbers that are learnt, with 1000 outputs.
        width: Features before the classifier.
        head: The front of the names of the classifier's tensors, as timm has it.
        crop: Pixels of the square input.
        crop_pct: The crop over the short side.
        normalise: Mean and deviation of the channels.
        top1: Per cent on ImageNet's validation images.
        top5: Per cent, likewise.
        licence: Of the weights.
        also: What else they were trained on, for the note.
    """

    name: str
    title: str
    timm: str
    tag: str
    parameters: int
    width: int
    head: str
    crop: int
    crop_pct: float
    top1: float
    top5: float
    normalise: tuple[Triple, Triple] = IMAGENET
    licence: str = "Apache-2.0"
    also: str = ""

    @property
    def short_side(self) -> int:
        """Pixels of the shorter side before the crop, by timm's rule."""
        return math.floor(self.crop / self.crop_pct)


BACKBONES: tuple[Backbone, ...] = (
    Backbone("resnet50", "ResNet-50", "resnet50", "a1_in1k", 25_557_032, 2048, "fc.", 288, 1.0, 81.214, 95.102),
    Backbone(
        "wide_resnet50", "Wide ResNet-50-2", "wide_resnet50_2", "racm_in1k", 68_883_240, 2048, "fc.", 288, 0.95,
        82.280, 96.064,
    ),
    Backbone(
        "densenet121", "DenseNet-121", "densenet121", "ra_in1k", 7_978_856, 1024, "classifier.", 288, 0.95,
        76.500, 93.368,
    ),
    Backbone(
        "efficientnet_b4", "EfficientNet-B4", "efficientnet_b4", "ra2_in1k", 19_341_616, 1792, "classifier.", 384, 1.0,
        83.414, 96.598,
    ),
    Backbone(
        "vit_b16", "ViT-B/16", "vit_base_patch16_224", "augreg2_in21k_ft_in1k", 86_567_656, 768, "head.", 224, 0.9,
        85.096, 97.530, normalise=HALF, also="pretrained on ImageNet-21k",
    ),
    Backbone(
        "swin_s", "Swin-S", "swin_small_patch4_window7_224", "ms_in1k", 49_606_258, 768, "head.fc.", 224, 0.9,
        83.208, 96.316, licence="MIT",
    ),
    Backbone(
        "convnext_t", "ConvNeXt-T", "convnext_tiny", "fb_in1k", 28_589_128, 768, "head.fc.", 288, 1.0,
        82.698, 96.144,
    ),
)  # fmt: skip


def _build(name: str, pooling: Literal["mean", "attention"]) -> Callable[[int], nn.Module]:
    # imports torch, and timm when the network is built
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.framewise import build_framewise

        return build_framewise(name, pooling, num_classes)

    return build


def _preprocess(backbone: Backbone) -> Preprocess:
    mean, std = backbone.normalise
    size = backbone.crop
    return Preprocess(FRAMES, STRIDE, backbone.short_side, size, wide=size, mean=mean, std=std)


def _mean_card(backbone: Backbone) -> ModelCard:
    whole = f"{backbone.timm}.{backbone.tag}"
    also = f", {backbone.also}" if backbone.also else ""
    return ModelCard(
        name=backbone.name,
        family=f"frame-wise {backbone.title}",
        preprocess=_preprocess(backbone),
        num_classes=1000,
        labels="",
        parameters_m=round(backbone.parameters / 1e6, 2),
        build=_build(backbone.timm, "mean"),
        published=Published(
            urls=(f"https://huggingface.co/timm/{whole}/resolve/main/model.safetensors",),
            file=f"{whole}.safetensors",
            top1=backbone.top1,
            top5=backbone.top5,
            views="1x1",
            source=SOURCE,
            licence=backbone.licence,
            data="imagenet1k",
        ),
        note=f"timm's {whole}{also}; the mean of the frames' features is classified, whatever their order; "
        "the published figure is of single images",
        head=f"backbone.{backbone.head}",
        extra="timm",
        framewise=True,
    )


def _attention_card(backbone: Backbone) -> ModelCard:
    return ModelCard(
        name=f"{backbone.name}_attention",
        family=f"frame-wise {backbone.title} with self-attention over time",
        preprocess=_preprocess(backbone),
        num_classes=1000,
        labels="",
        # query, key, value and output, square and without bias
        parameters_m=round((backbone.parameters + 4 * backbone.width**2) / 1e6, 2),
        build=_build(backbone.timm, "attention"),
        note=f"as {backbone.name}, but the frames attend to each other first, without positions; no weights of the "
        "attention are published",
        head=f"backbone.{backbone.head}",
        extra="timm",
        framewise=True,
    )


FRAMEWISE: tuple[ModelCard, ...] = tuple(
    card for backbone in BACKBONES for card in (_mean_card(backbone), _attention_card(backbone))
)
