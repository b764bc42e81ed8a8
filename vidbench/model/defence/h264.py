"""Each clip through H.264 and back."""

from __future__ import annotations

from torch import Tensor

from vidbench.model.defence.by_bytes import by_bytes
from vidbench.model.defence.layer import Defence
from vidbench.model.defence.setting import parts, whole
from vidbench.video.recompress import through_h264

CRF = 23


class H264(Defence):
    """x264 of a constant rate factor, decoded again, each clip a video of its own.

    Values are rounded to 256 levels before. There is no derivative: the backward pass is the identity.
    """

    differentiable = False

    def __init__(self, crf: int = CRF) -> None:
        super().__init__(f"h264:{crf}")
        self.crf = crf

    def change(self, clips: Tensor) -> Tensor:
        """Encode and decode on the CPU."""
        return by_bytes(clips, lambda frames: through_h264(frames, self.crf))


def build(setting: str) -> H264:
    """From "" or "23"."""
    found = parts("h264", setting, 1, "[:CRF]")
    return H264(whole("h264", "crf", found[0], 0, 51) if found else CRF)
