"""label check: what PySlowFast, MMAction2 and PyTorchVideo would stumble over in a set or a folder in AVA's format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vidbench.errors import InputError
from vidbench.label.check_rules.action_lists import ActionFacts, check_action_lists
from vidbench.label.check_rules.frame_lists import ListFacts, check_frame_list
from vidbench.label.check_rules.frames import FrameFolders
from vidbench.label.check_rules.labels import LabelFacts, check_labels
from vidbench.label.check_rules.layout import Given, Layout, lay_out
from vidbench.label.check_rules.predicted import PredictedFacts, check_predicted
from vidbench.label.check_rules.proposals import check_proposals
from vidbench.label.check_rules.rule import LOADERS, RULES, Effect, Finding, Findings, Loader, Place, Rule, Severity
from vidbench.label.check_rules.splits import compare
from vidbench.label.check_rules.timestamps import check_excluded, check_included
from vidbench.label.check_rules.truth import check_export, check_truth
from vidbench.label.store import EXPORT, SET
from vidbench.progress import Reporter, SilentReporter

__all__ = [
    "LOADERS",
    "RULES",
    "CheckRequest",
    "CheckResult",
    "Effect",
    "Finding",
    "Loader",
    "Place",
    "Rule",
    "Severity",
    "check",
]


class CheckRequest(BaseModel):
    """What to check.

    Attributes:
        folder: A labelled set, or a folder in AVA's format that anybody made.
        loaders: The training code to think of.
        frames: Look at the frames, videos and pictures on disk, too; they are not decoded.
        shown: Places to tell of each rule in each file; all are counted.
        score: PySlowFast's AVA.DETECTION_SCORE_THRESH: 0.8 in its configurations, 0.9 by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    loaders: tuple[Loader, ...] = Field(default=LOADERS, min_length=1)
    frames: bool = True
    shown: int = Field(default=5, ge=1, le=10_000)
    score: float = Field(default=0.8, ge=0, le=1)


@dataclass(frozen=True)
class CheckResult:
    """What was found.

    Attributes:
        folder: The folder.
        kind: "set" for a labelled set, "ava" for a folder in AVA's format.
        loaders: The training code that was thought of.
        findings: Errors first, then warnings and notes; each by file, line and rule.
        counts: What was looked at, as "label rows".
        files: The files that were looked at, from the folder.
        passed_over: Text files of no known kind, which nobody looked at.
        skipped: What could not be checked, and why.
    """

    folder: Path
    kind: Literal["set", "ava"]
    loaders: tuple[Loader, ...]
    findings: tuple[Finding, ...]
    counts: dict[str, int]
    files: tuple[str, ...]
    passed_over: tuple[str, ...]
    skipped: tuple[str, ...]

    def count(self, severity: Severity) -> int:
        """Places with findings of a severity."""
        return sum(one.count for one in self.findings if one.severity == severity)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not any(one.severity == "error" for one in self.findings)


@dataclass
class _Looked:
    """What was looked at so far."""

    counts: Counter[str]
    files: list[Path]
    others: list[Path]
    skipped: list[str]


def check(request: CheckRequest, reporter: Reporter | None = None) -> CheckResult:
    """Read a folder leniently, row by row, and tell everything that a loader would stumble over; nothing is changed.

    Memory holds the rows of one video at a time.

    Raises:
        InputError: No such folder, or nothing in it that is a set or in AVA's format.
    """
    reporter = reporter or SilentReporter()
    folder = request.folder
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", "Give the folder of a labelled set, or one in AVA's format.")
    found = Findings(folder, request.loaders, request.shown)
    looked = _Looked(Counter(), [], [], [])
    is_set = (folder / SET).is_file()
    if is_set:
        _check_set(request, found, looked, reporter)
    else:
        layout = lay_out(folder)
        frames = FrameFolders(folder, found) if request.frames else None
        if not layout.files and not (frames and frames.bases):
            raise InputError(
                f"{folder}: neither a labelled set ({SET}) nor a folder in AVA's format",
                "A folder in AVA's format has annotations/ava_train_v2.2.csv, frame_lists/train.csv and frames/.",
            )
        _check_ava(request, layout, frames, True, found, looked, reporter)

    def told(path: Path) -> str:
        return path.relative_to(folder).as_posix()

    return CheckResult(
        folder,
        "set" if is_set else "ava",
        request.loaders,
        found.all(),
        dict(looked.counts),
        tuple(map(told, looked.files)),
        tuple(map(told, looked.others)),
        tuple(looked.skipped),
    )


