"""Downloads to disk from a real server on this machine: resumed, checked, never half."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidbench.net.http import Failure, Http

DATA = random.Random(1).randbytes(1_500_000)
OTHER = random.Random(2).randbytes(1_500_000)


def quick(**settings: Any) -> Http:
    return Http(**{"backoff_s": 0.01, "attempts": 3, "timeout_s": 5, **settings})


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def refusal(action: Callable[[], object]) -> Failure:
    with pytest.raises(Failure) as caught:
        action()
    assert type(caught.value) is Failure
    return caught.value


class Notes:
    """A reporter that keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[float] = []

    def task(self, title: str, total: float | None, unit: str) -> Notes:
        self.said.append(f"{title}: {total} {unit}")
        self.done.append(0.0)
        return self

    def __enter__(self) -> Notes:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done[-1] += amount

    def info(self, message: str) -> None:
        self.said.append(message)

    warn = info


def test_file_is_whole(web: Any, tmp_path: Path) -> None:
    served = web.add("/part 0.tar.gz", DATA, last_modified="Wed, 01 Jan 2025 00:00:00 GMT")
    notes, seen = Notes(), []

    received = quick().download(
        served.url, tmp_path / "new" / "a.tar.gz", reporter=notes, check=lambda path: seen.append(path.read_bytes())
    )

    assert (tmp_path / "new" / "a.tar.gz").read_bytes() == DATA
    assert seen == [DATA]
    assert (received.url, received.size, received.sha256) == (served.url, len(DATA), digest(DATA))
    assert (received.etag, received.last_modified, received.attempts) == ('"v1"', served.last_modified, 1)
    assert names_in(tmp_path / "new") == {"a.tar.gz"}
    assert notes.said == ["a.tar.gz: 1.5 MB"]
    assert notes.done == [pytest.approx(1.5)]


