"""Kernels and look-ups beside scipy's."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from vidbench.model.augment.kernels import (
    disk_kernel,
    filtered,
    gaussian,
    gaussian_kernel,
    line_kernel,
    looked_up,
    resized,
)

KERNELS = {
    "gaussian": gaussian_kernel(1.5),
    "disk": disk_kernel(2.3),
    "line": line_kernel(9, 30),
    "trail": line_kernel(9, 70, 3),
    "even": torch.rand(4, 6, generator=torch.Generator().manual_seed(1)),
}


def image() -> torch.Tensor:
    return torch.rand(3, 2, 17, 23, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", list(KERNELS)[:4])
def test_weights_sum_to_one(name: str) -> None:
    assert KERNELS[name].sum() == pytest.approx(1, abs=1e-5)
    assert KERNELS[name].min() >= 0


@pytest.mark.parametrize("name", KERNELS)
def test_filtering_is_scipys_convolution(name: str) -> None:
    kernel = KERNELS[name].numpy()
    # scipy's middle of an even side is the one after it, and its convolution turns that around
    origin = [-1 if side % 2 == 0 else 0 for side in kernel.shape]
    found = filtered(image(), KERNELS[name])
    wanted = [
        [ndimage.convolve(one, kernel, mode="nearest", origin=origin) for one in channel] for channel in image().numpy()
    ]
    assert np.abs(found.numpy() - np.array(wanted)).max() < 1e-5


def test_gaussian_is_scipys() -> None:
    wanted = ndimage.gaussian_filter(image()[0, 0].numpy(), 1.5, mode="nearest")
    assert np.abs(gaussian(image(), 1.5)[0, 0].numpy() - wanted).max() < 1e-4
    assert torch.equal(gaussian(image(), 0.0), image())


def test_lines_lie_as_they_are_said_to() -> None:
    upright, level = line_kernel(9, 0), line_kernel(9, 90)
    assert torch.allclose(upright.T, level, atol=1e-6)
    middle = upright.shape[1] // 2
    assert upright[:, middle].sum() == pytest.approx(1, abs=1e-5)
    leaning = line_kernel(9, 30)
    down, across = leaning.nonzero().float().sub(leaning.shape[0] // 2).unbind(1)
    assert (down * across).mean() > 0, "the top lies left of the middle"
    trail = line_kernel(9, 0, 3)
    assert trail[: trail.shape[0] // 2].sum() == 0


def test_looking_up_nothing_else_and_elsewhere() -> None:
    down, across = torch.meshgrid(torch.arange(17.0), torch.arange(23.0), indexing="ij")
    assert torch.allclose(looked_up(image(), across, down), image(), atol=1e-5)
    moved = looked_up(image(), across + 2, down - 1)
    assert torch.allclose(moved[..., 1:, :-2], image()[..., :-1, 2:], atol=1e-5)
    assert torch.allclose(moved[..., 0, :-2], image()[..., 0, 2:], atol=1e-5), "mirrored about the edge"


def test_sizes() -> None:
    assert torch.allclose(resized(image(), 17, 23), image(), atol=1e-6)
    assert resized(image(), 5, 7).shape == (3, 2, 5, 7)
    assert resized(image()[0, 0], 5, 7, "nearest-exact").shape == (5, 7)
