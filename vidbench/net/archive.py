"""The files of a tar archive, packed or not, one after another as its bytes come in."""

from __future__ import annotations

import hashlib
import io
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar, cast

from vidbench.errors import disk_errors
from vidbench.net.request import Failure

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK_BYTES = 1 << 18
_GZIP = b"\x1f\x8b"
# how half-written files of vidbench end, so that a later run of the job can sweep them away
_PART = ".vbpart"
# headers that hold names and the like; a longer one is an attack on memory
_LONGEST_TEXT = 1 << 20
_TEXT_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# how often the end may be met by one who looks for headers and bodies of sound archives, and some more
_ENDS = 8
_OTHER_FORMATS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"<": "a web page",
}
# control characters, and the stand-ins for bytes that are no UTF-8
_NO_TEXT = ("Cc", "Cs")

T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: As in the archive.
        path: The name without "." parts; folders that are part of it are kept.
        size: Bytes.
        offset: Where its header begins, in a plain tar: a stream from there on gives it and what follows. None in a
            packed one, which can be read from its beginning only.
    """

    name: str
    path: PurePosixPath
    size: int
    offset: int | None


def members(
    stream: BinaryIO | io.RawIOBase,
    *,
    start_offset: int = 0,
    refused: Callable[[str, str], None] = lambda name, why: None,
) -> Iterator[tuple[Member, BinaryIO]]:
    """Walk a tar or tar.gz archive once, forward; nothing is written.

    Which of the two it is, is told by its first bytes, not by its name. A body can be read until the next member
    is asked for; what is not read is passed over. Folders, AppleDouble files (`._*`) and `__MACOSX` are left
    out. A walk to the end has read `stream` to its end, and checked the gzip checksum.

    To take up the walk of a plain tar again, open the stream at the `offset` of the first member that is wanted and
    give that as `start_offset`. A packed one is walked from its beginning; pass over the members that you have.

    Args:
        stream: Read with `read` alone.
        start_offset: Where in a plain tar the stream begins.
        refused: Told the name of a member that is not given, and why: links, devices, sparse files, absolute paths,
            "..", names that are no text.

    Raises:
        Failure: "corrupt", with the kind "truncated", "crc", "header", "gzip" or "format" (not such an archive).
    """
    source = _Source(stream)
    packed = source.head.startswith(_GZIP)
    content = _Ending(_Gunzip(source) if packed else source)
    with _opened(content, source.head) as archive:
        while (info := _step(archive.next)) is not None:
            why = _why_not(info)
            if why is None:
                continue
            if why:
                refused(info.name, why)
                continue
            offset = None if packed else start_offset + info.offset
            with _Body(archive, info) as body:
                yield Member(info.name, PurePosixPath(info.name), info.size, offset), cast(BinaryIO, body)
    while content.read(_BLOCK_BYTES):
        pass


def save(member: Member, body: BinaryIO, target: Path, check: Callable[[Path], None] | None = None) -> tuple[int, str]:
    """Write a member to `target`, which appears whole or not at all; gives its bytes and sha256, in hex.

    It is gathered in `<target>.vbpart`. A file of that name is replaced; the folder is made.

    Args:
        member: What `members` gave.
        body: What it gave beside it, unread.
        target: Where to; nothing in the archive decides about it.
        check: Looks at the whole file, under its temporary name, and raises to refuse it; nothing is kept then.

    Raises:
        Failure: The archive ends too early, or the check refused.
        MissingError: The disk is full.
    """
    part = target.with_name(f"{target.name}{_PART}")
    digest, size = hashlib.sha256(), 0
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb", buffering=0) as stream:
                while block := body.read(_BLOCK_BYTES):
                    left = memoryview(block)
                    while left:
                        left = left[stream.write(left) :]
                    digest.update(block)
                    size += len(block)
            if size != member.size:
                raise Failure("corrupt", "truncated", f"{member.name}: {size} of {member.size} bytes")
            if check is not None:
                check(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return size, digest.hexdigest()


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Source:
    """A stream whose first bytes have been looked at."""

    def __init__(self, stream: BinaryIO | io.RawIOBase) -> None:
        self._stream = stream
        self.head = b""
        while len(self.head) < 6 and (more := stream.read(6 - len(self.head))):
            self.head += more
        self._left = self.head

    def read(self, size: int, /) -> bytes:
        if self._left:
            block, self._left = self._left[:size], self._left[size:]
            return block
        return self._stream.read(size) or b""


class _Ending:
    """Content whose end is not read over and over: tarfile would, to skip a member that claims to be endless."""

    def __init__(self, content: _Readable) -> None:
        self._content = content
        self._ends = 0

    def read(self, size: int, /) -> bytes:
        block = self._content.read(size)
        self._ends += not block
        if self._ends > _ENDS:
            raise Failure("corrupt", "truncated", "the archive ends before a member does")
        return block


class _Gunzip:
    """What a gzip stream holds, its checksums checked; any number of gzip members in a row are one."""

    def __init__(self, source: _Readable) -> None:
        self._source = source
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._packed = b""
        self._begun = False

    def read(self, size: int, /) -> bytes:
        while True:
            if not self._packed:
                self._packed = self._source.read(_BLOCK_BYTES)
            if not self._packed:
                if self._begun:
                    raise Failure("corrupt", "truncated", "the gzip stream ends too early")
                return b""
            if not self._begun:
                # between members: tar pads its output to whole blocks on some media
                self._packed = self._packed.lstrip(b"\0")
                if not self._packed:
                    continue
                self._begun = True
            try:
                block = self._inflate.decompress(self._packed, size)
            except zlib.error as error:
                kind = "crc" if "incorrect" in str(error) and "header" not in str(error) else "gzip"
                raise Failure("corrupt", kind, f"the gzip stream is damaged: {error}") from error
            self._packed = self._inflate.unconsumed_tail
            if self._inflate.eof:
                self._packed = self._inflate.unused_data
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
                self._begun = False
            if block:
                return block


class _Header(tarfile.TarInfo):
    """A header that says what is wrong with it; `tarfile` takes a damaged one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _TEXT_HEADERS and header.size > _LONGEST_TEXT):
            raise Failure("corrupt", "header", f"a header claims {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise Failure("corrupt", "truncated", f"the archive ends without its end mark: {error}") from error
        except tarfile.HeaderError as error:
            raise Failure("corrupt", "header", f"damaged: {error}") from error


class _Body(io.RawIOBase):
    """The bytes of one member, until the next one is asked for."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        super().__init__()
        self._stream = cast("io.BufferedReader | None", _step(lambda: archive.extractfile(info)))
        self._info = info
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise ValueError("a member can be read until the next one is asked for")
        stream = self._stream
        room = memoryview(buffer).cast("B")
        if stream is None or not room:
            return 0
        count = _step(lambda: stream.readinto(room)) or 0
        self._given += count
        if not count and self._given < self._info.size:
            raise Failure("corrupt", "truncated", f"{self._info.name}: {self._given} of {self._info.size} bytes")
        return count


def _opened(content: _Readable, head: bytes) -> tarfile.TarFile:
    """Read the first header; `head` is how the file begins, to say what it is instead of an archive."""
    try:
        return _step(lambda: tarfile.open(fileobj=content, mode="r|", bufsize=_BLOCK_BYTES, tarinfo=_Header))  # type: ignore[call-overload,no-any-return]
    except Failure as failure:
        if not head:
            raise Failure("corrupt", "format", "an empty file, not a tar archive") from failure
        # only now: a name in a tar may begin in any way
        kind = next((name for magic, name in _OTHER_FORMATS.items() if head.startswith(magic)), "")
        if kind or failure.kind == "header":
            raise Failure("corrupt", "format", f"{kind or 'something else'}, not a tar or tar.gz archive") from failure
        raise


def _step(step: Callable[[], T]) -> T:
    """Do a step of tarfile; what it raises over damaged archives becomes a `Failure`."""
    try:
        return step()
    except (tarfile.ReadError, EOFError) as error:
        raise Failure("corrupt", "truncated", f"the archive ends too early: {error}") from error
    except (tarfile.TarError, ValueError, IndexError, KeyError, ArithmeticError) as error:
        raise Failure("corrupt", "header", f"a damaged archive: {error}") from error


def _why_not(info: tarfile.TarInfo) -> str | None:
    """Why a member is not given; "" for one that is, None for one not worth a word."""
    parts = info.name.split("/")
    if info.isdir() or parts[-1].startswith("._") or "__MACOSX" in parts:
        return None
    if info.issym() or info.islnk():
        return f"a link to {info.linkname!r}"
    if info.issparse():
        return "a sparse file"
    if not info.isreg():
        return "a device or pipe"
    if info.name.startswith("/"):
        return "an absolute path"
    if ".." in parts:
        return "a path with .."
    if any(unicodedata.category(sign) in _NO_TEXT for sign in info.name):
        return "a name with characters that are no text"
    if not PurePosixPath(info.name).name:
        return "no name"
    return ""
