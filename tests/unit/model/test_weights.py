"""Downloads from a real server on this machine that misbehaves on demand; nothing leaves the machine."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import vidbench
from vidbench.cache import weights_dir
from vidbench.errors import InputError, MissingError, NetworkError, UnknownNameError, UsageError
from vidbench.model.sniff import sniff
from vidbench.model.weights import (
    PullRequest,
    download,
    files_of,
    listing,
    locate,
    parse_name,
    published,
    pull,
    require,
    tags,
    verify,
)
from vidbench.model.zoo import MODELS, ModelCard, Preprocess, Published

PAGE = b"<!DOCTYPE html><html><body>Please log in.</body></html>" * 20


def safetensors_bytes(seed: int, size: int = 3_000_000) -> bytes:
    """A valid safetensors file with one tensor of `size` random bytes."""
    header = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Answer:
    """What one request gets; requests beyond the list get the plain file."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    hold_after: int | None = None
    declared_length: int | None = None
    chunked: bool = False
    ignore_range: bool = False
    ignore_if_range: bool = False


@dataclass
class Store:
    """The server's side: what it holds, how it behaves, and what it was asked."""

    url: str = ""
    data: bytes = b""
    etag: str = '"v1"'
    last_modified: str = ""
    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


def handler_of(store: Store) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            store.requests.append((self.path, dict(self.headers)))
            answer = store.answers.pop(0) if store.answers else Answer()
            if answer.status != 200:
                self._send(answer.status, answer.headers, answer.body or b"", answer)
                return
            headers = {"ETag": store.etag, "Last-Modified": store.last_modified, **answer.headers}
            data = store.data if answer.body is None else answer.body
            wanted = self.headers.get("Range")
            condition = self.headers.get("If-Range")
            same = condition in (store.etag, store.last_modified) or condition is None or answer.ignore_if_range
            if wanted and same and not answer.ignore_range:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(data):
                    self._send(416, {"Content-Range": f"bytes */{len(data)}"}, b"", answer)
                    return
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                self._send(206, headers, data[start:], answer)
                return
            self._send(200, headers, data, answer)

        def _send(self, status: int, headers: dict[str, str], body: bytes, answer: Answer) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif answer.declared_length != -1:
                length = len(body) if answer.declared_length is None else answer.declared_length
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if answer.chunked:
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
                return
            if answer.hold_after is not None:
                self._write(body[: answer.hold_after])
                store.held.set()
                store.release.wait(30)
                body = body[answer.hold_after :]
            if answer.cut_after is not None:
                self._write(body[: answer.cut_after])
                self.close_connection = True
                # a reset, not an orderly end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                time.sleep(0.05)
                self.connection.close()
                return
            self._write(body)
            if answer.declared_length is not None:
                self.close_connection = True

        def _write(self, data: bytes) -> None:
            try:
                self.wfile.write(data)
                self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            return None

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    return Handler


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        return None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: no cache, no torch hub, no proxy, no mirror."""
    for name in ("HOME", "VIDBENCH_HOME", "TORCH_HOME"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    for name in ("XDG_CACHE_HOME", "VIDBENCH_MIRROR", "VIDBENCH_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "vidbench_home" / "weights"


@pytest.fixture
def serve() -> Iterator[Callable[..., Store]]:
    running = []

    def start(**settings: object) -> Store:
        store = Store(**settings)  # type: ignore[arg-type]
        server = QuietServer(("127.0.0.1", 0), handler_of(store))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        store.url = f"http://127.0.0.1:{server.server_port}"
        running.append((store, server, thread))
        return store

    yield start
    for store, server, thread in running:
        store.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Notes:
    """A reporter that keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.totals: list[tuple[float, float | None]] = []

    def task(self, title: str, total: float | None, unit: str) -> Notes:
        self.totals.append((0.0, total))
        return self

    def __enter__(self) -> Notes:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, amount: float = 1, note: str = "") -> None:
        done, total = self.totals[-1]
        self.totals[-1] = (done + amount, total)

    def info(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.said.append(f"warning: {message}")


def card(*urls: str, sha256: str = "", file: str = "X3D_XS.pyth") -> ModelCard:
    def build(num_classes: int) -> object:
        raise AssertionError("not built here")

    return ModelCard(
        name="x3d_xs",
        family="X3D",
        preprocess=Preprocess(4, 12, 182, 160, 182),
        num_classes=400,
        labels="kinetics400",
        parameters_m=3.79,
        build=build,  # type: ignore[arg-type]
        published=Published(urls, file, 69.12, 88.63, "10x3", "zoo", "Apache-2.0", sha256),
    )


def fetch(store: Store, target: Path, **options: object) -> object:
    target.parent.mkdir(parents=True, exist_ok=True)
    return download((f"{store.url}/{target.name}",), target, backoff_s=0.01, **options)  # type: ignore[arg-type]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# --- one download ------------------------------------------------------------------------------------------


def test_file_is_whole_and_recorded(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(1)
    store = serve(data=data, last_modified="Wed, 01 Jan 2025 00:00:00 GMT")
    notes = Notes()
    target = tmp_path / "get" / "a.pyth"

    received = fetch(store, target, reporter=notes)

    assert target.read_bytes() == data
    record = json.loads((target.parent / "a.pyth.json").read_text())
    assert record.pop("time")
    assert record == {
        "url": f"{store.url}/a.pyth",
        "size": len(data),
        "sha256": digest(data),
        "etag": '"v1"',
        "last_modified": "Wed, 01 Jan 2025 00:00:00 GMT",
    }
    assert received.sha256 == digest(data)  # type: ignore[attr-defined]
    assert names_in(target.parent) == {"a.pyth", "a.pyth.json"}
    (done, total) = notes.totals[0]
    assert done == pytest.approx(len(data) / 1e6)
    assert total == pytest.approx(len(data) / 1e6)


@pytest.mark.parametrize("cut", [100_000, 1_500_000, 2_999_999])
def test_cut_connection_resumes_where_it_stopped(serve: Callable[..., Store], tmp_path: Path, cut: int) -> None:
    data = safetensors_bytes(2)
    store = serve(data=data, answers=[Answer(cut_after=cut)])
    target = tmp_path / "get" / "a.pyth"
    target.parent.mkdir()

    notes = Notes()
    fetch(store, target, reporter=notes)

    assert target.read_bytes() == data
    assert len(store.requests) == 2
    asked = store.requests[1][1]
    if "Range" in asked:
        start = int(asked["Range"].removeprefix("bytes=").removesuffix("-"))
        assert 0 < start < len(data)
        assert asked["If-Range"] == '"v1"'
    assert any("trying again" in line for line in notes.said)


def test_orderly_end_before_the_declared_length_resumes(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(3)
    short = Answer(body=data[:1_000_000], declared_length=len(data))
    store = serve(data=data, answers=[short])
    target = tmp_path / "get" / "a.pyth"

    fetch(store, target)

    assert target.read_bytes() == data
    assert store.requests[1][1]["Range"] == "bytes=1000000-"


def test_later_call_resumes_the_part_of_an_earlier_one(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(4)
    short = Answer(body=data[:2_000_000], declared_length=len(data))
    store = serve(data=data, answers=[short])
    target = tmp_path / "get" / "a.pyth"
    with pytest.raises(NetworkError, match="2000000 of"):
        fetch(store, target, attempts=1)
    assert names_in(target.parent) == {"a.pyth.part", "a.pyth.part.json"}

    fetch(store, target)

    assert target.read_bytes() == data
    assert store.requests[1][1]["Range"] == "bytes=2000000-"
    assert names_in(target.parent) == {"a.pyth", "a.pyth.json"}


def test_last_modified_stands_in_for_a_missing_or_weak_tag(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(5)
    short = Answer(body=data[:1_500_000], declared_length=len(data))
    date = "Wed, 01 Jan 2025 00:00:00 GMT"
    store = serve(data=data, etag='W/"v1"', last_modified=date, answers=[short])
    target = tmp_path / "get" / "a.pyth"

    fetch(store, target)

    assert target.read_bytes() == data
    assert store.requests[1][1]["If-Range"] == date


def test_version_without_any_mark_is_never_continued(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(6)
    short = Answer(body=data[:1_500_000], declared_length=len(data))
    store = serve(data=data, etag="", answers=[short])
    target = tmp_path / "get" / "a.pyth"

    fetch(store, target)

    assert target.read_bytes() == data
    assert "Range" not in store.requests[1][1]


@pytest.mark.parametrize("careless", [False, True], ids=["honours-if-range", "ignores-if-range"])
def test_changed_object_starts_anew(serve: Callable[..., Store], tmp_path: Path, careless: bool) -> None:
    old, new = safetensors_bytes(7), safetensors_bytes(8)
    store = serve(data=old, answers=[Answer(body=old[:2_000_000], declared_length=len(old))])
    target = tmp_path / "get" / "a.pyth"
    with pytest.raises(NetworkError):
        fetch(store, target, attempts=1)
    store.data, store.etag = new, '"v2"'
    store.answers = [Answer(ignore_if_range=careless)]

    fetch(store, target)

    assert target.read_bytes() == new
    assert json.loads((target.parent / "a.pyth.json").read_text())["etag"] == '"v2"'


def test_object_that_shrank_starts_anew(serve: Callable[..., Store], tmp_path: Path) -> None:
    old, new = safetensors_bytes(9), safetensors_bytes(10, size=500_000)
    store = serve(data=old, answers=[Answer(body=old[:2_000_000], declared_length=len(old))])
    target = tmp_path / "get" / "a.pyth"
    with pytest.raises(NetworkError):
        fetch(store, target, attempts=1)
    store.data = new
    store.answers = [Answer(ignore_if_range=True)]

    fetch(store, target)

    assert target.read_bytes() == new


def test_server_without_ranges_starts_anew(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(11)
    first = Answer(body=data[:2_000_000], declared_length=len(data))
    store = serve(data=data, answers=[first, Answer(ignore_range=True)])
    target = tmp_path / "get" / "a.pyth"

    fetch(store, target)

    assert target.read_bytes() == data


def test_part_that_was_whole_at_the_kill_needs_no_request(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(12)
    store = serve(data=data)
    target = tmp_path / "get" / "a.pyth"
    target.parent.mkdir()
    (target.parent / "a.pyth.part").write_bytes(data)
    facts = {"url": f"{store.url}/a.pyth", "etag": '"v1"', "last_modified": "", "total": len(data)}
    (target.parent / "a.pyth.part.json").write_text(json.dumps(facts))

    fetch(store, target)

    assert target.read_bytes() == data
    assert store.requests == []


def test_damaged_whole_part_is_fetched_again(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(12)
    store = serve(data=data)
    target = tmp_path / "get" / "a.pyth"
    target.parent.mkdir()
    (target.parent / "a.pyth.part").write_bytes(bytes(len(data)))
    facts = {"url": f"{store.url}/a.pyth", "etag": '"v1"', "last_modified": "", "total": len(data)}
    (target.parent / "a.pyth.part.json").write_text(json.dumps(facts))

    fetch(store, target)

    assert target.read_bytes() == data


@pytest.mark.parametrize("facts", ["", "[1]", "{}", '{"url": 3}', '{"url": "u", "etag": "e", "total": "x"}'])
def test_unreadable_facts_of_a_part_start_anew(serve: Callable[..., Store], tmp_path: Path, facts: str) -> None:
    data = safetensors_bytes(13)
    store = serve(data=data)
    target = tmp_path / "get" / "a.pyth"
    target.parent.mkdir()
    (target.parent / "a.pyth.part").write_bytes(b"old")
    (target.parent / "a.pyth.part.json").write_text(facts)

    fetch(store, target)

    assert target.read_bytes() == data


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_busy_server_is_asked_again(serve: Callable[..., Store], tmp_path: Path, status: int) -> None:
    data = safetensors_bytes(14)
    store = serve(data=data, answers=[Answer(status), Answer(status)])
    target = tmp_path / "get" / "a.pyth"

    fetch(store, target)

    assert target.read_bytes() == data
    assert len(store.requests) == 3


def test_retry_after_is_honoured(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(14)
    store = serve(data=data, answers=[Answer(503, {"Retry-After": "1"})])
    started = time.monotonic()

    fetch(store, tmp_path / "get" / "a.pyth")

    assert 1.0 <= time.monotonic() - started < 10


def test_attempts_are_bounded(serve: Callable[..., Store], tmp_path: Path) -> None:
    store = serve(data=safetensors_bytes(15), answers=[Answer(503) for _ in range(20)])

    with pytest.raises(NetworkError, match=r"HTTP 503 .*\(3 attempts\)"):
        fetch(store, tmp_path / "get" / "a.pyth", attempts=3)

    assert len(store.requests) == 3


def test_silent_server_times_out_and_is_asked_again(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(16)
    store = serve(data=data, answers=[Answer(hold_after=1_000_000)])
    notes = Notes()
    target = tmp_path / "get" / "a.pyth"

    fetch(store, target, timeout_s=0.3, reporter=notes)

    assert target.read_bytes() == data
    assert any("timed out" in line for line in notes.said)
    assert store.requests[1][1]["Range"] == "bytes=1000000-"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusal_is_not_asked_again_and_every_address_is_named(
    serve: Callable[..., Store], tmp_path: Path, status: int
) -> None:
    first, second = serve(answers=[Answer(status)]), serve(answers=[Answer(404)])
    target = tmp_path / "a.pyth"

    with pytest.raises(NetworkError) as caught:
        download((f"{first.url}/a.pyth", f"{second.url}/b.pyth"), target, backoff_s=0.01)

    assert f"{first.url}/a.pyth: HTTP {status}" in caught.value.message
    assert f"{second.url}/b.pyth: HTTP 404" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 7
    assert len(first.requests) == len(second.requests) == 1
    assert names_in(tmp_path) & {"a.pyth", "a.pyth.part"} == set()


def test_next_address_serves_what_the_first_one_lacks(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(17)
    first, second = serve(answers=[Answer(404)]), serve(data=data)
    target = tmp_path / "a.pyth"

    received = download((f"{first.url}/a.pyth", f"{second.url}/a.pyth"), target)

    assert target.read_bytes() == data
    assert received.url == f"{second.url}/a.pyth"


def test_parts_of_two_addresses_are_never_mixed(serve: Callable[..., Store], tmp_path: Path) -> None:
    old, new = safetensors_bytes(18), safetensors_bytes(19)
    # equal tags, other bytes: a tag means something at its own address alone
    first = serve(data=old, answers=[Answer(body=old[:2_000_000], declared_length=len(old))])
    second = serve(data=new)
    target = tmp_path / "a.pyth"

    download((f"{first.url}/a.pyth", f"{second.url}/a.pyth"), target, attempts=1)

    assert target.read_bytes() == new


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(NetworkError, match="refused"):
            download((f"http://127.0.0.1:{port}/a.pyth",), tmp_path / "a.pyth", backoff_s=5)
    assert time.monotonic() - started < 4


def test_web_page_is_no_weights_and_costs_no_part(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(20)
    store = serve(data=data, answers=[Answer(body=data[:2_000_000], declared_length=len(data))])
    target = tmp_path / "get" / "a.pyth"
    with pytest.raises(NetworkError):
        fetch(store, target, attempts=1)
    store.answers = [Answer(body=PAGE, ignore_range=True, headers={"ETag": '"page"'})]

    with pytest.raises(NetworkError, match="web page"):
        fetch(store, target)

    assert not target.exists()
    fetch(store, target)
    assert target.read_bytes() == data
    assert store.requests[2][1]["Range"] == "bytes=2000000-"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"hello", "no weights"),
        (b"\x80\x02}q\x00X\x05\x00\x00\x00blobsq\x01}q\x02s.", "no weights"),
        (safetensors_bytes(21)[:8] + b'{"x":' + bytes(10), "not all of them"),
        (b"PK\x03\x04" + bytes(5000), "not all of them"),
    ],
    ids=["empty", "text", "pickle", "half-safetensors", "half-zip"],
)
def test_other_content_is_refused_and_not_kept(
    serve: Callable[..., Store], tmp_path: Path, body: bytes, reason: str
) -> None:
    store = serve(data=body)
    target = tmp_path / "get" / "a.pyth"

    with pytest.raises(NetworkError, match=reason):
        fetch(store, target)

    assert names_in(target.parent) == set()


def test_wrong_checksum_is_an_error_and_not_kept(serve: Callable[..., Store], tmp_path: Path) -> None:
    store = serve(data=safetensors_bytes(22))
    target = tmp_path / "get" / "a.pyth"

    with pytest.raises(NetworkError, match=f"expected {'0' * 64}") as caught:
        fetch(store, target, sha256="0" * 64)

    assert caught.value.exit_code == 7
    assert names_in(target.parent) == set()


@pytest.mark.parametrize("to", ["file:///etc/hostname", "ftp://127.0.0.1/a.pyth", "data:text/plain,x"])
def test_redirect_to_another_scheme_is_not_followed(serve: Callable[..., Store], tmp_path: Path, to: str) -> None:
    store = serve(answers=[Answer(302, {"Location": to})])
    target = tmp_path / "get" / "a.pyth"

    with pytest.raises(NetworkError, match=to.partition(":")[0]):
        fetch(store, target)

    assert names_in(target.parent) == set()


def test_redirect_to_http_keeps_the_range(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(23)
    there = serve(data=data, answers=[Answer(body=data[:1_000_000], declared_length=len(data))])
    moved = {"Location": f"{there.url}/elsewhere"}
    here = serve(answers=[Answer(302, moved), Answer(302, moved)])
    target = tmp_path / "get" / "a.pyth"

    fetch(here, target)

    assert target.read_bytes() == data
    assert there.requests[1][1]["Range"] == "bytes=1000000-"


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "/etc/hostname"])
def test_address_of_another_scheme_is_not_opened(tmp_path: Path, url: str) -> None:
    with pytest.raises(NetworkError, match="not an http or https address"):
        download((url,), tmp_path / "a.pyth")


def test_chunked_answer_is_whole(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(24)
    store = serve(data=data, answers=[Answer(chunked=True)])
    target = tmp_path / "get" / "a.pyth"

    fetch(store, target)

    assert target.read_bytes() == data


def test_answer_of_unknown_length_needs_a_checksum(serve: Callable[..., Store], tmp_path: Path) -> None:
    data = safetensors_bytes(25)
    store = serve(data=data, answers=[Answer(declared_length=-1), Answer(declared_length=-1)])
    target = tmp_path / "get" / "a.pyth"

    with pytest.raises(NetworkError, match="how long"):
        fetch(store, target)
    fetch(store, target, sha256=digest(data))

    assert target.read_bytes() == data


# --- the cache ---------------------------------------------------------------------------------------------


def test_nothing_is_here_at_first(home: Path) -> None:
    assert locate(card("http://127.0.0.1:9/a")) is None
    rows = listing()
    assert {row.name for row in rows} >= {"x3d_m", "slow_r50", "mvit_v2_s"}
    assert {row.where for row in rows} == {"missing"}
    assert verify().weights == ()
    assert not home.exists()


def test_missing_weights_say_how_to_get_them() -> None:
    with pytest.raises(MissingError) as caught:
        require(MODELS.get("x3d_m"))

    assert caught.value.exit_code == 4
    assert caught.value.message == "the pretrained weights of x3d_m are not here (X3D_M.pyth)"
    for part in ("vidbench weights pull x3d_m", "--mirror URL", "--from FILE", "--weights random"):
        assert part in caught.value.remedy


def test_pull_through_a_mirror_then_everything_knows_it(serve: Callable[..., Store], home: Path) -> None:
    data = safetensors_bytes(30)
    store = serve(data=data)

    first = pull(PullRequest(names=("x3d_m",), mirror=f"{store.url}/base/"))
    again = pull(PullRequest(names=("x3d_m",), mirror=store.url))

    assert [item.action for item in (*first.weights, *again.weights)] == ["downloaded", "present"]
    assert [path for path, _ in store.requests] == ["/base/X3D_M.pyth"]
    assert require(MODELS.get("x3d_m")) == home / "X3D_M.pyth"
    row = {row.name: row for row in listing()}["x3d_m"]
    assert (row.where, row.size, row.sha256) == ("cache", len(data), digest(data))
    assert [(item.name, item.status) for item in verify().weights] == [("x3d_m", "ok")]


def test_mirror_by_variable(serve: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    store = serve(data=safetensors_bytes(31))
    monkeypatch.setenv("VIDBENCH_MIRROR", store.url)

    pull(PullRequest(names=("x3d_xs", "x3d_s")))

    assert [path for path, _ in store.requests] == ["/X3D_XS.pyth", "/X3D_S.pyth"]


def test_require_downloads_only_when_told(serve: Callable[..., Store], home: Path) -> None:
    data = safetensors_bytes(32)
    store = serve(data=data)
    wanted = card(f"{store.url}/X3D_XS.pyth", sha256=digest(data))
    with pytest.raises(MissingError):
        require(wanted)
    assert store.requests == []

    assert require(wanted, pull=True) == home / "X3D_XS.pyth"
    assert require(wanted) == home / "X3D_XS.pyth"
    assert len(store.requests) == 1


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_offline_never_connects(serve: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    store = serve(data=safetensors_bytes(33))
    monkeypatch.setenv("VIDBENCH_OFFLINE", value)

    with pytest.raises(MissingError, match="VIDBENCH_OFFLINE"):
        pull(PullRequest(names=("x3d_m",), mirror=store.url))
    with pytest.raises(MissingError, match="VIDBENCH_OFFLINE"):
        require(card(f"{store.url}/X3D_XS.pyth"), pull=True)
    assert store.requests == []

    monkeypatch.setenv("VIDBENCH_OFFLINE", "0")
    pull(PullRequest(names=("x3d_m",), mirror=store.url))
    assert len(store.requests) == 1


def test_torch_hub_is_read_and_never_written(
    serve: Callable[..., Store], tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = safetensors_bytes(34)
    hub = tmp_path / "torch_home" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / "X3D_XS.pyth").write_bytes(data)
    store = serve()

    assert locate(card("http://127.0.0.1:9/a")) == hub / "X3D_XS.pyth"
    assert locate(card("http://127.0.0.1:9/a", sha256=digest(data))) == hub / "X3D_XS.pyth"
    assert locate(card("http://127.0.0.1:9/a", sha256="0" * 64)) is None
    assert {row.name: row.where for row in listing()}["x3d_xs"] == "torch hub"
    assert pull(PullRequest(names=("x3d_xs",), mirror=store.url)).weights[0].action == "present"
    assert store.requests == []
    assert [(item.name, item.status) for item in verify().weights] == [("x3d_xs", "unrecorded")]
    assert names_in(hub) == {"X3D_XS.pyth"}

    # the two other places torch itself would look, in its order
    monkeypatch.delenv("TORCH_HOME")
    assert locate(card("http://127.0.0.1:9/a")) is None
    fallback = tmp_path / "home" / ".cache" / "torch" / "hub" / "checkpoints"
    fallback.mkdir(parents=True)
    (fallback / "X3D_XS.pyth").write_bytes(data)
    assert locate(card("http://127.0.0.1:9/a")) == fallback / "X3D_XS.pyth"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert locate(card("http://127.0.0.1:9/a")) is None


def test_empty_file_is_no_weights(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "X3D_M.pyth").touch()

    with pytest.raises(MissingError, match="damaged"):
        require(MODELS.get("x3d_m"))


def test_damaged_file_is_told_and_brought_again(serve: Callable[..., Store], home: Path) -> None:
    data = safetensors_bytes(35)
    store = serve(data=data)
    pull(PullRequest(names=("x3d_m",), mirror=store.url))
    path = home / "X3D_M.pyth"
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    found = verify(("x3d_m", "x3d_l"))
    assert [(item.name, item.status) for item in found.weights] == [("x3d_m", "changed"), ("x3d_l", "missing")]
    assert found.failed == 2
    assert {row.name: row.where for row in listing()}["x3d_m"] == "damaged"
    with pytest.raises(MissingError, match="damaged"):
        require(MODELS.get("x3d_m"))

    notes = Notes()
    pull(PullRequest(names=("x3d_m",), mirror=store.url), notes)
    assert path.read_bytes() == data
    assert any(line.startswith("warning: ") and "damaged" in line for line in notes.said)
    assert verify().failed == 0


def test_other_file_than_recorded_is_told(serve: Callable[..., Store], home: Path) -> None:
    old, new = safetensors_bytes(36), safetensors_bytes(37)
    store = serve(data=old)
    pull(PullRequest(names=("x3d_m",), mirror=store.url))
    (home / "X3D_M.pyth").write_bytes(b"damaged")
    store.data, store.etag = new, '"v2"'
    notes = Notes()

    pull(PullRequest(names=("x3d_m",), mirror=store.url), notes)

    assert any(digest(old) in line and digest(new) in line for line in notes.said)


def test_local_file_is_copied_and_recorded(tmp_path: Path, home: Path) -> None:
    data = safetensors_bytes(38)
    source = tmp_path / "mine.bin"
    source.write_bytes(data)

    first = pull(PullRequest(names=("x3d_m",), file=source))
    again = pull(PullRequest(names=("x3d_m",), file=source))

    assert [item.action for item in (*first.weights, *again.weights)] == ["copied", "present"]
    assert (home / "X3D_M.pyth").read_bytes() == data == source.read_bytes()
    assert [item.status for item in verify().weights] == ["ok"]
    assert names_in(home) == {"X3D_M.pyth", "X3D_M.pyth.json", "X3D_M.pyth.lock"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PAGE, "neither a safetensors"),
        (b"", "neither a safetensors"),
        (b"\x80\x02}q\x00X\x05\x00\x00\x00blobsq\x01}q\x02s.", "bare pickle"),
        (None, "no such file"),
    ],
    ids=["page", "empty", "pickle", "absent"],
)
def test_local_file_that_is_no_weights(tmp_path: Path, home: Path, content: bytes | None, reason: str) -> None:
    source = tmp_path / "mine.pyth"
    if content is not None:
        source.write_bytes(content)

    with pytest.raises(InputError, match=reason):
        pull(PullRequest(names=("x3d_m",), file=source))

    assert names_in(home) == {"X3D_M.pyth.lock"}


def test_requests_that_make_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="one model"):
        pull(PullRequest(names=("x3d_m", "x3d_s"), file=tmp_path / "a"))
    with pytest.raises(UsageError, match="exclude"):
        pull(PullRequest(names=("x3d_m",), file=tmp_path / "a", mirror="http://127.0.0.1:9"))
    with pytest.raises(UnknownNameError, match="x3d_mm"):
        pull(PullRequest(names=("x3d_m", "x3d_mm"), mirror="http://127.0.0.1:9"))
    with pytest.raises(InputError, match="no weights are published for x3d_tiny"):
        pull(PullRequest(names=("x3d_tiny",), mirror="http://127.0.0.1:9"))
    for mirror in (
        "ftp://a/b",
        "file:///etc",
        "a.b/c",
        "http://",
        "http://u:p@a/b",
        "http://a/b?token=x",
        "http://a:x",
    ):
        with pytest.raises(UsageError, match="--mirror"):
            pull(PullRequest(names=("x3d_m",), mirror=mirror))
    monkeypatch.setenv("VIDBENCH_MIRROR", "ftp://a/b")
    with pytest.raises(UsageError, match="VIDBENCH_MIRROR"):
        pull(PullRequest(names=("x3d_m",)))


# --- several processes, and a kill -------------------------------------------------------------------------

CHILD = """
import sys
from vidbench.model.weights import PullRequest, pull

class Loud:
    def task(self, title, total, unit):
        return self
    def __enter__(self):
        return self
    def __exit__(self, *_):
        return None
    def advance(self, amount=1, note=""):
        return None
    def info(self, message):
        print(message, flush=True)
    warn = info

print(pull(PullRequest(names=("x3d_m",), mirror=sys.argv[1]), Loud()).weights[0].action, flush=True)
"""


def child(url: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(vidbench.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def test_two_processes_download_once(serve: Callable[..., Store], home: Path) -> None:
    data = safetensors_bytes(40)
    store = serve(data=data, answers=[Answer(hold_after=1_000_000)])
    with child(store.url) as first:
        assert store.held.wait(60)
        with child(store.url) as second:
            assert second.stdout is not None
            assert "waiting for another process" in second.stdout.readline()
            store.release.set()
            assert first.communicate(timeout=60)[0].strip() == "downloaded"
            assert second.communicate(timeout=60)[0].strip() == "present"

    assert (first.returncode, second.returncode) == (0, 0)
    assert len(store.requests) == 1
    assert (home / "X3D_M.pyth").read_bytes() == data


def test_killed_download_resumes(serve: Callable[..., Store], home: Path) -> None:
    data = safetensors_bytes(41)
    store = serve(data=data, answers=[Answer(hold_after=2_000_000)])
    with child(store.url) as first:
        assert store.held.wait(60)
        part = home / "X3D_M.pyth.part"
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size == 2_000_000):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait(30)
    store.release.set()
    assert locate(MODELS.get("x3d_m")) is None

    pull(PullRequest(names=("x3d_m",), mirror=store.url))

    assert (home / "X3D_M.pyth").read_bytes() == data
    assert store.requests[1][1]["Range"] == "bytes=2000000-"
    assert names_in(home) == {"X3D_M.pyth", "X3D_M.pyth.json", "X3D_M.pyth.lock"}


FULL = """
import subprocess, sys
from vidbench.cache import weights_dir
from vidbench.errors import MissingError
from vidbench.model.weights import PullRequest, pull

request = PullRequest(names=("x3d_m",), mirror=sys.argv[1])
try:
    pull(request)
except MissingError as error:
    print(error.message)
print(sorted(path.name for path in weights_dir().iterdir()))
print((weights_dir() / "X3D_M.pyth.part").stat().st_size)
subprocess.run(["mount", "-o", "remount,size=16m", str(weights_dir().parent)], check=True)
print(pull(request).weights[0].sha256)
"""


def can_mount() -> bool:
    """Whether this machine lets a process have a small disk of its own."""
    try:
        command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def test_full_disk_says_so_and_keeps_the_part(serve: Callable[..., Store], home: Path) -> None:
    if not can_mount():
        pytest.skip("needs a disk of its own: unshare and mount")
    data = safetensors_bytes(42)
    store = serve(data=data)
    script = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$4"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(home.parent), sys.executable, FULL, store.url]
    path = os.pathsep.join([str(Path(vidbench.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": path}
    )

    assert done.returncode == 0, done.stderr
    message, names, size, sha256 = done.stdout.splitlines()
    assert message.startswith("no space left on the disk of ")
    assert names == "['X3D_M.pyth.lock', 'X3D_M.pyth.part', 'X3D_M.pyth.part.json']"
    assert 500_000 < int(size) <= 1_048_576
    assert sha256 == digest(data)
    assert store.requests[1][1]["Range"] == f"bytes={size}-"


# --- what a file is ----------------------------------------------------------------------------------------


def test_sniff_looks_at_content_not_at_the_name(tmp_path: Path) -> None:
    import torch

    state = {"model_state": {"a": torch.zeros(3)}}
    contents = {}
    for kind, zipped in (("torch-zip", True), ("torch-legacy", False)):
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
        contents[kind] = buffer.getvalue()
    contents["safetensors"] = safetensors_bytes(50, size=64)
    contents["pickle"] = b"\x80\x02}q\x00X\x05\x00\x00\x00blobsq\x01}q\x02s."
    path = tmp_path / "a.safetensors"
    for kind, content in contents.items():
        path.write_bytes(content)
        assert sniff(path) == kind
    for other in (b"", PAGE, contents["torch-zip"][:-30], bytes(100), b"\x89PNG\r\n\x1a\n" + bytes(50)):
        path.write_bytes(other)
        assert sniff(path) == "unknown"


# --- several published files -------------------------------------------------------------------------------


def several(store: Store) -> ModelCard:
    """A model with three published files, two of them in folders of one name."""
    first = card(f"{store.url}/X3D_XS.pyth")
    others = tuple(
        Published(
            (f"{store.url}/{folder}/a.{ending}",), f"{folder}/a.{ending}", 1.0, None, "10x3", "zoo", "MIT", tag=folder
        )
        for folder, ending in (("one", "pyth"), ("two", "pkl"))
    )
    return replace(first, others=others)


def test_a_tag_means_its_file_and_no_other(serve: Callable[..., Store], home: Path) -> None:
    data = safetensors_bytes(50, 5000)
    store = serve(data=data)
    wanted = several(store)

    assert require(wanted, pull=True, tag="one") == home / "one" / "a.pyth"

    assert [path for path, _ in store.requests] == ["/one/a.pyth"]
    assert require(wanted, tag="one").read_bytes() == data
    assert (locate(wanted), locate(wanted, "two")) == (None, None)
    with pytest.raises(MissingError, match=r"x3d_xs@two are not here \(two/a.pkl\)") as caught:
        require(wanted, tag="two")
    assert "vidbench weights pull x3d_xs@two" in caught.value.remedy
    assert tags(wanted) == ("one", "two")


def test_unknown_tags_offer_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="pyslowfest") as caught:
        parse_name("x3d_m@pyslowfest")
    assert "Did you mean pyslowfast" in caught.value.remedy
    assert "pytorchvideo, pyslowfast, mmaction2" in caught.value.remedy
    with pytest.raises(InputError, match="no tag after the @"):
        parse_name("x3d_m@")
    with pytest.raises(InputError, match="no weights are published for x3d_tiny"):
        parse_name("x3d_tiny@pyslowfast")
    assert parse_name("x3d_m") == (MODELS.get("x3d_m"), "")


def test_an_import_stands_for_the_model_and_not_for_a_tag(serve: Callable[..., Store], home: Path) -> None:
    store = serve(data=safetensors_bytes(51, 5000))
    wanted = several(store)
    imported = home / "imported" / "x3d_xs.safetensors"
    imported.parent.mkdir(parents=True)
    imported.write_bytes(safetensors_bytes(52, 5000))
    imported.with_name("x3d_xs.safetensors.json").write_text(json.dumps({"sha256": digest(imported.read_bytes())}))

    assert require(wanted) == imported
    assert require(wanted, pull=True, tag="one") == home / "one" / "a.pyth"


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_published_pickle_is_taken_where_one_is_published(
    serve: Callable[..., Store], home: Path, protocol: int
) -> None:
    data = pickle.dumps({"blobs": {"conv1_w": b"x" * 5000}}, protocol=protocol)
    store = serve(data=data)

    assert require(several(store), pull=True, tag="two").read_bytes() == data
    with pytest.raises(NetworkError, match="holds no weights"):
        require(several(store), pull=True, tag="one")

    # one that was cut off, by a server that does not know
    store.data, store.etag = data[:-1], '"v2"'
    (home / "two" / "a.pkl").unlink()
    with pytest.raises(NetworkError, match="not all of them"):
        require(several(store), pull=True, tag="two")
    assert not (home / "two" / "a.pkl").exists()


def test_two_models_of_one_file_share_it(serve: Callable[..., Store], home: Path) -> None:
    store = serve(data=safetensors_bytes(53, 5000))

    names = ("mvit_v1_b", "mvit_base_16x4@torchvision")
    done = pull(PullRequest(names=names, mirror=store.url))

    assert [(item.name, item.action) for item in done.weights] == [(names[0], "downloaded"), (names[1], "present")]
    assert len(store.requests) == 1
    assert {row.name for row in listing() if row.where == "cache"} == set(names)
    # each file is judged once, under the first name that the catalogue has for it
    assert [item.name for item in verify().weights] == ["mvit_base_16x4@torchvision"]


def test_a_mirror_has_the_folders_of_the_names(serve: Callable[..., Store], home: Path) -> None:
    store = serve(data=safetensors_bytes(54, 5000))

    pull(PullRequest(names=("slowfast_r50_ssv2", "slowfast_r50"), mirror=f"{store.url}/base"))

    assert [path for path, _ in store.requests] == ["/base/ssv2/SLOWFAST_8x8_R50.pyth", "/base/SLOWFAST_8x8_R50.pyth"]
    assert require(MODELS.get("slowfast_r50_ssv2")) == weights_dir() / "ssv2" / "SLOWFAST_8x8_R50.pyth"


@pytest.mark.parametrize("name", MODELS.names())
def test_published_files_of_a_model_are_told_apart(name: str) -> None:
    files = files_of(MODELS.get(name))
    given = [file.tag for file in files]
    assert len(set(given)) == len(given)
    assert all(given[1:]), "another than the first file needs a tag"
    for file in files:
        assert file.urls
        assert all(url.startswith("https://") for url in file.urls)
        assert file.licence
        assert file.source
        assert not file.tag or published(MODELS.get(name), file.tag) is file
        # what --weights takes must not be mistaken
        assert file.tag not in ("pretrained", "random")


def test_one_name_in_the_cache_is_one_address() -> None:
    addresses: dict[str, set[str]] = {}
    for row in listing():
        addresses.setdefault(row.file.lower(), set()).add(row.urls[0])
    assert {file: urls for file, urls in addresses.items() if len(urls) > 1} == {}
