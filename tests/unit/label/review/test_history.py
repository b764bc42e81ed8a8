"""Undo and redo on disk: what is taken up again, and what is not."""

import json
from pathlib import Path

import pytest

from vidbench.formats.labelset import Row, row_json
from vidbench.label.review.history import HISTORY, History

A = Row(2, 0, (0.1, 0.2, 0.3, 0.9), 0.9)
B = Row(2, 0, (0.1, 0.2, 0.3, 0.9), 0.9, (11,))


def edit(history: History, before: str, after: str, says: str = "sit on") -> None:
    history.write_edit(before, after, [json.dumps(row_json(A))], [json.dumps(row_json(B))], {"kind": "toggle"}, says)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three edits, h0 to h3, of which the last was undone."""
    path = tmp_path / HISTORY
    history = History(path)
    for number in range(3):
        edit(history, f"h{number}", f"h{number + 1}", f"edit {number}")
    history.write_step("undo", "h3", "h2")
    return path


def test_it_is_taken_up_where_it_was(path: Path) -> None:
    history, note = History.take(path, "h2")
    assert note is None
    assert history.marks == 4
    undo, redo = history.to_undo(), history.to_redo()
    assert undo is not None
    assert redo is not None
    assert (undo.says, redo.says) == ("edit 1", "edit 2")
    assert (undo.removed, undo.added, undo.edit) == ((A,), (B,), {"kind": "toggle"})
    history.write_step("undo", "h2", "h1")
    history.write_step("undo", "h1", "h0")
    assert not history.can_undo
    history.write_step("redo", "h0", "h1")
    again, note = History.take(path, "h1")
    assert note is None
    assert (again.marks, again.can_undo, again.can_redo) == (7, True, True)


def test_a_new_edit_ends_what_could_be_redone(path: Path) -> None:
    history, _ = History.take(path, "h2")
    edit(history, "h2", "h4", "another")
    for one in (history, History.take(path, "h4")[0]):
        assert not one.can_redo
        last = one.last()
        assert last is not None
        assert last.says == "another"


def test_no_file_is_no_history(tmp_path: Path) -> None:
    history, note = History.take(tmp_path / HISTORY, "h0")
    assert (history.can_undo, history.can_redo, history.last(), note) == (False, False, None, None)
    assert not (tmp_path / HISTORY).exists()


def test_a_torn_last_line_is_cut_off_wherever_it_is_torn(path: Path) -> None:
    whole = path.read_bytes()
    history, _ = History.take(path, "h2")
    edit(history, "h2", "h4", "torn")
    torn = path.read_bytes()[len(whole) :]
    for size in (0, 1, len(torn) // 2, len(torn) - 1):
        path.write_bytes(whole + torn[:size])
        history, note = History.take(path, "h2")
        assert note is None
        assert path.read_bytes() == whole
        assert history.marks == 4
    for size in range(len(b'{"schema_version": 1}\n')):
        path.write_bytes(whole[:size])
        history, note = History.take(path, "h0")
        assert note is None
        edit(history, "h0", "h1")
        assert History.take(path, "h1")[0].can_undo


def test_a_line_that_did_not_come_to_its_effect_is_dropped(path: Path) -> None:
    whole = path.read_bytes()
    history, _ = History.take(path, "h2")
    edit(history, "h2", "h4", "not done")
    history, note = History.take(path, "h2")
    assert note is None
    assert path.read_bytes() == whole
    # and so is an undo
    history.write_step("undo", "h2", "h1")
    history, note = History.take(path, "h2")
    assert note is None
    assert path.read_bytes() == whole
    undo = history.to_undo()
    assert undo is not None
    assert undo.says == "edit 1"


@pytest.mark.parametrize(
    ("digest", "why"), [("other", "changed by something else"), ("h1", "changed by something else")]
)
def test_other_rows_set_it_aside(path: Path, digest: str, why: str) -> None:
    whole = path.read_bytes()
    path.with_name("history.1.jsonl").write_text("an older one")
    history, note = History.take(path, digest)
    assert note is not None
    assert why in note
    assert "history.2.jsonl" in note
    assert path.with_name("history.2.jsonl").read_bytes() == whole
    assert path.with_name("history.1.jsonl").read_text() == "an older one"
    assert not history.can_undo
    edit(history, digest, "h9")
    assert History.take(path, "h9")[0].marks == 1


DAMAGE = {
    "another version": lambda lines: [b'{"schema_version": 2}\n', *lines[1:]],
    "no header": lambda lines: lines[1:],
    "not JSON": lambda lines: [*lines[:2], b"oops\n", *lines[3:]],
    "not an object": lambda lines: [*lines[:2], b"[]\n", *lines[3:]],
    "unknown mark": lambda lines: [*lines[:4], lines[4].replace(b'"undo"', b'"jump"')],
    "a line lost": lambda lines: [*lines[:2], *lines[3:]],
    "nothing to redo": lambda lines: [*lines[:4], lines[4].replace(b'"undo"', b'"redo"')],
    "no rows": lambda lines: [lines[0], lines[1].replace(b'"removed"', b'"removal"'), *lines[2:]],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_sets_it_aside(path: Path, name: str) -> None:
    path.write_bytes(b"".join(DAMAGE[name](path.read_bytes().splitlines(keepends=True))))
    history, note = History.take(path, "h2")
    assert note is not None
    assert "history.1.jsonl" in note
    assert (history.marks, history.can_undo) == (0, False)
