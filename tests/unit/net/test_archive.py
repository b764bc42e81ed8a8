"""Archives walked as they come in: real tars and tar.gz files with all that is found in them."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from vidbench.net.archive import members, save
from vidbench.net.http import Failure, Http

RANDOM = random.Random(1)
VIDEOS = {f"./{'abcdefghij' + sign}_000001_000011.mp4": RANDOM.randbytes(40_000 + ord(sign)) for sign in "-_0aZ"}
BLOCK = tarfile.BLOCKSIZE


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def tar(entries: dict[str, bytes | tarfile.TarInfo], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A plain tar of files, and of headers as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, entry in entries.items():
            if isinstance(entry, bytes):
                archive.addfile(header(name, len(entry)), io.BytesIO(entry))
            else:
                archive.addfile(entry)
    return out.getvalue()


def walk(data: bytes | io.RawIOBase, **settings: Any) -> dict[str, bytes]:
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    return {member.name: body.read() for member, body in members(stream, **settings)}


def reason_of(data: bytes) -> str | None:
    try:
        walk(data)
    except Failure as failure:
        return failure.reason
    return None


def refusal(data: bytes) -> Failure:
    with pytest.raises(Failure) as caught:
        walk(data)
    assert caught.value.reason == "corrupt"
    assert "\n" not in caught.value.detail
    return caught.value


class Dribble(io.RawIOBase):
    """A stream that gives a few bytes at a time, whatever is asked for."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data, self._most = io.BytesIO(data), most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(memoryview(buffer)[: self._most])


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_all_files_come_in_their_order(form: int, pack: Callable[[bytes], bytes]) -> None:
    data = tar(VIDEOS, form)

    assert walk(pack(data)) == VIDEOS
    assert walk(Dribble(pack(data), 777)) == VIDEOS
    found = [member for member, _ in members(io.BytesIO(pack(data)))]
    assert [member.name for member in found] == list(VIDEOS)
    assert [member.path for member in found] == [PurePosixPath(name[2:]) for name in VIDEOS]
    assert [member.size for member in found] == [len(body) for body in VIDEOS.values()]
    assert all((member.offset is None) == (pack is not bytes) for member in found)


def test_offset_of_a_member_takes_the_walk_up_again() -> None:
    long = "x" * 150 + "/" + "y" * 120 + "ä.mp4"
    files = {**VIDEOS, long: b"long name" * 100, "last.mp4": b"last"}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = tar(files, form)
        found = [member for member, _ in members(io.BytesIO(data))]
        for index, member in enumerate(found):
            assert member.offset is not None
            rest = list(members(io.BytesIO(data[member.offset :]), start_offset=member.offset))
            assert [again for again, _ in rest] == found[index:]
            assert walk(data[member.offset :], start_offset=member.offset) == dict(list(files.items())[index:])


