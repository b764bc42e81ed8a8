"""One request to an address: connections, redirects, what a failure means, and when to ask again."""

from __future__ import annotations

import email.utils
import errno
import http.client
import random
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import urllib3
import urllib3.exceptions

import vidbench
from vidbench.progress import Reporter, SilentReporter

Reason = Literal["gone", "blocked", "throttled", "network", "tool", "corrupt"]

BLOCK_BYTES = 1 << 18
"""How much is read from a line at once, at most."""
LONGEST_WAIT_S = 30.0
"""How long one wait before another attempt may take."""
_HOPELESS_WAIT_S = 120.0
_REDIRECTS = 10
_REDIRECT = (301, 302, 303, 307, 308)
# nobody there: a few quick attempts will tell, unless the address has answered before
_NOBODY = ("dns", "refused", "unreachable", "proxy")
_QUICK_ATTEMPTS = 3
_QUICK_WAIT_S = 0.5
_BURST_S = 0.1
_SAFE = "/:@!$&'()*+,;=~-._"
_SPAN = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL)


class Failure(Exception):
    """Why an address did not give its bytes; data for a ledger.

    Args:
        reason: "gone" (404, 410), "blocked" (401, 403, 451 and other refusals), "throttled" (429, and 503 that says
            when to come back), "network" (timeouts, broken lines, no such host, TLS, 408 and 5xx after the retries),
            "corrupt" (bytes that fail their check, that are too few for good, or of several versions), "tool" (our
            side: no usable address).
        kind: Finer, one word, as "timeout", "reset", "dns", "http-404", "truncated", "changed", "checksum".
        detail: One line, with the numbers.
        attempts: How often the address was asked.
        retry_after_s: Seconds that the server asked to wait, where it did.
    """

    def __init__(
        self, reason: Reason, kind: str, detail: str, attempts: int = 1, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.kind = kind
        self.detail = detail
        self.attempts = attempts
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.kind, self.detail, self.attempts, self.retry_after_s)


class Hitch(Failure):
    """A failure that another attempt may mend; never leaves `vidbench.net`."""


@dataclass(frozen=True)
class Span:
    """What a partial answer holds: bytes `[start, end)` of `total` (None where it does not say)."""

    start: int
    end: int
    total: int | None


class Answer:
    """What the server sends: the head, and the body as it comes in, undecoded.

    Attributes:
        status: The HTTP status.
        url: Where it came from after redirects.
        etag: The entity tag, empty where there is none or a weak one (equal meaning, not equal bytes).
        last_modified: The date, as sent.
        length: Bytes of the body, None where unknown.
        chunked: Whether the body says by itself where it ends.
        encoding: The content encoding; "identity" for none.
        span: Which bytes a partial answer holds; None for others, and where it does not say.
        unsatisfied: The size of the file by a 416, where it says so.
    """

    def __init__(self, client: Client, response: urllib3.BaseHTTPResponse, url: str) -> None:
        self._client = client
        self._response = response
        headers = response.headers
        self.status = response.status
        self.url = url
        tag = _printable(headers.get("ETag", ""))
        self.etag = "" if tag.startswith("W/") else tag
        self.last_modified = _printable(headers.get("Last-Modified", ""))
        self.chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        length = headers.get("Content-Length", "").strip()
        self.length = int(length) if length.isdecimal() and not self.chunked else None
        self.encoding = headers.get("Content-Encoding", "").strip().lower() or "identity"
        found = _SPAN.fullmatch(headers.get("Content-Range", "").strip()) if self.status == 206 else None
        self.span = found and Span(int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3]))
        size = headers.get("Content-Range", "").strip().removeprefix("bytes */")
        self.unsatisfied = int(size) if self.status == 416 and size.isdecimal() else None

    @property
    def version(self) -> str:
        """What tells this version of the file from others: the strong entity tag, or else the date, or ''."""
        return self.etag or self.last_modified

    @property
    def ends_by_itself(self) -> bool:
        """Whether a body that was cut off can be told from a whole one."""
        return self.chunked or self.length is not None

    def read(self, most: int = BLOCK_BYTES) -> bytes:
        """The next bytes of the body, at least one, or b"" at its proper end.

        Raises:
            Hitch: The line broke, or the body ended before its declared length.
        """
        return self._next(most, decode=False)

    def read_decoded(self) -> bytes:
        """The next bytes of the body without its content encoding, or b"" at its proper end."""
        return self._next(BLOCK_BYTES, decode=True)

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self, most: int, decode: bool) -> bytes:
        self._client.check_running()
        with failures(self._client.timeout_s):
            # read1 hands over what has come; read would hold back, and lose in a cut, all but full blocks
            block = self._response.read1(min(most, self._client.block_bytes), decode_content=decode) or b""
        self._client.spend(len(block))
        return block

    def close(self) -> None:
        """Give the connection back, or end it where the body was not read to its end."""
        self._response.close()


