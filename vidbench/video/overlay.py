"""Draw class names with bars of their probability onto a video, and write it anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vidbench.errors import InputError
from vidbench.video.clip import VideoError, VideoInfo
from vidbench.video.windows import timed_frames

SMALLEST_TEXT = 9
"""Pixels: what can just be read."""
LARGEST_SHARE = 0.5
"""How much of a frame's height the panel may take; it shows fewer classes where more would."""
_PANEL = (12, 14, 18, 180)
_FIRST = (214, 96, 0, 240)
_OTHER = (82, 96, 122, 240)
_TEXT = (255, 255, 255, 255)
_SHADOW = (0, 0, 0, 170)
_OPTIONS = {"crf": "18", "preset": "veryfast", "g": "48", "mbtree": "0"}


@dataclass(frozen=True)
class Caption:
    """What is shown during a span of a video.

    Attributes:
        start: The first frame of the span.
        end: The frame after its last one.
        rows: Names and their probabilities in [0, 1], the likeliest first.
    """

    start: int
    end: int
    rows: tuple[tuple[str, float], ...]


class Face:
    """A typeface in any size.

    Args:
        file: A TrueType or OpenType file; None is the one that Pillow ships.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self._sizes: dict[int, ImageFont.FreeTypeFont] = {}

    def at(self, pixels: int) -> ImageFont.FreeTypeFont:
        """The typeface with letters `pixels` high, from the top of the tallest to the bottom of the lowest, about."""
        if pixels not in self._sizes:
            made = ImageFont.load_default(pixels) if self.file is None else ImageFont.truetype(self.file, pixels)
            if not isinstance(made, ImageFont.FreeTypeFont):
                raise InputError("Pillow was built without FreeType, and cannot scale text", "Install Pillow's wheel.")
            self._sizes[pixels] = made
        return self._sizes[pixels]

    def lacks(self, text: str) -> str:
        """The characters of `text` that the typeface has no picture of."""
        font = self.at(24)
        # the last code point is nobody's, so it gives the box that stands for what is missing
        box = _picture(font, "\U0010ffff")
        return "".join(sorted({one for one in text if not one.isspace() and _picture(font, one) == box}))

    def check(self, names: Iterable[str]) -> None:
        """Refuse names that would be drawn with boxes in the place of letters.

        Raises:
            InputError: A name has a letter that the typeface lacks.
        """
        for name in names:
            lacking = self.lacks(name + "…%")
            if lacking:
                own = "the font that Pillow ships" if self.file is None else str(self.file)
                raise InputError(
                    f"{own} cannot draw {lacking!r} of the class {name!r}", "Give one that can: --font FILE.ttf."
                )


def _picture(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def load_face(file: Path | None = None) -> Face:
    """A typeface, looked at now.

    Raises:
        InputError: The file is no font.
    """
    face = Face(file)
    try:
        face.at(12)
    except OSError as error:
        raise InputError(f"--font {file}: not a font that can be read: {error}") from error
    return face


def draw_overlay(info: VideoInfo, target: Path, captions: Sequence[Caption], face: Face) -> int:
    """Write a video anew as H.264 in mp4 with captions at its lower edge, and give the number of its frames.

    Every frame keeps its time, counted from the first one, so a variable rate stays variable. A rotation that the
    container asks for is applied. An odd width or height is made even by repeating the last column or row, as
    H.264 in 4:2:0 cannot do without. There is no sound. A frame that several captions cover shows the one whose
    middle is nearest, and a frame that none covers shows none.

    Args:
        info: The source.
        target: The file to write, under whatever name; the caller gives it its final one.
        captions: By rising start.
        face: The typeface.

    Raises:
        VideoError: The source cannot be decoded to its end, or its frames change their size.
    """
    with av.open(str(target), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=info.fps, options=_OPTIONS)
        # more threads would make the bytes depend on the machine
        stream.thread_count = 1
        converter = VideoReformatter()
        panels: dict[int, _Panel] = {}
        first_pts = previous = None
        count = 0
        for frame, number in _captioned(info, captions):
            picture = _upright(frame)
            height, width = picture.shape[:2]
            if count == 0:
                base = frame.time_base or 1 / info.fps
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.time_base = stream.codec_context.time_base = base
                stream.codec_context.sample_aspect_ratio = _pixel_shape(frame)
                step = max(round(1 / info.fps / base), 1)
            if (width, height) != (stream.width, stream.height):
                raise VideoError(f"the frame size changes at frame {count}")
            if number is not None:
                if number not in panels:
                    panels = {number: _Panel(captions[number], width, height, face)}
                panels[number].put(picture)
            colour = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            made = converter.reformat(colour, format="yuv420p", threads=1)
            first_pts = frame.pts if first_pts is None else first_pts
            at = None if frame.pts is None or first_pts is None else frame.pts - first_pts
            # encoders want rising times; a frame without one, or with that of another, follows at the usual distance
            if at is None or (previous is not None and at <= previous):
                at = 0 if previous is None else previous + step
            previous = at
            made.pts, made.time_base = at, base
            made.duration = frame.duration or step
            container.mux(stream.encode(made))
            count += 1
        container.mux(stream.encode(None))
    return count


def _captioned(info: VideoInfo, captions: Sequence[Caption]) -> Iterator[tuple[VideoFrame, int | None]]:
    """Every frame, and which caption it shows."""
    oldest = 0
    for count, (frame, _, _) in enumerate(timed_frames(info)):
        while oldest < len(captions) and captions[oldest].end <= count:
            oldest += 1
        covering = []
        for number in range(oldest, len(captions)):
            if captions[number].start > count:
                break
            if captions[number].end > count:
                covering.append(number)
        yield frame, min(covering, key=lambda n: abs(captions[n].start + captions[n].end - 2 * count - 1), default=None)


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    """`(H, W, 3)` RGB, turned as the container asks for, with even sides; may be written to."""
    image = np.array(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    if frame.rotation % 90 == 0:
        image = np.rot90(image, k=frame.rotation // 90 % 4)
    high, wide = image.shape[0] % 2, image.shape[1] % 2
    if high or wide:
        image = np.pad(image, ((0, high), (0, wide), (0, 0)), mode="edge")
    return image


def _pixel_shape(frame: VideoFrame) -> Fraction:
    shape = getattr(frame, "sample_aspect_ratio", None) or Fraction(1)
    return 1 / shape if frame.rotation % 180 == 90 else shape


class _Panel:
    """The lower part of a frame with a caption's rows, drawn once and laid over many frames."""

    def __init__(self, caption: Caption, width: int, height: int, face: Face) -> None:
        drawn = np.asarray(draw_panel(caption.rows, width, height, face), dtype=np.uint16)
        self._top = height - drawn.shape[0]
        alpha = drawn[:, :, 3:]
        self._colour = drawn[:, :, :3] * alpha
        self._rest = 255 - alpha

    def put(self, picture: NDArray[np.uint8]) -> None:
        """Lay it over `(H, W, 3)` RGB, in place."""
        below = picture[self._top :]
        below[:] = (below * self._rest + self._colour + 127) // 255


