"""Clips of another size: those that a network cannot be shown are refused before training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vidbench.errors import InputError
from vidbench.model.train.input_check import refuse_unfit
from vidbench.model.zoo import MODELS

CARD = MODELS.get("x3d_tiny")


def test_sizes_that_fit_and_that_do_not() -> None:
    net = CARD.build(2)
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    refuse_unfit(net, CARD.preprocess, CARD.name)
    refuse_unfit(net, replace(CARD.preprocess, crop=96), CARD.name)
    with pytest.raises(InputError, match=r"x3d_tiny does not take clips of 4 frames .*smaller than kernel size"):
        refuse_unfit(net, replace(CARD.preprocess, frames=4), CARD.name)

    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


class Asking(torch.nn.Module):
    """Asks a number of its input, which a clip without numbers cannot answer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.abs().sum().item() == 0
        logits: torch.Tensor = self.fc(x.mean((2, 3, 4)))
        return logits


def test_a_network_that_needs_numbers_is_shown_a_clip() -> None:
    refuse_unfit(Asking(), CARD.preprocess, "asking")
