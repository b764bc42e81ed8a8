"""What a PySlowFast configuration name says, part by part, as `SLOWFAST_8x8_R50`.

Source: the names under `configs/` of PySlowFast (commit 287ec00) and what the files of these names set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class ConfigName:
    """A configuration name, explained.

    Attributes:
        name: As PySlowFast writes it.
        parts: Each part of the name and what it means, in the name's order.
        model: The catalogue model of these settings; None where there is none.
        remark: What else to know of it; may be empty.
    """

    name: str
    parts: tuple[tuple[str, str], ...]
    model: str | None
    remark: str = ""


def explain(text: str) -> ConfigName | None:
    """The meaning of a configuration name, with or without `.yaml`, in any letter case; None where it is none."""
    name = text.removesuffix(".yaml")
    for pattern, reader in _FORMS:
        found = pattern.fullmatch(name)
        if found:
            return reader(found)
    return None


_RESNETS = {
    "C2D": "2D convolutions, frames joined by pooling alone",
    "I3D": "2D convolutions inflated over time",
    "SLOW": "the slow pathway alone: temporal kernels in the last two stages",
    "SLOWFAST": "two pathways: few frames with many channels, many frames with few",
}
_VARIANTS = {
    "NLN": "with non-local blocks",
    "NOPOOL": "without the temporal pooling after the first stage",
}
_ENDINGS = {
    "IN1K": "training starts from ImageNet-1K weights",
    "SHORT": "a short training schedule, for detection on AVA",
    "MULTIGRID": "trained with multigrid batches",
    "STEPWISE": "trained with a stepwise learning rate",
    "STEPWISE_MULTIGRID": "trained with a stepwise learning rate and multigrid batches",
}
# by the stride in the name: the fast pathway reads every second frame; 32x2 and 64x2 of AVA count the fast one
_ALPHA = {2: 4, 8: 4, 16: 8}
_SAME_NETWORK = ("MULTIGRID", "STEPWISE", "STEPWISE_MULTIGRID", "IN1K")
_RESNET_MODELS = {
    ("C2D", 8, 8, "R50"): "c2d_r50",
    ("C2D_NOPOOL", 8, 8, "R50"): "c2d_nopool_r50",
    ("I3D", 8, 8, "R50"): "i3d_r50",
    ("I3D_NLN", 8, 8, "R50"): "i3d_nln_r50",
    ("SLOW", 8, 8, "R50"): "slow_r50",
    ("SLOW", 4, 16, "R50"): "slow_r50_4x16",
    ("SLOWFAST", 8, 8, "R50"): "slowfast_r50",
    ("SLOWFAST", 4, 16, "R50"): "slowfast_r50_4x16",
    ("SLOWFAST", 8, 8, "R101"): "slowfast_r101",
    ("SLOWFAST", 8, 8, "R101_101_101"): "slowfast_r101",
    ("SLOWFAST", 16, 8, "R101_50_50"): "slowfast_16x8_r101_50_50",
    ("SLOWFAST", 32, 2, "R101_50_50"): "slowfast_32x2_r101_50_50_ava",
    ("SLOWFAST", 64, 2, "R101_50_50"): "slowfast_64x2_r101_50_50_ava",
}
# names of configurations of more than one set, and the catalogue models of each
_OTHER_SETS = {
    ("SLOW", 8, 8, "R50"): ("slow_r50_ssv2", "slow_r50_charades"),
    ("SLOWFAST", 8, 8, "R50"): ("slowfast_r50_ssv2", "slowfast_r50_charades"),
    ("SLOWFAST", 16, 8, "R50"): ("slowfast_16x8_r50_ssv2", "slowfast_16x8_r50_charades"),
}
# endings whose weights the catalogue holds
_ENDING_TAGS = {
    ("slowfast_r50", "STEPWISE"): "pyslowfast-stepwise",
    ("slowfast_r50", "STEPWISE_MULTIGRID"): "pyslowfast-multigrid",
}


def _resnet(found: re.Match[str]) -> ConfigName:
    arch, variant, depth = found["arch"].upper(), (found["variant"] or "").upper(), found["depth"]
    frames, stride, ending = int(found["frames"]), int(found["stride"]), (found["ending"] or "").upper()
    parts = [(arch, _RESNETS[arch])]
    if variant:
        parts.append((variant, _VARIANTS[variant]))
    counted = f"{frames}x{stride}"
    if arch != "SLOWFAST":
        parts.append((counted, f"{frames} frames x stride {stride}: spread over {frames * stride} frames at 30 fps"))
    elif alpha := _ALPHA.get(stride):
        named = "fast" if stride == 2 else "slow"
        slow = (frames // alpha, stride * alpha) if named == "fast" else (frames, stride)
        fast = (slow[0] * alpha, slow[1] // alpha)
        told = f"slow: {slow[0]} x {slow[1]}, fast: {fast[0]} x {fast[1]}, at 30 fps"
        parts.append((counted, f"the {named} pathway's frames x stride; {told}"))
        parts.append(("", f"alpha {alpha}: that many fast frames to one slow frame"))
    else:
        parts.append((counted, "the slow pathway's frames x stride, at 30 fps"))
    label = f"R{depth}"
    parts.append((label, f"ResNet of {depth} layers"))
    if found["slow"]:
        label += f"_{found['slow']}_{found['fast']}"
        for pathway in ("slow", "fast"):
            count = {"50": "6 of the 23", "101": "all 23"}[found[pathway]]
            parts.append((found[pathway], f"{pathway} pathway: temporal kernels in {count} blocks of stage res4"))
    if ending:
        parts.append((ending, _ENDINGS[ending]))
    key = (f"{arch}_{variant}" if variant else arch, frames, stride, label)
    model = _RESNET_MODELS.get(key)
    if ending and ending not in _SAME_NETWORK:
        model = None
    return ConfigName(found[0], tuple(parts), model, _resnet_remark(key, ending, model))


def _resnet_remark(key: tuple[str, int, int, str], ending: str, model: str | None) -> str:
    remarks = []
    if key[0] == "SLOWFAST" and key[2] == 2:
        remarks.append("PySlowFast uses this name for detection on AVA.")
    if model and (tag := _ENDING_TAGS.get((model, ending))):
        remarks.append(f"Its own weights are {model}@{tag}.")
    elif model and ending in _SAME_NETWORK:
        remarks.append("The same network and input; the catalogue's weights come from another training.")
    others = _OTHER_SETS.get(key, ()) if not ending or ending == "MULTIGRID" else ()
    if others:
        names = "{} on Something-Something and {} on Charades".format(*others)
        remarks.append(f"Configurations of this name for other sets: {names}.")
    return " ".join(remarks)


_X3D = {
    "XS": "extra small: 4 frames x stride 12, crop 160",
    "S": "small: 13 frames x stride 6, crop 160",
    "M": "medium: 16 frames x stride 5, crop 224",
    "L": "large: 16 frames x stride 5, crop 312, a deeper network",
}


def _x3d(found: re.Match[str]) -> ConfigName:
    size = found["size"].upper()
    parts = (("X3D", "a small network expanded along time, size, width and depth"), (size, _X3D[size]))
    return ConfigName(found[0], parts, f"x3d_{size.lower()}")


_MVIT_SIZES = {"T": "tiny", "S": "small", "B": "base", "L": "large"}
_SSV2 = "A configuration of this name for Something-Something is {}."
_MVIT_MODELS = {
    ("MVIT", "B", 16, 4): ("mvit_base_16x4", "mvit_v1_b is the same network with torchvision's names and weights."),
    ("MVIT", "B", 32, 3): ("mvit_v1_b24", "PySlowFast's has 24 blocks; mvit_base_32x3 has 16 and is another network."),
    ("MVITV2", "S", 16, 4): (
        "mvit_v2_s",
        "The first weights are torchvision's; its own are mvit_v2_s@pyslowfast. " + _SSV2.format("mvit_v2_s_ssv2"),
    ),
    ("MVITV2", "B", 32, 3): ("mvit_v2_b", _SSV2.format("mvit_v2_b_ssv2")),
    ("MVITV2", "L", 40, 3): ("mvit_v2_l", _SSV2.format("mvit_v2_l_ssv2")),
}


def _mvit(found: re.Match[str]) -> ConfigName:
    reversible, arch, size = bool(found["rev"]), found["arch"].upper(), found["size"].upper()
    frames, stride = int(found["frames"]), int(found["stride"])
    parts = [("REV", "reversible blocks, which need less memory in training")] if reversible else []
    version = 2 if arch == "MVITV2" else 1
    parts.append((arch.replace("V2", "v2"), f"multiscale vision transformer, version {version}"))
    parts.append((size, _MVIT_SIZES[size]))
    parts.append(
        (f"{frames}x{stride}", f"{frames} frames x stride {stride}: spread over {frames * stride} frames at 30 fps")
    )
    if found["conv"]:
        parts.append(("CONV", "queries, keys and values are pooled by convolutions"))
    if found["ending"]:
        parts.append(("TEST", "sets the test alone, no training"))
    model, remark = (None, "") if reversible else _MVIT_MODELS.get((arch, size, frames, stride), (None, ""))
    return ConfigName(found[0], tuple(parts), model, remark)


_FORMS = (
    (
        re.compile(
            r"(?P<arch>C2D|I3D|SLOWFAST|SLOW)(?:_(?P<variant>NLN|NOPOOL))?_(?P<frames>[1-9]\d{0,2})x(?P<stride>[1-9]\d?)"
            r"_R(?P<depth>50|101)(?:_(?P<slow>50|101)_(?P<fast>50|101))?"
            r"(?:_(?P<ending>IN1K|SHORT|STEPWISE_MULTIGRID|STEPWISE|MULTIGRID))?",
            re.IGNORECASE,
        ),
        _resnet,
    ),
    (re.compile(r"X3D_(?P<size>XS|S|M|L)", re.IGNORECASE), _x3d),
    (
        re.compile(
            r"(?P<rev>REV_)?(?P<arch>MVITv2|MVIT)_(?P<size>[TSBL])_(?P<frames>[1-9]\d?)x(?P<stride>[1-9]\d?)(?P<conv>_CONV)?"
            r"(?P<ending>_TEST)?",
            re.IGNORECASE,
        ),
        _mvit,
    ),
)
