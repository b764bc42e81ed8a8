"""Names of tensors from one program's layout to another's, and the few tensors that change on the way.

Four programs name the tensors of the same networks: PySlowFast ("pyslowfast"), pytorchvideo and its published files
("pytorchvideo"), Caffe2 before PySlowFast ("caffe2") and torchvision ("torchvision"). PySlowFast's names are the hub
here: every other layout has a map to and from them. vidbench's networks have pytorchvideo's names, or torchvision's
for its MViT.

timm's image networks ("timm") are apart: its names get a front in the frame-wise networks, and nothing else changes.

Names that no rule knows pass unchanged, so that strict loading names them.

Sources: `slowfast/models/{stem,resnet,head,video_model_builder,attention}*.py` and `slowfast/utils/c2_model_loading.py`
at commit 287ec00; pytorchvideo 0.1.5 and commit f3142bb, `models/`; torchvision 0.29, `models/video/mvit.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from vidbench.errors import InputError
from vidbench.model.cards.framewise import FRAMEWISE
from vidbench.model.framewise import COMPUTED, from_timm, to_timm

Dialect = Literal["pyslowfast", "pytorchvideo", "caffe2", "torchvision", "timm"]
Family = Literal["x3d", "resnet", "pooled resnet", "slowfast", "mvit"]

DIALECTS: tuple[Dialect, ...] = ("pyslowfast", "pytorchvideo", "caffe2", "torchvision", "timm")
FRAMEWISE_NAMES = frozenset(card.name for card in FRAMEWISE)

# of every normalisation in X3D: PySlowFast's BN.EPSILON and pytorchvideo's norm_eps
X3D_EPSILON = 1e-5
# what Caffe2 files hold beside the weights, by a part of the name
_CAFFE2_NO_WEIGHT = ("momentum", "lr", "model_iter")
_BN = (("weight", "s"), ("bias", "b"), ("running_mean", "rm"), ("running_var", "riv"))
_EXTRA_NORM = "s2.pathway0_res0.branch1_bn."
_FIELDS = {
    "x": r"[A-Za-z_]+",
    "i": r"\d+",
    "j": r"\d+",
    "n": r"\d+",
    "p": r"[01]",
    "a": r"[a-z]",
    "y": r"[A-Za-z_]+",
    "q": r"[qkv]",
    "w": r"[hwt]",
}
_STAGES = (2, 3, 4, 5)

# (PySlowFast's name, the other's); equal fields in braces stand for equal text
Rules = tuple[tuple[str, str], ...]


# --- which map ---------------------------------------------------------------------------------------------


def family(architecture: str) -> Family | None:
    """The kind of network that a catalogue name stands for; None where no other program's names are known."""
    for front, found in _FAMILIES:
        if architecture.startswith(front):
            return found
    return None


_FAMILIES: tuple[tuple[str, Family], ...] = (
    ("x3d_", "x3d"),
    ("slowfast_", "slowfast"),
    ("slow_", "resnet"),
    ("c2d_nopool_", "resnet"),
    ("c2d_", "pooled resnet"),
    ("i3d_", "pooled resnet"),
    ("mvit_", "mvit"),
)


def takes_boxes(architecture: str) -> bool:
    """Whether a catalogue name stands for a network that classifies boxes, whose trunk has `model.` before its names.

    The hub's are called `..._detection`, those of PySlowFast's AVA configurations `..._ava`.
    """
    return architecture.endswith(("_detection", "_ava"))


def own_dialect(architecture: str) -> Dialect | None:
    """Whose names vidbench's network of that catalogue name has; None where no map is known."""
    kind = family(architecture)
    if kind is None:
        return None
    return "torchvision" if kind == "mvit" and architecture.startswith("mvit_v") else "pytorchvideo"


def dialect_of(names: Iterable[str]) -> Dialect | None:
    """Whose names these seem to be; None for none of the four.

    Told by names that only one of the programs gives: its stem, or its first projection.
    """
    held = set(names)
    if "conv1_w" in held or any(re.match(r"(t_)?res\d_\d+_branch\d", name) for name in held):
        return "caffe2"
    if any(re.match(r"s\d(_fuse\.|\.pathway\d_)", name) for name in held) or "patch_embed.proj.weight" in held:
        return "pyslowfast"
    if "conv_proj.weight" in held:
        return "torchvision"
    if any(re.match(r"(model\.)?blocks\.\d+\.", name) for name in held):
        return "pytorchvideo"
    return None


