"""Convolutions computed on images are those of videos: results, and gradients of inputs, weights and biases."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from vidbench.model.image_convs import DepthwiseConv3d, PointwiseConv3d, as_image_convs


def answers(conv: nn.Module, videos: torch.Tensor) -> list[torch.Tensor]:
    """The result, and the gradients of input, weight and bias."""
    point = videos.clone().requires_grad_(True)
    output = conv(point)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=videos.dtype)
    wanted = [point, *conv.parameters()]
    return [output, *torch.autograd.grad((output * weights).sum(), wanted)]


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (5, 1, 1), (1, 1, 1), (5, 3, 1)])
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 3, 2), (2, 1, 1)])
@pytest.mark.parametrize("shape", [(4, 9, 8), (5, 7, 7), (6, 1, 5), (1, 4, 4)])
def test_depthwise_gradients_equal_autograd(kernel, stride, shape) -> None:
    conv = nn.Conv3d(6, 6, kernel, stride, tuple(size // 2 for size in kernel), groups=6).double()
    videos = noise(2, 6, *shape)
    for expected, found in zip(answers(conv, videos), answers(DepthwiseConv3d.of(conv), videos), strict=True):
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 1, 1), (3, 2, 1)])
@pytest.mark.parametrize("shape", [(1, 3, 5, 4), (2, 8, 4, 4), (3, 7, 1, 5), (2, 1, 1, 1)])
def test_pointwise_gradients_equal_autograd(threads, stride, shape) -> None:
    conv = nn.Conv3d(5, 7, 1, stride).double()
    videos = noise(shape[0], 5, *shape[1:])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        pairs = zip(answers(conv, videos), answers(PointwiseConv3d.of(conv), videos), strict=True)
        for expected, found in pairs:
            assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 2])
def test_single_precision_stays_channels_last_and_out_of_slow_kernels(threads: int, batch: int) -> None:
    net = nn.Sequential(
        nn.Conv3d(8, 16, 1, bias=False),
        nn.Conv3d(16, 16, (5, 1, 1), padding=(2, 0, 0), groups=16, bias=False),
        nn.Conv3d(16, 16, 3, (1, 2, 2), 1, groups=16, bias=False),
        nn.Conv3d(16, 8, 1, bias=False),
    )
    videos = noise(batch, 8, 9, 12, 12, dtype=torch.float32)
    expected = answers(net, videos)
    names = list(net.state_dict())
    as_image_convs(net)
    assert list(net.state_dict()) == names
    net.to(memory_format=torch.channels_last_3d)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            found = answers(net, videos.contiguous(memory_format=torch.channels_last_3d))
    finally:
        torch.set_num_threads(before)
    assert not [event.key for event in seen.key_averages() if "slow_conv" in event.key]
    assert found[0].is_contiguous(memory_format=torch.channels_last_3d)
    for one, two in zip(expected, found, strict=True):
        assert (one - two).norm() <= 1e-5 * one.norm()


def test_other_convolutions_and_their_parts_are_left_alone() -> None:
    net = nn.Sequential(
        nn.Conv3d(4, 4, 3),
        nn.Conv3d(4, 4, 3, groups=2),
        nn.Conv3d(4, 4, 3, groups=4, dilation=2),
        nn.Conv3d(4, 4, 1, padding=1),
        nn.Conv3d(4, 4, 3, groups=4, padding="same"),
        nn.Conv3d(4, 4, 3, groups=4, padding=1, padding_mode="circular"),
    )
    as_image_convs(net)
    assert {type(part) for part in net} == {nn.Conv3d}


def test_without_gradients_and_on_one_video_the_results_are_those_of_conv3d() -> None:
    for conv in (nn.Conv3d(6, 6, 3, padding=1, groups=6), nn.Conv3d(6, 4, 1)):
        own = nn.Sequential(conv)
        video = noise(6, 4, 5, 5, dtype=torch.float32)
        with torch.no_grad():
            expected = conv(video)
            as_image_convs(own)
            assert torch.allclose(own(video), expected, atol=1e-5)
            assert torch.allclose(own(video[None])[0], expected, atol=1e-5)
            assert own(video[None][:0]).shape == (0, *expected.shape)
