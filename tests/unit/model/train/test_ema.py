"""The average of weights, worked out by hand."""

import pytest
import torch
from torch import nn

from vidbench.model.train.ema import Ema


def test_the_average_follows_its_rule() -> None:
    net = nn.BatchNorm1d(1)
    with torch.no_grad():
        net.weight.fill_(0.0)
    average = Ema(net, 0.15)
    expected = 0.0
    for number, value in enumerate((1.0, 2.0, 4.0)):
        with torch.no_grad():
            net.weight.fill_(value)
            net.num_batches_tracked.add_(1)
        average.update(net)
        decay = min(0.15, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
    assert float(average.average["weight"]) == pytest.approx(expected, rel=1e-6)
    assert int(average.average["num_batches_tracked"]) == 3


def test_of_weights_that_stay_it_is_the_weights() -> None:
    net = nn.Linear(3, 2)
    average = Ema(net, 0.999)
    for _ in range(5):
        average.update(net)
    assert all(torch.equal(average.average[name], tensor) for name, tensor in net.state_dict().items())


def test_applied_gives_the_weights_back() -> None:
    net = nn.Linear(1, 1)
    average = Ema(net, 0.5)
    held = net.weight.detach().clone()
    with torch.no_grad():
        net.weight.fill_(7.0)
    with average.applied(net):
        assert torch.equal(net.weight, held)
        with torch.no_grad():
            net.weight.fill_(8.0)
    assert net.weight.item() == 7.0
    assert torch.equal(average.average["weight"], held)


def test_a_stored_average_goes_on() -> None:
    net = nn.Linear(2, 2)
    first, second = Ema(net, 0.9), Ema(nn.Linear(2, 2), 0.9)
    first.update(net)
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        net.weight.mul_(3.0)
    first.update(net)
    second.update(net)
    assert all(torch.equal(first.average[name], second.average[name]) for name in first.average)
