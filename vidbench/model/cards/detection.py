"""Action detectors of AVA as data: inputs, published figures, addresses.

Figures of `pytorchvideo model zoo` are those of its `docs/source/model_zoo.md` at commit f3142bb; figures of
`PySlowFast model zoo` are those of its `MODEL_ZOO.md` at commit 287ec00. All are mean average precision at an overlap
of 0.5 over 60 of the 80 classes, for boxes of persons that a detector found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vidbench.model.card import ModelCard, Preprocess, Published
from vidbench.model.cards.kinetics import PYSLOWFAST, pyslowfast_file

if TYPE_CHECKING:
    from torch import nn

HUB = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/ava"
_WHOLE = (
    "The clip is the whole frame with its short side at 256 pixels, no crop, around the moment that is asked about; "
    "boxes are in its pixels. Every class of a box is a question of its own: sigmoid gives its probability."
)


def _detector(name: str) -> Callable[[int], nn.Module]:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.detection import build_detector

        return build_detector(name, num_classes)

    return build


def _hub(file: str, mean_ap: float) -> Published:
    return Published(
        urls=(f"{HUB}/{file}",),
        file=file,
        top1=None,
        top5=None,
        views="1x1",
        source="pytorchvideo model zoo",
        licence="Apache-2.0",
        mean_ap=mean_ap,
        data="ava2.2",
        tag="pytorchvideo",
    )


def _zoo(name: str, mean_ap: float, data: str = "ava2.2", tag: str = "pyslowfast") -> Published:
    url = f"{PYSLOWFAST}/model_zoo/ava/{name}.pkl"
    return pyslowfast_file(url, None, None, "1x1", tag=tag, data=data, mean_ap=mean_ap)


def _card(
    name: str,
    family: str,
    clip: tuple[int, int],
    params: float,
    published: Published,
    others: tuple[Published, ...] = (),
    note: str = "",
) -> ModelCard:
    return ModelCard(
        name=name,
        family=family,
        preprocess=Preprocess(*clip, short_side=256, crop=256, wide=256),
        num_classes=80,
        labels="ava_80",
        parameters_m=params,
        build=_detector(name),
        published=published,
        note=f"{_WHOLE} {note}".strip(),
        head="detection_head.proj.",
        task="detect",
        others=others,
    )


DETECTION: tuple[ModelCard, ...] = (
    _card(
        "slow_r50_detection", "Slow", (4, 16), 31.80, _hub("SLOW_4x16_R50_DETECTION.pyth", 19.5),
        (_zoo("C2D_8x8_R50", 19.5),),
        "PySlowFast's file of this network is called C2D_8x8_R50.",
    ),
    _card(
        "slowfast_r50_detection", "SlowFast", (32, 2), 33.83, _hub("SLOWFAST_8x8_R50_DETECTION.pyth", 24.67),
        note="Two pathways: the clip is the fast one, the slow one takes 8 of its frames (alpha 4).",
    ),
    _card(
        "slowfast_32x2_r101_50_50_ava", "SlowFast", (32, 2), 59.34, _zoo("SLOWFAST_32x2_R101_50_50", 29.1),
        (_zoo("SLOWFAST_32x2_R101_50_50_v2.1", 28.2, "ava2.1", "ava2.1"),),
        "Two pathways: the clip is the fast one, the slow one takes 8 of its frames (alpha 4), with three non-local "
        "blocks. Pre-trained on Kinetics-600.",
    ),
    _card(
        "slowfast_64x2_r101_50_50_ava", "SlowFast", (64, 2), 59.34, _zoo("SLOWFAST_64x2_R101_50_50", 29.4),
        note="Two pathways: the clip is the fast one, the slow one takes 16 of its frames (alpha 4), with three "
        "non-local blocks. Pre-trained on Kinetics-600.",
    ),
)  # fmt: skip
