"""MMAction2's proposals, a pickle of box arrays by keyframe: read without importing or running what it names."""

from __future__ import annotations

import mmap
import pickle
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vidbench.label.check_rules.rule import Findings, Loader, rule

READERS: tuple[Loader, ...] = ("mmaction2",)
SURE = 0.9
"""MMAction2's `person_det_score_thr`."""

UNREADABLE = rule(
    "proposals-unreadable",
    "error",
    "Export the proposals again: a pickle of a dictionary from `video,0902` to (N, 5) arrays.",
    mmaction2="cannot read it, or runs what it names",
)
NUMPY_2 = rule(
    "proposals-numpy2",
    "warning",
    "Export the proposals again: `vidbench label export` writes a pickle that numpy 1 and numpy 2 read.",
    mmaction2="ModuleNotFoundError with a numpy older than 1.26.1",
)
KEY = rule(
    "proposals-key",
    "error",
    "Write keys as `video,0902`, with four digits.",
    mmaction2="never finds the key, and takes the whole picture for a person",
)
LISTS = rule("proposals-list", "error", "Store numpy arrays.", mmaction2="AttributeError: a list has no shape")
SHAPE = rule(
    "proposals-shape",
    "error",
    "Store (N, 5) arrays of x1, y1, x2, y2, score, or (N, 4) without scores.",
    mmaction2="AssertionError or IndexError",
)
EMPTY = rule(
    "proposals-empty-array",
    "error",
    "Leave the key out.",
    mmaction2="ValueError: the greatest score of none",
)
RANGE = rule(
    "proposals-range",
    "error",
    "Divide pixels by the width and height of the frame and clip to 0 and 1.",
    mmaction2="AssertionError",
)
ORDER = rule(
    "proposals-order",
    "error",
    "Exchange the corners: x1 < x2 and y1 < y2.",
    mmaction2="pools features of a region without area",
)
LOW = rule(
    "proposals-low",
    "warning",
    "Write 1.0 for boxes that people checked, or set person_det_score_thr.",
    mmaction2="keeps the best box of the keyframe alone, as all scores are below its threshold 0.9",
)
LACKING = rule(
    "proposals-lacking",
    "warning",
    "Add the boxes of the keyframe.",
    mmaction2="takes the whole picture for a person",
)
UNKNOWN = rule("proposals-unknown", "note", "No row of the split's labels is at this keyframe; nobody asks for it.")

_KEY = re.compile("(.+),([0-9]{4,6})")
_CORE = re.compile(r"numpy\.(?:_core|core)\.(multiarray|numeric)")


def check_proposals(path: Path, keyframes: Collection[str] | None, found: Findings) -> int:
    """Check a file of proposals; gives how many keyframes it has.

    Args:
        path: The file.
        keyframes: Those of the split's labels, as `video,0902`; None where there are no labels.
        found: Where findings go.
    """
    try:
        with path.open("rb") as stream:
            if _names_numpy_2(stream):
                found.add(NUMPY_2, path, None, "it names numpy._core", READERS)
            held = _Inert(stream).load()
    except OSError as error:
        found.add(UNREADABLE, path, None, f"cannot be read: {error.strerror}", READERS)
        return 0
    except Exception as error:  # a damaged pickle fails in any way
        found.add(UNREADABLE, path, None, str(error).splitlines()[0] if str(error) else type(error).__name__, READERS)
        return 0
    if not isinstance(held, dict):
        found.add(UNREADABLE, path, None, f"a {type(held).__name__}, not a dictionary", READERS)
        return 0
    known: set[str] = set()
    for key, value in held.items():
        match = _KEY.fullmatch(key) if isinstance(key, str) else None
        if match is None or f"{match[1]},{int(match[2]):04d}" != key:
            found.add(KEY, path, None, f"key {str(key)[:80]!r}", READERS)
        else:
            known.add(key)
        _value(path, str(key)[:80], value, found)
    if keyframes is not None:
        _compare(path, known, keyframes, found)
    return len(held)


def _compare(path: Path, known: Collection[str], keyframes: Collection[str], found: Findings) -> None:
    for key in sorted(keyframes):
        if key not in known:
            found.add(LACKING, path, None, f"no proposals of {key}", READERS)
    for key in sorted(known):
        if key not in keyframes:
            found.add(UNKNOWN, path, None, f"{key} has no labels")


