"""AVA data as what a detector trains on: a set's training part, and its validation part or another set's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidbench.data.ava_layout import AvaFiles, find_layout, overridden
from vidbench.data.ava_set import AvaSet, Part, Taken, read_ava_set
from vidbench.errors import InputError, UsageError
from vidbench.model.footage import Shrunk
from vidbench.model.train.ava_pictures import PictureStore
from vidbench.model.train.ava_placing import AvaPlacing
from vidbench.model.train.ava_samples import AvaSamples, refuse_moving
from vidbench.model.train.ava_settings import AvaSettings
from vidbench.model.train.detection import Detection
from vidbench.model.train.objective import Objective
from vidbench.model.train.placing import Placing
from vidbench.model.train.samples import Repeated, Samples
from vidbench.model.train.task_data import Sampling
from vidbench.model.zoo import Preprocess
from vidbench.progress import Reporter, SilentReporter
from vidbench.video.fit import Fit

Json = dict[str, Any]
_NONE_GIVEN = AvaFiles()


class AvaData:
    """A training part, and what is validated on.

    Attributes:
        names: Of the classes, by rising id.
        ids: Of the classes, rising, from 1.
        objective: What is learnt.
        train: The set that is trained on.
        val: The set that is validated on; None for none.

    Args:
        source: A labelled set that was exported, its export, or a folder in AVA's layout.
        val: The folder whose part "val" is validated on; None takes that of `source` where there is one.
        settings: What to take of them.
        limit: Train on the first so many keyframes.
        validate: Validate at all.
        train_files: Files in place of those of `source`.
        val_files: Files in place of those of the folder that is validated on.
        reporter: Is told what was taken and what was left out.

    Raises:
        InputError: A folder or its files cannot be used, or the two parts have other classes.
    """

    def __init__(
        self,
        source: Path,
        val: Path | None,
        settings: AvaSettings,
        limit: int | None = None,
        *,
        validate: bool = True,
        train_files: AvaFiles = _NONE_GIVEN,
        val_files: AvaFiles = _NONE_GIVEN,
        reporter: Reporter | None = None,
    ) -> None:
        self._settings = settings
        self._reporter = reporter or SilentReporter()
        self.train = self._read(source, "train", settings.boxes, limit, train_files)
        self.val = self._validated(source, val, val_files) if validate else None
        if self.val is not None and self.val.classes != self.train.classes:
            raise InputError(
                f"{self.val.source} and {source} do not have the same classes",
                "Give action lists that number the same classes.",
            )
        self.ids = tuple(self.train.classes)
        self.names = tuple(self.train.classes.values())
        self.objective: Objective = Detection(self.val, settings.scorer)

    def resolved(self) -> Json:
        """Digests of all that was read, and where it is."""
        return {
            "train_sha256": self.train.sha256,
            "val_sha256": self.val.sha256 if self.val else None,
            "classes": {str(number): name for number, name in self.train.classes.items()},
            "train_keyframes": len(self.train.keyframes),
            "val_keyframes": len(self.val.keyframes) if self.val else None,
            "remarks": [*self.train.remarks, *(self.val.remarks if self.val else ())],
        }

    def open(self, preprocess: Preprocess, sampling: Sampling) -> tuple[Samples, Samples | None]:
        """The keyframes; the pictures of both parts are kept in `cache_mb`, a quarter of it for validation.

        Raises:
            UsageError: An augmentation that moves pixels or mixes clips, or a network with another rate.
        """
        refuse_moving(sampling.augment)
        if preprocess.target_fps != 30 or preprocess.fixed is not None:
            raise UsageError(
                f"a network that wants {preprocess.target_fps} frames a second"
                + (" of a fixed size" if preprocess.fixed else ""),
                "AVA's frames are counted at 30 a second and keep their shape: take a network that does.",
            )
        placing = Placing.of(preprocess, sampling.jitter, sampling.jitter_rule, sampling.crop, sampling.flip)
        budget = sampling.cache_mb * 2**20
        for_val = budget // 4 if self.val else 0
        stores = {
            "train": PictureStore(Shrunk(placing.short_side, "exact"), budget - for_val),
            "centre": PictureStore(Fit(preprocess.short_side, "exact"), for_val),
        }

        def samples(data: AvaSet) -> AvaSamples:
            ava_placing = AvaPlacing(placing, self._settings.min_visible, self._settings.faithful)
            return AvaSamples(data, **stores, preprocess=preprocess, placing=ava_placing, augment=sampling.augment)

        train: Samples = samples(self.train)
        if sampling.repeat > 1:
            train = Repeated(train, sampling.repeat)
        return train, samples(self.val) if self.val else None

    def _validated(self, source: Path, val: Path | None, given: AvaFiles) -> AvaSet | None:
        if val is None:
            try:
                find_layout(source, "val")
            except InputError:
                self._reporter.info(f"{source} has no part to validate on")
                return None
        return self._read(val or source, "val", self._settings.val_boxes, None, given)

    def _read(self, folder: Path, part: Part, boxes: Taken | None, limit: int | None, given: AvaFiles) -> AvaSet:
        settings = self._settings
        if boxes is None:
            there = overridden(find_layout(folder, part).files, given).detected is not None
            boxes = ("both" if part == "train" else "detected") if there else "truth"
        found = read_ava_set(
            folder,
            part,
            boxes=boxes,
            min_score=settings.min_score,
            negatives=settings.negatives,
            every=settings.val_every if part == "val" else 1,
            videos=settings.video_dir,
            frames=settings.frame_dir,
            given=given,
            first_second=settings.first_second,
            video_start=settings.video_start,
            missing="skip" if settings.skip_missing else "refuse",
            limit=limit,
        )
        count = sum(len(one.boxes) for one in found.keyframes)
        told = {"truth": "ground truth", "detected": "detected boxes", "both": "ground truth and detected boxes"}
        self._reporter.info(
            f"{part}: {len(found.keyframes)} keyframes of {len(found.sources)} videos, {count} boxes, {told[boxes]}"
        )
        for remark in found.remarks:
            self._reporter.warn(f"{folder}: {remark}")
        return found
