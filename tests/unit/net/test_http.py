"""Requests to a real server on this machine: what its misbehaviour means, and when it is asked again."""

from __future__ import annotations

import gzip
import pickle
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from vidbench.net.http import Failure, Http
from vidbench.net.request import retry_after_s, usable

CERTIFICATE = Path(__file__).with_name("localhost.pem")


def quick(**settings: Any) -> Http:
    return Http(**{"backoff_s": 0.01, "attempts": 3, "timeout_s": 5, **settings})


def refusal(url: str, **settings: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        quick(**settings).text(url)
    assert type(caught.value) is Failure
    assert "\n" not in caught.value.detail
    assert str(caught.value) == caught.value.detail
    return caught.value


def test_text_is_the_whole_file(web: Any) -> None:
    served = web.add("/list.txt", b"one\ntwo\n" * 100_000)
    http = quick()

    assert http.text(served.url) == served.data
    assert http.text(served.url) == served.data
    headers = served.requests[0].headers
    assert headers["User-Agent"].startswith("vidbench/")
    assert headers["Accept-Encoding"] == "identity"


def test_text_undoes_a_content_encoding_and_keeps_its_limit(web: Any) -> None:
    packed = gzip.compress(b"a" * 5000)
    served = web.add("/list.txt", packed, always=web.step(headers={"Content-Encoding": "gzip"}))
    plain = web.add("/plain.txt", b"a" * 5000, always=web.step(chunked=True, block=700))

    assert quick().text(served.url) == b"a" * 5000
    assert quick().text(plain.url, limit=5000) == b"a" * 5000
    for url in (served.url, plain.url, web.add("/long", b"a" * 5000).url):
        with pytest.raises(Failure, match="more than 4999") as caught:
            quick().text(url, limit=4999)
        assert (caught.value.reason, caught.value.kind) == ("corrupt", "too-large")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "gone"), (410, "gone"), (401, "blocked"), (403, "blocked"), (451, "blocked"), (400, "blocked")],
)
def test_refusals_are_not_asked_again(web: Any, status: int, reason: str) -> None:
    served = web.add("/a", always=web.step(status=status, body=b"no"))

    failure = refusal(served.url)

    assert (failure.reason, failure.kind, failure.attempts) == (reason, f"http-{status}", 1)
    assert failure.detail.startswith(f"HTTP {status} ")
    assert len(served.requests) == 1


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (429, {}, "throttled"),
        (429, {"Retry-After": "0"}, "throttled"),
        (503, {"Retry-After": "0"}, "throttled"),
        (503, {"phrase": "Slow Down"}, "throttled"),
        (503, {}, "network"),
        (500, {}, "network"),
        (502, {}, "network"),
        (408, {}, "network"),
    ],
)
def test_busy_servers_are_asked_again_and_then_given_up(
    web: Any, status: int, headers: dict[str, str], reason: str
) -> None:
    def step() -> Any:
        return web.step(status=status, headers=dict(headers))

    once = web.add("/once", b"here", steps=[step(), step()])
    ever = web.add("/ever", b"", steps=[step() for _ in range(9)])

    assert quick().text(once.url) == b"here"
    failure = refusal(ever.url)

    assert (failure.reason, failure.kind, failure.attempts) == (reason, f"http-{status}", 3)
    assert failure.detail.endswith("(3 attempts)")
    assert len(ever.requests) == 3


def test_retry_after_is_honoured_and_a_hopeless_one_is_not_waited_for(web: Any) -> None:
    soon = web.add("/soon", b"here", steps=[web.step(status=429, headers={"Retry-After": "1"})])
    late = web.add("/late", b"here", steps=[web.step(status=429, headers={"Retry-After": "3600"})])
    started = time.monotonic()

    assert quick().text(soon.url) == b"here"
    assert 1.0 <= time.monotonic() - started < 5
    failure = refusal(late.url)

    assert time.monotonic() - started < 5
    assert (failure.reason, failure.retry_after_s, failure.attempts) == ("throttled", 3600, 1)
    assert "3600 s" in failure.detail


def test_retry_after_values() -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    assert retry_after_s("7") == 7
    assert retry_after_s(format_datetime(later, usegmt=True)) == pytest.approx(100, abs=5)
    assert retry_after_s("Wed, 01 Jan 2020 00:00:00 GMT") == 0
    for value in (None, "", "soon", "-3"):
        assert retry_after_s(value) is None


def test_waits_grow(web: Any) -> None:
    served = web.add("/a", b"", always=web.step(status=500))
    moments = []
    started = time.monotonic()

    with pytest.raises(Failure):
        quick(attempts=4, backoff_s=0.1).text(served.url)

    moments.append(time.monotonic() - started)
    # 0.1 + 0.2 + 0.4 s, each less up to a half by chance
    assert 0.35 <= moments[0] < 5


