"""The robust-training list: range, stillness, determinism, neutral parameters, and what single operations are."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from vidbench.model.augment import operations
from vidbench.model.augment.operations import BY_NAME, OPERATIONS, Operation
from vidbench.model.augment.w4 import applied, applied_by_chance

KINDS = pytest.mark.parametrize("kind", OPERATIONS, ids=list(BY_NAME))
GRADED = [kind for kind in OPERATIONS if issubclass(kind, operations.Graded)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def still(height: int = 56, width: int = 72) -> Tensor:
    """Three equal frames, smooth and coloured."""
    coarse = torch.rand(1, 3, 7, 9, generator=seeded(1))
    image = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
    return image.transpose(0, 1).repeat(1, 3, 1, 1).contiguous()


def made(kind: type[Operation], **values: Any) -> Operation:
    return kind.model_validate(values)


@KINDS
def test_a_still_clip_stays_still_and_in_range(kind: type[Operation]) -> None:
    clip = still()
    kept = clip.clone()
    strengths = [{"severity": (grade, grade)} for grade in range(1, 6)] if kind in GRADED else [{}] * 3
    changes = []
    for seed, values in enumerate(strengths):
        found = applied(clip, made(kind, **values), seeded(seed))
        assert found.shape == clip.shape
        assert found.dtype == torch.float32
        assert torch.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1
        assert torch.equal(found, found[:, :1].expand_as(found))
        changes.append(float((found - clip).abs().max()))
    assert max(changes) > 0.01, "it does something"
    assert torch.equal(clip, kept), "the argument is left alone"


@KINDS
def test_determined_by_the_generator_alone(kind: type[Operation]) -> None:
    clip = still()
    before = torch.get_rng_state()
    first = applied(clip, made(kind), seeded(8))
    np.random.seed(0)
    torch.manual_seed(123)
    after = torch.get_rng_state()
    assert torch.equal(applied(clip, made(kind), seeded(8)), first)
    assert torch.equal(torch.get_rng_state(), after)
    torch.set_rng_state(before)


@KINDS
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_white_and_tiny_frames(kind: type[Operation], value: float) -> None:
    for size in ((1, 1), (2, 3), (9, 5)):
        found = applied(torch.full((3, 1, *size), value), made(kind), seeded(2))
        assert found.shape == (3, 1, *size)
        assert torch.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize("kind", [kind for kind in OPERATIONS if kind is not operations.Fog])
def test_frames_are_changed_each_by_itself(kind: type[Operation]) -> None:
    """A moving clip's frames become what each would alone; fog apart, which keeps the clip's brightest value."""
    moving = torch.stack([still()[:, 0].roll(3 * step, 2) for step in range(3)], 1)
    together = applied(moving, made(kind), seeded(3))
    for step in range(3):
        alone = applied(moving[:, step : step + 1], made(kind), seeded(3))
        assert torch.allclose(together[:, step : step + 1], alone, atol=1e-5)


NEUTRAL: list[tuple[type[Operation], dict[str, Any]]] = [
    (operations.PepperSalt, {"snr": 1.0}),
    (operations.ColourPoints, {"snr": 1.0}),
    (operations.GaussianNoise, {"std": (0.0, 0.0)}),
    (operations.Rotate, {"degrees": 0.0}),
    (operations.Extend, {"reach": (1, 1)}),
    (operations.BlockShuffle, {"split": (1.0, 1.0)}),
    (operations.LocalShuffle, {"side": (224, 224)}),
    (operations.RandomPadding, {"scale": (1.0, 1.0)}),
    (operations.RandomCut, {"scale": (1.0, 1.0)}),
]


@pytest.mark.parametrize(("kind", "values"), NEUTRAL, ids=[kind.__name__ for kind, _ in NEUTRAL])
def test_neutral_parameters_change_nothing(kind: type[Operation], values: dict[str, Any]) -> None:
    clip = still(56, 56)
    assert torch.allclose(applied(clip, made(kind, **values), seeded(4)), clip, atol=1e-6)


@pytest.mark.parametrize("kind", [operations.HorizontalFlip, operations.VerticalFlip])
def test_flips_undo_themselves(kind: type[Operation]) -> None:
    clip = still()
    assert torch.equal(applied(applied(clip, made(kind), seeded()), made(kind), seeded()), clip)


REARRANGING = [operations.HorizontalFlip, operations.VerticalFlip, operations.BlockShuffle]


@pytest.mark.parametrize("kind", REARRANGING)
def test_rearranged_pixels_are_the_same_pixels(kind: type[Operation]) -> None:
    clip = still()
    found = applied(clip, made(kind), seeded(5))
    assert torch.equal(found.flatten(1).sort(1).values, clip.flatten(1).sort(1).values)


def test_blur_is_pillows_away_from_the_edge() -> None:
    clip = (still() * 255).round() / 255
    image = Image.fromarray((clip[:, 0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
    wanted = torch.from_numpy(np.array(image.filter(ImageFilter.BLUR))).permute(2, 0, 1)
    found = applied(clip, made(operations.RingBlur), seeded())[:, 0] * 255
    assert (found - wanted)[:, 2:-2, 2:-2].abs().max() <= 1.01


@pytest.mark.parametrize(
    ("kind", "shares"),
    [
        (operations.PepperSalt, {0.0: 0.05, 1.0: 0.05}),
        (operations.ImpulseNoise, {0.0: 0.135, 1.0: 0.135}),
    ],
    ids=["pepper-salt", "impulse-noise"],
)
def test_shares_of_noise(kind: type[Operation], shares: dict[float, float]) -> None:
    values = {"snr": 0.9} if kind is operations.PepperSalt else {"severity": (5, 5)}
    found = applied(torch.full((3, 1, 100, 100), 0.5), made(kind, **values), seeded(6))
    for value, share in shares.items():
        assert (found == value).float().mean() == pytest.approx(share, abs=0.01)
    if kind is operations.PepperSalt:
        assert torch.equal(found[0], found[1])
    else:
        assert not torch.equal(found[0], found[1])


def test_colour_points_are_of_four_kinds() -> None:
    found = applied(torch.full((3, 1, 200, 200), 0.5), made(operations.ColourPoints, snr=0.6), seeded(6))
    for colour in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.5)):
        share = (found == torch.tensor(colour).view(3, 1, 1, 1)).all(0).float().mean()
        assert share == pytest.approx(0.6 if colour[0] == 0.5 else 0.1, abs=0.01)


@pytest.mark.parametrize(("grade", "photons"), [(1, 60), (3, 12), (5, 3)])
def test_shot_noise_is_poisson(grade: int, photons: int) -> None:
    found = applied(torch.full((3, 1, 150, 150), 0.4), made(operations.ShotNoise, severity=(grade, grade)), seeded(7))
    counts = found * photons
    assert torch.allclose(counts, counts.round(), atol=1e-4)
    if photons > 10:
        assert found.mean() == pytest.approx(0.4, abs=0.005)
        assert found.var() == pytest.approx(0.4 / photons, rel=0.06)
    assert (found == 0).float().mean() == pytest.approx(np.exp(-0.4 * photons), abs=0.01)


def test_fog_keeps_the_brightest_value_of_the_clip() -> None:
    clip = still() * 0.7
    found = applied(clip, made(operations.Fog, severity=(1, 1)), seeded())
    assert found.max() <= clip.max() + 1e-6
    assert found.mean() > 0.5 * clip.mean()
    assert found.std() < clip.std()


def test_graded_tones() -> None:
    clip = still()
    flat = applied(clip, made(operations.Contrast, severity=(5, 5)), seeded())
    mean = clip.mean((2, 3), keepdim=True)
    assert torch.allclose(flat, mean + 0.05 * (clip - mean), atol=1e-6)
    brighter = applied(clip * 0.5, made(operations.Brightness, severity=(2, 2)), seeded())
    assert torch.allclose(brighter.amax(0), clip.amax(0) * 0.5 + 0.2, atol=1e-5)
    pale = applied(clip, made(operations.Saturate, severity=(1, 1)), seeded())
    spans = [(one.amax(0) - one.amin(0)) / one.amax(0) for one in (clip, pale)]
    assert torch.allclose(spans[1], spans[0] * 0.3, atol=1e-4)
    grey = torch.full((3, 1, 4, 4), 0.3)
    assert torch.allclose(applied(grey, made(operations.Saturate, severity=(5, 5)), seeded()), grey)


def test_compress_goes_through_256_levels() -> None:
    found = applied(still(), made(operations.Compress), seeded()) * 255
    assert torch.allclose(found, found.round(), atol=1e-4)


def test_lengths_grow_with_the_frame() -> None:
    sizes = []
    for side in (112, 224, 448):
        clip = torch.full((3, 1, side, side), 0.5)
        found = applied(clip, made(operations.Mosaic, side=(20, 20)), seeded(1))
        sizes.append(int((found != clip).any(0).sum()))
    assert sizes == [10 * 10, 20 * 20, 40 * 40]


def test_elastic_moves_less_at_the_third_grade() -> None:
    """Its three finer grades hardly turn the frame: the affine part is a fifth of the coarser ones'."""
    clip = still(64, 64)
    coarse, fine = (
        np.mean([float((applied(clip, made(operations.Elastic, severity=(g, g)), seeded(s)) - clip).abs().mean())
                 for s in range(8)])
        for g in (2, 3)
    )  # fmt: skip
    assert fine < coarse


def test_probabilities_are_kept() -> None:
    clip = torch.zeros(3, 1, 8, 8)
    clip[..., 0] = 1
    often = [made(operations.HorizontalFlip, probability=0.2), made(operations.VerticalFlip, probability=0.0)]
    generator = seeded(0)
    found = [not torch.equal(applied_by_chance(clip, often, generator), clip) for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.2, abs=0.04)


def test_the_list_is_the_published_one() -> None:
    assert len(OPERATIONS) == 33
    assert all(kind().probability == 0.05 for kind in OPERATIONS)


def test_ranges_are_checked() -> None:
    for kind, values in (
        (operations.Rain, {"beta": (0.9, 0.2)}),
        (operations.Fog, {"severity": (0, 3)}),
        (operations.PepperSalt, {"snr": 1.1}),
        (operations.Mosaic, {"side": (0, 3)}),
        (operations.Rotate, {"angle": 3}),
    ):
        with pytest.raises(ValueError, match="1 validation error"):
            made(kind, **values)
