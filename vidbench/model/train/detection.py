"""Action detection as what a network learns: binary cross-entropy of each box and class, and AVA's mean precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidbench.data.ava_set import AvaSet, Keyframe
from vidbench.errors import InputError
from vidbench.model.ava_boxes import Images, Table, joined, load_boxes
from vidbench.model.ava_map import Boxes
from vidbench.model.ava_scorers import RULES, Scorer, score_tables
from vidbench.model.train.ava_samples import keyframe_name
from vidbench.model.train.batch import Batch
from vidbench.model.train.objective import Meter, SeveralClasses


class Detection(SeveralClasses):
    """Boxes with any number of classes each; the loss is the mean over boxes and classes.

    Args:
        val: What is validated on; None where nothing is.
        scorer: Whose rules count mean average precision, see `vidbench.model.ava_scorers`.

    Raises:
        InputError: The set to validate on has no ground truth, or none of a class that counts.
    """

    def __init__(self, val: AvaSet | None, scorer: Scorer = "pyslowfast") -> None:
        self._scorer = scorer
        self._truth = None if val is None else AvaTruth(val, scorer)

    def meter(self) -> Meter:
        """Ranks the boxes of the set class by class."""
        if self._truth is None:
            raise ValueError("there is nothing to validate on")
        return AvaMeter(self._truth)


class AvaTruth:
    """The ground truth of a set as a scorer reads it.

    Attributes:
        data: The set.
        rules: The scorer's.
        images: Numbers of images, which grow no more.
        table: The boxes of all that the set was taken of.
        excluded: `(N,)` numbers of images that do not count; none for a scorer that takes none.
        keyframes: The set's, by their names in batches.
    """

    def __init__(self, data: AvaSet, scorer: Scorer) -> None:
        if data.groundtruth is None:
            raise InputError(
                f"{data.source}: the part {data.part!r} has no ground truth to validate on",
                "Give the file, or train without --val.",
            )
        self.data, self.rules = data, RULES[scorer]
        self.images = Images(self.rules.truth.whole)
        read = load_boxes(data.groundtruth, self.rules.truth, self.images)
        inside = data.scope()
        taken = np.zeros(len(self.images.seconds), dtype=bool)
        for (video, _), number in self.images.items():
            taken[number] = inside(video, int(self.images.seconds[number]))
        self.table = Table(read.boxes.take(taken[read.boxes.image]), read.images[taken[read.images]], read.lines)
        if not np.isin(self.table.boxes.action, data.scored).any():
            raise InputError(
                f"{data.groundtruth}: no box to validate on has an action that counts",
                "Give ground truth of these videos and seconds, and the action list of its actions.",
            )
        columns = {number: column for column, number in enumerate(data.classes)}
        self._columns = [columns[number] for number in data.scored]
        excluded = data.excluded if self.rules.exclusions else ()
        self.excluded = np.array([self.number(*moment) for moment in sorted(excluded)], dtype=np.int64)
        self.keyframes: dict[str, Keyframe] = {}
        for one in data.keyframes:
            self.keyframes[keyframe_name(one)] = one
            self.number(one.video, one.second)

    def number(self, video: str, second: int) -> int:
        """The number of an image."""
        return self.images[video, str(second)]

    def mean_ap(self, scores: Mapping[str, Tensor]) -> float | None:
        """Mean average precision at IoU 0.5, in [0, 1]; None where no class has any.

        Keyframes that could not be read count neither way; boxes of seconds without a detected box are missed.

        Args:
            scores: `(M, K)` in [0, 1] of the boxes of each keyframe that could be read, by its name.
        """
        unread = [self.number(one.video, one.second) for name, one in self.keyframes.items() if name not in scores]
        boxes, images = self.table.boxes, self.table.images
        counted = Table(boxes.take(~np.isin(boxes.image, unread)), images[~np.isin(images, unread)], self.table.lines)
        found = joined(self._rows(self.keyframes[name], own) for name, own in scores.items())
        detections = Table(found, np.unique(found.image), len(found))
        scored = score_tables(detections, counted, self.data.scored, self.rules, self.excluded)
        values = [one.average_precision for one in scored.classes.values()]
        return None if np.isnan(values).all() else float(np.nanmean(values))

    def _rows(self, one: Keyframe, scores: Tensor) -> Boxes:
        """The boxes of a keyframe once for each class that counts."""
        counted = np.array(self.data.scored, dtype=np.int64)
        own = scores.numpy().astype(np.float64)[:, self._columns]
        return Boxes(
            np.full(own.size, self.number(one.video, one.second)),
            np.tile(counted, len(own)),
            np.repeat(one.boxes, len(counted), axis=0),
            own.reshape(-1),
        )


class AvaMeter:
    """Gathers the scores of boxes, keyframe by keyframe."""

    def __init__(self, truth: AvaTruth) -> None:
        self._truth = truth
        self._scores: dict[str, Tensor] = {}

    def add(self, logits: Tensor, batch: Batch) -> None:
        """Take the logits of a batch, a row per box, of keyframes with all their boxes."""
        if batch.boxes is None:
            raise ValueError("a batch without boxes")
        scores, owners = torch.sigmoid(logits.float()).cpu(), batch.boxes[:, 0].cpu()
        for place, name in enumerate(batch.names):
            own, boxes = scores[owners == place], self._truth.keyframes[name].boxes
            if len(own) != len(boxes):
                raise ValueError(f"{len(own)} rows for the {len(boxes)} boxes of {name}")
            self._scores[name] = own

    def state(self) -> object:
        """Scores of boxes, by keyframe."""
        return self._scores

    def merge(self, states: Sequence[Any]) -> None:
        """Have taken those of several processes, in their order."""
        self._scores = {name: scores for state in states for name, scores in state.items()}

    def result(self) -> dict[str, float | None]:
        """`mean_ap`, as `vidbench model score` counts it."""
        return {"mean_ap": self._truth.mean_ap(self._scores) if self._scores else None}
