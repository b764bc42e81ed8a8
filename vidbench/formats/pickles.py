"""Pickles of arrays and plain values, read without running them."""

from __future__ import annotations

import codecs
import math
import mmap
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidbench.errors import InputError

# what a pickle of numpy arrays names, by numpy 1 and 2 and by Python 2 and 3; none of it is imported or called:
# each becomes a mark, and what is applied to it is done here by hand
_RECONSTRUCT, _ARRAY, _DTYPE, _SCALAR, _FROM_BUFFER, _ENCODE, _BYTES = (
    "_reconstruct",
    "ndarray",
    "dtype",
    "scalar",
    "_frombuffer",
    "encode",
    "bytes",
)
_GLOBALS = {
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): _DTYPE,
    ("_codecs", "encode"): _ENCODE,
    # Python 3 writes empty bytes as a call of it, for Python 2 to read
    ("__builtin__", "bytes"): _BYTES,
    **{(f"numpy.{core}.multiarray", name): name for core in ("core", "_core") for name in (_RECONSTRUCT, _SCALAR)},
    **{(f"numpy.{core}.numeric", _FROM_BUFFER): _FROM_BUFFER for core in ("core", "_core")},
}
# fractions and whole numbers: no objects, no text, no records
_TYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
_MAX_DIMENSIONS = 8


class _Refused(Exception):
    """Why a pickle is not read."""


@dataclass(frozen=True)
class _Known:
    name: str


@dataclass
class _Type:
    code: str
    order: str = "<"

    def numpy(self) -> np.dtype[Any]:
        return np.dtype((self.order if self.order in "<>" else "<") + self.code)


@dataclass
class PickledArray:
    """An array of numbers.

    Attributes:
        values: Its content; None where the pickle never gives it.
    """

    values: NDArray[Any] | None = None


_MARK = object()
_TRUSTED = "Where you trust it, load it with the program that wrote it and save the arrays alone."


def read_pickle(path: Path, remedy: str = "") -> object:
    """What a pickle of arrays, text, numbers and plain containers holds; text of Python 2 is read as latin-1.

    The opcodes are followed one by one, and none of them imports or calls anything. The few names that numpy's arrays
    need are known by heart; every other one is refused. No stated length makes more room than the file has.

    Args:
        path: The file.
        remedy: The way out of a file that is not taken; by default one for files that somebody trusts.

    Returns:
        Plain values; each array, and each of numpy's numbers, as a `PickledArray`.

    Raises:
        InputError: There is no such file, it needs anything else (it is named), or it is damaged.
    """
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Machine().run(content)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "Give the path of the file.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except _Refused as error:
        raise InputError(
            f"{path}: a pickle that is not only arrays and plain values ({error}), so that reading it could run code",
            remedy or _TRUSTED,
        ) from error
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        # pickletools names no errors of its own for files that are cut off
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: a damaged pickle: {reason}", remedy) from error


