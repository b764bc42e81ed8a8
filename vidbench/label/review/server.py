"""The local server of the page: who may ask, and what is answered."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from vidbench.errors import InputError, UsageError, VidbenchError
from vidbench.label.review.edit_kinds import EditError, read_edit, read_step
from vidbench.label.review.pictures import NoPictureError, Pictures
from vidbench.label.review.session import Session, StaleError, UnknownVideoError

HOST = "127.0.0.1"

_MOST_BODY = 2**20
_CROP_HEIGHTS = range(16, 641)
_CROP_HEIGHT = 160
_SECONDS_AROUND = 2

_PAGE = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_PAGE_FILE = re.compile(r"page(?:_[a-z]+)?\.(html|js|css)")
_ID = r"(?P<id>[A-Za-z0-9_-]{1,100})"
_SECOND = r"(?P<second>[0-9]{1,6})"
_GETS = {
    "overview": re.compile("api/set"),
    "rows": re.compile(f"api/video/{_ID}"),
    "clip": re.compile(f"api/video/{_ID}/clip/{_SECOND}"),
    "keyframe": re.compile(rf"img/{_ID}/keyframe/{_SECOND}\.jpg"),
    "crop": re.compile(rf"img/{_ID}/crop/{_SECOND}/(?P<person>[0-9]{{1,6}})\.jpg"),
    "clip_picture": re.compile(rf"img/{_ID}/clip/{_SECOND}/(?P<index>[0-9]{{1,6}})\.jpg"),
}
_POST = re.compile(f"api/video/{_ID}/(?P<what>edit|undo|redo)")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_FRESH = "no-store"
_KEPT = "private, max-age=3600"


class _AnswerError(Exception):
    """An answer that says no."""

    def __init__(self, status: HTTPStatus, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.told: dict[str, object] = {"error": message, **more}


class Server(ThreadingHTTPServer):
    """Serves one set to whoever has the token.

    Attributes:
        session: The set.
        pictures: Its pictures.
        token: The secret part of the address.
        faults: The last faults of this program, a line each.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, session: Session, pictures: Pictures, port: int = 0) -> None:
        """Listen on 127.0.0.1.

        Args:
            session: The set.
            pictures: Its pictures.
            port: 0 for any that is free.

        Raises:
            UsageError: The port cannot be had.
        """
        self.session, self.pictures = session, pictures
        self.token = secrets.token_urlsafe(24)
        self.faults: deque[str] = deque(maxlen=20)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {HOST}:{port}: {error.strerror}",
                "Give another --port, or leave it out.",
            ) from error
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""

    @contextmanager
    def running(self) -> Iterator[str]:
        """Answer in another thread while the context lasts; gives the address."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self.url
        finally:
            self.session.close()
            self.shutdown()
            thread.join()
            self.server_close()
            self.pictures.close()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        """Give the page, a picture or JSON."""
        self._guarded(self._get)

    def do_POST(self) -> None:
        """Make an edit."""
        self._guarded(self._post)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def version_string(self) -> str:
        """What the header `Server` says."""
        return "vidbench"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that is no proper HTTP, or of another method."""
        self.close_connection = True
        self._json(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def _guarded(self, answer: Any) -> None:
        try:
            answer(self._asked())
        except _AnswerError as error:
            self._no(error.status, error.told)
        except UnknownVideoError as error:
            self._no(HTTPStatus.NOT_FOUND, {"error": f"the set has no video {error.args[0]}"})
        except NoPictureError as error:
            self._no(HTTPStatus.NOT_FOUND, {"error": str(error)})
        except EditError as error:
            self._no(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except StaleError as error:
            self._no(HTTPStatus.CONFLICT, {"error": str(error), "revision": error.revision})
        except InputError as error:
            self._no(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
        except VidbenchError as error:
            self._no(HTTPStatus.INSUFFICIENT_STORAGE, {"error": str(error)})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            self.server.faults.append(f"{self.command} {type(error).__name__}: {error}")
            self._no(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"a fault of the program: {error}"})

    def _asked(self) -> str:
        """The path below the token, of a request that may be answered."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0] not in self.server.hosts:
            raise _AnswerError(HTTPStatus.FORBIDDEN, "this host is not served")
        try:
            token, slash, rest = urlsplit(self.path).path.removeprefix("/").partition("/")
        except ValueError:
            raise _AnswerError(HTTPStatus.NOT_FOUND, "not found") from None
        if not secrets.compare_digest(token.encode(), self.server.token.encode()) or not slash:
            raise _AnswerError(HTTPStatus.NOT_FOUND, "not found")
        return rest

    def _get(self, path: str) -> None:
        page = _PAGE_FILE.fullmatch(path or "page.html")
        if page is not None:
            file = resources.files("vidbench.label.review").joinpath(page[0])
            if file.is_file():
                self._send(HTTPStatus.OK, file.read_bytes(), _PAGE[page[1]], _FRESH)
                return
        for name, pattern in _GETS.items():
            found = pattern.fullmatch(path)
            if found is not None:
                self._give(name, found)
                return
        raise _AnswerError(HTTPStatus.NOT_FOUND, "not found")

    def _give(self, name: str, path: re.Match[str]) -> None:
        session, pictures = self.server.session, self.server.pictures
        if name == "overview":
            self._json(HTTPStatus.OK, session.overview())
            return
        video = session.video(path["id"])
        if name == "rows":
            self._json(HTTPStatus.OK, session.rows(video.id))
            return
        second = int(path["second"])
        if name == "clip":
            rows = session.near(video.id, second, _SECONDS_AROUND)
            self._json(HTTPStatus.OK, pictures.clip(video, second, rows))
        elif name == "keyframe":
            self._jpeg(pictures.keyframe(video, second))
        elif name == "clip_picture":
            self._jpeg(pictures.clip_picture(video, second, int(path["index"])))
        else:
            self._crop(video.id, second, int(path["person"]))

    def _crop(self, name: str, second: int, person: int) -> None:
        told = parse_qs(urlsplit(self.path).query).get("h", [str(_CROP_HEIGHT)])[0]
        if not re.fullmatch("[0-9]{1,4}", told) or int(told) not in _CROP_HEIGHTS:
            raise _AnswerError(
                HTTPStatus.BAD_REQUEST, f"h is a height from {_CROP_HEIGHTS[0]} to {_CROP_HEIGHTS[-1]} pixels"
            )
        session = self.server.session
        row = next((row for row in session.near(name, second, 0) if row.person == person), None)
        if row is None:
            raise NoPictureError(f"person {person} has no box at second {second}")
        self._jpeg(self.server.pictures.crop(session.video(name), second, row.box, int(told)))

    def _post(self, path: str) -> None:
        found = _POST.fullmatch(path)
        if found is None:
            raise _AnswerError(HTTPStatus.NOT_FOUND, "not found")
        body = self._body()
        session = self.server.session
        if found["what"] == "edit":
            asked = read_edit(body)
            self._json(HTTPStatus.OK, session.edit(found["id"], asked.revision, asked.edit))
        else:
            do: Literal["undo", "redo"] = "undo" if found["what"] == "undo" else "redo"
            self._json(HTTPStatus.OK, session.step(found["id"], read_step(body).revision, do))

    def _body(self) -> bytes:
        origins = self.headers.get_all("Origin") or []
        if origins and origins != [f"http://{self.headers['Host']}"]:
            raise _AnswerError(HTTPStatus.FORBIDDEN, "another page may not edit the set")
        if self.headers.get_content_type() != "application/json" or "Content-Type" not in self.headers:
            raise _AnswerError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
        length = self.headers.get_all("Content-Length") or []
        if len(length) != 1 or not re.fullmatch("[0-9]{1,12}", length[0]) or "Transfer-Encoding" in self.headers:
            raise _AnswerError(HTTPStatus.LENGTH_REQUIRED, "the length of the body is not told")
        if int(length[0]) > _MOST_BODY:
            raise _AnswerError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {_MOST_BODY} bytes")
        body = self.rfile.read(int(length[0]))
        if len(body) < int(length[0]):
            raise ConnectionError("cut off")
        return body

    def _no(self, status: HTTPStatus, told: dict[str, object]) -> None:
        # the body may not have been read, and would be taken for the next request
        if self.command == "POST":
            self.close_connection = True
        try:
            self._json(status, told)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _json(self, status: HTTPStatus, told: object) -> None:
        data = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        self._send(status, data, "application/json; charset=utf-8", _FRESH)

    def _jpeg(self, data: bytes) -> None:
        self._send(HTTPStatus.OK, data, "image/jpeg", _KEPT)

    def _send(self, status: HTTPStatus, data: bytes, kind: str, keeping: str) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", keeping)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
