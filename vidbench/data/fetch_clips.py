"""Kinetics: trimmed clips out of the mirror's tarballs, and out of YouTube's videos what the mirror lacks."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from vidbench.data import youtube
from vidbench.data.fetching import CAN_HELP, Enough, Fetcher, Plan, Want, Wanted
from vidbench.data.jobs import PART
from vidbench.data.sources import Source, at_mirror
from vidbench.errors import InputError, disk_errors
from vidbench.formats.annotations import Annotation, decode_annotations, load_annotations
from vidbench.formats.labels import load_labels
from vidbench.ledger import FOLDER, OK
from vidbench.net.archive import Member
from vidbench.net.http import Failure
from vidbench.records import Json
from vidbench.runs import file_sha256
from vidbench.video.clip import VideoError
from vidbench.video.cut import Coding, Span, cut

_PARTLY = "partly"
CLIP_NAME = re.compile(r"[\w-]{11}_\d{6}_\d{6}\.mp4")


def fetch(fetcher: Fetcher, source: Source, want: Want) -> Plan:
    """Fetch a split, or a choice of its clips.

    Files: `annotations/<split>.csv`, `<split>/<class>/<id>_<start>_<end>.mp4`, blanks in class names as
    underscores; a split without labels has no class folders.
    """
    rows = _annotations(fetcher, source, want)
    return _Clips(fetcher, source, want, rows).run()


def _annotations(fetcher: Fetcher, source: Source, want: Want) -> tuple[Annotation, ...]:
    url = at_mirror(source.annotations.format(split=want.split), want.mirror)
    path = fetcher.out / "annotations" / f"{want.split}.csv"
    # a table that another program left here may be a part of one
    ours = path.exists() and path.name in fetcher.archives.by_key
    if fetcher.dry and not ours:
        return decode_annotations(fetcher.http.text(url), url)
    if not ours:
        if path.exists():
            fetcher.reporter.warn(f"{path}: nothing tells where it is from, so it is fetched again")
        received = fetcher.http.download(url, path, check=_check_annotations)
        fetcher.archives.append({"key": path.name, "reason": OK, "url": url, "sha256": received.sha256})
    return load_annotations(path).rows


def _check_annotations(path: Path) -> None:
    try:
        load_annotations(path)
    except InputError as error:
        raise Failure("corrupt", "annotations", error.message.splitlines()[0]) from error


class _Clips:
    """One run over a split."""

    def __init__(self, fetcher: Fetcher, source: Source, want: Want, rows: Iterable[Annotation]) -> None:
        self.fetcher, self.source, self.want = fetcher, source, want
        selection = want.selection
        table = list(rows)
        self.listed = len(table)
        found = selection.named(table, lambda row: row.youtube_id)
        # without a sample, the first so many that arrive are taken, not the first so many of the table
        choice = selection if selection.balanced else replace(selection, limit=None)
        chosen = choice.choose(found, lambda row: row.label, lambda row: row.clip_name)
        self.items = [_wanted(row, want.split) for row in chosen]
        self.by_file = {PurePosixPath(item.name).name: item for item in self.items}
        self.first_of = selection.limit if not selection.balanced else None
        self.plan = Plan(
            items=self.items,
            wanted=min(self.first_of or len(self.items), len(self.items)),
            here=sum(map(fetcher.has, self.items)),
            first_of=self.first_of,
        )
        self.archives = fetcher.archives
        self._turn = threading.Lock()
        self._good = self.plan.here

    def run(self) -> Plan:
        """The mirror, then its replacements, then YouTube; each for what is missing until then."""
        want, fetcher = self.want, self.fetcher
        if fetcher.dry:
            return self._count()
        fetcher.ledger.plan(self.plan.wanted or 0, "clips")
        left = fetcher.left(self.items)
        with fetcher.progress(f"{self.source.name} {want.split}", self.items, "clips", self.plan.wanted):
            if want.via != "youtube" and left and not self._full():
                left = self._from_mirror(left)
            if want.via != "mirror" and not self._full():
                left += self._not_asked_for()
                self._from_youtube(left)
        return self.plan

    def _not_asked_for(self) -> list[Wanted]:
        """What the mirror failed to give in an earlier run, which YouTube has not been asked for."""
        records = self.fetcher.ledger.records
        found = [item for item in self.items if item.key in self.fetcher.skipped]
        found = [item for item in found if records[item.key].get("via") != "youtube"]
        self.fetcher.skipped -= {item.key for item in found}
        return found

    def _full(self) -> bool:
        return self.first_of is not None and self._good >= self.first_of

    def _took(self) -> None:
        """Count a clip that is here now.

        Raises:
            Enough: It was the last one wanted.
        """
        with self._turn:
            self._good += 1
            if self._full():
                raise Enough

    # --- the mirror -----------------------------------------------------------------------------------------

    def _parts(self) -> list[str]:
        address = at_mirror(self.source.parts.format(split=self.want.split), self.want.mirror)
        lines = self.fetcher.http.text(address).decode("utf-8", "replace").splitlines()
        urls = [at_mirror(line.strip(), self.want.mirror) for line in lines if line.strip()]
        if bad := [url for url in urls if urlsplit(url).scheme not in ("http", "https")]:
            raise Failure("corrupt", "parts", f"{address} is no list of addresses: {bad[0][:80]!r}")
        return self._of_classes(urls)

    def _of_classes(self, urls: list[str]) -> list[str]:
        """Where each tarball is one class, those of the classes that are wanted."""
        table = load_labels(self.source.table)
        classes = {url: table.find(_stem(url)) for url in urls}
        if None in classes.values():
            return urls
        wanted = {table.find(item.label) for item in self.items}
        return [url for url in urls if classes[url] in wanted]

    def _needed(self, parts: list[str], left: list[Wanted], again: bool = False) -> list[str]:
        """The tarballs that hold what is left, as far as is known, or else may hold it.

        `again` is for replacements, which hold what another tarball has as well.
        """
        names = {PurePosixPath(item.name).name for item in left}
        records = self.archives.by_key
        unknown = names if again else names.difference(*(record.get("names", ()) for record in records.values()))
        found = []
        for part in parts:
            record = records.get(part)
            if record is None:
                needed = bool(unknown)
            elif record["reason"] in (OK, _PARTLY):
                needed = not names.isdisjoint(record["names"]) or (record["reason"] == _PARTLY and bool(unknown))
            else:
                needed = record["reason"] in self.want.retry
            if needed:
                found.append(part)
        return found

    def _from_mirror(self, left: list[Wanted]) -> list[Wanted]:
        parts = self._parts()
        unread = self._unpack_all(self._needed(parts, left), left)
        left = self._left(left)
        broken = [item for item in left if self._reason(item) == "corrupt"]
        absent = [item for item in left if self._reason(item) is None]
        if self.source.replacements and (broken or (absent and not unread)) and not self._full():
            url = at_mirror(self.source.replacements, self.want.mirror)
            failed = self._unpack_all(self._needed([url], left, again=True), left)
            unread |= {key: record for key, record in failed.items() if record["reason"] != "gone"}
            left = self._left(left)
        if any(record["reason"] in CAN_HELP for record in unread.values()):
            # what may still be at the mirror is left for the next run; YouTube gives each clip at a high price
            absent = [item for item in left if self._reason(item) != "corrupt"]
            self._tell_absent(absent, unread)
            return [item for item in left if self._reason(item) == "corrupt"]
        if self.want.via == "mirror" or not youtube.at_hand():
            self._tell_absent(left, unread)
        return left

    def _left(self, items: list[Wanted]) -> list[Wanted]:
        return [item for item in items if not self.fetcher.has(item)]

    def _reason(self, item: Wanted) -> str | None:
        record = self.fetcher.ledger.records.get(item.key)
        return record["reason"] if record else None

    def _unpack_all(self, parts: list[str], left: list[Wanted]) -> dict[str, Json]:
        """Read tarballs; gives those that could not be read to their end, with their records."""
        unread: dict[str, Json] = {}
        open_items = {PurePosixPath(item.name).name for item in left}

        def one(url: str) -> None:
            try:
                self._unpack(url, open_items)
            except Failure as failure:
                record = {"key": url, "reason": failure.reason, "kind": failure.kind, "detail": failure.detail}
                self.archives.append(record)
                unread[url] = record
                self.fetcher.reporter.warn(f"{url}: {failure.detail}")
                if failure.reason == "throttled":
                    self.fetcher.throttle(failure.detail)

        # the first so many are the same ones every time only if the tarballs come one after the other
        self.fetcher.each(parts, one, 1 if self.first_of else None)
        return unread

    def _unpack(self, url: str, open_items: set[str]) -> None:
        names: list[str] = []
        reason = _PARTLY
        try:
            for member, body, _ in self.fetcher.unpack(url):
                if CLIP_NAME.fullmatch(member.path.name):
                    names.append(member.path.name)
                    self._take(member, body, url, open_items)
            reason = OK
        finally:
            if names or reason == OK:
                self.archives.append({"key": url, "reason": reason, "names": names})
        strange = sum(name not in self.by_file for name in names)
        if strange and len(self.items) == self.listed:
            self.plan.notes.append(f"{url} holds {strange} clips that the annotations do not name; they are left out")

    def _take(self, member: Member, body: BinaryIO, url: str, open_items: set[str]) -> None:
        """Keep a clip that is wanted and not here.

        Raises:
            Enough: It was the last one.
        """
        name = member.path.name
        item = self.by_file.get(name)
        if item is None or name not in open_items or self.fetcher.has(item):
            return
        if self.fetcher.keep(item, member, body, url):
            with self._turn:
                open_items.discard(name)
            self._took()
            if not open_items:
                raise Enough

    def _tell_absent(self, left: list[Wanted], unread: dict[str, Json]) -> None:
        """A line for what the mirror did not give: gone, or as good as its tarball."""
        if self._full():
            return
        for item in left:
            if self._reason(item) not in (None, "gone", "network", "throttled", "tool"):
                continue
            if unread:
                first = next(iter(unread.values()))
                self.fetcher.record(
                    item,
                    first["reason"],
                    kind="tarball",
                    detail=f"a tarball was not read to its end: {first['detail']}",
                )
            else:
                self.fetcher.record(item, "gone", kind="mirror", detail="in no tarball of the mirror")
        if left and not unread and self.want.via is None:
            self.plan.notes.append(
                f"{len(left)} clips are not at the mirror; to look for them at YouTube: pip install 'vidbench[youtube]'"
            )

    # --- YouTube --------------------------------------------------------------------------------------------

    def _from_youtube(self, left: list[Wanted]) -> None:
        if not left:
            return
        if not youtube.at_hand():
            if self.want.via == "youtube":
                raise youtube.missing()
            return
        work = self.fetcher.out / FOLDER / "youtube"
        with disk_errors(work):
            work.mkdir(parents=True, exist_ok=True)
        workers = 1 if self.want.pause_s or self.first_of else None
        self.fetcher.each(left, partial(self._clip, work), workers)

    def _clip(self, work: Path, item: Wanted) -> None:
        """Download one video, cut the clip out of it, and remove the video."""
        url = self.want.youtube_url.replace("{id}", item.video)
        started = time.monotonic()
        folder = work / hashlib.sha256(item.key.encode()).hexdigest()[:16]
        target = self.fetcher.out / item.name
        with disk_errors(target):
            folder.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with disk_errors(target):
                video = youtube.download(
                    url,
                    folder / "video",
                    timeout_s=self.want.timeout_s,
                    rate=self.want.rate,
                    cookies=self.want.cookies,
                    stopped=self.fetcher.stopped,
                )
                assert item.span is not None
                part = target.with_name(f"{target.name}{PART}")
                made = cut(video, Span(*item.span), part, Coding(), name=target.name)
                size, sha256 = part.stat().st_size, file_sha256(part)
                part.replace(target)
        except Failure as failure:
            if failure.reason not in self.want.retry:
                shutil.rmtree(folder, ignore_errors=True)
            self.fetcher.refuse(item, failure, url=url, via="youtube")
        except VideoError as error:
            shutil.rmtree(folder, ignore_errors=True)
            self.fetcher.refuse(item, Failure("corrupt", "video", str(error)), url=url, via="youtube")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            self.fetcher.record(
                item,
                OK,
                attempts=1,
                bytes=size,
                sha256=sha256,
                url=url,
                via="youtube",
                frames=made.frames,
                detail=made.short,
                seconds=round(time.monotonic() - started, 3),
            )
            self._took()
        self.fetcher.pause(self.want.pause_s)

    # --- a dry run ------------------------------------------------------------------------------------------

    def _count(self) -> Plan:
        left = [item for item in self.items if not self.fetcher.has(item)]
        if self._full() or not left:
            self.plan.bytes = 0
            return self.plan
        if self.want.via == "youtube":
            number = (self.plan.wanted or 0) - self._good
            hours = number * self.want.pause_s / 3600
            self.plan.notes.append(
                f"{number} videos from YouTube, at least {hours:.1f} h at a pause of {self.want.pause_s:g} s"
            )
            return self.plan
        parts = self._needed(self._parts(), left)
        self.plan.bytes = self.fetcher.sizes(parts)
        ends = f"; the transfer ends with clip {self.plan.wanted}" if self.first_of else ""
        self.plan.notes.append(f"{len(parts)} tarballs{ends}")
        return self.plan


def _wanted(row: Annotation, split: str) -> Wanted:
    folder = f"{split}/{row.label.replace(' ', '_').replace('/', '_')}" if row.label else split
    return Wanted(
        name=f"{folder}/{row.clip_name}",
        label=row.label,
        video=row.youtube_id,
        span=(row.start_s, row.end_s),
    )


def _stem(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name.partition(".tar")[0]
