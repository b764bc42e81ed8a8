"""`vidbench data check`: what every video of a list, folder or manifest is, and whether a manifest still holds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vidbench.data.dataset import clip_key, manifest_paths, read_listed
from vidbench.data.folders import videos_below
from vidbench.data.jobs import work_off
from vidbench.data.pool import Lost, each
from vidbench.data.repair import Repaired, Wanted, repair
from vidbench.errors import InputError, RunConflictError, UsageError
from vidbench.formats.kinetics import ListLine, dump_list, read_list_bytes
from vidbench.formats.manifest import (
    CLASSES,
    USABLE,
    Manifest,
    ManifestRow,
    decode_manifest,
    dump_manifest,
    is_manifest,
)
from vidbench.ledger import FOLDER, Ledger
from vidbench.progress import Reporter, SilentReporter
from vidbench.records import Json
from vidbench.runs import content_hash, default_run_dir, file_sha256, write_text_atomic
from vidbench.video.census import Level, take
from vidbench.video.decoder import DECODERS
from vidbench.video.matrix import CODECS, FRAMES, Cell, count, render

JOB = "check"
MATRIX_S = 60.0


class CheckRequest(BaseModel):
    """What to check.

    Attributes:
        source: A list, a folder, or a manifest: then, whether it still holds.
        level: How thoroughly; None is full, or the manifest's.
        decoder: What has to decode them; None is PyAV, or the manifest's.
        min_duration: Seconds below which a video is `short`; None for no bound, or the manifest's.
        jobs: Processes; 0 is one per core.
        timeout: Seconds that one video may take.
        root: Folder of relative paths.
        manifest: Where the frozen manifest goes.
        clean: Where the list of the usable lines goes.
        repair: Folder of the repaired copies.
        overwrite: Replace a manifest or list that would change.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path
    level: Level | None = None
    decoder: str | None = None
    min_duration: float | None = Field(None, gt=0, allow_inf_nan=False)
    jobs: int = Field(0, ge=0)
    timeout: float = Field(600, gt=0, allow_inf_nan=False)
    root: Path | None = None
    manifest: Path | None = None
    clean: Path | None = None
    repair: Path | None = None
    overwrite: bool = False
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one video.

    Attributes:
        path: As it is listed.
        line: Its line in the list or manifest; None in a folder.
        kind: Its class.
        detail: Why.
    """

    path: str
    line: int | None
    kind: str
    detail: str


@dataclass(frozen=True)
class CheckResult:
    """What the videos are.

    Attributes:
        source: What was checked.
        level: How thoroughly.
        decoder: What decoded them.
        listed: Videos listed.
        usable: Of them, those that a model can be measured on.
        counts: Videos by class.
        others: Files of a folder that are not videos by their names.
        findings: All that are not plainly ok, warnings too, in the list's order.
        changed: For a manifest, what no longer holds.
        verified: Whether a manifest was checked.
        records: The ledger's file.
        manifest: The manifest that was written.
        clean: The list that was written.
        repaired: What was made of the damaged ones; None where that was not asked.
    """

    source: Path
    level: str
    decoder: str
    listed: int
    usable: int
    counts: dict[str, int]
    others: int
    findings: tuple[Finding, ...]
    changed: tuple[Finding, ...]
    verified: bool
    records: Path
    manifest: Path | None
    clean: Path | None
    repaired: tuple[Repaired, ...] | None

    @property
    def bad(self) -> int:
        """How many findings are bad news: what changed in a manifest, else what cannot be used."""
        return len(self.changed) if self.verified else self.listed - self.usable


@dataclass(frozen=True, slots=True)
class _Video:
    """One listed video."""

    name: str
    path: str
    label: int | None
    line: int | None


@dataclass(frozen=True)
class _Source:
    """What was named: its videos, and where they are."""

    root: Path
    videos: tuple[_Video, ...]
    others: int = 0
    frozen: Manifest | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    """One file to examine; a file that is listed twice is examined once."""

    key: str
    name: str
    path: str


def check(request: CheckRequest, reporter: Reporter | None = None) -> CheckResult:
    """Examine every video, each in a process of its own that may crash or hang.

    What was found of a file is kept in `runs/check-<name>-<hash>/.vidbench/check.jsonl` and holds while the file's
    size and time stay. The manifest and the list are made of these records alone, in the list's order, so that an
    interrupted check that is run again writes the same bytes.

    Raises:
        InputError: The source cannot be read, or none of its files is there.
        UsageError: Options that contradict each other.
        MissingError: The decoder is not installed.
        RunConflictError: A manifest or list that exists would change.
    """
    reporter = reporter or SilentReporter()
    source = _read(request.source, request.root)
    level, decoder, shortest = _how(request, source.frozen)
    _check(request, source, level, decoder)
    home = default_run_dir(
        JOB,
        source.root.name if request.source.is_dir() else request.source.stem,
        {"source": str(request.source.absolute()), "root": str(source.root), "level": level, "decoder": decoder},
    )
    items = {video.path: _Item(_file_key(video.path), video.name, video.path) for video in reversed(source.videos)}
    with Ledger.open(
        home, JOB, command="data check", argv=request.argv, settings={"level": level, "decoder": decoder}
    ) as ledger:
        work_off(
            ledger,
            [items[path] for path in dict.fromkeys(video.path for video in source.videos)],
            partial(examine, level=level, decoder=decoder),
            jobs=request.jobs,
            reporter=reporter,
            title="Checking",
            timeout_s=request.timeout,
            is_done=_still_holds,
        )
        rows = _rows(source.videos, ledger.records, shortest)
        del items
    if request.manifest:
        frozen = Manifest(level, decoder, shortest, str(request.source), _root_for(request.manifest, source), rows)
        _freeze(request.manifest, dump_manifest(frozen), request.overwrite)
    if request.clean:
        _freeze(request.clean, _clean(source.videos, rows), request.overwrite)
    repaired = None
    if request.repair:
        wanted: dict[str, Wanted] = {}
        for video, row in zip(source.videos, rows, strict=True):
            if row.kind in ("truncated", "corrupt"):
                # listed twice, repaired once
                wanted.setdefault(video.path, Wanted(video.name, video.path, row.kind))
        repaired = repair(tuple(wanted.values()), request.repair, request.argv, request.jobs, request.timeout, reporter)
    counts = {kind: sum(row.kind == kind for row in rows) for kind in CLASSES}
    return CheckResult(
        source=request.source,
        level=level,
        decoder=decoder,
        listed=len(rows),
        usable=sum(row.usable for row in rows),
        counts={kind: number for kind, number in counts.items() if number},
        others=source.others,
        findings=tuple(
            Finding(video.name, video.line, row.kind, row.detail)
            for video, row in zip(source.videos, rows, strict=True)
            if row.kind != "ok"
        ),
        changed=_changed(source, rows, level, decoder),
        verified=source.frozen is not None,
        records=home / FOLDER / f"{JOB}.jsonl",
        manifest=request.manifest,
        clean=request.clean,
        repaired=repaired,
    )


def examine(item: _Item, level: Level, decoder: str) -> Json:
    """The record of one file: what `census.take` finds, its sha256, and the size and time that it holds for."""
    path = Path(item.path)
    if not path.is_file():
        return {"reason": "missing", "detail": "no such file" if not path.exists() else "not a file"}
    try:
        before = path.stat()
        digest = file_sha256(path)
        found = take(path, level, decoder)
    except OSError as error:
        return {"reason": "missing", "detail": f"cannot be read: {error.strerror or error}"}
    return {
        "reason": found.kind,
        "detail": found.detail,
        "sha256": digest,
        "bytes": before.st_size,
        "mtime_ns": before.st_mtime_ns,
        "frames": found.frames,
        "declared": found.declared,
        "fps": None if found.fps is None else str(found.fps),
        "duration_s": found.duration_s,
        "width": found.width,
        "height": found.height,
        "codec": found.codec,
        "path": item.path,
    }


@dataclass(frozen=True)
class MatrixResult:
    """How many frames each decoder returns of a clip in each codec.

    Attributes:
        frames: Frames of every clip.
        rows: A codec's name, and what each decoder makes of it, by the decoder's name.
    """

    frames: int
    rows: dict[str, dict[str, str]]


def codec_matrix(reporter: Reporter | None = None, timeout_s: float = MATRIX_S) -> MatrixResult:
    """Render a tiny clip in every codec and count the frames that every decoder returns, each in a process."""
    reporter = reporter or SilentReporter()
    names = DECODERS.names()
    rows: dict[str, dict[str, str]] = {codec.name: {} for codec in CODECS}
    with (
        tempfile.TemporaryDirectory(prefix="vidbench-") as folder,
        reporter.task("Decoding", len(CODECS) * len(names), "clips") as task,
    ):
        cells = []
        for codec, problem in each(partial(render, folder=folder), CODECS, 1, timeout_s):
            told = f"{problem.reason}: {problem.detail}" if isinstance(problem, Lost) else problem
            if told:
                rows[codec.name] = dict.fromkeys(names, f"no clip: {told}")
                task.advance(len(names))
            else:
                cells += [Cell(codec.name, str(Path(folder) / codec.file), name) for name in names]
        for cell, answer in each(count, cells, 1, timeout_s):
            rows[cell.codec][cell.decoder] = f"{answer.reason}: {answer.detail}" if isinstance(answer, Lost) else answer
            task.advance()
    return MatrixResult(FRAMES, rows)


def _how(request: CheckRequest, frozen: Manifest | None) -> tuple[Level, str, float | None]:
    level: Level = request.level or "full"
    decoder = request.decoder or ("pyav" if request.level in (None, "full") and frozen is None else "")
    shortest = request.min_duration
    if frozen is not None:
        level = request.level or _level(frozen.level)
        decoder = request.decoder or (frozen.decoder if level == "full" else "pyav")
        shortest = request.min_duration if request.min_duration is not None else frozen.min_duration_s
    return level, decoder or "pyav", shortest


def _level(text: str) -> Level:
    return "quick" if text == "quick" else "sampled" if text == "sampled" else "full"


def _check(request: CheckRequest, source: _Source, level: Level, decoder: str) -> None:
    DECODERS.entry(decoder)
    if decoder != "pyav" and level != "full":
        raise UsageError(
            f"--decoder {decoder} needs --level full", "The other levels read the container, which PyAV does."
        )
    if request.clean and any(video.label is None for video in source.videos):
        raise UsageError(
            f"--clean {request.clean}: {request.source} has no labels", "A list of `path label` can be cleaned."
        )
    written = [
        (option, path) for option, path in (("--manifest", request.manifest), ("--clean", request.clean)) if path
    ]
    for option, path in written:
        if path.resolve() == request.source.resolve():
            raise UsageError(f"{option} {path} would overwrite what is checked", "Give another name.")
        if path.is_dir():
            raise UsageError(f"{option} {path} is a folder", "Give the name of a file.")
    if len(written) == 2 and written[0][1].resolve() == written[1][1].resolve():
        raise UsageError("--manifest and --clean name the same file", "Give two names.")
    if request.manifest and not request.manifest.name.endswith(".jsonl"):
        raise UsageError(
            f"--manifest {request.manifest}: its name has to end in .jsonl", "So that no list is taken for one."
        )


def _read(source: Path, root: Path | None) -> _Source:
    if source.is_dir():
        if root is not None:
            raise UsageError("--root has no meaning for a folder", "Its paths start from the folder itself.")
        return _folder(source)
    data = read_list_bytes(source)
    if is_manifest(data, source.name):
        manifest = decode_manifest(data, source)
        folder, paths = manifest_paths(manifest, source, root)
        rows = zip(manifest.rows, paths, strict=True)
        return _Source(folder, tuple(_Video(row.path, path, row.label, row.line) for row, path in rows), 0, manifest)
    found = read_listed(source, root, data)
    lines = zip(found.rows, found.paths, strict=True)
    return _Source(found.root, tuple(_Video(row.path, path, row.label, row.line) for row, path in lines))


def _folder(folder: Path) -> _Source:
    root = os.path.realpath(folder)
    names, others = videos_below(Path(root))
    return _Source(Path(root), tuple(_Video(name, os.path.join(root, name), None, None) for name in names), others)


def _file_key(path: str) -> str:
    return content_hash(path)[:16]


def _still_holds(record: Json) -> bool:
    if record["reason"] in ("missing", "tool"):
        return False
    try:
        status = os.stat(record["path"])
    except OSError:
        return False
    return bool(status.st_size == record["bytes"] and status.st_mtime_ns == record["mtime_ns"])


def _rows(videos: Sequence[_Video], records: dict[str, Json], shortest: float | None) -> tuple[ManifestRow, ...]:
    """The rows of a manifest: a function of the records, in the list's order."""
    rows: list[ManifestRow] = []
    by_path: dict[str, _Video] = {}
    by_digest: dict[str, _Video] = {}
    ids: dict[str, int] = {}
    for video in videos:
        record = records[_file_key(video.path)]
        row = _row(video, record, shortest)
        if row.usable:
            first = by_path.setdefault(video.path, video)
            same = by_digest.setdefault(row.sha256 or video.path, video)
            if first is not video:
                row = replace(row, kind="duplicate", detail=f"the file is listed before{_place(first)}")
            elif same is not video:
                row = replace(row, kind="duplicate", detail=f"the same bytes as {same.name}{_place(same)}")
        times = ids[row.id] = ids.get(row.id, 0) + 1
        rows.append(row if times == 1 else replace(row, id=f"{row.id}-{times}"))
    return tuple(rows)


