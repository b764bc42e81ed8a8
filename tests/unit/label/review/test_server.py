"""The server over real HTTP: what it gives, and whom it refuses."""

import io
import json
import re
import socket
import threading
from typing import Any

import pytest
from PIL import Image

from vidbench.label.review.pictures import Pictures
from vidbench.label.review.server import Server
from vidbench.label.review.session import Session
from vidbench.label.store import LabelSet
from vidbench.progress import SilentReporter

TOGGLE = {"kind": "toggle", "person": 0, "seconds": [2, 3], "action": 11, "on": True}


def test_the_page_comes_with_what_it_needs_and_a_strict_policy(page: Any) -> None:
    html = page.ask("")
    assert html.status == 200
    assert html.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = html.headers["Content-Security-Policy"]
    assert policy.startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
    )
    assert "unsafe" not in policy
    assert html.headers["X-Content-Type-Options"] == "nosniff"
    assert html.headers["Referrer-Policy"] == "no-referrer"
    assert html.headers["Server"] == "vidbench"
    for name in re.findall(r'(?:src|href)="([^"]+)"', html.body.decode()):
        kind = {"js": "text/javascript", "css": "text/css"}[name.rpartition(".")[2]]
        file = page.ask(name)
        assert (file.status, file.headers["Content-Type"].partition(";")[0]) == (200, kind)


def test_the_set_and_a_video(page: Any, label_set: LabelSet) -> None:
    told = page.ask("api/set")
    assert told.headers["Cache-Control"] == "no-store"
    assert told.headers["Content-Type"] == "application/json; charset=utf-8"
    assert [one["id"] for one in told.told["videos"]] == ["one", "two"]
    assert told.told["folder"] == str(label_set.folder.resolve())
    assert told.told["counts"] == {"1": 0, "11": 0, "12": 6, "17": 0, "80": 6}
    video = page.ask("api/video/one").told
    assert {name: video[name] for name in ("id", "keyframes", "revision", "can_undo", "can_redo")} == {
        "id": "one", "keyframes": [2, 6], "revision": 0, "can_undo": False, "can_redo": False,
    }  # fmt: skip
    assert video["rows"][0] == {
        "second": 2, "person": 0, "box": [0.16, 0.2, 0.36, 0.8], "score": 0.9, "actions": None, "track": 5,
        "checked": False, "doubts": [], "warnings": [],
    }  # fmt: skip


def test_an_edit_is_on_disk_when_it_is_answered(page: Any, label_set: LabelSet) -> None:
    done = page.edit(0, **TOGGLE)
    assert done.status == 200
    told = done.told
    assert (told["revision"], told["removed"], told["can_undo"], told["can_redo"]) == (1, [], True, False)
    assert [(row["second"], row["actions"]) for row in told["rows"]] == [(2, [11]), (3, [11])]
    assert told["counts"]["11"] == 2
    assert told["says"] == "sit on for person 0 at second 2-3"
    assert [row.actions for row in label_set.rows("one") if row.person == 0][:3] == [(11,), (11,), None]
    undone = page.ask("api/video/one/undo", {"revision": 1}).told
    assert (undone["revision"], undone["can_undo"], undone["can_redo"]) == (2, False, True)
    assert label_set.rows("one")[0].actions is None
    again = page.ask("api/video/one/redo", {"revision": 2}).told
    assert [row["actions"] for row in again["rows"]] == [[11], [11]]
    nothing = page.ask("api/video/one/redo", {"revision": 3})
    assert (nothing.status, nothing.told["error"]) == (400, "nothing to redo")


def test_a_second_tab_is_told_the_present_revision(page: Any) -> None:
    assert page.edit(0, **TOGGLE).status == 200
    late = page.edit(0, **TOGGLE | {"on": False})
    assert late.status == 409
    assert late.told["revision"] == 1
    assert "another window" in late.told["error"]
    assert page.rows()[2, 0]["actions"] == [11]


