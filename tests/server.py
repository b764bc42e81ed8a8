"""A real web server on this machine that misbehaves on purpose, path by path and request by request."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Step:
    """What one GET gets; the plain file, by the rules of ranges, where nothing is said.

    Attributes:
        status: Another status than the file's 200 or 206; `body` is its body.
        headers: More or other headers; an empty value leaves one out.
        body: Other bytes than the file's.
        cut_after: Bytes of the body after which the line is cut.
        orderly: Whether the cut is an orderly end (FIN) and no reset.
        hold_after: Bytes of the body after which nothing comes until `Web.release` is set.
        delay_s: Wait before each block of `block` bytes: a slow link.
        block: See `delay_s`.
        length: The declared length; -1 declares none, the body ends with the connection.
        chunked: Declare no length and send in chunks.
        ignore_range: Send the whole file whatever was asked for.
        ignore_if_range: Send the range of whatever version there is.
        shift: Send, and name, a range that begins so many bytes later than asked.
        most: Send so many bytes of a range at most.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    orderly: bool = False
    hold_after: int | None = None
    delay_s: float = 0.0
    block: int = 1 << 16
    length: int | None = None
    chunked: bool = False
    ignore_range: bool = False
    ignore_if_range: bool = False
    shift: int = 0
    most: int | None = None


@dataclass
class Asked:
    """A request as it came in (headers by any case), and the status that it got."""

    method: str
    path: str
    headers: Message
    status: int = 0

    @property
    def range(self) -> str:
        """The bytes asked for, as "1000-"; empty for all."""
        return self.headers.get("Range", "").removeprefix("bytes=")


@dataclass
class Served:
    """A path of the server.

    Attributes:
        url: Its address.
        data: What it holds now.
        etag: Its entity tag; none where empty.
        last_modified: Its date; none where empty.
        steps: What the next GETs get, one each.
        always: What all further GETs get.
        head: What HEAD gets, where it is not what the file says.
        later: Another version (data, etag) that is there from the given number of GETs on.
        requests: All requests so far.
    """

    url: str
    data: bytes
    etag: str = '"v1"'
    last_modified: str = ""
    steps: list[Step] = field(default_factory=list)
    always: Step = field(default_factory=Step)
    head: Step = field(default_factory=Step)
    later: tuple[int, bytes, str] | None = None
    requests: list[Asked] = field(default_factory=list)

    @property
    def gets(self) -> list[Asked]:
        """The GET requests so far."""
        return [asked for asked in self.requests if asked.method == "GET"]


class Web:
    """The server; `add` paths, then look at their `requests`. With a certificate (and key) it speaks TLS."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.log: list[Asked] = []
        self.release = threading.Event()
        self.held = threading.Event()
        self._paths: dict[str, Served] = {}
        self._lock = threading.Lock()
        self._server = _QuietServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread.start()

    def add(self, path: str, data: bytes = b"", **settings: object) -> Served:
        """Serve `data` under a path (unquoted, with its leading slash); settings are those of `Served`."""
        served = self._paths[path] = Served(self.url + path, data, **settings)  # type: ignore[arg-type]
        return served

    def step(self, **settings: object) -> Step:
        """A `Step`, for tests that cannot import this file."""
        return Step(**settings)  # type: ignore[arg-type]

    def close(self) -> None:
        """End the server."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, asked: Asked) -> tuple[Served | None, Step, bytes, str]:
        """Log a request and say what it gets: the path, the step, and the version that is there."""
        path = unquote(urlsplit(asked.path).path)
        with self._lock:
            self.log.append(asked)
            served = self._paths.get(path)
            if served is None:
                return None, Step(status=404), b"", ""
            served.requests.append(asked)
            if asked.method == "HEAD":
                return served, served.head, served.data, served.etag
            if served.later is not None and len(served.gets) > served.later[0]:
                served.data, served.etag = served.later[1:]
            return served, served.steps.pop(0) if served.steps else served.always, served.data, served.etag


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        return None


def _handler_of(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = Asked(self.command, self.path, self.headers)
            served, step, data, etag = web.take(asked)
            if step.status is not None or served is None:
                asked.status = step.status or 404
                self._send(asked.status, step.headers, step.body or b"", step)
                return
            headers = {"ETag": etag, "Last-Modified": served.last_modified, "Accept-Ranges": "bytes"}
            data = data if step.body is None else step.body
            condition = self.headers.get("If-Range")
            same = condition is None or condition in (etag, served.last_modified) or step.ignore_if_range
            asked.status = 200
            if self.headers.get("Range") and same and not step.ignore_range:
                first, _, last = asked.range.partition("-")
                start = int(first) + step.shift
                if start >= len(data):
                    asked.status, headers = 416, {"Content-Range": f"bytes */{len(data)}"}
                    self._send(416, headers, b"", step)
                    return
                end = min(int(last) + 1 if last else len(data), len(data))
                end = end if step.most is None else min(end, start + step.most)
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
                asked.status, data = 206, data[start:end]
            self._send(asked.status, {**headers, **step.headers}, data, step)

        do_HEAD = do_GET

        def _send(self, status: int, headers: dict[str, str], body: bytes, step: Step) -> None:
            self.send_response(status, headers.pop("phrase", None) if "phrase" in headers else None)
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            if step.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif step.length != -1:
                self.send_header("Content-Length", str(len(body) if step.length is None else step.length))
            if step.length is not None:
                self.close_connection = True
            self.end_headers()
            if self.command == "HEAD":
                return
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._body(body, step)

        def _body(self, body: bytes, step: Step) -> None:
            sent = 0
            for stop, what in sorted(
                (at, what)
                for at, what in ((step.hold_after, "hold"), (step.cut_after, "cut"), (len(body), "end"))
                if at is not None and at <= len(body)
            ):
                self._write(body[sent:stop], step)
                sent = stop
                if what == "hold":
                    web.held.set()
                    web.release.wait(30)
                elif what == "cut":
                    self._cut(step.orderly)
                    return
            if step.chunked:
                self.wfile.write(b"0\r\n\r\n")

        def _write(self, data: bytes, step: Step) -> None:
            size = step.block if step.delay_s or step.chunked else max(len(data), 1)
            for start in range(0, len(data), size):
                time.sleep(step.delay_s)
                block = data[start : start + size]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if step.chunked else block)
            self.wfile.flush()

        def _cut(self, orderly: bool) -> None:
            self.close_connection = True
            if not orderly:
                # a reset; what the other side has received already stays readable there
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                time.sleep(0.02)
            self.connection.close()

        def log_message(self, format: str, *args: object) -> None:
            return None

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    return Handler
