"""`vidbench model augment`: a contact sheet of one clip of a video under each augmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vidbench.errors import InputError, disk_errors
from vidbench.model.augment.magnitude import FACTORS, PLAIN, argument, parse_randaugment
from vidbench.model.augment.magnitude import OPERATIONS as RAND_AUGMENT
from vidbench.model.augment.mix import blend, draw_mix
from vidbench.model.augment.pipeline import ClipAugment
from vidbench.model.augment.rand_augment import change
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.augment.specs import ALL, USUAL, parameters, settings_from
from vidbench.model.augment.w4 import applied
from vidbench.seeds import seed_for
from vidbench.video.clip import VideoError
from vidbench.video.decoder import DECODERS, choose
from vidbench.video.sampling import spatial_crop
from vidbench.video.strip import save_png, strip_frames
from vidbench.video.transforms import clip_of, crop, scale

FRAMES = 16
_LINE = 14
_TALLEST = 1800
_COLOUR = ("brightness", "contrast", "saturation", "hue")


class PreviewRequest(BaseModel):
    """What `model augment` is asked.

    Attributes:
        video: Whose first and last 16 frames are the two clips that are shown; the second is what is mixed in.
        preview: PNG file to write; one that is there is replaced.
        augment: Augmentations as `specs.settings_from` reads them; none: all there are.
        side: Pixels of the square crop that is augmented.
        columns: Frames of each clip that the sheet shows.
        thumbnail: Pixels of a frame's side on the sheet.
        seed: Each row draws from a generator of its own, made of this and the row's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    video: Path
    preview: Path
    augment: tuple[str, ...] = ()
    side: int = Field(224, ge=16, le=1024)
    columns: int = Field(4, ge=1, le=FRAMES)
    thumbnail: int = Field(96, ge=32, le=512)
    decoder: str = "pyav"
    seed: int = 0


@dataclass(frozen=True)
class PreviewRow:
    """One row of the sheet: an augmentation, its parameters, and how often a clip would meet it in training."""

    name: str
    parameters: str
    probability: float


@dataclass(frozen=True)
class PreviewResult:
    """What `model augment` made: a picture at `preview`, its rows from top to bottom, panel by panel."""

    preview: Path
    video: Path
    frames: int
    width: int
    height: int
    rows: tuple[PreviewRow, ...]


@dataclass(frozen=True)
class _Shown:
    row: PreviewRow
    clip: Callable[[torch.Generator], Tensor]


def preview(request: PreviewRequest) -> PreviewResult:
    """Draw the sheet: every augmentation by itself, applied whatever its probability, then all of them by chance.

    Raises:
        InputError: The video cannot be read.
        UsageError: An augmentation that cannot be read.
        UnknownNameError: An augmentation or decoder that does not exist.
    """
    settings = settings_from(request.augment or (*USUAL, ALL))
    clip, other = _clips(request)
    rows = list(_rows(settings, clip, other))
    strips = []
    for shown in rows:
        generator = torch.Generator().manual_seed(seed_for(request.seed, "augment", shown.row.name))
        strips.append(_pictures(shown.clip(generator), request))
    sheet = _sheet([shown.row for shown in rows], strips)
    with disk_errors(request.preview):
        save_png(request.preview, sheet)
    return PreviewResult(
        request.preview, request.video, clip.shape[1], sheet.width, sheet.height, tuple(shown.row for shown in rows)
    )


def _clips(request: PreviewRequest) -> tuple[Tensor, Tensor]:
    """The first frames of the video and the last, as many as there are up to 16: two clips of one length."""
    decode = DECODERS.get(choose(request.decoder, [request.video]))
    try:
        frames = decode(request.video, lambda info: _ends(info.frames))
    except VideoError as error:
        raise InputError(f"{request.video}: {error}", "Choose another video.") from error
    images = scale(frames, request.side)
    images = crop(images, spatial_crop(images.shape[3], images.shape[2], request.side, 1)[:4])
    count = min(FRAMES, frames.info.frames)
    total = images.shape[0]
    return clip_of(images, list(range(count))), clip_of(images, list(range(total - count, total)))


def _ends(total: int) -> list[int]:
    return sorted({*range(min(FRAMES, total)), *range(max(0, total - FRAMES), total)})