def _place(video: _Video) -> str:
    return "" if video.line is None else f" at line {video.line}"


def _row(video: _Video, record: Json, shortest: float | None) -> ManifestRow:
    kind, detail = record["reason"], record["detail"]
    size, digest = record.get("bytes"), record.get("sha256")
    if kind == "tool":
        # the decoder took its process down, or did not end: no fact but the file itself
        kind, detail = "corrupt", f"the decoder: {detail}"
        path = Path(video.path)
        if path.is_file():
            size, digest = path.stat().st_size, file_sha256(path)
    duration = record.get("duration_s")
    if shortest is not None and kind in USABLE and duration is not None and duration < shortest:
        told = f"{duration:g} s, less than {shortest:g} s"
        kind, detail = "short", f"{told}, {detail}" if detail else told
    fps = record.get("fps")
    return ManifestRow(
        id=content_hash([video.name, None, None])[:16] if video.label is None else clip_key(video.name, video.label),
        path=video.name,
        label=video.label,
        sha256=digest,
        bytes=size,
        frames=record.get("frames"),
        fps=None if fps is None else Fraction(fps),
        duration_s=duration,
        width=record.get("width"),
        height=record.get("height"),
        codec=record.get("codec"),
        kind=kind,
        detail=detail,
    )


def _root_for(manifest: Path, source: _Source) -> str:
    """The root as the header has it: relative where manifest and data lie in one tree, which may then be moved."""
    home, root = os.path.realpath(manifest.absolute().parent), str(source.root)
    if os.path.commonpath([home, root]) in (home, root) and os.path.commonpath([home, root]) != "/":
        return os.path.relpath(root, home)
    return root


