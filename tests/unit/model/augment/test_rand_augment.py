"""RandAugment: magnitudes and operations beside timm's on Pillow images, and how often what is drawn."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vidbench.model.augment import rand_augment as module
from vidbench.model.augment.magnitude import OPERATIONS, RandAugmentPolicy, argument, parse_randaugment
from vidbench.model.augment.rand_augment import change, drawn_magnitude, rand_augment

TIMM = {"TranslateX": "TranslateXRel", "TranslateY": "TranslateYRel"}
VARIED = ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")
WARPS = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")


def picture(height: int = 40, width: int = 56) -> Image.Image:
    """A smooth, coloured picture with all sorts of levels."""
    down, across = np.mgrid[0:height, 0:width]
    waves = [np.sin(down / 7 + shift) + np.cos(across / 9 - shift) for shift in (0.0, 1.0, 2.5)]
    return Image.fromarray(np.stack([(wave + 2) / 4 * 215 + 20 for wave in waves], -1).round().astype(np.uint8))


def clip_of(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[:, None].float().div(255).repeat(1, 3, 1, 1)


def timm_name(name: str, increasing: bool) -> str:
    return TIMM.get(name, name + "Increasing" if increasing and name in VARIED else name)


@pytest.mark.parametrize("increasing", [True, False], ids=["increasing", "plain"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_arguments_are_timms(name: str, increasing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = pytest.importorskip("timm.data.auto_augment")
    level_of = reference.LEVEL_TO_ARG[timm_name(name, increasing)]
    for magnitude in (0, 1, 2.5, 5, 7, 9.9, 10):
        for sign in (1, -1):
            monkeypatch.setattr(reference, "_randomly_negate", lambda value, sign=sign: sign * value)
            wanted = (0.0,) if level_of is None else level_of(magnitude, {})
            assert argument(name, magnitude, increasing, sign) == pytest.approx(wanted[0])


@pytest.mark.parametrize("magnitude", [3, 7, 9])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_timms_on_pillow_images(name: str, magnitude: int) -> None:
    reference = pytest.importorskip("timm.data.auto_augment")
    image = picture()
    for sign in (1, -1):
        amount = argument(name, magnitude, True, sign)
        args = () if name in ("AutoContrast", "Equalize", "Invert") else (amount,)
        operation = reference.NAME_TO_OP[timm_name(name, True)]
        named = {"fillcolor": (128, 128, 128), "resample": Image.Resampling.BILINEAR} if name in WARPS else {}
        wanted = clip_of(operation(image, *args, **named))
        if name in ("TranslateX", "TranslateY"):
            # the direction is drawn; Pillow's argument says where a pixel comes from
            amount = -amount
        found = change(clip_of(image), name, amount)
        off = (found - wanted).abs() * 255
        if name in WARPS:
            # Pillow fills a pixel whose middle lies outside, torchvision blends it: the seam is left out
            seam = (change(torch.ones_like(found), name, amount) - 1).abs() > 0
            known = (change(torch.ones_like(found), name, amount) - module.FILL).abs() > 1e-4
            inside = ~seam & known
            assert inside.float().mean() > 0.3
            assert off[inside].max() <= 1.5
            assert off.mean() < 2.5
        else:
            # Pillow rounds grey means and results to whole levels
            assert off.max() <= {"AutoContrast": 1.01, "Sharpness": 2.0}.get(name, 1.51)


NEUTRAL = ("Rotate", "Solarize", "SolarizeAdd", "Color", "Contrast", "Brightness", "Sharpness", *WARPS[1:])


@pytest.mark.parametrize("name", NEUTRAL)
def test_magnitude_0_of_the_increasing_variant_does_nothing(name: str) -> None:
    clip = clip_of(picture())
    for sign in (1, -1):
        assert torch.allclose(change(clip, name, argument(name, 0, True, sign)), clip, atol=1e-5)


def test_the_others_have_no_neutral_magnitude() -> None:
    assert set(OPERATIONS) - set(NEUTRAL) == {"AutoContrast", "Equalize", "Invert", "Posterize"}
    clip = clip_of(picture())
    assert torch.equal(change(clip, "Invert", 0.0), 1 - clip)
    four_bits = (clip * 255).round().to(torch.uint8) & 0xF0
    assert torch.equal(change(clip, "Posterize", argument("Posterize", 0, True, 1)), four_bits.float() / 255)


def test_grey_at_an_edge_of_grey_stays_grey() -> None:
    clip = torch.full((3, 2, 24, 32), module.FILL)
    for name in WARPS:
        assert torch.allclose(change(clip, name, argument(name, 7, True, 1)), clip, atol=1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_still_clip_stays_still_and_in_range(name: str) -> None:
    clip = clip_of(picture())
    kept = clip.clone()
    for magnitude in (0, 7, 10):
        found = change(clip, name, argument(name, magnitude, True, -1))
        assert found.shape == clip.shape
        assert torch.equal(found[:, :1].expand_as(found), found)
        assert torch.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1
    assert torch.equal(clip, kept)


def test_how_often_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float]] = []

    def noted(clip: Tensor, name: str, amount: float) -> Tensor:
        calls.append((name, amount))
        return clip

    monkeypatch.setattr(module, "change", noted)
    generator = torch.Generator().manual_seed(0)
    clip = torch.zeros(3, 1, 2, 2)
    for _ in range(1500):
        rand_augment(clip, parse_randaugment("m7-n4-mstd0.5-inc1"), generator)
    assert len(calls) == pytest.approx(1500 * 4 * 0.5, rel=0.05)
    counts = Counter(name for name, _ in calls)
    assert set(counts) == set(OPERATIONS)
    assert max(counts.values()) < 1.35 * min(counts.values())
    turns = [amount for name, amount in calls if name == "Rotate"]
    assert sum(turn > 0 for turn in turns) / len(turns) == pytest.approx(0.5, abs=0.12)
    assert np.mean(np.abs(turns)) == pytest.approx(21, abs=0.5)
    assert np.std(np.abs(turns)) == pytest.approx(1.5, abs=0.3)


def test_magnitudes_are_cut_off_and_may_be_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    wide = [drawn_magnitude(RandAugmentPolicy(9.0, spread=5.0), generator) for _ in range(300)]
    assert max(wide) == 10
    assert min(wide) >= 0
    even = [drawn_magnitude(parse_randaugment("m8-mstd101"), generator) for _ in range(500)]
    assert 0 <= min(even) < 0.5
    assert 7.5 < max(even) <= 8
    assert drawn_magnitude(parse_randaugment("m8"), generator) == 8


def test_policies() -> None:
    assert parse_randaugment("rand-m7-n4-mstd0.5-inc1") == RandAugmentPolicy(7.0, 4, 0.5, True, 0.5)
    assert parse_randaugment("m9-n3-p1") == RandAugmentPolicy(9.0, 3, 0.0, False, 1.0)
    assert math.isinf(parse_randaugment("mstd101").spread)
    assert parse_randaugment("mstd100").spread == 100


@pytest.mark.parametrize("text", ["", "m", "m11", "n0", "n1.5", "p2", "inc2", "m7-m8", "x3", "rand-m7 n2", "m7--n2"])
def test_wrong_policies(text: str) -> None:
    with pytest.raises(ValueError, match="randaugment"):
        parse_randaugment(text)
