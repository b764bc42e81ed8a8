"""What `model finetune` is asked: all settings of a training, and which of them decide its result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vidbench.model.recipe_record import RecipeRecord
from vidbench.model.train.box_settings import BoxSettings
from vidbench.model.train.placing import JITTER, parse_jitter
from vidbench.model.train.settings import TrainSettings, deciding

Json = dict[str, Any]
Learnt = Literal["classify", "multilabel", "detect"]
DECODER = "pyav"
"""Unless something else is asked for; the only one that reads AVA's videos."""


class FinetuneRequest(TrainSettings, BoxSettings):
    """What `model finetune` is asked; how to train is said by the fields of `TrainSettings`, and of "detect" by
    those of `BoxSettings`, too.

    Attributes:
        model: Catalogue name: the architecture.
        clips: The training list, `path label` per line; for "multilabel" `path 3,17,42`; or a frame list or manifest;
            for "detect" a labelled set that was exported, or a folder in AVA's layout.
        task: "classify", one class per clip; "multilabel", any number of them; "detect", any number for each box.
            None for the model's own.
        init: "scratch", "pretrained", the name of a published start whose file is `checkpoint`
            (`vidbench.model.starts`), or a file or run folder whose weights are the start; a head
            with another number of classes is replaced and named, and so is attention over time that a file
            of an image network does not have. A model of ours brings its input and what its layers have other.
        val: A list to measure after each epoch, centre view, or a folder whose part "val" is; the best epoch is the
            one kept. None takes for "detect" the part "val" of `clips`.
        classes: File with one class name per line; without it classes are called by their number.
        flip: Probability of a horizontal flip; 0 where left and right are classes.
        jitter: Largest short side in training as a multiple of the crop, or the range in pixels, as "256-320".
        cache_mb: Memory for decoded videos; of what does not fit each clip's frames are decoded again each epoch.
        devices: Those of several processes, as "2", "cuda:0,cuda:1" or "cpu:2", which have `batch` clips together;
            None for the one of `device`.
        recipe: The recipe that the settings were taken from, for the record.
        argv: The command line, for the record.
    """

    model: str
    clips: Path
    task: Learnt | None = None
    init: str = "scratch"
    val: Path | None = None
    classes: Path | None = None
    root: Path | None = None
    out: Path | None = None
    flip: float = Field(0.5, ge=0, le=1)
    jitter: Annotated[float | str, BeforeValidator(parse_jitter)] = JITTER
    pull: bool = False
    device: str = "auto"
    devices: str | None = None
    decoder: str = DECODER
    workers: int = Field(0, ge=0)
    cache_mb: int = Field(2048, ge=0)
    seed: int = 0
    limit: int | None = Field(None, ge=1)
    overwrite: bool = False
    recipe: RecipeRecord | None = None
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """The part that decides the result."""
        aside = ("out", "pull", "device", "devices", "workers", "cache_mb", "overwrite", "recipe", "argv")
        boxes = self.asked()
        values = {
            name: value
            for name, value in deciding(self.model_dump(mode="json")).items()
            if name not in aside and (name not in BoxSettings.model_fields or name in boxes)
        }
        # named where it is asked for alone: a run folder is named by its settings
        return {name: value for name, value in values.items() if name != "task" or value is not None}