class _Machine:
    """Follows the opcodes of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: mmap.mmap) -> object:
        for opcode, argument, _ in pickletools.genops(content):  # type: ignore[arg-type]  # it reads, tells, and no more
            name = opcode.name
            if name == "STOP":
                break
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name in _IGNORED:
                continue
            elif name in _PUTS:
                self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
            elif name in _GETS:
                self.stack.append(self.memo[int(argument or 0)])
            elif name in _STEPS:
                _STEPS[name](self, argument)
            else:
                raise _Refused(f"opcode {name}")
        if len(self.stack) != 1:
            raise ValueError("it does not come to one value")
        result: object = self.stack[0]
        return result

    def marked(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def set_items(self, given: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(given) % 2:
            raise ValueError("items without a dictionary")
        for key, value in zip(given[::2], given[1::2], strict=True):
            if not isinstance(key, str | int):
                raise _Refused(f"a key that is a {type(key).__name__}")
            target[key] = value

    def append(self, given: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("values without a list")
        target.extend(given)

    def top(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("too few values")
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def find(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise _Refused("a name that is no text")
        known = _GLOBALS.get((module, name))
        if known is None:
            raise _Refused(f"it needs {module}.{name}"[:200])
        self.stack.append(_Known(known))

    def reduce(self) -> None:
        called, given = self.top(2)
        if not isinstance(called, _Known) or not isinstance(given, tuple):
            raise _Refused(f"a call of a {type(called).__name__}")
        self.stack.append(_called(called.name, given))

    def build(self) -> None:
        target, state = self.top(2)
        if isinstance(target, _Type) and isinstance(state, tuple):
            _set_type(target, state)
        elif (
            isinstance(target, PickledArray) and isinstance(state, tuple) and len(state) == 5 and target.values is None
        ):
            _, shape, kind, fortran, raw = state
            target.values = _array(raw, kind, shape, bool(fortran))
        else:
            raise _Refused(f"a state for a {type(target).__name__}")
        self.stack.append(target)


def _called(name: str, given: tuple[Any, ...]) -> object:
    if name == _RECONSTRUCT and len(given) == 3 and given[0] == _Known(_ARRAY):
        return PickledArray()
    if name == _DTYPE and given and isinstance(given[0], str):
        if given[0].lstrip("<>=|") not in _TYPES:
            raise _Refused(f"arrays of type {given[0][:40]!r}")
        return _Type(given[0].lstrip("<>=|"), given[0][0] if given[0][0] in "<>" else "<")
    if name == _SCALAR and len(given) == 2:
        return PickledArray(_array(given[1], given[0], (), False))
    if name == _FROM_BUFFER and len(given) == 4:
        raw, kind, shape, order = given
        if order not in ("C", "F"):
            raise ValueError(f"arrays in order {order!r}")
        return PickledArray(_array(raw, kind, shape, order == "F"))
    if name == _BYTES and not given:
        return b""
    if name == _ENCODE and len(given) in (1, 2) and isinstance(given[0], str):
        if given[-1] != "latin1" and given[1:] != ("latin-1",):
            raise _Refused(f"text in {str(given[1:])[:40]}")
        return codecs.latin_1_encode(given[0])[0]
    raise _Refused(f"a call of {name} with {len(given)} values")


def _set_type(target: _Type, state: tuple[Any, ...]) -> None:
    # version, byte order, subtype, names, fields, size, alignment, flags; later versions add metadata
    if len(state) < 8 or state[1] not in ("<", ">", "|", "=") or any(value is not None for value in state[2:5]):
        raise _Refused("an array type with fields or of an unknown order")
    if state[7] != 0:
        raise _Refused("an array type that holds objects")
    target.order = state[1] if state[1] in "<>" else "<"


def _array(raw: object, kind: object, shape: object, fortran: bool) -> NDArray[Any]:
    if isinstance(raw, str):
        # Python 2 wrote its bytes as text
        raw = raw.encode("latin-1")
    if not isinstance(kind, _Type):
        raise _Refused("an array without a type")
    if not isinstance(raw, bytes | bytearray):
        raise _Refused(f"an array whose content is a {type(raw).__name__}")
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError("an array of no proper shape")
    if not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise ValueError("an array of no proper shape")
    wanted = math.prod(shape) * kind.numpy().itemsize
    if len(raw) != wanted:
        raise ValueError(f"an array of shape {str(shape)[:80]} needs {wanted} bytes, and has {len(raw)}")
    return np.frombuffer(raw, dtype=kind.numpy()).reshape(shape, order="F" if fortran else "C")


_VALUES = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
    | {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
)
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_IGNORED = frozenset({"PROTO", "FRAME"})
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})


def _dict(machine: _Machine, _: object) -> None:
    given = machine.marked()
    machine.stack.append({})
    machine.set_items(given)


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "DICT": _dict,
    "LIST": lambda machine, _: machine.stack.append(machine.marked()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.marked())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.top(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.top(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.top(3))),
    "APPEND": lambda machine, _: machine.append(machine.top(1)),
    "APPENDS": lambda machine, _: machine.append(machine.marked()),
    "SETITEM": lambda machine, _: machine.set_items(machine.top(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.marked()),
    "POP": lambda machine, _: machine.top(1).clear(),
    "POP_MARK": lambda machine, _: machine.marked().clear(),
    "GLOBAL": lambda machine, names: machine.find(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.find(*machine.top(2)),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
