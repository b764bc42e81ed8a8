"""Charades: frames out of one large tarball, a folder per video, and the frame lists."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from vidbench.data.fetching import Enough, Fetcher, Plan, Want, Wanted
from vidbench.data.jobs import PART
from vidbench.data.sources import Source, at_mirror
from vidbench.errors import InputError, disk_errors
from vidbench.ledger import OK
from vidbench.net.archive import Member
from vidbench.net.http import Failure
from vidbench.records import Json

PARTS = ("frame_lists", "frames")
FRAMES = "Charades_v1_rgb"
_BLOCK = 1 << 20


def fetch(fetcher: Fetcher, source: Source, want: Want) -> Plan:
    """Fetch the frame lists and the frames.

    Files: `frame_lists/{train,val}.csv`, `Charades_v1_rgb/<video>/<video>-000001.jpg`. The tarball is read once,
    forward; after an interruption it is taken up at the video that was not finished.
    """
    lists = [
        Wanted(name, at_mirror(url, want.mirror), is_video=False)
        for name, url in source.extras
        if "frame_lists" in want.parts
    ]
    url = at_mirror(source.parts, want.mirror)
    plan = Plan(items=lists, wanted=len(lists), here=sum(map(fetcher.has, lists)))
    if fetcher.dry:
        left = [item.url for item in lists if not fetcher.has(item)]
        plan.bytes = fetcher.sizes([*left, *([url] if "frames" in want.parts else [])])
        plan.wanted = None if "frames" in want.parts else plan.wanted
        return plan
    with fetcher.progress("charades frame lists", lists, "files"):
        fetcher.each(fetcher.left(lists), fetcher.download)
    if "frames" in want.parts:
        frames = _Frames(fetcher, want, url)
        fetcher.each([url], lambda _: frames.run(), 1)
        plan.items = [*lists, *frames.items]
        plan.here += frames.here
        plan.wanted = len(plan.items)
    return plan


@dataclass
class _Open:
    """The video whose frames come in just now."""

    name: str
    folder: Path
    offset: int | None
    files: int = 0
    bytes: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)


class _Frames:
    """One pass over the tarball."""

    def __init__(self, fetcher: Fetcher, want: Want, url: str) -> None:
        self.fetcher, self.want, self.url = fetcher, want, url
        self.items: list[Wanted] = []
        self.here = 0
        self._open: _Open | None = None
        self._only = _ids(fetcher.out, want.split) if want.split != "all" else None
        if want.selection.ids:
            self._only = set(want.selection.named(sorted(self._only), str) if self._only else want.selection.ids)
        self._archives = fetcher.archives

    def run(self) -> None:
        """Read the tarball from where the last run was, unless all of it was read and is here."""
        held = [r for r in self.fetcher.ledger.records.values() if r.get("archive") == self.url and r["reason"] == OK]
        good = [record for record in held if self.fetcher.has(_item(record["name"]))]
        self.items = [_item(record["name"]) for record in good if self._is_wanted(Path(record["name"]).name)]
        self.here = len(self.items)
        limit = self.want.selection.limit
        total = limit or (len(self._only) if self._only is not None else None)
        self.fetcher.ledger.plan(total or 0, "videos")
        if self._done(len(good) == len(held)):
            return
        offset, version = self._resume(good) if len(good) == len(held) else (0, "")
        with self.fetcher.progress("charades frames", self.items, "videos", total):
            try:
                self._read(offset, version)
            except Failure as failure:
                if failure.kind != "changed" or not offset:
                    raise
                self.fetcher.reporter.warn(f"{self.url} has changed; it is read from its beginning")
                self._read(0, "")
            self._tell_absent()
            if not self.want.selection.ids:
                self._archives.append({"key": self.url, "reason": OK, "split": self.want.split})

    def _tell_absent(self) -> None:
        """A line for each video that was asked for by name, or is listed, and that the tarball does not hold."""
        found = {Path(item.name).name for item in self.items}
        for video in sorted((self._only or set()) - found):
            item = _item(f"{FRAMES}/{video}")
            self.fetcher.record(item, "gone", kind="mirror", detail="not in the tarball", archive=self.url)
            self.items.append(item)

    def _resume(self, records: list[Json]) -> tuple[int, str]:
        """Where to take the tarball up: at the last video that is here, which is then passed over.

        All that is wanted and lies before it is here, unless it was brought for another split.
        """
        passed = [record for record in records if record.get("split") in ("all", self.want.split)]
        places = [(record["offset"], record["version"]) for record in passed if record.get("offset") is not None]
        return max((place for place in places if place[1]), default=(0, ""))

    def _done(self, whole: bool) -> bool:
        limit = self.want.selection.limit
        if limit is not None and len(self.items) >= limit:
            self.items = self.items[:limit]
            return True
        if self._only and len(self.items) == len(self._only):
            return True
        read = self._archives.by_key.get(self.url, {}).get("split") in ("all", self.want.split)
        return whole and read

    def _read(self, offset: int, version: str) -> None:
        seen: set[str] = set()
        for member, body, version_now in self.fetcher.unpack(self.url, offset, version):
            if len(member.path.parts) < 2:
                continue
            video = member.path.parts[-2]
            if self._open and self._open.name != video:
                self._close(version_now)
            if not self._is_wanted(video) or self.fetcher.has(_item(f"{FRAMES}/{video}")):
                continue
            if self._open is None:
                if video in seen:
                    raise Failure("corrupt", "tarball", f"the frames of {video} are not together in {self.url}")
                seen.add(video)
                self._begin(video, member.offset)
            self._store(member, body)
        if self._open:
            self._close("")

    def _is_wanted(self, video: str) -> bool:
        return self._only is None or video in self._only

    def _begin(self, video: str, offset: int | None) -> None:
        folder = self.fetcher.out / FRAMES / f"{video}{PART}"
        with disk_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._open = _Open(video, folder, offset)

    def _store(self, member: Member, body: BinaryIO) -> None:
        assert self._open is not None
        target = self._open.folder / member.path.name
        with disk_errors(target), target.open("xb") as stream:
            while block := body.read(_BLOCK):
                stream.write(block)
                self._open.sha256.update(block)
                self._open.bytes += len(block)
        self._open.files += 1

    def _close(self, version: str) -> None:
        """The video is whole: its folder gets its name, and it gets its line."""
        video, self._open = self._open, None
        assert video is not None
        item = _item(f"{FRAMES}/{video.name}")
        place = self.fetcher.out / item.name
        with disk_errors(video.folder):
            ours = item.key in self.fetcher.ledger.records
            # or its line was lost in a kill, after it had got its name
            if place.is_dir() and (ours or _sizes(place) == _sizes(video.folder)):
                shutil.rmtree(place)
            if place.exists():
                raise InputError(f"{place}: here already, and not from this source", "Move it away, and run again.")
            os.replace(video.folder, place)
        self.fetcher.record(
            item,
            OK,
            files=video.files,
            bytes=video.bytes,
            sha256=video.sha256.hexdigest(),
            archive=self.url,
            offset=video.offset,
            version=version,
            # of a choice nothing can be said of what lies before it
            split="" if self.want.selection.ids else self.want.split,
        )
        self.items.append(item)
        if len(self.items) == self.want.selection.limit or (self._only and len(self.items) == len(self._only)):
            raise Enough


def _sizes(folder: Path) -> dict[str, int]:
    return {entry.name: entry.stat().st_size for entry in os.scandir(folder)}


def _item(name: str) -> Wanted:
    return Wanted(name, is_video=False)


def _ids(out: Path, split: str) -> set[str]:
    path = out / "frame_lists" / f"{split}.csv"
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; it tells which videos are in {split}",
            "Leave out --what, or name frame_lists in it.",
        )
    with path.open(encoding="utf-8") as lines:
        next(lines, None)
        return {line.partition(" ")[0] for line in lines if line.strip()}
