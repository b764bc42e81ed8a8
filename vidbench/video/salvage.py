"""What is left of a damaged video: its packets in a new container, or its sound frames encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from vidbench.video.census import STRICT
from vidbench.video.clip import VideoError
from vidbench.video.stream import picture_stream

CRF = 18
_CLOCK = Fraction(1, 90000)


def remux(source: Path, target: Path) -> int:
    """Copy the whole packets of a video's picture and sound into a new mp4, with times where they lack.

    Returns:
        Packets of the picture that were copied.

    Raises:
        VideoError: The file does not open, its codec does not go into mp4, or there is no packet.
    """
    try:
        with _open(source) as old, av.open(str(target), "w", format="mp4") as new:
            stream = _stream(old)
            copies: dict[int, Stream] = {stream.index: new.add_stream_from_template(stream)}
            for sound in old.streams.audio[:1]:
                copies[sound.index] = new.add_stream_from_template(sound)
            count = _copy(old, new, stream, copies)
    except (av.error.FFmpegError, OSError, ValueError, KeyError) as error:
        raise VideoError(_reason(error)) from error
    if count == 0:
        raise VideoError("no packet of its picture can be read")
    return count


def reencode(source: Path, target: Path) -> int:
    """Encode the frames that decode without damage as H.264 in mp4, each at its own time, without sound.

    After a fault nothing is taken before the next keyframe: what is decoded in between shows the damage.

    Returns:
        Frames that were written.

    Raises:
        VideoError: The file does not open, or no frame decodes.
    """
    try:
        with _open(source) as old, av.open(str(target), "w", format="mp4") as new:
            count = _encode(old, new)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(_reason(error)) from error
    if count == 0:
        raise VideoError("no frame decodes without damage")
    return count


def _open(path: Path) -> InputContainer:
    return av.open(str(path), mode="r")


def _stream(container: InputContainer) -> VideoStream:
    stream = picture_stream(container)
    if stream is None or stream.codec_context is None:
        raise VideoError("no video stream that can be decoded")
    return stream


def _copy(old: InputContainer, new: OutputContainer, stream: VideoStream, copies: Mapping[int, Stream]) -> int:
    count = 0
    after: int | None = None
    chosen = [old.streams[index] for index in copies]
    try:
        for packet in old.demux(*chosen):
            if not packet.size or packet.is_corrupt:
                continue
            picture = packet.stream.index == stream.index
            if picture:
                if packet.dts is None:
                    packet.dts = 0 if after is None else after
                if packet.pts is None:
                    packet.pts = packet.dts
                if after is not None and packet.dts < after:
                    packet.dts = after
                # decoding times have to rise
                after = packet.dts + 1
                count += 1
            packet.stream = copies[packet.stream.index]
            new.mux(packet)
    except av.error.FFmpegError:
        # the end of what can be read
        pass
    return count


def _encode(old: InputContainer, new: OutputContainer) -> int:
    stream = _stream(old)
    context = stream.codec_context
    context.options = dict(STRICT)
    context.thread_count = 1
    base = stream.time_base or _CLOCK
    writer: VideoStream | None = None
    count, last = 0, -1
    for frames in _sound_frames(old, stream):
        for frame in frames:
            if frame.is_corrupt or frame.pts is None:
                continue
            if writer is None:
                rate = stream.average_rate or stream.guessed_rate or Fraction(30)
                # mbtree gives other bytes from run to run
                options = {"crf": str(CRF), "preset": "veryfast", "mbtree": "0"}
                writer = new.add_stream("libx264", rate=Fraction(rate), options=options)
                writer.width, writer.height = frame.width, frame.height
                # the usual format halves the colour, which an odd size does not allow
                writer.pix_fmt = "yuv444p" if frame.width % 2 or frame.height % 2 else "yuv420p"
                writer.time_base = writer.codec_context.time_base = base
                writer.thread_count = 1
            if frame.pts <= last or (frame.width, frame.height) != (writer.width, writer.height):
                continue
            picture = frame.reformat(format=writer.pix_fmt)
            picture.pts, picture.time_base, picture.pict_type = frame.pts, base, av.video.frame.PictureType.NONE
            last = frame.pts
            new.mux(writer.encode(picture))
            count += 1
    if writer is not None:
        new.mux(writer.encode(None))
    return count


def _sound_frames(old: InputContainer, stream: VideoStream) -> Iterator[list[av.VideoFrame]]:
    """Lists of frames that decode; from a fault on, packets are passed over up to the next keyframe."""
    waiting = False
    context = stream.codec_context
    try:
        for packet in old.demux(stream):
            if waiting and packet.size and not packet.is_keyframe:
                continue
            waiting = False
            try:
                yield packet.decode()
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, ValueError):
                waiting = True
                # frames that came before the fault may still wait in the decoder
                yield _rest(context)
                context.flush_buffers()
    except av.error.FFmpegError:
        yield _rest(context)


def _rest(context: av.VideoCodecContext) -> list[av.VideoFrame]:
    try:
        return context.decode(None)
    except (av.error.FFmpegError, ValueError):
        return []


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).splitlines()[0] if text else type(error).__name__