def _check_set(request: CheckRequest, found: Findings, looked: _Looked, reporter: Reporter) -> None:
    folder = request.folder
    with reporter.task("the set", None, "sets") as task:
        facts = check_truth(folder, request.frames, found)
        task.advance()
    looked.counts.update(facts.counts)
    looked.files.append(folder / SET)
    layout = lay_out(folder / EXPORT) if (folder / EXPORT).is_dir() else None
    if layout is None or not layout.files:
        looked.skipped.append(f"{EXPORT}: there is no export yet")
        return
    frames = FrameFolders(folder / EXPORT, found) if request.frames else None
    _check_ava(request, layout, frames, facts.reviewed, found, looked, reporter)
    check_export(facts, layout, found)


def _check_ava(
    request: CheckRequest,
    layout: Layout,
    frames: FrameFolders | None,
    reviewed: bool,
    found: Findings,
    looked: _Looked,
    reporter: Reporter,
) -> None:
    if frames is None:
        looked.skipped.append("frames: not asked for")
    elif not frames.bases:
        looked.skipped.append("frames: neither frames/ nor rawframes/ is there")
    looked.others.extend(layout.others)
    looked.files.extend(one.path for one in layout.files)
    actions = check_action_lists([one.path for one in layout.of("actions")], layout.notes, found)
    if not actions.poses:
        looked.skipped.append("poses: no action list says which actions are poses")
    with reporter.task("files", len(layout.files), "files") as task:
        lists = []
        for given in layout.of("list"):
            lists.append(check_frame_list(given.path, given.split, frames if frames and frames.bases else None, found))
            task.advance(note=given.path.name)
        labels = []
        for given in layout.of("labels"):
            labels.append(check_labels(given.path, given.split, actions.names, actions.poses, found))
            task.advance(note=given.path.name)
        predicted = []
        for given in layout.of("predicted"):
            predicted.append(check_predicted(given.path, given.split, actions.names, request.score, found))
            task.advance(note=given.path.name)
        excluded: dict[str, dict[str, int]] = {}
        for given in layout.of("excluded"):
            excluded.setdefault(given.split or "", {}).update(check_excluded(given.path, found))
        for given in layout.of("included"):
            check_included(given.path, found)
        for given in layout.of("proposals"):
            looked.counts["proposal keyframes"] += check_proposals(given.path, _keyframes(layout, given, labels), found)
            task.advance(note=given.path.name)
        looked.skipped.extend(compare(layout, labels, predicted, lists, excluded, actions, frames, found, reviewed))
    _count(lists, labels, predicted, actions, looked)


def _keyframes(layout: Layout, given: Given, labels: list[LabelFacts]) -> set[str] | None:
    """The keyframes of the labels that a file of proposals goes with."""
    main = layout.main("labels", given.split) if given.split else None
    return next((one.keyframes for one in labels if main is not None and one.path == main.path), None)


def _count(
    lists: list[ListFacts],
    labels: list[LabelFacts],
    predicted: list[PredictedFacts],
    actions: ActionFacts,
    looked: _Looked,
) -> None:
    looked.counts.update(
        {
            "actions": len(actions.names),
            "label rows": sum(one.rows for one in labels),
            "labelled videos": len({video for one in labels for video in one.first}),
            "labelled keyframes": sum(len(one.keyframes) for one in labels),
            "followed boxes": sum(one.links for one in labels),
            "predicted rows": sum(one.rows for one in predicted),
            "listed frames": sum(one.rows for one in lists),
        }
    )