def test_what_the_tar_command_writes(tmp_path: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("needs the tar command")
    folder = tmp_path / "mountain climber (exercise)"
    folder.mkdir()
    for name, body in VIDEOS.items():
        (folder / name).write_bytes(body)
    for options, name in (("czf", "a.tar.gz"), ("cf", "b.tar.gz")):
        subprocess.run(["tar", options, name, "--", "./mountain climber (exercise)"], cwd=tmp_path, check=True)

        found = walk((tmp_path / name).read_bytes())

        assert found == {f"./mountain climber (exercise)/{key[2:]}": body for key, body in VIDEOS.items()}


def test_prefixes_are_kept_and_apple_s_companions_left_out() -> None:
    said: list[str] = []
    data = tar(
        {
            "home": header("home", kind=tarfile.DIRTYPE),
            "/abs": header("/abs", kind=tarfile.DIRTYPE),
            "home/me/./a.mp4": b"a",
            "home/me/._a.mp4": b"resource fork",
            "._b.mp4": b"resource fork",
            "__MACOSX/c.mp4": b"c",
            "x/__MACOSX/c.mp4": b"c",
            "..a.mp4": b"two dots in a name",
            ".hidden": b"hidden",
        }
    )

    found = {
        str(member.path): body.read() for member, body in members(io.BytesIO(data), refused=lambda *it: said.append(it))
    }

    assert found == {"home/me/a.mp4": b"a", "..a.mp4": b"two dots in a name", ".hidden": b"hidden"}
    assert said == []


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (header("a", kind=tarfile.SYMTYPE, link="/etc/passwd"), "link to '/etc/passwd'"),
        (header("a", kind=tarfile.LNKTYPE, link="b"), "link to 'b'"),
        (header("a", kind=tarfile.CHRTYPE), "device"),
        (header("a", kind=tarfile.BLKTYPE), "device"),
        (header("a", kind=tarfile.FIFOTYPE), "pipe"),
        (header("/etc/a.mp4"), "absolute"),
        (header("//a.mp4"), "absolute"),
        (header("../a.mp4"), "with .."),
        (header("x/../../a.mp4"), "with .."),
        (header("x/.."), "with .."),
        (header("a\nb.mp4"), "no text"),
        (header("a\x1b[31m.mp4"), "no text"),
        (header("caf\udce9.mp4"), "no text"),
        (header("."), "no name"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_is_refused_is_told_and_the_walk_goes_on(entry: tarfile.TarInfo, why: str, form: int) -> None:
    said: list[tuple[str, str]] = []
    data = tar({"first": b"1", "odd": entry, "last": b"2"}, form)

    found = walk(data, refused=lambda name, reason: said.append((name, reason)))

    assert found == {"first": b"1", "last": b"2"}
    assert [name for name, _ in said] == [entry.name]
    assert why in said[0][1]


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("needs the tar command")
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(50_000_000)
    (tmp_path / "z.mp4").write_bytes(b"z")
    done = subprocess.run(["tar", "cSf", "-", "sparse", "z.mp4"], cwd=tmp_path, capture_output=True, check=False)
    if done.returncode or len(done.stdout) > 1_000_000:
        pytest.skip("this tar writes no sparse files")
    said: list[tuple[str, str]] = []

    assert walk(done.stdout, refused=lambda name, why: said.append((name, why))) == {"z.mp4": b"z"}
    assert said == [("sparse", "a sparse file")]


def test_bodies_may_be_read_in_part_or_not_at_all() -> None:
    data = gzip.compress(tar(VIDEOS))
    seen = {}
    for index, (member, body) in enumerate(members(io.BytesIO(data))):
        if index % 2:
            seen[member.name] = body.read(1000)

    assert seen == {name: body[:1000] for name, body in list(VIDEOS.items())[1::2]}


def test_body_is_closed_when_the_next_one_is_asked_for() -> None:
    walker = members(io.BytesIO(tar(VIDEOS)))
    _, body = next(walker)
    assert body.read(3) == VIDEOS[next(iter(VIDEOS))][:3]
    next(walker)

    with pytest.raises(ValueError, match="until the next"):
        body.read(3)


def test_gzip_in_several_members_and_padded() -> None:
    data = tar(VIDEOS)
    pieces = b"".join(gzip.compress(data[start : start + 50_000]) for start in range(0, len(data), 50_000))

    assert walk(pieces) == VIDEOS
    assert walk(pieces + bytes(3000)) == VIDEOS


def test_empty_archive_holds_nothing() -> None:
    assert walk(tar({})) == {}
    assert walk(gzip.compress(tar({}))) == {}


def test_walk_reads_its_stream_to_the_end() -> None:
    for data in (tar(VIDEOS), gzip.compress(tar(VIDEOS))):
        stream = io.BytesIO(data)
        for _ in members(stream):
            pass
        assert stream.tell() == len(data)


# --- damage ------------------------------------------------------------------------------------------------


def test_plain_tar_that_was_cut_off() -> None:
    data = tar(VIDEOS)
    end = data.rstrip(b"\0")
    first_end = BLOCK + -(-len(next(iter(VIDEOS.values()))) // BLOCK) * BLOCK
    for cut in (100, BLOCK, BLOCK + 1, first_end - 1, first_end, first_end + 10, first_end + BLOCK, len(end) - 5):
        assert refusal(data[:cut]).kind == "truncated", cut


def test_packed_tar_that_was_cut_off() -> None:
    data = gzip.compress(tar(VIDEOS))
    for cut in (2, 5, 10, 100, len(data) // 2, len(data) - 9, len(data) - 8, len(data) - 1):
        assert refusal(data[:cut]).kind == "truncated", cut


def test_packed_tar_with_a_wrong_byte() -> None:
    data = gzip.compress(tar(VIDEOS), compresslevel=0)
    for at in (len(data) // 2, len(data) - 7, len(data) - 2):
        wrong = bytearray(data)
        wrong[at] ^= 1
        failure = refusal(bytes(wrong))
        assert failure.kind == "crc", at
    assert refusal(data + b"garbage").kind == "gzip"


def test_damaged_header_is_not_taken_for_the_end() -> None:
    data = bytearray(tar(VIDEOS))
    second = [member.offset for member, _ in members(io.BytesIO(bytes(data)))][1]
    assert second is not None
    data[second + 3] ^= 1

    assert refusal(bytes(data)).kind == "header"


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"", "empty"), (b"<!DOCTYPE html><html>" + b" " * 900, "web page"), (b"PK\x03\x04" + bytes(900), "zip"),
     (b"BZh91AY&SY" + bytes(900), "bzip2"), (b"\xfd7zXZ\0" + bytes(900), "xz"), (b"hello " * 200, "something else"),
     (gzip.compress(b"id,label\n" * 200, mtime=0), "something else"), (b"<html>short", "web page")],
)  # fmt: skip
def test_what_is_no_archive_says_what_it_is(data: bytes, word: str) -> None:
    failure = refusal(data)

    assert failure.kind == "format"
    assert word in failure.detail


def test_member_whose_name_looks_like_another_format() -> None:
    files = {"<html>.mp4": b"1", "BZh": b"2"}

    assert walk(tar(files)) == files


def raw_header(name: bytes, size: bytes, kind: bytes) -> bytes:
    """A header block with a size field as it is, and a right checksum."""
    block = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size.ljust(12, b"\0") + b"00000000000\0"
    block = (block + b" " * 8 + kind).ljust(257, b"\0") + b"ustar\x0000"
    block = block.ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


@pytest.mark.parametrize("kind", [b"0", b"L", b"K", b"x", b"g", b"S"])
def test_headers_that_attack_memory_or_patience(kind: bytes) -> None:
    negative = b"\xff" + struct.pack(">11s", (-512 & (1 << 88) - 1).to_bytes(11, "big"))
    huge = b"\x80" + (1 << 60).to_bytes(11, "big")
    for size in (negative, huge):
        failure = refusal(raw_header(b"a", size, kind) + bytes(5 * BLOCK))
        assert failure.kind in ("header", "format", "truncated")


@pytest.mark.parametrize(
    "record", [b"12 size=-99\n", b"14 size=many\n", b"99 path=x\n", b"0 a=b\n", b"xx", b"13 hdrcharset"]
)
def test_extended_headers_that_make_no_sense(record: bytes) -> None:
    extended = raw_header(b"x", b"%011o\0" % len(record), b"x") + record.ljust(BLOCK, b"\0")
    data = extended + raw_header(b"a", b"%011o\0" % 5, b"0") + b"hello".ljust(BLOCK, b"\0") + bytes(2 * BLOCK)

    assert reason_of(data) in ("corrupt", None)


def test_bad_lines_are_no_bad_archives(web: Any) -> None:
    data = gzip.compress(tar(VIDEOS))
    served = web.add("/a.tgz", data, steps=[web.step(cut_after=50_000, orderly=True)], always=web.step(status=503))
    http = Http(backoff_s=0.01, attempts=2)

    with http.stream(served.url) as stream, pytest.raises(Failure) as caught:
        walk(stream)

    assert (caught.value.reason, caught.value.kind) == ("network", "http-503")


# --- saving ------------------------------------------------------------------------------------------------


def test_save_writes_whole_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "abcdefghij-_000001_000011.mp4").write_bytes(b"old")
    for member, body in members(io.BytesIO(gzip.compress(tar(VIDEOS)))):
        expected = VIDEOS[member.name]
        assert save(member, body, tmp_path / "out" / member.path) == (
            len(expected),
            hashlib.sha256(expected).hexdigest(),
        )

    found = {f"./{path.name}": path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found == VIDEOS


def test_save_keeps_nothing_of_what_is_refused(tmp_path: Path) -> None:
    seen = []

    def check(path: Path) -> None:
        seen.append((path.name, path.read_bytes()))
        raise Failure("corrupt", "video", "no video")

    walker = members(io.BytesIO(tar(VIDEOS)))
    member, body = next(walker)
    with pytest.raises(Failure, match="no video"):
        save(member, body, tmp_path / "a.mp4", check)

    assert seen == [("a.mp4.vbpart", next(iter(VIDEOS.values())))]
    assert list(tmp_path.iterdir()) == []


def test_save_keeps_nothing_of_what_was_cut_off(tmp_path: Path) -> None:
    data = tar(VIDEOS)[: BLOCK + 1000]
    walker = members(io.BytesIO(data))
    member, body = next(walker)

    with pytest.raises(Failure) as caught:
        save(member, body, tmp_path / "a.mp4")

    assert (caught.value.reason, caught.value.kind) == ("corrupt", "truncated")
    assert list(tmp_path.iterdir()) == []


def test_from_the_network_to_the_disk_over_a_bad_line(web: Any, tmp_path: Path) -> None:
    data = gzip.compress(tar(VIDEOS))
    steps = [web.step(cut_after=30_000, orderly=bool(index % 2)) for index in range(5)]
    served = web.add("/val/part 0.tar.gz", data, steps=steps)

    with Http(backoff_s=0.01).stream(served.url) as stream:
        for member, body in members(stream):
            save(member, body, tmp_path / member.path)
        assert stream.sha256 == hashlib.sha256(data).hexdigest()

    assert {f"./{path.name}": path.read_bytes() for path in tmp_path.iterdir()} == VIDEOS
    assert len(served.requests) > 5
