"""Which network of the catalogue a configuration file of PySlowFast describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vidbench.model.config_names import explain
from vidbench.model.zoo import MODELS

_X3D = {(4, 12): "XS", (13, 6): "S", (16, 5): "M"}
_MVIT_SIZES = {10: "T", 16: "S", 24: "B", 48: "L"}


def catalogue_model(values: Mapping[str, Any]) -> str | None:
    """The catalogue's network for a configuration with all defaults, as `vidbench.model.config_names` tells it."""
    arch = str(values["MODEL.ARCH"]).lower()
    if arch in MODELS:
        return arch
    found = _NAMED.get(arch)
    name = found(values) if found else None
    explained = explain(name) if name else None
    model = explained.model if explained else None
    # the same network for clips of another set, where the catalogue has it
    special = f"{model}_{values['TRAIN.DATASET']}"
    return special if values["TRAIN.DATASET"] in ("ssv2", "charades") and special in MODELS else model


def _resnet(values: Mapping[str, Any]) -> str:
    arch = str(values["MODEL.ARCH"]).upper()
    nonlocal_ = any(block for stage in values["NONLOCAL.LOCATION"] for block in stage)
    middle = "_NLN" if nonlocal_ and "NLN" not in arch else ""
    return f"{arch}{middle}_{values['DATA.NUM_FRAMES']}x{values['DATA.SAMPLING_RATE']}_R{values['RESNET.DEPTH']}"


def _slowfast(values: Mapping[str, Any]) -> str:
    frames, stride, alpha = values["DATA.NUM_FRAMES"], values["DATA.SAMPLING_RATE"], values["SLOWFAST.ALPHA"]
    ending = f"R{values['RESNET.DEPTH']}"
    if values["RESNET.DEPTH"] == 101:
        counts = values["RESNET.NUM_BLOCK_TEMP_KERNEL"][2]
        ending += "".join(f"_{'50' if count == 6 else '101'}" for count in counts)
        if values["DETECTION.ENABLE"]:
            # the networks for boxes are called by what their fast pathway reads
            return f"SLOWFAST_{frames}x{stride}_{ending}"
    return f"SLOWFAST_{frames // alpha}x{stride * alpha}_{ending}"


def _x3d(values: Mapping[str, Any]) -> str | None:
    size = _X3D.get((values["DATA.NUM_FRAMES"], values["DATA.SAMPLING_RATE"]))
    if size == "M" and values["DATA.TRAIN_CROP_SIZE"] > 256:
        size = "L"
    return f"X3D_{size}" if size else None


def _mvit(values: Mapping[str, Any]) -> str | None:
    counted = f"{values['DATA.NUM_FRAMES']}x{values['DATA.SAMPLING_RATE']}"
    if values["MVIT.REV.ENABLE"]:
        return None
    if values["MVIT.USE_ABS_POS"]:
        return f"MVIT_B_{counted}{'_CONV' if values['MVIT.DEPTH'] == 24 else ''}"
    size = _MVIT_SIZES.get(values["MVIT.DEPTH"])
    return f"MVITv2_{size}_{counted}" if size else None


_NAMED: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "slow": _resnet, "c2d": _resnet, "i3d": _resnet, "c2d_nopool": _resnet, "slowfast": _slowfast, "x3d": _x3d,
    "mvit": _mvit,
}  # fmt: skip