class Client:
    """Connections to all hosts, shared by threads, with proxies from the environment and one limit of speed.

    Args:
        timeout_s: Seconds without an answer, or without a byte, after which an attempt has failed.
        attempts: Attempts in a row that may fail without a new byte before an address is given up.
        backoff_s: Seconds before the second attempt; doubled for each further one, less up to a half by chance.
        rate: Bytes a second over all threads, None for no limit.
        workers: Threads that will ask at the same time.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 30.0,
        attempts: int = 5,
        backoff_s: float = 1.0,
        rate: float | None = None,
        workers: int = 4,
    ) -> None:
        self.timeout_s = timeout_s
        self.attempts = max(attempts, 1)
        self.backoff_s = backoff_s
        self.block_bytes = BLOCK_BYTES if rate is None else max(min(BLOCK_BYTES, int(rate / 8)), 1 << 12)
        self._rate = rate
        self._paid_until = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._size = max(workers, 1)
        self._direct = urllib3.PoolManager(maxsize=self._size)
        self._by_proxy: dict[str, urllib3.PoolManager] = {}

    def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (200,),
    ) -> Answer:
        """One request, redirects followed; the caller closes the answer.

        Raises:
            Hitch: What another attempt may mend.
            Failure: What stays so.
        """
        address = usable(url)
        sent = {"User-Agent": f"vidbench/{vidbench.__version__}", "Accept-Encoding": "identity", **(headers or {})}
        for _ in range(_REDIRECTS + 1):
            self.check_running()
            with failures(self.timeout_s):
                response = self._pool(address).urlopen(
                    method,
                    address,
                    headers=sent,
                    timeout=self._timeout,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
            if response.status in _REDIRECT and response.headers.get("Location"):
                response.close()
                address = _next(address, response.headers["Location"])
                continue
            if response.status not in accept:
                try:
                    raise _of_status(response)
                finally:
                    response.close()
            return Answer(self, response, address)
        raise Failure("tool", "redirect", f"redirects more than {_REDIRECTS} times")

    def spend(self, count: int) -> None:
        """Wait until `count` more bytes are within the limit of speed."""
        if self._rate is None or not count:
            return
        with self._lock:
            moment = time.monotonic()
            # time that nobody used is lost, but for a little, so that a pause is not made good by a flood
            self._paid_until = max(self._paid_until, moment - _BURST_S) + count / self._rate
            wait_s = self._paid_until - moment
        if wait_s > 0:
            self.pause(wait_s)

    def pause(self, seconds: float) -> None:
        """Sleep, unless everything is stopped."""
        self._stopped.wait(seconds)
        self.check_running()

    def stop(self) -> None:
        """End all requests of all threads at their next block, and every wait at once."""
        self._stopped.set()

    def check_running(self) -> None:
        """Raise where everything is stopped."""
        if self._stopped.is_set():
            raise Failure("network", "stopped", "stopped on the way")

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            pools = [self._direct, *self._by_proxy.values()]
        for pool in pools:
            pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxies = urllib.request.getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if not proxy or urllib.request.proxy_bypass(parts.netloc):
            return self._direct
        with self._lock:
            if proxy not in self._by_proxy:
                self._by_proxy[proxy] = _proxy_manager(proxy, self._size)
            return self._by_proxy[proxy]


class Patience:
    """How often an address is asked again, and after what waits.

    Attributes:
        asked: Attempts so far, the present one included.
    """

    def __init__(self, client: Client, url: str, reporter: Reporter | None = None) -> None:
        self._client = client
        self._url = url
        self._reporter = reporter or SilentReporter()
        self._fruitless = 0
        self._heard = False
        self.asked = 1

    def after(self, hitch: Hitch, progress: bool) -> None:
        """Wait before another attempt, or give up.

        Args:
            hitch: What went wrong.
            progress: Whether the attempt brought bytes that no attempt had brought before.

        Raises:
            Failure: Another attempt is not worth it.
        """
        self._fruitless = 1 if progress else self._fruitless + 1
        self._heard |= progress
        most, longest_s = self._client.attempts, LONGEST_WAIT_S
        if hitch.kind in _NOBODY and not self._heard:
            most, longest_s = min(most, _QUICK_ATTEMPTS), _QUICK_WAIT_S
        hopeless = (hitch.retry_after_s or 0.0) > _HOPELESS_WAIT_S
        if self._fruitless >= most or hopeless:
            raise self._given_up(hitch) from hitch
        if hitch.retry_after_s is not None:
            wait_s = min(hitch.retry_after_s, LONGEST_WAIT_S)
        else:
            wait_s = min(self._client.backoff_s * 2 ** (self._fruitless - 1), longest_s) * random.uniform(0.5, 1)
        self._reporter.info(f"{self._url}: {hitch.detail}; trying again in {wait_s:.2g} s")
        self._client.pause(wait_s)
        self.asked += 1

    def again(self) -> None:
        """Count another attempt that nothing went wrong before."""
        self.asked += 1

    def failed(self, failure: Failure) -> Failure:
        """A failure that no attempt can mend, with the number of attempts."""
        return Failure(failure.reason, failure.kind, failure.detail, self.asked, failure.retry_after_s)

    def _given_up(self, hitch: Hitch) -> Failure:
        reason = hitch.reason
        if hitch.kind == "truncated" and self._fruitless > 1:
            # not the line: it ends at the same byte, in good order, whenever it is asked
            reason = "corrupt"
        detail = f"{hitch.detail} ({self.asked} attempt{'s' * (self.asked > 1)})"
        return Failure(reason, hitch.kind, detail, self.asked, hitch.retry_after_s)


def usable(url: str) -> str:
    """The address with blanks, unicode and stray per cent signs quoted; what is quoted already stays.

    Raises:
        Failure: It is no http or https address, or one with a user name in it.
    """
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in url):
        raise Failure("tool", "address", "an address with a control character")
    try:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failure("tool", "scheme", "not an http or https address")
        if parts.username is not None:
            raise Failure("tool", "address", "an address with a user name in it, which is not taken")
        port = f":{parts.port}" if parts.port is not None else ""
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    except ValueError as error:
        raise Failure("tool", "address", f"not a usable address: {error}") from error
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host + port, _quoted(parts.path), _quoted(parts.query, "?"), ""))


def retry_after_s(value: str | None) -> float | None:
    """Seconds to wait by a `Retry-After` header (seconds or a date); None without one."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


