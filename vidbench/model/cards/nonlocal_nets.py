"""Classifiers with non-local blocks as data; figures are those of PySlowFast's `MODEL_ZOO.md` at commit 287ec00."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidbench.model.card import ModelCard, Preprocess
from vidbench.model.cards.kinetics import PYSLOWFAST, pyslowfast_file

if TYPE_CHECKING:
    from torch import nn


def _i3d_nln_r50(num_classes: int) -> nn.Module:
    from vidbench.model.resnet3d import build_resnet3d

    return build_resnet3d("i3d_nln_r50", num_classes)


NONLOCAL: tuple[ModelCard, ...] = (
    ModelCard(
        name="i3d_nln_r50",
        family="I3D",
        preprocess=Preprocess(8, 8, 256, 224, 256),
        num_classes=400,
        labels="kinetics400",
        parameters_m=35.40,
        build=_i3d_nln_r50,
        published=pyslowfast_file(f"{PYSLOWFAST}/model_zoo/kinetics400/I3D_NLN_8x8_R50.pkl", 74.0, 91.1),
        note="I3D with five non-local blocks, two in its third stage (res3) and three in the fourth (res4).",
        head="blocks.6.proj.",
    ),
)
