"""The pictures around keyframes: what a clip needs of its video is decoded, and kept while memory lasts."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidbench.data.ava_source import AvaSource
from vidbench.video.fit import Fit


class PictureStore:
    """Reads the pictures of clips and keeps each one for the clips that share it; safe to use from several threads.

    What is kept and what is read anew are the same numbers.

    Args:
        fit: The size that pictures get as they leave the decoder.
        budget: Bytes of pictures to keep; those beyond it are read for each clip anew.
    """

    def __init__(self, fit: Fit, budget: int) -> None:
        self._fit, self._budget = fit, budget
        self._kept: dict[tuple[str, int], NDArray[Any]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def clip(self, source: AvaSource, indices: tuple[int, ...]) -> tuple[Tensor, int, int]:
        """Pictures of a video.

        Args:
            source: The video.
            indices: Numbers of its pictures, rising; repeats are possible.

        Returns:
            `(T, 3, H, W)` RGB, uint8, or float32 in [0, 255] for an exact fit, its memory channels-last; and width
            and height before any scaling.

        Raises:
            VideoError: They cannot be read.
        """
        needed = dict.fromkeys(indices)
        held = {index: self._kept.get((source.video, index)) for index in needed}
        lacking = [index for index, picture in held.items() if picture is None]
        if lacking:
            read = source.read(lacking, self._fit)
            held.update(zip(lacking, read.data, strict=True))
            self._keep(source.video, lacking, read.data, (read.width, read.height))
            width, height = read.width, read.height
        else:
            width, height = self._sizes[source.video]
        pictures = torch.from_numpy(np.stack([held[index] for index in indices]))  # type: ignore[misc]
        return pictures.permute(0, 3, 1, 2), width, height

    def _keep(self, video: str, indices: list[int], data: NDArray[Any], size: tuple[int, int]) -> None:
        with self._lock:
            self._sizes.setdefault(video, size)
            for index, picture in zip(indices, data, strict=True):
                if self._bytes + picture.nbytes > self._budget:
                    return
                if (video, index) not in self._kept:
                    # a row of its own: a view would hold all pictures that were read with it
                    self._kept[video, index] = picture.copy()
                    self._bytes += picture.nbytes
