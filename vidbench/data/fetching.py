"""What all sources share: threads, ledger lines, retries that can help, and an end when the server throttles."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TypeVar

from vidbench.data.selection import Selection
from vidbench.errors import disk_errors
from vidbench.ledger import OK, Ledger, tell_counts
from vidbench.net.archive import Member, members, save
from vidbench.net.http import Failure, Http
from vidbench.progress import Reporter, Task
from vidbench.records import Json, Records, read_records
from vidbench.runs import file_sha256
from vidbench.video.clip import VideoError
from vidbench.video.pyav import probe
from vidbench.video.wholeness import missing_bytes

T = TypeVar("T")

DONE, FAILED = "done", "failed"
REASONS = (OK, "gone", "blocked", "throttled", "network", "tool", "corrupt")
CAN_HELP = ("throttled", "network", "tool")
"""Failures that another run may mend."""
_JOIN_S = 5.0


@dataclass(frozen=True)
class Wanted:
    """An item of a source: one file, one line of the ledger.

    Attributes:
        name: Where it goes, below the folder, with `/`; also its key.
        url: Its address; empty where it comes out of a tarball.
        label: Its class, empty where it has none.
        video: What a site calls the video that it is cut from.
        span: Start and end in that video, in seconds.
        is_video: Whether it must be a video.
    """

    name: str
    url: str = ""
    label: str = ""
    video: str = ""
    span: tuple[float, float] | None = None
    is_video: bool = True

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return self.name


@dataclass(frozen=True)
class Want:
    """What is asked of a source, valid by construction; the fields are those of `FetchRequest`."""

    split: str
    selection: Selection
    parts: tuple[str, ...]
    mirror: str | None
    via: str | None
    file: Path | None
    youtube_url: str
    pause_s: float
    cookies: Path | None
    rate: float | None
    timeout_s: float
    retry: tuple[str, ...]


@dataclass
class Plan:
    """What a source came to: what was wanted and what there was to know.

    Attributes:
        items: What was wanted, as far as it is known by name.
        wanted: How many that are; None where only the source knows.
        here: How many were here before.
        first_of: Where the first so many of the items are wanted, how many.
        bytes: Bytes to transfer, for a dry run; None where a server does not tell.
        notes: What else is worth knowing.
    """

    items: Sequence[Wanted] = ()
    wanted: int | None = None
    here: int = 0
    first_of: int | None = None
    bytes: int | None = None
    notes: list[str] = field(default_factory=list)


class Throttled(Exception):
    """The server asks for a pause; the job ends in good order."""


class Enough(Exception):
    """All that a stage was to bring is here; its other threads end."""


@dataclass
class Fetcher:
    """One job of fetching: the folder, its ledger, the network, and who listens.

    Attributes:
        out: The folder.
        ledger: Its ledger, open.
        http: The network.
        reporter: Told of the progress.
        workers: Threads.
        retry: Reasons, or kinds, of earlier failures that are tried again.
        dry: Whether everything is counted and nothing fetched.
        skipped: Items of earlier runs that failed and are left alone.
    """

    out: Path
    ledger: Ledger
    http: Http
    reporter: Reporter
    workers: int
    retry: Collection[str] = CAN_HELP
    dry: bool = False
    skipped: set[str] = field(default_factory=set)
    throttled: str = ""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._stage_over = threading.Event()
        self._task: Task | None = None
        self._told = threading.Lock()
        self._counted: dict[str, str] = {}
        self._bytes = 0

    @cached_property
    def archives(self) -> Records:
        """What is known of tarballs and tables, which are no items themselves: a line per address or file."""
        path = self.ledger.store.path.with_suffix(".archives.jsonl")
        if not self.dry:
            return Records.take(path)
        found = Records(path)
        found.by_key = {record["key"]: record for record in read_records(path)[0]}
        return found

    # --- what is left ---------------------------------------------------------------------------------------

    def has(self, item: Wanted) -> bool:
        """Whether an item is done: its record is ok, and its file is there with the size of the record."""
        record = self.ledger.records.get(item.key)
        if not record or record.get("reason") != OK:
            return False
        place = self.out / item.name
        try:
            if "files" in record:
                return bool(sum(1 for _ in os.scandir(place)) == record["files"])
            return bool(place.stat().st_size == record.get("bytes"))
        except OSError:
            return False

    def left(self, items: Iterable[Wanted]) -> list[Wanted]:
        """The items that are to be done now; earlier failures that trying again cannot mend are left alone."""
        found = []
        for item in items:
            record = self.ledger.records.get(item.key)
            if self.has(item) or (record is None and self._adopt(item)):
                continue
            if record and record["reason"] != OK and not self._may_help(record):
                self.skipped.add(item.key)
                continue
            found.append(item)
        return found

    def _adopt(self, item: Wanted) -> bool:
        """Take a whole video that lies in its place without a line: another program's, or one whose line a kill cost.

        Of other files nobody can tell whether they are whole: they come again.
        """
        place = self.out / item.name
        if not item.is_video or not place.is_file():
            return False
        try:
            check_video(place)
        except Failure:
            return False
        self.ledger.append(
            {
                "key": item.key,
                "name": item.name,
                "state": DONE,
                "reason": OK,
                "detail": "found in its place",
                "bytes": place.stat().st_size,
                "sha256": file_sha256(place),
            }
        )
        return True

    def _may_help(self, record: Json) -> bool:
        return record["reason"] in self.retry or record.get("kind") in self.retry

    # --- progress -------------------------------------------------------------------------------------------

    @contextmanager
    def progress(self, title: str, items: Sequence[Wanted], unit: str, total: int | None = None) -> Iterator[None]:
        """Count the items of a stage; those done and those left alone count from the start."""
        self._counted = {i.key: self.ledger.records[i.key]["reason"] for i in items if self._settled(i)}
        settled = len(self._counted)
        with self.reporter.task(title, total or len(items) or None, unit) as task:
            self._task = task
            task.skip(min(settled, total or settled), self._note())
            try:
                yield
            finally:
                self._task = None

    def _settled(self, item: Wanted) -> bool:
        return self.has(item) or item.key in self.skipped

    def record(self, item: Wanted, reason: str, **facts: object) -> None:
        """Write the ledger line of an item, and count it."""
        state = DONE if reason == OK else FAILED
        self.ledger.append({"key": item.key, "name": item.name, "state": state, "reason": reason, **facts})
        with self._told:
            again = item.key in self._counted
            self._counted[item.key] = reason
            if isinstance(size := facts.get("bytes"), int):
                self._bytes += size
            if self._task:
                self._task.advance(0 if again else 1, self._note())

    def _note(self) -> str:
        counts = Counter(self._counted.values())
        told = tell_counts({OK: counts.pop(OK, 0), **dict(counts.most_common())})
        return f"{told}, {self._bytes / 1e6:.0f} MB"

    def sizes(self, urls: Sequence[str]) -> int | None:
        """Bytes behind addresses; None where a server does not tell all of them."""
        found: list[int | None] = []
        self.each(urls, lambda url: found.append(self.http.size(url).bytes))
        return None if None in found else sum(size for size in found if size is not None)

    # --- doing ----------------------------------------------------------------------------------------------

    def each(self, items: Iterable[T], do: Callable[[T], None], workers: int | None = None) -> None:
        """Do the items in threads; `Enough` ends the stage, the first error and Ctrl-C end the job in good order.

        Raises:
            Throttled: An item was refused because of too many requests, by `refuse`.
        """
        queue = iter(items)
        turn = threading.Lock()
        errors: list[BaseException] = []
        self._stage_over.clear()

        def work() -> None:
            while not self.stopped():
                with turn:
                    item = next(queue, None)
                if item is None:
                    return
                try:
                    do(item)
                except InterruptedError:
                    return
                except Failure as failure:
                    if failure.kind == "stopped":
                        return
                    errors.append(failure)
                    self._stop.set()
                    return
                except Enough:
                    self._stage_over.set()
                    return
                except BaseException as error:
                    errors.append(error)
                    self._stop.set()
                    return

        threads = [threading.Thread(target=work, daemon=True) for _ in range(workers or self.workers)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        except KeyboardInterrupt:
            self._stop.set()
            self.http.stop()
            for thread in threads:
                thread.join(_JOIN_S)
            raise
        if errors:
            raise errors[0]
        if self.throttled:
            raise Throttled(self.throttled)

    def stopped(self) -> bool:
        """Whether the job, or its stage, is to end."""
        return self._stop.is_set() or self._stage_over.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, or end with the job."""
        if self._stop.wait(seconds):
            raise InterruptedError

    def refuse(self, item: Wanted, failure: Failure, **facts: object) -> None:
        """Record a failure; a throttling server ends the job."""
        self.record(item, failure.reason, kind=failure.kind, detail=failure.detail, attempts=failure.attempts, **facts)
        if failure.reason == "throttled":
            self.throttle(failure.detail)

    def throttle(self, detail: str) -> None:
        """End the job: every further request would make it worse."""
        self.throttled = detail
        self._stop.set()

    def download(self, item: Wanted) -> None:
        """Bring a file that has an address of its own."""
        target = self.out / item.name
        started = time.monotonic()
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            received = self.http.download(item.url, target, check=check_video if item.is_video else None)
        except Failure as failure:
            if failure.kind == "stopped":
                raise InterruptedError from failure
            self.refuse(item, failure, url=item.url)
            return
        self.record(
            item,
            OK,
            attempts=received.attempts,
            bytes=received.size,
            sha256=received.sha256,
            url=item.url,
            seconds=round(time.monotonic() - started, 3),
        )

    def keep(self, item: Wanted, member: Member, body: BinaryIO, url: str) -> bool:
        """Save a member of a tarball; gives whether it is a good one."""
        target = self.out / item.name
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            size, sha256 = save(member, body, target, check_video if item.is_video else None)
        except Failure as failure:
            if failure.kind != "video":
                raise
            self.refuse(item, failure, url=url)
            return False
        self.record(item, OK, attempts=1, bytes=size, sha256=sha256, url=url)
        return True

    def unpack(self, url: str, offset: int = 0, version: str = "") -> Iterator[tuple[Member, BinaryIO, str]]:
        """The members of a tarball, as they come in, with the version of the tarball; told of what is refused."""

        def refused(name: str, why: str) -> None:
            self.reporter.warn(f"{url}: {name!r} is left out: {why}")

        with self.http.stream(url, offset, version) as stream:
            for member, body in members(stream, start_offset=offset, refused=refused):
                if self.stopped():
                    raise InterruptedError
                yield member, body, stream.version


def check_video(path: Path) -> None:
    """Refuse what is no video: no container, no stream, no frames, cut off. Whether all of it decodes is not looked at.

    Raises:
        Failure: corrupt.
    """
    try:
        probe(path)
        # Matroska does not tell its number of frames, only its length
        missing = missing_bytes(path)
    except VideoError as error:
        raise Failure("corrupt", "video", str(error)) from error
    if missing:
        raise Failure("corrupt", "video", missing)


def free_bytes(folder: Path) -> int:
    """Free space where `folder` is, or will be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def parse_rate(text: str) -> float:
    """Bytes a second of `500K`, `5M`, `1.5G` or a number.

    Raises:
        ValueError: It is none of these, or not above 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)(?:[bB](?:/s)?)?", text.strip())
    if not match or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a rate such as 500K, 5M or 1G")
    return float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match[2].lower()]