@contextmanager
def failures(timeout_s: float) -> Iterator[None]:
    """Sort what can go wrong on the way into `Hitch` (worth another attempt) and `Failure`."""
    try:
        yield
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        raise _sorted(error, timeout_s) from error


def _sorted(error: BaseException, timeout_s: float) -> Failure:
    """What an exception of urllib3, or of what lies below it, means."""
    cause = _cause(error)
    if isinstance(error, urllib3.exceptions.ProxyError):
        return Hitch("network", "proxy", f"no way through the proxy: {_said(cause)}")
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return Hitch("network", "dns", f"no such host: {_said(cause)}")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Failure("network", "certificate", f"its certificate is not trusted: {cause.verify_message}")
    if isinstance(cause, ConnectionRefusedError):
        return Hitch("network", "refused", "connection refused")
    if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
        return Hitch("network", "unreachable", _said(cause))
    if isinstance(cause, TimeoutError) or (
        isinstance(error, urllib3.exceptions.TimeoutError)
        and not isinstance(error, urllib3.exceptions.NewConnectionError)
    ):
        return Hitch("network", "timeout", f"timed out after {timeout_s:g} s without a byte")
    if isinstance(cause, ssl.SSLError):
        return Hitch("network", "tls", _said(cause))
    if isinstance(cause, ConnectionError):
        return Hitch("network", "reset", f"the connection broke: {_said(cause)}")
    if isinstance(cause, http.client.IncompleteRead):
        return Hitch("network", "truncated", "the connection broke")
    if isinstance(error, urllib3.exceptions.LocationValueError | UnicodeError):
        return Failure("tool", "address", f"not a usable address: {_said(error)}")
    if isinstance(error, urllib3.exceptions.DecodeError):
        return Hitch("corrupt", "encoding", f"sends what cannot be decoded: {_said(error)}")
    if isinstance(error, urllib3.exceptions.ProtocolError | http.client.HTTPException):
        return Hitch("network", "protocol", f"not an answer in HTTP: {_said(cause)}")
    return Failure("network", "connection", _said(cause))