def test_edits_at_once_are_made_one_after_the_other(page: Any, label_set: LabelSet) -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(page.edit(0, **TOGGLE).status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [409] * 7
    assert len(label_set.rows("one")) == 8


def test_pictures(page: Any) -> None:
    for path, size in (
        ("img/one/keyframe/3.jpg", (320, 240)),
        ("img/one/crop/3/0.jpg?h=80&r=0", (36, 80)),
        ("img/one/crop/3/0.jpg", (71, 160)),
        ("img/one/clip/3/44.jpg", (320, 240)),
    ):
        answer = page.ask(path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
        with Image.open(io.BytesIO(answer.body)) as image:
            assert image.size == size
    clip = page.ask("api/video/one/clip/3").told
    assert (clip["fps"], len(clip["numbers"]), sorted(clip["boxes"])) == (15, 45, ["0", "1"])


def test_without_the_video_only_playing_fails(page: Any, label_set: LabelSet) -> None:
    (label_set.folder / "one.mp4").rename(label_set.folder / "moved.mp4")
    assert page.ask("img/one/keyframe/3.jpg").status == 200
    assert page.ask("img/one/crop/3/0.jpg").status == 200
    for path in ("api/video/one/clip/3", "img/one/clip/3/0.jpg"):
        answer = page.ask(path)
        assert answer.status == 404
        assert "one.mp4: no such file" in answer.told["error"]
    assert page.edit(0, **TOGGLE).status == 200


def test_rows_changed_by_hand_are_noticed(page: Any, label_set: LabelSet) -> None:
    label_set.save_rows("one", label_set.rows("one")[:4])
    late = page.edit(0, **TOGGLE)
    assert (late.status, late.told["revision"]) == (409, 1)
    assert "something else" in late.told["error"]
    assert len(page.ask("api/video/one").told["rows"]) == 4
    (label_set.home("one") / "tracks.jsonl").write_text("oops\n")
    broken = page.edit(1, **TOGGLE)
    assert broken.status == 422
    assert "tracks.jsonl:1" in broken.told["error"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost", "evil.example:{port}", "127.0.0.1:{port}.evil.example", ""]
)
def test_other_hosts_are_refused(page: Any, host: str) -> None:
    answer = page.ask("api/set", Host=host.format(port=page.port))
    assert (answer.status, answer.told) == (403, {"error": "this host is not served"})
    assert (
        page.ask("api/video/one/edit", {"revision": 0, "edit": TOGGLE}, Host=host.format(port=page.port)).status == 403
    )
    assert page.rows()[2, 0]["actions"] is None


def test_localhost_is_served(page: Any) -> None:
    assert page.ask("api/set", Host=f"localhost:{page.port}").status == 200


def test_without_the_token_nothing_is_told(page: Any) -> None:
    token = page.url.split("/")[3]
    answers = {
        path: page.raw(path)
        for path in (
            "/", "/api/set", f"/{token}", f"/{token[:-1]}/api/set", f"/{token}x/api/set", "/%C3%A9/api/set",
            f"/{token.swapcase()}/", "/favicon.ico", f"/x/../{token}/api/set",
        )
    }  # fmt: skip
    assert {(one.status, one.body) for one in answers.values()} == {(404, b'{"error":"not found"}')}
    assert page.raw(f"/{token[:-1]}/api/video/one/edit", {"revision": 0, "edit": TOGGLE}).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "api/video/three", "api/video/..", "api/video/%2e%2e", "api/video/one/../../set.json", "set.json",
        "img/one/keyframe/-1.jpg", "img/one/keyframe/9.jpg", "img/one/keyframe/0000000000003.jpg",
        "img/one/keyframe/3.png", "img/..%2fone/keyframe/3.jpg", "img/three/keyframe/3.jpg", "img/one/crop/3/7.jpg",
        "img/one/crop/9/0.jpg", "img/one/clip/3/45.jpg", "img/one/clip/1/0.jpg", "api/video/one/clip/1",
        "page.py", "page_missing.js", "../server.py", "page_../../server.py", "api/video/one/edit", "server.py",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(page: Any, path: str) -> None:
    answer = page.ask(path)
    assert answer.status == 404
    assert answer.told["error"]


@pytest.mark.parametrize("height", ["0", "15", "641", "x", "-3", "99999999999999"])
def test_heights_of_crops_are_bounded(page: Any, height: str) -> None:
    assert page.ask(f"img/one/crop/3/0.jpg?h={height}").status == 400


BODIES = {
    "broken": b'{"revision": 0, "edit": ',
    "empty": b"",
    "not an object": b"[1]",
    "not UTF-8": b"\xff\xfe",
    "unknown kind": json.dumps({"revision": 0, "edit": {"kind": "shout"}}).encode(),
    "unknown second": json.dumps({"revision": 0, "edit": TOGGLE | {"seconds": [2, 77]}}).encode(),
    "unknown action": json.dumps({"revision": 0, "edit": TOGGLE | {"action": 13}}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_edits_change_nothing(page: Any, label_set: LabelSet, name: str) -> None:
    before = (label_set.home("one") / "tracks.jsonl").read_bytes()
    answer = page.ask("api/video/one/edit", BODIES[name])
    assert answer.status == 400
    assert answer.told["error"]
    assert (label_set.home("one") / "tracks.jsonl").read_bytes() == before
    assert page.ask("api/video/one").told["revision"] == 0


def test_posts_of_other_pages_are_refused(page: Any) -> None:
    good = {"revision": 0, "edit": TOGGLE}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", f"https://127.0.0.1:{page.port}"):
        assert page.ask("api/video/one/edit", good, Origin=origin).status == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert page.ask("api/video/one/edit", good, Content_Type=kind).status == 415
    assert page.rows()[2, 0]["actions"] is None
    assert page.ask("api/video/one/edit", good, Origin=f"http://127.0.0.1:{page.port}").status == 200


def test_posts_elsewhere_and_other_methods_are_refused(page: Any) -> None:
    assert page.ask("api/set", {}).status == 404
    assert page.ask("api/video/three/edit", {"revision": 0, "edit": TOGGLE}).status == 404
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        answer = page.ask("api/set", method=method)
        assert answer.status == 501
        assert answer.headers["Content-Type"].startswith("application/json")


def exchange(page: Any, text: bytes) -> bytes:
    """What comes back for bytes on the wire, until the server closes."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        connection.sendall(text)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def head(page: Any, *lines: str) -> bytes:
    token = page.url.split("/")[3]
    first = f"POST /{token}/api/video/one/edit HTTP/1.1"
    host = f"Host: 127.0.0.1:{page.port}"
    return "\r\n".join([first, host, "Content-Type: application/json", *lines, "", ""]).encode()


def test_bodies_are_bounded_and_their_length_told(page: Any) -> None:
    large = f"Content-Length: {2**20 + 1}"
    assert exchange(page, head(page, large)).startswith(b"HTTP/1.1 413 ")
    assert exchange(page, head(page)).startswith(b"HTTP/1.1 411 ")
    assert exchange(page, head(page, "Transfer-Encoding: chunked")).startswith(b"HTTP/1.1 411 ")
    assert exchange(page, head(page, "Content-Length: -1")).startswith(b"HTTP/1.1 411 ")
    assert exchange(page, head(page, "Content-Length: 2", "Content-Length: 3") + b"{}").startswith(b"HTTP/1.1 411 ")


def test_two_hosts_and_no_host_are_refused(page: Any) -> None:
    assert exchange(page, head(page, f"Host: localhost:{page.port}", "Content-Length: 0")).startswith(b"HTTP/1.1 403 ")
    token = page.url.split("/")[3]
    assert b" 403 " in exchange(page, f"GET /{token}/ HTTP/1.0\r\n\r\n".encode())
    host = f"Host: 127.0.0.1:{page.port}\r\n\r\n"
    assert exchange(page, f"GET http://[::1/x HTTP/1.0\r\n{host}".encode()).startswith(b"HTTP/1.1 404 ")
    assert b"Bad request" in exchange(page, b"nonsense\r\n\r\n")


def test_a_refused_body_is_not_taken_for_a_request(page: Any) -> None:
    token = page.url.split("/")[3]
    smuggled = f"GET /{token}/api/set HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode()
    answer = exchange(page, head(page, "Origin: null", f"Content-Length: {len(smuggled)}") + smuggled)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_browser_that_goes_away_harms_nobody(page: Any) -> None:
    with socket.create_connection(("127.0.0.1", page.port)) as connection:
        connection.sendall(head(page, "Content-Length: 500") + b'{"revision": 0, ')
    assert page.rows()[2, 0]["actions"] is None
    assert page.edit(0, **TOGGLE).status == 200


def test_it_listens_on_this_machine_alone(label_set: LabelSet) -> None:
    server = Server(Session(label_set, SilentReporter()), Pictures(label_set))
    try:
        assert server.server_address[0] == "127.0.0.1"
        others = {Server(Session(label_set, SilentReporter()), Pictures(label_set)) for _ in range(2)}
        assert len({server.token, *(one.token for one in others)}) == 3
        for one in others:
            one.server_close()
    finally:
        server.server_close()
