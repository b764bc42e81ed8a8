"""Detectors of persons in single images as data: torchvision's networks of COCO, of which the class "person" is used.

Figures are the box mAP on COCO val2017 in the `meta` of torchvision's weights, release 0.29.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vidbench.model.card import ModelCard, Preprocess, Published

if TYPE_CHECKING:
    from torch import nn

URL = "https://download.pytorch.org/models"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _builder(name: str) -> Callable[[int], nn.Module]:
    # torch is imported when a network is built
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.persons import build_persons

        return build_persons(name, num_classes)

    return build


def _card(name: str, family: str, sides: tuple[int, int], file: str, params: float, mean_ap: float) -> ModelCard:
    short, long = sides
    mean, std = IMAGENET if short != long else ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    how = f"scaled to {short} pixels on the shorter side, at most {long} on the longer"
    return ModelCard(
        name=name,
        family=family,
        preprocess=Preprocess(1, 1, short, short, short, mean, std),
        num_classes=91,
        labels="",
        parameters_m=params,
        build=_builder(name),
        published=Published(
            urls=(f"{URL}/{file}",),
            file=file,
            top1=None,
            top5=None,
            views="",
            source="torchvision",
            licence="BSD-3-Clause",
            mean_ap=mean_ap,
            data="coco",
        ),
        note=f"Boxes of persons for `model predict --persons {name}`: images "
        f"{how if short != long else f'stretched to {short} x {short}'}; class 1 of COCO's 91 is person.",
        task="persons",
    )


PERSONS: tuple[ModelCard, ...] = (
    _card(
        "fasterrcnn_resnet50_fpn",
        "Faster R-CNN",
        (800, 1333),
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        41.76,
        37.0,
    ),
    _card(
        "fasterrcnn_resnet50_fpn_v2",
        "Faster R-CNN",
        (800, 1333),
        "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
        43.71,
        46.7,
    ),
    _card(
        "ssdlite320_mobilenet_v3_large",
        "SSDLite",
        (320, 320),
        "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
        3.44,
        21.3,
    ),
)
