"""One file from the network to disk: resumed, verified, never half."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidbench.errors import InputError, disk_errors
from vidbench.net.request import BLOCK_BYTES, Answer, Client, Failure, Hitch, Patience
from vidbench.net.stream import is_packed
from vidbench.progress import Reporter, SilentReporter, Task
from vidbench.records import Json
from vidbench.runs import now, read_json, write_json_atomic

_HEAD_BYTES = 64
_MB = 1e6


@dataclass(frozen=True)
class Received:
    """One finished download: bytes, checksum, the server's marks of that version, and requests it took."""

    url: str
    size: int
    sha256: str
    etag: str
    last_modified: str
    attempts: int = 1


def receive(
    client: Client,
    url: str,
    target: Path,
    *,
    check: Callable[[Path], None] | None = None,
    head_check: Callable[[bytes], None] | None = None,
    sha256: str = "",
    record: Callable[[Received], None] | None = None,
    reporter: Reporter | None = None,
) -> Received:
    """Fetch a file from one address; `target` appears whole or not at all.

    Bytes are gathered in `<target>.part`. `<target>.part.json` records which version they belong to (entity
    tag or date), so that another attempt, now or after a kill, asks for the rest of that version only and
    starts anew where the server has another one (RFC 9110, `Range` and `If-Range`). The bytes are as sent, no
    content encoding is undone. The sha256 is taken as they come in; bytes of an earlier call are hashed once.

    Once whole, the part is checked, brought to the disk (fsync) and renamed. One that fails its check is not
    kept; where some of its bytes came in an earlier call, all are fetched once more.

    The caller sees to it that nobody else fetches the same target (`locked`, or the lock of a job).

    Args:
        client: The connections.
        url: An http or https address.
        target: Where the file goes; its folder is made.
        check: Looks at the whole part and raises `Failure` to refuse it.
        head_check: Looks at the first bytes (64 of them at least, if there are) of a download that starts anew and
            raises `Failure` to refuse it; an earlier part is kept then.
        sha256: What the file must have, in hex; empty where unknown.
        record: Called when the file is about to appear.
        reporter: Told of progress, waits and retries.

    Raises:
        Failure: The address does not give the file.
        MissingError: The disk is full; the part is kept.
    """
    reporter = reporter or SilentReporter()
    part = _Part(target, url)
    transfer = _Transfer(client, url, part, sha256.lower(), check, head_check, reporter)
    patience = Patience(client, url, reporter)
    most = part.size
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            facts = transfer.attempt()
        except Hitch as hitch:
            patience.after(hitch, part.size > most)
            most = max(most, part.size)
            continue
        except Failure as failure:
            raise patience.failed(failure) from failure
        if facts is not None:
            break
        patience.again()
    received = Received(url, part.size, part.sha256(), facts["etag"], facts["last_modified"], patience.asked)
    part.finish(received, record)
    return received


