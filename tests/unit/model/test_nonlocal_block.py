"""Non-local blocks: what they compute, where they go in a network, and what is refused."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from vidbench.model.hub import builder
from vidbench.model.nonlocal_block import NonLocal, NonLocalBlock, NonLocalStage, with_nonlocal


def awake(module: nn.Module, seed: int = 0) -> nn.Module:
    """With normalisations that do something, in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm3d):
                part.weight.uniform_(0.5, 1.5, generator=generator)
                part.bias.uniform_(-1, 1, generator=generator)
                part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def small(**changes: object) -> nn.Module:
    torch.manual_seed(0)
    return builder("resnet", "create_resnet")(
        model_depth=50, stem_dim_out=4, model_num_class=3, stem_conv_kernel_size=(1, 7, 7), head=None, **changes
    )


@pytest.mark.parametrize("instantiation", ["softmax", "dot_product"])
@pytest.mark.parametrize("pool", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
def test_block_agrees_with_pytorchvideos(instantiation: str, pool: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorchvideo.layers.nonlocal_net import create_nonlocal
    theirs = awake(create_nonlocal(dim_in=8, dim_inner=4, pool_size=pool, instantiation=instantiation))
    ours = NonLocalBlock(8, instantiation, pool).eval()  # type: ignore[arg-type]
    ours.load_state_dict(theirs.state_dict(), strict=True)
    features = torch.randn(2, 8, 4, 5, 6)

    with torch.no_grad():
        expected, given = theirs(features), ours(features)

    assert (expected - features).abs().max() > 0.1
    assert (expected - given).abs().max() < 1e-5


def test_softmax_looks_where_the_affinity_is() -> None:
    """One position holds the only large key: all others take its value."""
    block = NonLocalBlock(2, "softmax", (1, 1, 1)).eval()
    with torch.no_grad():
        for conv in (block.conv_theta, block.conv_phi, block.conv_g, block.conv_out):
            conv.bias.zero_()
        block.conv_theta.bias.fill_(100.0)
        block.conv_theta.weight.zero_()
        block.conv_phi.weight.fill_(0.0)
        block.conv_phi.weight[0, 0] = 1.0
        block.conv_g.weight.fill_(0.0)
        block.conv_g.weight[0, 1] = 1.0
        block.conv_out.weight.fill_(1.0)
        block.norm.weight.fill_(1.0)
    features = torch.zeros(1, 2, 1, 2, 2)
    features[0, 0, 0, 1, 0] = 1.0
    features[0, 1, 0, 1, 0] = 7.0
    features[0, 1, 0, 0, 0] = -3.0

    with torch.no_grad():
        added = block(features) - features

    assert torch.allclose(added, torch.full_like(added, 7.0), atol=1e-3)


def test_fresh_blocks_change_nothing() -> None:
    plain, changed = small().eval(), small().eval()
    with_nonlocal(changed, NonLocal({3: (1, 3), 4: (0, 5)}, "softmax"))
    clips = torch.randn(1, 3, 2, 32, 32)

    with torch.no_grad():
        assert torch.equal(plain(clips), changed(clips))
    added = set(changed.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(changed.state_dict())
    assert {name.split(".conv_")[0].split(".norm")[0] for name in added} == {
        f"blocks.{block}.nonlocal_blocks.{number}" for block, number in ((2, 1), (2, 3), (3, 0), (3, 5))
    }


def test_block_stands_right_after_its_residual_block() -> None:
    net = small().eval()
    with_nonlocal(net, NonLocal({2: (1,)}, "dot_product"))
    stage = net.blocks[1]  # type: ignore[index]
    assert isinstance(stage, NonLocalStage)
    awake(stage)
    seen: list[torch.Tensor] = []
    stage.res_blocks[1].register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    stage.nonlocal_blocks["1"].register_forward_hook(lambda _m, i, out: seen.extend((i[0].clone(), out.clone())))
    stage.res_blocks[2].register_forward_pre_hook(lambda _m, i: seen.append(i[0].clone()))

    with torch.no_grad():
        stage(torch.randn(1, 4, 2, 8, 8))

    before, taken, given, after = seen
    assert torch.equal(before, taken)
    assert torch.equal(given, after)
    assert not torch.equal(taken, given)


def test_pooling_block_of_i3d_is_no_stage() -> None:
    net = small(stage1_pool=nn.MaxPool3d)
    with_nonlocal(net, NonLocal({3: (0,)}, "softmax"))

    assert any(name.startswith("blocks.3.nonlocal_blocks.0.") for name in net.state_dict())


def test_of_two_pathways_the_slow_one_gets_it() -> None:
    torch.manual_seed(0)
    net = builder("slowfast", "create_slowfast")(model_depth=50, stem_dim_outs=(16, 2), head=None)
    with_nonlocal(net, NonLocal({4: (2,)}, "dot_product", (2, 2, 2)))

    added = {name.rsplit(".", 2)[0] for name in net.state_dict() if "nonlocal" in name}

    assert added == {"blocks.3.multipathway_blocks.0.nonlocal_blocks.2"}


@pytest.mark.parametrize(
    ("after", "message"), [({6: (0,)}, "no stage res6"), ({1: (0,)}, "no stage res1"), ({2: (3,)}, "res2 has 3 blocks")]
)
def test_places_that_are_not_there_are_refused(after: dict[int, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_nonlocal(small(), NonLocal(after, "softmax"))
