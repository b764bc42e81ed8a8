"""Repaired copies of damaged videos: remuxed, else encoded again from what decodes; the source is never touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from vidbench.data.jobs import PART, sweep, work_off
from vidbench.errors import InputError, disk_errors
from vidbench.ledger import OK, Ledger
from vidbench.progress import Reporter
from vidbench.records import Json
from vidbench.runs import content_hash
from vidbench.video.census import Census, take
from vidbench.video.clip import VideoError
from vidbench.video.salvage import reencode, remux

JOB = "repair"
NOT_REPAIRED = "left"
"""The reason of a video that nothing could be made of."""
_GOOD = ("ok", "vfr")
_MP4 = (".mp4", ".m4v", ".mov")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A damaged video.

    Attributes:
        name: As it is listed.
        path: Where it is.
        kind: Its class.
    """

    name: str
    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was made of a damaged video.

    Attributes:
        path: As it is listed.
        file: The copy; None where nothing could be made of it.
        how: "remuxed", "re-encoded", or "left".
        frames: Frames of the copy that decode.
        of: Frames that the source claims; None where it claims none.
        detail: All of this in words; a copy that lost frames says so.
    """

    path: str
    file: Path | None
    how: str
    frames: int
    of: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class _Item:
    key: str
    name: str
    path: str
    target: str


def repair(
    wanted: Sequence[Wanted], out: Path, argv: Sequence[str], jobs: int, timeout_s: float, reporter: Reporter
) -> tuple[Repaired, ...]:
    """Write a new file under `out` for every video of which something is left.

    The records are in `<out>/.vidbench/repair.jsonl`. A copy that is there, of a source that has not changed, is not
    made again.

    Args:
        wanted: Damaged videos, each file once.
        out: The folder of the copies; a copy has the relative name of its source, ending in `.mp4`.
        argv: The command line, for the record.
        jobs: Processes; 0 is one per core.
        timeout_s: Seconds that one video may take.
        reporter: Told the progress.

    Raises:
        InputError: Two videos would get the same name, or a copy would replace its source.
    """
    items = _items(wanted, out)
    with Ledger.open(out, JOB, command="data check --repair", argv=argv, settings={}) as ledger:
        sweep(out)
        work_off(
            ledger,
            items,
            partial(mend, out=str(out)),
            jobs=jobs,
            reporter=reporter,
            title="Repairing",
            timeout_s=timeout_s,
            is_done=partial(_still_holds, out=out),
        )
        found = [ledger.records[item.key] for item in items]
    return tuple(_told(item, record, out) for item, record in zip(items, found, strict=True))


def mend(item: _Item, out: str) -> Json:
    """Repair one video; its record."""
    source, target = Path(item.path), Path(out, item.target)
    part = target.with_name(target.name + PART)
    status = source.stat()
    before = take(source)
    facts: Json = {"path": item.path, "source_bytes": status.st_size, "source_mtime_ns": status.st_mtime_ns}
    faults = []
    try:
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            for how, attempt in (("remuxed", remux), ("re-encoded", reencode)):
                try:
                    attempt(source, part)
                    after = take(part)
                except VideoError as error:
                    faults.append(f"not {how}: {error}")
                    continue
                if after.kind in _GOOD:
                    with part.open("rb+") as stream:
                        os.fsync(stream.fileno())
                    part.replace(target)
                    return facts | _success(how, before, after, target.stat().st_size)
                faults.append(f"not {how}: {after.detail}")
    finally:
        part.unlink(missing_ok=True)
    return facts | {"reason": NOT_REPAIRED, "detail": "; ".join(faults)}


def _success(how: str, before: Census, after: Census, size: int) -> Json:
    of = before.declared
    lost = of is None or (after.frames or 0) < of
    told = f"repaired: {how}, {after.frames} of {'unknown' if of is None else of} frames"
    if how == "re-encoded":
        told += ", without sound"
    if after.kind != OK:
        told += f", {after.detail}"
    return {
        "reason": OK,
        "how": how,
        "frames": after.frames,
        "of": of,
        "lost": lost,
        "bytes": size,
        "detail": told,
    }


def _items(wanted: Sequence[Wanted], out: Path) -> list[_Item]:
    items = []
    by_target: dict[str, Wanted] = {}
    for video in wanted:
        target = _target(video.name)
        first = by_target.setdefault(target, video)
        if first is not video:
            raise InputError(
                f"{first.name} and {video.name} would both be repaired as {out / target}",
                "Rename one of them, or check them apart, each with its own --repair folder.",
            )
        if (out / target).resolve() == Path(video.path).resolve():
            raise InputError(f"--repair {out} would replace {video.path}", "Give another folder.")
        items.append(_Item(content_hash([video.path, target])[:16], video.name, video.path, target))
    return items


def _target(name: str) -> str:
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    relative = "/".join(parts)
    return relative if relative.lower().endswith(_MP4) else f"{relative}.mp4"


def _still_holds(record: Json, out: Path) -> bool:
    try:
        status = os.stat(record["path"])
    except (KeyError, OSError):
        return False
    if (status.st_size, status.st_mtime_ns) != (record["source_bytes"], record["source_mtime_ns"]):
        return False
    target = out / _target(record["name"])
    return record["reason"] == NOT_REPAIRED or (target.is_file() and target.stat().st_size == record["bytes"])


def _told(item: _Item, record: Json, out: Path) -> Repaired:
    made = record["reason"] == OK
    return Repaired(
        path=item.name,
        file=out / item.target if made else None,
        how=record["how"] if made else NOT_REPAIRED,
        frames=int(record.get("frames") or 0),
        of=record.get("of"),
        detail=record["detail"],
    )
