"""Attacked clips for people: film strips, videos side by side, and files without loss."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vidbench.attack.realism import to_frames
from vidbench.errors import disk_errors
from vidbench.runs import content_hash
from vidbench.video import strip
from vidbench.video.encode import encode, encode_lossless

Save = Literal["none", "ffv1", "png", "h264"]
GAIN = 8
"""How many times a difference is enlarged to be seen: 8/255 becomes a quarter of the range."""
SHOWN_FPS = Fraction(8)
"""Frames per second of a video side by side: a clip of a second or two is seen slowly."""
_GAP = 4


def film_strip(clean: Tensor, attacked: Tensor) -> Image.Image:
    """Three rows over one time axis: clean, perturbation stretched to the full range, attacked.

    Args:
        clean: `(3, T, H, W)` in [0, 1].
        attacked: The same shape.
    """
    chosen = list(strip.strip_frames(clean.shape[1]))
    first, last = clean[:, chosen], attacked[:, chosen]
    delta = last - first
    largest = float(delta.abs().max())
    visible = delta / (2 * largest) + 0.5 if largest > 0 else torch.full_like(delta, 0.5)
    rows = [(row.permute(1, 2, 3, 0).clamp(0, 1) * 255).round().to(torch.uint8) for row in (first, visible, last)]
    return strip.film_strip([row.numpy() for row in rows])


def side_by_side(clean: Tensor, attacked: Tensor, gain: float = GAIN) -> Tensor:
    """`(T, H', W', 3)` uint8 frames: clean, attacked, and the difference times `gain` around grey.

    Args:
        clean: `(3, T, H, W)` in [0, 1].
        attacked: The same shape.
        gain: Enlargement of the difference.
    """
    difference = ((attacked - clean) * gain + 0.5).clamp(0, 1)
    parts = to_frames(torch.stack([clean, attacked, difference]))
    frames, height, width = parts.shape[1:4]
    # H.264 wants even sides
    canvas = torch.full((frames, height + height % 2, 3 * width + 2 * _GAP + width % 2, 3), 255, dtype=torch.uint8)
    for place, part in enumerate(parts):
        left = place * (width + _GAP)
        canvas[:, :height, left : left + width] = part
    return canvas


@dataclass(frozen=True)
class Keeper:
    """Keeps what people may want to look at, in a run folder.

    Attributes:
        folder: The run folder.
        shown: The clips of which film strips and videos are made, where the attack succeeds: the first of the list,
            so that it does not matter who attacks what when.
        save: How all attacked clips are kept: "none", "ffv1" or "png" (without loss), "h264".
        fps: Frames per second of the clips that are kept.
    """

    folder: Path
    shown: frozenset[str]
    save: Save = "none"
    fps: Fraction = Fraction(30)

    def keep(self, record: dict[str, Any], clean: Tensor, attacked: Tensor) -> None:
        """Keep a clip at its last radius; what is written is told in the record."""
        if record["status"] != "ok":
            return
        # a column's label is a person's text; the clip's key is the same for all columns
        name = f"{record['clip']}-{content_hash(record['column'])[:6]}"
        if record["clip"] in self.shown and record["clean_correct"] and not record["robust"]:
            folder = self.folder / "examples"
            with disk_errors(folder):
                strip.save_png(folder / f"{name}.png", film_strip(clean.cpu(), attacked.cpu()))
                encode(folder / f"{name}.mp4", side_by_side(clean.cpu(), attacked.cpu()).numpy(), SHOWN_FPS, crf=20)
            record["example"] = f"examples/{name}"
        if self.save != "none":
            record["saved"] = self._save(name, to_frames(attacked[None])[0].numpy())

    def _save(self, name: str, frames: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
        folder = self.folder / "clips"
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if self.save == "png":
                return self._save_pictures(folder / name, frames)
            path = folder / f"{name}.{'mkv' if self.save == 'ffv1' else 'mp4'}"
            if self.save == "ffv1":
                encode_lossless(path, frames, self.fps)
            else:
                height, width = frames.shape[1:3]
                grown = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                encode(path, grown, self.fps, crf=18)
        return f"clips/{path.name}"

    def _save_pictures(self, folder: Path, frames: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for number, frame in enumerate(frames, start=1):
                Image.fromarray(frame).save(partial / f"{number:05d}.png")
            shutil.rmtree(folder, ignore_errors=True)
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return f"clips/{folder.name}"
