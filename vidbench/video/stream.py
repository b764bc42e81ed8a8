"""Which stream of a container is its video."""

from __future__ import annotations

import av
from av.container import InputContainer
from av.video.stream import VideoStream


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The video stream that FFmpeg takes for the best, as its command line, TorchCodec and decord do.

    Cover art is a "video" of one attached picture, and never taken. Where no stream can be decoded the first one is
    given, so that its codec can be named. None where there is none.
    """
    found = [one for one in container.streams.video if not one.disposition & av.stream.Disposition.attached_pic]
    best = container.streams.best("video")
    return next((one for one in found if best is not None and one.index == best.index), found[0] if found else None)
