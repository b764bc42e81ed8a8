"""Whether attacked clips still fool a model once they are stored, compressed and read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidbench.attack.confirm import Judge
from vidbench.video.fit import bilinear
from vidbench.video.recompress import through_h264

Level = Literal["none", "uint8", "all"]
RATES = (18, 23, 28)
"""x264's constant rate factors: nearly without loss, its default, and what sharing sites use."""
GROWN = 8 / 7
"""How much larger a stored clip is read than the crop that was attacked: 256 against 224 pixels."""


@dataclass(frozen=True)
class Realism:
    """What attacked clips go through before the model sees them again.

    * `uint8`: rounded to 8 bits, as every file of frames does;
    * `h264-Q`: the same, then H.264 (yuv420p) at the rate factor Q;
    * `resize`: the same at 23, then read as a user's pipeline reads a video: the short side scaled up to 8/7 of the
      crop, and the centre cropped again.

    Attributes:
        level: "none", "uint8" alone, or "all".
    """

    level: Level = "all"

    def names(self) -> tuple[str, ...]:
        """What there is, in order."""
        if self.level == "none":
            return ()
        return ("uint8",) if self.level == "uint8" else ("uint8", *(f"h264-{rate}" for rate in RATES), "resize")

    def predictions(self, clips: Tensor, judge: Judge, keys: Sequence[str]) -> dict[str, list[int]]:
        """The judge's answer to each of `(N, 3, T, H, W)` clips after each treatment."""
        found: dict[str, list[int]] = {name: [] for name in self.names()}
        for start in range(0, len(clips) if found else 0, judge.width):
            part, chosen = clips[start : start + judge.width], keys[start : start + judge.width]
            for name, treated in self._treated(part).items():
                found[name] += judge.logits(treated.to(clips.device), chosen).argmax(1).tolist()
        return found

    def _treated(self, clips: Tensor) -> dict[str, Tensor]:
        stored = to_frames(clips)
        result = {"uint8": from_frames(stored)}
        if self.level == "all":
            packed = {rate: [through_h264(frames.numpy(), rate) for frames in stored] for rate in RATES}
            for rate in RATES:
                result[f"h264-{rate}"] = from_frames(torch.stack([torch.from_numpy(one) for one in packed[rate]]))
            result["resize"] = torch.stack([_read_again(torch.from_numpy(one)) for one in packed[23]])
        return result


def to_frames(clips: Tensor) -> Tensor:
    """`(N, 3, T, H, W)` in [0, 1] as `(N, T, H, W, 3)` uint8 on the CPU, rounded to the nearest."""
    return (clips.permute(0, 2, 3, 4, 1) * 255).round().clamp(0, 255).to(torch.uint8).cpu().contiguous()


def from_frames(frames: Tensor) -> Tensor:
    """The way back."""
    return (frames.float() / 255).permute(0, 4, 1, 2, 3).contiguous()


def _read_again(frames: Tensor) -> Tensor:
    """`(T, H, W, 3)` uint8 to `(3, T, H, W)` in [0, 1]: scaled up, centre cropped."""
    _, height, width, _ = frames.shape
    wide, high = round(width * GROWN), round(height * GROWN)
    left, top = (wide - width) // 2, (high - height) // 2
    scaled = [bilinear(frame.numpy(), wide, high)[top : top + height, left : left + width] for frame in frames]
    return torch.stack([torch.from_numpy(frame.copy()) for frame in scaled]).permute(3, 0, 1, 2).contiguous() / 255
