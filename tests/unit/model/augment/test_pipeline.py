"""The whole of clip augmentation: off by default, still, deterministic, independent of order."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from vidbench.model.augment import frames
from vidbench.model.augment.colour import jitter
from vidbench.model.augment.erasing import erase, erasing_box
from vidbench.model.augment.pipeline import ClipAugment
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.augment.specs import settings_from

EVERYTHING = settings_from(
    [
        "jitter-brightness",
        "jitter-contrast",
        "jitter-saturation",
        "jitter-hue",
        "grey",
        "randaugment",
        "erasing:0.5",
        "w4:0.1",
    ]
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clip(still: bool = True) -> Tensor:
    frame = torch.rand(3, 1 if still else 4, 32, 40, generator=seeded(5))
    return frame.repeat(1, 4, 1, 1) if still else frame


def test_off_gives_the_very_clip() -> None:
    assert not AugmentSettings().changes_clips
    assert not AugmentSettings().mixes
    one = clip()
    assert ClipAugment(AugmentSettings())(one, seeded()) is one


def test_everything_at_once() -> None:
    assert EVERYTHING.changes_clips
    augment, one = ClipAugment(EVERYTHING), clip()
    kept = one.clone()
    changed = 0
    for seed in range(40):
        found = augment(one, seeded(seed))
        assert found.shape == one.shape
        assert torch.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1
        assert torch.equal(found, found[:, :1].expand_as(found))
        changed += not torch.equal(found, one)
    assert changed >= 38
    assert torch.equal(one, kept)


def test_nothing_but_settings_clip_and_generator_counts() -> None:
    clips = [clip(still=False).roll(step, 3) for step in range(4)]
    augment = ClipAugment(EVERYTHING)
    forward = [augment(one, seeded(place)) for place, one in enumerate(clips)]
    torch.manual_seed(99)
    state = torch.get_rng_state()
    backward = [ClipAugment(EVERYTHING)(clips[place], seeded(place)) for place in reversed(range(4))]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, two) for one, two in zip(forward, reversed(backward), strict=True))


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(4, 3, 8, 8), torch.zeros(3, 8, 8), torch.zeros(3, 2, 8, 8, dtype=torch.uint8)],
    ids=["frames-first", "image", "bytes"],
)
def test_no_clip(wrong: Tensor) -> None:
    with pytest.raises(ValueError, match="a clip is"):
        ClipAugment(EVERYTHING)(wrong, seeded())


def test_neutral_colours() -> None:
    one = clip()
    for change in (frames.bright, frames.contrasted, frames.saturated, frames.sharpened):
        assert torch.allclose(change(one, 1.0), one, atol=1e-6)
    assert frames.hued(one, 0.0) is one
    assert torch.allclose(frames.hued(one, 1e-7), one, atol=1e-4)
    assert torch.equal(jitter(one, AugmentSettings(), seeded()), one)
    assert jitter(one, AugmentSettings(brightness=0.5, colour_probability=0.0), seeded()) is one


def test_jitter_is_torchvisions_given_its_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    from vidbench.model.augment import colour

    made = v2.ColorJitter(0.4, 0.3, 0.2, 0.1)
    torch.manual_seed(3)
    params = made.make_params([])
    order = [int(place) for place in params["fn_idx"]]
    names = ("brightness", "contrast", "saturation", "hue")
    wanted = [params[f"{names[place]}_factor"] - (names[place] != "hue") for place in order]
    monkeypatch.setattr(made, "make_params", lambda _: params)
    amounts = iter(float(value) for value in wanted)
    monkeypatch.setattr(colour, "uniform", lambda *_: next(amounts))
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: torch.tensor(order))
    settings = AugmentSettings(brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)
    one = clip(still=False)
    expected = made(one.transpose(0, 1)).transpose(0, 1)
    assert torch.allclose(jitter(one, settings, seeded()), expected, atol=1e-6)


def test_factors_are_uniform_around_one() -> None:
    settings, generator = AugmentSettings(brightness=0.4), seeded(1)
    half = torch.full((3, 1, 2, 2), 0.5)
    factors = torch.stack([jitter(half, settings, generator)[0, 0, 0, 0] * 2 for _ in range(600)])
    assert 0.6 <= factors.min() < 0.61
    assert 1.39 < factors.max() <= 1.4
    assert factors.mean() == pytest.approx(1.0, abs=0.03)


def test_grey_and_erasing_come_as_often_as_said() -> None:
    one, generator = clip(), seeded(2)
    grey = ClipAugment(AugmentSettings(grey=0.2))
    found = [grey(one, generator) for _ in range(500)]
    shares = [torch.equal(each[0], each[2]) for each in found]
    assert sum(shares) / 500 == pytest.approx(0.2, abs=0.06)
    erasing = ClipAugment(AugmentSettings(erasing=0.25))
    shares = [not torch.equal(erasing(one, generator), one) for _ in range(500)]
    assert sum(shares) / 500 == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("mode", ["pixel", "const"])
def test_one_rectangle_through_all_frames(mode: str) -> None:
    one = clip(still=False)
    settings = AugmentSettings.model_validate({"erasing": 1.0, "erasing_mode": mode})
    for seed in range(10):
        left, top, right, bottom = erasing_box(settings, 32, 40, seeded(seed))
        found = erase(one, settings, seeded(seed))
        inside = found[..., top:bottom, left:right]
        assert torch.equal(inside, inside[:, :1].expand_as(inside))
        if mode == "const":
            assert (inside == 0.45).all()
        outside = torch.ones(32, 40, dtype=torch.bool)
        outside[top:bottom, left:right] = False
        assert torch.equal(found[..., outside], one[..., outside])


def test_areas_and_ratios_are_within_their_bounds() -> None:
    settings, generator = AugmentSettings(erasing=1.0, erasing_area=(0.05, 0.2)), seeded(3)
    boxes = [erasing_box(settings, 200, 200, generator) for _ in range(400)]
    assert None not in boxes
    areas = [(right - left) * (bottom - top) / 200**2 for left, top, right, bottom in boxes]
    ratios = [math.log((bottom - top) / (right - left)) for left, top, right, bottom in boxes]
    assert 0.048 < min(areas) < 0.06
    assert 0.19 < max(areas) < 0.203
    assert max(map(abs, ratios)) < -math.log(0.3) + 0.05
    assert sum(ratios) / 400 == pytest.approx(0, abs=0.15)


def test_noise_has_the_spread_of_normalised_noise() -> None:
    settings = AugmentSettings(erasing=1.0, erasing_area=(0.3, 0.3), erasing_aspect=1.0)
    left, top, right, bottom = erasing_box(settings, 200, 200, seeded())
    inside = erase(torch.zeros(3, 1, 200, 200), settings, seeded())[..., top:bottom, left:right]
    assert inside.mean() == pytest.approx(0.45, abs=0.02)
    assert inside.std() == pytest.approx(0.22, abs=0.02)


def test_a_rectangle_that_fits_nowhere() -> None:
    settings = AugmentSettings(erasing=1.0, erasing_area=(1.0, 1.0))
    one = clip()
    assert erasing_box(settings, 32, 32, seeded()) is None
    assert ClipAugment(settings)(one[..., :32], seeded()).equal(one[..., :32])


@pytest.mark.parametrize(
    "wrong",
    [{"brightness": 1.1}, {"hue": 0.6}, {"erasing_area": (0.3, 0.2)}, {"randaugment": "m99"}, {"mixup": -1},
     {"mixup": math.inf}, {"smoothing": 1.0}, {"erasing_mode": "rand"}, {"flip": 0.5}, {"w4": ({"name": "hail"},)}],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        AugmentSettings.model_validate(wrong)


def test_settings_survive_json() -> None:
    assert AugmentSettings.model_validate_json(EVERYTHING.model_dump_json()) == EVERYTHING
