"""Maps of names and the tensors that change: dialects, folding, inflation, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidbench.errors import InputError
from vidbench.model.remap import (
    dialect_of,
    family,
    fold_sub_batchnorm,
    from_vidbench,
    inflate,
    inflate_state,
    map_state,
    own_dialect,
    takes_boxes,
    to_vidbench,
)
from vidbench.model.x3d import build_x3d


@pytest.mark.parametrize(
    ("names", "dialect"),
    [
        (("s1.pathway0_stem.conv.weight", "head.projection.weight"), "pyslowfast"),
        (("cls_token", "patch_embed.proj.weight", "blocks.0.norm1.weight"), "pyslowfast"),
        (("conv_proj.weight", "blocks.0.norm1.weight"), "torchvision"),
        (("blocks.0.conv.weight",), "pytorchvideo"),
        (("patch_embed.patch_model.weight", "blocks.0.norm1.weight"), "pytorchvideo"),
        (("conv1_w", "pred_w"), "caffe2"),
        (("t_res2_0_branch1_w",), "caffe2"),
        (("stem.0.weight", "layer1.0.conv1.0.weight"), None),
        ((), None),
    ],
)
def test_dialect_is_told_by_names(names: tuple[str, ...], dialect: str | None) -> None:
    assert dialect_of(names) == dialect


@pytest.mark.parametrize(
    ("name", "kind", "dialect"),
    [
        ("x3d_m", "x3d", "pytorchvideo"),
        ("slow_r50", "resnet", "pytorchvideo"),
        ("slowfast_r101", "slowfast", "pytorchvideo"),
        ("i3d_r50", "pooled resnet", "pytorchvideo"),
        ("i3d_nln_r50", "pooled resnet", "pytorchvideo"),
        ("c2d_nopool_r50", "resnet", "pytorchvideo"),
        ("slow_r50_detection", "resnet", "pytorchvideo"),
        ("slowfast_32x2_r101_50_50_ava", "slowfast", "pytorchvideo"),
        ("mvit_base_16x4", "mvit", "pytorchvideo"),
        ("mvit_v2_s", "mvit", "torchvision"),
        ("efficient_x3d_xs", None, None),
        ("swin3d_t", None, None),
    ],
)
def test_kind_of_network_is_told_by_its_name(name: str, kind: str | None, dialect: str | None) -> None:
    assert (family(name), own_dialect(name)) == (kind, dialect)


@pytest.mark.parametrize(
    ("name", "yes"),
    [
        ("slow_r50_detection", True),
        ("slowfast_r50_detection", True),
        ("slowfast_32x2_r101_50_50_ava", True),
        ("slowfast_r50", False),
        ("i3d_nln_r50", False),
    ],
)
def test_networks_that_take_boxes_are_told_by_name(name: str, yes: bool) -> None:
    assert takes_boxes(name) is yes


@pytest.mark.parametrize(
    ("architecture", "theirs", "blob", "ours"),
    [
        (
            "i3d_nln_r50",
            "s3.pathway0_nonlocal1.conv_theta.weight",
            "nonlocal_conv3_1_theta_w",
            "blocks.3.nonlocal_blocks.1.conv_theta.weight",
        ),
        (
            "i3d_nln_r50",
            "s4.pathway0_nonlocal5.bn.running_var",
            "nonlocal_conv4_5_bn_riv",
            "blocks.4.nonlocal_blocks.5.norm.running_var",
        ),
        (
            "slowfast_64x2_r101_50_50_ava",
            "s4.pathway0_nonlocal20.conv_out.bias",
            "nonlocal_conv4_20_out_b",
            "model.blocks.3.multipathway_blocks.0.nonlocal_blocks.20.conv_out.bias",
        ),
        ("slowfast_64x2_r101_50_50_ava", "head.projection.bias", "pred_b", "detection_head.proj.bias"),
        (
            "slow_r50_detection",
            "s1.pathway0_stem.conv.weight",
            "conv1_w",
            "model.blocks.0.conv.weight",
        ),
    ],
)
def test_non_local_blocks_and_heads_for_boxes_go_both_ways(
    architecture: str, theirs: str, blob: str, ours: str
) -> None:
    tensor = torch.randn(2, 3)
    # each program's stem, by which its names are known
    stems = {"s1.pathway0_stem.bn.weight": torch.ones(1)}, {"res_conv1_bn_s": torch.ones(1), "conv1_w": torch.ones(1)}

    assert to_vidbench({**stems[0], theirs: tensor}, architecture)[ours] is tensor
    assert to_vidbench({**stems[1], blob: tensor}, architecture)[ours] is tensor
    assert from_vidbench({ours: tensor}, architecture, "pyslowfast") == {theirs: tensor}
    assert from_vidbench({ours: tensor}, architecture, "caffe2") == {blob: tensor}
    assert to_vidbench({ours: tensor}, architecture) == {ours: tensor}


def test_unknown_names_pass_so_that_loading_names_them() -> None:
    state = {"s1.pathway0_stem.conv.weight": torch.ones(1), "teacher.weight": torch.ones(2)}

    assert list(to_vidbench(state, "slow_r50")) == ["blocks.0.conv.weight", "teacher.weight"]
    assert list(to_vidbench(state, "swin3d_t")) == list(state)


def test_two_tensors_never_become_one() -> None:
    state = {"s1.pathway0_stem.conv.weight": torch.ones(1), "blocks.0.conv.weight": torch.zeros(1)}

    with pytest.raises(InputError, match=r"blocks\.0\.conv\.weight: s1\.pathway0_stem\.conv\.weight and blocks"):
        to_vidbench(state, "slow_r50")


@pytest.mark.parametrize("dialect", ["caffe2", "torchvision"])
def test_no_map_is_said(dialect: str) -> None:
    with pytest.raises(InputError, match="no map from x3d_tiny"):
        from_vidbench(build_x3d("tiny", 3).state_dict(), "x3d_tiny", dialect)  # type: ignore[arg-type]


def test_export_of_x3d_comes_back_to_the_bit() -> None:
    torch.manual_seed(0)
    own = build_x3d("xs", 5).state_dict()

    theirs = from_vidbench(own, "x3d_xs", "pyslowfast")
    back = to_vidbench(theirs, "x3d_xs")

    assert len(theirs) == len(own) + 5
    assert back.keys() == own.keys()
    assert all(torch.equal(back[name], own[name]) for name in own)


def test_folding_needs_the_whole_normalisation() -> None:
    theirs = from_vidbench(build_x3d("xs", 5).state_dict(), "x3d_xs", "pyslowfast")
    del theirs["s2.pathway0_res0.branch1_bn.running_var"]

    with pytest.raises(InputError, match=r"without s2\.pathway0_res0\.branch1_bn\.running_var"):
        to_vidbench(theirs, "x3d_xs")


def test_folded_shortcut_answers_as_the_two_layers_did() -> None:
    torch.manual_seed(3)
    theirs = from_vidbench(build_x3d("xs", 5).state_dict(), "x3d_xs", "pyslowfast")
    front = "s2.pathway0_res0.branch1_bn."
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        theirs[front + leaf] = torch.rand(24) + 0.5
    with_norm, folded = build_x3d("xs", 5), build_x3d("xs", 5)
    block = with_norm.blocks[1].res_blocks[0]
    block.branch1_norm = nn.BatchNorm3d(24)
    mapped = to_vidbench(theirs, "x3d_xs")
    folded.load_state_dict(mapped)
    plain = {**mapped}
    plain["blocks.1.res_blocks.0.branch1_conv.weight"] = theirs["s2.pathway0_res0.branch1.weight"]
    plain["blocks.1.res_blocks.0.branch2.norm_c.bias"] = theirs["s2.pathway0_res0.branch2.c_bn.bias"]
    for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        plain[f"blocks.1.res_blocks.0.branch1_norm.{leaf}"] = theirs[front + leaf]
    with_norm.load_state_dict(plain)
    stage = torch.randn(1, 24, 4, 12, 12)

    with torch.no_grad():
        expected = block.eval()(stage)
        given = folded.blocks[1].res_blocks[0].eval()(stage)

    assert (expected - given).abs().max() < 1e-5
    assert expected.abs().max() > 0.1


def test_second_names_of_one_tensor_are_ignored_and_told() -> None:
    pool = torch.randn(4, 1, 3, 3, 3)
    state = {
        "patch_embed.patch_model.weight": torch.ones(1),
        "blocks.0.attn.pool_k.weight": pool,
        "blocks.0.attn._attention_pool_k.pool.weight": pool.clone(),
        "blocks.0.attn._attention_pool_v.pool.weight": pool,
    }

    mapped = map_state(state, "mvit_base_16x4")

    assert mapped.ignored == ("blocks.0.attn._attention_pool_k.pool.weight",)
    assert "blocks.0.attn._attention_pool_v.pool.weight" in mapped.tensors


def test_joint_tensor_is_split_in_the_order_q_k_v() -> None:
    weight = torch.arange(9.0).reshape(9, 1)
    state = {"patch_embed.proj.weight": torch.ones(1), "blocks.3.attn.qkv.weight": weight}

    mapped = to_vidbench(state, "mvit_base_16x4")

    assert mapped["blocks.3.attn.q.weight"].flatten().tolist() == [0, 1, 2]
    assert mapped["blocks.3.attn.v.weight"].flatten().tolist() == [6, 7, 8]
    assert torch.equal(from_vidbench(mapped, "mvit_base_16x4", "pyslowfast")["blocks.3.attn.qkv.weight"], weight)


# --- Sub-BN ------------------------------------------------------------------------------------------------


def split_state(data: Tensor, splits: int) -> dict[str, Tensor]:
    """What PySlowFast's module would hold after seeing `data` (N, C) in splits once, with momentum 1."""
    parts = data.chunk(splits)
    return {
        "s2.a_bn.weight": torch.ones(data.shape[1]),
        "s2.a_bn.bias": torch.zeros(data.shape[1]),
        "s2.a_bn.bn.running_mean": torch.zeros(data.shape[1]),
        "s2.a_bn.bn.running_var": torch.ones(data.shape[1]),
        "s2.a_bn.bn.num_batches_tracked": torch.tensor(0),
        "s2.a_bn.split_bn.running_mean": torch.cat([part.mean(0) for part in parts]),
        "s2.a_bn.split_bn.running_var": torch.cat([part.var(0, correction=0) for part in parts]),
        "s2.a_bn.split_bn.num_batches_tracked": torch.tensor(7),
        "head.projection.weight": torch.ones(2, 3),
    }