def _rows(settings: AugmentSettings, clip: Tensor, other: Tensor) -> Iterator[_Shown]:
    yield _Shown(PreviewRow("original", f"{clip.shape[1]} frames", 1.0), lambda _: clip)
    for name in _COLOUR:
        span = getattr(settings, name)
        if span:
            alone = AugmentSettings.model_validate({name: span})
            shown = f"{-span:+g}..{span:+g}" if name == "hue" else f"factor {1 - span:g}..{1 + span:g}"
            yield _Shown(PreviewRow(f"jitter-{name}", shown, settings.colour_probability), _through(alone, clip))
    if settings.grey:
        yield _Shown(PreviewRow("grey", "", settings.grey), _through(AugmentSettings(grey=1.0), clip))
    if settings.randaugment is not None:
        yield from _rand_augment_rows(settings, clip)
    if settings.erasing:
        low, high = settings.erasing_area
        told = f"area {low:.2g}..{high:.2g}, {settings.erasing_mode}"
        sure = settings.model_copy(update=_only("erasing") | {"erasing": 1.0})
        yield _Shown(PreviewRow("erasing", told, settings.erasing), _through(sure, clip))
    for name in ("mixup", "cutmix"):
        if getattr(settings, name):
            alone = AugmentSettings.model_validate({name: getattr(settings, name)})
            told = f"alpha {getattr(settings, name):g}, with the video's end"
            yield _Shown(PreviewRow(name, told, _mix_share(settings, name)), _mixed(alone, clip, other))
    for operation in settings.w4:
        row = PreviewRow(operation.name, parameters(operation), operation.probability)
        yield _Shown(row, partial(applied, clip, operation))
    if settings.changes_clips:
        yield _Shown(PreviewRow("as in training", "all of them, by chance", 1.0), _through(settings, clip))


def _rand_augment_rows(settings: AugmentSettings, clip: Tensor) -> Iterator[_Shown]:
    text = settings.randaugment or ""
    policy = parse_randaugment(text)
    sure = AugmentSettings(randaugment=text)
    yield _Shown(PreviewRow("randaugment", text, 1.0), _through(sure, clip))
    each = 1 - (1 - policy.probability / len(RAND_AUGMENT)) ** policy.number
    for name in RAND_AUGMENT:
        amount = argument(name, policy.magnitude, policy.increasing, 1)
        either = "" if amount == argument(name, policy.magnitude, policy.increasing, -1) else "±"
        told = "" if name in PLAIN else f", {either}{amount:.3g}"
        if name in FACTORS and policy.increasing:
            told = f", {argument(name, policy.magnitude, True, -1):.3g} or {amount:.3g}"
        row = PreviewRow(f"randaugment {name}", f"magnitude {policy.magnitude:g}{told}", each)
        yield _Shown(row, partial(_changed, clip, name, amount))


def _changed(clip: Tensor, name: str, amount: float, _: torch.Generator) -> Tensor:
    return change(clip, name, amount)


def _through(settings: AugmentSettings, clip: Tensor) -> Callable[[torch.Generator], Tensor]:
    augment = ClipAugment(settings)
    return lambda generator: augment(clip, generator)


def _mixed(settings: AugmentSettings, clip: Tensor, other: Tensor) -> Callable[[torch.Generator], Tensor]:
    def mixed(generator: torch.Generator) -> Tensor:
        mix = draw_mix(settings, clip.shape[2], clip.shape[3], generator)
        return blend(torch.stack((clip, other)), mix)[0]

    return mixed


def _mix_share(settings: AugmentSettings, name: str) -> float:
    if not (settings.mixup and settings.cutmix):
        return settings.mix_probability
    return settings.mix_probability * (settings.mix_switch if name == "cutmix" else 1 - settings.mix_switch)


def _only(*kept: str) -> dict[str, object]:
    """What turns everything off but the fields that are named."""
    off = ("brightness", "contrast", "saturation", "hue", "grey", "randaugment", "erasing", "mixup", "cutmix", "w4")
    return {name: AugmentSettings.model_fields[name].default for name in off if name not in kept}


def _pictures(clip: Tensor, request: PreviewRequest) -> NDArray[np.uint8]:
    """`(columns, S, S, 3)` uint8."""
    frames = clip[:, list(strip_frames(clip.shape[1], request.columns))]
    levels = (frames * 255.0).round_().to(torch.uint8).permute(1, 2, 3, 0).numpy()
    size = (request.thumbnail, request.thumbnail)
    return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX)) for one in levels])


def _sheet(rows: list[PreviewRow], strips: list[NDArray[np.uint8]]) -> Image.Image:
    """Rows below each other in as many panels as keep the sheet at most 1800 pixels high; words below each row."""
    count, side = strips[0].shape[:2]
    font = ImageFont.load_default(11)
    words = [(row.name if row.probability == 1 else f"{row.name}, p {row.probability:.3g}") for row in rows]
    longest = max(
        font.getlength(line) for row, word in zip(rows, words, strict=True) for line in (word, row.parameters)
    )
    tall, wide, gap = side + 2 * _LINE + 6, max(count * (side + 2), math.ceil(longest)), 12
    panels = math.ceil(len(rows) * tall / _TALLEST)
    most = math.ceil(len(rows) / panels)
    sheet = Image.new("RGB", (panels * (wide + gap) + gap, most * tall + gap), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (row, word, strip) in enumerate(zip(rows, words, strips, strict=True)):
        left, top = gap + place // most * (wide + gap), gap + place % most * tall
        for column, picture in enumerate(strip):
            sheet.paste(Image.fromarray(picture), (left + column * (side + 2), top))
        pen.text((left, top + side), word, fill="black", font=font)
        pen.text((left, top + side + _LINE - 2), row.parameters, fill=(90, 90, 90), font=font)
    return sheet
