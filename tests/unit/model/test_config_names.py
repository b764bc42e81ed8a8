"""PySlowFast's configuration names, explained."""

import re

import pytest

from vidbench.model.config_names import explain
from vidbench.model.weights import parse_name, published
from vidbench.model.zoo import MODELS


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("C2D_8x8_R50", "c2d_r50"),
        ("I3D_8x8_R50", "i3d_r50"),
        ("SLOW_4x16_R50", "slow_r50_4x16"),
        ("SLOW_8x8_R50", "slow_r50"),
        ("SLOWFAST_4x16_R50", "slowfast_r50_4x16"),
        ("SLOWFAST_8x8_R50", "slowfast_r50"),
        ("SLOWFAST_8x8_R50_stepwise_multigrid", "slowfast_r50"),
        ("SLOWFAST_8x8_R101_101_101", "slowfast_r101"),
        ("SLOWFAST_16x8_R101_50_50", "slowfast_16x8_r101_50_50"),
        ("X3D_XS", "x3d_xs"),
        ("X3D_M", "x3d_m"),
        ("MVIT_B_16x4_CONV", "mvit_base_16x4"),
        ("MVITv2_S_16x4", "mvit_v2_s"),
        ("C2D_NOPOOL_8x8_R50", "c2d_nopool_r50"),
        ("I3D_NLN_8x8_R50", "i3d_nln_r50"),
        ("MVIT_B_32x3_CONV", "mvit_v1_b24"),
        ("MVITv2_B_32x3", "mvit_v2_b"),
        ("MVITv2_L_40x3", "mvit_v2_l"),
        ("MVITv2_L_40x3_test", "mvit_v2_l"),
        ("SLOWFAST_32x2_R101_50_50", "slowfast_32x2_r101_50_50_ava"),
        ("SLOWFAST_64x2_R101_50_50", "slowfast_64x2_r101_50_50_ava"),
        ("SLOWFAST_8x8_R50_stepwise", "slowfast_r50"),
        # other settings, or parts that no catalogue network has
        ("C2D_NLN_8x8_R50", None),
        ("SLOWFAST_NLN_8x8_R50", None),
        ("I3D_8x8_R101", None),
        ("SLOWFAST_8x8_R101_50_50", None),
        ("SLOWFAST_16x8_R50", None),
        ("SLOWFAST_32x2_R50_SHORT", None),
        ("SLOW_8x8_R50_SHORT", None),
        ("MVIT_B_16x3_CONV", None),
        ("REV_MVIT_B_16x4_CONV", None),
        ("REV_MVITv2_B_32x3", None),
    ],
)
def test_says_which_model_it_is(name: str, model: str | None) -> None:
    found = explain(name)
    assert found is not None
    assert (found.name, found.model) == (name, model)
    assert model is None or model in MODELS
    # no part of the name is left out
    said = "_".join(part for part, _ in found.parts if part)
    assert said.lower() == name.lower()
    assert all(meaning for _, meaning in found.parts)


@pytest.mark.parametrize(
    ("name", "slow", "fast", "alpha"),
    [
        ("SLOWFAST_8x8_R50", "slow: 8 x 8", "fast: 32 x 2", "alpha 4"),
        ("SLOWFAST_4x16_R50", "slow: 4 x 16", "fast: 32 x 2", "alpha 8"),
        ("SLOWFAST_16x8_R101_50_50", "slow: 16 x 8", "fast: 64 x 2", "alpha 4"),
        # names of the AVA configurations count the fast pathway
        ("SLOWFAST_64x2_R101_50_50", "slow: 16 x 8", "fast: 64 x 2", "alpha 4"),
    ],
)
def test_both_pathways_are_told(name: str, slow: str, fast: str, alpha: str) -> None:
    found = explain(name)
    assert found is not None
    text = "; ".join(meaning for _, meaning in found.parts)
    assert slow in text
    assert fast in text
    assert alpha in text
    if found.model:
        size = MODELS.get(found.model).preprocess
        assert f"fast: {size.frames} x {size.stride}" in text


def test_a_file_name_and_another_case_are_understood() -> None:
    for text in ("SLOW_8x8_R50.yaml", "slow_8x8_r50"):
        found = explain(text)
        assert found is not None
        assert found.model == "slow_r50"


@pytest.mark.parametrize("text", ["slowfast_r50", "SLOWFAST", "X3D_XXL", "SLOW_0x8_R50", "SLOW_8x8_R18", "", "X3D_M\n"])
def test_other_text_is_no_configuration_name(text: str) -> None:
    assert explain(text) is None


@pytest.mark.parametrize(
    "name", ["SLOW_8x8_R50", "SLOWFAST_8x8_R50_stepwise_multigrid", "SLOWFAST_16x8_R50_multigrid", "MVITv2_B_32x3"]
)
def test_every_model_that_a_remark_names_is_there(name: str) -> None:
    found = explain(name)
    assert found is not None
    named = re.findall(r"(?:slow|slowfast|mvit)_\w+(?:@[\w-]+)?", found.remark)
    assert named
    for text in named:
        card, tag = parse_name(text)
        assert published(card, tag)
