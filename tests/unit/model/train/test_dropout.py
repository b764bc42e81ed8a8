"""Dropout before the head: in training alone, under unchanged names, and only there."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vidbench.errors import InputError
from vidbench.model.train.dropout import head_dropout


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 1000), nn.Dropout(0.0))
        self.fc = nn.Linear(1000, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(x))


def test_half_of_the_heads_input_is_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    net = Small()
    names = list(net.state_dict())
    head_dropout(net, "fc.", 0.5)
    seen: list[torch.Tensor] = []
    net.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.ones(1, 4)
    copy.deepcopy(net).train()(x)
    net.eval()(x)

    dropped, whole = seen if len(seen) == 2 else (seen[0], seen[-1])
    assert 0.4 < float((dropped == 0).float().mean()) < 0.6
    assert torch.count_nonzero(whole) == whole.numel()
    assert list(net.state_dict()) == names
    assert net.body[1].p == 0.0


def test_a_networks_own_dropout_is_set() -> None:
    net = nn.ModuleDict({"head": nn.ModuleDict({"dropout": nn.Dropout(0.2), "proj": nn.Linear(2, 2)})})

    head_dropout(net, "head.proj.", 0.7)

    assert net["head"]["dropout"].p == 0.7  # type: ignore[index]
    assert not net["head"]["proj"]._forward_pre_hooks  # type: ignore[index]


def test_no_head_is_refused() -> None:
    with pytest.raises(InputError, match="no classifying layer"):
        head_dropout(nn.Linear(2, 2), "", 0.5)
