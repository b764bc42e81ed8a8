"""The state file is whole or old, and says where a training stands."""

from pathlib import Path

import pytest
import torch

from vidbench.errors import InputError, VidbenchError
from vidbench.model.train.state import (
    Position,
    State,
    pack,
    random_state,
    read_state_file,
    restore_random,
    write_state,
)

CPU = torch.device("cpu")


def test_a_state_comes_back(tmp_path) -> None:
    state = State(Position(3, 5, 41, 1.25, 7, 9, 0.1, 2.5), 2, 0.75, {"k": {"path": "a", "reason": "b"}}, {"key": "e"})
    write_state(tmp_path / "last.pt", pack(state, {"model": {"w": torch.arange(3)}}))
    found, content = read_state_file(tmp_path / "last.pt", CPU)
    assert found == state
    assert content["model"]["w"].tolist() == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_state_that_cannot_be_written_leaves_the_old_one(tmp_path) -> None:
    write_state(tmp_path / "last.pt", pack(State(Position(epoch=4)), {}))
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        write_state(tmp_path / "last.pt", {"what": (x for x in ())})
    assert read_state_file(tmp_path / "last.pt", CPU)[0].position.epoch == 4
    assert len(list(tmp_path.iterdir())) == 1


def test_a_state_of_an_earlier_version_is_refused(tmp_path) -> None:
    torch.save({"model": {}, "optimizer": {}, "record": {"epoch": 1}}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="an earlier version wrote") as caught:
        read_state_file(tmp_path / "last.pt", CPU)
    assert "--overwrite" in caught.value.remedy


def test_a_damaged_state_is_told(tmp_path) -> None:
    path = tmp_path / "last.pt"
    write_state(path, pack(State(), {"model": {"w": torch.arange(3)}}))
    whole = path.read_bytes()
    for held in (b"", b"not a state", whole[: len(whole) // 2]):
        path.write_bytes(held)
        with pytest.raises(InputError, match="cannot be read"):
            read_state_file(path, CPU)


def test_random_numbers_go_on() -> None:
    held = random_state(CPU)
    first = torch.rand(4)
    restore_random(held, CPU)
    assert torch.equal(torch.rand(4), first)


def test_the_next_epoch_counts_steps_on() -> None:
    assert Position(3, 5, 41, 1.25, 7, 9, 0.1, 2.5).next_epoch() == Position(epoch=4, step=41)


def test_a_full_disk_is_told_as_such(tmp_path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device that is always full here")
    (tmp_path / ".last.pt.tmp").symlink_to(full)
    with pytest.raises(VidbenchError, match="no space left"):
        write_state(tmp_path / "last.pt", {"w": torch.zeros(1_000_000)})
