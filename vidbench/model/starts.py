"""The published self-supervised (and supervised) starts of R(2+1)D-18, as data.

They are what the SEVERE comparison (Thoker, Doughty, Bagad, Snoek 2022, arXiv:2203.14221) starts fine-tuning from.
Its repository, `fmthoker/SEVERE-BENCHMARK` at commits 2f99365 and bbff9ad, is the source of names, files, maps and
inputs. Momentum of batch normalisation is the network's own in all of them.

Rules and patterns are regular expressions on whole names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vidbench.errors import UnknownNameError
from vidbench.model.card import KINETICS_MEAN, KINETICS_STD, Preprocess
from vidbench.model.variant import UNCHANGED, Variant

NETWORK = "r2plus1d_18"
HEAD = "fc."
SCRATCH = "scratch"

Task = Literal["recognition", "ava", "charades"]
Colours = Literal["rgb", "bgr"]
Rules = tuple[tuple[str, str], ...]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NO_HEAD = Variant(head=False)
_NO_MEAN, _NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class StartInput:
    """What the comparison feeds a start with: clips, normalised, and the order of their colours."""

    preprocess: Preprocess
    colours: Colours = "rgb"


@dataclass(frozen=True)
class Start:
    """One published start.

    Attributes:
        name: What the user types.
        title: The method.
        paper: Its arXiv number.
        file: The published file, as the comparison names it.
        container: The key of the file that holds the tensors; empty where they lie flat.
        rules: The names of the trunk's tensors beside the network's; a rule never fits a leftover.
        left: Names of other tensors that the file is expected to hold: heads, the audio network, queues.
        recognition: Its input for classifying clips.
        detection: Normalisation of its input on AVA and Charades: mean and std.
        variant: What its network has other than torchvision's.
        note: What else a user should know.
    """

    name: str
    title: str
    paper: str
    file: str
    container: str
    rules: Rules
    left: tuple[str, ...]
    recognition: StartInput
    detection: tuple[tuple[float, float, float], tuple[float, float, float]] = (KINETICS_MEAN, KINETICS_STD)
    variant: Variant = _NO_HEAD
    note: str = ""

    def input(self, task: Task) -> StartInput:
        """What the comparison feeds it with for a task.

        AVA has 32 frames of every second at 30 frames per second, Charades 32 of every eighth at 24, both with a short
        side of 112 pixels in tests; recognition has 32 frames at 16 per second, from a short side of 128. All crops
        are 112 x 112.
        """
        if task == "recognition":
            return self.recognition
        mean, std = self.detection
        stride, fps = (2, 30) if task == "ava" else (8, 24)
        return StartInput(Preprocess(32, stride, 112, 112, 112, mean, std, target_fps=fps))

    def target(self, name: str) -> str | None:
        """The network's name of a tensor of the file; None where no rule knows it."""
        for source, ours in self.rules:
            match = re.fullmatch(source, name)
            if match is not None:
                return match.expand(ours)
        return None

    def is_left(self, name: str) -> bool:
        """Whether a tensor of that name is expected in the file and not wanted."""
        return any(re.fullmatch(pattern, name) for pattern in self.left)


def find_start(name: str) -> Start:
    """The start of that name, however it is written: "Video-MoCo" is "video_moco".

    Raises:
        UnknownNameError: No start is called so.
    """
    plain = name.strip().lower().replace("-", "_")
    for start in STARTS:
        if start.name == plain:
            return start
    raise UnknownNameError("start", name, names(), f"The starts are {', '.join(names())}.")


def names() -> tuple[str, ...]:
    """The names of all starts that are files, in the comparison's order."""
    return tuple(start.name for start in STARTS)


