"""MMAction2's proposals for AVA, a pickle of box arrays: written for numpy 1 and 2, read without running it."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vidbench.errors import InputError, disk_errors
from vidbench.formats.ava import Second
from vidbench.formats.pickles import PickledArray, read_pickle

_KEY = re.compile(r'(?P<video>[^,"\s]+),(?P<second>[0-9]{1,6})')
_SHAPE = (
    "A proposal file maps `video,0902` to an (N, 5) array of x1, y1, x2, y2, score, or (N, 4) without scores; "
    "all from 0 to 1, N at least 1."
)
_BATCH = 1000
# the parts of every array, kept in the pickle's memo
_MAKE, _EMPTY, _TYPE, _ENCODE, _LATIN = range(5)


def save_proposals(path: Path, boxes: Iterable[tuple[Second, NDArray[np.float64]]]) -> int:
    """Write proposals, whole or not at all; gives how many keyframes there were.

    The file is a pickle of protocol 2 that names `numpy.core`, which numpy 1 has and numpy 2 still knows; numpy 2's
    own pickles name `numpy._core` and do not load in numpy 1. Equal boxes give equal bytes.

    Args:
        path: The file.
        boxes: For each keyframe `(N, 5)` float64: x1, y1, x2, y2, score, in [0, 1], N at least 1.

    Raises:
        InputError: Boxes that MMAction2 would not take, or a keyframe twice.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                count = _write(stream, boxes)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return count


def load_proposals(path: Path) -> dict[Second, NDArray[np.float64]]:
    """Read proposals, without running anything in the pickle (`vidbench.formats.pickles`).

    Gives `(N, 5)` arrays in the order of the file; boxes without scores get the score 1, as MMAction2 takes all.

    Raises:
        InputError: The pickle needs anything but arrays and text (it is named), is damaged, or holds other values.
    """
    held = read_pickle(path, _SHAPE)
    try:
        return dict(_checked(held))
    except ValueError as error:
        raise InputError(f"{path}: {error}", _SHAPE) from None


def _checked(held: object) -> Iterator[tuple[Second, NDArray[np.float64]]]:
    if not isinstance(held, dict):
        raise ValueError(f"a {type(held).__name__}, not a dictionary")
    for key, value in held.items():
        match = _KEY.fullmatch(key) if isinstance(key, str) else None
        if not match:
            raise ValueError(f"key {str(key)[:80]!r} is not as `video,0902`")
        boxes = value.values if isinstance(value, PickledArray) else None
        if boxes is None:
            raise ValueError(f"{key}: no array")
        yield Second(match["video"], int(match["second"])), _boxes(key, boxes)


def _boxes(key: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """`(N, 5)` float64 of what MMAction2 takes."""
    if values.ndim != 2 or values.shape[1] not in (4, 5) or not len(values):
        raise ValueError(f"{key}: an array of shape {values.shape}")
    if values.dtype.kind != "f":
        raise ValueError(f"{key}: an array of {values.dtype}, not of fractions")
    boxes = values.astype(np.float64)
    if not ((boxes >= 0) & (boxes <= 1)).all():
        raise ValueError(f"{key}: values outside of 0 to 1")
    if not (boxes[:, :2] <= boxes[:, 2:4]).all():
        raise ValueError(f"{key}: a box that ends before it begins")
    return boxes if boxes.shape[1] == 5 else np.concatenate([boxes, np.ones((len(boxes), 1))], axis=1)


def _write(stream: IO[bytes], boxes: Iterable[tuple[Second, NDArray[np.float64]]]) -> int:
    stream.write(b"\x80\x02" + _shared() + b"}")
    seen: set[Second] = set()
    for key, values in boxes:
        text = f"{key.video},{key.second:04d}"
        if not _KEY.fullmatch(text) or key in seen:
            raise InputError(f"cannot write proposals of {text!r}: no name of a keyframe, or there twice", _SHAPE)
        if values.shape[1:] != (5,):
            raise InputError(f"cannot write proposals of {text!r}: an array of shape {values.shape}", _SHAPE)
        try:
            good = _boxes(text, values)
        except ValueError as error:
            raise InputError(f"cannot write proposals: {error}", _SHAPE) from None
        # readers of protocol 2 hold what stands between a mark and its end: not all of it at once
        if len(seen) % _BATCH == 0:
            stream.write((b"u" if seen else b"") + b"(")
        seen.add(key)
        stream.write(_text(text) + _array_steps(good))
    stream.write((b"u" if seen else b"") + b".")
    return len(seen)


def _text(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _get(number: int) -> bytes:
    return b"h" + bytes([number])


def _shared() -> bytes:
    """Put what all arrays share into the memo: each is made, kept and taken off again."""

    def kept(number: int, steps: bytes) -> bytes:
        return steps + b"q" + bytes([number]) + b"0"

    number_type = b"cnumpy\ndtype\n(" + _text("f8") + b"\x89\x88tR(K\x03" + _text("<") + b"NNN"
    return (
        kept(_ENCODE, b"c_codecs\nencode\n")
        + kept(_LATIN, _text("latin1"))
        # ndarray, (0,), b"b": what an array begins as
        + kept(_EMPTY, b"cnumpy\nndarray\nK\x00\x85" + _bytes(b"b") + b"\x87")
        + kept(_MAKE, b"cnumpy.core.multiarray\n_reconstruct\n")
        + kept(_TYPE, number_type + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb")
    )


def _bytes(raw: bytes) -> bytes:
    # protocol 2 has no bytes; Python writes them as text that is encoded
    return _get(_ENCODE) + _text(raw.decode("latin-1")) + _get(_LATIN) + b"\x86R"


def _array_steps(values: NDArray[np.float64]) -> bytes:
    rows, columns = values.shape
    shape = b"J" + struct.pack("<i", rows) + b"K" + bytes([columns]) + b"\x86"
    state = b"(K\x01" + shape + _get(_TYPE) + b"\x89" + _bytes(values.astype("<f8").tobytes()) + b"t"
    return _get(_MAKE) + _get(_EMPTY) + b"R" + state + b"b"