def test_empty_file(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", b"")

    received = quick().download(served.url, tmp_path / "a", sha256=digest(b"").upper())

    assert received.size == 0
    assert names_in(tmp_path) == {"a"}


def test_cuts_and_busy_servers_on_the_way(web: Any, tmp_path: Path) -> None:
    served = web.add(
        "/a",
        DATA,
        steps=[
            web.step(cut_after=300_000, orderly=True),
            web.step(status=503),
            web.step(cut_after=400_000, orderly=True),
            web.step(status=500),
            web.step(most=500_000),
        ],
    )
    notes = Notes()

    received = quick().download(served.url, tmp_path / "a", reporter=notes)

    assert (tmp_path / "a").read_bytes() == DATA
    assert received.sha256 == digest(DATA)
    assert received.attempts == 6
    assert [asked.range for asked in served.requests] == ["", *["300000-"] * 2, *["700000-"] * 2, "1200000-"]
    assert all(asked.headers["If-Range"] == '"v1"' for asked in served.requests[1:])
    assert sum("trying again" in line for line in notes.said) == 4


def test_later_call_continues_and_hashes_what_was_there(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA, steps=[web.step(cut_after=900_000, orderly=True)])
    target = tmp_path / "a"
    failure = refusal(lambda: quick(attempts=1).download(served.url, target))
    assert (failure.reason, failure.kind) == ("network", "truncated")
    assert "900000 of 1500000" in failure.detail
    assert names_in(tmp_path) == {"a.part", "a.part.json"}

    received = quick().download(served.url, target, sha256=digest(DATA))

    assert target.read_bytes() == DATA
    assert (received.sha256, received.attempts) == (digest(DATA), 1)
    assert served.requests[1].range == "900000-"
    assert names_in(tmp_path) == {"a"}


def test_file_that_ends_too_early_for_good(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA[:1000], always=web.step(length=2000, ignore_range=True))

    failure = refusal(lambda: quick().download(served.url, tmp_path / "a"))

    assert (failure.reason, failure.kind, failure.attempts) == ("corrupt", "truncated", 3)
    assert "1000 of 2000" in failure.detail
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("careless", [False, True], ids=["honours-if-range", "ignores-if-range"])
def test_version_that_changes_on_the_way_is_not_mixed(web: Any, tmp_path: Path, careless: bool) -> None:
    served = web.add(
        "/a",
        DATA,
        steps=[web.step(cut_after=900_000, orderly=True)],
        always=web.step(ignore_if_range=careless),
        later=(1, OTHER, '"v2"'),
    )

    received = quick().download(served.url, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == OTHER
    assert (received.etag, received.sha256) == ('"v2"', digest(OTHER))
    assert names_in(tmp_path) == {"a"}


def test_file_that_shrank(web: Any, tmp_path: Path) -> None:
    served = web.add(
        "/a",
        DATA,
        steps=[web.step(cut_after=900_000, orderly=True), web.step(ignore_if_range=True)],
        later=(1, OTHER[:5000], '"v2"'),
    )

    quick().download(served.url, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == OTHER[:5000]
    assert [asked.status for asked in served.requests] == [200, 416, 200]


def test_server_without_ranges(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA, steps=[web.step(cut_after=900_000, orderly=True)], always=web.step(ignore_range=True))

    received = quick().download(served.url, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == DATA
    assert received.sha256 == digest(DATA)


@pytest.mark.parametrize("shift", [-3, 7])
def test_range_that_was_not_asked_for_is_refused(web: Any, tmp_path: Path, shift: int) -> None:
    served = web.add("/a", DATA, steps=[web.step(cut_after=900_000, orderly=True), web.step(shift=shift)])

    quick().download(served.url, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == DATA
    assert [asked.range for asked in served.requests] == ["", "900000-", ""]


def test_file_without_marks_is_never_continued(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA, etag="", steps=[web.step(cut_after=900_000, orderly=True)])

    quick().download(served.url, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == DATA
    assert [asked.range for asked in served.requests] == ["", ""]


def test_lengths_that_are_not_declared(web: Any, tmp_path: Path) -> None:
    chunked = web.add("/chunked", DATA, steps=[web.step(chunked=True)])
    cut = web.add("/cut", DATA, steps=[web.step(chunked=True, cut_after=900_000, orderly=True)])
    bare = web.add("/bare", DATA, always=web.step(length=-1))

    assert quick().download(chunked.url, tmp_path / "chunked").size == len(DATA)
    assert quick().download(cut.url, tmp_path / "cut").sha256 == digest(DATA)
    # its end looks like a broken line: only a checksum can tell
    failure = refusal(lambda: quick().download(bare.url, tmp_path / "bare"))
    assert (failure.reason, failure.kind) == ("corrupt", "length")
    quick().download(bare.url, tmp_path / "bare", sha256=digest(DATA))

    for name in ("chunked", "cut", "bare"):
        assert (tmp_path / name).read_bytes() == DATA


def test_bytes_are_kept_as_sent(web: Any, tmp_path: Path) -> None:
    encoded = web.step(headers={"Content-Encoding": "gzip"})
    packed = web.add("/part_0.tar.gz", DATA, always=encoded)
    video = web.add("/a.mp4", DATA, always=encoded)

    quick().download(packed.url, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == DATA
    failure = refusal(lambda: quick().download(video.url, tmp_path / "b"))
    assert (failure.reason, failure.kind) == ("corrupt", "encoding")


def test_wrong_checksum_is_not_kept(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA)

    failure = refusal(lambda: quick().download(served.url, tmp_path / "a", sha256="0" * 64))

    assert (failure.reason, failure.kind, failure.attempts) == ("corrupt", "checksum", 1)
    assert digest(DATA) in failure.detail
    assert "0" * 64 in failure.detail
    assert names_in(tmp_path) == set()
    assert len(served.requests) == 1


def test_check_refuses_and_the_old_file_stays(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA)
    (tmp_path / "a").write_bytes(b"old")

    def check(path: Path) -> None:
        raise Failure("corrupt", "video", f"{path.stat().st_size} bytes that are no video")

    failure = refusal(lambda: quick().download(served.url, tmp_path / "a", check=check))

    assert (failure.reason, failure.kind, failure.attempts) == ("corrupt", "video", 1)
    assert names_in(tmp_path) == {"a"}
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("size", [900_000, len(DATA)], ids=["half", "whole"])
def test_damaged_part_of_an_earlier_call_is_fetched_again(web: Any, tmp_path: Path, size: int) -> None:
    served = web.add("/a", DATA)
    (tmp_path / "a.part").write_bytes(bytes(size))
    facts = {"url": served.url, "etag": '"v1"', "last_modified": "", "total": len(DATA)}
    (tmp_path / "a.part.json").write_text(json.dumps(facts))

    received = quick().download(served.url, tmp_path / "a", sha256=digest(DATA))

    assert (tmp_path / "a").read_bytes() == DATA
    assert received.sha256 == digest(DATA)
    assert names_in(tmp_path) == {"a"}


def test_part_that_was_whole_needs_no_request(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA)
    (tmp_path / "a.part").write_bytes(DATA)
    facts = {"url": served.url, "etag": '"v1"', "last_modified": "", "total": len(DATA)}
    (tmp_path / "a.part.json").write_text(json.dumps(facts))

    received = quick().download(served.url, tmp_path / "a")

    assert served.requests == []
    assert (received.sha256, received.etag) == (digest(DATA), '"v1"')


@pytest.mark.parametrize(
    "facts",
    [None, "", "[1]", "{}", '{"url": 3}', '{"url": "u", "etag": "e", "last_modified": "", "total": "x"}',
     '{"url": "URL", "etag": "", "last_modified": "", "total": 1500000}',
     '{"url": "URL", "etag": "e", "last_modified": "", "total": 2}',
     '{"url": "URL", "etag": "e", "last_modified": "", "total": 0}'],
)  # fmt: skip
def test_part_without_usable_facts_is_not_continued(web: Any, tmp_path: Path, facts: str | None) -> None:
    served = web.add("/a", DATA)
    if facts is not None:
        (tmp_path / "a.part.json").write_text(facts.replace("URL", served.url))
    if facts is None or '"total": 0' not in facts:
        (tmp_path / "a.part").write_bytes(b"old")

    quick().download(served.url, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == DATA
    assert [asked.range for asked in served.requests] == [""]
    assert names_in(tmp_path) == {"a"}


def test_first_bytes_are_looked_at_before_a_part_is_given_up(web: Any, tmp_path: Path) -> None:
    page = b"<html>Please log in.</html>"
    served = web.add(
        "/a",
        DATA,
        steps=[
            web.step(cut_after=900_000, orderly=True),
            web.step(body=page, ignore_range=True, headers={"ETag": '"page"'}),
        ],
    )
    heads = []

    def head_check(head: bytes) -> None:
        heads.append(head)
        if head.startswith(b"<html"):
            raise Failure("corrupt", "content", "a web page")

    with pytest.raises(Failure):
        quick(attempts=1).download(served.url, tmp_path / "a", head_check=head_check)
    with pytest.raises(Failure, match="a web page"):
        quick().download(served.url, tmp_path / "a", head_check=head_check)
    quick().download(served.url, tmp_path / "a", head_check=head_check)

    assert (tmp_path / "a").read_bytes() == DATA
    assert served.requests[2].range == "900000-"
    assert DATA.startswith(heads[0])
    assert len(heads[0]) >= 64
    assert heads[1:] == [page]


def test_head_is_long_enough_however_slow_it_comes(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA[:150], always=web.step(delay_s=0.02, block=10))
    heads: list[bytes] = []

    quick().download(served.url, tmp_path / "a", head_check=heads.append)

    assert [len(head) >= 64 for head in heads] == [True]
    assert (tmp_path / "a").read_bytes() == DATA[:150]


def test_slow_link_is_no_broken_link(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA[:200_000], always=web.step(delay_s=0.03, block=10_000))

    received = quick(timeout_s=0.3).download(served.url, tmp_path / "a")

    assert (received.sha256, received.attempts) == (digest(DATA[:200_000]), 1)


def test_redirects_keep_the_range(web: Any, tmp_path: Path) -> None:
    there = web.add("/there", DATA, steps=[web.step(cut_after=900_000, orderly=True)])
    here = web.add("/here", always=web.step(status=302, headers={"Location": "/there"}))

    quick().download(here.url, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == DATA
    assert there.requests[1].range == "900000-"
    assert there.requests[1].headers["If-Range"] == '"v1"'


def test_record_is_written_before_the_file_appears(web: Any, tmp_path: Path) -> None:
    served = web.add("/a", DATA)
    seen = []

    quick().download(
        served.url, tmp_path / "a", record=lambda received: seen.append((received.size, (tmp_path / "a").exists()))
    )

    assert seen == [(len(DATA), False)]


CHILD = """
import sys
from pathlib import Path
from vidbench.net.http import Http
print("go", flush=True)
print(Http(backoff_s=0.01).download(sys.argv[1], Path(sys.argv[2])).sha256)
"""


def test_killed_at_any_moment_and_run_again(web: Any, tmp_path: Path) -> None:
    # about 0.4 s from begin to end
    served = web.add("/a", DATA, always=web.step(delay_s=0.01, block=40_000))
    target, chance, sizes = tmp_path / "get" / "a", random.Random(3), []
    command = [sys.executable, "-c", CHILD, served.url, str(target)]
    for _ in range(6):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.uniform(0, 0.2))
            child.send_signal(signal.SIGKILL)
        part = target.with_name("a.part")
        sizes.append(part.stat().st_size if part.exists() else 0)
        if target.exists():
            assert target.read_bytes() == DATA
            target.unlink()
            sizes.append(0)

    last = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert last.stdout.split() == ["go", digest(DATA)]
    assert target.read_bytes() == DATA
    assert names_in(target.parent) == {"a"}
    assert any(0 < size < len(DATA) for size in sizes), "no kill came on the way"
    assert any(asked.range for asked in served.requests)
