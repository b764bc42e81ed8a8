"""Networks trained on Charades and on Something-Something as data.

Figures of `pytorchvideo model zoo` are those of its `docs/source/model_zoo.md` at commit f3142bb, figures of
`PySlowFast model zoo` those of its `MODEL_ZOO.md` and `projects/mvitv2/README.md` at commit 287ec00.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vidbench.model.card import ModelCard, Preprocess, Published, Task
from vidbench.model.cards.kinetics import MULTIGRID, MVITV2, pyslowfast_file, two_pathways
from vidbench.model.cards.mvit import BASE_INPUT, LARGE_INPUT, SMALL_INPUT, fixed_size, mvit_class

if TYPE_CHECKING:
    from torch import nn

HUB = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo"
_CHARADES, _SSV2 = "charades", "something-something-v2"
_CLASSES = {_CHARADES: 157, _SSV2: 174}
# the rule that each set's published figures were measured by
_RULES = {_CHARADES: "charades", _SSV2: "ssv2"}
_SAMPLING = {
    _CHARADES: "Any number of classes at once; clips are counted in frames of the list, at its rate.",
    _SSV2: "One clip: the middle frame of each of as many equal parts of the video; the stride is not used.",
}


def _slow(num_classes: int) -> nn.Module:
    from vidbench.model.resnet3d import build_resnet3d

    return build_resnet3d("slow_r50", num_classes)


def _slowfast(name: str) -> Callable[[int], nn.Module]:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.slowfast import build_slowfast

        return build_slowfast(name, num_classes)

    return build


def _hub(
    data: str, file: str, top1: float | None = None, top5: float | None = None, mean_ap: float | None = None
) -> Published:
    # the folder belongs to the name: files of other sets have the same
    folder = "charades" if data == _CHARADES else "ssv2"
    return Published(
        urls=(f"{HUB}/{folder}/{file}",),
        file=f"{folder}/{file}",
        top1=top1,
        top5=top5,
        views="10x3" if data == _CHARADES else "1x3",
        source="pytorchvideo model zoo",
        licence="Apache-2.0",
        protocol=_RULES[data],
        mean_ap=mean_ap,
        data=data,
        tag="pytorchvideo",
    )


def _own(
    data: str,
    url: str,
    views: str,
    top1: float | None = None,
    top5: float | None = None,
    mean_ap: float | None = None,
    tag: str = "pyslowfast",
    source: str = "PySlowFast model zoo",
) -> Published:
    return pyslowfast_file(
        url, top1, top5, views, tag=tag, protocol=_RULES[data], data=data, mean_ap=mean_ap, source=source
    )


def _card(
    name: str,
    family: str,
    data: str,
    preprocess: Preprocess,
    build: Callable[[int], nn.Module],
    head: str,
    params: float,
    *files: Published,
    note: str = "",
) -> ModelCard:
    task: Task = "multilabel" if data == _CHARADES else "classify"
    return ModelCard(
        name=name,
        family=family,
        preprocess=preprocess,
        num_classes=_CLASSES[data],
        labels=data,
        parameters_m=params,
        build=build,
        published=files[0],
        note=" ".join(part for part in (_SAMPLING[data], note) if part),
        head=head,
        task=task,
        others=files[1:],
    )


_SLOW_INPUT = Preprocess(8, 8, 256, 224, 256)
_FAST_INPUT = Preprocess(32, 2, 256, 224, 256)
_LONG_INPUT = Preprocess(64, 2, 256, 224, 256)
# its figure was measured with one crop of the whole short side
_LONG_INPUT_SSV2 = Preprocess(64, 2, 256, 256, 256)

OTHER_SETS: tuple[ModelCard, ...] = (
    _card(
        "slow_r50_ssv2", "Slow", _SSV2, _SLOW_INPUT, _slow, "blocks.5.proj.", 31.99,
        _hub(_SSV2, "SLOW_8x8_R50.pyth", 60.04, 85.19),
    ),
    _card(
        "slowfast_r50_ssv2", "SlowFast", _SSV2, _FAST_INPUT, _slowfast("slowfast_r50"), "blocks.6.proj.", 34.05,
        _hub(_SSV2, "SLOWFAST_8x8_R50.pyth", 61.68, 86.92),
        note=two_pathways((8, 8), 4),
    ),
    _card(
        "slowfast_16x8_r50_ssv2", "SlowFast", _SSV2, _LONG_INPUT_SSV2, _slowfast("slowfast_16x8_r50"),
        "blocks.6.proj.", 34.05,
        _own(_SSV2, f"{MULTIGRID}/SSv2/SLOWFAST_16x8_R50.pkl", "1x1", 63.0, 88.5),
        _own(
            _SSV2, f"{MULTIGRID}/SSv2/SLOWFAST_16x8_R50_multigrid.pkl", "1x1", 63.5, 88.7,
            tag="pyslowfast-multigrid", source="PySlowFast model zoo, crop of 224",
        ),
        note=two_pathways((16, 8), 4) + " Trained with crops of 224.",
    ),
    _card(
        "mvit_v2_s_ssv2", "MViTv2", _SSV2, SMALL_INPUT, mvit_class("mvit_v2_s"), "head.1.", 34.36,
        _own(_SSV2, f"{MVITV2}/MViTv2_S_16x4_ssv2_f308341823.pyth", "1x3", 68.2, 91.4),
        note=fixed_size(SMALL_INPUT),
    ),
    _card(
        "mvit_v2_b_ssv2", "MViTv2", _SSV2, BASE_INPUT, mvit_class("mvit_v2_b"), "head.1.", 51.06,
        _own(_SSV2, f"{MVITV2}/MViTv2_B_32x3_ssv2_f305803282.pyth", "1x3", 70.5, 92.7),
        note=fixed_size(BASE_INPUT),
    ),
    _card(
        "mvit_v2_l_ssv2", "MViTv2", _SSV2, LARGE_INPUT, mvit_class("mvit_v2_l"), "head.1.", 213.13,
        _own(_SSV2, f"{MVITV2}/MViTv2_L_40x3_ssv2_f309603968.pyth", "1x3", 73.3, 94.1),
        note=fixed_size(LARGE_INPUT),
    ),
    _card(
        "slow_r50_charades", "Slow", _CHARADES, _SLOW_INPUT, _slow, "blocks.5.proj.", 31.96,
        _hub(_CHARADES, "SLOW_8x8_R50.pyth", mean_ap=34.72),
    ),
    _card(
        "slowfast_r50_charades", "SlowFast", _CHARADES, _FAST_INPUT, _slowfast("slowfast_r50"), "blocks.6.proj.", 34.01,
        _hub(_CHARADES, "SLOWFAST_8x8_R50.pyth", mean_ap=37.24),
        note=two_pathways((8, 8), 4),
    ),
    _card(
        "slowfast_16x8_r50_charades", "SlowFast", _CHARADES, _LONG_INPUT, _slowfast("slowfast_16x8_r50"),
        "blocks.6.proj.", 34.01,
        _own(_CHARADES, f"{MULTIGRID}/Charades/SLOWFAST_16x8_R50.pkl", "10x3", mean_ap=38.9),
        _own(
            _CHARADES, f"{MULTIGRID}/Charades/SLOWFAST_16x8_R50_multigrid.pkl", "10x3", mean_ap=38.6,
            tag="pyslowfast-multigrid",
        ),
        note=two_pathways((16, 8), 4),
    ),
)  # fmt: skip
