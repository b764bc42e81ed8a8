"""Any list of links: files by their addresses, or videos of sites that yt-dlp knows."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from vidbench.data import youtube
from vidbench.data.fetching import Fetcher, Plan, Want, Wanted, check_video
from vidbench.data.folders import is_video_name
from vidbench.data.sources import Source
from vidbench.errors import InputError, disk_errors
from vidbench.formats.kinetics import line_errors
from vidbench.ledger import FOLDER, OK
from vidbench.net.http import Failure
from vidbench.runs import file_sha256

_SHAPE = "A line is a link, and perhaps a tab and the name of the file; lines that begin with # are remarks."


def fetch(fetcher: Fetcher, source: Source, want: Want) -> Plan:
    """Fetch what the links lead to, into the folder itself."""
    assert want.file is not None
    items = read_links(want.file, by_site=want.via == "youtube")[: want.selection.limit]
    plan = Plan(items=items, wanted=len(items), here=sum(map(fetcher.has, items)))
    if fetcher.dry:
        if want.via != "youtube":
            plan.bytes = fetcher.sizes([item.url for item in items if not fetcher.has(item)])
        return plan
    fetcher.ledger.plan(len(items), "links")
    left = fetcher.left(items)
    with fetcher.progress("links", items, "links"):
        if want.via == "youtube":
            fetcher.each(left, partial(_video, fetcher, want), 1 if want.pause_s else None)
        else:
            fetcher.each(left, fetcher.download)
    return plan


def read_links(path: Path, by_site: bool = False) -> list[Wanted]:
    """The links of a file, with the names that they get: the last part of the address, unless the line has one.

    Args:
        path: Lines of `link` or `link<tab>name`.
        by_site: Whether the links are pages, whose videos are mp4 files named by line number unless the line has
            a name.

    Raises:
        InputError: Lines that are no links, or two of one name.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of links: {error}", _SHAPE) from error
    found: dict[str, tuple[int, Wanted]] = {}
    problems: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        link, _, name = (part.strip() for part in line.strip().partition("\t"))
        if not link or link.startswith("#"):
            continue
        if urlsplit(link).scheme not in ("http", "https"):
            problems.append((number, f"{link[:80]!r} is not an http or https address"))
            continue
        if not name:
            name = f"{number:06d}.mp4" if by_site else PurePosixPath(unquote(urlsplit(link).path)).name
        if not name or name in (".", "..") or "/" in name or name.startswith(".") or not name.isprintable():
            problems.append((number, f"{name!r} cannot be the name of a file; give one after a tab"))
        elif name in found:
            problems.append((number, f"{name!r} is the name of line {found[name][0]}, too; give another after a tab"))
        else:
            found[name] = number, Wanted(name, link, is_video=by_site or is_video_name(name))
    if problems:
        raise line_errors(path, problems, _SHAPE)
    if not found:
        raise InputError(f"{path}: the list is empty", _SHAPE)
    return [item for _, item in found.values()]


def _video(fetcher: Fetcher, want: Want, item: Wanted) -> None:
    """Bring the video behind a page, whole."""
    started = time.monotonic()
    target = fetcher.out / item.name
    stem = fetcher.out / FOLDER / "youtube" / PurePosixPath(item.name).stem
    with disk_errors(target):
        stem.parent.mkdir(parents=True, exist_ok=True)
    try:
        got = youtube.download(
            item.url,
            stem,
            timeout_s=want.timeout_s,
            rate=want.rate,
            cookies=want.cookies,
            stopped=fetcher.stopped,
        )
        check_video(got)
    except Failure as failure:
        fetcher.refuse(item, failure, url=item.url)
    else:
        size, sha256 = got.stat().st_size, file_sha256(got)
        got.replace(target)
        fetcher.record(
            item,
            OK,
            attempts=1,
            bytes=size,
            sha256=sha256,
            url=item.url,
            seconds=round(time.monotonic() - started, 3),
        )
    fetcher.pause(want.pause_s)