def draw_panel(rows: Sequence[tuple[str, float]], width: int, height: int, face: Face) -> Image.Image:
    """The panel for frames of `width` x `height` pixels: RGBA, as wide as the frame.

    A row has the name at the left, shortened by an ellipsis where it does not fit, the probability at the right,
    and behind both a bar as long as the probability. Text is a 22nd of the frame's shorter side, and no smaller
    than can be read; rows for which there is no room are left out, the first one never.
    """
    size = max(SMALLEST_TEXT, round(min(width, height) / 22))
    font = face.at(size)
    gap = max(1, size // 4)
    margin = max(2, size // 2)
    row = size + 2 * gap + max(1, size // 8)
    room = int(height * LARGEST_SHARE) - 2 * gap
    rows = rows[: max(1, room // row)]
    tall = min(len(rows) * row + 2 * gap, height)
    panel = Image.new("RGBA", (width, tall), _PANEL)
    pen = ImageDraw.Draw(panel, "RGBA")
    inner = width - 2 * margin
    for number, (name, probability) in enumerate(rows):
        top = gap + number * row
        bottom = top + row - max(1, gap // 2) - 1
        end = margin + round(inner * min(max(probability, 0.0), 1.0)) - 1
        if end >= margin:
            pen.rectangle((margin, top, end, bottom), fill=_FIRST if number == 0 else _OTHER)
        share = f"{probability:.0%}" if probability >= 0.0995 else f"{probability:.1%}"
        middle = (top + bottom + 1) / 2
        right = width - margin - gap
        left = margin + gap
        text = _fitted(name, font, right - font.getlength(share) - size // 2 - left)
        for words, x, anchor in ((text, left, "lm"), (share, right, "rm")):
            shift = max(1, size // 16)
            pen.text((x + shift, middle + shift), words, font=font, fill=_SHADOW, anchor=anchor)
            pen.text((x, middle), words, font=font, fill=_TEXT, anchor=anchor)
    return panel


def _fitted(name: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """A name that is at most `room` pixels wide; empty where not even a letter has room."""
    name = " ".join(name.split())
    if font.getlength(name) <= room:
        return name
    for length in range(len(name) - 1, 0, -1):
        text = name[:length].rstrip() + "…"
        if font.getlength(text) <= room:
            return text
    return ""
