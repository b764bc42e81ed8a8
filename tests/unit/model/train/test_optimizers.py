"""Groups of parameters: decay, layers, and what is held still."""

import pytest
import torch
from torch import nn

from vidbench.errors import InputError
from vidbench.model.train.layers import depths, parts_named
from vidbench.model.train.optimizers import build_optimizer, freeze, parameter_groups, set_rate, train_mode
from vidbench.model.x3d import HEAD, build_x3d
from vidbench.model.zoo import MODELS


class Small(nn.Module):
    """A stem, two numbered layers, a normalisation after them and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 4, 1)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv3d(4, 4, 1), nn.BatchNorm3d(4)) for _ in range(2)])
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def test_depths() -> None:
    found = depths(Small(), "head.")
    assert found["stem.weight"] == 0
    assert found["blocks.0.0.weight"] == 1
    assert found["blocks.1.1.bias"] == 2
    assert found["norm.weight"] == 2
    assert found["head.bias"] == 3


def test_depths_of_x3d_put_the_head_above_its_own_block() -> None:
    found = depths(build_x3d("tiny", 3), HEAD)
    assert found["blocks.5.proj.weight"] == 7
    assert {name.split(".")[1]: depth for name, depth in found.items() if not name.startswith(HEAD)} == {
        str(number): number + 1 for number in range(6)
    }


def test_layer_decay() -> None:
    net = Small()
    optimizer = build_optimizer("sgd", parameter_groups(net, 0.1, 0.5, "head."), 1.0, 0.9)
    set_rate(optimizer, 0.8)
    rate = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    decay = {id(one): group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    named = dict(net.named_parameters())
    assert len(rate) == len(named)
    expected = {
        "stem.weight": 0.1,
        "blocks.0.1.weight": 0.2,
        "blocks.1.0.bias": 0.4,
        "norm.bias": 0.4,
        "head.bias": 0.8,
    }
    for name, value in expected.items():
        assert rate[id(named[name])] == pytest.approx(value)
    assert {name for name, one in named.items() if decay[id(one)]} == {
        "stem.weight", "blocks.0.0.weight", "blocks.1.0.weight", "head.weight",
    }  # fmt: skip


def test_without_layer_decay_there_are_two_groups() -> None:
    groups = parameter_groups(Small(), 0.05)
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert [group["lr_scale"] for group in groups] == [1.0, 1.0]


def test_patterns() -> None:
    net = Small()
    assert parts_named(net, ["stem"], "head.") == {"stem.weight", "stem.bias"}
    assert parts_named(net, ["*.bias"], "head.") == {n for n, _ in net.named_parameters() if n.endswith(".bias")}
    assert parts_named(net, ["backbone"], "head.") == {n for n, _ in net.named_parameters() if n[:5] != "head."}
    with pytest.raises(InputError, match="no part of the network is named 'block'") as caught:
        parts_named(net, ["block"], "head.")
    assert "blocks.0" in caught.value.remedy


def test_a_frozen_part_keeps_weights_and_statistics() -> None:
    net = Small()
    names = freeze(net, ["stem", "blocks.0"], "head.")
    assert names[0] == "stem.weight"
    assert len(names) == 6
    assert sum(len(group["params"]) for group in parameter_groups(net, 0.1)) == len(list(net.parameters())) - 6
    train_mode(net)
    assert [block[1].training for block in net.blocks] == [False, True]
    train_mode(net, freeze_bn=True)
    assert [block[1].training for block in net.blocks] == [False, False]
    assert net.training
    with pytest.raises(InputError, match="nothing is left to train"):
        freeze(net, ["*"], "head.")


def test_nesterov_by_hand() -> None:
    """Two steps of a constant gradient of 1: velocities 1 and 1.9, moves of 1 + 0.9 and 1 + 0.9 * 1.9."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer("sgd", [{"params": [weight], "weight_decay": 0.0, "lr_scale": 1.0}], 1.0, 0.9)
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimizer.step()
    assert float(weight.detach()) == pytest.approx(-(1.9 + 2.71), abs=1e-6)


@pytest.mark.parametrize(
    ("model", "layers", "top"),
    [
        ("r2plus1d_18", 5, "fc.bias"),
        ("slowfast_r50", 6, "blocks.6.proj.bias"),
        ("efficient_x3d_xs", 6, "projection.model.bias"),
        ("mvit_v2_s", 17, "head.1.bias"),
    ],
)
def test_depths_of_other_families(model, layers, top) -> None:
    card = MODELS.get(model)
    with torch.device("meta"):
        found = depths(card.build(7), card.head)
    assert max(found.values()) == layers
    assert found[top] == layers
    assert sum(depth == layers for depth in found.values()) == 2
    assert list(found.values()) == sorted(found.values()) or model == "slowfast_r50"
