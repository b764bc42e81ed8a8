"""Several processes that share one run under torchrun: items dealt out one by one, records merged by key."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist

from vidbench.errors import UsageError, VidbenchError
from vidbench.records import Records

PATTERN = "clips.rank*.jsonl"
LARGE = ("scores",)
"""Fields of a record that stay on disk: tens of thousands of videos times hundreds of classes are many numbers."""

# a process that is done waits for the others, which may take days
_PATIENCE = timedelta(days=30)
# torchrun ends all when one has ended: the others stay so long that the first can say why
_LAST_WORD_S = 2.0

I = TypeVar("I")  # noqa: E741
V = TypeVar("V")


@dataclass(frozen=True)
class Team:
    """The processes of one run; a single one where torchrun did not start this.

    Attributes:
        rank: Of this process, from 0.
        size: How many there are.
        local: The rank among those of this machine.
        here: How many there are on this machine.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    here: int = 1

    @classmethod
    def join(cls) -> Team:
        """Meet the other processes, as torchrun's environment tells (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`).

        Raises:
            UsageError: The environment tells a part of it only.
        """
        names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        there = [name for name in names if name in os.environ]
        if not there or os.environ.get("WORLD_SIZE") == "1":
            return cls()
        if len(there) < len(names):
            missing = ", ".join(name for name in names if name not in os.environ)
            raise UsageError(
                f"{', '.join(there)} are set and {missing} not", "Start several processes by torchrun, or unset them."
            )
        if not dist.is_initialized():
            dist.init_process_group("gloo", timeout=_PATIENCE)
        local, here = (int(os.environ.get(name, other)) for name, other in (("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1)))
        return cls(dist.get_rank(), dist.get_world_size(), local, here)

    @property
    def first(self) -> bool:
        """Whether this process holds the run folder and tells people about it."""
        return self.rank == 0

    def agree(self, work: Callable[[], V]) -> V:
        """What `work` gives in this process, once it has come to an end in all of them.

        Raises:
            VidbenchError: In the first process: the error of whichever has one.
            SystemExit: In the others, with that error's exit code: it is told once.
        """
        if self.size == 1:
            return work()
        value: V | None = None
        failure: VidbenchError | None = None
        try:
            value = work()
        except VidbenchError as error:
            failure = error
        held: list[VidbenchError | None] = [None] * self.size
        dist.all_gather_object(held, failure)
        told = next((one for one in held if one is not None), None)
        if told is None:
            return value  # type: ignore[return-value]
        if self.first:
            raise told
        time.sleep(_LAST_WORD_S)
        raise SystemExit(told.exit_code)

    def tell(self, value: V | None) -> V | None:
        """What the first process says, in all of them; the others' `value` is not looked at."""
        if self.size == 1:
            return value
        held: list[V | None] = [value if self.first else None]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def deal(self, items: Sequence[I]) -> Iterator[I]:
        """The items that fall to this process: each takes the next one when it is ready for it."""
        if self.size == 1:
            yield from items
            return
        store = dist.distributed_c10d._get_default_store()
        # one count per round of dealing
        number = store.add(f"vidbench/rounds/{self.rank}", 1)
        while (place := store.add(f"vidbench/dealt/{number}", 1) - 1) < len(items):
            yield items[place]

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """The end of the work in common."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def share_of(folder: Path, team: Team) -> Records:
    """Where a process that is not the first writes its records."""
    return Records(folder / f"clips.rank{team.rank}.jsonl", LARGE)


def gather(folder: Path, store: Records) -> None:
    """Put what the other processes wrote into the run's records, and remove their files; a torn line is dropped.

    A video that has scores keeps them, whatever a file that stayed behind says of it.
    """
    for path in sorted(folder.glob(PATTERN)):
        shard = Records.take(path, LARGE)
        for key, record in shard.by_key.items():
            if record.get("status") == "ok" or store.by_key.get(key, {}).get("status") != "ok":
                store.append(shard.read(key))
        path.unlink()
