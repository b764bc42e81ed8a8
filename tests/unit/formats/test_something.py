"""Something-Something's annotation files, version 2 and 1."""

from __future__ import annotations

import json

import pytest

from vidbench.errors import InputError
from vidbench.formats.labels import table
from vidbench.formats.something import (
    SomethingVideo,
    dump_something,
    dump_something_labels,
    dump_something_v1,
    parse_something,
    parse_something_labels,
    parse_something_v1,
    parse_something_v1_labels,
)

# the first entry of something-something-v2-train.json as the data set's page shows it
ENTRY = {
    "id": "78687",
    "label": "holding potato next to vicks vaporub bottle",
    "template": "Holding [something] next to [something]",
    "placeholders": ["potato", "vicks vaporub bottle"],
}


def test_version_2() -> None:
    (video,) = parse_something(json.dumps([ENTRY]), "f")
    assert video == SomethingVideo("78687", ENTRY["template"], ENTRY["label"], tuple(ENTRY["placeholders"]), 1)
    assert json.loads(dump_something([video])) == [ENTRY]
    assert table("something-something-v2").id_of(video.template) == 19


def test_test_sets_have_ids_alone() -> None:
    (video,) = parse_something('[{"id": "1420"}]', "f")
    assert video == SomethingVideo("1420", line=1)
    assert json.loads(dump_something([video])) == [{"id": "1420"}]


def test_all_problems_at_once() -> None:
    entries = [ENTRY, ENTRY, 7, {}, {"id": "../x"}, {"id": "1", "template": 3}, {"id": "2", "placeholders": "x"}]
    with pytest.raises(InputError) as caught:
        parse_something(json.dumps(entries), "f")
    assert caught.value.message.splitlines() == [
        "f: entry 2: the id 78687 is listed before, as entry 1",
        "f: entry 3: not an object",
        "f: entry 4: no id",
        "f: entry 5: the id '../x' is none",
        "f: entry 6: template and label are not text",
        "f: entry 7: placeholders are not a list of texts",
    ]


@pytest.mark.parametrize(
    ("text", "told"), [("[\n{", "f:2: not JSON"), ("{}", "f: not a JSON list"), ("[]", "f: no video in it")]
)
def test_files_that_are_none(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_something(text, "f")
    assert caught.value.message.startswith(told)


def test_labels_of_version_2() -> None:
    labels = parse_something_labels('{"Closing something": "5", "Opening something": "46"}', "f")
    assert labels.id_of("Closing [something]") == 5
    own = table("something-something-v2")
    assert parse_something_labels(dump_something_labels(own), "f").classes == own.classes


@pytest.mark.parametrize("text", ["[]", "{}", '{"a": "x"}', '{"a": "1", "b": "1"}', '{"a": -1}', '{"a": true}'])
def test_labels_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        parse_something_labels(text, "f")


def test_version_1() -> None:
    text = "100218;Something falling like a feather or paper\n24413;Closing something\n"
    videos = parse_something_v1(text.splitlines(), "f")
    assert videos[1] == SomethingVideo("24413", "Closing something", line=2)
    assert dump_something_v1(videos) == text
    labels = parse_something_v1_labels(["Something falling like a feather or paper", "Closing something"], "f")
    assert labels.classes == {0: "Closing something", 1: "Something falling like a feather or paper"}


def test_version_1_problems() -> None:
    with pytest.raises(InputError) as caught:
        parse_something_v1(["1;a", "1;b", "x y;c"], "f")
    assert caught.value.message.splitlines() == [
        "f:2: the id 1 is listed before, at line 1",
        "f:3: 'x y;c' does not begin with an id",
    ]
