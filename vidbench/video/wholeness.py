"""Whether a file is whole by what its container says of itself, and what a file is that does not open."""

from __future__ import annotations

from pathlib import Path

_HEAD = 64
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
_BOXES = (b"mdat", b"moov", b"moof", b"mfra", b"sidx", b"udta", b"uuid", b"free", b"skip", b"wide", b"meta")


def missing_bytes(path: Path) -> str:
    """What the container's own framework says is cut off, in words; empty where nothing is, or it cannot tell.

    MP4 and MOV files are boxes, each with its length, and need an index; Matroska and AVI files tell their length.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
        if head[4:8] in _FIRST_BOXES:
            indexed = False
            place = 0
            while place + 8 <= size:
                stream.seek(place)
                box = stream.read(16)
                length = int.from_bytes(box[:4], "big")
                if length == 1:
                    length = int.from_bytes(box[8:16], "big")
                indexed |= box[4:8] in (b"moov", b"moof")
                if length < 8:
                    break
                place += length
                if place > size and box[4:8] in _BOXES:
                    name = "media" if box[4:8] == b"mdat" else "index" if box[4:8] == b"moov" else "file"
                    return f"the {name} is cut off, {place - size} bytes are missing"
            return "" if indexed else "its index is missing"
    if head[:4] == b"RIFF":
        short = int.from_bytes(head[4:8], "little") + 8 - size
        return f"{short} bytes are missing" if short > 1 else ""
    if head[:4] == b"\x1aE\xdf\xa3":
        short = _matroska_end(head) - size
        return f"{short} bytes are missing" if short > 0 else ""
    return ""


def _matroska_end(head: bytes) -> int:
    """Where the segment of a Matroska file ends, 0 where the file does not say."""
    length, place = _vint(head, 4)
    place += max(length, 0)
    if head[place : place + 4] != b"\x18S\x80g":
        return 0
    length, place = _vint(head, place + 4)
    return 0 if length < 0 else place + length


def _vint(data: bytes, place: int) -> tuple[int, int]:
    """A length of EBML and where what follows begins; -1 for a length that is not known."""
    if place >= len(data) or data[place] == 0:
        return -1, place + 1
    width = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + width], "big") & ((1 << 7 * width) - 1)
    return (-1 if value == (1 << 7 * width) - 1 else value), place + width


def is_cut_off(path: Path) -> bool:
    """Whether a file is shorter than its container says; where that says nothing, the answer is no."""
    return bool(missing_bytes(path))


def why_unopened(path: Path, error: BaseException) -> tuple[str, str]:
    """The kind of a file that does not open as a video, and why: "truncated", "corrupt" or "no_video"."""
    if gone := missing_bytes(path):
        return "truncated", gone
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head[4:8] == b"ftyp" or head[:4] in (b"RIFF", b"\x1aE\xdf\xa3"):
        return "corrupt", f"does not open: {told(error)}"
    if head.lstrip().lower().startswith((b"<html", b"<!doctype", b"<?xml")):
        return "no_video", "a web page"
    return "no_video", f"not a video: {told(error)}"


def told(error: BaseException) -> str:
    """What an error says, in one line."""
    text = str(getattr(error, "strerror", None) or error)
    return text.splitlines()[0] if text else type(error).__name__