def recognise(held: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """Which starts a file with these names could be; several where their files are named alike.

    A file is a start's where its rules give the whole trunk. Of those, the ones that expect all that is left over are
    taken where there are any. Counters of batches do not count: early files have none.

    Args:
        held: The names in the file.
        wanted: The names of the tensors of torchvision's network.
    """
    found, exact = [], []
    listed = list(held)
    trunk = {name for name in wanted if not name.startswith(HEAD) and not _is_counter(name)}
    for start in STARTS:
        given = {name: start.target(name) for name in listed}
        mapped = {name for name in given.values() if name is not None and not _is_counter(name)}
        if {name for name in mapped if not name.startswith(HEAD)} != changed_names(trunk, start.variant):
            continue
        found.append(start.name)
        if all(ours is not None or start.is_left(name) for name, ours in given.items()):
            exact.append(start.name)
    return tuple(exact or found)


def changed_names(trunk: Iterable[str], variant: Variant) -> set[str]:
    """The names of the network's tensors after a variant's exchange of layers."""
    if variant.layers != "tclr":
        return set(trunk)
    kept = {name for name in trunk if not name.startswith("layer4.0.conv1.0.")}
    return kept | {"layer4.0.conv1.0.weight"}


def _is_counter(name: str) -> bool:
    return name.endswith(".num_batches_tracked")


# --- the table ---------------------------------------------------------------------------------------------


def _behind(front: str) -> Rules:
    """The names of torchvision behind a front."""
    return ((re.escape(front) + r"((?:stem|layer[1-4])\..+)", r"\1"),)


def _base_network(front: str) -> Rules:
    """Stages by number: the stem is number 0."""
    start = re.escape(front)
    return ((start + r"0\.(.+)", r"stem.\1"), (start + r"([1-4]\..+)", r"layer\1"))


def _pyvrl() -> Rules:
    parts = (("conv_s", "0"), ("bn_s", "1"), ("conv_t", "3"), ("bn_t", "4"))
    rules = [(rf"backbone\.stem\.{part}\.(\w+)", rf"stem.{index}.\1") for part, index in parts]
    block = r"backbone\.(layer[1-4]\.\d+)\."
    # the second normalisation of a block's convolution stands outside of its (2+1)D part
    rules += [(rf"{block}conv([12])\.{part}\.(\w+)", rf"\1.conv\2.0.{index}.\3") for part, index in parts[:3]]
    rules += [(rf"{block}bn([12])\.(\w+)", r"\1.conv\2.1.\3")]
    rules += [(rf"{block}downsample\.conv\.(\w+)", r"\1.downsample.0.\2")]
    rules += [(rf"{block}downsample_bn\.(\w+)", r"\1.downsample.1.\2")]
    return tuple(rules)


_RECOGNITION = Preprocess(32, 1, 128, 112, 128, IMAGENET_MEAN, IMAGENET_STD, target_fps=16)
_SHARED = StartInput(_RECOGNITION)
_MOCO_LEFT = (r"module\.encoder_k\..+", r"module\.encoder_q\.fc\..+", r"module\.queue(_ptr)?")
_PYVRL_VARIANT = Variant(bn_eps=1e-3, head=False)

STARTS: tuple[Start, ...] = (
    Start(
        name="supervised",
        title="supervised on Kinetics-400",
        paper="1711.11248",
        file="r2plus1d_18-91a641e6.pth",
        container="",
        rules=((r"((?:stem|layer[1-4]|fc)\..+)", r"\1"),),
        left=(),
        recognition=_SHARED,
        variant=UNCHANGED,
        note="torchvision's own file; the comparison normalises its input otherwise than torchvision does",
    ),
    Start(
        name="selavi",
        title="SeLaVi",
        paper="2006.13662",
        file="selavi_kinetics.pth",
        container="model",
        rules=_behind("module.video_network.base."),
        left=(r"module\.audio_network\..+", r"module\.mlp_[av]\d*\..+"),
        recognition=_SHARED,
    ),
    Start(
        name="moco",
        title="MoCo on videos",
        paper="1911.05722",
        file="checkpoint_0199.pth.tar",
        container="state_dict",
        rules=_behind("module.encoder_q."),
        left=_MOCO_LEFT,
        recognition=_SHARED,
    ),
    Start(
        name="video_moco",
        title="VideoMoCo",
        paper="2103.05905",
        file="r2plus1D_checkpoint_0199.pth.tar",
        container="state_dict",
        rules=_behind("module.encoder_q."),
        left=_MOCO_LEFT,
        recognition=_SHARED,
    ),
    Start(
        name="pretext_contrast",
        title="Pretext-Contrast",
        paper="2010.15464",
        file="pcl_r2p1d_res_ssl.pt",
        container="",
        rules=_base_network("module.base_network."),
        left=(r"module\.projector\..+", r"module\.fc_\w+\..+"),
        recognition=_SHARED,
    ),
    Start(
        name="rspnet",
        title="RSPNet",
        paper="2011.07949",
        file="snellius_checkpoint_epoch_200.pth.tar",
        container="model",
        rules=_base_network("encoder_q.encoder.base_network."),
        left=(
            r"encoder_k\..+",
            r"encoder_q\.(?:fc\d*|linear\w*|head\w*|new_fc\w*|encoder_fuse\w*)\..+",
            r"queue\w*",
        ),
        recognition=_SHARED,
        note="trained again for the comparison: the method's own files are of other networks",
    ),
    Start(
        name="avid_cma",
        title="AVID-CMA",
        paper="2004.12943",
        file="avid_cma_ckpt-ep20.pth.tar",
        container="model",
        rules=_behind("module.video_model."),
        left=(r"module\.audio_model\..+", r"module\.(?:audio|video)_proj\..+"),
        recognition=_SHARED,
        note="trained again for the comparison: the method's own files have another stem",
    ),
    Start(
        name="ctp",
        title="CtP",
        paper="2105.02545",
        file="snellius_r2p1d18_ctp_k400_epoch_90.pth",
        container="state_dict",
        rules=_pyvrl(),
        left=(r"head\..+",),
        recognition=_SHARED,
        variant=_PYVRL_VARIANT,
        note="trained again for the comparison, with a block's middle channels counted once: the method's own R(2+1)D "
        "has 288 where this has 230 and does not fit",
    ),
    Start(
        name="tclr",
        title="TCLR",
        paper="2101.07974",
        file="rpd18kin400.pth",
        container="state_dict",
        rules=_behind("module.0."),
        left=(r"module\.0\.fc\..+", r"module\.1\..+"),
        recognition=StartInput(
            Preprocess(32, 1, 128, 112, 128, _NO_MEAN, _NO_STD, target_fps=16),
            "bgr",
        ),
        detection=(_NO_MEAN, _NO_STD),
        variant=Variant(layers="tclr", head=False),
        note="its input is not normalised, and its last stage has twice the time steps; the comparison feeds it blue "
        "first for recognition, red first for AVA and Charades",
    ),
    Start(
        name="gdt",
        title="GDT",
        paper="2003.04298",
        file="gdt_K400.pth",
        container="model",
        rules=_behind("video_network.base."),
        left=(r"audio_network\..+", r"mlp_[av]\..+"),
        recognition=_SHARED,
    ),
    Start(
        name="tubelet_contrast",
        title="Tubelet-Contrast",
        paper="2303.11003",
        file="epoch_100.pth",
        container="state_dict",
        rules=_pyvrl(),
        left=(r"head\..+",),
        recognition=_SHARED,
        variant=_PYVRL_VARIANT,
    ),
)
