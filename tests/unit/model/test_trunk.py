"""Classifiers without heads: the features that are left, their names, their resolution, and what has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video import MViT  # type: ignore[import-untyped]

from vidbench.errors import InputError
from vidbench.model.hub import builder
from vidbench.model.mvit_class import Settings, block_settings
from vidbench.model.resnet3d import build_resnet3d_trunk
from vidbench.model.slowfast import build_slowfast_trunk
from vidbench.model.trunk import build_trunk, features_of, head_fronts
from vidbench.model.variant import Variant, apply_variant
from vidbench.model.zoo import MODELS, TINY

BUILT_FROM_NUMBERS = ("mvit_base_16x4", "mvit_base_32x3")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On small clips threads win little, and on a busy machine they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Seen(Exception):
    """Carries what came to a place in a network."""


def arriving(net: nn.Module, place: str, clips: Tensor) -> list[Tensor]:
    """What the module at `place` is called with; the network is left at once."""

    def look(module: nn.Module, inputs: tuple[object, ...]) -> None:
        raise Seen(inputs[0])

    handle = net.get_submodule(place).register_forward_pre_hook(look)
    with torch.no_grad(), pytest.raises(Seen) as caught:
        net(clips)
    handle.remove()
    found = caught.value.args[0]
    return list(found) if isinstance(found, list) else [found]


@pytest.mark.parametrize(
    ("name", "place", "frames", "channels", "stride"),
    [
        ("x3d_tiny", "blocks.5.pool.pool", 8, 192, 32),
        ("slow_r50_4x16", "blocks.5.pool", 4, 2048, 32),
        ("i3d_nln_r50", "blocks.6.pool", 8, 2048, 32),
        ("slowfast_r50", "blocks.5", 16, 2304, 32),
        ("csn_r101", "blocks.5.pool", 8, 2048, 32),
        ("r2plus1d_r50", "blocks.5.pool", 4, 2048, 32),
        ("efficient_x3d_xs", "head.avg_pool", 4, 432, 32),
        ("mc3_18", "avgpool", 4, 512, 16),
        ("s3d", "avgpool", 16, 1024, 32),
        ("swin3d_t", "avgpool", 4, 768, 32),
    ],
)
def test_features_are_those_that_the_classifier_pools(
    name: str, place: str, frames: int, channels: int, stride: int
) -> None:
    card = MODELS.get(name)
    net = card.build(3).eval()
    clips = torch.randn(1, 3, frames, 64, 96, generator=torch.Generator().manual_seed(0))
    pooled = arriving(net, place, clips)
    names = set(net.state_dict())

    trunk = build_trunk(net, card)
    with torch.no_grad():
        features = trunk(clips)

    # what is gone is the head
    gone = names - set(trunk.state_dict())
    assert gone == {one for one in names if one.startswith(head_fronts(card))} != set()
    # the pathways of a network with two are joined where only their channels count: without their time
    wanted = torch.cat([part.mean(2, keepdim=True) for part in pooled], 1) if len(pooled) > 1 else pooled[0]
    assert torch.equal(features, wanted)
    assert features.std() > 0
    found = features_of(trunk, frames)
    assert (found.channels, found.stride) == (channels, stride)
    assert features.shape[1] == channels
    assert features.shape[3:] == (64 // stride, 96 // stride)
    assert not trunk.training


def small_mvit(kind: str) -> nn.Module:
    """An MViT of three blocks for 4 frames of 64 x 64."""
    torch.manual_seed(0)
    if kind == "hub":
        net = builder("vision_transformers", "create_multiscale_vision_transformers")(
            spatial_size=64, temporal_size=4, depth=3, patch_embed_dim=16, head_num_classes=3,
            embed_dim_mul=[[1, 2.0]], atten_head_mul=[[1, 2.0]], pool_q_stride_size=[[1, 1, 2, 2]],
            pool_kv_stride_adaptive=[1, 8, 8], pool_kvq_kernel=[3, 3, 3],
        )  # fmt: skip
    else:
        settings = Settings(int(kind), 4, 64, 3, 16, 1, (1,), 0.0)
        second = settings.version == 2
        net = MViT(
            (64, 64), 4, block_settings(settings), residual_pool=second, residual_with_cls_embed=False,
            rel_pos_embed=second, proj_after_attn=second, num_classes=3,
        )  # fmt: skip
    for name, value in net.named_parameters():
        # absolute positions that start as zeros would hide what becomes of them
        if "pos" in name:
            nn.init.normal_(value)
    return net.eval()


@pytest.mark.parametrize("kind", ["hub", "1", "2"])
def test_tokens_of_an_mvit_become_a_grid_again(kind: str) -> None:
    net, card = small_mvit(kind), replace(TINY, name="small_mvit", family="MViT")
    clips = torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    name = "norm_embed" if kind == "hub" else "norm"
    tokens: list[Tensor] = []
    handle = net.get_submodule(name).register_forward_hook(lambda module, given, out: tokens.append(out))
    with torch.no_grad():
        net(clips)
    handle.remove()

    trunk = build_trunk(net, card)
    with torch.no_grad():
        features = trunk(clips)

    assert features.shape == (2, 32, 2, 8, 8)
    # the class token is the first; then come times, rows and columns
    place = 1 + 1 * 64 + 5 * 8 + 3
    assert torch.allclose(features[:, :, 1, 5, 3], tokens[0][:, place], atol=1e-6)
    assert features_of(trunk, 4).stride == 8


@pytest.mark.parametrize("kind", ["hub", "1", "2"])
def test_an_mvit_takes_frames_of_any_size(kind: str) -> None:
    trunk = build_trunk(small_mvit(kind), replace(TINY, name="small_mvit", family="MViT"))
    clips = torch.full((1, 3, 4, 72, 104), 0.5)
    clips.requires_grad_(True)

    features = trunk(clips)
    features[:, 0].sum().backward()

    assert features.shape == (1, 32, 2, 9, 13)
    assert all(
        value.grad is not None and value.grad.abs().max() > 0
        for name, value in trunk.named_parameters()
        if "temporal" in name or "spatial" in name
    )


def test_positions_are_interpolated_between_those_learnt() -> None:
    """Embeddings that are their row's number are so after doubling, within what torch's cubic makes of a line."""
    trunk = build_trunk(small_mvit("1"), replace(TINY, name="small_mvit", family="MViT"))
    taken: list[Tensor] = []
    trunk.blocks[0].register_forward_pre_hook(lambda module, given: taken.append(given[0]))  # type: ignore[union-attr,index]
    with torch.no_grad():
        trunk.conv_proj.weight.zero_()  # type: ignore[union-attr,operator]
        trunk.conv_proj.bias.zero_()  # type: ignore[union-attr,operator]
        trunk.pos_encoding.temporal_pos.zero_()  # type: ignore[union-attr,operator]
        rows = torch.arange(16.0).repeat_interleave(16)[:, None]
        trunk.pos_encoding.spatial_pos.copy_(rows.expand(-1, 16))  # type: ignore[union-attr,operator]
        trunk(torch.zeros(1, 3, 4, 128, 64))

    grid = taken[0][0, 1:, 0].reshape(2, 32, 16)
    assert torch.allclose(grid[0, 4:28, 0], (torch.arange(4.0, 28) + 0.5) / 2 - 0.5, atol=0.06)
    assert torch.allclose(grid[:, :, :1], grid, atol=1e-4)


@pytest.mark.slow
def test_every_classifier_but_those_of_single_frames_has_a_trunk() -> None:
    """By names alone: what is left has the classifier's names, and what is gone is its head."""
    seen = 0
    for name in MODELS.names():
        card = MODELS.get(name)
        if card.task not in ("classify", "multilabel") or card.framewise or name in BUILT_FROM_NUMBERS:
            continue
        with torch.device("meta"):
            net = card.build(3)
        names = set(net.state_dict())
        kept = set(build_trunk(net, card).state_dict())
        assert kept < names, name
        assert names - kept == {one for one in names if one.startswith(head_fronts(card))}, name
        seen += 1
    assert seen > 30


