"""How detectors of actions are trained, as asked: which boxes and pictures, and how regions are taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.ava_set import FIRST_SECOND, MIN_SCORE, Taken
from vidbench.model.ava_scorers import Scorer
from vidbench.model.card import ModelCard
from vidbench.model.roi import RoISettings, roi_of
from vidbench.model.train.ava_placing import MIN_VISIBLE
from vidbench.model.train.ava_settings import AvaSettings, Share


class BoxSettings(BaseModel):
    """The part of a request that "detect" alone has; see `vidbench.model.train.ava_settings.AvaSettings`.

    Attributes:
        boxes: Whose boxes are trained on; None decides by what is there.
        val_boxes: Whose boxes are validated on; likewise.
        negatives: Train on boxes that match no person with an action, too.
        val_every: Validate on seconds that are multiples of it.
        min_visible: The share of a person's box that has to be in a random crop.
        videos: Folder of videos that frames are read straight from.
        frame_dir: Folder that the paths of the frame list start from.
        first_second: The second that picture 0 shows.
        video_start: Second of the video files at which picture 0 lies; None by the folder's name.
        skip_missing: Leave out what has no picture, instead of refusing it.
        scorer: Whose rules count the validation figure.
        dilated: The last stage keeps the resolution of the one before; None for what the start has.
        aligned: RoIAlign's half-pixel shift; None likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    boxes: Taken | None = None
    val_boxes: Literal["truth", "detected"] | None = None
    negatives: bool = True
    val_every: int = Field(1, ge=1)
    min_visible: Share = MIN_VISIBLE
    videos: Path | None = None
    frame_dir: Path | None = None
    first_second: int = Field(FIRST_SECOND, ge=0)
    video_start: int | None = Field(None, ge=0)
    skip_missing: bool = False
    scorer: Scorer = "pyslowfast"
    dilated: bool | None = None
    aligned: bool | None = None

    def data(self, min_score: float | None, faithful: bool) -> AvaSettings:
        """What to take of a folder."""
        return AvaSettings(
            boxes=self.boxes,
            val_boxes=self.val_boxes,
            min_score=MIN_SCORE if min_score is None else min_score,
            negatives=self.negatives,
            val_every=self.val_every,
            min_visible=self.min_visible,
            faithful=faithful,
            video_dir=self.videos,
            frame_dir=self.frame_dir,
            first_second=self.first_second,
            video_start=self.video_start,
            skip_missing=self.skip_missing,
            scorer=self.scorer,
        )

    def regions(self, card: ModelCard) -> RoISettings | None:
        """How regions are taken; None for what the start has, or the network."""
        asked: dict[str, Any] = {
            name: value for name in ("dilated", "aligned") if (value := getattr(self, name)) is not None
        }
        return replace(roi_of(card), **asked) if asked else None

    def asked(self) -> dict[str, Any]:
        """What is not left at its default, as JSON values."""
        standard = BoxSettings.model_validate({})
        names = BoxSettings.model_fields
        given = self.model_dump(mode="json", include=set(names))
        plain = standard.model_dump(mode="json")
        return {name: given[name] for name in names if given[name] != plain[name]}
