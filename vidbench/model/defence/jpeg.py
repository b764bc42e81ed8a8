"""Each frame through JPEG and back."""

from __future__ import annotations

from torch import Tensor

from vidbench.model.defence.by_bytes import by_bytes
from vidbench.model.defence.layer import Defence
from vidbench.model.defence.setting import parts, whole
from vidbench.video.recompress import through_jpeg

QUALITY = 75


class Jpeg(Defence):
    """JPEG of a quality, 4:2:0, frame by frame (Dziugaite et al. 2016, arXiv:1608.00853).

    Values are rounded to 256 levels before. There is no derivative: the backward pass is the identity.
    """

    differentiable = False

    def __init__(self, quality: int = QUALITY) -> None:
        super().__init__(f"jpeg:{quality}")
        self.quality = quality

    def change(self, clips: Tensor) -> Tensor:
        """Encode and decode on the CPU."""
        return by_bytes(clips, lambda frames: through_jpeg(frames, self.quality))


def build(setting: str) -> Jpeg:
    """From "" or "75"."""
    found = parts("jpeg", setting, 1, "[:QUALITY]")
    return Jpeg(whole("jpeg", "quality", found[0], 1, 100) if found else QUALITY)
