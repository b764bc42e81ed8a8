"""Append-only records: large fields stay on disk, the order can be settled, torn lines are dropped."""

import json
from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.records import Records, read_records


def record(key: str, value: int) -> dict[str, object]:
    return {"key": key, "value": value, "scores": [value / 7] * 5}


def test_fields_on_disk_are_read_when_asked_for(tmp_path: Path) -> None:
    store = Records(tmp_path / "r.jsonl", ("scores",))
    for index in range(5):
        store.append(record(f"k{index}", index))
    store.append(record("k2", 22))
    assert store.by_key["k2"] == {"key": "k2", "value": 22}
    assert store.read("k2") == record("k2", 22)
    again = Records.take(tmp_path / "r.jsonl", ("scores",))
    assert again.by_key == store.by_key
    assert again.read("k4") == record("k4", 4)
    with pytest.raises(KeyError):
        again.read("absent")


def test_settled_is_one_line_per_key_in_the_order_asked(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    store = Records(path)
    for key, value in (("b", 1), ("a", 2), ("c", 3), ("b", 4)):
        store.append(record(key, value))
    store.settle(["a", "b", "d", "c"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["key"], line["value"]) for line in lines] == [("a", 2), ("b", 4), ("c", 3)]
    assert store.read("b")["value"] == 4
    before = path.stat()
    store.settle(["a", "b", "c"])
    assert path.stat().st_ino == before.st_ino, "what is in order is left alone"
    store.append(record("e", 5))
    assert Records.take(path).by_key.keys() == {"a", "b", "c", "e"}
    store.settle([])
    assert path.read_text() == ""


def test_nothing_to_settle_makes_no_file(tmp_path: Path) -> None:
    Records(tmp_path / "r.jsonl").settle(["a"])
    assert not (tmp_path / "r.jsonl").exists()


def test_a_torn_last_line_is_cut_off_and_other_lines_stand(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(record("a", 1)) + "\n" + json.dumps(record("b", 2))[:-4])
    found, good = read_records(path)
    assert ([one["key"] for one in found], good) == (["a"], len(json.dumps(record("a", 1))) + 1)
    store = Records.take(path)
    store.append(record("c", 3))
    assert [one["key"] for one in read_records(path)[0]] == ["a", "c"]
    assert store.read("c") == record("c", 3)


@pytest.mark.parametrize(("line", "told"), [("{}", "a record needs a 'key'"), ("nonsense", "not a record")])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(record("a", 1)) + "\n" + line + "\n")
    with pytest.raises(InputError, match=f"r.jsonl:2: {told}"):
        Records.take(path)