def test_folded_statistics_are_those_of_the_whole_batch() -> None:
    torch.manual_seed(1)
    data = torch.randn(12, 3) * torch.tensor([1.0, 4.0, 0.1]) + torch.arange(12.0).unsqueeze(1)

    folded = fold_sub_batchnorm(split_state(data, 4))

    assert set(folded) == {
        "head.projection.weight",
        *(f"s2.a_bn.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    }
    assert torch.allclose(folded["s2.a_bn.running_mean"], data.mean(0), atol=1e-6)
    assert torch.allclose(folded["s2.a_bn.running_var"], data.var(0, correction=0), rtol=1e-5)
    assert folded["s2.a_bn.num_batches_tracked"] == 7


def test_statistics_of_no_whole_splits_are_refused() -> None:
    state = split_state(torch.randn(12, 3), 4)
    state["s2.a_bn.split_bn.running_mean"] = torch.ones(11)

    with pytest.raises(InputError, match=r"s2\.a_bn\.split_bn"):
        fold_sub_batchnorm(state)


# --- inflation ---------------------------------------------------------------------------------------------


def test_inflated_kernel_sees_a_still_as_before() -> None:
    torch.manual_seed(2)
    weight, picture = torch.randn(4, 3, 3, 3), torch.randn(1, 3, 8, 8)
    flat = nn.functional.conv2d(picture, weight)

    deep = nn.functional.conv3d(picture.unsqueeze(2).repeat(1, 1, 5, 1, 1), inflate(weight, 5))

    assert deep.shape[2] == 1
    assert torch.allclose(deep[:, :, 0], flat, atol=1e-5)
    assert torch.equal(inflate(weight.unsqueeze(2), 5), inflate(weight, 5))


@pytest.mark.parametrize("shape", [(3,), (4, 3), (4, 3, 2, 3, 3)])
def test_what_cannot_be_inflated(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="cannot be inflated"):
        inflate(torch.ones(shape), 3)


def test_only_convolutions_that_need_it_are_inflated() -> None:
    state = {
        "a": torch.ones(4, 3, 3, 3),
        "b": torch.ones(4, 3, 1, 3, 3),
        "c": torch.ones(4, 3),
        "d": torch.ones(5, 3, 3, 3),
    }
    like = {name: torch.Size((4, 3, 3, 3, 3)) for name in "abd"} | {"c": torch.Size((4, 3))}

    found, changed = inflate_state(state, like)

    assert changed == ("a", "b")
    assert found["a"].shape == found["b"].shape == (4, 3, 3, 3, 3)
    assert found["c"] is state["c"]
    assert found["d"] is state["d"]
