"""`vidbench attack run`: attack a model's clips over a sweep of eps, or by a suite, and record every clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.algorithms.cascade import AutoAttack
from vidbench.attack.columns import Column, single, suite
from vidbench.attack.confirm import Judge
from vidbench.attack.examples import Keeper, Save
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, UniversalMethod
from vidbench.attack.realism import Level, Realism
from vidbench.attack.robustness import summarise
from vidbench.attack.subject import Subject, SubjectRequest, load_subject
from vidbench.attack.support import Support
from vidbench.attack.threat import Budget, Eps, Norm
from vidbench.attack.universal_files import load_learnt, save_learnt
from vidbench.attack.work import Part, Work
from vidbench.data.dataset import ClipItem
from vidbench.errors import InputError, UsageError
from vidbench.model.defences import Defended
from vidbench.model.shards import PATTERN, Team, gather, share_of
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.records import Records
from vidbench.runs import RunDir, default_run_dir
from vidbench.video.clip import VideoError
from vidbench.video.decoder import AUTO

Json = dict[str, Any]
BUILT_IN = "built-in"
SHOWN = 8
"""Clips of a list, the first ones, that film strips are made of where an attack succeeds."""
PART_BYTES = {"cpu": 64 * 2**20, "cuda": 2**30}
"""What the clips that are worked on together may take; an attack needs a few times that."""
Failed = Callable[[ClipItem, str], None]


class AttackRequest(SubjectRequest):
    """What `attack run` is asked.

    Attributes:
        attack: Name in the catalogue of attacks.
        suite: Several attacks at once, in place of `attack`.
        norm: Of the budget, over the whole clip.
        eps: One radius or several, "0,4/255,8/255"; None for 8/255 (Linf only).
        attack_settings: The attack's own, `name -> text`.
        target: None, "random", "least-likely" or a class index: the class to reach.
        support: Where a perturbation may be: "all", "frames:0,3", "patch:32x32+10+20", "border:8", "flicker".
        engine: "native", or "art" for the Adversarial Robustness Toolbox.
        layout: "fast" or "reference": how the attack is computed. Results are always confirmed by
            the reference layout in float32.
        precision: "fp32", "bf16" or "fp16" while attacks are crafted; what the judge does not confirm is crafted
            once more in float32.
        draws: Passes whose gradients are averaged, for a random defence (EOT).
        bpda: Let gradients pass the defences as if these were the identity (Athalye et al. 2018), as an attacker
            who knows them would.
        anew: Attack every clip at every radius, also those that a smaller one broke.
        batch: Clips per pass.
        realism: What attacked clips are put through afterwards: "none", "uint8" or "all".
        save: How attacked clips are kept: "none", "ffv1" or "png" (without loss), "h264".
        learn: The list that universal attacks learn from; None for the attacked clips themselves.
        argv: The command line, for the record.
    """

    attack: str = "pgd"
    suite: str | None = None
    out: Path | None = None
    norm: Norm = "linf"
    eps: str | None = None
    attack_settings: dict[str, str] = Field(default_factory=dict)
    target: str | None = None
    support: str = "all"
    engine: Literal["native", "art"] = "native"
    layout: Literal["fast", "reference"] = "fast"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    draws: int = Field(1, ge=1, le=10_000)
    bpda: bool = False
    anew: bool = False
    batch: int = Field(4, ge=1)
    realism: Level = "all"
    save: Save = "none"
    learn: Path | None = None
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """The part that decides the result."""
        aside = ("out", "pull", "device", "workers", "batch", "overwrite", "argv")
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in aside}


@dataclass(frozen=True)
class AttackResult:
    """What `attack run` found: `summary.json`, and where it is.

    Attributes:
        first: Whether this process is the one that tells people, of several under torchrun.
    """

    out: Path
    resumed: int
    summary: Json
    first: bool = True


def run_attack(request: AttackRequest, reporter: Reporter | None = None) -> AttackResult:
    """Attack the centre view of every clip, for every eps, and judge each result afresh.

    The clip is the one of `model eval --views 1x1`, so that both commands tell the same clean
    accuracy. Clips that are wrong before an untargeted attack count as broken and are not attacked.
    Under torchrun all processes share the run: the records are those of one process.

    Raises:
        UsageError: Options that contradict each other, or eps out of range.
        InputError: The list, or a label beyond the model's classes.
        MissingError: Weights, device, or ART.
        RunConflictError: `out` holds a run of other settings.
    """
    team = Team.join()
    try:
        return _run(request, team, (reporter or SilentReporter()) if team.first else SilentReporter())
    finally:
        team.leave()


@dataclass(frozen=True)
class _Asked:
    """What a request stands for, once its model and its list are read."""

    subject: Subject
    columns: tuple[Column, ...]
    target: str | int | None
    out: Path


def _prepare(request: AttackRequest, reporter: Reporter) -> _Asked:
    """Everything that can be wrong with a request, before there is a run folder."""
    if request.suite is None:
        given = request.attack_settings
        columns = single(request.attack, request.norm, request.eps, given, request.engine, request.support)
        for column in columns:
            column.settings(column.method())
    subject = load_subject(request, reporter)
    size = subject.reader.preprocess
    if request.suite is not None:
        if request.attack_settings or request.support != "all" or request.engine != "native" or request.target:
            raise UsageError(
                "a suite has settings, support and engine of its own, and no target",
                "Run one attack with --attack to choose them.",
            )
        columns = suite(request.suite, request.norm, request.eps, size.frames)
        for column in columns:
            column.settings(column.method())
    if request.bpda and request.defence is None:
        raise UsageError("--bpda is about defences, and there is none", "Name them with --defence.")
    Support.parse(request.support, (3, size.frames, size.crop, size.crop))
    classes = subject.classifier.num_classes
    if classes < 2:
        raise InputError("a model of one class has nothing to be fooled about")
    if subject.random and request.draws == 1:
        reporter.warn(
            "The defence draws random numbers, and an attack that looks at one draw sees only its noise: "
            "--draws 16 averages over 16."
        )
    if request.precision == "fp16" and subject.device.type == "cpu":
        reporter.warn("fp16 on a CPU is slow; bf16 is what CPUs have.")
    target = _target(request.target, classes)
    for column in columns:
        method = column.method()
        if isinstance(method, AutoAttack):
            for sentence in method.left_out(column.settings(method), classes, targeted=target is not None):
                reporter.warn(f"{column.label}: {sentence}")
    name = request.suite or request.attack
    out = request.out or default_run_dir("attack", f"{request.model}-{name}", request.settings())
    return _Asked(subject, columns, target, out)


def _run(request: AttackRequest, team: Team, reporter: Reporter) -> AttackResult:
    asked = team.agree(lambda: _prepare(request, reporter))
    subject, out = asked.subject, asked.out
    with ExitStack() as stack:
        run = _open(stack, request, asked, team)
        store = share_of(out, team) if run is None else run.store
        works = _works(request, asked, team, reporter)
        done = team.tell([item.key for item in subject.clips.items if all(w.done(item, store) for w in works)])
        finished = set(done or [])
        todo = [item for item in subject.clips.items if item.key not in finished]
        resumed = len(subject.clips.items) - len(todo)
        if resumed:
            reporter.info(f"{out}: {resumed} of {len(subject.clips.items)} clips are done")
        with reporter.task("Attacking", total=len(todo), unit="clips") as task:
            for held in _parts(request, subject, list(todo), team, works, store):
                for work in works:
                    open_rows = [row for row, item in enumerate(held.items) if not work.done(item, store)]
                    if open_rows:
                        chosen = torch.tensor(open_rows, device=subject.device)
                        for record in work.attack(held.of(chosen)):
                            store.append(record)
                task.advance(len(held), _note(works, store))
        team.wait()
        summary: Json = {}
        if run is not None:
            gather(out, store)
            items = subject.clips.items
            # a clip that failed has a record under its first radius alone
            store.settle([work.key(item, eps) for item in items for work in works for eps in work.column.sweep])
            summary = _summary(request, asked, works, store)
            run.finish(summary)
        return AttackResult(out, resumed, team.tell(summary) or {}, team.first)


def _open(stack: ExitStack, request: AttackRequest, asked: _Asked, team: Team) -> RunDir | None:
    """The run folder, which the first process holds for all."""
    subject = asked.subject
    resolved = {
        "architecture": subject.model.architecture,
        "weights_sha256": subject.model.weights_sha256,
        "list_sha256": subject.clips.sha256,
        "root": str(subject.clips.root) if request.data else BUILT_IN,
        "root_rule": subject.clips.root_rule if request.data else BUILT_IN,
        "columns": [
            {**column.describe(column.settings(column.method())), "eps": [str(eps.exact) for eps in column.sweep]}
            for column in asked.columns
        ],
    }
    if request.decoder == AUTO:
        resolved["decoder"] = subject.reader.decoder

    def enter() -> RunDir | None:
        if not team.first:
            return None
        run = stack.enter_context(
            RunDir.open(
                asked.out,
                command="attack run",
                request=request.model_dump(mode="json"),
                settings=request.settings(),
                resolved=resolved,
                provenance=provenance(str(subject.device), request.seed),
                overwrite=request.overwrite,
                products=(
                    PATTERN,
                    "examples/*.png",
                    "examples/*.mp4",
                    "clips/*.mkv",
                    "clips/*.mp4",
                    "clips/*/*.png",
                    "learnt/*",
                ),
            )
        )
        gather(asked.out, run.store)
        return run

    return team.agree(enter)


def _works(request: AttackRequest, asked: _Asked, team: Team, reporter: Reporter) -> list[Work]:
    """The columns, ready to work: models in the layouts that are wanted, universal perturbations learnt."""
    subject = asked.subject
    judge = Judge(subject.classifier, request.batch, subject.random, max(request.draws, 1), request.seed)
    seen = subject.classifier
    if request.bpda and isinstance(seen, Defended):
        seen = seen.identity_backward()
    crafted = subject.target(layout=request.layout, precision=request.precision, draws=request.draws, classifier=seen)
    careful = crafted
    if request.precision != "fp32":
        careful = subject.target(layout=request.layout, draws=request.draws, classifier=seen)
    shown = frozenset(item.key for item in subject.clips.items[:SHOWN])
    keeper = Keeper(asked.out, shown, request.save)
    works = []
    for column in asked.columns:
        work = Work(
            column, crafted, careful, judge, asked.target, request.seed, request.batch, subject.by_labels,
            Realism(request.realism), keeper, {}, request.anew,
        )  # fmt: skip
        if isinstance(work.method, UniversalMethod):
            for eps in column.sweep:
                if eps.exact > 0:
                    work.learnt[eps.text] = _learnt(request, asked, work, eps, team, reporter)
        works.append(work)
    return works


def _learnt(request: AttackRequest, asked: _Asked, work: Work, eps: Eps, team: Team, reporter: Reporter) -> Tensor:
    """What a universal attack has learnt for a radius: from the run folder, or now, by the first process for all."""
    label = work.column.label

    def learn() -> None:
        if team.first and load_learnt(asked.out, label, eps) is None:
            save_learnt(asked.out, label, eps, _learn(request, asked, work, eps, reporter))

    team.agree(learn)
    found = load_learnt(asked.out, label, eps)
    if found is None:
        raise InputError(f"{asked.out}: the perturbation that was learnt is gone", "Run the command again.")
    return found.to(asked.subject.device)


def _learn(request: AttackRequest, asked: _Asked, work: Work, eps: Eps, reporter: Reporter) -> Tensor:
    method, source = work.method, asked.subject
    assert isinstance(method, UniversalMethod)
    if request.learn is not None:
        source = load_subject(request.model_copy(update={"data": request.learn}), reporter)
    reporter.info(f"{work.column.label}: learning from {len(source.clips.items)} clips at {eps.text}")

    def batches() -> Iterator[Batch]:
        for held in _gathered(request, source, source.clips.items, work.judge):
            for start in range(0, len(held), request.batch):
                rows = torch.arange(start, min(start + request.batch, len(held)), device=source.device)
                part = held.of(rows)
                yield Batch(part.clips, Goal(part.truths), [item.key for item in part.items], request.seed, len(rows))

    size = source.reader.preprocess
    shape = (3, size.frames, size.crop, size.crop)
    budget = Budget(work.column.norm, eps.value, Support.parse(work.column.support, shape, source.device))
    return method.learn(work.crafted, batches, budget, work.settings, request.seed)


def _parts(
    request: AttackRequest, subject: Subject, todo: list[ClipItem], team: Team, works: Sequence[Work], store: Records
) -> Iterator[Part]:
    """The clips that fall to this process, as many at a time as memory is meant for; failures are recorded."""

    def failed(item: ClipItem, reason: str) -> None:
        store.append(works[0].failed(item, reason))

    share = -(-len(todo) // team.size)
    yield from _gathered(request, subject, team.deal(todo), works[0].judge, failed, share)


def _gathered(
    request: AttackRequest,
    subject: Subject,
    items: Iterable[ClipItem],
    judge: Judge,
    failed: Failed | None = None,
    share: int | None = None,
) -> Iterator[Part]:
    """Clips in order, as they are worked on together: as many as memory is meant for, `share` at most."""
    held: list[tuple[ClipItem, Tensor]] = []
    most = 0
    for item, found in subject.read(items):
        if isinstance(found, VideoError):
            if failed is not None:
                failed(item, str(found))
            continue
        held.append((item, found))
        most = most or max(request.batch, PART_BYTES.get(subject.device.type, 2**30) // (found.numel() * 4))
        if len(held) >= min(most, share or most):
            yield from _part(subject, held, judge, failed)
            held = []
    if held:
        yield from _part(subject, held, judge, failed)


def _part(subject: Subject, held: list[tuple[ClipItem, Tensor]], judge: Judge, failed: Failed | None) -> Iterator[Part]:
    clips = torch.stack([clip for _, clip in held]).to(subject.device)
    items = [item for item, _ in held]
    clean = judge.logits(clips, [item.key for item in items])
    finite = torch.isfinite(clean).all(1)
    if bool(((clean >= 0) & (clean <= 1)).all()) and bool(((clean.sum(1) - 1).abs() < 1e-5).all()):
        raise InputError(
            "the model returns probabilities, not logits: a loss of them is flat where the model is sure",
            "Give the network without its last softmax.",
        )
    for row in (~finite).nonzero().flatten().tolist():
        if failed is not None:
            failed(items[row], "the network's output for the clean clip is not finite")
    truths = clean.argmax(1)
    if subject.by_labels:
        truths = torch.tensor([item.label for item in items], device=subject.device)
    whole = Part(items, clips, clean, truths)
    if bool(finite.all()):
        yield whole
    elif bool(finite.any()):
        yield whole.of(finite.nonzero().flatten())


def _target(text: str | None, num_classes: int) -> str | int | None:
    if text is None or text in ("random", "least-likely"):
        return text
    if not text.isdecimal() or int(text) >= num_classes:
        raise UsageError(
            f"--target {text!r} is no class", f"Give random, least-likely, or an index from 0 to {num_classes - 1}."
        )
    return int(text)


def _note(works: Sequence[Work], store: Records) -> str:
    """Robust accuracy so far, of the first attack at its largest radius."""
    column = works[0].column
    here = [
        record
        for record in store.by_key.values()
        if record.get("column") == column.label and record.get("eps") == column.sweep[-1].text and "robust" in record
    ]
    return f"robust {sum(record['robust'] for record in here) / len(here):.1%}" if here else ""


def _summary(request: AttackRequest, asked: _Asked, works: Sequence[Work], store: Records) -> Json:
    subject = asked.subject
    judge, items = works[0].judge, subject.clips.items
    columns = []
    for work in works:
        keys = [work.key(item, eps) for item in items for eps in work.column.sweep]
        facts = work.column.describe(work.settings) | {"targeted": asked.target is not None}
        columns.append((facts, [store.by_key[key] for key in keys if key in store.by_key]))
    return {
        "kind": "attack",
        "model": subject.model.reference,
        "architecture": subject.model.architecture,
        "classes": list(subject.classifier.classes),
        "defence": request.defence,
        "suite": request.suite,
        "layout": request.layout,
        "precision": request.precision,
        "draws": request.draws,
        "bpda": request.bpda,
        "anew": request.anew,
        "judged": "random, one draw seed per clip" if judge.random else "reference layout, float32",
        "view": "1x1, each clip attacked by itself",
        "target": asked.target,
        "listed": subject.clips.listed,
        **summarise(columns, list(store.by_key.values()), len(items), by_labels=subject.by_labels),
    }
