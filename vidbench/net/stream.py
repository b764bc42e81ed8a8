"""A remote file read forward as it comes in, over as many connections as it takes."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from vidbench.net.request import BLOCK_BYTES, Answer, Client, Failure, Hitch, Patience
from vidbench.progress import Reporter

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class RemoteStream(io.RawIOBase):
    """The bytes of an address from `start` on, read-only and forward.

    A line that breaks is taken up again at the byte where it broke (`Range` with `If-Range`). A server that sends
    the whole file instead, or that names no version, is read from the beginning again; what had been given out
    must come the same (its sha256 is compared) and is left out. Bytes are as sent, no content encoding is undone.
    A reader that stops half-way closes the stream.

    Attributes:
        url: The address.
        position: Where the next byte lies in the file.
        total: Bytes of the whole file, None where the server does not say.
        version: The strong entity tag, or else the date of the file, or "".
        attempts: Requests so far.

    Raises:
        Failure: From the constructor and every read. "corrupt" with the kind "changed": the server has another
            version than the one asked for or begun with.
    """

    def __init__(
        self, client: Client, url: str, start: int = 0, version: str = "", reporter: Reporter | None = None
    ) -> None:
        super().__init__()
        self.url = url
        self.position = start
        self.total: int | None = None
        self.version = version
        self._client = client
        self._start = start
        self._digest = hashlib.sha256()
        self._answer: Answer | None = None
        self._block = memoryview(b"")
        self._patience = Patience(client, url, reporter)
        # where the last attempt began, to tell one that brought nothing
        self._mark = start
        while self._answer is None and not self._at_end():
            self._attempt()

    @property
    def attempts(self) -> int:
        """Requests so far."""
        return self._patience.asked

    @property
    def sha256(self) -> str:
        """Of the bytes from `start` to `position`, in hex."""
        return self._digest.hexdigest()

    def readable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte lies in the file."""
        return self.position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` with what has come, at least a byte; 0 at the end of the file."""
        if self.closed:
            raise ValueError("read of a closed stream")
        room = memoryview(buffer).cast("B")
        while not self._block and room and not self._at_end():
            self._attempt()
        count = min(len(room), len(self._block))
        room[:count] = self._block[:count]
        self._block = self._block[count:]
        self._digest.update(room[:count])
        self.position += count
        return count

    def close(self) -> None:
        """End the connection."""
        self._drop()
        super().close()

    def _at_end(self) -> bool:
        return self.total is not None and self.position >= self.total

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _attempt(self) -> None:
        """Get the next block, over a new line where need be; or none, and wait for another attempt."""
        try:
            if self._answer is None:
                self._mark = self.position
                self._answer = self._connect()
                return
            self._block = memoryview(self._answer.read(BLOCK_BYTES))
            if self._block:
                return
            self._ended()
        except Hitch as hitch:
            self._drop()
            if hitch.kind == "truncated":
                of = "" if self.total is None else f" of {self.total}"
                hitch = Hitch("network", "truncated", f"the connection broke after {self.position}{of} bytes")
            self._patience.after(hitch, self.position > self._mark)
        except Failure as failure:
            self._drop()
            raise self._patience.failed(failure) from failure

    def _ended(self) -> None:
        """The body came to its proper end."""
        if self.total is None:
            self.total = self.position
        self._drop()
        if self.position < self.total:
            # a server may send less than what was asked for
            if self.position == self._mark:
                raise Hitch("network", "truncated", "")
            self._patience.again()

    def _connect(self) -> Answer:
        """Ask for the rest; the answer stands at `position`."""
        headers = {}
        resumable = self.position > 0 and (bool(self.version) or self.position == self._start)
        if resumable:
            headers["Range"] = f"bytes={self.position}-"
            if self.version:
                headers["If-Range"] = self.version
        answer = self._client.ask(self.url, headers=headers, accept=(200, 206, 416))
        try:
            self._place(answer, resumable)
        except BaseException:
            answer.close()
            raise
        return answer

    def _place(self, answer: Answer, resumable: bool) -> None:
        """Check that an answer continues this file, and bring it to `position`."""
        if answer.status == 416:
            if resumable and answer.unsatisfied == self.position and self.total in (None, self.position):
                self.total = self.position
                return
            raise self._changed(f"it has {answer.unsatisfied} bytes now, fewer than {self.position}")
        if answer.encoding != "identity" and not is_packed(self.url, answer.encoding):
            raise Failure("corrupt", "encoding", f"sends the file encoded ({answer.encoding})")
        if self.version and answer.version and self.version not in (answer.etag, answer.last_modified):
            raise self._changed(f"version {answer.version}, was {self.version}")
        if self.version and not answer.version and answer.status == 200 and self.position == self._start > 0:
            raise self._changed("it names none")
        if answer.status == 206:
            span = answer.span
            if not resumable or span is None or span.start != self.position:
                raise Hitch("network", "range", "sends other bytes than asked for")
            total = span.total
        else:
            total = answer.length
        if self.total is not None and total is not None and total != self.total:
            raise self._changed(f"{total} bytes, were {self.total}")
        self.total = total if self.total is None else self.total
        self.version = self.version or answer.version
        if answer.status == 200 and self.position:
            self._skip(answer)

    def _skip(self, answer: Answer) -> None:
        """Leave out what has been given out, and see that it is the same."""
        digest, left = hashlib.sha256(), self.position
        while left:
            block = answer.read(min(BLOCK_BYTES, left))
            if not block:
                raise self._changed(f"it has {self.position - left} bytes now, fewer than {self.position}")
            at = self.position - left
            digest.update(memoryview(block)[max(self._start - at, 0) :])
            left -= len(block)
        if digest.digest() != self._digest.digest():
            raise self._changed("the bytes before are others now")

    def _changed(self, how: str) -> Failure:
        return Failure("corrupt", "changed", f"the server has another version of the file now: {how}")


def is_packed(url: str, encoding: str) -> bool:
    """Whether a content encoding only repeats what the name says: a .tar.gz stored as "gzip" is the file itself."""
    path = url.partition("?")[0].partition("#")[0].lower()
    return encoding in ("gzip", "x-gzip") and path.endswith((".gz", ".tgz"))
