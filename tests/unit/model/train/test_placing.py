"""Where training clips lie: scales by their rule, crops within the frame, parts of the area that was asked."""

import math

import pytest
import torch
from torch.nn import functional

from vidbench.errors import UsageError
from vidbench.model.train.placing import Placing, centred, parse_area, parse_jitter, random_part, scaled_crop
from vidbench.model.zoo import Preprocess
from vidbench.video.sampling import scaled_size

SMALL = Preprocess(frames=4, stride=3, short_side=40, crop=32, wide=32)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(height: int = 48, width: int = 72, frames: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (frames, 3, height, width), generator=seeded(5), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("size", "wanted", "box"),
    [
        ((48, 72), (60, 40), (0, 0, 60, 40)),
        ((48, 72), (60, 40), (11, 3, 43, 35)),
        ((48, 72), (72, 48), (40, 16, 72, 48)),
        ((48, 72), (105, 70), (73, 38, 105, 70)),
        ((30, 20), (47, 71), (0, 39, 32, 71)),
    ],
    ids=["whole", "inside", "unscaled", "enlarged", "upright"],
)
def test_a_scaled_crop_is_the_crop_of_the_scaled(size, wanted, box) -> None:
    frames = images(*size)
    width, height = wanted
    whole = functional.interpolate(frames.float() / 255, size=(height, width), mode="bilinear", align_corners=False)
    left, top, right, bottom = box
    found = scaled_crop(frames, width, height, box)
    assert found.shape == (2, 3, bottom - top, right - left)
    assert torch.allclose(found, whole[:, :, top:bottom, left:right], atol=1e-5)


@pytest.mark.parametrize("crop", ["jitter", "random-resized"])
def test_clips_are_in_range_and_of_the_right_shape(crop: str) -> None:
    placing = Placing.of(SMALL, 1.25, "uniform", crop, 0.5)
    for seed in range(30):
        draw = torch.rand(4, generator=seeded(seed)).tolist()
        clip = placing(images(), draw, seeded(seed))
        assert clip.shape == (3, 2, 32, 32)
        assert 0 <= float(clip.min()) <= float(clip.max()) <= 1
        assert torch.equal(clip, placing(images(), draw, seeded(seed)))


def test_short_sides_follow_their_rule() -> None:
    uniform = Placing.of(SMALL, "40-80", "uniform", "jitter", 0.5)
    inverse = Placing.of(SMALL, "40-80", "inverse", "jitter", 0.5)
    drawn = torch.linspace(0, 1, 2001).tolist()
    assert (uniform._side(0), uniform._side(1)) == (40, 80)
    assert (inverse._side(0), inverse._side(1)) == (80, 40)
    assert sum(map(uniform._side, drawn)) / 2001 == pytest.approx(60, abs=0.1)
    # the mean of a number whose inverse is uniform in [1/80, 1/40]
    assert sum(map(inverse._side, drawn)) / 2001 == pytest.approx(80 * math.log(2), abs=0.1)
    assert (uniform.short_side, Placing.of(SMALL, 1.25, "uniform", "random-resized", 0.5).short_side) == (80, 64)


def test_a_flip_mirrors_and_a_zero_never_does() -> None:
    half = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    half[..., 32:] = 255
    plain = Preprocess(frames=2, stride=1, short_side=64, crop=64, wide=64)
    for seed in range(5):
        draw = torch.rand(4, generator=seeded(seed)).tolist()
        never, always = (Placing.of(plain, 1.0, "uniform", "jitter", flip)(half, draw, seeded()) for flip in (0.0, 1.0))
        assert float(never[..., 48:].mean()) > 0.9
        assert float(always[..., :16].mean()) > 0.9


def test_random_parts_have_the_area_and_the_aspect() -> None:
    boxes = [random_part(160, 120, (0.2, 0.5), seeded(seed)) for seed in range(400)]
    areas = [(x1 - x0) * (y1 - y0) / (160 * 120) for x0, y0, x1, y1 in boxes]
    aspects = [(x1 - x0) / (y1 - y0) for x0, y0, x1, y1 in boxes]
    assert all(0 <= x0 < x1 <= 160 and 0 <= y0 < y1 <= 120 for x0, y0, x1, y1 in boxes)
    assert 0.19 < min(areas) < 0.22
    assert 0.48 < max(areas) < 0.52
    assert sum(areas) / 400 == pytest.approx(0.35, abs=0.02)
    assert 0.73 < min(aspects) < 0.8
    assert 1.25 < max(aspects) < 1.37
    # nothing of this aspect has so much of a strip
    assert random_part(400, 30, (1.0, 1.0), seeded()) == (180, 0, 220, 30)


def test_the_centre_is_the_protocols() -> None:
    frames = images(60, 90)
    width, height = scaled_size(90, 60, 40)
    whole = functional.interpolate(frames.float() / 255, size=(height, width), mode="bilinear", align_corners=False)
    assert torch.allclose(centred(frames, SMALL), whole[:, :, 4:36, 14:46].transpose(0, 1), atol=1e-5)


@pytest.mark.parametrize("value", ["1.5", 1.5, "256-320", "4", 1])
def test_jitter_as_it_is_written(value) -> None:
    assert parse_jitter(value) == ("256-320" if value == "256-320" else float(value))


@pytest.mark.parametrize("value", ["0.5", "5", "320-256", "0-10", "large", "nan", "1-2-3", ""])
def test_no_jitter(value) -> None:
    with pytest.raises(ValueError, match=r"short sides|multiple"):
        parse_jitter(value)


def test_crops_as_they_are_written() -> None:
    assert parse_area("jitter") is None
    assert parse_area("random-resized") == (0.08, 1.0)
    assert parse_area("random-resized:.2..0.5") == (0.2, 0.5)
    for wrong in ("centre", "random-resized:", "random-resized:0..1", "random-resized:0.5..0.2", "random-resized:1..2"):
        with pytest.raises(ValueError, match="share"):
            parse_area(wrong)


def test_what_does_not_go_together() -> None:
    with pytest.raises(UsageError, match="does not fit into a short side of 24"):
        Placing.of(SMALL, "24-48", "uniform", "jitter", 0.5)
    with pytest.raises(UsageError, match="no short side"):
        Placing.of(SMALL, 1.5, "uniform", "random-resized", 0.5)
