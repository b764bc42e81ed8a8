"""The ledger of a long job in a data folder: a line per finished item, and how the job stands."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError, RunConflictError, disk_errors
from vidbench.records import Json, Records, is_locked, lock_file, read_records
from vidbench.runs import differing, now, read_json, write_json_atomic

FOLDER = ".vidbench"
"""Where a data folder keeps its ledgers."""
SCHEMA_VERSION = 1
OK = "ok"
RECENT = 50
"""Over how many of the last items a rate is taken."""


@dataclass
class Ledger:
    """An open ledger, held by one process.

    `<folder>/.vidbench/<job>.jsonl` has a record per finished item, the last one of a key counts;
    `<job>.json` says what was asked and how the job stands. Every record has `key`, `name`, `reason`
    ("ok" or why not), `detail`, `time` (seconds since 1970).

    Attributes:
        folder: The data folder.
        job: The name of the job, as "cut".
        header: What `<job>.json` holds.
        store: The file of the records.
    """

    folder: Path
    job: str
    header: Json
    store: Records

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: Path,
        job: str,
        *,
        command: str,
        argv: Sequence[str],
        settings: Json,
        overwrite: bool = False,
    ) -> Iterator[Ledger]:
        """Take up the job of a folder, or begin it.

        Args:
            folder: The data folder, made when absent.
            job: A file name without its ending; one process at a time holds it.
            command: As "data cut".
            argv: The command line, for the record.
            settings: What decides the bytes of an item; must equal the folder's.
            overwrite: Forget the items that were made with other settings, so that they are made again.

        Raises:
            RunConflictError: Another process is at it, or it was begun with other settings.
        """
        home = folder / FOLDER
        with disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
        with lock_file(home / f"{job}.lock", f"another process is working on {job} in {folder}"):
            asked: Json = {"schema_version": SCHEMA_VERSION, "command": command, "settings": settings}
            records = home / f"{job}.jsonl"
            if (home / f"{job}.json").exists():
                held = read_json(home / f"{job}.json")
                differences = differing(held, asked, ("settings",))
                if differences and not overwrite:
                    raise RunConflictError(
                        f"{folder} holds {job} of other settings: {'; '.join(differences)}",
                        "Give another folder, or --overwrite to make its items again.",
                    )
                if differences:
                    records.unlink(missing_ok=True)
            header = {**asked, "argv": list(argv), "total": None, "unit": "items", "pid": os.getpid()}
            ledger = cls(folder, job, {**header, "started": now()}, Records.take(records))
            ledger._status("running")
            try:
                yield ledger
            except KeyboardInterrupt:
                ledger._status("interrupted")
                raise
            except BaseException:
                ledger._status("failed")
                raise
            ledger._status("done")

    @classmethod
    def peek(cls, folder: Path, job: str) -> Ledger:
        """What a job has done so far, for reading alone; without a lock, and nothing is made."""
        store = Records(folder / FOLDER / f"{job}.jsonl")
        store.by_key = {record["key"]: record for record in read_records(store.path)[0]}
        return cls(folder, job, {}, store)

    @property
    def records(self) -> dict[str, Json]:
        """The last record of each key."""
        return self.store.by_key

    def plan(self, total: int, unit: str) -> None:
        """Say how many items the job has, for `data status`."""
        self.header |= {"total": total, "unit": unit}
        self._status("running")

    def append(self, record: Json) -> None:
        """Add a finished item, with the time; from any thread."""
        self.store.append({**record, "time": round(time.time(), 3)})

    def is_ok(self, key: str) -> bool:
        """Whether an item is done."""
        return self.records.get(key, {}).get("reason") == OK

    def _status(self, status: str) -> None:
        self.header |= {"status": status, "updated": now()}
        write_json_atomic(self.folder / FOLDER / f"{self.job}.json", self.header)


@dataclass(frozen=True)
class JobState:
    """How a job stands, as another process sees it.

    Attributes:
        job: Its name.
        command: As "data cut".
        status: "running"; "interrupted", "failed", "done": how it ended; "killed": it says that it runs and does not.
        total: Items that it has, None where unknown.
        unit: What an item is.
        counts: Finished items by reason; "ok" is one of them.
        bytes: Of the items that are ok.
        rate: Items a second over the last ones, None where nothing can be said.
        left_s: Seconds until the end at that rate, None where unknown or not running.
        updated: When the last item was finished, or the job began, in UTC.
    """

    job: str
    command: str
    status: str
    total: int | None
    unit: str
    counts: dict[str, int]
    bytes: int
    rate: float | None
    left_s: float | None
    updated: str


def states(folder: Path) -> list[JobState]:
    """How all jobs of a folder stand; reads only, and needs no lock.

    Raises:
        InputError: No such folder, or none that vidbench worked in.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", "Give the folder of `data fetch`, `cut`, `frames` or `check`.")
    found = [_state(path) for path in sorted((folder / FOLDER).glob("*.json"))]
    if not found:
        raise InputError(f"{folder}: no job has worked in this folder", "Give the folder that a job's --out names.")
    return found


def count_reasons(records: Iterable[Json]) -> dict[str, int]:
    """How many items have each reason, "ok" first, then the most frequent."""
    counts = Counter(record["reason"] for record in records)
    return dict(sorted(counts.items(), key=lambda pair: (pair[0] != OK, -pair[1], pair[0])))


def tell_counts(counts: dict[str, int]) -> str:
    """Counts by reason as "1998 ok, 12 gone"."""
    return ", ".join(f"{number} {reason}" for reason, number in counts.items()) or "nothing yet"


def _state(path: Path) -> JobState:
    header = read_json(path)
    records, _ = read_records(path.with_suffix(".jsonl"))
    last = list({record["key"]: record for record in records}.values())
    status = str(header.get("status", "?"))
    if status == "running" and not is_locked(path.with_suffix(".lock")):
        status = "killed"
    total = header.get("total")
    times = [record["time"] for record in records[-RECENT:] if isinstance(record.get("time"), int | float)]
    span = times[-1] - times[0] if len(times) > 1 else 0.0
    rate = (len(times) - 1) / span if span > 0 else None
    left_s = (total - len(last)) / rate if status == "running" and rate and total is not None else None
    ok = [record for record in last if record["reason"] == OK]
    return JobState(
        job=path.stem,
        command=str(header.get("command", "?")),
        status=status,
        total=total,
        unit=str(header.get("unit", "items")),
        counts=count_reasons(last),
        bytes=sum(int(record.get("bytes") or 0) for record in ok),
        rate=rate,
        left_s=left_s,
        updated=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(times[-1])) if times else str(header["updated"]),
    )
