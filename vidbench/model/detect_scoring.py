"""Pictures around keyframes to the probabilities of all actions of each person there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vidbench.data.ava_set import Keyframe
from vidbench.model.detect_reading import TOGETHER, ReadStretch
from vidbench.model.detection import ActionDetector, owned
from vidbench.model.scoring import PIXELS_PER_BATCH, autocast


class BoxScorer:
    """Scores the boxes of keyframes.

    Args:
        detector: In evaluation mode, on its device.
        batch: Keyframes per forward pass; 0 for what suits the device.
        precision: "fp32", "bf16" or "fp16": of convolutions and products, by autocast.

    Attributes:
        detector: As given.
        batch: Halved where a GPU's memory did not hold so many.
    """

    def __init__(self, detector: ActionDetector, batch: int, precision: str = "fp32") -> None:
        self.batch = batch
        self.detector = detector
        self._precision = precision

    def score(self, read: ReadStretch, keyframes: Sequence[Keyframe]) -> list[NDArray[np.float64]]:
        """`(M, K)` probabilities for each of the keyframes of a stretch; NaN where a logit is not finite."""
        found: list[NDArray[np.float64]] = []
        while len(found) < len(keyframes):
            size = self.batch or self._fitting(read)
            places = range(len(found), min(len(found) + size, len(keyframes)))
            try:
                found += self._together(read, keyframes, places)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.batch = -(-size // 2)
                torch.cuda.empty_cache()
        return found

    def _fitting(self, read: ReadStretch) -> int:
        if self.detector.device.type != "cpu":
            return TOGETHER
        height, width = read.frames.data.shape[1:3]
        pixels: int = self.detector.preprocess.frames * height * width
        return max(1, PIXELS_PER_BATCH // pixels)

    @torch.inference_mode()
    def _together(
        self, read: ReadStretch, keyframes: Sequence[Keyframe], places: Sequence[int]
    ) -> list[NDArray[np.float64]]:
        device, short_side = self.detector.device, self.detector.preprocess.short_side
        clips = torch.stack([read.clip(place) for place in places])
        parts = [read.boxes(keyframes[place], short_side) for place in places]
        with autocast(device, self._precision):
            logits = self.detector(clips.to(device), owned(parts).to(device))
        # in float64, where large logits still differ: equal scores would be ranked by chance
        found = logits.float().cpu().double()
        # a sigmoid makes 0 and 1 of what overflowed
        scores = torch.where(found.isfinite(), torch.sigmoid(found), torch.nan).numpy()
        return np.split(scores, np.cumsum([len(part) for part in parts])[:-1])
