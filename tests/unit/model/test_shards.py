"""What the processes of a run write apart, and how it comes together."""

import json
from pathlib import Path

import pytest

from vidbench.errors import InputError, MissingError, UsageError
from vidbench.model.shards import LARGE, Team, gather, share_of
from vidbench.records import Records


def record(key: str, **more: object) -> dict:
    return {"key": key, "status": "ok", "scores": [0.25, 0.75], **more}


@pytest.fixture(autouse=True)
def _no_torchrun(monkeypatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_is_its_own_team() -> None:
    team = Team.join()
    assert team == Team(0, 1, 0, 1)
    assert team.first
    assert team.tell("said") == "said"
    assert team.agree(lambda: 3) == 3
    assert list(team.deal("abc")) == ["a", "b", "c"]
    team.wait()
    team.leave()


def test_an_error_of_a_single_process_is_raised_as_it_is() -> None:
    def fail() -> None:
        raise MissingError("no weights")

    with pytest.raises(MissingError, match="no weights"):
        Team().agree(fail)


def test_a_team_of_one_under_torchrun_needs_no_meeting(monkeypatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Team.join() == Team()


def test_half_an_environment_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    with pytest.raises(UsageError, match="RANK, MASTER_PORT are set and WORLD_SIZE, MASTER_ADDR not"):
        Team.join()


def test_shards_are_merged_whole_and_removed(tmp_path: Path) -> None:
    store = Records(tmp_path / "clips.jsonl", LARGE)
    store.append(record("a"))
    for rank, key in ((1, "b"), (2, "c")):
        share_of(tmp_path, Team(rank, 3)).append(record(key, rank=rank))
    with (tmp_path / "clips.rank2.jsonl").open("a") as stream:
        stream.write('{"key": "torn')
    gather(tmp_path, store)
    assert [path.name for path in tmp_path.iterdir()] == ["clips.jsonl"]
    lines = [json.loads(line) for line in store.path.read_text().splitlines()]
    assert lines == [record("a"), record("b", rank=1), record("c", rank=2)]
    assert store.read("c")["scores"] == [0.25, 0.75]
    assert "scores" not in store.by_key["c"]


def test_a_gathering_that_was_broken_off_is_done_again(tmp_path: Path) -> None:
    store = Records(tmp_path / "clips.jsonl", LARGE)
    shard = share_of(tmp_path, Team(1, 2))
    for key in "ab":
        shard.append(record(key))
    # killed after the first of the two lines
    store.append(record("a"))
    again = Records.take(store.path, LARGE)
    gather(tmp_path, again)
    again.settle(["b", "a"])
    assert [json.loads(line)["key"] for line in store.path.read_text().splitlines()] == ["b", "a"]


def test_a_success_is_not_undone_by_an_older_failure(tmp_path: Path) -> None:
    """A folder whose shard stayed behind, copied back say: what is done stays done."""
    store = Records(tmp_path / "clips.jsonl", LARGE)
    store.append(record("a"))
    share_of(tmp_path, Team(1, 2)).append({"key": "a", "status": "failed", "reason": "gone"})
    gather(tmp_path, store)
    assert store.by_key["a"]["status"] == "ok"


def test_an_empty_shard_and_one_that_is_no_shard(tmp_path: Path) -> None:
    store = Records(tmp_path / "clips.jsonl", LARGE)
    (tmp_path / "clips.rank1.jsonl").touch()
    gather(tmp_path, store)
    assert not list(tmp_path.iterdir())
    (tmp_path / "clips.rank1.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"clips.rank1.jsonl:1: a record needs a 'key'"):
        gather(tmp_path, store)
    (tmp_path / "clips.rank1.jsonl").write_text('{"key": ["a"]}\n')
    with pytest.raises(InputError, match=r"clips.rank1.jsonl:1: a record needs a 'key'"):
        gather(tmp_path, store)
