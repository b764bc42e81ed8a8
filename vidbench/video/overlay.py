"""Draw class names with bars of their probability onto a video, and write it anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
from vidbench.video.stream import picture_stream
from vidbench.video.windows import timed_frames, upright

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
    """Write a video anew with captions at its lower edge, and give the number of its frames; see `draw_video`.

    A frame that several captions cover shows the one whose middle is nearest, and a frame that none covers shows
    none.

    Args:
        info: The source.
        target: The file to write.
        captions: By rising start.
        face: The typeface.

    Raises:
        VideoError: The source cannot be decoded to its end, or its frames change their size.
    """
    return draw_video(info, target, _Captioner(captions, face))


@dataclass(frozen=True)
class Shown:
    """A frame that may be drawn on.

    Attributes:
        number: From 0.
        time_s: When it is shown, in seconds from the start of the container.
        picture: `(H, W, 3)` RGB, upright, with even sides; to be changed in place.
        width: Pixels of the picture that are the video's own; one more column may have been added.
        height: Likewise.
    """

    number: int
    time_s: float
    picture: NDArray[np.uint8]
    width: int
    height: int


def draw_video(info: VideoInfo, target: Path, paint: Callable[[Shown], None]) -> int:
    """Write a video anew as H.264 in mp4 with something painted on each frame, and give the number of its frames.

    Every frame keeps its time, counted from the first one, so a variable rate stays variable. A rotation that the
    container asks for is applied. An odd width or height is made even by repeating the last column or row, as
    H.264 in 4:2:0 cannot do without. There is no sound. One frame is in memory at a time.

    Args:
        info: The source.
        target: The file to write, under whatever name; the caller gives it its final one.
        paint: Called with every frame, in order.

    Raises:
        VideoError: The source cannot be decoded to its end, or its frames change their size.
    """
    with av.open(str(target), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=info.fps, options=_OPTIONS)
        # more threads would make the bytes depend on the machine
        stream.thread_count = 1
        converter = VideoReformatter()
        first_pts = previous = None
        count = 0
        for frame, start_s, _ in timed_frames(info):
            picture, own_width, own_height = _even(upright(frame))
            height, width = picture.shape[:2]
            if count == 0:
                base = frame.time_base or 1 / info.fps
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.time_base = stream.codec_context.time_base = base
                stream.codec_context.sample_aspect_ratio = _pixel_shape(info, frame.rotation)
                step = max(round(1 / info.fps / base), 1)
            if (width, height) != (stream.width, stream.height):
                raise VideoError(f"the frame size changes at frame {count}")
            paint(Shown(count, start_s, picture, own_width, own_height))
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


class _Captioner:
    """Paints the caption of each frame."""

    def __init__(self, captions: Sequence[Caption], face: Face) -> None:
        self._captions = captions
        self._face = face
        self._oldest = 0
        self._panels: dict[int, _Panel] = {}

    def __call__(self, shown: Shown) -> None:
        number = self._covering(shown.number)
        if number is None:
            return
        if number not in self._panels:
            height, width = shown.picture.shape[:2]
            self._panels = {number: _Panel(self._captions[number], width, height, self._face)}
        self._panels[number].put(shown.picture)

    def _covering(self, frame: int) -> int | None:
        captions = self._captions
        while self._oldest < len(captions) and captions[self._oldest].end <= frame:
            self._oldest += 1
        covering = []
        for number in range(self._oldest, len(captions)):
            if captions[number].start > frame:
                break
            if captions[number].end > frame:
                covering.append(number)
        return min(covering, key=lambda n: abs(captions[n].start + captions[n].end - 2 * frame - 1), default=None)


def _even(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int, int]:
    """The image with even sides, which may be written to, and the width and height that it had."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return image if image.flags.writeable and image.flags.owndata else image.copy(), width, height


def _pixel_shape(info: VideoInfo, rotation: int) -> Fraction:
    """Width over height of a pixel as shown; frames do not tell it, the stream does."""
    with av.open(str(info.path), mode="r") as container:
        stream = picture_stream(container)
        shape = (stream.sample_aspect_ratio if stream is not None else None) or Fraction(1)
    return 1 / shape if rotation % 180 == 90 else shape


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
        text = fitted(name, font, right - font.getlength(share) - size // 2 - left)
        for words, x, anchor in ((text, left, "lm"), (share, right, "rm")):
            shift = max(1, size // 16)
            pen.text((x + shift, middle + shift), words, font=font, fill=_SHADOW, anchor=anchor)
            pen.text((x, middle), words, font=font, fill=_TEXT, anchor=anchor)
    return panel


def fitted(name: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """A name that is at most `room` pixels wide; empty where not even a letter has room."""
    name = " ".join(name.split())
    if font.getlength(name) <= room:
        return name
    for length in range(len(name) - 1, 0, -1):
        text = name[:length].rstrip() + "…"
        if font.getlength(text) <= room:
            return text
    return ""
