"""What the page posts, and what it must not."""

import json

import pytest

from vidbench.label.review.edit_kinds import Add, EditError, Fill, Toggle, read_edit, read_step


def text(**edit: object) -> bytes:
    return json.dumps({"revision": 3, "edit": edit}).encode()


def test_edits_are_told_apart_by_their_kind() -> None:
    asked = read_edit(text(kind="toggle", person=1, seconds=[2, 3], action=80, on=True))
    assert asked.revision == 3
    assert asked.edit == Toggle(kind="toggle", person=1, seconds=(2, 3), action=80, on=True)
    assert isinstance(read_edit(text(kind="add", second=2, box=[0, 0, 1, 1])).edit, Add)
    fill = read_edit(text(**{"kind": "fill", "person": 0, "from": 7, "until": "end"})).edit
    assert isinstance(fill, Fill)
    assert fill.start == 7


BAD = {
    "not JSON": b"{",
    "not UTF-8": b'{"revision": 0, "edit": "\xff"}',
    "no object": b"[]",
    "no revision": b'{"edit": {"kind": "delete", "person": 0, "seconds": null}}',
    "no kind": text(person=0),
    "unknown kind": text(kind="explode", person=0),
    "unknown field": text(kind="delete", person=0, seconds=None, more=1),
    "a text for a number": text(kind="delete", person="0", seconds=None),
    "a truth for a number": text(kind="delete", person=True, seconds=None),
    "a number for a truth": text(kind="check", person=0, seconds=[2], on=1),
    "a negative person": text(kind="delete", person=-1, seconds=None),
    "no seconds": text(kind="delete", person=0, seconds=[]),
    "half a box": text(kind="add", second=2, box=[0, 0, 1]),
    "not a number": b'{"revision": 0, "edit": {"kind": "add", "second": 2, "box": [NaN, 0, 1, 1]}}',
    "infinite": b'{"revision": 0, "edit": {"kind": "add", "second": 2, "box": [0, 0, 1e999, 1]}}',
    "too large an action": text(kind="toggle", person=0, seconds=[2], action=81, on=True),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(EditError) as caught:
        read_edit(BAD[name])
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_complaint_names_the_field() -> None:
    with pytest.raises(EditError, match="seconds"):
        read_edit(text(kind="delete", person=0, seconds=["x"]))


def test_steps_have_a_revision_alone() -> None:
    assert read_step(b'{"revision": 4}').revision == 4
    with pytest.raises(EditError):
        read_step(b'{"revision": 4, "edit": {}}')