@pytest.mark.parametrize("name", BUILT_FROM_NUMBERS[:1])
def test_trunk_of_the_hubs_mvit_lacks_its_head_alone(name: str) -> None:
    card = MODELS.get(name)
    net = card.build(3)
    names = set(net.state_dict())
    trunk = build_trunk(net, card)
    assert names - set(trunk.state_dict()) == {"head.proj.weight", "head.proj.bias"}
    assert features_of(trunk, card.preprocess.frames).stride == 32


# --- the last stage ------------------------------------------------------------------------------------------


def layers(net: nn.Module) -> list[tuple[object, ...]]:
    return [
        (name, tuple(map(int, part.stride)), part.dilation, tuple(map(int, part.padding)))
        for name, part in net.named_modules()
        if isinstance(part, nn.Conv3d)
    ]


@pytest.mark.parametrize("name", ["slow_r50_4x16", "slowfast_r50"])
def test_dilated_network_is_that_of_the_published_detector(name: str) -> None:
    card = MODELS.get(name)
    with torch.device("meta"):
        trunk = build_trunk(card.build(3), card, dilated=True)
        slow = name == "slow_r50_4x16"
        published = (
            build_resnet3d_trunk("slow_r50_detection") if slow else build_slowfast_trunk("slowfast_r50_detection")
        )

    assert layers(trunk) == layers(published)
    assert list(trunk.state_dict()) == list(published.state_dict())
    assert features_of(trunk, card.preprocess.frames).stride == 16


