"""A remote file read forward over lines that break, from a real server on this machine."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from typing import Any

import pytest

from vidbench.net.http import Failure, Http

DATA = random.Random(1).randbytes(1_000_000)
OTHER = random.Random(2).randbytes(1_000_000)


def quick(**settings: Any) -> Http:
    return Http(**{"backoff_s": 0.01, "attempts": 3, "timeout_s": 5, **settings})


def refusal(action: Callable[[], object]) -> Failure:
    with pytest.raises(Failure) as caught:
        action()
    assert type(caught.value) is Failure
    return caught.value


def test_reads_forward_and_knows_where_it_is(web: Any) -> None:
    served = web.add("/a", DATA)

    with quick().stream(served.url) as stream:
        assert (stream.position, stream.total, stream.version, stream.attempts) == (0, len(DATA), '"v1"', 1)
        assert stream.readable()
        assert not stream.seekable()
        assert not stream.writable()
        first = stream.read(10)
        assert first == DATA[: len(first)]
        assert stream.position == stream.tell() == len(first) > 0
        assert first + stream.readall() == DATA
        assert (stream.read(10), stream.position) == (b"", len(DATA))
        assert stream.sha256 == hashlib.sha256(DATA).hexdigest()
    assert len(served.requests) == 1
    with pytest.raises(ValueError, match="closed"):
        stream.read(1)


def test_takes_up_a_broken_line_at_the_byte(web: Any) -> None:
    served = web.add(
        "/a",
        DATA,
        steps=[
            web.step(cut_after=100_000, orderly=True),
            web.step(cut_after=0, orderly=True),
            web.step(cut_after=200_000, orderly=True),
            web.step(most=300_000),
        ],
    )

    with quick().stream(served.url) as stream:
        assert stream.readall() == DATA
        assert stream.attempts == 5

    assert [asked.range for asked in served.requests] == ["", *["100000-"] * 2, "300000-", "600000-"]
    assert all(asked.headers["If-Range"] == '"v1"' for asked in served.requests[1:])


def test_attempts_in_a_row_without_a_byte_are_bounded(web: Any) -> None:
    served = web.add("/a", DATA, steps=[web.step(cut_after=100_000, orderly=True)], always=web.step(status=502))
    stream = quick().stream(served.url)

    failure = refusal(stream.readall)

    assert (failure.reason, failure.kind) == ("network", "http-502")
    assert stream.position == 100_000
    assert len(served.requests) == 3
    busy = web.add("/b", always=web.step(status=429, headers={"Retry-After": "0"}))
    assert refusal(lambda: quick().stream(busy.url)).reason == "throttled"
    assert refusal(lambda: quick().stream(f"{web.url}/nothing")).reason == "gone"


def test_file_that_ends_too_early_for_good(web: Any) -> None:
    served = web.add("/a", DATA[:1000], always=web.step(length=2000, ignore_range=True))

    failure = refusal(lambda: quick().stream(served.url).readall())

    assert (failure.reason, failure.kind) == ("corrupt", "truncated")
    assert "1000 of 2000" in failure.detail


def test_silence_is_taken_up_again(web: Any) -> None:
    served = web.add("/a", DATA, steps=[web.step(hold_after=400_000)])

    assert quick(timeout_s=0.3).stream(served.url).readall() == DATA
    assert served.requests[1].range == "400000-"


def test_from_the_middle(web: Any) -> None:
    served = web.add("/a", DATA, steps=[web.step(cut_after=50_000, orderly=True)])

    with quick().stream(served.url, 600_000, '"v1"') as stream:
        assert (stream.position, stream.total) == (600_000, len(DATA))
        assert stream.readall() == DATA[600_000:]
        assert stream.sha256 == hashlib.sha256(DATA[600_000:]).hexdigest()
    assert [asked.range for asked in served.requests] == ["600000-", "650000-"]
    with quick().stream(served.url, len(DATA), '"v1"') as stream:
        assert stream.readall() == b""


def test_from_the_middle_of_a_server_without_ranges(web: Any) -> None:
    served = web.add(
        "/a", DATA, steps=[web.step(cut_after=650_000, ignore_range=True, orderly=True)],
        always=web.step(ignore_range=True),
    )  # fmt: skip

    assert quick().stream(served.url, 600_000, '"v1"').readall() == DATA[600_000:]
    assert quick().stream(served.url, 600_000).readall() == DATA[600_000:]


@pytest.mark.parametrize("start", [0, 300_000])
def test_server_that_names_no_version_is_read_again_and_compared(web: Any, start: int) -> None:
    cut = web.step(cut_after=500_000, orderly=True)
    same = web.add("/same", DATA, etag="", steps=[cut])
    other = web.add("/other", DATA, etag="", steps=[cut], later=(1, DATA[:499_000] + OTHER[499_000:], ""))

    assert quick().stream(same.url, start).readall() == DATA[start:]
    assert same.requests[1].range == ""
    stream = quick().stream(other.url, start)
    failure = refusal(stream.readall)
    assert (failure.reason, failure.kind, stream.position) == ("corrupt", "changed", start + 500_000)


@pytest.mark.parametrize("careless", [False, True], ids=["honours-if-range", "ignores-if-range"])
def test_another_version_on_the_way_is_an_error(web: Any, careless: bool) -> None:
    served = web.add(
        "/a",
        DATA,
        steps=[web.step(cut_after=500_000, orderly=True)],
        always=web.step(ignore_if_range=careless),
        later=(1, OTHER, '"v2"'),
    )
    stream = quick().stream(served.url)
    got = io.BytesIO()

    def read() -> None:
        while block := stream.read(1 << 16):
            got.write(block)

    failure = refusal(read)

    assert (failure.reason, failure.kind) == ("corrupt", "changed")
    assert '"v2"' in failure.detail
    assert got.getvalue() == DATA[:500_000]


def test_another_version_under_the_same_marks_is_an_error_where_it_shows(web: Any) -> None:
    # a server that sends the whole file again: the bytes tell; one that sends the rest of a longer one: its size
    cut = web.step(cut_after=500_000, orderly=True)
    whole = web.add("/whole", DATA, steps=[cut, web.step(ignore_range=True)], later=(1, OTHER, '"v1"'))
    longer = web.add("/longer", DATA, steps=[cut], later=(1, DATA + b"more", '"v1"'))
    shorter = web.add("/shorter", DATA, steps=[cut], later=(1, DATA[:5000], '"v1"'))

    for served in (whole, longer, shorter):
        stream = quick().stream(served.url)
        assert (refusal(stream.readall).kind, stream.position) == ("changed", 500_000)


def test_version_asked_for_is_the_one_given(web: Any) -> None:
    served = web.add("/a", DATA, last_modified="Wed, 01 Jan 2025 00:00:00 GMT")
    nameless = web.add("/b", DATA, etag="")

    assert quick().stream(served.url, 0, '"v1"').read(1) == DATA[:1]
    assert quick().stream(served.url, 500, "Wed, 01 Jan 2025 00:00:00 GMT").read(1) == DATA[500:501]
    for start in (0, 500):
        failure = refusal(lambda start=start: quick().stream(served.url, start, '"v0"'))
        assert (failure.reason, failure.kind) == ("corrupt", "changed")
    assert refusal(lambda: quick().stream(nameless.url, 500, '"v1"')).kind == "changed"
    assert refusal(lambda: quick().stream(served.url, len(DATA) + 1, '"v1"')).kind == "changed"


@pytest.mark.parametrize("shift", [-3, 7])
def test_range_that_was_not_asked_for_is_refused(web: Any, shift: int) -> None:
    served = web.add("/a", DATA, steps=[web.step(cut_after=500_000, orderly=True), web.step(shift=shift)])
    ever = web.add("/b", DATA, always=web.step(shift=shift))

    assert quick().stream(served.url).readall() == DATA
    failure = refusal(lambda: quick().stream(ever.url, 1000, '"v1"'))
    assert (failure.reason, failure.kind, failure.attempts) == ("network", "range", 3)


def test_lengths_that_are_not_declared(web: Any) -> None:
    chunked = web.add("/chunked", DATA, steps=[web.step(chunked=True, cut_after=500_000, orderly=True)])
    bare = web.add("/bare", DATA, steps=[web.step(length=-1)])
    chunks = web.add("/chunks", DATA, always=web.step(chunked=True, block=999))

    for served in (chunked, bare, chunks):
        stream = quick().stream(served.url)
        assert stream.readall() == DATA
        assert stream.total == len(DATA)


def test_bytes_are_given_as_sent(web: Any) -> None:
    encoded = web.step(headers={"Content-Encoding": "gzip"})
    packed = web.add("/part_0.tar.gz", DATA, always=encoded)
    video = web.add("/a.mp4", DATA, always=encoded)

    assert quick().stream(f"{packed.url}?versionId=3").readall() == DATA
    assert refusal(lambda: quick().stream(video.url)).kind == "encoding"


def test_buffered_reading_over_it(web: Any) -> None:
    served = web.add("/a", DATA, steps=[web.step(cut_after=123_456, orderly=True)])

    with io.BufferedReader(quick().stream(served.url), 1 << 16) as reader:
        assert reader.read(200_000) == DATA[:200_000]
        assert reader.peek(1)[:1] == DATA[200_000:200_001]
        assert reader.read() == DATA[200_000:]
