"""Frames through a codec and back, in memory: JPEG with Pillow, H.264 with PyAV."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]

_FPS = 30


def through_jpeg(frames: Bytes, quality: int) -> Bytes:
    """Each frame as a baseline JPEG file with halved colour (4:2:0) and the standard Huffman tables, decoded again.

    Args:
        frames: `(T, H, W, 3)` RGB.
        quality: 1 to 100, as libjpeg scales its quantisation tables.
    """
    _check(frames)
    return np.stack([_one_jpeg(frame, quality) for frame in frames])


def through_h264(frames: Bytes, crf: int) -> Bytes:
    """The frames as one video by x264 (yuv420p, preset medium, 30 frames per second), decoded again.

    The same bytes on every call: one thread, and no macroblock tree, which differs from run to run. A last row
    or column that makes an odd side even repeats the one before it and is cut off again. Colours are BT.601 in
    limited range.

    Args:
        frames: `(T, H, W, 3)` RGB.
        crf: x264's constant rate factor, 0 to 51 (worst); also at 0 halved colour is lost.
    """
    _check(frames)
    count, height, width = frames.shape[:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    encoder = _encoder(even.shape[2], even.shape[1], crf)
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    into, back = VideoReformatter(), VideoReformatter()
    packets = []
    for number, frame in enumerate(even):
        colour = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture = into.reformat(colour, format="yuv420p", threads=1)
        picture.pts = number
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    pictures = [picture for packet in packets for picture in decoder.decode(packet)]
    pictures += decoder.decode(None)
    if len(pictures) != count:
        raise RuntimeError(f"{count} frames were encoded and {len(pictures)} decoded")
    decoded = [back.reformat(picture, format="rgb24", threads=1).to_ndarray() for picture in pictures]
    return np.stack(decoded)[:, :height, :width].astype(np.uint8, copy=False)


def _one_jpeg(frame: Bytes, quality: int) -> Bytes:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(stream) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _encoder(width: int, height: int, crf: int) -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(_FPS), Fraction(1, _FPS)
    encoder.thread_count = 1
    encoder.options = {"crf": str(crf), "preset": "medium", "mbtree": "0"}
    return encoder


def _check(frames: Bytes) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(f"frames must be (T, H, W, 3) uint8, not {frames.shape} {frames.dtype}")
