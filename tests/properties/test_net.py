"""Lines that break anywhere, any number of times, and archives cut anywhere: the same bytes or a clear refusal."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import random
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidbench.net.archive import members
from vidbench.net.http import Failure, Http

SIZE = 70_000
DATA = random.Random(1).randbytes(SIZE)
NUMBER = itertools.count()

# where an answer is cut, how, and what the server gets wrong in it
cuts = st.lists(
    st.fixed_dictionaries(
        {
            "cut_after": st.integers(0, SIZE - 1),
            "orderly": st.booleans(),
            "ignore_range": st.booleans(),
            "chunked": st.booleans(),
            "shift": st.sampled_from([0, 0, 0, 1, -1]),
        }
    ),
    max_size=6,
)
# the server lives longer than one example, its paths do not
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def outcome(action: Callable[[], object]) -> str | None:
    """The reason of a failure, None where all went well."""
    try:
        action()
    except Failure as failure:
        return failure.reason
    return None


def read_all(data: bytes) -> None:
    for _, body in members(io.BytesIO(data)):
        body.read()


def served_with(web: Any, steps: list[dict[str, Any]], etag: str) -> Any:
    return web.add(f"/{next(NUMBER)}.bin", DATA, etag=etag, steps=[web.step(block=5000, **step) for step in steps])


def patient(steps: list[dict[str, Any]]) -> Http:
    return Http(attempts=2 * len(steps) + 2, backoff_s=0, timeout_s=10)


@shared
@given(steps=cuts, etag=st.sampled_from(['"v1"', ""]))
def test_download_over_any_cuts(web: Any, steps: list[dict[str, Any]], etag: str) -> None:
    served = served_with(web, steps, etag)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "a"

        received = patient(steps).download(served.url, target)

        assert target.read_bytes() == DATA
        assert received.sha256 == hashlib.sha256(DATA).hexdigest()
        assert [path.name for path in target.parent.iterdir()] == ["a"]
    assert received.attempts == len(served.requests)


@shared
@given(
    steps=cuts, etag=st.sampled_from(['"v1"', ""]), start=st.sampled_from([0, 1, SIZE // 2]), size=st.integers(1, SIZE)
)
def test_stream_over_any_cuts(web: Any, steps: list[dict[str, Any]], etag: str, start: int, size: int) -> None:
    served = served_with(web, steps, etag)
    got = bytearray()

    with patient(steps).stream(served.url, start) as stream:
        while block := stream.read(size):
            got += block

    assert got == DATA[start:]
    assert stream.sha256 == hashlib.sha256(DATA[start:]).hexdigest()
    assert stream.attempts == len(served.requests)


@shared
@given(first=st.integers(0, SIZE - 1), second=st.integers(0, SIZE - 1), part=st.binary(max_size=100))
def test_download_in_calls_that_all_break_but_the_last(web: Any, first: int, second: int, part: bytes) -> None:
    served = served_with(web, [{"cut_after": cut, "orderly": True} for cut in (first, second)], '"v1"')
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "a"
        # of unknown origin: must not be continued
        target.with_name("a.part").write_bytes(part)
        http = Http(attempts=1)
        calls = 0
        while not target.exists():
            calls += 1
            assert outcome(partial(http.download, served.url, target)) in (None, "network")
        assert target.read_bytes() == DATA
        assert [path.name for path in target.parent.iterdir()] == ["a"]
    assert calls <= 3


names = st.text(
    st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="/"), min_size=1, max_size=130
)
paths = (
    st.lists(names, min_size=1, max_size=3)
    .filter(lambda parts: not {".", "..", "__MACOSX"} & set(parts) and not parts[-1].startswith("._"))
    .map("/".join)
)
forms = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def tar(files: dict[str, bytes], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


@given(st.dictionaries(paths, st.binary(max_size=2000), max_size=4), forms, st.booleans())
def test_archives_give_what_was_put_in(files: dict[str, bytes], form: int, packed: bool) -> None:
    data = tar(files, form)

    found = {member.name: body.read() for member, body in members(io.BytesIO(gzip.compress(data) if packed else data))}

    assert found == files


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4), forms, st.booleans(), st.data())
def test_archive_cut_anywhere_is_refused_and_gives_no_wrong_byte(
    bodies: list[bytes], form: int, packed: bool, data: st.DataObject
) -> None:
    files = {f"{index}.mp4": body for index, body in enumerate(bodies)}
    whole = tar(files, form)
    mark = tarfile.BLOCKSIZE * sum(1 + -(-len(body) // tarfile.BLOCKSIZE) for body in bodies)
    if packed:
        whole = gzip.compress(whole)
        mark = len(whole) - 1
    found: dict[str, bytes] = {}

    def walk(data: bytes) -> None:
        for member, body in members(io.BytesIO(data)):
            found[member.name] = body.read()

    assert outcome(partial(walk, whole[: data.draw(st.integers(0, mark))])) == "corrupt"
    assert found.items() <= files.items()


@given(st.binary(max_size=3000), st.booleans())
def test_any_bytes_are_an_archive_or_refused(data: bytes, packed: bool) -> None:
    assert outcome(partial(read_all, gzip.compress(data) if packed else data)) in (None, "corrupt")


@given(st.lists(st.tuples(st.integers(0, 4 * 512 - 1), st.integers(0, 255)), min_size=1, max_size=4), forms)
def test_tar_with_wrong_bytes_is_walked_or_refused(changes: list[tuple[int, int]], form: int) -> None:
    data = bytearray(tar({"ä" * 80: b"1" * 600, "b": b"2"}, form))
    for at, value in changes:
        data[at] = value
    assert outcome(partial(read_all, bytes(data))) in (None, "corrupt")
