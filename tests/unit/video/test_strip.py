"""Film strips: which frames, which pixels, and whole files alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidbench.video.strip import LONGEST_WIDTH, film_strip, save_png, strip_frames


@pytest.mark.parametrize(
    ("total", "chosen"),
    [(1, (0,)), (5, (0, 1, 2, 3, 4)), (8, tuple(range(8))), (16, (0, 2, 4, 6, 9, 11, 13, 15))],
)
def test_frames_reach_from_the_first_to_the_last(total: int, chosen: tuple[int, ...]) -> None:
    assert strip_frames(total) == chosen


def test_rows_and_pictures_are_where_they_belong() -> None:
    rows = [np.full((2, 3, 5, 3), 10 * row, np.uint8) for row in range(2)]
    rows[1][1] = 200
    pixels = np.asarray(film_strip(rows, between=2, shade=128))
    assert pixels.shape == (3 + 4 + 3, 5 + 2 + 5, 3)
    assert (pixels[:3, :5] == 0).all()
    assert (pixels[7:, :5] == 10).all()
    assert (pixels[7:, 7:] == 200).all()
    assert (pixels[3:7] == 128).all()
    assert (pixels[:, 5:7] == 128).all()


def test_small_pictures_grow_and_wide_strips_shrink() -> None:
    rows = [np.full((3, 20, 40, 3), 77, np.uint8)]
    grown = film_strip(rows, between=2, least_side=80, shade=0)
    assert grown.size == (3 * 80 + 4, 40)
    assert np.asarray(grown)[20, 10].tolist() == [77, 77, 77]
    assert film_strip(rows, least_side=30).size == (120, 20)
    assert film_strip([np.zeros((8, 320, 320, 3), np.uint8)]).size == (LONGEST_WIDTH, 160)
    with pytest.raises(ValueError, match="different shapes"):
        film_strip([rows[0], rows[0][:2]])


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    save_png(tmp_path / "deep" / "a.png", image)
    with Image.open(tmp_path / "deep" / "a.png") as found:
        assert found.size == (4, 4)
    # of a mode that PNG does not have
    with pytest.raises(OSError, match="cannot write mode"):
        save_png(tmp_path / "deep" / "b.png", image.convert("CMYK"))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]
