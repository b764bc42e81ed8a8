"""The raw lines of a text file: marks, line ends, encoding, empty lines; and the rows of one video at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

from vidbench.label.check_rules.rule import Findings, Loader, rule

BOM = rule(
    "text-bom",
    "error",
    "Save the file as UTF-8 without byte order mark.",
    every="takes the mark for the beginning of the first name",
)
CRLF = rule("text-crlf", "note", "Nothing has to be done; Unix line ends keep the file the same under git and diff.")
ENCODING = rule(
    "text-encoding",
    "error",
    "Save the file as UTF-8.",
    every="UnicodeDecodeError, or other letters, depending on the machine's locale",
)
BLANK = rule(
    "text-blank-line",
    "error",
    "Take the empty line out.",
    pyslowfast="IndexError in a file of boxes, AssertionError in a frame list or among excluded seconds",
    mmaction2="IndexError in a file of boxes, ValueError among excluded seconds",
    pytorchvideo="KeyError in a file of boxes, AssertionError in a frame list",
)
UNREADABLE = rule("text-unreadable", "error", "See that the file can be read.", every="cannot open it")

_MARK = b"\xef\xbb\xbf"


def lines_of(
    path: Path, found: Findings, readers: tuple[Loader, ...], loose: bool = False
) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not empty, without its end; what is wrong with the text is told.

    Args:
        path: The file.
        found: Where findings go.
        readers: The loaders that read this file.
        loose: The file's readers mind neither empty lines nor a byte order mark.
    """
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                text = _text(path, number, raw, found, readers, loose)
                if text is not None:
                    yield number, text
    except OSError as error:
        found.add(UNREADABLE, path, None, f"cannot be read: {error.strerror}", readers)


def videos_of(
    path: Path, found: Findings, readers: tuple[Loader, ...]
) -> Iterator[tuple[str, Iterator[tuple[int, str]]]]:
    """Each video of a csv file with its lines by rising number, in the order in which videos first come.

    The file may be in any order, and no more than one line is held: a first reading notes where the rows of a video
    begin and end, a second one reads them video by video.
    """
    try:
        runs = _runs(path)
        with path.open("rb") as stream:
            for name, spans in runs.items():

                def rows(spans: array[int] = spans) -> Iterator[tuple[int, str]]:
                    for at in range(0, len(spans), 3):
                        offset, first, count = spans[at : at + 3]
                        stream.seek(offset)
                        for number in range(first, first + count):
                            text = _text(path, number, stream.readline(), found, readers)
                            if text is not None:
                                yield number, text

                yield name.decode(errors="replace"), rows()
    except OSError as error:
        found.add(UNREADABLE, path, None, f"cannot be read: {error.strerror}", readers)


def _runs(path: Path) -> dict[bytes, array[int]]:
    """Of each video: offset, first line and number of lines of each run of its rows."""
    runs: dict[bytes, array[int]] = {}
    last: bytes | None = None
    spans: array[int] = array("q")
    offset = 0
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            name = (raw.removeprefix(_MARK) if number == 1 else raw).strip().partition(b",")[0]
            if name == last:
                spans[-1] += 1
            else:
                last = name
                spans = runs.setdefault(name, array("q"))
                spans.extend((offset, number, 1))
            offset += len(raw)
    return runs


def _text(
    path: Path, number: int, raw: bytes, found: Findings, readers: tuple[Loader, ...], loose: bool = False
) -> str | None:
    if number == 1 and raw.startswith(_MARK):
        if not loose:
            found.add(BOM, path, 1, "a byte order mark before the first letter", readers)
        raw = raw[3:]
    if raw.endswith(b"\r\n"):
        found.add(CRLF, path, number, "the line ends with CR LF", readers)
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        found.add(ENCODING, path, number, f"not UTF-8: {error.reason}", readers)
        text = raw.decode(errors="replace").rstrip("\r\n")
    if not text.strip():
        if not loose:
            found.add(BLANK, path, number, "an empty line", readers)
        return None
    return text
