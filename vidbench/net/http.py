"""The way to the network: sizes, small files, downloads and streams, from all threads of a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vidbench.net.request import Answer, Client, Failure, Hitch, Patience, Reason
from vidbench.net.stream import RemoteStream
from vidbench.net.transfer import Received, receive
from vidbench.progress import Reporter

__all__ = ["Failure", "Http", "Reason", "Received", "RemoteStream", "Size"]

# how servers say that they do not do HEAD, or not for this address
_NO_HEAD = (400, 403, 405, 501)

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """What a server says of a file: bytes (None where it does not say) and the marks of its version."""

    bytes: int | None
    etag: str
    last_modified: str

    @property
    def version(self) -> str:
        """The strong entity tag, or else the date, or ""; what `Http.stream` takes."""
        return self.etag or self.last_modified


class Http:
    """Downloads over one pool of connections; all methods may be called from several threads.

    Proxies come from the environment (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`). Redirects are
    followed to http and https, never from https to http. Only what can help is tried again: timeouts, broken
    lines, 408, 429 and 5xx, after growing waits or the one that the server asks for. A server that asks for
    more than two minutes is given up at once.

    Args:
        timeout_s: Seconds without an answer, or without a byte, after which an attempt has failed.
        attempts: Attempts in a row that may fail without a new byte before an address is given up.
        backoff_s: Seconds before the second attempt; doubled for each further one.
        rate: Bytes a second over all threads, None for no limit.
        workers: Threads that will ask at the same time.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 30,
        attempts: int = 5,
        backoff_s: float = 1.0,
        rate: float | None = None,
        workers: int = 4,
    ) -> None:
        self._client = Client(timeout_s=timeout_s, attempts=attempts, backoff_s=backoff_s, rate=rate, workers=workers)

    def size(self, url: str) -> Size:
        """What the server says of a file, without its bytes.

        Raises:
            Failure: The address does not give it.
        """
        return self._insist(url, lambda: self._size(url))

    def text(self, url: str, limit: int = 64 << 20) -> bytes:
        """A small file whole in memory, its content encoding undone.

        Raises:
            Failure: The address does not give it, or it is larger than `limit` bytes ("corrupt", "too-large").
        """
        return self._insist(url, lambda: self._text(url, limit))

    def download(
        self,
        url: str,
        target: Path,
        *,
        check: Callable[[Path], None] | None = None,
        sha256: str = "",
        reporter: Reporter | None = None,
        head_check: Callable[[bytes], None] | None = None,
        record: Callable[[Received], None] | None = None,
    ) -> Received:
        """Bring a file to `target`, which appears whole or not at all.

        What came before, in this process or another one, is continued: see `vidbench.net.transfer.receive`.
        The caller sees to it that nobody else fetches the same target.

        Args:
            url: Where from.
            target: Where to; its folder is made, a file of that name is replaced.
            check: Looks at the whole file, under another name, and raises `Failure("corrupt", ...)` to refuse it.
            sha256: What the file must have, in hex; empty where unknown.
            reporter: Told of progress, waits and retries.
            head_check: Looks at the first bytes of a download that starts anew, before earlier bytes are given up.
            record: Called just before the file appears.

        Raises:
            Failure: The address does not give the file.
            MissingError: The disk is full; what came is kept.
        """
        return receive(
            self._client,
            url,
            target,
            check=check,
            sha256=sha256,
            reporter=reporter,
            head_check=head_check,
            record=record,
        )

    def stream(self, url: str, start: int = 0, version: str = "", reporter: Reporter | None = None) -> RemoteStream:
        """The bytes of a file from `start` on, as they come in.

        Args:
            url: Where from.
            start: The first byte wanted.
            version: The version that `start` belongs to (`Size.version`, `RemoteStream.version`); "" for any.
            reporter: Told of waits and retries.

        Raises:
            Failure: The address does not give it; "corrupt", "changed" where it has another version.
        """
        return RemoteStream(self._client, url, start, version, reporter)

    def stop(self) -> None:
        """End what all threads are at: waits at once, transfers at their next block (`Failure`, kind "stopped")."""
        self._client.stop()

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def _insist(self, url: str, attempt: Callable[[], T]) -> T:
        patience = Patience(self._client, url)
        while True:
            try:
                return attempt()
            except Hitch as hitch:
                patience.after(hitch, progress=False)
            except Failure as failure:
                raise patience.failed(failure) from failure

    def _size(self, url: str) -> Size:
        with self._client.ask(url, method="HEAD", accept=(200, *_NO_HEAD)) as answer:
            if answer.status == 200 and answer.length is not None:
                return Size(answer.length, answer.etag, answer.last_modified)
        with self._client.ask(url, headers={"Range": "bytes=0-0"}, accept=(200, 206, 416)) as answer:
            return Size(_told(answer), answer.etag, answer.last_modified)

    def _text(self, url: str, limit: int) -> bytes:
        with self._client.ask(url) as answer:
            if not answer.ends_by_itself:
                raise Failure("corrupt", "length", "does not say how long the file is")
            if answer.length is not None and answer.length > limit:
                raise Failure("corrupt", "too-large", f"{answer.length} bytes, more than {limit}")
            body = bytearray()
            while block := answer.read_decoded():
                body += block
                if len(body) > limit:
                    raise Failure("corrupt", "too-large", f"more than {limit} bytes")
        return bytes(body)


def _told(answer: Answer) -> int | None:
    if answer.status == 416:
        return answer.unsatisfied
    if answer.status == 206:
        return None if answer.span is None else answer.span.total
    return answer.length
