"""Image files as the frames of a video, with Pillow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vidbench.video.clip import Frames, VideoError, VideoInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from vidbench.video.decoder import Wanted
    from vidbench.video.fit import Fit

IMAGE_ENDINGS = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".webp"))
"""What makes a file an image here, in any case of letters."""
CODEC = "images"
"""What `VideoInfo.codec` says of image files."""
FPS = Fraction(30)
"""The rate of image files: they tell none, so 30 is written down for all, which the protocols count in; a stride of
2 is every second image."""

# the only readers that a file is offered to, whatever its name
_FORMATS = ("BMP", "JPEG", "PNG", "WEBP")


def is_image_name(name: str) -> bool:
    """Whether a file's name is an image's: by its ending, and not hidden."""
    base = name[name.rfind("/") + 1 :]
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in IMAGE_ENDINGS


def decode_images(path: Path, files: Sequence[Path | str], wanted: Wanted, fit: Fit | None = None) -> Frames:
    """Read the wanted ones of a row of images, as `Decoder` reads a video.

    The first image is always read, to learn the size, the others only where they are wanted. See `read_image` for what
    becomes of a file's pixels.

    Args:
        path: What `VideoInfo.path` says.
        files: The images in the order of time, one or more.
        wanted: As in `Decoder`; called once.
        fit: The size that the images get; None keeps theirs.

    Raises:
        VideoError: A file cannot be read, or is not of the size of the first; the frame is named where there are
            several.
    """
    import numpy as np

    def told(index: int) -> str:
        return f"frame {index}, {files[index]}: " if len(files) > 1 else ""

    first = _read(files[0], told(0))
    height, width = first.shape[:2]
    info = VideoInfo(path, CODEC, width, height, FPS, len(files))
    indices = tuple(sorted(set(wanted(info))))
    if not indices or indices[0] < 0 or indices[-1] >= len(files):
        raise ValueError(f"indices must lie in [0, {len(files)}), got {indices[:1]} to {indices[-1:]}")
    kept = []
    for index in indices:
        image = first if index == 0 else _read(files[index], told(index))
        if image.shape != first.shape:
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise VideoError(f"{told(index)}{size} pixels, where frame 0 has {width}x{height}")
        kept.append(image if fit is None else fit.image(image))
    return Frames(info, indices, np.stack(kept))


def read_image(file: Path | str) -> NDArray[np.uint8]:
    """One image, `(H, W, 3)` uint8 RGB in [0, 255].

    * The picture as it is stored: a rotation that EXIF asks for is not applied, as torchvision's `ImageFolder` does
      not and `VideoInfo` does not for videos.
    * Grey is repeated, palettes are looked up, CMYK goes through Pillow's plain conversion, no colour profile is used.
    * Transparency is dropped, not blended with a background.
    * Of 16 bits the upper 8 are kept.
    * Of several pictures in a file (animations, cameras' MPO) the first is taken.

    Raises:
        VideoError: No such file, not an image, or cut off.
    """
    return _read(file, "")


def _read(file: Path | str, told: str) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file, formats=_FORMATS) as image:
            pixels = np.asarray(_rgb(image), np.uint8)
    except FileNotFoundError:
        raise VideoError(f"{told}no such file") from None
    except UnidentifiedImageError:
        raise VideoError(f"{told}{_unreadable(file)}") from None
    except Image.DecompressionBombError:
        raise VideoError(f"{told}more pixels than Pillow takes for an image") from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
        # SyntaxError is what Pillow's PNG reader says of a broken file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise VideoError(f"{told}cannot be read: {reason or type(error).__name__}") from None
    return pixels


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # `convert` would clip at 255 and leave a white picture; for RGB of 16 bits Pillow keeps the upper byte, too
        import numpy as np
        from PIL import Image

        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def _unreadable(file: Path | str) -> str:
    try:
        empty = os.path.getsize(file) == 0
    except OSError:
        empty = False
    return "empty file (zero bytes)" if empty else "not a JPEG, PNG, WebP or BMP image"
