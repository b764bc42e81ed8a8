"""label relabel: another list, with every label carried over by its name or dropped by the user's word."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vidbench.errors import InputError, UsageError
from vidbench.formats.labelset import Row
from vidbench.label.actions import parse_names
from vidbench.label.relabel import Move, RelabelRequest, relabel
from vidbench.label.store import LabelSet

MakeSet = Callable[..., LabelSet]

A = (0.1, 0.2, 0.35, 1.0)
OLD = parse_names(["sit", "stand", "write", "a=b"], "old")
ROWS = (
    Row(2, 0, A, 0.9, (1, 3), None, True),
    Row(2, 1, A, 0.9, (3,), None, True),
    Row(3, 0, A, 0.9, (), None, True),
    Row(3, 1, A, 0.9, None),
)


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., str]:
    def write(*names: str) -> str:
        path = tmp_path / "new.txt"
        path.write_text("\n".join(names))
        return str(path)

    return write


def test_ids_follow_the_names(make_set: MakeSet, listed: Callable[..., str]) -> None:
    labels = make_set({"v": ROWS}, actions=OLD)
    request = RelabelRequest(
        set=labels.folder, actions=listed("note", "jump", "stand", "Sit"), map=("write=note", "a=b="), dry_run=True
    )
    tried = relabel(request)
    assert tried.moves == (
        Move("sit", 1, "Sit", 4, 1),
        Move("stand", 2, "stand", 3, 0),
        Move("write", 3, "note", 1, 2),
        Move("a=b", 4, None, None, 0),
    )
    assert (tried.added, tried.rows, tried.emptied, tried.kept) == (("jump",), 2, 0, None)
    assert (labels.rows("v"), labels.load().actions) == (ROWS, OLD)
    done = relabel(request.model_copy(update={"dry_run": False}))
    assert [row.actions for row in labels.rows("v")] == [(1, 4), (1,), (), None]
    assert all(row.checked for row in labels.rows("v")[:3])
    assert [one.name for one in labels.load().actions] == ["note", "jump", "stand", "Sit"]
    assert done.kept is not None
    shutil.copytree(done.kept, labels.folder, dirs_exist_ok=True)
    assert (labels.rows("v"), labels.load().actions) == (ROWS, OLD)


def test_two_actions_may_become_one(make_set: MakeSet, listed: Callable[..., str]) -> None:
    labels = make_set({"v": ROWS}, actions=OLD)
    relabel(RelabelRequest(set=labels.folder, actions=listed("be"), map=("sit=be", "write=be", "stand=be", "a=b=be")))
    assert [row.actions for row in labels.rows("v")] == [(1,), (1,), (), None]


@pytest.mark.parametrize(
    ("names", "left"), [(("sit", "stand"), ()), (("sit", "stand", "jump"), None)], ids=["same", "more"]
)
def test_a_row_that_loses_its_last_action(
    make_set: MakeSet, listed: Callable[..., str], names: tuple[str, ...], left: tuple[int, ...] | None
) -> None:
    labels = make_set({"v": ROWS}, actions=OLD)
    result = relabel(RelabelRequest(set=labels.folder, actions=listed(*names), map=("write=",)))
    assert result.emptied == 1
    assert [(row.actions, row.checked) for row in labels.rows("v")[:3]] == [((1,), False), (left, False), ((), True)]


def test_nothing_that_is_labelled_is_lost_unasked(make_set: MakeSet, listed: Callable[..., str]) -> None:
    labels = make_set({"v": ROWS}, actions=OLD)
    with pytest.raises(InputError, match=r"does not have 'write' \(2 rows\)") as caught:
        relabel(RelabelRequest(set=labels.folder, actions=listed("sit", "stand")))
    assert "--map 'write'=" in caught.value.remedy
    assert labels.load().actions == OLD


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (("write",), "not of the form old=new"),
        (("wrote=sit",), r"no action 'wrote' \(is it \"write\"\?\)"),
        (("write=sitt",), r"no action 'sitt' \(is it \"sit\"\?\)"),
        (("write=sit", "write=stand"), "mapped before"),
    ],
    ids=["form", "old", "new", "twice"],
)
def test_maps_that_are_refused(
    make_set: MakeSet, listed: Callable[..., str], told: tuple[str, ...], reason: str
) -> None:
    labels = make_set({"v": ROWS}, actions=OLD)
    with pytest.raises(UsageError, match=reason):
        relabel(RelabelRequest(set=labels.folder, actions=listed("sit", "stand"), map=told))


def test_rows_with_an_action_that_the_set_lacks(make_set: MakeSet, listed: Callable[..., str]) -> None:
    labels = make_set({"v": [Row(2, 0, A, 0.9, (70,))]}, actions=OLD)
    with pytest.raises(InputError, match="rows have action 70"):
        relabel(RelabelRequest(set=labels.folder, actions=listed("sit", "stand", "write", "a=b")))
