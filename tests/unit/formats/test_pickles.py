"""Pickles of arrays are read; pickles that would do anything else are refused before anything runs."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidbench.errors import InputError
from vidbench.formats.pickles import read_pickle


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    return path


def python2(values: np.ndarray[Any, Any]) -> bytes:
    """The pickle that Python 2 and numpy 1 write of {'blobs': {'conv1_w': values}}: bytes are its text."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    shape = b"(" + b"".join(b"K" + bytes([size]) for size in values.shape) + b"t"
    kind = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array += b"(K\x01" + shape + kind + b"\x89" + text(values.tobytes()) + b"tb"
    return b"\x80\x02}U\x05blobs}U\x07conv1_w" + array + b"ss."


def test_arrays_of_python_2_are_read_as_latin_1(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 5)).astype("<f4")
    content = python2(values)
    # what numpy itself makes of that pickle
    theirs = pickle.loads(content, encoding="latin1")["blobs"]["conv1_w"]

    held = read_pickle(written(tmp_path, content))

    assert np.array_equal(theirs, values)
    assert isinstance(held, dict)
    assert np.array_equal(held["blobs"]["conv1_w"].values, values)


class Call:
    def __init__(self, called: Callable[..., object], *given: object) -> None:
        self.call = (called, given)

    def __reduce__(self) -> Any:
        return self.call


MARKER = "ran"


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("called", "given", "named"),
    [
        (os.system, (f"touch {MARKER}",), r"(posix|nt)\.system"),
        (builtins.eval, (f"open({MARKER!r}, 'w')",), r"(builtins|__builtin__)\.eval"),
        (builtins.open, (MARKER, "w"), r"(io|_io|__builtin__)\.open"),
        (builtins.getattr, ("", "join"), r"(builtins|__builtin__)\.getattr"),
        (subprocess.check_call, (["touch", MARKER],), r"(subprocess|commands)\.check_call"),
        (np.load, (MARKER,), r"numpy\.load"),
        (np.memmap, (MARKER, "u1", "w+", 0, (1,)), r"numpy\.memmap"),
        (np.fromfile, (MARKER,), r"numpy\.fromfile"),
        (np.zeros, ((2**40,),), r"numpy\.zeros"),
        (OrderedDict, ({"a": 1},), r"collections\.OrderedDict"),
    ],
)
def test_calls_are_refused_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: int,
    called: Callable[..., object],
    given: tuple[object, ...],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        content = pickle.dumps({"blobs": {"a": np.ones(2), "b": Call(called, *given)}}, protocol=protocol)
    except pickle.PicklingError:
        pytest.fail("the attack itself cannot be pickled")

    with pytest.raises(InputError, match=named) as caught:
        read_pickle(written(tmp_path, content))

    assert "could run code" in caught.value.message
    assert not (tmp_path / MARKER).exists()


def test_arrays_of_objects_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = np.empty(1, dtype=object)
    inside[0] = Call(os.system, f"touch {MARKER}")

    with pytest.raises(InputError, match=r"'O8'|system"):
        read_pickle(written(tmp_path, pickle.dumps({"blobs": {"a": inside}}, protocol=2)))
    harmless = pickle.dumps({"blobs": {"a": np.array([None], dtype=object)}}, protocol=2)
    with pytest.raises(InputError, match="arrays of type 'O8'"):
        read_pickle(written(tmp_path, harmless))
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize(
    "values", [np.zeros(2, dtype=[("a", "f4")]), np.array(["x"]), np.array([1j]), np.array([b"x"])]
)
def test_records_text_and_complex_are_refused(tmp_path: Path, values: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InputError, match="arrays of type"):
        read_pickle(written(tmp_path, pickle.dumps({"blobs": {"a": values}}, protocol=2)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        # the opcodes that import or build by themselves
        (b"\x80\x02(iposix\nsystem\n.", "opcode INST"),
        (b"\x80\x02(cos\nsystem\no.", r"os\.system"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "opcode NEWOBJ"),
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "opcode BINPERSID"),
        # a known name set up to be called with something else
        (b"\x80\x02cnumpy\nndarray\nK\x03\x85R.", "a call of ndarray"),
        (b"\x80\x02cnumpy\nndarray\n}U\x01aK\x01sb.", "a state for"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nK\x01K\x02K\x03\x87R.", "a call of _reconstruct"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.", "text in"),
        (b"\x80\x02X\x01\x00\x00\x00aK\x01\x85R.", "a call of a str"),
        (b"\x80\x02}(]K\x01u.", "a key that is a list"),
        # lengths and places that are not there
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc.", "damaged"),
        (b"\x80\x02B\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x02Nj\xff\xff\xff\x7f.", "damaged"),
        (b"\x80\x020000000.", "damaged"),
        (b"\x80\x02tttttttt.", "damaged"),
        (b"\x80\x02NNNNNNNN.", "damaged"),
        (b"\x80\x02}U\x05blobs", "damaged"),
    ],
)
def test_crafted_opcodes(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_pickle(written(tmp_path, content))


def test_no_allocation_beyond_the_file(tmp_path: Path) -> None:
    crafted = (
        # a memo slot of two thousand million, for which Python's own reader makes a table
        b"\x80\x02Nr\xff\xff\xff\x7f.",
        # an array of 2**60 bytes that has three of them
        python2(np.ones((1, 1), dtype="<f4")).replace(b"(K\x01K\x01t", b"(\x8a\x08" + b"\x00" * 7 + b"\x10K\x01t"),
        # two hundred lists, each holding the one before twice
        b"\x80\x02]q\x00" + b"".join(b"(h%ch%clq%c" % (i, i, i + 1) for i in range(200)) + b"\x85.",
    )  # fmt: skip
    tracemalloc.start()
    try:
        for content in crafted:
            try:
                read_pickle(written(tmp_path, content))
            except InputError as error:
                assert "damaged" in error.message or "could run code" in error.message  # noqa: PT017
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_reading_imports_nothing(tmp_path: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(InputError, match=r"antigravity\.x"):
        read_pickle(written(tmp_path, b"\x80\x02cantigravity\nx\n."))
    assert "antigravity" not in set(sys.modules) - before
