"""Where perturbations may be."""

import pytest
import torch

from vidbench.attack.support import Support
from vidbench.errors import UsageError

SHAPE = (3, 4, 8, 10)


def parse(text: str) -> Support:
    support = Support.parse(text, SHAPE)
    assert support is not None
    return support


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("frames:1", 80), ("frames:0,3,3", 160), ("patch:3x2+1+4", 4 * 6), ("patch:10x8+0+0", 320),
        ("border:1", 4 * (80 - 6 * 8)), ("border:3", 4 * (80 - 2 * 4)),
    ],
)  # fmt: skip
def test_masks_have_their_size(text: str, values: int) -> None:
    support = parse(text)
    assert support.text == text
    assert int(support.mask.expand(1, 1, *SHAPE[1:]).sum()) == values


def test_a_patch_lies_where_it_says() -> None:
    places = parse("patch:3x2+1+4").mask[0, 0, 2].nonzero()
    assert places.amin(0).tolist() == [4, 1]
    assert places.amax(0).tolist() == [5, 3]


def test_all_is_no_support() -> None:
    assert Support.parse("all", SHAPE) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "frames", "frames:", "frames:4", "frames:-1", "frames:1;2", "border:0", "border:4", "border:x",
        "patch:3x2", "patch:0x2+0+0", "patch:11x2+0+0", "patch:3x2+8+0", "patch:3x2+0+7", "everything", "flicker:2",
    ],
)  # fmt: skip
def test_what_lies_outside_or_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--support"):
        Support.parse(text, SHAPE)


@pytest.mark.parametrize("text", ["frames:1", "patch:3x2+1+4", "border:2", "flicker"])
def test_pulling_is_an_orthogonal_projection(text: str) -> None:
    support = parse(text)
    generator = torch.Generator().manual_seed(0)
    values, others = (torch.randn(3, *SHAPE, generator=generator).double() for _ in range(2))
    once = support.pull(values)
    assert once.shape == values.shape
    assert torch.allclose(support.pull(once), once)
    assert torch.allclose((once * others).sum(), (values * support.pull(others)).sum())
    assert float(once.norm()) < float(values.norm())


@pytest.mark.parametrize("text", ["frames:1", "patch:3x2+1+4", "border:2", "flicker"])
def test_what_is_pulled_is_held_and_noise_is_not(text: str) -> None:
    support = parse(text)
    noise = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    assert support.holds(support.pull(noise))
    assert not support.holds(noise)


def test_a_flicker_cut_at_the_box_is_still_one() -> None:
    clean = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(2))
    offset = torch.tensor([0.3, -0.4, 0.6, 0.0]).view(1, 1, 4, 1, 1)
    assert parse("flicker").holds((clean + offset).clamp(0, 1) - clean)


def test_a_mask_for_each_clip_goes_with_its_clip() -> None:
    mask = torch.zeros(3, 1, 4, 1, 1)
    for row in range(3):
        mask[row, :, row] = 1
    support = Support("frames:?", mask)
    part = support.of(torch.tensor([2, 0]))
    pulled = part.pull(torch.ones(2, *SHAPE))
    assert pulled[:, 0, :, 0, 0].tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    shared = parse("frames:1")
    assert shared.of(torch.tensor([2, 0])) is shared
