"""Generate AVA v2.2's layout from a labelled set, so that PySlowFast, MMAction2 and PyTorchVideo load it as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vidbench.errors import FindingsError, RunConflictError, disk_errors
from vidbench.label.ava_files import write_files
from vidbench.label.ava_frames import (
    RAWFRAMES,
    FramesMade,
    PartFrames,
    link_rawframes,
    make_frames,
    plan_frames,
    remove_strangers,
    sweep_halves,
)
from vidbench.label.ava_plan import Plan, by_split, plan_export
from vidbench.label.ava_readme import Facts, readme
from vidbench.label.ava_remarks import remarks
from vidbench.label.ava_result import ExportAvaResult, result_of
from vidbench.label.store import EXPORT, LabelSet
from vidbench.ledger import FOLDER, Ledger
from vidbench.progress import Reporter, SilentReporter
from vidbench.records import Json
from vidbench.runs import read_json
from vidbench.video.jpeg import FINEST
from vidbench.video.steady import GRID_FPS

__all__ = ["ExportAvaRequest", "ExportAvaResult", "export_ava"]

JOB = "ava"


class ExportAvaRequest(BaseModel):
    """What to export.

    Attributes:
        folder: The folder of the set.
        out: Where to; None is the folder `ava` of the set.
        frames: Make the frames that are missing; without, the lists tell of frames that must be there.
        rawframes: Give the frames MMAction2's names, too, in `rawframes`, as hard links where the disk can; once there,
            they are kept up to date.
        short_side: Pixels of the frames' shorter side; None keeps the size.
        quality: As FFmpeg's `-q:v`, 1 (best, the same as 2) to 31.
        jobs: Videos at a time; 0 is one per core.
        overwrite: Make the frames again that were made with another size or quality.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    out: Path | None = None
    frames: bool = True
    rawframes: bool = True
    short_side: int | None = Field(default=None, ge=16, le=8192)
    quality: int = Field(default=1, ge=1, le=31)
    jobs: int = Field(default=0, ge=0)
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    @property
    def target(self) -> Path:
        """The folder of the export."""
        return self.out or self.folder / EXPORT

    def settings(self) -> Json:
        """The part that decides the files of the frames."""
        return {"fps": GRID_FPS, "short_side": self.short_side, "quality": max(self.quality, FINEST)}


def export_ava(request: ExportAvaRequest, reporter: Reporter | None = None) -> ExportAvaResult:
    """Write a set in AVA's layout; frames that are there are kept, everything else is made again.

    Raises:
        InputError: No set, a malformed one, an action that the set does not have, or nothing that could be exported.
        RunConflictError: A folder that this did not make, frames of another size or quality, or another process at it.
        FindingsError: No video of the set could be read.
        MissingError: The disk is full.
    """
    reporter = reporter or SilentReporter()
    labels = LabelSet.open(request.folder)
    plan = plan_export(labels)
    out = request.target
    _refuse_foreign(out)
    settings = request.settings()
    if not request.frames and (out / FOLDER / f"{JOB}.json").is_file():
        settings = read_json(out / FOLDER / f"{JOB}.json").get("settings", settings)
    with Ledger.open(
        out, JOB, command="label export", argv=request.argv, settings=settings, overwrite=request.overwrite
    ) as ledger:
        sweep_halves(out)
        wanted = plan_frames(
            [(rows.part, video, labels.file(video)) for video, rows in plan.parts],
            out,
            short_side=request.short_side,
            quality=request.quality,
            jobs=request.jobs,
        )
        made = make_frames(ledger, wanted, request.jobs, reporter) if request.frames else FramesMade(0, 0, 0, ())
        if made.failed and len(made.failed) == len(wanted):
            first = made.failed[0]
            raise FindingsError(
                f"no video of the set could be read; the first: {first.source}: {first.detail}",
                "Put the videos back where set.json says, or detect and track again.",
            )
        lost = {one.id for one in made.failed}
        splits = by_split((video, rows) for video, rows in plan.parts if rows.part.id not in lost)
        raw, copied = _rawframes(request, ledger, [one for one in wanted if one.key not in lost], reporter)
        result = result_of(out, plan, splits, made)
        result = replace(result, remarks=(*remarks(plan, splits, result, wanted), *_told_copies(copied)))
        gone = write_files(out, plan.content, splits, reviewed=plan.reviewed, text=readme(_facts(result, plan, raw)))
        gone += remove_strangers(ledger, plan.known, out)
    return replace(result, removed=tuple(gone))


def _refuse_foreign(out: Path) -> None:
    """The folder's generated files are replaced: it must be new, empty or of an earlier export."""
    with disk_errors(out):
        if not out.exists():
            return
        names = {path.name for path in out.iterdir()}
    if names - {FOLDER} and not (out / FOLDER / f"{JOB}.json").is_file():
        raise RunConflictError(
            f"{out} holds {sorted(names)[0]} and was not made by this export", "Give another --out, or move it away."
        )


def _rawframes(
    request: ExportAvaRequest, ledger: Ledger, parts: Sequence[PartFrames], reporter: Reporter
) -> tuple[bool, int]:
    """Whether there are raw frames, and how many files of them had to be copied."""
    there = (request.target / RAWFRAMES).is_dir()
    if not request.frames or not (request.rawframes or there):
        return there, 0
    return True, link_rawframes(ledger, parts, request.target, reporter)


def _told_copies(copied: int) -> list[str]:
    return [f"{copied} raw frames are copies: the disk does not know hard links."] if copied else []


def _facts(result: ExportAvaResult, plan: Plan, raw: bool) -> Facts:
    return Facts(
        out=result.out.absolute(),
        splits=[(name, counts.keyframes) for name, counts in result.splits.items()],
        trainable=result.trainable,
        reviewed=plan.reviewed,
        classes=plan.content.actions[-1].id,
        full_test_on_val=result.full_test_on_val,
        threshold=result.threshold,
        rawframes=raw,
        remarks=result.remarks,
    )
