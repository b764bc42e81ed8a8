"""`vidbench data fetch`: a public source to a folder, item by item, with a reason for each that is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data import fetch_ava, fetch_charades, fetch_clips, fetch_urls
from vidbench.data.fetching import CAN_HELP, REASONS, Fetcher, Plan, Throttled, Want, free_bytes, parse_rate
from vidbench.data.jobs import sweep
from vidbench.data.selection import Selection, parse_names
from vidbench.data.sources import SOURCES, YOUTUBE, Source, at_mirror
from vidbench.errors import NetworkError, UsageError
from vidbench.ledger import OK, Ledger, count_reasons
from vidbench.net.http import Failure, Http
from vidbench.progress import Reporter, SilentReporter
from vidbench.records import Json

# what yt-dlp's documentation gives as the limit of a guest session is about 300 videos an hour
_YOUTUBE_PAUSE_S = 12.0
KINDS = ("timeout", "reset", "dns")
"""Finer reasons that `--retry-reason` takes beside those of the ledger."""


class FetchRequest(BaseModel):
    """What to fetch.

    Attributes:
        source: A name of `SOURCES`.
        file: The list of links, for `urls`.
        out: The folder, made when absent.
        split: Which part of the set; None is the source's first.
        limit: At most so many videos.
        per_class: At most so many of each class.
        ids: Names of source videos separated by commas.
        classes: Class names separated by commas.
        sample_seed: Choose a balanced sample by this seed, instead of what comes first.
        mirror: Stands in for scheme and host of every address of the source.
        via: "mirror" or "youtube" alone; None is the mirror, then YouTube for what it lacks.
        what: Parts of AVA or Charades, separated by commas; empty for all.
        workers: Downloads at a time.
        rate: Bytes a second over all of them, as 5M.
        cookies: A cookie file in Netscape's form, for YouTube.
        pause_s: Seconds between two videos of YouTube; None is 12, the pace that a guest session allows.
        youtube_url: The address of a video, with {id}.
        retry_reasons: Reasons of earlier failures to try again, separated by commas.
        timeout_s: Seconds without an answer after which an attempt has failed.
        attempts: Attempts in a row that may fail before an address is given up.
        dry_run: Count, and fetch nothing.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    out: Path
    file: Path | None = None
    split: str | None = None
    limit: int | None = Field(None, ge=1)
    per_class: int | None = Field(None, ge=1)
    ids: str = ""
    classes: str = ""
    sample_seed: int | None = Field(None, ge=0)
    mirror: str | None = None
    via: Literal["mirror", "youtube"] | None = None
    what: str = ""
    workers: int = Field(4, ge=1, le=64)
    rate: str | None = None
    cookies: Path | None = None
    pause_s: float | None = Field(None, ge=0)
    youtube_url: str = YOUTUBE
    retry_reasons: str = ",".join(CAN_HELP)
    timeout_s: float = Field(30.0, gt=0)
    attempts: int = Field(5, ge=1)
    dry_run: bool = False
    argv: tuple[str, ...] = ()


@dataclass(frozen=True)
class FetchResult:
    """What was fetched, or for a dry run, what would be.

    Attributes:
        source: Its name.
        split: Which part.
        out: The folder.
        dry_run: Whether nothing was fetched.
        wanted: Items asked for, None where only the source knows.
        here: Items that were here already.
        counts: Items by reason; empty for a dry run.
        bytes: Of the items that are here; for a dry run, the bytes to transfer, None where unknown.
        free: Free bytes on the disk.
        notes: What else is worth knowing.
        failed: Items that are not here for a reason of their own.
        ledger: Where each item has its line.
    """

    source: str
    split: str
    out: Path
    dry_run: bool
    wanted: int | None
    here: int
    counts: dict[str, int]
    bytes: int | None
    free: int
    notes: tuple[str, ...] = ()
    failed: int = 0
    ledger: Path | None = field(default=None)


FLOWS: dict[str, Callable[[Fetcher, Source, Want], Plan]] = {
    "clips": fetch_clips.fetch,
    "ava": fetch_ava.fetch,
    "charades": fetch_charades.fetch,
    "urls": fetch_urls.fetch,
}


def fetch(request: FetchRequest, reporter: Reporter | None = None) -> FetchResult:
    """Fetch what is wanted and not here; the same request goes on where an earlier one stopped.

    Every item has a line in the ledger with its reason. Only failures that another attempt can mend are tried
    again. Where the server throttles, the job ends at once, so that the next run finds it in a better mood.

    Raises:
        UsageError: Options that do not go together, or that the source has no use for.
        InputError: The list of links, or the annotations.
        NetworkError: What everything else depends on did not come, or the server throttles.
        MissingError: The disk is full, or yt-dlp is asked for and not installed.
        RunConflictError: Another process is at it.
    """
    reporter = reporter or SilentReporter()
    source = SOURCES.get(request.source)
    want = _want(request, source)
    http = Http(
        timeout_s=request.timeout_s,
        attempts=request.attempts,
        workers=request.workers,
        rate=parse_rate(request.rate) if request.rate else None,
    )
    # the splits of clips have nothing in common; those of the other sources share files
    clips = source.kind == "clips"
    job = f"fetch-{source.name}-{want.split}" if clips else f"fetch-{source.name}"
    try:
        if request.dry_run:
            return _dry_run(request, source, want, http, reporter, job)
        with Ledger.open(
            request.out,
            job,
            command="data fetch",
            argv=request.argv,
            settings={"source": source.name, **({"split": want.split} if clips else {})},
        ) as ledger:
            sweep(request.out)
            fetcher = Fetcher(request.out, ledger, http, reporter, request.workers, want.retry)
            try:
                plan = FLOWS[source.kind](fetcher, source, want)
            except Throttled as stop:
                raise NetworkError(
                    f"stopped: the server asks for a pause ({stop})",
                    "Run the same command again later; what is here stays.",
                ) from stop
            return _result(request, source, want, fetcher, plan, job)
    except Failure as failure:
        raise NetworkError(
            f"{failure.reason}: {failure.detail}", "Check the address and the connection, or name a --mirror."
        ) from failure


