"""Test protocols: which clips and crops of a video are scored, and how their scores become one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from vidbench.errors import UnknownNameError, UsageError
from vidbench.model.card import ModelCard, Preprocess
from vidbench.video import sampling

Ensemble = Literal["mean", "max"]
Temporal = Callable[[int, Fraction, int, int, int, int], tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class Views:
    """Temporal x spatial views of the test protocol, as "10x3"."""

    temporal: int
    spatial: int

    @classmethod
    def parse(cls, text: str) -> Views:
        """Read "KxC", K >= 1 temporal and C of 1 or 3 spatial views."""
        temporal, times, spatial = text.partition("x")
        if not times or not temporal.isdecimal() or spatial not in ("1", "3") or not 1 <= int(temporal) <= 100:
            raise UsageError(f"--views {text!r} is not KxC", "Say 10x3, 10x1, 1x1: K clips over time, 1 or 3 crops.")
        return cls(int(temporal), int(spatial))

    def __str__(self) -> str:
        return f"{self.temporal}x{self.spatial}"

    def side(self, preprocess: Preprocess) -> tuple[int, int]:
        """Short side and crop in pixels: PySlowFast scales to the test crop when it takes three crops."""
        if self.spatial == 1:
            return preprocess.short_side, preprocess.crop
        return preprocess.wide, preprocess.wide


@dataclass(frozen=True)
class Rule:
    """How a program takes views of a video.

    Attributes:
        name: What users type.
        summary: One line for people.
        temporal: Frame indices of the views: `(total, fps, frames, stride, views, target_fps)`.
        spatial: Whose rounding and crops.
        single: The place of the crop where there is one: 0 left or top, 1 centre.
        ensemble: How the views' scores become one: their mean, or the largest of each class.
        resize: Whether frames are scaled by the decoder or afterwards, see `vidbench.video.fit`.
    """

    name: str
    summary: str
    temporal: Temporal
    spatial: sampling.Spatial = "pyslowfast"
    single: int = 1
    ensemble: Ensemble = "mean"
    resize: sampling.Resize = "exact"


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("pyslowfast", "starts at delta*k/K: PySlowFast's Kinetics test", sampling.temporal_views, resize="decode"),
        Rule(
            "pyslowfast-offset",
            "starts at k*floor(delta/(K-1)): PySlowFast's test of MViT (USE_OFFSET_SAMPLING)",
            sampling.offset_views,
            resize="decode",
        ),
        Rule(
            "pytorchvideo",
            "starts over the whole duration in seconds, short videos stretched: pytorchvideo's data set",
            sampling.pytorchvideo_views,
        ),
        Rule(
            "mmaction2",
            "every stride-th frame whatever the frame rate: MMAction2's SampleFrames",
            sampling.mmaction2_views,
            "mmaction2",
        ),
        Rule(
            "mmaction2-fps",
            "the same of the video at 30 frames per second: its target_fps",
            sampling.mmaction2_fps_views,
            "mmaction2",
        ),
        Rule(
            "torchvision",
            "clips spread over the video at 30/stride frames per second: torchvision's video references",
            sampling.torchvision_views,
        ),
        Rule(
            "charades",
            "frames of the list whatever the rate, the largest score of each class: PySlowFast's Charades test",
            sampling.charades_views,
            single=0,
            ensemble="max",
        ),
        Rule(
            "ssv2",
            "the middle of each of T equal parts of the video: PySlowFast's Something-Something test",
            sampling.segment_views,
            single=0,
        ),
    )
}


@dataclass(frozen=True)
class Protocol:
    """A rule and a number of views."""

    rule: Rule
    views: Views

    @classmethod
    def choose(cls, card: ModelCard, rule: str | None, views: str | None, weights: str = "") -> Protocol:
        """The protocol that is asked for; what is left open is the one of the published figure.

        Args:
            card: The model.
            rule: A name of `RULES`; None takes the published one.
            views: As "10x3"; None takes the published ones.
            weights: The tag of the published file that is used; the first one where it is none's.

        Raises:
            UnknownNameError: No such rule.
            UsageError: Views that are not KxC.
        """
        best = next((one for one in card.others if weights and one.tag == weights), card.published)
        name = rule or (best.protocol if best else "pyslowfast")
        if name not in RULES:
            raise UnknownNameError("protocol", name, tuple(RULES), f"There are {', '.join(RULES)}.")
        return cls(RULES[name], Views.parse(views or (best.views if best and best.views else "10x3")))

    def __str__(self) -> str:
        return f"{self.rule.name} {self.views}"

    def frames(self, preprocess: Preprocess, total: int, fps: Fraction) -> tuple[tuple[int, ...], ...]:
        """Frame indices of the temporal views of a video of `total` frames."""
        size = preprocess
        return self.rule.temporal(total, fps, size.frames, size.stride, self.views.temporal, size.target_fps)

    def places(self) -> tuple[int, ...]:
        """The places of the spatial views: 0 left or top, 1 centre, 2 right or bottom."""
        return (0, 1, 2) if self.views.spatial == 3 else (self.rule.single,)