@pytest.mark.parametrize(
    ("name", "stride"),
    [("x3d_tiny", 16), ("csn_r101", 16), ("r2plus1d_r50", 16), ("efficient_x3d_s", 16), ("r3d_18", 8)],
)
def test_dilated_stage_keeps_the_resolution_before_it(name: str, stride: int) -> None:
    card = MODELS.get(name)
    with torch.device("meta"):
        trunk = build_trunk(card.build(3), card, dilated=True)
        features = trunk.eval()(torch.rand(1, 3, card.preprocess.frames, 64, 96))
    assert features.shape[3:] == (64 // stride, 96 // stride)


def test_layers_of_tclr_are_dilated_over_space_as_well() -> None:
    card = MODELS.get("r2plus1d_18")
    with torch.device("meta"):
        net = card.build(3)
        apply_variant(net, Variant(layers="tclr"))
        trunk = build_trunk(net, card, dilated=True).eval()
        conv = trunk.get_submodule("layer4.0.conv1.0")
        assert isinstance(conv, nn.Conv3d)
        features = trunk(torch.rand(1, 3, 16, 64, 64))
    assert (conv.stride, conv.dilation, conv.padding) == ((1, 1, 1), (2, 2, 2), (2, 2, 2))
    # twice the time steps of the network without these layers
    assert features.shape == (1, 512, 4, 8, 8)


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["s3d", "swin3d_t", "mvit_v2_s"])
def test_network_without_a_residual_stage_is_not_dilated(name: str) -> None:
    card = MODELS.get(name)
    with torch.device("meta"):
        net = card.build(3)
    with pytest.raises(InputError, match=f"the last stage of {name} cannot be dilated"):
        build_trunk(net, card, dilated=True)


def test_networks_of_single_frames_and_unknown_ones_are_refused() -> None:
    single = next(MODELS.get(name) for name in MODELS.names() if MODELS.get(name).framewise)
    with pytest.raises(InputError, match="looks at each frame by itself"):
        build_trunk(nn.Identity(), single)
    with pytest.raises(InputError, match="x3d_tiny is a Linear, and it is not known where its head begins"):
        build_trunk(nn.Linear(2, 2), TINY)
