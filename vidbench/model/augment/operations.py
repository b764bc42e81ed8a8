"""The augmentations of the CSIG 2022 robust-classification solution, with their parameters; without torch.

The list and its ranges are those of S. Pei and J. Sun (github.com/ForeverPs/Robust-Classification); the operations with
a severity are those of ImageNet-C (Hendrycks and Dietterich 2019, arXiv:1903.12261) at its five levels. Where the
original draws a strength once for a whole run, here each clip draws its own. Lengths in pixels are those of frames
whose short side is 224 and grow with it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Severity = Annotated[int, Field(ge=1, le=5)]
Pixels = Annotated[int, Field(ge=1, le=224)]
USUAL = 0.05


class Operation(BaseModel):
    """One augmentation.

    Attributes:
        name: As typed.
        probability: How often a clip meets it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    probability: Probability = USUAL

    @model_validator(mode="after")
    def _ranges_in_order(self) -> Self:
        for field in type(self).model_fields:
            value = getattr(self, field)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{self.name}: {field} {value}: the least stands first")
        return self


class PepperSalt(Operation):
    """White and black pixels, as many of each; `snr` is the share of pixels left alone."""

    name: Literal["pepper-salt"] = "pepper-salt"
    snr: Probability = 0.99


class ColourPoints(Operation):
    """Green, red, blue and arbitrary pixels, as many of each; `snr` is the share of pixels left alone."""

    name: Literal["colour-points"] = "colour-points"
    snr: Probability = 0.99


class GaussianNoise(Operation):
    """Normal noise on each value; its standard deviation is uniform in `std`, in units of [0, 1]."""

    name: Literal["gaussian-noise"] = "gaussian-noise"
    std: tuple[Probability, Probability] = (0.0, 0.15)


class Mosaic(Operation):
    """A square with sides of `side` pixels, of coloured noise in `noise` of the cases, else black, white or grey."""

    name: Literal["mosaic"] = "mosaic"
    side: tuple[Pixels, Pixels] = (13, 26)
    noise: Probability = 0.7


class ChannelShuffle(Operation):
    """Red, green and blue in another order; one of six."""

    name: Literal["rgb-shuffle"] = "rgb-shuffle"


class Rotate(Operation):
    """A turn by at most `degrees` either way; corners that come in are black."""

    name: Literal["rotate"] = "rotate"
    degrees: float = Field(default=5.0, ge=0, le=180)


class HorizontalFlip(Operation):
    """Left and right exchanged."""

    name: Literal["hflip"] = "hflip"


class VerticalFlip(Operation):
    """Top and bottom exchanged."""

    name: Literal["vflip"] = "vflip"


class GaussianBlur(Operation):
    """A Gaussian whose standard deviation is one of the whole numbers of `radius`, pixels."""

    name: Literal["gaussian-blur"] = "gaussian-blur"
    radius: tuple[Pixels, Pixels] = (1, 2)


class RingBlur(Operation):
    """The mean of the 16 pixels at the rim of a 5 x 5 square, pixels of the frame: Pillow's BLUR."""

    name: Literal["blur"] = "blur"


class Rain(Operation):
    """Bright streaks.

    Attributes:
        drops: Share of pixels where one begins; the original's values 500 to 1500 are 25600ths.
        degrees: Largest lean either way.
        beta: Brightness of the streaks.
        length: Of a streak, pixels.
    """

    name: Literal["rain"] = "rain"
    drops: tuple[Share, Share] = (500 / 25600, 1500 / 25600)
    degrees: float = Field(default=30.0, ge=0, le=90)
    beta: tuple[Probability, Probability] = (0.7, 1.0)
    length: Pixels = 10


class Extend(Operation):
    """Each pixel from a random place up to `reach` - 1 pixels to the right of it and below."""

    name: Literal["extend"] = "extend"
    reach: tuple[Pixels, Pixels] = (3, 9)


class BlockShuffle(Operation):
    """The frame cut in two at `split` of its height or width, and the parts exchanged."""

    name: Literal["block-shuffle"] = "block-shuffle"
    split: tuple[Share, Share] = (0.4, 0.6)


class LocalShuffle(Operation):
    """Square tiles of `side` pixels in another order; the last of a row or column overlap their neighbours."""

    name: Literal["local-shuffle"] = "local-shuffle"
    side: tuple[Pixels, Pixels] = (80, 100)


class RandomPadding(Operation):
    """The frame at `scale` of its size somewhere on grey, or as often on coloured noise."""

    name: Literal["random-padding"] = "random-padding"
    scale: tuple[Share, Share] = (0.65, 0.95)


