"""Action lists: AVA's, one's own, and finding an action by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidbench.errors import InputError, UnknownNameError
from vidbench.formats.ava import dump_actions
from vidbench.formats.labelset import SetAction
from vidbench.label.actions import ActionNames, load_actions, parse_list, parse_names
from vidbench.label.ava_rows import action_list


def test_ava_s_lists_and_their_groups() -> None:
    full = load_actions("ava_80")
    assert [one.id for one in full] == list(range(1, 81))
    groups = {group: [one.id for one in full if one.group == group] for group in ("pose", "object", "person")}
    assert groups == {"pose": list(range(1, 15)), "object": list(range(15, 64)), "person": list(range(64, 81))}
    scored = load_actions("ava_60")
    assert len(scored) == 60
    assert set(scored) < set(full)


def test_one_s_own_list() -> None:
    text = (
        "# our actions\nstand\n\nobject: write, on a board\nperson:raise a hand at somebody\n"
        "ride (e.g., a bike, a car, a horse)\n"
    )
    assert parse_names(text.splitlines(), "a.txt") == (
        SetAction(1, "stand", "pose"),
        SetAction(2, "write, on a board", "object"),
        SetAction(3, "raise a hand at somebody", "person"),
        SetAction(4, "ride (e.g., a bike, a car, a horse)", "object"),
    )
    numbered = "80: watch (a person)\n 5 : pose : my fall\n"
    assert parse_names(numbered.splitlines(), "a.txt") == (
        SetAction(5, "my fall", "pose"),
        SetAction(80, "watch (a person)", "person"),
    )
    assert parse_names(["3 point throw"], "a.txt") == (SetAction(1, "3 point throw", "pose"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a.txt:1: no actions"),
        ("# only this", "a.txt:1: no actions"),
        ("stand\nSTAND", "a.txt:2: 'STAND' is line 1 again"),
        ("1: stand\nsit", "a.txt:2: some names have an id"),
        ("1: stand\n1: sit", "a.txt:2: the id 1 is that of line 1"),
        ("81: stand", "ids are 1 to 80"),
        ("0: stand", "ids are 1 to 80"),
        ('say "no"', "double quotes"),
        ("back\\slash", "backslashes"),
        ("()", "no letter or digit"),
        ("\n".join(f"action {number}" for number in range(81)), "a.txt:81: action 81"),
    ],
    ids=range(11),
)
def test_lists_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_names(text.split("\n"), "a.txt")
    assert reason in caught.value.message
    assert "pose: stand" in caught.value.remedy


@pytest.mark.parametrize("dialect", ["item", "label"])
def test_both_dialects_of_ava_s_files(tmp_path: Path, dialect: str) -> None:
    actions = load_actions("ava_60")
    path = tmp_path / "list.pbtxt"
    path.write_text("".join(dump_actions(action_list(actions), dialect)))  # type: ignore[arg-type]
    assert load_actions(str(path)) == actions


def test_lists_of_ava_s_form_that_are_refused() -> None:
    block = 'label {\n  name: "stand"\n  label_id: %d\n  label_type: %s\n}\n'
    with pytest.raises(InputError, match="label type MOVEMENT"):
        parse_list((block % (1, "MOVEMENT")).splitlines(), "a.pbtxt")
    with pytest.raises(InputError, match="ids are 1 to 80"):
        parse_list((block % (81, "PERSON_MOVEMENT")).splitlines(), "a.pbtxt")


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown action list 'ava_8'") as caught:
        load_actions("ava_8")
    assert "ava_80" in caught.value.remedy


def test_actions_by_their_names() -> None:
    names = ActionNames([SetAction(1, "talk to (e.g., self)"), SetAction(2, "Run"), SetAction(3, "run")])
    assert names.find("  talk  to (e.g., self) ") == 1
    assert names.find("Talk to e.g., self") == 1
    assert (names.find("Run"), names.find("run"), names.find("RUN")) == (2, 3, None)
    assert names.find("walk") is None
    assert "talk to" in names.hint("talk to (e.g. self)")
