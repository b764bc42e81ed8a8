"""MMAction2's proposals: plain pickle reads them, numpy 1 would, and reading a foreign one runs nothing."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidbench.errors import InputError
from vidbench.formats.ava import Second
from vidbench.formats.proposals import load_proposals, save_proposals

ONE = np.array([[0.011, 0.157, 0.655, 0.983, 0.998163]])
TWO = np.array([[0.0, 0.0, 1.0, 1.0, 0.5], [0.054, 0.088, 0.91, 0.998, 0.068273]])
BOXES = {Second("0f39OWEqJ24", 902): ONE, Second("-a_b", 1798): TWO}


def written(path: Path, boxes: dict[Second, NDArray[np.float64]] | None = None) -> bytes:
    save_proposals(path, (BOXES if boxes is None else boxes).items())
    return path.read_bytes()


def test_plain_pickle_gives_what_mmaction2_expects(tmp_path: Path) -> None:
    raw = written(tmp_path / "p.pkl")
    held = pickle.loads(raw)
    assert list(held) == ["0f39OWEqJ24,0902", "-a_b,1798"]
    assert type(held["-a_b,1798"]) is np.ndarray
    assert held["-a_b,1798"].dtype == np.float64
    assert np.array_equal(held["-a_b,1798"], TWO)
    held["-a_b,1798"][0, 0] = 0.25
    assert np.array_equal(held["0f39OWEqJ24,0902"], ONE)


def test_the_pickle_is_of_protocol_2_and_names_only_what_numpy_1_has(tmp_path: Path) -> None:
    raw = written(tmp_path / "p.pkl")
    assert raw[:2] == b"\x80\x02"
    assert b"_core" not in raw
    steps = list(pickletools.genops(io.BytesIO(raw)))
    assert max(step.proto for step, _, _ in steps) <= 2
    assert sorted(str(argument) for step, argument, _ in steps if step.name == "GLOBAL") == [
        "_codecs encode",
        "numpy dtype",
        "numpy ndarray",
        "numpy.core.multiarray _reconstruct",
    ]
    pickletools.dis(raw, out=io.StringIO())


def test_equal_boxes_give_equal_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "one.pkl") == written(tmp_path / "two.pkl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.pkl", "two.pkl"]


def test_none_at_all_and_more_than_a_batch(tmp_path: Path) -> None:
    assert pickle.loads(written(tmp_path / "none.pkl", {})) == {}
    many = {Second(f"v{number // 897}", 902 + number % 897): ONE * (number / 3000) for number in range(2500)}
    held = pickle.loads(written(tmp_path / "many.pkl", many))
    assert [np.array_equal(held[f"{key.video},{key.second:04d}"], value) for key, value in many.items()] == [
        True
    ] * 2500
    assert load_proposals(tmp_path / "none.pkl") == {}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpys_own_pickles_are_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "p.pkl"
    values = {"a,0902": TWO, "b,0903": np.asfortranarray(TWO.astype(np.float32)), "c,0904": TWO[:, :4].astype(">f8")}
    path.write_bytes(pickle.dumps(values, protocol=protocol))
    held = load_proposals(path)
    assert list(held) == [Second("a", 902), Second("b", 903), Second("c", 904)]
    assert np.array_equal(held[Second("a", 902)], TWO)
    assert np.array_equal(held[Second("b", 903)], TWO.astype(np.float32).astype(np.float64))
    assert np.array_equal(held[Second("c", 904)], np.concatenate([TWO[:, :4], [[1.0], [1.0]]], axis=1))
    old = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    path.write_bytes(old)
    assert np.array_equal(load_proposals(path)[Second("a", 902)], TWO)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["a", "-b_c", "é"]), st.integers(0, 999_999)),
        st.lists(
            st.tuples(*[st.floats(0, 0.5)] * 2, *[st.floats(0.5, 1)] * 2, st.floats(0, 1)), min_size=1, max_size=4
        ),
        max_size=5,
    )
)
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, told: dict[tuple[str, int], list[Any]]) -> None:
    path = tmp_path_factory.mktemp("p") / "p.pkl"
    boxes = {Second(*key): np.array(values) for key, values in told.items()}
    raw = written(path, boxes)
    back = load_proposals(path)
    assert list(back) == list(boxes)
    assert all(np.array_equal(back[key], value) for key, value in boxes.items())
    assert {key: value.tolist() for key, value in pickle.loads(raw).items()} == {
        f"{key.video},{key.second:04d}": value.tolist() for key, value in boxes.items()
    }


class Runs:
    """A value whose pickle calls something when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def refused(path: Path, value: object, protocol: int = 2) -> str:
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
    with pytest.raises(InputError) as error:
        load_proposals(path)
    assert str(path) in error.value.message
    return error.value.message


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    told = refused(tmp_path / "p.pkl", {"a,0902": Runs(tmp_path / "ran")}, protocol)
    assert "could run code" in told
    assert not (tmp_path / "ran").exists()
    pickle.loads((tmp_path / "p.pkl").read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([ONE], "a list, not a dictionary"),
        ({"a,0902": [[0.1, 0.2, 0.3, 0.4, 1.0]]}, "a,0902: no array"),
        ({"a,0902": np.ones((1, 5), int)}, "an array of int64, not of fractions"),
        ({"a,0902": "text"}, "a,0902: no array"),
        ({"a": ONE}, "key 'a' is not as"),
        ({1: ONE}, "key '1' is not as"),
        ({(1, 2): ONE}, "a key that is a tuple"),
        ({"a,0902": ONE[0]}, r"an array of shape \(5,\)"),
        ({"a,0902": ONE[:0]}, r"an array of shape \(0, 5\)"),
        ({"a,0902": ONE[:, :3]}, r"an array of shape \(1, 3\)"),
        ({"a,0902": ONE * 300}, "values outside of 0 to 1"),
        ({"a,0902": ONE * np.nan}, "values outside of 0 to 1"),
        ({"a,0902": ONE[:, [2, 1, 0, 3, 4]]}, "a box that ends before it begins"),
        ({"a,0902": ONE.astype(object)}, "arrays of type 'O8'"),
        ({"a,0902": np.array([["x"]])}, "arrays of type 'U1'"),
        (b"", "damaged pickle"),
        (b"\x80\x02}", "damaged pickle"),
        (b"\x80\x02K\x01.", "a int, not a dictionary"),
        (b"\x80\x02}X\x01\x00\x00\x00as.", "damaged pickle"),
        (b"\x80\x02}q\xff" + b"h\x01.", "damaged pickle"),
        (b"\x80\x04\x8a\xff", "damaged pickle"),
        (b"csubprocess\nPopen\n.", "it needs subprocess.Popen"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_proposal_file(tmp_path: Path, value: object, reason: str) -> None:
    assert re.search(reason, refused(tmp_path / "p.pkl", value))


def test_a_stated_size_makes_no_room_and_a_cut_file_is_told(tmp_path: Path) -> None:
    raw = written(tmp_path / "p.pkl")
    huge = raw.replace(b"J\x01\x00\x00\x00K\x05", b"J\xff\xff\xff\x7fK\x05")
    assert huge != raw
    assert "needs" in refused(tmp_path / "huge.pkl", huge)
    for length in range(0, len(raw), 7):
        assert refused(tmp_path / "cut.pkl", raw[:length])


def test_what_mmaction2_would_not_take_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "p.pkl"
    for boxes, reason in (
        ([(Second("a", 902), ONE[:0])], "shape"),
        ([(Second("a", 902), ONE[:, :4])], "shape"),
        ([(Second("a", 902), ONE + 1)], "values outside"),
        ([(Second("a,b", 902), ONE)], "no name of a keyframe"),
        ([(Second("a", 902), ONE), (Second("a", 902), ONE)], "there twice"),
    ):
        with pytest.raises(InputError, match=reason):
            save_proposals(path, boxes)
    assert list(tmp_path.iterdir()) == []


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_proposals(tmp_path / "p.pkl")