def _freeze(path: Path, text: str, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        held = path.read_bytes()
        if held == text.encode():
            return
        old, new = held.splitlines(), text.encode().splitlines()
        unlike = sum(a != b for a, b in zip(old, new, strict=False)) + abs(len(old) - len(new))
        raise RunConflictError(
            f"{path} is frozen, and {unlike} of its {len(old)} lines would change",
            "Give another name, or --overwrite to replace it.",
        )
    write_text_atomic(path, text)


def _clean(videos: Iterable[_Video], rows: Iterable[ManifestRow]) -> str:
    kept = [
        ListLine(video.name, video.label, video.line or 0)
        for video, row in zip(videos, rows, strict=True)
        if row.usable and video.label is not None
    ]
    if not kept:
        raise InputError("no video is usable: there is no list to write", "See the reasons without --clean.")
    return dump_list(kept)


def _changed(source: _Source, rows: Sequence[ManifestRow], level: str, decoder: str) -> tuple[Finding, ...]:
    """What no longer holds of a manifest."""
    if source.frozen is None:
        return ()
    comparable = (source.frozen.level, source.frozen.decoder) == (level, decoder)
    found = []
    for old, new in zip(source.frozen.rows, rows, strict=True):
        told = []
        if new.kind == "missing" and old.kind != "missing":
            told.append("is missing")
        elif old.sha256 != new.sha256:
            told.append(f"other bytes: sha256 {str(new.sha256)[:12]}, was {str(old.sha256)[:12]}")
        if new.kind != old.kind and new.kind != "missing":
            told.append(f"is {new.kind}, was {old.kind}")
        if comparable and new.frames != old.frames and new.kind != "missing":
            told.append(f"{new.frames} frames, were {old.frames}")
        if told:
            found.append(Finding(new.path, old.line, new.kind, "; ".join(told)))
    return tuple(found)
