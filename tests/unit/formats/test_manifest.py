"""The manifest's grammar: what is read, what is refused and where."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from vidbench.errors import InputError
from vidbench.formats.manifest import (
    CLASSES,
    USABLE,
    Manifest,
    ManifestRow,
    dump_manifest,
    is_manifest,
    load_manifest,
    parse_manifest,
    save_manifest,
)

HEADER = (
    '{"manifest": "vidbench", "version": 1, "level": "full", "decoder": "pyav", "min_duration_s": 9.0, '
    '"listed": 2, "source": "vallist.txt", "root": "."}'
)
GOOD = (
    '{"id": "7ea336f947a4890b", "path": "./val/a b.mp4", "label": 4, "sha256": "' + "0f" * 32 + '", "bytes": 1234, '
    '"frames": 300, "fps": "30000/1001", "duration_s": 10.01, "width": 340, "height": 256, "codec": "h264", '
    '"class": "ok", "detail": ""}'
)
GONE = (
    '{"id": "x", "path": "ü.mp4", "label": null, "sha256": null, "bytes": null, "frames": null, "fps": null, '
    '"duration_s": null, "width": null, "height": null, "codec": null, "class": "missing", "detail": "no such file"}'
)


def test_a_file_and_back(tmp_path: Path) -> None:
    text = f"{HEADER}\n{GOOD}\n{GONE}\n"
    (tmp_path / "m.jsonl").write_text(text, encoding="utf-8")
    found = load_manifest(tmp_path / "m.jsonl")
    assert found.rows[0] == ManifestRow(
        "7ea336f947a4890b", "./val/a b.mp4", 4, "0f" * 32, 1234, 300, Fraction(30000, 1001), 10.01, 340, 256, "h264",
        "ok", "", 2,
    )  # fmt: skip
    assert [row.usable for row in found.rows] == [True, False]
    assert (found.level, found.min_duration_s, found.source) == ("full", 9.0, "vallist.txt")
    assert found.base(tmp_path / "m.jsonl") == tmp_path
    assert dump_manifest(found) == text
    save_manifest(tmp_path / "again.jsonl", found)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "m.jsonl").read_bytes()


def test_what_is_usable_is_a_class() -> None:
    assert set(USABLE) < set(CLASSES)
    words = "corrupt duplicate empty missing no_video ok short truncated unsupported vfr"
    assert " ".join(sorted(CLASSES)) == words


@pytest.mark.parametrize(
    ("data", "name", "is_one"),
    [
        (HEADER.encode(), "any", True),
        (b"./a.mp4 3\n", "list.txt", False),
        (b"./a.mp4 3\n", "list.jsonl", True),
        (b"{a}.mp4 3\n", "list.csv", False),
        (b'{"key": 1}\n', "x", False),
        (b"", "list.txt", False),
        (b"\xff\xfe", "list.txt", False),
    ],
)
def test_a_manifest_is_told_by_its_first_line_or_its_name(data: bytes, name: str, is_one: bool) -> None:
    assert is_manifest(data, name) is is_one


def edited(line: str, **changes: object) -> str:
    return json.dumps({**json.loads(line), **changes})


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "m.jsonl: the manifest is empty"),
        (["./a.mp4 3"], "m.jsonl:1: not JSON"),
        (["{}"], "m.jsonl:1: not the header"),
        ([edited(HEADER, version=2), GOOD], "m.jsonl:1: version 2; this vidbench reads version 1"),
        ([edited(HEADER, more=1), GOOD, GONE], "m.jsonl:1: an unknown field 'more'"),
        ([HEADER, GOOD], "m.jsonl:1: the header lists 2 videos, 1 lines follow"),
        ([HEADER, GOOD, GOOD], "m.jsonl:3: the id '7ea336f947a4890b' is that of line 2"),
        ([HEADER, GOOD, GONE[:-5]], "m.jsonl:3: not JSON"),
        ([HEADER, GOOD, "[]"], "m.jsonl:3: not a JSON object"),
        ([HEADER, GOOD, edited(GONE, **{"class": "fine"})], 'm.jsonl:3: class is "fine"'),
        ([HEADER, GOOD, edited(GONE, label=-1)], "m.jsonl:3: label is -1"),
        ([HEADER, GOOD, edited(GONE, label=True)], "m.jsonl:3: label is true"),
        ([HEADER, GOOD, edited(GONE, frames=1.5)], "m.jsonl:3: frames is 1.5"),
        ([HEADER, GOOD, edited(GONE, fps="30/0")], 'm.jsonl:3: fps is "30/0"'),
        ([HEADER, GOOD, edited(GONE, sha256="00")], 'm.jsonl:3: sha256 is "00"'),
        ([HEADER, GOOD, edited(GONE, duration_s=float("nan"))], "m.jsonl:3: duration_s is NaN"),
        ([HEADER, GOOD, edited(GONE, path="")], 'm.jsonl:3: path is ""'),
        ([HEADER, GOOD, '{"id": "x"}'], "m.jsonl:3: no 'path'"),
    ],
)
def test_faults_name_file_and_line(lines: list[str], told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest(lines, "m.jsonl")
    assert caught.value.message.startswith(told)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_manifest(tmp_path / "absent.jsonl")
    (tmp_path / "m.jsonl").write_bytes(HEADER.encode() + b"\n\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        load_manifest(tmp_path / "m.jsonl")


def test_a_manifest_of_nothing() -> None:
    empty = Manifest("quick", "pyav", None, "folder", "/data", ())
    assert parse_manifest(dump_manifest(empty).splitlines(), "m") == empty
