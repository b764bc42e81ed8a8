"""The catalogue of decoders: files to frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vidbench.catalogue import Catalogue, Entry
from vidbench.errors import VidbenchError
from vidbench.video.clip import Frames, VideoError, VideoInfo

if TYPE_CHECKING:
    from vidbench.video.fit import Fit

Wanted = Callable[[VideoInfo], Iterable[int]]


ONE_THREAD = {"VIDBENCH_CODEC_THREADS": "1"}
"""In the environment of a process: a codec shall not take threads of its own, as there is a process for each core."""


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

AUTO = "auto"
_TRIED = 3


def choose(name: str, videos: Iterable[Path]) -> str:
    """The name of a decoder: the one that is asked for, or for "auto" the first that reads these videos.

    Each is tried, in the order of the catalogue, on the first three of the videos; what reads the most of them is
    taken. Where none reads any, that is the first one's to tell.

    Raises:
        UnknownNameError: No such decoder.
        MissingError: The one that is asked for is not installed.
    """
    if name != AUTO:
        DECODERS.get(name)
        return name
    tried = list(islice(videos, _TRIED))
    best, most = DECODERS.names()[0], 0
    for entry in DECODERS:
        try:
            decode = DECODERS.get(entry.name)
        except VidbenchError:
            continue
        read = sum(_reads(decode, path) for path in tried)
        if read > most:
            best, most = entry.name, read
        if most == len(tried):
            break
    return best


def _reads(decode: Decoder, path: Path) -> bool:
    try:
        decode(path, lambda info: [0])
    except VideoError:
        return False
    return True
