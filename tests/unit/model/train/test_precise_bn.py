"""Statistics over many batches are those of all values together."""

import torch
from torch import nn

from vidbench.model.train.precise_bn import precise_bn


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm3d(3), nn.Conv3d(3, 4, 1), nn.Dropout(0.5), nn.BatchNorm3d(4))


def test_the_statistics_are_those_of_all_batches_together() -> None:
    torch.manual_seed(1)
    batches = [torch.randn(size, 3, 2, 4, 4) * (1 + size) + 100 for size in (4, 1, 3)]
    layers = net()
    # what the second one sees: each batch normalised by its own statistics
    seen = [layers[1](nn.functional.batch_norm(batch, None, None, training=True)) for batch in batches]
    tracked = int(layers[0].num_batches_tracked)
    assert precise_bn(layers, batches) == 2
    for norm, inputs in ((layers[0], batches), (layers[3], seen)):
        whole = torch.cat([one.transpose(0, 1).flatten(1) for one in inputs], 1).double()
        torch.testing.assert_close(norm.running_mean.double(), whole.mean(1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(norm.running_var.double(), whole.var(1), rtol=1e-5, atol=1e-6)
    assert int(layers[0].num_batches_tracked) == tracked
    assert not any(part.training for part in layers.modules())


def test_frozen_statistics_stay() -> None:
    layers = net()
    layers[3].requires_grad_(False)
    batches = [torch.randn(2, 3, 2, 4, 4) + 5]
    assert precise_bn(layers, batches) == 1
    assert torch.equal(layers[3].running_mean, torch.zeros(4))
    assert float(layers[0].running_mean.min()) > 4
    assert precise_bn(net(), batches, frozen=True) == 0


def test_without_a_batch_nothing_changes() -> None:
    layers = net()
    assert precise_bn(layers, []) == 0
    assert torch.equal(layers[0].running_var, torch.ones(3))