def _cause(error: BaseException) -> BaseException:
    """The exception at the bottom: urllib3 puts it among the arguments, or names it as the cause."""
    inner = getattr(error, "original_error", None)
    if inner is None:
        inner = next((part for part in error.args if isinstance(part, BaseException)), None) or error.__cause__
    if inner is None or isinstance(error, http.client.HTTPException):
        return error
    return _cause(inner)


def _said(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    text = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return " ".join(text.split())


def _of_status(response: urllib3.BaseHTTPResponse) -> Failure:
    """What a status that is no success means."""
    status, phrase = response.status, " ".join(_printable(response.reason or "").split())
    detail, kind = f"HTTP {status} {phrase}".rstrip(), f"http-{status}"
    wait_s = retry_after_s(response.headers.get("Retry-After"))
    if wait_s is not None:
        detail += f", asks to wait {wait_s:.0f} s"
    # S3 says so in the phrase alone
    if status == 429 or (status == 503 and (wait_s is not None or phrase.lower() == "slow down")):
        return Hitch("throttled", kind, detail, retry_after_s=wait_s)
    if status in (408, 425) or status >= 500:
        return Hitch("network", kind, detail, retry_after_s=wait_s)
    if status in (404, 410):
        return Failure("gone", kind, detail)
    if 400 <= status < 500:
        return Failure("blocked", kind, detail)
    return Failure("network", kind, detail)


def _next(address: str, location: str) -> str:
    """Where a redirect leads: to http and https alone, and never from https back to http."""
    with suppress(UnicodeError):
        # a header is read as latin-1, whatever it is
        location = location.encode("latin-1").decode()
    goal = urljoin(address, location)
    if urlsplit(goal).scheme not in ("http", "https") or (address.startswith("https:") and goal.startswith("http:")):
        raise Failure("tool", "redirect", f"redirects to {_printable(goal)}, which is not followed")
    return usable(goal)


def _proxy_manager(proxy: str, size: int) -> urllib3.PoolManager:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failure("tool", "proxy", f"a proxy of another kind than http or https: {parts.scheme}://{parts.hostname}")
    port = f":{parts.port}" if parts.port else ""
    headers = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=login)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return urllib3.ProxyManager(f"{parts.scheme}://{host}{port}", proxy_headers=headers, maxsize=size)


def _quoted(text: str, also: str = "") -> str:
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text), safe=f"{_SAFE}%{also}")


def _printable(text: str) -> str:
    """A header's value without what could not be sent back or written down."""
    return "".join(sign for sign in text if " " <= sign <= "~").strip()