def _want(request: FetchRequest, source: Source) -> Want:
    if request.source == "urls" and request.file is None:
        raise UsageError("urls needs a file of links", "vidbench data fetch urls FILE --out DIR")
    if request.source != "urls" and request.file is not None:
        raise UsageError(f"{request.source} takes no file", f"vidbench data fetch {request.source} --out DIR")
    split = request.split or source.splits[0]
    if split not in source.splits:
        raise UsageError(f"{source.name} has no split {split!r}", f"Its splits: {', '.join(source.splits)}.")
    by_class = request.classes or request.per_class or request.sample_seed is not None
    if by_class and source.kind != "clips":
        raise UsageError(f"{source.name} has no classes to choose by", "Use --limit, or a Kinetics source.")
    if request.ids and source.kind == "urls":
        raise UsageError("urls has no names of videos", "Leave out --ids.")
    parts = parse_names(request.what)
    known = {"ava": fetch_ava.PARTS, "charades": fetch_charades.PARTS}.get(source.kind, ())
    if unknown := [part for part in parts if part not in known]:
        raise UsageError(f"{source.name} has no part {unknown[0]!r}", f"Its parts: {', '.join(known) or 'none'}.")
    retry = parse_names(request.retry_reasons)
    if unknown := [reason for reason in retry if reason not in (*REASONS[1:], *KINDS)]:
        raise UsageError(
            f"--retry-reason {unknown[0]!r} is no reason", f"Reasons: {', '.join((*REASONS[1:], *KINDS))}."
        )
    if "{id}" not in request.youtube_url:
        raise UsageError("--youtube-url has no {id} in it", "As https://www.youtube.com/watch?v={id}.")
    if request.rate:
        try:
            parse_rate(request.rate)
        except ValueError as error:
            raise UsageError(f"--rate: {error}", "Give bytes a second, as 5M.") from error
    if request.cookies and not request.cookies.is_file():
        raise UsageError(f"--cookies {request.cookies}: no such file", "Export cookies in Netscape's form.")
    at_mirror("", request.mirror)
    pause_s = request.pause_s
    if pause_s is None:
        pause_s = _YOUTUBE_PAUSE_S if request.youtube_url == YOUTUBE else 0.0
    return Want(
        split=split,
        selection=Selection(
            parse_names(request.ids),
            parse_names(request.classes),
            request.per_class,
            request.limit,
            request.sample_seed,
        ),
        parts=parts or known,
        mirror=request.mirror,
        via=request.via,
        file=request.file,
        youtube_url=request.youtube_url,
        pause_s=pause_s,
        cookies=request.cookies,
        rate=parse_rate(request.rate) if request.rate else None,
        timeout_s=request.timeout_s,
        retry=retry,
    )


def _dry_run(
    request: FetchRequest, source: Source, want: Want, http: Http, reporter: Reporter, job: str
) -> FetchResult:
    ledger = Ledger.peek(request.out, job)
    fetcher = Fetcher(request.out, ledger, http, reporter, request.workers, want.retry, dry=True)
    plan = FLOWS[source.kind](fetcher, source, want)
    return FetchResult(
        source=source.name,
        split=want.split,
        out=request.out,
        dry_run=True,
        wanted=plan.wanted,
        here=plan.here,
        counts={},
        bytes=plan.bytes,
        free=free_bytes(request.out),
        notes=tuple(plan.notes),
    )


def _result(request: FetchRequest, source: Source, want: Want, fetcher: Fetcher, plan: Plan, job: str) -> FetchResult:
    records = [record for item in plan.items if (record := fetcher.ledger.records.get(item.key))]
    counts = count_reasons(_held(fetcher, plan, records))
    return FetchResult(
        source=source.name,
        split=want.split,
        out=request.out,
        dry_run=False,
        wanted=plan.wanted,
        here=plan.here,
        counts=counts,
        bytes=sum(int(record.get("bytes") or 0) for record in records if record["reason"] == OK),
        free=free_bytes(request.out),
        notes=tuple(plan.notes),
        failed=sum(number for reason, number in counts.items() if reason != OK),
        ledger=fetcher.ledger.store.path,
    )


def _held(fetcher: Fetcher, plan: Plan, records: list[Json]) -> list[Json]:
    # a first-so-many set is whole when it has so many, whatever failed on the way
    full = plan.first_of is not None and sum(record["reason"] == OK for record in records) >= plan.first_of
    return [record for record in records if record["reason"] == OK] if full else records