@pytest.mark.parametrize("orderly", [True, False], ids=["truncated", "reset"])
def test_broken_lines_are_tried_again(web: Any, orderly: bool) -> None:
    data = b"abc" * 10_000
    served = web.add("/a", data, steps=[web.step(cut_after=1000, orderly=orderly)])
    ever = web.add("/ever", data, always=web.step(cut_after=1000, orderly=orderly))

    assert quick().text(served.url) == data
    failure = refusal(ever.url)

    expected = ("corrupt", "truncated") if orderly else ("network", "reset")
    assert (failure.reason, failure.kind, failure.attempts) == (*expected, 3)


def test_silence_times_out(web: Any) -> None:
    served = web.add("/a", b"abc" * 1000, always=web.step(hold_after=10))

    failure = refusal(served.url, timeout_s=0.2, attempts=2)

    assert (failure.reason, failure.kind, failure.attempts) == ("network", "timeout", 2)
    assert "0.2 s" in failure.detail


def test_body_that_only_the_end_of_the_line_ends_is_not_believed(web: Any) -> None:
    served = web.add("/a", b"abc", always=web.step(length=-1))

    assert (refusal(served.url).reason, refusal(served.url).kind) == ("corrupt", "length")


def test_nobody_listens_and_nobody_is_called_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        started = time.monotonic()
        failure = refusal(f"http://127.0.0.1:{unused.getsockname()[1]}/a", backoff_s=5, attempts=9)
    assert (failure.reason, failure.kind, failure.attempts) == ("network", "refused", 3)
    assert time.monotonic() - started < 4
    assert refusal("http://no-such-host.invalid/a", attempts=1).reason == "network"


def test_what_is_no_http(web: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    line.recv(1000)
                    line.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        threading.Thread(target=answer, daemon=True).start()
        failure = refusal(f"http://127.0.0.1:{server.getsockname()[1]}/a", attempts=2)
        server.shutdown(socket.SHUT_RDWR)
    assert (failure.reason, failure.kind) == ("network", "protocol")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/hostname", "ftp://127.0.0.1/a", "/etc/hostname", "", "http://", "http://a:x/", "http://[::1/a",
     "http://a/b\nHost: c", "http://user:secret@127.0.0.1/a", "http://" + "a" * 300 + ".org/", "data:text/plain,x"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    failure = refusal(url)

    assert (failure.reason, failure.attempts) == ("tool", 1)
    assert "secret" not in failure.detail


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://h/600/val/mountain climber (exercise).tar.gz", "http://h/600/val/mountain%20climber%20(exercise).tar.gz"),
        ("http://h/a%20b.tar", "http://h/a%20b.tar"),
        ("http://h/100%.tar", "http://h/100%25.tar"),
        ("http://h/ä.tar?k=ü v&w=%41", "http://h/%C3%A4.tar?k=%C3%BC%20v&w=%41"),
        ("HTTP://H:80/a#b", "http://h:80/a"),
        (" http://h/a ", "http://h/a"),
        ("http://bücher.example/a", "http://xn--bcher-kva.example/a"),
        ("http://[::1]:8/a", "http://[::1]:8/a"),
    ],
)  # fmt: skip
def test_addresses_are_quoted_once(url: str, sent: str) -> None:
    assert usable(url) == sent
    assert usable(sent) == sent


def test_blanks_and_unicode_reach_the_server(web: Any) -> None:
    served = web.add("/val/mountain climber (exercise) 100% ä.tar.gz", b"here")

    assert quick().text(served.url) == b"here"
    assert served.requests[0].path == "/val/mountain%20climber%20(exercise)%20100%25%20%C3%A4.tar.gz"


# --- redirects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(web: Any, status: int) -> None:
    there = web.add("/there is it", b"here")
    here = web.add("/here", always=web.step(status=status, headers={"Location": "/there is it"}))

    assert quick().text(here.url) == b"here"
    assert quick().size(there.url).bytes == 4


@pytest.mark.parametrize("to", ["file:///etc/hostname", "ftp://127.0.0.1/a.pyth", "data:text/plain,x"])
def test_redirect_to_another_scheme_is_not_followed(web: Any, to: str) -> None:
    served = web.add("/a", always=web.step(status=302, headers={"Location": to}))

    failure = refusal(served.url)

    assert (failure.reason, failure.kind, failure.attempts) == ("tool", "redirect", 1)
    assert to.partition(":")[0] in failure.detail


def test_redirects_in_a_circle_end(web: Any) -> None:
    served = web.add("/a", always=web.step(status=302, headers={"Location": "/a"}))

    assert refusal(served.url).kind == "redirect"
    assert len(served.requests) == 11


