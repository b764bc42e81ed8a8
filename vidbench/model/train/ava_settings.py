"""Which boxes and frames of AVA data a detector is trained and validated on, as asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.ava_set import FIRST_SECOND, MIN_SCORE, Taken
from vidbench.model.ava_scorers import Scorer
from vidbench.model.train.ava_placing import MIN_VISIBLE

Share = Annotated[float, Field(ge=0, le=1)]


class AvaSettings(BaseModel):
    """What to take of a folder of AVA data, see `vidbench.data.ava_set.read_ava_set`.

    Attributes:
        boxes: Whose boxes are trained on; None takes "both" where the folder has a detector's boxes with labels,
            otherwise "truth".
        val_boxes: Whose boxes are validated on; None takes "detected" where the folder has them, otherwise "truth".
        min_score: Boxes of a detector below it are left out.
        negatives: Train on boxes of a detector that match no person with an action, as on persons who do nothing.
        val_every: Validate on seconds that are multiples of it; PySlowFast takes 4.
        min_visible: The share of a person's box that has to be in a random crop.
        faithful: Do with boxes outside a crop what PySlowFast and the SEVERE benchmark do, see
            `vidbench.model.train.ava_placing.AvaPlacing`.
        video_dir: Folder of videos that frames are read straight from.
        frame_dir: Folder that the paths of the frame list start from.
        first_second: The second that picture 0 shows.
        video_start: Second of the video files at which picture 0 lies; None by the folder's name.
        skip_missing: Leave out what has no picture, instead of refusing it.
        scorer: Whose rules count the figure that epochs are compared by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    boxes: Taken | None = None
    val_boxes: Literal["truth", "detected"] | None = None
    min_score: Share = MIN_SCORE
    negatives: bool = True
    val_every: int = Field(1, ge=1)
    min_visible: Share = MIN_VISIBLE
    faithful: bool = False
    video_dir: Path | None = None
    frame_dir: Path | None = None
    first_second: int = Field(FIRST_SECOND, ge=0)
    video_start: int | None = Field(None, ge=0)
    skip_missing: bool = False
    scorer: Scorer = "pyslowfast"
