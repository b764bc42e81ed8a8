"""Image files as frames: every kind of pixel to RGB of 8 bits, and why a file cannot be read."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidbench.video.clip import VideoError
from vidbench.video.images import decode_images, is_image_name, read_image

WIDTH, HEIGHT = 6, 4
RED = (200, 30, 60)


def solid(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (WIDTH, HEIGHT), colour)  # type: ignore[arg-type]


def palette() -> Image.Image:
    image = solid("P", 7)
    image.putpalette([0] * 21 + list(RED))
    return image


def deep_grey() -> Image.Image:
    return Image.fromarray(np.full((HEIGHT, WIDTH), 200 * 256 + 255, np.uint16))


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("rgb.png", solid("RGB", RED), RED),
        ("grey.png", solid("L", 90), (90, 90, 90)),
        ("bilevel.png", solid("1", 1), (255, 255, 255)),
        ("palette.png", palette(), RED),
        ("rgba.png", solid("RGBA", (*RED, 10)), RED),
        ("grey_alpha.png", solid("LA", (90, 0)), (90, 90, 90)),
        ("deep.png", deep_grey(), (200, 200, 200)),
        ("lossless.webp", solid("RGB", RED), RED),
        ("colour.bmp", solid("RGB", RED), RED),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, name: str, image: Image.Image, expected: tuple[int, ...]) -> None:
    image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    pixels = read_image(tmp_path / name)
    assert (pixels.shape, pixels.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert (pixels == expected).all()


def test_sixteen_bits_of_grey_keep_their_upper_eight(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert (read_image(tmp_path / "deep.png")[..., 1] == ramp >> 8).all()


def test_cmyk_jpeg_and_jpeg_of_any_spelling(tmp_path: Path) -> None:
    # no ink but half of the black: a middle grey
    solid("CMYK", (0, 0, 0, 128)).save(tmp_path / "ink.JPEG", quality=100)
    assert np.abs(read_image(tmp_path / "ink.JPEG").astype(int) - 127).max() <= 2
    solid("RGB", RED).save(tmp_path / "x.JPG", quality=100)
    assert np.abs(read_image(tmp_path / "x.JPG").astype(int) - RED).max() <= 3


def test_a_png_named_jpg_is_told_by_its_content(tmp_path: Path) -> None:
    solid("RGB", RED).save(tmp_path / "x.jpg", format="PNG")
    assert (read_image(tmp_path / "x.jpg") == RED).all()


def test_exif_rotation_is_not_applied(tmp_path: Path) -> None:
    """As in torchvision's loader: the published accuracies of image models are over the pictures as stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    solid("RGB", RED).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (HEIGHT, WIDTH, 3)


def test_the_first_picture_of_an_animation(tmp_path: Path) -> None:
    solid("RGB", RED).save(
        tmp_path / "moving.webp", save_all=True, append_images=[solid("RGB", (0, 0, 255))], lossless=True
    )
    assert (read_image(tmp_path / "moving.webp") == RED).all()
    # what cameras with two lenses write, by the name of a JPEG
    solid("RGB", RED).save(
        tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[solid("RGB", (0, 0, 255))], quality=100
    )
    assert np.abs(read_image(tmp_path / "x.jpg").astype(int) - RED).max() <= 3


def noise(size: tuple[int, int] = (64, 48)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".bmp"])
def test_a_truncated_image_is_refused_at_every_cut(tmp_path: Path, ending: str) -> None:
    stream = io.BytesIO()
    noise().save(stream, {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}[ending])
    whole = stream.getvalue()
    for share in (0.02, 0.3, 0.7, 0.95):
        path = tmp_path / f"cut{share}{ending}"
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(VideoError) as caught:
            read_image(path)
        assert str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"^no such file$"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(VideoError, match=r"^empty file \(zero bytes\)$"):
        read_image(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("not an image at all")
    with pytest.raises(VideoError, match=r"^not a JPEG, PNG, WebP or BMP image$"):
        read_image(tmp_path / "text.png")
    solid("P", 0).save(tmp_path / "other.jpg", format="GIF")
    with pytest.raises(VideoError, match=r"^not a JPEG, PNG, WebP or BMP image$"):
        read_image(tmp_path / "other.jpg")
    with pytest.raises(VideoError, match=r"^cannot be read: Is a directory$"):
        read_image(tmp_path)
    noise().save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=r"^cannot be read: .*truncated"):
        read_image(tmp_path / "half.jpg")


def test_a_picture_beyond_all_sizes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    solid("RGB", RED).save(tmp_path / "x.png")
    with pytest.raises(VideoError, match="more pixels than"):
        read_image(tmp_path / "x.png")


def frames_in(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{index:04d}.png" for index in range(count)]
    for index, path in enumerate(paths):
        solid("RGB", (index, 0, 0)).save(path)
    return paths


def test_the_wanted_frames_alone_are_read(tmp_path: Path) -> None:
    paths = frames_in(tmp_path, 10)
    paths[5].unlink()
    asked = []

    def wanted(info: object) -> list[int]:
        asked.append(info)
        return [7, 3, 7, 9]

    frames = decode_images(tmp_path, paths, wanted)
    assert frames.indices == (3, 7, 9)
    assert frames.data[:, 0, 0, 0].tolist() == [3, 7, 9]
    info = frames.info
    assert asked == [info]
    assert (info.path, info.codec, info.width, info.height) == (tmp_path, "images", WIDTH, HEIGHT)
    assert (info.fps, info.frames) == (Fraction(30), 10)


def test_the_bad_frame_is_named(tmp_path: Path) -> None:
    paths = frames_in(tmp_path, 4)
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(paths[2])
    with pytest.raises(VideoError) as caught:
        decode_images(tmp_path, paths, lambda info: range(info.frames))
    assert str(caught.value) == f"frame 2, {paths[2]}: 6x5 pixels, where frame 0 has 6x4"
    paths[3].unlink()
    with pytest.raises(VideoError) as caught:
        decode_images(tmp_path, paths, lambda info: [3])
    assert str(caught.value) == f"frame 3, {paths[3]}: no such file"
    for beyond in ([4], [-1], []):
        with pytest.raises(ValueError, match="indices must lie"):
            decode_images(tmp_path, paths, lambda info, beyond=beyond: beyond)


@pytest.mark.parametrize("name", ["a.jpg", "A.JPG", "b/c.JpEg", "x.png", "x.webp", "x.BMP", "a.b.png"])
def test_names_of_images(name: str) -> None:
    assert is_image_name(name)


@pytest.mark.parametrize(
    "name", ["a.mp4", "jpg", ".jpg", "b/.hidden.jpg", "a.jpg/x", "a.gif", "a.tiff", "a.jpg.part", ""]
)
def test_names_of_other_files(name: str) -> None:
    assert not is_image_name(name)


def test_importing_brings_neither_pillow_nor_torch() -> None:
    """Worker processes import it at their start."""
    code = "import sys, vidbench.data.clips; print([m for m in ('PIL', 'torch', 'numpy', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_images_get_the_size_that_is_asked_for(tmp_path: Path) -> None:
    from vidbench.video.fit import Fit

    paths = frames_in(tmp_path, 3)
    frames = decode_images(tmp_path, paths, lambda info: [0, 2], Fit(2))
    assert (frames.info.width, frames.info.height) == (WIDTH, HEIGHT)
    assert (frames.data.shape, frames.data.dtype) == ((2, 2, 3, 3), np.uint8)
    assert np.abs(frames.data[:, 0, 0, 0].astype(int) - [0, 2]).max() <= 1