def test_tls_is_checked_and_never_left(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    secure = type(web)(CERTIFICATE)
    try:
        plain = web.add("/a", b"plain")
        safe = secure.add("/a", b"safe")
        down = secure.add("/down", always=secure.step(status=302, headers={"Location": plain.url}))
        up = web.add("/up", always=web.step(status=302, headers={"Location": safe.url}))
        failure = refusal(safe.url)
        assert (failure.reason, failure.kind, failure.attempts) == ("network", "certificate", 1)

        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert quick().text(safe.url) == b"safe"
        assert quick().text(up.url) == b"safe"
        failure = refusal(down.url)
        assert (failure.reason, failure.kind) == ("tool", "redirect")
        assert plain.requests == []
        assert refusal(web.url.replace("http:", "https:") + "/a", attempts=1).kind == "tls"
    finally:
        secure.close()


# --- sizes -------------------------------------------------------------------------------------------------


def test_size_asks_for_no_bytes(web: Any) -> None:
    served = web.add("/a", b"x" * 1000, last_modified="Wed, 01 Jan 2025 00:00:00 GMT")

    size = quick().size(served.url)

    assert (size.bytes, size.etag, size.last_modified) == (1000, '"v1"', "Wed, 01 Jan 2025 00:00:00 GMT")
    assert size.version == '"v1"'
    assert [asked.method for asked in served.requests] == ["HEAD"]


@pytest.mark.parametrize("status", [403, 405, 501])
def test_size_without_head(web: Any, status: int) -> None:
    head = web.step(status=status)
    served = web.add("/a", b"x" * 1000, etag='W/"weak"', head=head)
    whole = web.add("/whole", b"x" * 2000, head=head, always=web.step(ignore_range=True))
    empty = web.add("/empty", b"", head=head)
    unknown = web.add(
        "/unknown", b"x" * 10, head=web.step(chunked=True), always=web.step(chunked=True, ignore_range=True)
    )

    http = quick()
    assert (http.size(served.url).bytes, http.size(served.url).version) == (1000, "")
    assert served.gets[0].range == "0-0"
    assert [http.size(other.url).bytes for other in (whole, empty, unknown)] == [2000, 0, None]


def test_size_of_what_is_not_there(web: Any) -> None:
    with pytest.raises(Failure) as caught:
        quick().size(f"{web.url}/nothing")

    assert (caught.value.reason, caught.value.kind) == ("gone", "http-404")
    assert [asked.method for asked in web.log] == ["HEAD"]


# --- threads, speed, proxies -------------------------------------------------------------------------------


def test_threads_share_the_limit_of_speed(web: Any) -> None:
    served = web.add("/a", bytes(100_000))
    http = quick(rate=400_000.0)
    started = time.monotonic()

    with ThreadPoolExecutor(4) as threads:
        bodies = list(threads.map(http.text, [served.url] * 4))

    assert bodies == [served.data] * 4
    # 400 kB at 400 kB/s, less what may come at once
    assert 0.85 <= time.monotonic() - started < 4


def test_stop_ends_waits_and_transfers_of_all_threads(web: Any) -> None:
    busy = web.add("/busy", b"", always=web.step(status=429, headers={"Retry-After": "30"}))
    slow = web.add("/slow", bytes(1 << 20), always=web.step(delay_s=0.05, block=1 << 12))
    http = quick()
    started = time.monotonic()

    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(http.text, served.url) for served in (busy, slow)]
        while not (busy.requests and slow.requests):
            time.sleep(0.01)
        time.sleep(0.1)
        http.stop()
        failures = [task.exception() for task in waiting]

    assert time.monotonic() - started < 10
    assert [(type(failure), failure.kind) for failure in failures] == [(Failure, "stopped")] * 2  # type: ignore[union-attr]
    with pytest.raises(Failure, match="stopped"):
        http.text(slow.url)


def test_proxy_of_the_environment(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # to the server a request through a proxy is one whose path is the whole address
    web.add("/a", b"by proxy")
    monkeypatch.setenv("http_proxy", web.url.replace("http://", "http://me:pass%40word@"))

    assert quick().text("http://far.example/a") == b"by proxy"
    assert web.log[0].path == "http://far.example/a"
    assert web.log[0].headers["Proxy-Authorization"] == "Basic bWU6cGFzc0B3b3Jk"

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    quick().text(f"{web.url}/a")
    assert web.log[1].path == "/a"

    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    assert refusal("http://far.example/a").kind == "proxy"


def test_failures_are_data() -> None:
    failure = Failure("throttled", "http-429", "HTTP 429", 3, 12.0)

    again = pickle.loads(pickle.dumps(failure))

    assert (again.reason, again.kind, again.detail, again.attempts, again.retry_after_s) == (
        "throttled", "http-429", "HTTP 429", 3, 12.0,
    )  # fmt: skip
