"""A long job over many videos: what is left of it, worker processes, a ledger line per video, live counts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

from vidbench.data.pool import Lost, each
from vidbench.ledger import Ledger, count_reasons, tell_counts
from vidbench.progress import Reporter
from vidbench.records import Json

PART = ".vbpart"
"""How the name of everything half written ends, but for downloads, which are resumed from their `.part`."""


class JobItem(Protocol):
    """Something a job does; one line of its ledger."""

    @property
    def key(self) -> str:
        """What tells it from all others of the job, in every run."""

    @property
    def name(self) -> str:
        """What it is called, for people."""


I = TypeVar("I", bound=JobItem)  # noqa: E741


def default_jobs() -> int:
    """One process per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_off(
    ledger: Ledger,
    items: Sequence[I],
    function: Callable[[I], Json],
    *,
    jobs: int,
    reporter: Reporter,
    title: str,
    unit: str = "videos",
    timeout_s: float | None = None,
    is_done: Callable[[Json], bool] = lambda record: record.get("reason") == "ok",
) -> dict[str, int]:
    """Do the items that are not done yet, and give the counts by reason over all items.

    `function` runs in worker processes and gives the item's record: at least `reason`, and what else is worth
    a line. A worker that crashes or runs out of time makes a record with the reason `tool`.

    Args:
        ledger: Where the records go.
        items: All items, done or not.
        function: A function of a module.
        jobs: Processes; 0 is one per core.
        reporter: Told the live counts.
        title: What the progress is called.
        unit: What an item is called, in the plural.
        timeout_s: Seconds that an item may take.
        is_done: Whether a record of an earlier run still holds; asked once per item.
    """
    ledger.plan(len(items), unit)
    left = [item for item in items if item.key not in ledger.records or not is_done(ledger.records[item.key])]
    waiting = {item.key for item in left}
    counts = count_reasons(ledger.records[item.key] for item in items if item.key not in waiting)
    with reporter.task(title, len(items), unit) as task:
        task.skip(len(items) - len(left), tell_counts(counts))
        with closing(each(function, left, min(jobs or default_jobs(), max(len(left), 1)), timeout_s)) as results:
            for item, result in results:
                if isinstance(result, Lost):
                    result = {"reason": "tool", "detail": f"{result.reason}: {result.detail}"}
                ledger.append({"key": item.key, "name": item.name, **result})
                counts[result["reason"]] = counts.get(result["reason"], 0) + 1
                task.advance(1, tell_counts(counts))
    return count_reasons(ledger.records[item.key] for item in items)


def sweep(folder: Path, keep: Iterable[Path] = ()) -> int:
    """Remove what a killed job left half written under `folder`: files and folders that end in `.vbpart`.

    The caller holds the lock of the job. Gives how many there were.
    """
    kept = {path.resolve() for path in keep}
    count = 0
    for home, folders, files in os.walk(folder):
        for name in [name for name in folders if name.endswith(PART)]:
            folders.remove(name)
            if Path(home, name).resolve() not in kept:
                shutil.rmtree(Path(home, name), ignore_errors=True)
                count += 1
        for name in files:
            if name.endswith(PART) and Path(home, name).resolve() not in kept:
                Path(home, name).unlink(missing_ok=True)
                count += 1
    return count
