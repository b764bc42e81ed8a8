"""What is known of a video, and the frames that were decoded from it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


class VideoError(Exception):
    """A video that cannot be decoded; the message is the reason, in a few words.

    It is data, not a failure of the command: the clip is recorded with `status: failed`.
    """


class UnusableError(VideoError):
    """A video that cannot be cut or extracted, and the word for it.

    Attributes:
        reason: "missing", "empty" (no bytes, no frame, or none in the span), "truncated", "corrupt", "no_video" or
            "unsupported".
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class VideoInfo:
    """Facts of a video stream.

    Attributes:
        path: The file.
        codec: FFmpeg's name of the codec.
        width: Pixels, as coded (display rotation and non-square pixels are not applied).
        height: Pixels, likewise.
        fps: Average frames per second, exact.
        frames: Number of frames.
    """

    path: Path
    codec: str
    width: int
    height: int
    fps: Fraction
    frames: int

    @property
    def duration_s(self) -> float:
        """Seconds: frames over fps."""
        return float(self.frames / self.fps)


@dataclass(frozen=True)
class Frames:
    """Decoded frames of one video.

    Attributes:
        info: The video, with the number of frames that decoding found.
        indices: Which frames, ascending, each once.
        data: `(len(indices), H, W, 3)` RGB in [0, 255]: uint8, or float32 where frames were scaled without
            rounding.
    """

    info: VideoInfo
    indices: tuple[int, ...]
    data: NDArray[Any]

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or self.data.shape[3] != 3 or len(self.data) != len(self.indices):
            raise ValueError(f"expected ({len(self.indices)}, H, W, 3), got {self.data.shape = }")

    def __repr__(self) -> str:
        return f"Frames({self.info.path.name}, {len(self.indices)} of {self.info.frames}, {self.data.shape = })"
