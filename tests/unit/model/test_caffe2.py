"""The blobs of Caffe2's files are read, by whichever Python and numpy wrote them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from vidbench.errors import InputError
from vidbench.model.caffe2 import read_blobs


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f2", "f8", "i8", "u1", "?"])
def test_arrays_of_python_3_read_back(tmp_path: Path, protocol: int, dtype: str) -> None:
    base = np.arange(24).reshape(2, 3, 4).astype(dtype)
    blobs = {"a": base, "f": np.asfortranarray(base), "t": base.T, "empty": base[:0], "s": base[1, 1, 1], "n": 3}

    found = read_blobs(written(tmp_path, pickle.dumps({"blobs": blobs, "cfg": "x: ü"}, protocol=protocol)))

    assert list(found) == list(blobs)
    for name, value in blobs.items():
        assert np.array_equal(found[name], value), name
        assert found[name].shape == np.shape(value)


def test_module_names_of_numpy_1(tmp_path: Path) -> None:
    content = pickle.dumps({"blobs": {"a": np.ones(3)}}, protocol=2)
    old = content.replace(b"numpy._core.", b"numpy.core.")
    assert old != content

    assert read_blobs(written(tmp_path, old))["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "it holds list"),
        ({"blobs": 3, "x": 1}, "it holds blobs, x"),
        ({"blobs": {}}, "no blobs"),
        ({"blobs": {"a": "text"}}, "blob 'a' is no array"),
        ({"blobs": {3: np.ones(1)}}, "blob '3' is no array"),
    ],
)
def test_other_pickles(tmp_path: Path, content: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_blobs(written(tmp_path, pickle.dumps(content, protocol=2)))


def test_every_cut_is_told(tmp_path: Path) -> None:
    whole = pickle.dumps({"blobs": {"a": np.arange(30.0), "b": np.ones((2, 2), dtype="f4")}}, protocol=2)
    for kept in range(3, len(whole) - 1, 7):
        with pytest.raises(InputError):
            read_blobs(written(tmp_path, whole[:kept]))
