"""One file from the network to disk: resumed, verified, never half."""

from __future__ import annotations

import email.utils
import fcntl
import http.client
import itertools
import os
import ssl
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import urlsplit

import vidbench
from vidbench.errors import InputError, NetworkError, disk_errors
from vidbench.progress import Reporter, SilentReporter, Task
from vidbench.runs import file_sha256, now, read_json, write_json_atomic

FileKind = Literal["safetensors", "torch-zip", "torch-legacy", "pickle", "unknown"]

_HEAD_BYTES = 64
_BLOCK_BYTES = 1 << 18
_LONGEST_WAIT_S = 30.0
_MB = 1e6
# the number 0x1950a86a20f9469cfc6c as a pickled long: what torch.save wrote first before it wrote zip files
_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
# what a line that breaks looks like; all else (no such host, refused, a bad certificate) stays so when tried again
_BROKEN = (
    TimeoutError,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
# the largest header that the safetensors format allows
_SAFETENSORS_HEADER = 100_000_000


@dataclass(frozen=True)
class Received:
    """One finished download: bytes, checksum, and the server's marks of that version."""

    url: str
    size: int
    sha256: str
    etag: str
    last_modified: str


def sniff(path: Path) -> FileKind:
    """What a file is, by its content; the name is not looked at.

    "torch-zip" is what `torch.save` writes, "torch-legacy" what it wrote before version 1.6, "pickle"
    any other binary pickle (as Caffe2's `.pkl`). A zip archive or a safetensors file that was cut off
    is "unknown".
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    kind = _kind_of_head(head)
    if kind == "torch-zip" and not _is_torch_archive(path):
        return "unknown"
    if kind == "safetensors" and path.stat().st_size < 8 + int.from_bytes(head[:8], "little"):
        return "unknown"
    return kind


def download(
    urls: tuple[str, ...],
    target: Path,
    *,
    sha256: str = "",
    timeout_s: float = 30.0,
    attempts: int = 5,
    backoff_s: float = 1.0,
    reporter: Reporter | None = None,
) -> Received:
    """Fetch a file of weights from the first address that gives it; `target` appears whole or not at all.

    Bytes are gathered in `<target>.part`. `<target>.part.json` records which version they belong to (entity
    tag or date), so that another attempt, now or after a kill, asks for the rest of that version only and
    starts anew where the server has another one (RFC 9110, `Range` and `If-Range`). Only timeouts, broken
    connections and the statuses 408, 429 and 5xx are tried again. A record of the download is written to
    `<target>.json` just before the file appears.

    The caller holds the lock of `target` (`locked`).

    Args:
        urls: http or https addresses, tried in order.
        target: Where the file goes; its folder exists.
        sha256: What the file must have, in hex; empty where unknown.
        timeout_s: Seconds without an answer, or without a byte, after which an attempt has failed.
        attempts: Attempts in a row that may fail without a new byte before an address is given up.
        backoff_s: Seconds before the second attempt; doubled for each further one.
        reporter: Told of progress, waits and retries.

    Raises:
        NetworkError: With every address and what was wrong with it.
        MissingError: The disk is full; the part is kept.
    """
    reporter = reporter or SilentReporter()
    transfer = _Transfer(target, sha256, timeout_s, reporter)
    failures = []
    for url in urls:
        try:
            received = _persist(transfer, url, attempts, backoff_s, reporter)
        except _Refused as refusal:
            failures.append(f"{url}: {refusal}")
            continue
        put_in_place(transfer.part, target, received)
        transfer.part_facts.unlink(missing_ok=True)
        return received
    raise NetworkError(
        f"could not download {target.name}: {'; '.join(failures)}",
        "Run the same command again (it resumes), name another address with --mirror URL, "
        "or take a local file with --from FILE.",
    )


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


def put_in_place(part: Path, target: Path, received: Received) -> None:
    """Put the whole file in its place; its record goes first, so that no file is ever without one."""
    with disk_errors(target):
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
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
        part.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


# --- one transfer ------------------------------------------------------------------------------------------


class _Refused(Exception):
    """The address will not give the file, however often it is asked."""


class _NoSuchRange(Exception):
    """The bytes asked for lie behind the end of the file (HTTP 416)."""


class _Cut(Exception):
    """An attempt failed; another one may not."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone, and never from https back to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (scheme == "http" and req.type == "https"):
            raise _Refused(f"redirects to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # built by hand: urllib's default opener also reads file:, ftp: and data:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _HttpOnly(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _persist(transfer: _Transfer, url: str, attempts: int, backoff_s: float, reporter: Reporter) -> Received:
    """Ask one address until it has given the file, or `attempts` in a row brought nothing new."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise _Refused("not an http or https address")
    fruitless = 0
    most = transfer.have()
    while True:
        try:
            return transfer.attempt(url)
        except _Cut as cut:
            fruitless = 1 if transfer.have() > most else fruitless + 1
            most = max(most, transfer.have())
            if fruitless >= attempts:
                raise _Refused(f"{cut} ({attempts} attempts)") from cut
            wait_s = min(backoff_s * 2 ** (fruitless - 1), _LONGEST_WAIT_S) if cut.wait_s is None else cut.wait_s
            reporter.info(f"{url}: {cut}; trying again in {wait_s:.3g} s")
            time.sleep(wait_s)


class _Transfer:
    """The bytes of one file so far, and one more attempt to get the rest."""

    def __init__(self, target: Path, sha256: str, timeout_s: float, reporter: Reporter) -> None:
        self.part = target.with_name(f"{target.name}.part")
        self.part_facts = target.with_name(f"{target.name}.part.json")
        self._name = target.name
        self._sha256 = sha256
        self._timeout_s = timeout_s
        self._reporter = reporter
        self._opener = _opener()

    def have(self) -> int:
        """Bytes received so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def attempt(self, url: str) -> Received:
        """One request; the whole file or `_Cut` or `_Refused`."""
        facts = self._facts(url)
        start = self.have() if facts else 0
        if facts and start == facts["total"]:
            # everything came before a kill; only the checks are left
            try:
                return self._checked(url, facts)
            except _Refused:
                facts, start = {}, 0
        headers = {"User-Agent": f"vidbench/{vidbench.__version__}", "Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": facts["etag"] or facts["last_modified"]}
        # `_persist` has checked the scheme, and the opener knows http and https alone
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        try:
            with self._open(request) as response:
                return self._receive(url, response, facts, start)
        except _NoSuchRange as error:
            self._discard()
            raise _Cut("has another version of the file now") from error

    def _facts(self, url: str) -> dict[str, Any]:
        """What is known of the part, or nothing where it cannot be continued from this address."""
        try:
            facts = read_json(self.part_facts)
        except InputError:
            return {}
        text = all(isinstance(facts.get(key), str) for key in ("url", "etag", "last_modified"))
        if not text or facts["url"] != url or not (facts["etag"] or facts["last_modified"]):
            return {}
        total = facts.get("total")
        return facts if isinstance(total, int) and self.have() <= total else {}

    @contextmanager
    def _open(self, request: urllib.request.Request) -> Iterator[http.client.HTTPResponse]:
        with _network_failures():
            response = self._opener.open(request, timeout=self._timeout_s)
        if response is None:
            raise _Refused("no answer")
        with response:
            yield response

    def _receive(self, url: str, response: http.client.HTTPResponse, facts: dict[str, Any], start: int) -> Received:
        answer = response.headers
        if answer.get("Content-Encoding", "identity") != "identity":
            raise _Refused(f"sends the file encoded ({answer['Content-Encoding']})")
        # a weak tag promises equal meaning, not equal bytes
        etag = "" if (tag := answer.get("ETag", "")).startswith("W/") else tag
        fresh = {
            "url": url,
            "etag": etag,
            "last_modified": answer.get("Last-Modified", ""),
            "total": response.length,
        }
        if response.status == 206:
            self._check_continues(answer, facts, fresh, start)
            fresh, total = facts, facts["total"]
        elif response.status == 200:
            start, total = 0, response.length
            if total is None and not self._sha256 and not response.chunked:
                raise _Refused("does not say how long the file is")
        else:
            raise _Refused(f"HTTP {response.status} {response.reason}")
        blocks = _blocks(response, None if total is None else total - start)
        first = next(blocks, b"")
        if start == 0:
            # before the part of an earlier attempt is given up for, say, the page of a login portal
            _check_kind_of_head(first)
            self._begin(fresh)
        with self._reporter.task(self._name, None if total is None else total / _MB, "MB") as task:
            task.advance(start / _MB)
            self._store(itertools.chain((first,), blocks), task)
        if total is not None and self.have() < total:
            raise _Cut(f"the connection broke after {self.have()} of {total} bytes")
        return self._checked(url, fresh)

    def _check_continues(
        self, answer: http.client.HTTPMessage, facts: dict[str, Any], fresh: dict[str, Any], start: int
    ) -> None:
        """Refuse a partial answer of another version, or of other bytes than asked for."""
        span, _, total = answer.get("Content-Range", "").removeprefix("bytes ").partition("/")
        same = all(not fresh[mark] or fresh[mark] == facts[mark] for mark in ("etag", "last_modified"))
        wanted = start > 0 and span.startswith(f"{start}-") and total == str(facts["total"])
        if not (same and wanted):
            self._discard()
            raise _Cut("has another version of the file now")

    def _begin(self, facts: dict[str, Any]) -> None:
        with disk_errors(self.part):
            self.part.unlink(missing_ok=True)
            write_json_atomic(self.part_facts, facts)

    def _store(self, blocks: Iterable[bytes], task: Task) -> None:
        with disk_errors(self.part), self.part.open("ab", buffering=0) as stream:
            for block in blocks:
                left = memoryview(block)
                while left:
                    left = left[stream.write(left) :]
                task.advance(len(block) / _MB)

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.part_facts.unlink(missing_ok=True)

    def _checked(self, url: str, facts: dict[str, Any]) -> Received:
        """The finished part, or `_Refused` and nothing kept where it is not what it should be."""
        try:
            sha256 = file_sha256(self.part)
            if self._sha256 not in ("", sha256):
                raise _Refused(f"gave a file with sha256 {sha256}, expected {self._sha256}")
            kind = sniff(self.part)
            if kind not in ("safetensors", "torch-zip", "torch-legacy"):
                raise _Refused("gave a file that holds no weights, or not all of them")
        except _Refused:
            self._discard()
            raise
        return Received(url, self.have(), sha256, facts["etag"], facts["last_modified"])


def _blocks(response: http.client.HTTPResponse, length: int | None) -> Iterator[bytes]:
    """The body as it comes in, `length` bytes at most; the first block is long enough to be told by `sniff`."""
    held = b""
    while length is None or length > 0:
        # read1 hands over what has come; read would hold back, and lose in a cut, all but full blocks
        with _network_failures():
            block = response.read1(_BLOCK_BYTES if length is None else min(_BLOCK_BYTES, length))
        if length is not None:
            length -= len(block)
        held += block
        if len(held) >= _HEAD_BYTES or not block:
            yield held
            held = b""
        if not block:
            return
    if held:
        yield held


@contextmanager
def _network_failures() -> Iterator[None]:
    """Sort what can go wrong on the way into `_Cut` (worth another try) and `_Refused`."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            reason = f"HTTP {error.code} {str(error.reason).splitlines()[0] if error.reason else ''}".rstrip()
            if error.code in (408, 429) or error.code >= 500:
                raise _Cut(reason, _retry_after_s(error.headers.get("Retry-After"))) from error
            if error.code == 416:
                raise _NoSuchRange from error
            raise _Refused(reason) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, _BROKEN):
            raise _Cut(_said(error.reason)) from error
        raise _Refused(_said(error.reason)) from error
    except http.client.IncompleteRead as error:
        raise _Cut("the connection broke") from error
    except _BROKEN as error:
        raise _Cut(_said(error)) from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise _Refused(_said(error)) from error


def _said(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "timed out"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__


def _retry_after_s(value: str | None) -> float | None:
    """Seconds to wait by a `Retry-After` header (seconds or a date), at most 30; None without one."""
    if not value:
        return None
    if value.strip().isdigit():
        return min(float(value), _LONGEST_WAIT_S)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_WAIT_S)


# --- what a file is ----------------------------------------------------------------------------------------


def _kind_of_head(head: bytes) -> FileKind:
    if head.startswith(b"PK\x03\x04"):
        return "torch-zip"
    if len(head) > 9 and head[:1] == b"\x80" and 2 <= head[1] <= 5:
        return "torch-legacy" if _LEGACY_MAGIC in head[:32] else "pickle"
    if len(head) > 9 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _SAFETENSORS_HEADER:
        return "safetensors"
    return "unknown"


def _is_torch_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name == "data.pkl" or name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def _check_kind_of_head(block: bytes) -> None:
    kind = _kind_of_head(block[:_HEAD_BYTES])
    if kind in ("safetensors", "torch-zip", "torch-legacy"):
        return
    start = block[:_HEAD_BYTES].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise _Refused("gave a web page, not weights")
    raise _Refused("gave a file that holds no weights" if block else "gave an empty file")
