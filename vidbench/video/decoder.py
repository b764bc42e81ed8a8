"""The catalogue of decoders: files to frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vidbench.catalogue import Catalogue, Entry
from vidbench.video.clip import Frames, VideoInfo

if TYPE_CHECKING:
    from vidbench.video.fit import Fit

Wanted = Callable[[VideoInfo], Iterable[int]]


class Decoder(Protocol):
    """Reads chosen frames of a video."""

    def __call__(self, path: Path, wanted: Wanted, fit: Fit | None = None) -> Frames:
        """Decode `path` once and keep the frames that `wanted` names.

        Args:
            path: The file.
            wanted: Gives frame indices in [0, info.frames) for a video's facts; called again when
                decoding finds another number of frames than the container tells.
            fit: The size that the frames get; None keeps theirs.

        Raises:
            VideoError: The file cannot be decoded; the message is the reason.
        """


def _pyav() -> Decoder:
    from vidbench.video.pyav import decode

    return decode


def _torchcodec() -> Decoder:
    from vidbench.video.torchcodec import load

    return load()


def _decord() -> Decoder:
    from vidbench.video.decord import load

    return load()


DECODERS: Catalogue[Decoder] = Catalogue(
    "decoder",
    (
        Entry("pyav", "PyAV with its own FFmpeg: H.264, HEVC, VP9, AV1", _pyav),
        Entry("torchcodec", "TorchCodec with the system's FFmpeg libraries", _torchcodec, "torchcodec"),
        Entry("decord", "decord 0.6 with its own FFmpeg of 2021: H.264, HEVC, VP9", _decord, "decord"),
    ),
    group="vidbench.decoders",
)