# --- rules of names ----------------------------------------------------------------------------------------


@cache
def rules(kind: Family, dialect: Dialect, detection: bool = False) -> Rules:
    """PySlowFast's names beside another program's, for one kind of network.

    Args:
        kind: Of network.
        dialect: The other program; "caffe2" knows none of X3D and MViT, "torchvision" MViT alone.
        detection: pytorchvideo's networks with regions put `model.` before their trunk.
    """
    if dialect == "caffe2":
        return _caffe2_rules() if kind in ("resnet", "pooled resnet", "slowfast") else ()
    if kind == "mvit":
        return {"pytorchvideo": _MVIT_PYTORCHVIDEO, "torchvision": _MVIT_TORCHVISION}.get(dialect, ())
    return _pytorchvideo_rules(kind, detection) if dialect == "pytorchvideo" else ()


def _pytorchvideo_rules(kind: Family, detection: bool) -> Rules:
    trunk = "model." if detection else ""
    multi = kind == "slowfast"
    path, inner = ("{p}", "multipathway_blocks.{p}.") if multi else ("0", "")
    found: list[tuple[str, str]] = []
    if kind == "x3d":
        # pytorchvideo gives the two convolutions of the stem each other's names
        found += [("s1.pathway0_stem.conv_xy.{x}", "blocks.0.conv.conv_t.{x}")]
        found += [("s1.pathway0_stem.conv.{x}", "blocks.0.conv.conv_xy.{x}")]
    else:
        found += [(f"s1.pathway{path}_stem.conv.{{x}}", f"{trunk}blocks.0.{inner}conv.{{x}}")]
    found += [(f"s1.pathway{path}_stem.bn.{{x}}", f"{trunk}blocks.0.{inner}norm.{{x}}")]
    for stage in _STAGES:
        # a pooling block stands between the first two stages of C2D and I3D
        block = stage if kind == "pooled resnet" and stage > 2 else stage - 1
        ours, theirs = f"s{stage}.pathway{path}_res{{i}}", f"{trunk}blocks.{block}.{inner}res_blocks.{{i}}"
        found += [
            (f"{ours}.branch1.{{x}}", f"{theirs}.branch1_conv.{{x}}"),
            (f"{ours}.branch1_bn.{{x}}", f"{theirs}.branch1_norm.{{x}}"),
        ]
        for letter in "abc":
            norm = "norm_b.0" if kind == "x3d" and letter == "b" else f"norm_{letter}"
            found += [
                (f"{ours}.branch2.{letter}.{{x}}", f"{theirs}.branch2.conv_{letter}.{{x}}"),
                (f"{ours}.branch2.{letter}_bn.{{x}}", f"{theirs}.branch2.{norm}.{{x}}"),
            ]
        if kind == "x3d":
            found += [
                (f"{ours}.branch2.se.fc1.{{x}}", f"{theirs}.branch2.norm_b.1.block.0.{{x}}"),
                (f"{ours}.branch2.se.fc2.{{x}}", f"{theirs}.branch2.norm_b.1.block.2.{{x}}"),
            ]
        # pytorchvideo has the block but no network with it: where it stands, and its names there, are ours
        theirs = f"{trunk}blocks.{block}.{inner}nonlocal_blocks.{{i}}"
        found += [
            (f"s{stage}.pathway{path}_nonlocal{{i}}.conv_{{x}}.{{y}}", f"{theirs}.conv_{{x}}.{{y}}"),
            (f"s{stage}.pathway{path}_nonlocal{{i}}.bn.{{x}}", f"{theirs}.norm.{{x}}"),
        ]
    if multi:
        fusion = trunk + "blocks.{at}.multipathway_fusion."
        for stage in (1, *_STAGES[:-1]):
            at = fusion.format(at=stage - 1)
            found += [(f"s{stage}_fuse.conv_f2s.{{x}}", f"{at}conv_fast_to_slow.{{x}}")]
            found += [(f"s{stage}_fuse.bn.{{x}}", f"{at}norm.{{x}}")]
    if kind == "x3d":
        for ours, theirs in (("conv_5", "pre_conv"), ("conv_5_bn", "pre_norm"), ("lin_5", "post_conv")):
            found += [(f"head.{ours}.{{x}}", f"blocks.5.pool.{theirs}.{{x}}")]
    head = "blocks.5.proj" if kind in ("x3d", "resnet") else "blocks.6.proj"
    found += [("head.projection.{x}", ("detection_head.proj" if detection else head) + ".{x}")]
    return tuple(found)


