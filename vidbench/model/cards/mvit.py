"""The larger MViTs of PySlowFast as data.

Figures are those of PySlowFast's `MODEL_ZOO.md` and `projects/mvitv2/README.md` at commit 287ec00, and those of
MMAction2 1.2, which measured the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vidbench.model.card import ModelCard, Preprocess, Published
from vidbench.model.cards.kinetics import IMAGENET, MMACTION2_MVIT, MVITV2, PYSLOWFAST, pyslowfast_file

if TYPE_CHECKING:
    from torch import nn

SMALL_INPUT = Preprocess(16, 4, 256, 224, 224)
BASE_INPUT = Preprocess(32, 3, 256, 224, 224)
LARGE_INPUT = Preprocess(40, 3, 356, 312, 312, *IMAGENET)


def mvit_class(name: str) -> Callable[[int], nn.Module]:
    """The builder of a network of `vidbench.model.mvit_class`, which imports torch when it is called."""

    def build(num_classes: int) -> nn.Module:
        from vidbench.model.mvit_class import build_mvit_class

        return build_mvit_class(name, num_classes)

    return build


def fixed_size(preprocess: Preprocess) -> str:
    """What a user of such a network should know of its input."""
    size = preprocess.crop
    return f"The position embedding is made for {preprocess.frames} frames of {size} x {size}."


def _card(
    name: str,
    network: str,
    family: str,
    preprocess: Preprocess,
    params: float,
    *files: Published,
    labels: str = "kinetics400",
    note: str = "",
) -> ModelCard:
    return ModelCard(
        name=name,
        family=family,
        preprocess=preprocess,
        num_classes=600 if labels == "kinetics600" else 400,
        labels=labels,
        parameters_m=params,
        build=mvit_class(network),
        published=files[0],
        note=" ".join(part for part in (fixed_size(preprocess), note) if part),
        head="head.1.",
        others=files[1:],
    )


_BASE = f"{MVITV2}/MViTv2_B_32x3_k400_f304025456.pyth"
_LARGE = f"{MVITV2}/MViTv2_L_40x3_k400_f306903192.pyth"
_OFFSET = "pyslowfast-offset"

MVITS: tuple[ModelCard, ...] = (
    _card(
        "mvit_v1_b24", "mvit_v1_b24", "MViTv1", BASE_INPUT, 53.12,
        pyslowfast_file(f"{PYSLOWFAST}/model_zoo/mvit/k400.pyth", 80.4, 94.8, "5x1", protocol=_OFFSET),
        note="PySlowFast's MVIT_B_32x3_CONV of 24 blocks; mvit_base_32x3 has 16.",
    ),
    _card(
        "mvit_v1_b24_k600", "mvit_v1_b24", "MViTv1", BASE_INPUT, 53.27,
        pyslowfast_file(
            f"{PYSLOWFAST}/model_zoo/mvit/k600.pyth", 83.9, 96.5, "5x1", protocol=_OFFSET, data="kinetics600"
        ),
        labels="kinetics600",
        note="mvit_v1_b24 trained on Kinetics-600; PySlowFast has no configuration file of its own for it.",
    ),
    _card(
        "mvit_v2_b", "mvit_v2_b", "MViTv2", BASE_INPUT, 51.23,
        pyslowfast_file(_BASE, 82.9, 95.7, "5x1", protocol=_OFFSET),
        pyslowfast_file(_BASE, 82.6, 95.8, "5x1", tag="mmaction2", protocol="mmaction2", source=MMACTION2_MVIT),
    ),
    _card(
        "mvit_v2_l", "mvit_v2_l", "MViTv2", LARGE_INPUT, 213.39,
        pyslowfast_file(_LARGE, 86.1, 97.0, "5x3", protocol=_OFFSET),
        pyslowfast_file(_LARGE, 85.4, 96.2, "5x3", tag="mmaction2", protocol="mmaction2", source=MMACTION2_MVIT),
        note="Trained on ImageNet-21K first. 2828 GFLOPs a view: made for a GPU.",
    ),
)  # fmt: skip
