"""The smart cut of H.264: whole groups of pictures are copied, the two ends are encoded anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidbench.video.clip import UnusableError
from vidbench.video.recode import Coding, Pictures, beyond, encoder, inspect, rescaled, written
from vidbench.video.span import Extent, Frames, Source, Span, look, opened, packets_of
from vidbench.video.wholeness import told

_IDR, _SPS, _PPS = 5, 7, 8
_IDS = range(32)
_START = b"\0\0\0\1"


class NotSmart(Exception):
    """The stream does not allow it; the message says why."""


@dataclass(frozen=True)
class _Shown:
    """A packet in the order of decoding: when its picture is shown and for how long, and whether it begins a group.

    A key frame that is not an IDR picture begins an open group: pictures after it may need those before it.
    """

    pts: int
    duration: int
    key: bool
    idr: bool


@dataclass(frozen=True)
class _Coded:
    """A packet with start codes.

    Attributes:
        pts: When it is shown, in ticks of the source.
        data: Its bytes.
        key: Whether a decoder can begin with it.
    """

    pts: int
    data: bytes
    key: bool


@dataclass(frozen=True)
class _Plan:
    """What is copied: the packets whose pictures are shown from `middle` to `tail`.

    Attributes:
        extent: What of the span the video holds.
        first: The first tick of the span.
        middle: The tick where copying begins, a key frame.
        tail: The tick where it ends, a key frame; None copies to the end of the video.
        copied: The packets that are copied, in the order of decoding.
    """

    extent: Extent
    first: int
    middle: int
    tail: int | None
    copied: tuple[_Shown, ...]


def smart_cut(source: Source, span: Span, target: Path, container: str, coding: Coding) -> tuple[Extent, Pictures]:
    """Cut a span into `target`, and decode enough of the result to be sure of it.

    Copied pictures are those of the source to the bit. Times are as `vidbench.video.recode.recode` gives them.

    The encoded ends have parameter sets of their own number, so that one file holds both; they have no
    reordered frames, and their decoding times run as early as those of the copied packets.

    Raises:
        NotSmart: The stream does not allow it, or the result is not what it should be.
        UnusableError: The span is empty, or cannot be decoded.
        OSError: The disk is full, or the like.
    """
    _refuse_foreign(source, container, coding)
    plan, used = _plan(source, span)
    number = next((number for number in _IDS if number not in used), None)
    if number is None:
        raise NotSmart("all numbers of parameter sets are taken")
    head = _encoded(source, plan.first, plan.middle, coding, number)
    tail = [] if plan.tail is None else _encoded(source, plan.tail, source.ticks(span)[1], coding, number)
    _mux(source, plan, head, tail, target, container)
    times = [time - plan.first for time in plan.extent.times]
    try:
        pictures = inspect(target, container, times, source.time_base)
        _verify(target, source, plan, len(head), len(tail))
    except UnusableError as error:
        raise NotSmart(f"the result did not decode as it should: {error}") from error
    return plan.extent, pictures


def _refuse_foreign(source: Source, container: str, coding: Coding) -> None:
    if coding.short_side is not None or coding.fps is not None:
        raise NotSmart("another size or frame rate needs every frame encoded anew")
    if source.codec != "h264":
        raise NotSmart(f"the codec is {source.codec}, not h264")
    if source.pix_fmt != "yuv420p":
        raise NotSmart(f"the pixel format is {source.pix_fmt}, not yuv420p")
    if source.interlaced:
        raise NotSmart("interlaced")
    if source.turn:
        raise NotSmart("the frames have to be turned upright")
    if source.sample_aspect not in (None, 1):
        raise NotSmart("pixels are not square")
    if container not in ("mp4", "mov"):
        raise NotSmart(f"it writes mp4 and mov, not {container}")


def _plan(source: Source, span: Span) -> tuple[_Plan, set[int]]:
    """Where to cut, from the packets alone, and the numbers of parameter sets that the stream uses."""
    first, last = source.ticks(span)
    with opened(source.path) as (_, stream):
        extradata = stream.codec_context.extradata or b""
    # avcC begins with its version, 1; parameter sets after start codes begin with 0
    width = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" else 0
    used = _numbers(_header_units(extradata))
    packets: list[_Shown] = []
    for packet in packets_of(source, first, last):
        if packet.pts is None:
            raise NotSmart("packets without times")
        if packet.is_discard:
            raise NotSmart("an edit list hides frames")
        idr = False
        if packet.is_keyframe:
            units = _units(bytes(packet), width)
            used |= _numbers(units)
            idr = any(unit[0] & 31 == _IDR for unit in units)
        packets.append(_Shown(packet.pts, packet.duration or 0, packet.is_keyframe, idr))
    shown = sorted(packet.pts for packet in packets if packet.pts >= first and (last is None or packet.pts < last))
    if not shown:
        raise UnusableError("empty", beyond(span))
    went_past = last is not None and any(packet.pts >= last for packet in packets)
    durations = {packet.pts: packet.duration for packet in packets}
    end = shown[-1] + (durations[shown[-1]] or round(1 / source.rate / source.time_base))
    if last is not None and went_past:
        end = last
    extent = Extent(tuple(shown), end, went_past)
    middle, tail, copied = _middle(packets, first, last, went_past)
    return _Plan(extent, first, middle, tail, copied), used


def _middle(
    packets: Sequence[_Shown], first: int, last: int | None, went_past: bool
) -> tuple[int, int | None, tuple[_Shown, ...]]:
    """The whole closed groups within a span: first and last tick, and their packets."""
    starts = [place for place, packet in enumerate(packets) if packet.idr]
    begin = next((place for place in starts if packets[place].pts >= first), None)
    stop: int | None = None
    if went_past:
        stop = next((place for place in reversed(starts) if last is not None and packets[place].pts <= last), None)
    end = len(packets) if stop is None else stop
    if any(packet.key and not packet.idr and packet.pts >= first for packet in packets):
        raise NotSmart("a group of pictures is open")
    if begin is None or (went_past and stop is None) or begin >= end:
        raise NotSmart("no whole closed group of pictures lies within the span")
    low, high = packets[begin].pts, None if stop is None else packets[stop].pts
    copied = tuple(packets[begin:end])
    if any(packet.pts < low for packet in packets[begin:]) or any(packet.pts >= low for packet in packets[:begin]):
        raise NotSmart("a group of pictures is open")
    if high is not None and any(packet.pts >= high for packet in copied):
        raise NotSmart("a group of pictures is open")
    return low, high, copied


def _encoded(source: Source, first: int, last: int | None, coding: Coding, number: int) -> list[_Coded]:
    """The frames of an end encoded anew: times and packets, in order, with start codes and parameter sets."""
    context: VideoCodecContext | None = None
    done: list[_Coded] = []
    if last is not None and first >= last:
        return done

    def keep(packets: Sequence[Packet[VideoStream]]) -> None:
        for packet in packets:
            assert packet.pts is not None
            done.append(_Coded(packet.pts, bytes(packet), packet.is_keyframe))

    for frame in Frames(source, first, last):
        if context is None:
            name, options = encoder(coding, "mp4")
            created = av.CodecContext.create(name, "w")
            assert isinstance(created, VideoCodecContext)
            context = created
            # the source's numbers are left to the source
            context.options = {**options, "bf": "0", "x264-params": f"sps-id={number}"}
            context.width, context.height, context.pix_fmt = source.width, source.height, source.pix_fmt
            context.time_base, context.framerate = source.time_base, source.rate
            context.thread_count = 1
            if source.sample_aspect is not None:
                context.sample_aspect_ratio = source.sample_aspect
            context.color_range, context.color_primaries, context.color_trc, context.colorspace = source.colour
        frame.pict_type = 0
        keep(context.encode(frame))
    if context is not None:
        keep(context.encode(None))
    return done


def _mux(source: Source, plan: _Plan, head: list[_Coded], tail: list[_Coded], target: Path, container: str) -> None:
    order = [*(end.pts for end in head), *(packet.pts for packet in plan.copied), *(end.pts for end in tail)]
    clock = _decoding_times(order)
    ascending = sorted(order)
    lasts = dict(zip(ascending, (b - a for a, b in pairwise([*ascending, plan.extent.end])), strict=True))
    with opened(source.path) as (_, template), written(target, container, source.time_base) as out:
        # the header lists the parameter sets that the first packet has: it gets those of the source and of the ends
        extradata = template.codec_context.extradata or b""
        sets = [*_header_units(extradata), *(unit for packet in (*head[:1], *tail[:1]) for unit in _units(packet.data))]
        opening = b"".join(_START + unit for unit in dict.fromkeys(sets) if unit[0] & 31 in (_SPS, _PPS))
        stream = out.add_mux_stream("h264", rate=source.rate, width=source.width, height=source.height)
        stream.time_base = source.time_base
        for place, coded in enumerate(chain(head, _copied(source, plan), tail)):
            packet = Packet(coded.data if place else opening + coded.data)
            packet.stream = stream
            packet.time_base = source.time_base
            packet.pts, packet.dts = coded.pts - plan.first, clock[place] - plan.first
            packet.duration = lasts[coded.pts]
            packet.is_keyframe = coded.key
            out.mux(packet)


def _copied(source: Source, plan: _Plan) -> Iterator[_Coded]:
    """The copied packets, with start codes and with parameter sets at each key frame."""
    bsf: av.bitstream.BitStreamFilterContext | None = None
    idr = {packet.pts for packet in plan.copied if packet.idr}
    for packet in packets_of(source, plan.middle, plan.tail):
        if packet.pts is None or packet.pts < plan.middle or (plan.tail is not None and packet.pts >= plan.tail):
            continue
        bsf = bsf or av.bitstream.BitStreamFilterContext("h264_mp4toannexb", packet.stream)
        for changed in bsf.filter(packet):
            assert changed.pts is not None
            yield _Coded(changed.pts, bytes(changed), changed.pts in idr)


def _decoding_times(order: Sequence[int]) -> list[int]:
    """When each packet is decoded: the times of showing in order, early enough for every packet."""
    ascending = sorted(order)
    rank = {pts: place for place, pts in enumerate(ascending)}
    if len(rank) < len(order):
        raise NotSmart("two frames have one time")
    delay = max(place - rank[pts] for place, pts in enumerate(order))
    step = min((b - a for a, b in pairwise(ascending)), default=1)
    return [
        ascending[place - delay] if place >= delay else ascending[0] - (delay - place) * step
        for place in range(len(order))
    ]


def _verify(target: Path, source: Source, plan: _Plan, head: int, tail: int) -> None:
    """Decode both joints with a whole group beside them, and every key frame of the rest.

    Raises:
        UnusableError: A frame is missing, has another time or does not decode.
    """
    made = look(target)
    ratio = source.time_base / made.time_base
    times = [rescaled(time - plan.first, ratio) for time in plan.extent.times]
    groups = [place for place, packet in enumerate(sorted(plan.copied, key=lambda packet: packet.pts)) if packet.idr]
    joints = [(0, head + (groups[1] if len(groups) > 1 else len(plan.copied)))]
    if tail:
        joints.append((head + groups[-1], len(times)))
    for begin, end in joints:
        frames = Frames(made, times[begin], times[end] if end < len(times) else None)
        for _ in frames:
            pass
        if frames.extent.times != tuple(times[begin:end]):
            raise UnusableError("corrupt", f"{len(frames.extent.times)} of {end - begin} frames at a joint")
    _decode_keys(target)


def _decode_keys(target: Path) -> None:
    keys = pictures = 0
    with opened(target, strict=True) as (container, stream):
        stream.codec_context.skip_frame = "NONKEY"
        try:
            for packet in container.demux(stream):
                if packet.is_keyframe or not packet.size:
                    keys += packet.size > 0
                    pictures += len(packet.decode())
        except av.error.EOFError:
            pass
        except av.error.FFmpegError as error:
            raise UnusableError("corrupt", told(error)) from error
    if keys != pictures:
        raise UnusableError("corrupt", f"{pictures} of {keys} key frames decode")


def _header_units(extradata: bytes) -> list[bytes]:
    """The parameter sets of a stream's header: ISO/IEC 14496-15's avcC, or with start codes."""
    if extradata[:1] != b"\1":
        return _units(extradata)
    found = []
    place = 5
    for mask in (31, 255):
        count = extradata[place] & mask
        place += 1
        for _ in range(count):
            length = int.from_bytes(extradata[place : place + 2], "big")
            found.append(extradata[place + 2 : place + 2 + length])
            place += 2 + length
    return [unit for unit in found if unit]


def _units(data: bytes, width: int = 0) -> list[bytes]:
    """The units of a packet: after start codes, or, where `width` is not 0, after lengths of so many bytes."""
    if not width:
        return [unit for part in data.split(b"\0\0\1") if (unit := part.rstrip(b"\0"))]
    found = []
    place = 0
    while place + width < len(data):
        length = int.from_bytes(data[place : place + width], "big")
        found.append(data[place + width : place + width + length])
        place += width + length
    return [unit for unit in found if unit]


def _numbers(units: Sequence[bytes]) -> set[int]:
    """The numbers that sequence and picture parameter sets among some units have.

    Source: ITU-T H.264, 7.3.2.1.1 and 7.3.2.2.
    """
    kinds = {_SPS: 4, _PPS: 1}
    return {_golomb(unit[kinds[unit[0] & 31] :]) for unit in units if unit[0] & 31 in kinds}


def _golomb(data: bytes) -> int:
    """The first number of a bit string, as H.264's ue(v) codes it; below 256 for parameter sets."""
    bits = "".join(f"{byte:08b}" for byte in data[:4])
    zeros = len(bits) - len(bits.lstrip("0"))
    return int(bits[zeros : 2 * zeros + 1] or "1", 2) - 1