def _caffe2_rules() -> Rules:
    found = [
        ("head.projection.weight", "pred_w"),
        ("head.projection.bias", "pred_b"),
        ("s1_fuse.conv_f2s.weight", "t_pool1_subsample_w"),
        # {j} is the stage's last block, which PySlowFast's name does not tell
        ("s{n}_fuse.conv_f2s.weight", "t_res{n}_{j}_branch2c_bn_subsample_w"),
        ("s{n}.pathway0_nonlocal{i}.conv_{x}.weight", "nonlocal_conv{n}_{i}_{x}_w"),
        ("s{n}.pathway0_nonlocal{i}.conv_{x}.bias", "nonlocal_conv{n}_{i}_{x}_b"),
    ]
    for path, front in (("0", ""), ("1", "t_")):
        found += [
            (f"s1.pathway{path}_stem.conv.weight", f"{front}conv1_w"),
            (f"s{{n}}.pathway{path}_res{{i}}.branch1.weight", f"{front}res{{n}}_{{i}}_branch1_w"),
            (f"s{{n}}.pathway{path}_res{{i}}.branch2.{{a}}.weight", f"{front}res{{n}}_{{i}}_branch2{{a}}_w"),
        ]
    for leaf, suffix in _BN:
        found += [
            (f"s1_fuse.bn.{leaf}", f"t_pool1_subsample_bn_{suffix}"),
            (f"s{{n}}_fuse.bn.{leaf}", f"t_res{{n}}_{{j}}_branch2c_bn_subsample_bn_{suffix}"),
            (f"s{{n}}.pathway0_nonlocal{{i}}.bn.{leaf}", f"nonlocal_conv{{n}}_{{i}}_bn_{suffix}"),
        ]
        for path, front in (("0", ""), ("1", "t_")):
            block, blob = f"s{{n}}.pathway{path}_res{{i}}", f"{front}res{{n}}_{{i}}"
            found += [
                (f"s1.pathway{path}_stem.bn.{leaf}", f"{front}res_conv1_bn_{suffix}"),
                (f"{block}.branch1_bn.{leaf}", f"{blob}_branch1_bn_{suffix}"),
                (f"{block}.branch2.{{a}}_bn.{leaf}", f"{blob}_branch2{{a}}_bn_{suffix}"),
            ]
    # a name of the non-local kind would fit both its convolution and its normalisation: the latter go first
    return tuple(sorted(found, key=lambda pair: "conv_{x}" in pair[0]))