@contextmanager
def locked(target: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the lock of `target` against other processes; waits for it, and says so first."""
    # the lock file stays: removing it would let two processes lock two files of the same name
    lock = target.with_name(f"{target.name}.lock")
    with disk_errors(lock), lock.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reporter.info(f"waiting for another process that is fetching {target.name}")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def record_path(path: Path) -> Path:
    """Where the record of the download of `path` is: beside it."""
    return path.with_name(f"{path.name}.json")


def write_record(target: Path, received: Received) -> None:
    """Write down beside `target` where it came from; before it appears, so that it is never without."""
    write_json_atomic(
        record_path(target),
        {
            "url": received.url,
            "size": received.size,
            "sha256": received.sha256,
            "etag": received.etag,
            "last_modified": received.last_modified,
            "time": now(),
        },
    )


def put_in_place(part: Path, target: Path) -> None:
    """Give a whole file its name, once its bytes are on the disk."""
    with disk_errors(target):
        _to_disk(part)
        part.replace(target)
        _to_disk(target.parent)


def _to_disk(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- one transfer ------------------------------------------------------------------------------------------


class _Part:
    """The bytes of one file so far, and what is known of their version."""

    def __init__(self, target: Path, url: str) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._target = target
        self._url = url
        self._facts = target.with_name(f"{target.name}.part.json")
        # of how many bytes the digest is; bytes of an earlier call are hashed when they are continued
        self._digest = hashlib.sha256()
        self._hashed = 0
        self.inherited = self.path.exists()

    @property
    def size(self) -> int:
        """Bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def facts(self) -> Json:
        """What is known of the part, or nothing where it cannot be continued from this address."""
        try:
            facts = read_json(self._facts)
        except InputError:
            return {}
        text = all(isinstance(facts.get(key), str) for key in ("url", "etag", "last_modified"))
        if not text or facts["url"] != self._url or not (facts["etag"] or facts["last_modified"]):
            return {}
        total = facts.get("total")
        usable = isinstance(total, int) and self.path.exists() and self.size <= total
        return facts if usable else {}

    def begin(self, facts: Json) -> None:
        """Start anew."""
        with disk_errors(self.path):
            # in this order: facts are never beside bytes of another version
            self.path.unlink(missing_ok=True)
            write_json_atomic(self._facts, facts)
            self.path.touch()
        self._digest, self._hashed, self.inherited = hashlib.sha256(), 0, False

    def sha256(self) -> str:
        """Of the bytes so far, in hex."""
        if self._hashed != self.size:
            self._digest, self._hashed = hashlib.sha256(), 0
            with self.path.open("rb") as stream:
                while block := stream.read(BLOCK_BYTES):
                    self._digest.update(block)
                    self._hashed += len(block)
        return self._digest.hexdigest()

    def store(self, answer: Answer, first: bytes, task: Task) -> None:
        """Add a body block by block."""
        self.sha256()
        with disk_errors(self.path), self.path.open("ab", buffering=0) as stream:
            block = first
            while block:
                left = memoryview(block)
                while left:
                    left = left[stream.write(left) :]
                self._digest.update(block)
                self._hashed += len(block)
                task.advance(len(block) / _MB)
                block = answer.read()

    def discard(self) -> None:
        """Forget everything."""
        self.path.unlink(missing_ok=True)
        self._facts.unlink(missing_ok=True)
        self.inherited = False

    def finish(self, received: Received, record: Callable[[Received], None] | None) -> None:
        """Make the part the file."""
        if record is not None:
            record(received)
        with disk_errors(self.path):
            # the slow step first: from here to the new name, a kill costs a download, but leaves no facts beside a file
            _to_disk(self.path)
            self._facts.unlink(missing_ok=True)
            self.path.replace(self._target)
            _to_disk(self._target.parent)


class _Transfer:
    """One more attempt to get the rest of a file."""

    def __init__(
        self,
        client: Client,
        url: str,
        part: _Part,
        sha256: str,
        check: Callable[[Path], None] | None,
        head_check: Callable[[bytes], None] | None,
        reporter: Reporter,
    ) -> None:
        self._client = client
        self._url = url
        self._part = part
        self._sha256 = sha256
        self._check = check
        self._head_check = head_check
        self._reporter = reporter

    def attempt(self) -> Json | None:
        """One request; gives the facts of the whole and checked file, or None where more is to be asked for."""
        facts = self._part.facts()
        start = self._part.size if facts else 0
        if facts and start == facts["total"]:
            # everything came before a kill; only the checks are left
            return self._checked(facts)
        headers = {}
        if start:
            headers = {"Range": f"bytes={start}-", "If-Range": facts["etag"] or facts["last_modified"]}
        with self._client.ask(self._url, headers=headers, accept=(200, 206, 416)) as answer:
            return self._receive(answer, facts, start)

    def _receive(self, answer: Answer, facts: Json, start: int) -> Json | None:
        if answer.status == 416:
            raise self._changed()
        if answer.encoding != "identity" and not is_packed(self._url, answer.encoding):
            raise Failure("corrupt", "encoding", f"sends the file encoded ({answer.encoding})")
        if answer.status == 206:
            self._check_continues(answer, facts, start)
        else:
            start = 0
            if not answer.ends_by_itself and not self._sha256:
                raise Failure("corrupt", "length", "does not say how long the file is")
            facts = {
                "url": self._url,
                "etag": answer.etag,
                "last_modified": answer.last_modified,
                "total": answer.length,
            }
        total = facts["total"]
        try:
            first = _head(answer) if start == 0 else answer.read()
            if start == 0:
                if self._head_check is not None:
                    # before the part of an earlier attempt is given up for, say, the page of a login portal
                    self._head_check(first)
                self._part.begin(facts)
            with self._reporter.task(self._part.path.stem, None if total is None else total / _MB, "MB") as task:
                task.advance(start / _MB)
                self._part.store(answer, first, task)
        except Hitch as hitch:
            if hitch.kind != "truncated":
                raise
            of = "" if total is None else f" of {total}"
            detail = f"the connection broke after {self._part.size}{of} bytes"
            raise Hitch("network", "truncated", detail) from hitch
        if total is not None and self._part.size < total:
            # a server may send less than what was asked for
            if self._part.size == start:
                raise Hitch("network", "truncated", f"the connection broke after {start} of {total} bytes")
            return None
        return self._checked(facts)

    def _check_continues(self, answer: Answer, facts: Json, start: int) -> None:
        """Refuse a partial answer of another version, or of other bytes than asked for."""
        same = all(not now or now == facts.get(mark) for mark, now in _marks(answer).items())
        if not start or not same or answer.span is None or answer.span.total != facts["total"]:
            raise self._changed()
        if answer.span.start != start:
            self._part.discard()
            raise Hitch("network", "range", f"sends bytes from {answer.span.start} on, not from {start} as asked for")

    def _changed(self) -> Hitch:
        self._part.discard()
        return Hitch("corrupt", "changed", "has another version of the file now")

    def _checked(self, facts: Json) -> Json | None:
        """The facts of a part that is what it should be; one that is not is not kept."""
        try:
            sha256 = self._part.sha256()
            if self._sha256 not in ("", sha256):
                raise Failure("corrupt", "checksum", f"gave a file with sha256 {sha256}, expected {self._sha256}")
            if self._check is not None:
                self._check(self._part.path)
        except Failure:
            inherited = self._part.inherited
            self._part.discard()
            if inherited:
                # the fault may lie in what an earlier call left
                return None
            raise
        return facts


def _marks(answer: Answer) -> dict[str, str]:
    return {"etag": answer.etag, "last_modified": answer.last_modified}


def _head(answer: Answer) -> bytes:
    """The first block of a body, long enough to tell what it is."""
    head = answer.read()
    while 0 < len(head) < _HEAD_BYTES and (more := answer.read(_HEAD_BYTES)):
        head += more
    return head
