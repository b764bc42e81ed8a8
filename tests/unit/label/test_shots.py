"""vidbench/label/shots.py: hard cuts and nothing else."""

import time

import numpy as np
import pytest
from PIL import Image

from vidbench.label.shots import ShotWatch


def place(seed: int, size: tuple[int, int] = (180, 320)) -> np.ndarray:
    """Blocks of colours."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(20, 235, (9, 16, 3)).astype(np.uint8)
    return np.kron(blocks, np.ones((size[0] // 9, size[1] // 16, 1), np.uint8))


def cuts(images: list[np.ndarray]) -> list[int]:
    watch = ShotWatch()
    return [number for number, image in enumerate(images) if watch.is_cut(image)]


def test_a_hard_cut_fires_once() -> None:
    assert cuts([place(1)] * 5 + [place(2)] * 5 + [place(3)]) == [5, 10]


@pytest.mark.parametrize("seed", range(8))
def test_cuts_between_any_places(seed: int) -> None:
    assert cuts([place(seed), place(seed), place(seed + 100)]) == [2]


def test_a_cut_to_a_plain_picture_and_back() -> None:
    plain = np.full_like(place(1), (40, 90, 160))
    assert cuts([place(1), place(1), plain, plain, place(1)]) == [2, 4]


def test_a_shot_of_one_picture() -> None:
    assert cuts([place(1), place(2), place(3), place(4)]) == [1, 2, 3]


def test_walkers_are_no_cut() -> None:
    images = []
    for step in range(40):
        image = place(1).copy()
        # three, of whom one is near and covers a third of the picture
        for x, y, width, height, colour in ((step * 12, 60, 25, 90, 200), (300 - step * 9, 40, 40, 130, 30)):
            image[y : y + height, max(0, x) : max(0, x + width)] = colour
        image[:, max(0, 18 * step - 100) : max(0, 18 * step)] = (90, 20, 120)
        images.append(image)
    assert cuts(images) == []


@pytest.mark.parametrize("light", [0.45, 0.7, 1.4], ids=["dusk", "dim", "bright"])
def test_a_lamp_is_no_cut(light: float) -> None:
    lit = np.clip(place(1) * light, 0, 255).astype(np.uint8)
    assert cuts([place(1), place(1), lit, lit, place(1)]) == []


def test_a_fade_to_black_and_back_is_no_cut() -> None:
    steps = [*np.linspace(1, 0, 12), *np.linspace(0, 1, 12)]
    assert cuts([(place(1) * light).astype(np.uint8) for light in steps]) == []


@pytest.mark.parametrize("pixels", [3, 8, 14])
def test_a_moving_camera_is_no_cut(pixels: int) -> None:
    rough = Image.fromarray(np.concatenate([place(seed) for seed in (1, 2, 3)], axis=1))
    wide = np.asarray(rough.resize((24, 5), Image.Resampling.BOX).resize((960, 180), Image.Resampling.BICUBIC))
    assert cuts([wide[:, pixels * step : pixels * step + 320].copy() for step in range(40)]) == []


def test_a_cut_in_a_moving_shot_is_one() -> None:
    wide = np.concatenate([place(seed) for seed in (1, 2)], axis=1)
    moving = [wide[:, 6 * step : 6 * step + 320].copy() for step in range(20)]
    assert cuts([*moving, place(9), place(9)]) == [20]


def test_noise_and_dark_are_no_cut() -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(place(1) + rng.normal(0, 12, place(1).shape), 0, 255).astype(np.uint8) for _ in range(6)]
    dark = [rng.integers(0, 6, (180, 320, 3)).astype(np.uint8) for _ in range(6)]
    assert cuts(noisy) == []
    assert cuts(dark) == []


def test_tiny_pictures() -> None:
    small = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
    assert cuts([small, small, 255 - small[::-1]]) in ([], [2])


def test_it_costs_little() -> None:
    image = np.random.default_rng(0).integers(0, 255, (720, 1280, 3)).astype(np.uint8)
    watch = ShotWatch()
    watch.is_cut(image)
    began = time.process_time()
    for _ in range(10):
        watch.is_cut(image)
    assert (time.process_time() - began) / 10 < 0.05