_MVIT_SHARED: Rules = (
    ("blocks.{i}.norm1.{x}", "blocks.{i}.norm1.{x}"),
    ("blocks.{i}.norm2.{x}", "blocks.{i}.norm2.{x}"),
    ("blocks.{i}.attn.rel_pos_{w}", "blocks.{i}.attn.rel_pos_{w}"),
)
_MVIT_PYTORCHVIDEO: Rules = (
    *_MVIT_SHARED,
    ("cls_token", "cls_positional_encoding.cls_token"),
    ("pos_embed_{x}", "cls_positional_encoding.pos_embed_{x}"),
    ("patch_embed.proj.{x}", "patch_embed.patch_model.{x}"),
    # the joint tensor is split into three, whose names get the letter
    ("blocks.{i}.attn.qkv.{x}", "blocks.{i}.attn.qkv.{x}"),
    ("blocks.{i}.attn.proj.{x}", "blocks.{i}.attn.proj.{x}"),
    ("blocks.{i}.attn.pool_{q}.{x}", "blocks.{i}.attn.pool_{q}.{x}"),
    ("blocks.{i}.attn.norm_{q}.{x}", "blocks.{i}.attn.norm_{q}.{x}"),
    ("blocks.{i}.mlp.fc1.{x}", "blocks.{i}.mlp.fc1.{x}"),
    ("blocks.{i}.mlp.fc2.{x}", "blocks.{i}.mlp.fc2.{x}"),
    ("blocks.{i}.proj.{x}", "blocks.{i}.proj.{x}"),
    ("norm.{x}", "norm_embed.{x}"),
    ("head.projection.{x}", "head.proj.{x}"),
)
_MVIT_TORCHVISION: Rules = (
    *_MVIT_SHARED,
    ("cls_token", "pos_encoding.class_token"),
    ("pos_embed_spatial", "pos_encoding.spatial_pos"),
    ("pos_embed_temporal", "pos_encoding.temporal_pos"),
    ("pos_embed_class", "pos_encoding.class_pos"),
    ("patch_embed.proj.{x}", "conv_proj.{x}"),
    ("blocks.{i}.attn.qkv.{x}", "blocks.{i}.attn.qkv.{x}"),
    ("blocks.{i}.attn.proj.{x}", "blocks.{i}.attn.project.0.{x}"),
    ("blocks.{i}.attn.pool_{q}.{x}", "blocks.{i}.attn.pool_{q}.pool.{x}"),
    ("blocks.{i}.attn.norm_{q}.{x}", "blocks.{i}.attn.pool_{q}.norm_act.0.{x}"),
    ("blocks.{i}.mlp.fc1.{x}", "blocks.{i}.mlp.0.{x}"),
    ("blocks.{i}.mlp.fc2.{x}", "blocks.{i}.mlp.3.{x}"),
    ("blocks.{i}.proj.{x}", "blocks.{i}.project.{x}"),
    ("norm.{x}", "norm.{x}"),
    ("head.projection.{x}", "head.1.{x}"),
)
# torchvision's tensors without the leading dimensions of size one, and how many PySlowFast has
_MVIT_TOKENS = {"cls_token": 2, "pos_embed_spatial": 1, "pos_embed_temporal": 1, "pos_embed_class": 2}


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w)\}", template)
    return re.compile(
        "".join(f"(?P<{part}>{_FIELDS[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    )


def _renamed(name: str, pairs: Iterable[tuple[str, str]], given: Mapping[str, str]) -> str | None:
    for source, target in pairs:
        match = _pattern(source).fullmatch(name)
        if match is not None:
            return target.format_map({**given, **match.groupdict()})
    return None


def to_pyslowfast_names(
    names: Sequence[str], kind: Family, dialect: Dialect, detection: bool = False
) -> dict[str, str]:
    """From another program's names to PySlowFast's; names that no rule knows are left out."""
    pairs = [(theirs, ours) for ours, theirs in rules(kind, dialect, detection)]
    found = {name: _renamed(name, pairs, {}) for name in names}
    return {name: new for name, new in found.items() if new is not None}


def from_pyslowfast_names(
    names: Sequence[str], kind: Family, dialect: Dialect, detection: bool = False
) -> dict[str, str]:
    """From PySlowFast's names to another program's; names that no rule knows are left out."""
    last: dict[str, int] = {}
    for name in names:
        match = re.match(r"s(\d)\.pathway1_res(\d+)\.", name)
        if match:
            last[match[1]] = max(last.get(match[1], 0), int(match[2]))
    pairs = rules(kind, dialect, detection)
    found = {}
    for name in names:
        stage = name[1:2]
        new = _renamed(name, pairs, {"j": str(last.get(stage, 0))})
        if new is not None:
            found[name] = new
    return found


# --- whole states ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mapped:
    """A state under vidbench's names, and what was done to it.

    Attributes:
        tensors: By vidbench's names.
        dialect: Whose names the source had; None where they passed unchanged.
        taken: Tensors of the source that are in the result, in whatever form.
        ignored: Tensors of the source that are no weights: Caffe2's training state, and pytorchvideo's second
            names of one tensor.
        remarks: What else than names changed, a sentence each.
    """

    tensors: dict[str, Tensor]
    dialect: Dialect | None
    taken: int
    ignored: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=())


def to_vidbench(state: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """A state of any of the four programs under the names of vidbench's network.

    Args:
        state: Tensors by name.
        architecture: A catalogue name.

    Raises:
        InputError: Two tensors come to one name, or one cannot be put into the other form.
    """
    return map_state(state, architecture).tensors


def map_state(state: Mapping[str, Tensor], architecture: str) -> Mapped:
    """As `to_vidbench`, with a record of what was done."""
    if architecture in FRAMEWISE_NAMES:
        # before the names are looked at: those of timm's ViT and Swin look like PySlowFast's
        tensors = from_timm(state)
        computed = tuple(name for name in state if name.endswith(COMPUTED))
        return Mapped(tensors, "timm", len(tensors), computed)
    kind, own = family(architecture), own_dialect(architecture)
    source = dialect_of(state)
    detection = takes_boxes(architecture)
    if kind is None or own is None or source is None:
        return Mapped(dict(state), None, len(state))
    ignored: list[str] = []
    remarks: list[str] = []
    if source == own:
        tensors = dict(state)
        if kind == "mvit" and own == "pytorchvideo":
            tensors, ignored = _without_second_names(tensors)
        return Mapped(tensors, source, len(tensors), tuple(ignored))
    if source == "caffe2":
        ignored = [name for name in state if any(part in name for part in _CAFFE2_NO_WEIGHT)]
        state = {name: value for name, value in state.items() if name not in set(ignored)}
    elif source == "pytorchvideo" and kind == "mvit":
        state, ignored = _without_second_names(state)
    taken = len(state)
    hub = _to_hub(state, kind, source, detection, remarks)
    tensors = _from_hub(hub, kind, own, detection, remarks)
    return Mapped(tensors, source, taken, tuple(ignored), tuple(remarks))


def from_vidbench(state: Mapping[str, Tensor], architecture: str, dialect: Dialect) -> dict[str, Tensor]:
    """The state of vidbench's network under the names that another program gives it.

    Args:
        state: Of the whole network.
        architecture: Its catalogue name.
        dialect: The program.

    Raises:
        InputError: That program has no such network, or a tensor has no name there.
    """
    if architecture in FRAMEWISE_NAMES and dialect == "timm":
        return to_timm(state)
    kind, own = family(architecture), own_dialect(architecture)
    if own == dialect:
        return dict(state)
    if kind is None or own is None or (dialect != "pyslowfast" and not rules(kind, dialect)):
        raise InputError(f"no map from {architecture} to the names of {dialect} is known")
    detection = takes_boxes(architecture)
    hub = _to_hub(state, kind, own, detection, [])
    if kind == "x3d":
        hub = _with_identity_norm(hub)
    found = _from_hub(hub, kind, dialect, detection, [])
    if dialect != "pyslowfast":
        left = sorted(set(hub) - set(from_pyslowfast_names(list(hub), kind, dialect, detection)))
        left = [name for name in left if dialect != "caffe2" or not name.endswith("num_batches_tracked")]
        if left:
            raise InputError(f"{dialect} has no names for {', '.join(left[:20])}")
    return found


def _to_hub(
    state: Mapping[str, Tensor], kind: Family, source: Dialect, detection: bool, remarks: list[str]
) -> dict[str, Tensor]:
    """Under PySlowFast's names, whole and as PySlowFast saves them."""
    if source == "pyslowfast":
        folded = fold_sub_batchnorm(state)
        if len(folded) != len(state):
            remarks.append("the statistics of Sub-BN were aggregated")
        return folded
    if source == "pytorchvideo" and kind == "mvit":
        state = _joined_qkv(state)
    names = to_pyslowfast_names(list(state), kind, source, detection)
    hub = _apply(state, names)
    if source == "torchvision":
        for name, extra in _MVIT_TOKENS.items():
            if name in hub:
                hub[name] = hub[name].reshape((1,) * extra + tuple(hub[name].shape))
    if source == "caffe2":
        weight = hub.get("head.projection.weight")
        if weight is not None and weight.ndim > 2 and all(size == 1 for size in weight.shape[2:]):
            hub["head.projection.weight"] = weight.flatten(1)
        for name in [name for name in hub if name.endswith(".running_mean")]:
            # Caffe2 counted no batches
            hub.setdefault(name.removesuffix("running_mean") + "num_batches_tracked", torch.tensor(0))
    return hub


def _from_hub(
    hub: Mapping[str, Tensor], kind: Family, target: Dialect, detection: bool, remarks: list[str]
) -> dict[str, Tensor]:
    if target == "pyslowfast":
        return dict(hub)
    state = dict(hub)
    if kind == "x3d" and target == "pytorchvideo" and _has_extra_norm(state):
        state = _folded_extra_norm(state)
        remarks.append("the normalisation of the first shortcut was folded into its convolution and the next bias")
    if target == "torchvision":
        for name, extra in _MVIT_TOKENS.items():
            if name in state and state[name].shape[:extra] == (1,) * extra:
                state[name] = state[name].reshape(tuple(state[name].shape)[extra:])
    if target == "caffe2":
        state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    found = _apply(state, from_pyslowfast_names(list(state), kind, target, detection))
    return _split_qkv(found) if target == "pytorchvideo" and kind == "mvit" else found


def _apply(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    came: dict[str, str] = {}
    for name, value in state.items():
        new = names.get(name, name)
        if new in found:
            raise InputError(f"two tensors come to the name {new}: {came[new]} and {name}")
        found[new], came[new] = value, name
    return found


# --- tensors that change -----------------------------------------------------------------------------------


def _has_extra_norm(hub: Mapping[str, Tensor]) -> bool:
    """Whether X3D's first shortcut has a normalisation that pytorchvideo leaves out: where channels stay the same."""
    conv = hub.get("s2.pathway0_res0.branch1.weight")
    kept = conv is None or conv.ndim < 2 or conv.shape[0] == conv.shape[1]
    return kept and any(name.startswith(_EXTRA_NORM) for name in hub)


def _folded_extra_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """X3D without the normalisation that PySlowFast has on its first shortcut and pytorchvideo has not.

    Its scale goes into the convolution before it. Its shift goes into the bias of the other branch's last
    normalisation, since the two branches are added next: exact in evaluation, up to rounding.
    """
    base = "s2.pathway0_res0."
    conv, bias = f"{base}branch1.weight", f"{base}branch2.c_bn.bias"
    needed = [conv, bias, *(_EXTRA_NORM + leaf for leaf, _ in _BN)]
    absent = [name for name in needed if name not in state]
    if absent:
        raise InputError(f"the normalisation of X3D's first shortcut cannot be folded without {', '.join(absent)}")
    weight, beta, mean, variance = (state[_EXTRA_NORM + leaf].double() for leaf, _ in _BN)
    if state[conv].ndim != 5 or not (len(state[conv]) == len(weight) == len(mean) == len(state[bias])):
        raise InputError(f"the normalisation of X3D's first shortcut does not fit {conv}")
    scale = weight / torch.sqrt(variance + X3D_EPSILON)
    found = {name: value for name, value in state.items() if not name.startswith(_EXTRA_NORM)}
    found[conv] = (state[conv].double() * scale.view(-1, 1, 1, 1, 1)).to(state[conv].dtype)
    found[bias] = (state[bias].double() + beta - mean * scale).to(state[bias].dtype)
    return found


def _with_identity_norm(hub: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """X3D with a normalisation on the first shortcut that changes nothing, as PySlowFast's has one.

    Folding it again gives the same bits: the variance plus epsilon is one to within half a rounding step.
    """
    found: dict[str, Tensor] = {}
    has = any(name.startswith(_EXTRA_NORM) for name in hub)
    for name, value in hub.items():
        found[name] = value
        if not has and name == "s2.pathway0_res0.branch1.weight":
            ones = torch.ones(len(value), dtype=value.dtype)
            found[_EXTRA_NORM + "weight"] = ones
            found[_EXTRA_NORM + "bias"] = torch.zeros_like(ones)
            found[_EXTRA_NORM + "running_mean"] = torch.zeros_like(ones)
            found[_EXTRA_NORM + "running_var"] = ones - X3D_EPSILON
            found[_EXTRA_NORM + "num_batches_tracked"] = torch.tensor(0)
    return found


def _split_qkv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        match = re.fullmatch(r"(blocks\.\d+\.attn\.)qkv\.(weight|bias)", name)
        if match and value.ndim and len(value) % 3 == 0:
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                found[f"{match[1]}{letter}.{match[2]}"] = part.clone()
        else:
            found[name] = value
    return found


def _joined_qkv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        match = re.fullmatch(r"(blocks\.\d+\.attn\.)([qkv])\.(weight|bias)", name)
        parts = [state.get(f"{match[1]}{letter}.{match[3]}") for letter in "qkv"] if match else []
        whole = [part for part in parts if part is not None and part.shape == value.shape]
        if match is None or len(whole) != 3:
            found[name] = value
        elif match[2] == "q":
            found[f"{match[1]}qkv.{match[3]}"] = torch.cat(whole)
    return found


def _without_second_names(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Without what pytorchvideo's later versions list twice: `_attention_pool_q.pool.*` is `pool_q.*`."""
    second = []
    for name, value in state.items():
        match = re.fullmatch(r"(blocks\.\d+\.attn\.)_attention_pool_([qkv])\.(pool|norm)\.(\w+)", name)
        first = state.get(f"{match[1]}{match[3]}_{match[2]}.{match[4]}") if match else None
        if first is not None and first.shape == value.shape and torch.equal(first, value):
            second.append(name)
    return {name: value for name, value in state.items() if name not in set(second)}, second


def fold_sub_batchnorm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with every `SubBatchNorm3d` of PySlowFast turned into the plain normalisation it is in evaluation.

    Its `split_bn` holds statistics of n splits of the batch, one after the other. The whole has the mean of
    the means; its variance is the mean of the variances plus the variance of the means
    (`slowfast/models/batchnorm_helper.py`, `_get_aggregated_mean_std`). States without it come back as they are.

    Raises:
        InputError: The statistics do not divide into whole splits.
    """
    fronts = [name.removesuffix("split_bn.running_mean") for name in state if name.endswith(".split_bn.running_mean")]
    if not fronts:
        return dict(state)
    found = dict(state)
    for front in fronts:
        means, variances = state[f"{front}split_bn.running_mean"], state.get(f"{front}split_bn.running_var")
        whole = state.get(f"{front}bn.running_mean", state.get(f"{front}weight"))
        if (
            variances is None
            or whole is None
            or means.ndim != 1
            or means.shape != variances.shape
            or not len(whole)
            or len(means) % len(whole)
        ):
            raise InputError(f"{front}split_bn: its statistics are not those of whole splits")
        mean, variance = (value.double().view(-1, len(whole)) for value in (means, variances))
        for leaf in ("running_mean", "running_var", "num_batches_tracked"):
            found.pop(f"{front}bn.{leaf}", None)
        counted = found.get(f"{front}split_bn.num_batches_tracked", torch.tensor(0))
        for leaf in ("running_mean", "running_var", "num_batches_tracked"):
            found.pop(f"{front}split_bn.{leaf}", None)
        found[f"{front}running_mean"] = mean.mean(0).to(means.dtype)
        spread = mean.var(0, correction=0)
        found[f"{front}running_var"] = (variance.mean(0) + spread).to(means.dtype)
        found[f"{front}num_batches_tracked"] = counted
    return found


def inflate(weight: Tensor, frames: int) -> Tensor:
    """A 2D convolution's weight over time: repeated, and divided by the frames, so that a still gives the same.

    Args:
        weight: `(O, I, H, W)`, or `(O, I, 1, H, W)`.
        frames: Of the 3D kernel.

    Returns:
        `(O, I, frames, H, W)`.

    Raises:
        InputError: The weight is of another kind.
    """
    if weight.ndim == 5 and weight.shape[2] == 1:
        weight = weight[:, :, 0]
    if weight.ndim != 4 or frames < 1:
        raise InputError(f"a weight of shape {tuple(weight.shape)} cannot be inflated to {frames} frames")
    return weight.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames


def inflate_state(
    state: Mapping[str, Tensor], like: Mapping[str, torch.Size]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Every convolution that is 2D in a state and 3D in a network, inflated; all else as it is.

    Args:
        state: By the network's names.
        like: The network's shapes.

    Returns:
        The state, and the names that were inflated.
    """
    found, changed = dict(state), []
    for name, value in state.items():
        shape = like.get(name)
        if shape is None or len(shape) != 5 or tuple(value.shape) == tuple(shape):
            continue
        flat = value[:, :, 0] if value.ndim == 5 and value.shape[2] == 1 else value
        if flat.ndim == 4 and tuple(flat.shape) == (*shape[:2], *shape[3:]):
            found[name] = inflate(flat, shape[2])
            changed.append(name)
    return found, tuple(changed)
