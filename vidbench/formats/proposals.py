"""MMAction2's proposals for AVA, a pickle of box arrays: written for numpy 1 and 2, read without running it."""

from __future__ import annotations

import codecs
import math
import mmap
import os
import pickletools
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vidbench.errors import InputError, disk_errors
from vidbench.formats.ava import Second

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
    """Read proposals; the pickle's steps are followed one by one, and none of them imports or calls anything.

    Gives `(N, 5)` arrays in the order of the file; boxes without scores get the score 1, as MMAction2 takes all.

    Raises:
        InputError: The pickle needs anything but arrays and text (it is named), is damaged, or holds other values.
    """
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            held = _Machine().run(content)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "Give the path of the file.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except _RefusedError as error:
        raise InputError(f"{path}: a pickle that is not read, as it could run code: {error}", _SHAPE) from None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        # pickletools names no errors of its own for files that are cut off
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: a damaged pickle: {reason}", _SHAPE) from None
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
        boxes = value.values if isinstance(value, _Array) else None
        if boxes is None:
            raise ValueError(f"{key}: no array")
        yield Second(match["video"], int(match["second"])), _boxes(key, boxes)


def _boxes(key: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """`(N, 5)` float64 of what MMAction2 takes."""
    if values.ndim != 2 or values.shape[1] not in (4, 5) or not len(values):
        raise ValueError(f"{key}: an array of shape {values.shape}")
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


# what pickles of arrays name, by numpy 1 and 2; each becomes a mark, and what is applied to it is done here by hand
_CORES = ("numpy.core", "numpy._core")
_GLOBALS = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    # how empty bytes are written for Python 2
    ("__builtin__", "bytes"): "bytes",
    **{(f"{core}.multiarray", "_reconstruct"): "reconstruct" for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): "frombuffer" for core in _CORES},
}
_FLOATS = frozenset({"f2", "f4", "f8"})
_MARK = object()


class _RefusedError(Exception):
    """Why a pickle is not read."""


@dataclass(frozen=True)
class _Name:
    text: str


@dataclass
class _Type:
    code: str

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.code)


@dataclass
class _Array:
    """An array, at first without its content."""

    values: NDArray[Any] | None = None


class _Machine:
    """Follows the steps of a pickle that holds a dictionary of arrays."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: mmap.mmap) -> object:
        for step, argument, _ in pickletools.genops(content):  # type: ignore[arg-type]  # it reads, tells, and no more
            name = step.name
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _PUTS:
                self.memo[len(self.memo) if argument is None else int(argument)] = self.stack[-1]
            elif name in _GETS:
                self.stack.append(self.memo[int(argument or 0)])
            elif name in _STEPS:
                _STEPS[name](self, argument)
            elif name not in _IGNORED:
                raise _RefusedError(f"opcode {name}")
        if len(self.stack) != 1:
            raise ValueError("it does not come to one value")
        result: object = self.stack[0]
        return result

    def push(self, value: object) -> None:
        self.stack.append(value)

    def top(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("too few values")
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def marked(self) -> list[Any]:
        at = len(self.stack) - 1
        while at >= 0 and self.stack[at] is not _MARK:
            at -= 1
        if at < 0:
            raise ValueError("no mark")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def items(self, given: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(given) % 2:
            raise ValueError("items without a dictionary")
        for key, value in zip(given[::2], given[1::2], strict=True):
            if not isinstance(key, str):
                raise _RefusedError(f"a key that is a {type(key).__name__}")
            target[key] = value

    def find(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _GLOBALS:
            raise _RefusedError(f"it needs {module}.{name}"[:200])
        self.push(_Name(_GLOBALS[module, name]))

    def reduce(self) -> None:
        called, given = self.top(2)
        if not isinstance(called, _Name) or not isinstance(given, tuple):
            raise _RefusedError(f"a call of a {type(called).__name__}")
        self.push(_called(called.text, given))

    def build(self) -> None:
        target, state = self.top(2)
        if isinstance(target, _Type) and isinstance(state, tuple) and len(state) >= 8:
            # version, byte order, subtype, names, fields, size, alignment, flags
            if state[1] not in ("<", ">", "|", "=") or any(one is not None for one in state[2:5]) or state[7] != 0:
                raise _RefusedError("an array type with fields or objects")
            target.code = (state[1] if state[1] in "<>" else "<") + target.code[-2:]
        elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5 and target.values is None:
            _, shape, kind, fortran, raw = state
            target.values = _values(raw, kind, shape, bool(fortran))
        else:
            raise _RefusedError(f"a state for a {type(target).__name__}")
        self.push(target)


def _called(name: str, given: tuple[Any, ...]) -> object:
    if name == "reconstruct" and len(given) == 3 and given[0] == _Name("ndarray"):
        return _Array()
    if name == "dtype" and given and isinstance(given[0], str):
        if given[0].lstrip("<>=|") not in _FLOATS:
            raise _RefusedError(f"arrays of type {given[0][:40]!r}")
        return _Type(given[0].replace("=", "<").replace("|", "<"))
    if name == "frombuffer" and len(given) == 4 and given[3] in ("C", "F"):
        return _Array(_values(given[0], given[1], given[2], given[3] == "F"))
    if name == "encode" and len(given) == 2 and isinstance(given[0], str) and given[1] in ("latin1", "latin-1"):
        return codecs.latin_1_encode(given[0])[0]
    if name == "bytes" and not given:
        return b""
    raise _RefusedError(f"a call of {name} with {len(given)} values")


def _values(raw: object, kind: object, shape: object, fortran: bool) -> NDArray[Any]:
    if isinstance(raw, str):
        # Python 2 wrote its bytes as text
        raw = raw.encode("latin-1")
    if not isinstance(kind, _Type) or not isinstance(raw, bytes | bytearray):
        raise _RefusedError("an array without a type or content")
    if not isinstance(shape, tuple) or len(shape) > 2 or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise ValueError("an array of no proper shape")
    wanted = math.prod(shape) * kind.numpy().itemsize
    if len(raw) != wanted:
        raise ValueError(f"an array of shape {shape} needs {wanted} bytes, and has {len(raw)}")
    return np.frombuffer(raw, dtype=kind.numpy()).reshape(shape, order="F" if fortran else "C")


def _dict(machine: _Machine, _: object) -> None:
    given = machine.marked()
    machine.push({})
    machine.items(given)


_VALUES = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
    | {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE"}
)
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_STEPS: Mapping[str, Callable[[_Machine, Any], object]] = {
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": lambda machine, _: machine.push(_MARK),
    "DICT": _dict,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.marked())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.top(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.top(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.top(3))),
    "SETITEM": lambda machine, _: machine.items(machine.top(2)),
    "SETITEMS": lambda machine, _: machine.items(machine.marked()),
    "POP": lambda machine, _: machine.top(1),
    "GLOBAL": lambda machine, names: machine.find(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.find(*machine.top(2)),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