def _value(path: Path, key: str, value: object, found: Findings) -> None:
    if isinstance(value, list | tuple):
        found.add(LISTS, path, None, f"{key}: a {type(value).__name__}, not an array", READERS)
        return
    boxes = value.numbers() if isinstance(value, _Array) else None
    if boxes is None:
        found.add(SHAPE, path, None, f"{key}: no array of numbers", READERS)
        return
    if not boxes.size:
        found.add(EMPTY, path, None, f"{key}: an array of shape {boxes.shape}", READERS)
        return
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        found.add(SHAPE, path, None, f"{key}: an array of shape {boxes.shape}", READERS)
        return
    corners = boxes[:, :4]
    if not ((corners >= 0) & (corners <= 1)).all():
        odd = next(row for row in corners.tolist() if not all(0 <= one <= 1 for one in row))
        found.add(RANGE, path, None, f"{key}: box {odd} is not within 0 to 1", READERS)
    elif not (corners[:, :2] < corners[:, 2:]).all():
        found.add(ORDER, path, None, f"{key}: a box without area", READERS)
    if boxes.shape[1] == 5 and not boxes[:, 4].max() >= SURE:
        found.add(LOW, path, None, f"{key}: {len(boxes)} boxes, the best score is {boxes[:, 4].max():g}", READERS)


def _names_numpy_2(stream: IO[bytes]) -> bool:
    if not stream.seek(0, 2):
        return False
    stream.seek(0)
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"numpy._core") >= 0


class _Type:
    """A dtype, as text."""

    def __init__(self, code: str = "", *_: object) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # version, byte order, subtype, names, fields, ...
        if len(state) > 4 and (state[2], state[3], state[4]) != (None, None, None):
            raise pickle.UnpicklingError("an array type with fields")
        if len(state) > 1 and state[1] in ("<", ">"):
            self.code = state[1] + self.code.lstrip("<>=|")

    def numpy(self) -> np.dtype[Any] | None:
        return np.dtype(self.code) if re.fullmatch("[<>=|]?[fiu][1248]", self.code) else None


class _Array:
    """An array, as its state."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def numbers(self) -> NDArray[Any] | None:
        """Its values; None where they are no numbers."""
        if len(self.state) != 5:
            return None
        _, shape, kind, fortran, raw = self.state
        number = kind.numpy() if isinstance(kind, _Type) else None
        if number is None or not isinstance(raw, bytes | bytearray):
            return None
        try:
            return np.frombuffer(raw, dtype=number).reshape(shape, order="F" if fortran else "C").astype(np.float64)
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class _Call:
    """What a pickle may call; nothing in it can be changed by a state that a pickle gives it."""

    do: Callable[..., object]

    def __call__(self, *given: object) -> object:
        return self.do(*given)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a state for a function")


def _from_buffer(raw: object, kind: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.state = 1, shape, kind, order == "F", raw
    return array


def _encode(text: str, kind: str = "latin1") -> bytes:
    if kind not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text of encoding {kind!r}")
    return text.encode("latin-1")


def _scalar(kind: object, raw: object = b"") -> float:
    number = kind.numpy() if isinstance(kind, _Type) else None
    if number is None or not isinstance(raw, bytes) or len(raw) != number.itemsize:
        raise pickle.UnpicklingError("a number of a type that is none")
    return float(np.frombuffer(raw, dtype=number)[0])


_STAND_INS: Mapping[str, object] = {
    "numpy ndarray": _Array,
    "numpy dtype": _Type,
    "multiarray _reconstruct": _Array,
    "multiarray scalar": _Call(_scalar),
    "numeric _frombuffer": _Call(_from_buffer),
    "_codecs encode": _Call(_encode),
    # what protocol 2 writes for no bytes at all
    "__builtin__ bytes": _Call(lambda: b""),
    "collections OrderedDict": dict,
    "builtins dict": dict,
}


# Python's own, not the faster one in C, which makes room for as many values as a damaged file asks for
class _Inert(pickle._Unpickler):
    """Reads a pickle with stand-ins of our own for the few names that pickles of arrays need."""

    def __init__(self, stream: IO[bytes]) -> None:
        stream.seek(0)
        super().__init__(stream, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        core = _CORE.fullmatch(module)
        stand_in = _STAND_INS.get(f"{core[1] if core else module} {name}")
        if stand_in is None:
            raise pickle.UnpicklingError(f"it needs {module}.{name}"[:200])
        return stand_in

    def persistent_load(self, pid: object) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of itself")
