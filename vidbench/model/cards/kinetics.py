"""Classifiers of Kinetics-400 as data: inputs, published figures, addresses.

Figures of `pytorchvideo model zoo` are those of its `docs/source/model_zoo.md` at commit f3142bb; figures
of `torchvision` are those of the `meta` of its weights, release 0.28; figures of `PySlowFast model zoo` are those of
its `MODEL_ZOO.md` and `projects/*/README.md` at commit 287ec00; figures of `MMAction2` are those of the tables of its
release 1.2, for weights that it took from PySlowFast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vidbench.model.card import ModelCard, Preprocess, Published

if TYPE_CHECKING:
    from torch import nn

Build = Callable[[int], "nn.Module"]

HUB = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
TORCHVISION = "https://download.pytorch.org/models"
PYSLOWFAST = "https://dl.fbaipublicfiles.com/pyslowfast"
MVITV2 = f"{PYSLOWFAST}/model_zoo/mvitv2/pysf_video_models"
# the doubled folder is in the published addresses
MULTIGRID = f"{PYSLOWFAST}/pyslowfast/model_zoo/multigrid/model_zoo"
MMACTION2_MVIT = "MMAction2, the same weights, short side scaled to the crop"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# of Kinetics itself, for the networks of torchvision's video classification reference
KINETICS_OWN = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))


def pyslowfast_file(
    url: str,
    top1: float | None,
    top5: float | None,
    views: str = "10x3",
    *,
    tag: str = "pyslowfast",
    protocol: str = "pyslowfast",
    data: str = "kinetics400",
    mean_ap: float | None = None,
    source: str = "PySlowFast model zoo",
) -> Published:
    """A file that PySlowFast publishes. Its name in the cache keeps the folder: some folders hold equal names."""
    return Published(
        urls=(url,),
        file="/".join(url.split("/")[-2:]),
        top1=top1,
        top5=top5,
        views=views,
        source=source,
        licence="Apache-2.0",
        protocol=protocol,
        mean_ap=mean_ap,
        data=data,
        tag=tag,
    )


def _kinetics_pickle(name: str, top1: float, top5: float) -> Published:
    return pyslowfast_file(f"{PYSLOWFAST}/model_zoo/kinetics400/{name}.pkl", top1, top5)


# the builders import torch, so they are imported when one is called


def _x3d(size: str) -> Build:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.x3d import build_x3d

        return build_x3d(size, num_classes)

    return build


def _resnet3d(name: str) -> Build:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.resnet3d import build_resnet3d

        return build_resnet3d(name, num_classes)

    return build


def _slowfast(name: str) -> Build:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.slowfast import build_slowfast

        return build_slowfast(name, num_classes)

    return build


def _r2plus1d(num_classes: int) -> nn.Module:
    from vidbench.model.r2plus1d import build_r2plus1d

    return build_r2plus1d(num_classes)


def _csn(num_classes: int) -> nn.Module:
    from vidbench.model.csn import build_csn

    return build_csn(num_classes)


def _mvit(frames: int) -> Build:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.mvit import build_mvit

        return build_mvit(frames, num_classes)

    return build


def _efficient_x3d(size: str) -> Build:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.efficient_x3d import build_efficient_x3d

        return build_efficient_x3d(size, num_classes)

    return build


def _torchvision(name: str) -> Build:
    def build(num_classes: int) -> nn.Module:
        from vidbench.model.torchvision_video import build_torchvision

        return build_torchvision(name, num_classes)

    return build


def _hub_card(
    name: str,
    family: str,
    preprocess: Preprocess,
    build: Build,
    head: str,
    file: str,
    params: float,
    top1: float,
    top5: float,
    views: str = "10x3",
    note: str = "",
    protocol: str = "pytorchvideo",
    others: tuple[Published, ...] = (),
) -> ModelCard:
    return ModelCard(
        name=name,
        family=family,
        preprocess=preprocess,
        num_classes=400,
        labels="kinetics400",
        parameters_m=params,
        build=build,
        published=Published(
            urls=(f"{HUB}/{file}",),
            file=file,
            top1=top1,
            top5=top5,
            views=views,
            source="pytorchvideo model zoo",
            licence="Apache-2.0",
            protocol=protocol,
            tag="pytorchvideo",
        ),
        note=note,
        head=head,
        others=others,
    )


def _x3d_card(
    size: str,
    frames: int,
    stride: int,
    train: int,
    short_side: int,
    wide: int,
    params: float,
    top1: float,
    top5: float,
    own: float,
    mmaction2: float | None = None,
) -> ModelCard:
    preprocess = Preprocess(frames, stride, short_side, train, wide)
    file = f"X3D_{size.upper()}.pyth"
    url = f"{PYSLOWFAST}/x3d_models/x3d_{size}.pyth"
    others = [pyslowfast_file(url, own, None)]
    if mmaction2 is not None:
        source = "MMAction2, the same weights, frames at 30 fps"
        others.append(pyslowfast_file(url, mmaction2, None, tag="mmaction2", protocol="mmaction2", source=source))
    return _hub_card(
        f"x3d_{size}", "X3D", preprocess, _x3d(size), "blocks.5.proj.", file, params, top1, top5, others=tuple(others)
    )


def _resnet_card(
    name: str,
    family: str,
    frames: int,
    stride: int,
    file: str,
    params: float,
    top1: float,
    top5: float,
    *others: Published,
) -> ModelCard:
    # the temporal pooling after the first stage is a block of its own
    head = "blocks.6.proj." if family in ("C2D", "I3D") else "blocks.5.proj."
    preprocess = Preprocess(frames, stride, 256, 224, 256)
    return _hub_card(name, family, preprocess, _resnet3d(name), head, file, params, top1, top5, others=others)


def _slowfast_card(
    name: str,
    slow: tuple[int, int],
    alpha: int,
    file: str,
    params: float,
    top1: float,
    top5: float,
    *others: Published,
) -> ModelCard:
    frames, stride = slow[0] * alpha, slow[1] // alpha
    preprocess = Preprocess(frames, stride, 256, 224, 256)
    return _hub_card(
        name,
        "SlowFast",
        preprocess,
        _slowfast(name),
        "blocks.6.proj.",
        file,
        params,
        top1,
        top5,
        note=two_pathways(slow, alpha),
        others=others,
    )


def two_pathways(slow: tuple[int, int], alpha: int) -> str:
    """What a user of a network with two pathways should know of its clip, `slow` being frames and stride."""
    return (
        f"Two pathways: the clip is the fast one, {slow[0] * alpha} frames x stride {slow[1] // alpha}; the slow one "
        f"takes {slow[0]} of these frames (alpha {alpha}), which is what {slow[0]}x{slow[1]} in its name counts."
    )


def _mvit_card(
    frames: int, stride: int, file: str, params: float, top1: float, top5: float, note: str, *others: Published
) -> ModelCard:
    name = f"mvit_base_{frames}x{stride}"
    preprocess = Preprocess(frames, stride, 256, 224, 224)
    note = f"The position embedding admits {frames} frames of 224 x 224 only.{note}"
    return _hub_card(
        name,
        "MViTv1",
        preprocess,
        _mvit(frames),
        "head.proj.",
        file,
        params,
        top1,
        top5,
        "5x1",
        note,
        "pyslowfast-offset",
        others,
    )


def _efficient_card(size: str, frames: int, stride: int, top1: float, top5: float) -> ModelCard:
    return _hub_card(
        f"efficient_x3d_{size}",
        "EfficientX3D",
        Preprocess(frames, stride, 182, 160, 182),
        _efficient_x3d(size),
        "projection.model.",
        f"efficient_x3d_{size}_original_form.pyth",
        3.79,
        top1,
        top5,
        "10x1",
        "X3D arranged for CPUs of phones. The publisher says 10 clips and not how many crops: one is assumed.",
    )


def _torchvision_card(
    name: str,
    family: str,
    preprocess: Preprocess,
    head: str,
    file: str,
    params: float,
    top1: float,
    top5: float,
    views: str,
    note: str = "",
    others: tuple[Published, ...] = (),
) -> ModelCard:
    return ModelCard(
        name=name,
        family=family,
        preprocess=preprocess,
        num_classes=400,
        labels="kinetics400",
        parameters_m=params,
        build=_torchvision(name),
        published=_torchvision_file(file, top1, top5, views),
        note=note,
        head=head,
        others=others,
    )


def _torchvision_file(file: str, top1: float, top5: float, views: str, tag: str = "torchvision") -> Published:
    return Published(
        urls=(f"{TORCHVISION}/{file}",),
        file=file,
        top1=top1,
        top5=top5,
        views=views,
        source="torchvision",
        licence="BSD-3-Clause",
        protocol="torchvision",
        tag=tag,
    )


def _small_card(name: str, family: str, file: str, params: float, top1: float, top5: float) -> ModelCard:
    return _torchvision_card(
        name,
        family,
        # 16 frames at 15 frames per second
        Preprocess(16, 2, 128, 112, 128, *KINETICS_OWN, fixed=(171, 128)),
        "fc.",
        file,
        params,
        top1,
        top5,
        "5x1",
        "Every video is scaled to 171 x 128 whatever its shape, as torchvision does.",
    )


def _swin_card(size: str, file: str, params: float, top1: float, top5: float, *others: Published) -> ModelCard:
    preprocess = Preprocess(32, 2, 256, 224, 224, *IMAGENET)
    return _torchvision_card(
        f"swin3d_{size}", "Swin3D", preprocess, "head.", file, params, top1, top5, "12x1",
        "torchvision's 32 frames at 15 frames per second.", others,
    )  # fmt: skip


TINY = ModelCard(
    name="x3d_tiny",
    family="X3D",
    preprocess=Preprocess(frames=8, stride=5, short_side=64, crop=64, wide=64),
    num_classes=6,
    labels="",
    parameters_m=0.34,
    build=_x3d("tiny"),
    note="A small X3D to be trained from scratch on a CPU; no weights are published for it.",
    head="blocks.5.proj.",
)

# PySlowFast's own C2D: no temporal pooling, so that it is another network than pytorchvideo's
_C2D_NOPOOL = ModelCard(
    name="c2d_nopool_r50",
    family="C2D",
    preprocess=Preprocess(8, 8, 256, 224, 256),
    num_classes=400,
    labels="kinetics400",
    parameters_m=24.33,
    build=_resnet3d("c2d_nopool_r50"),
    published=_kinetics_pickle("C2D_NOPOOL_8x8_R50", 67.2, 87.8),
    note="c2d_r50 pools over time after its first stage; this one joins the frames at its end alone.",
    head="blocks.5.proj.",
)

KINETICS: tuple[ModelCard, ...] = (
    _x3d_card("xs", 4, 12, 160, 182, 182, 3.79, 69.12, 88.63, 69.5),
    _x3d_card("s", 13, 6, 160, 182, 182, 3.79, 73.33, 91.27, 73.5, 73.3),
    _x3d_card("m", 16, 5, 224, 256, 256, 3.79, 75.94, 92.72, 76.2, 76.4),
    _x3d_card("l", 16, 5, 312, 356, 356, 6.15, 77.44, 93.31, 77.5),
    TINY,
    _resnet_card("c2d_r50", "C2D", 8, 8, "C2D_8x8_R50.pyth", 24.33, 71.46, 89.68),
    _resnet_card(
        "i3d_r50", "I3D", 8, 8, "I3D_8x8_R50.pyth", 28.04, 73.27, 90.70, _kinetics_pickle("I3D_8x8_R50", 73.5, 90.8)
    ),
    _C2D_NOPOOL,
    _resnet_card(
        "slow_r50", "Slow", 8, 8, "SLOW_8x8_R50.pyth", 32.45, 74.58, 91.63,
        _kinetics_pickle("SLOWONLY_8x8_R50", 74.8, 91.6),
    ),
    _resnet_card(
        "slow_r50_4x16", "Slow", 4, 16, "SLOW_4x16_R50.pyth", 32.45, 72.40, 90.18,
        _kinetics_pickle("SLOWONLY_4x16_R50", 72.7, 90.3),
    ),
    _slowfast_card(
        "slowfast_r50", (8, 8), 4, "SLOWFAST_8x8_R50.pyth", 34.57, 76.94, 92.69,
        _kinetics_pickle("SLOWFAST_8x8_R50", 77.0, 92.6),
        pyslowfast_file(
            f"{MULTIGRID}/Kinetics/SLOWFAST_8x8_R50_stepwise.pkl", 76.8, 92.7, tag="pyslowfast-stepwise"
        ),
        pyslowfast_file(
            f"{MULTIGRID}/Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.pkl", 76.6, 92.7, tag="pyslowfast-multigrid",
            source="PySlowFast model zoo, three crops of 224",
        ),
    ),
    _slowfast_card(
        "slowfast_r50_4x16", (4, 16), 8, "SLOWFAST_4x16_R50.pyth", 34.48, 75.34, 91.89,
        _kinetics_pickle("SLOWFAST_4x16_R50", 75.6, 92.0),
    ),
    _slowfast_card("slowfast_r101", (8, 8), 4, "SLOWFAST_8x8_R101.pyth", 62.83, 77.90, 93.27),
    _slowfast_card("slowfast_16x8_r101_50_50", (16, 8), 4, "SLOWFAST_16x8_R101_50_50.pyth", 53.77, 78.70, 93.61),
    _hub_card(
        "csn_r101",
        "CSN",
        Preprocess(32, 2, 256, 224, 256),
        _csn,
        "blocks.5.proj.",
        "CSN_32x2_R101.pyth",
        22.21,
        77.00,
        92.90,
    ),
    _hub_card(
        "r2plus1d_r50",
        "R(2+1)D",
        Preprocess(16, 4, 256, 224, 256),
        _r2plus1d,
        "blocks.5.proj.",
        "R2PLUS1D_16x4_R50.pyth",
        28.11,
        76.01,
        92.23,
    ),
    _mvit_card(
        16, 4, "MVIT_B_16x4.pyth", 36.61, 78.85, 93.85, "",
        _torchvision_file("mvit_v1_b-dbeb1030.pth", 78.477, 93.582, "5x1"),
    ),
    _mvit_card(
        32, 3, "MVIT_B_32x3_f294077834.pyth", 36.61, 80.30, 94.69,
        " 16 blocks; PySlowFast's MVIT_B_32x3_CONV has 24 and is mvit_v1_b24.",
    ),
    _efficient_card("xs", 4, 12, 68.5, 88.0),
    _efficient_card("s", 13, 6, 73.0, 90.6),
    _small_card("r3d_18", "R3D", "r3d_18-b3b3357e.pth", 33.37, 63.2, 83.479),
    _small_card("mc3_18", "MC3", "mc3_18-a90a0ba3.pth", 11.70, 63.96, 84.13),
    _small_card("r2plus1d_18", "R(2+1)D", "r2plus1d_18-91a641e6.pth", 31.51, 67.463, 86.175),
    _torchvision_card(
        "s3d", "S3D", Preprocess(128, 2, 256, 224, 256, *KINETICS_OWN, fixed=(256, 256)), "classifier.1.",
        "s3d-d76dad2f.pth", 8.32, 68.368, 88.05, "1x1",
        "Its published figure counts single clips of 128 frames at 15 frames per second. Every video is scaled to "
        "256 x 256 whatever its shape, as torchvision does.",
    ),
    _torchvision_card(
        "mvit_v1_b", "MViTv1", Preprocess(16, 4, 256, 224, 224), "head.1.", "mvit_v1_b-dbeb1030.pth", 36.61,
        78.477, 93.582, "5x1", "The position embedding admits 16 frames of 224 x 224 only.",
        (
            Published(
                (f"{HUB}/MVIT_B_16x4.pyth",), "MVIT_B_16x4.pyth", 78.85, 93.85, "5x1", "pytorchvideo model zoo",
                "Apache-2.0", protocol="pyslowfast-offset", tag="pytorchvideo",
            ),
        ),
    ),
    _torchvision_card(
        "mvit_v2_s", "MViTv2", Preprocess(16, 4, 256, 224, 224), "head.1.", "mvit_v2_s-ae3be167.pth", 34.54,
        80.757, 94.665, "5x1", "The position embedding admits 16 frames of 224 x 224 only.",
        (
            pyslowfast_file(
                f"{MVITV2}/MViTv2_S_16x4_k400_f302660347.pyth", 81.0, 94.6, "5x1", protocol="pyslowfast-offset"
            ),
            pyslowfast_file(
                f"{MVITV2}/MViTv2_S_16x4_k400_f302660347.pyth", 81.1, 94.7, "5x1", tag="mmaction2",
                protocol="mmaction2", source=MMACTION2_MVIT,
            ),
        ),
    ),
    _swin_card("t", "swin3d_t-7615ae03.pth", 28.16, 77.715, 93.519),
    _swin_card("s", "swin3d_s-da41c237.pth", 49.82, 79.521, 94.158),
    _swin_card(
        "b", "swin3d_b_1k-24f7c7c6.pth", 88.05, 79.427, 94.386,
        _torchvision_file(
            "swin3d_b_22k-7c6ae6fa.pth", 81.643, 95.574, "12x1", tag="torchvision-imagenet22k"
        ),
    ),
)  # fmt: skip