class RandomCut(Operation):
    """A part with `scale` of each side, enlarged to the whole frame; the original leaves it small."""

    name: Literal["random-cut"] = "random-cut"
    scale: tuple[Share, Share] = (0.4, 0.9)


class Graded(Operation):
    """An operation of ImageNet-C; its severity is one of the whole numbers of `severity`, 1 to 5."""

    severity: tuple[Severity, Severity] = (1, 5)


class Fog(Graded):
    """Bright fractal clouds."""

    name: Literal["fog"] = "fog"


class ShotNoise(Graded):
    """Poisson noise at 60, 25, 12, 5 or 3 photons of full brightness."""

    name: Literal["shot-noise"] = "shot-noise"


class ImpulseNoise(Graded):
    """0.03, 0.06, 0.09, 0.17 or 0.27 of the values 0 or 1, channels apart."""

    name: Literal["impulse-noise"] = "impulse-noise"


class SpeckleNoise(Graded):
    """Normal noise times the value, of standard deviation 0.15, 0.2, 0.35, 0.45 or 0.6."""

    name: Literal["speckle-noise"] = "speckle-noise"


class GlassBlur(Graded):
    """Pixels from nearby places, between two Gaussian blurs."""

    name: Literal["glass-blur"] = "glass-blur"


class DefocusBlur(Graded):
    """The mean over a disk of radius 3, 4, 6, 8 or 10 pixels."""

    name: Literal["defocus-blur"] = "defocus-blur"


class MotionBlur(Graded):
    """The mean along a line of 21 to 41 pixels, at most 45 degrees off the level."""

    name: Literal["motion-blur"] = "motion-blur"


class ZoomBlur(Graded):
    """The mean over enlargements up to 1.1, 1.15, 1.2, 1.24 or 1.3."""

    name: Literal["zoom-blur"] = "zoom-blur"


class Frost(Graded):
    """Darker, under a texture of ice; computed, where ImageNet-C takes it from photographs."""

    name: Literal["frost"] = "frost"


class Snow(Graded):
    """Paler, under blurred flakes."""

    name: Literal["snow"] = "snow"


class Spatter(Graded):
    """Drops of water at severity 1 to 3, of mud at 4 and 5."""

    name: Literal["spatter"] = "spatter"


class Contrast(Graded):
    """Distances from each frame's mean colour times 0.4, 0.3, 0.2, 0.1 or 0.05."""

    name: Literal["contrast"] = "contrast"


class Brightness(Graded):
    """The value of HSV plus 0.1, 0.2, 0.3, 0.4 or 0.5."""

    name: Literal["brightness"] = "brightness"


class Saturate(Graded):
    """The saturation of HSV times 0.3, 0.1, 2, 5 or 20, plus 0.1 or 0.2 at the last two."""

    name: Literal["saturate"] = "saturate"


class Compress(Graded):
    """Each frame through JPEG of quality 25, 18, 15, 10 or 7."""

    name: Literal["compress"] = "compress"


class Pixelate(Graded):
    """Pixels as large as those of a frame of 0.6, 0.5, 0.4, 0.3 or 0.25 the size."""

    name: Literal["pixelate"] = "pixelate"


class Elastic(Graded):
    """A random affine map and a smooth random displacement."""

    name: Literal["elastic"] = "elastic"


AnyOperation = Annotated[
    PepperSalt | ColourPoints | GaussianNoise | Mosaic | ChannelShuffle | Rotate | HorizontalFlip | VerticalFlip
    | GaussianBlur | RingBlur | Rain | Extend | BlockShuffle | LocalShuffle | RandomPadding | RandomCut | Fog
    | ShotNoise | ImpulseNoise | SpeckleNoise | GlassBlur | DefocusBlur | MotionBlur | ZoomBlur | Frost | Snow
    | Spatter | Contrast | Brightness | Saturate | Compress | Pixelate | Elastic,
    Field(discriminator="name"),
]  # fmt: skip

OPERATIONS: tuple[type[Operation], ...] = (
    PepperSalt, ColourPoints, GaussianNoise, Mosaic, ChannelShuffle, Rotate, HorizontalFlip, VerticalFlip,
    GaussianBlur, RingBlur, Rain, Extend, BlockShuffle, LocalShuffle, RandomPadding, RandomCut, Fog, ShotNoise,
    ImpulseNoise, SpeckleNoise, GlassBlur, DefocusBlur, MotionBlur, ZoomBlur, Frost, Snow, Spatter, Contrast,
    Brightness, Saturate, Compress, Pixelate, Elastic,
)  # fmt: skip
"""In the order in which the original applies them."""
BY_NAME = {str(kind.model_fields["name"].default): kind for kind in OPERATIONS}
