"""What the processes of one training say to each other: counts, sums, gradients, and the first one's word."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from vidbench.errors import EXIT_BUG, ProcessLostError, VidbenchError
from vidbench.model.shards import Team
from vidbench.model.train.batch import Batch

V = TypeVar("V")
_BUCKET_BYTES = 64 * 2**20
# a process that reads slowly keeps the others waiting; NCCL cannot tell it from one that hangs
_PATIENCE = timedelta(hours=2)
# whoever starts several processes ends them all when one has ended: so long may the one with the message speak
_LAST_WORD_S = 2.0
_TOLD = "vidbench/told"


class Peers:
    """The processes that train one network; what they ask each other comes in the same order in all of them.

    Small numbers and objects go over gloo, tensors on a GPU over NCCL. All sums are the same bits in all processes.

    Attributes:
        rank: Of this process, from 0.
        size: How many there are.
        present: False while this process shows the network a clip that is not its own, for others' sake: it has no
            part in statistics.
        device: Of this process's network.

    Args:
        team: The processes, met already.
        device: Of this process's network.
    """

    def __init__(self, team: Team, device: torch.device) -> None:
        self.rank, self.size = team.rank, team.size
        self.present = True
        self.device = device
        self._tensors: dist.ProcessGroup | None = None
        if team.size > 1 and device.type == "cuda":
            torch.cuda.set_device(device)
            group = dist.new_group(backend="nccl", timeout=_PATIENCE)
            self._tensors = group if isinstance(group, dist.ProcessGroup) else None

    @classmethod
    def alone(cls) -> Self:
        """A single process."""
        return cls(Team(), torch.device("cpu"))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: a copied network has the same peers."""
        return self

    @property
    def first(self) -> bool:
        """Whether this process holds the run folder and tells people about it."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """The numbers from 0 to `total` that are this process's: each has one stretch, in the order of the ranks."""
        return range(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def numbers(self, values: Sequence[float]) -> Tensor:
        """`(size, len(values))` float64 on the CPU: everybody's, a row per process; whole numbers stay exact."""
        held = torch.zeros(self.size, len(values), dtype=torch.float64)
        held[self.rank] = torch.tensor(values, dtype=torch.float64)
        if self.size > 1:
            with _reaching():
                dist.all_reduce(held)
        return held

    def gather(self, value: V) -> list[V]:
        """Everybody's value, in the order of the ranks."""
        if self.size == 1:
            return [value]
        held: list[Any] = [None] * self.size
        with _reaching():
            dist.all_gather_object(held, value)
        return held

    def tell(self, value: V, source: int = 0) -> V:
        """What one process says; the others' value is not looked at."""
        if self.size == 1:
            return value
        held: list[Any] = [value if self.rank == source else None]
        with _reaching():
            dist.broadcast_object_list(held, src=source)
        return held[0]  # type: ignore[no-any-return]

    def send(self, path: Path) -> bytes:
        """A file of the first process, in all of them."""
        content = torch.zeros(0, dtype=torch.uint8)
        if self.first:
            content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        size = int(self.tell(len(content)))
        held = content if self.first else torch.empty(size, dtype=torch.uint8)
        with _reaching():
            dist.broadcast(held, src=0)
        return held.numpy().tobytes()

    def rows(self, row: Tensor) -> Tensor:
        """`(size, n)` on the tensor's device: everybody's `(n,)` row."""
        if self.size == 1:
            return row[None]
        held = row.new_empty(self.size, len(row))
        with _reaching():
            dist.all_gather(list(held.unbind()), row.contiguous(), group=self._group(row))
        return held

    def sum(self, tensor: Tensor) -> Tensor:
        """Make a contiguous tensor, in place, the sum of everybody's."""
        if self.size > 1:
            with _reaching():
                dist.all_reduce(tensor, group=self._group(tensor))
        return tensor

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Make every gradient the sum of everybody's; all have one for the same parameters."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            self.sum(flat)
            parts = torch.split(flat, [one.numel() for one in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Make tensors, in place, those of the first process."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.contiguous()
            with _reaching():
                dist.broadcast(sent, src=0, group=self._group(tensor))
            if sent is not tensor:
                tensor.copy_(sent)

    def clip_before(self, batch: Batch, counts: Sequence[int]) -> Batch | None:
        """The clip that stands before this process's part of a batch of unboxed clips on the CPU, as a batch of one.

        Args:
            batch: This process's part.
            counts: Clips of each process's part.

        Returns:
            The last clip of the process before that has any, around to the last process; None where that is this one.
        """
        having = [rank for rank, count in enumerate(counts) if count]
        if len(having) < 2 or not len(batch):
            return None
        place = having.index(self.rank)
        held = Batch(torch.empty_like(batch.clips[:1]), torch.empty_like(batch.targets[:1]))
        with _reaching():
            sent = [
                dist.isend(tensor[-1:].contiguous(), having[(place + 1) % len(having)])
                for tensor in (batch.clips, batch.targets)
            ]
            got = [dist.irecv(tensor, having[place - 1]) for tensor in (held.clips, held.targets)]
            for work in (*sent, *got):
                assert work is not None
                work.wait()
        return held

    def stand_in(self, batch: Batch, counts: Sequence[int]) -> Batch:
        """The batch, or where this process has none and others have one, a clip of theirs, to go along with them.

        Args:
            batch: This process's part, on the CPU.
            counts: Things of each process's part.
        """
        if all(counts) or not any(counts):
            return batch
        source = next(rank for rank, count in enumerate(counts) if count)
        lent = self.tell(_first_clip(batch) if self.rank == source else batch, source)
        return batch if counts[self.rank] else lent

    def _group(self, tensor: Tensor) -> dist.ProcessGroup | None:
        return self._tensors if tensor.device.type == "cuda" else None


@contextmanager
def one_fate(team: Team) -> Iterator[None]:
    """Whatever ends the work inside in one process ends it in all, and one of them tells why.

    Raises:
        VidbenchError: In the process that tells.
        SystemExit: In the others, with the error's exit code.
    """
    if team.size == 1:
        yield
        return
    try:
        yield
    except VidbenchError as error:
        told = _claim(error.exit_code, patient=isinstance(error, ProcessLostError))
        if told is None:
            raise
        time.sleep(_LAST_WORD_S)
        raise SystemExit(told) from error
    except Exception:
        # the others learn from this one's end that it is over
        _claim(EXIT_BUG)
        raise


def _first_clip(batch: Batch) -> Batch:
    """A batch's first clip that has things, with these, as a batch of one."""
    if batch.boxes is None:
        names, numbers = batch.names[:1], batch.numbers[:1]
        clips, targets = batch.clips[:1].clone(), batch.targets[:1].clone()
        return replace(batch, clips=clips, targets=targets, names=names, numbers=numbers)
    number = int(batch.boxes[0, 0]) if len(batch.boxes) else 0
    owned = batch.boxes[:, 0] == number
    boxes = batch.boxes[owned]
    boxes[:, 0] = 0
    clips = batch.clips[number : number + 1].clone()
    own = slice(number, number + 1)
    return Batch(clips, batch.targets[owned], boxes, batch.names[own], batch.numbers[own])


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors of one type, in order, some at a time."""
    held: list[Tensor] = []
    for tensor in tensors:
        if held and (held[0].dtype != tensor.dtype or sum(one.nbytes for one in held) + tensor.nbytes > _BUCKET_BYTES):
            yield held
            held = []
        held.append(tensor)
    if held:
        yield held


@contextmanager
def _reaching() -> Iterator[None]:
    """A connection that breaks is the end of another process."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError("another process of this training has ended", _RESUME) from error


_RESUME = "The same command takes the training up where its state was last stored."


def _claim(code: int, patient: bool = False) -> int | None:
    """None where this process is the first to end and tells why; else the exit code of the one that was.

    A process that only lost another waits for the reason of that.
    """
    try:
        store = dist.distributed_c10d._get_default_store()
        deadline = time.monotonic() + _LAST_WORD_S
        while patient and not store.check([_TOLD]) and time.monotonic() < deadline:
            time.sleep(0.05)
        mine = json.dumps([dist.get_rank(), code])
        held = json.loads(store.compare_set(_TOLD, "", mine))
    except RuntimeError:
        # the process that kept the store has ended: it said why, or nobody else will
        return None
    return None if held[0] == dist.get_rank() else int(held[1])
