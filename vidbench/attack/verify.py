"""`vidbench attack verify`: whether a robustness figure can be believed, and the best known one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from vidbench.attack.checks import probes
from vidbench.attack.checks.findings import SCAN, Findings, key
from vidbench.attack.checks.flag import gravest_first
from vidbench.attack.checks.reported import NORMS, Reported
from vidbench.attack.checks.text import verdict_text
from vidbench.attack.checks.trials import UNBOUNDED, Bench, Clips, Trial, attempt, chosen_trials
from vidbench.attack.confirm import Judge
from vidbench.attack.judge import judge
from vidbench.attack.subject import Subject, SubjectRequest, load_subject
from vidbench.attack.target import Target
from vidbench.attack.threat import Eps, Norm, parse_sweep
from vidbench.data.dataset import ClipItem
from vidbench.errors import InputError, UsageError
from vidbench.model.classifier import Classifier
from vidbench.model.defences import Defended, near_identity_modules, with_identity_backward
from vidbench.model.layout import fast_layout
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.records import Records
from vidbench.runs import RunDir, content_hash, default_run_dir, write_text_atomic
from vidbench.video.clip import VideoError

Json = dict[str, Any]
DEFAULT_EPS = "8/255"
VERDICT = "verdict.md"
WHOLE_RANGE = Eps("1", Fraction(1))
FROM_RUN = ("model", "data", "root", "defence", "weights", "decoder", "seed", "limit")


class VerifyRequest(SubjectRequest):
    """What `attack verify` is asked: a model, or a run whose figure is judged.

    Attributes:
        model: As of `attack run`; empty with `run`.
        run: Folder of an attack run: its model, clips, defence, norm and radii are taken, and its figure judged.
        limit: Clips to attack, the first ones; of a run no more than it has.
        norm: "linf" or "l2".
        eps: One radius or several, "4/255,8/255"; None for 8/255 (Linf only).
        steps: Of PGD and APGD.
        queries: Of Square, per clip and radius.
        draws: Passes averaged over, if the model draws random numbers.
        layout: "fast" or "reference": how attacks are computed; the reference layout always judges.
        batch: Clips per pass.
        argv: The command line, for the record.
    """

    model: str = ""
    run: Path | None = None
    out: Path | None = None
    norm: Norm = "linf"
    eps: str | None = None
    steps: int = Field(100, ge=2, le=100_000)
    queries: int = Field(1000, ge=1)
    draws: int = Field(16, ge=2, le=10_000)
    layout: Literal["fast", "reference"] = "fast"
    batch: int = Field(4, ge=1)
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if bool(self.model) == (self.run is not None):
            raise ValueError("give a model or a run")
        return self

    def settings(self) -> Json:
        """The part that decides the result."""
        aside = ("out", "pull", "device", "workers", "batch", "overwrite", "argv")
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in aside}


@dataclass(frozen=True)
class VerifyResult:
    """What `attack verify` found: `summary.json`, and where it is."""

    out: Path
    resumed: int
    summary: Json


def run_verify(request: VerifyRequest, reporter: Reporter | None = None) -> VerifyResult:
    """Attack clips in many ways, look for signs of concealed gradients and weak attacks, and give a verdict.

    Raises:
        UsageError: Options that contradict each other, eps out of range, or a run without a robust accuracy.
        InputError: The list, a label beyond the model's classes, a model of one class, or no run at `run`.
        MissingError: Weights or device.
        RunConflictError: `out` holds a run of other settings.
    """
    reporter = reporter or SilentReporter()
    reported = Reported.read(request.run) if request.run is not None else None
    norm, sweep = (reported.norm, reported.sweep) if reported else (request.norm, _sweep(request))
    asked = _subject_of(request, reported)
    subject = load_subject(asked, reporter)
    # built-in clips are made for the run's number of them: the first ones of as many
    items = subject.clips.items[: request.limit]
    out = request.out or default_run_dir("verify", asked.model, request.settings())
    resolved = {
        "architecture": subject.model.architecture,
        "weights_sha256": subject.model.weights_sha256,
        "list_sha256": subject.clips.sha256,
        "eps": [str(eps.exact) for eps in sweep],
        "norm": norm,
        "run": content_hash(reported.settings) if reported else None,
    }
    with RunDir.open(
        out,
        command="attack verify",
        request=request.model_dump(mode="json"),
        settings=request.settings(),
        resolved=resolved,
        provenance=provenance(str(subject.device), asked.seed),
        overwrite=request.overwrite,
        products=(VERDICT,),
    ) as run:
        work = Verification(
            subject.classifier, run.store, norm, sweep, steps=request.steps, queries=request.queries,
            draws=request.draws, seed=asked.seed, width=request.batch, layout=request.layout,
        )  # fmt: skip
        todo = [item for item in items if not work.done(item.key)]
        if len(todo) < len(items):
            reporter.info(f"{out}: {len(items) - len(todo)} of {len(items)} clips are done")
        with reporter.task("Verifying", total=len(todo), unit="clips") as task:
            for keys, clips, labels in _parts(subject, todo, run.store, request.batch):
                work.examine(keys, clips, labels)
                task.advance(len(keys))
        summary = _summary(request, asked, subject, items, work, reported)
        write_text_atomic(out / VERDICT, verdict_text(summary))
        run.finish(summary)
    return VerifyResult(out, len(items) - len(todo), summary)


def _sweep(request: VerifyRequest) -> tuple[Eps, ...]:
    if request.norm not in NORMS:
        raise UsageError(f"--norm {request.norm} cannot be verified", "There are linf and l2.")
    if request.eps is None and request.norm != "linf":
        raise UsageError("--norm l2 needs --eps", "An l2 radius is over the whole clip and grows with its size.")
    sweep = tuple(eps for eps in parse_sweep(request.eps or DEFAULT_EPS, request.norm) if eps.exact > 0)
    if not sweep:
        raise UsageError("eps 0 is no attack", "For example --eps 8/255.")
    return sweep


def _subject_of(request: VerifyRequest, reported: Reported | None) -> SubjectRequest:
    """Model and clips: of the request, or of the run that it names."""
    own = {name: getattr(request, name) for name in SubjectRequest.model_fields}
    if reported is not None:
        own |= {name: reported.request[name] for name in FROM_RUN if reported.request.get(name) is not None}
    return SubjectRequest(**own)


def _parts(
    subject: Subject, items: Sequence[ClipItem], store: Records, width: int
) -> Iterator[tuple[list[str], Tensor, Tensor | None]]:
    """Clips as they are worked on together, with their labels if they have any; failures are recorded."""
    held: list[tuple[ClipItem, Tensor]] = []
    for item, found in subject.read(items):
        if isinstance(found, VideoError):
            store.append({"key": key("read", item.key), "clip": item.key, "path": item.name, "reason": str(found)})
            continue
        held.append((item, found))
        if len(held) == width:
            yield _stacked(subject, held)
            held = []
    if held:
        yield _stacked(subject, held)


def _stacked(subject: Subject, held: Sequence[tuple[ClipItem, Tensor]]) -> tuple[list[str], Tensor, Tensor | None]:
    clips = torch.stack([clip for _, clip in held]).to(subject.device)
    labels = torch.tensor([item.label for item, _ in held], device=subject.device) if subject.by_labels else None
    return [item.key for item, _ in held], clips, labels


@dataclass
class Verification:
    """All measurements on a classifier; each is a record of its own, so that a killed run goes on.

    Attributes:
        classifier: With its defences, in the reference layout, frozen, in evaluation mode.
        store: Where records are.
        norm: Of the budget.
        sweep: Radii above 0, ascending.
        steps: Of PGD and APGD.
        queries: Of Square.
        draws: Passes averaged over, if the classifier is random.
        seed: The user's.
        width: Clips per pass.
        layout: How attacks are computed.

    Raises:
        InputError: A classifier of one class.
    """

    classifier: Classifier
    store: Records
    norm: Norm
    sweep: Sequence[Eps]
    steps: int = 100
    queries: int = 1000
    draws: int = 16
    seed: int = 0
    width: int = 4
    layout: Literal["fast", "reference"] = "fast"
    _bench: Bench | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.classifier.num_classes < 2:
            raise InputError("a model of one class has nothing to be fooled about")

    @property
    def random(self) -> bool:
        """Whether the classifier draws random numbers: by its own account, or as measured on any clip so far."""
        declared = isinstance(self.classifier, Defended) and self.classifier.random
        seen = (record for record in self.store.by_key.values() if record.get("check") == "answer")
        return declared or any(probes.is_random(record) for record in seen)

    def done(self, clip: str) -> bool:
        """Whether a clip has all its records."""
        return key("done", clip) in self.store.by_key

    def examine(self, keys: Sequence[str], clips: Tensor, labels: Tensor | None) -> None:
        """Measure everything on some clips that has no record yet.

        Args:
            keys: N of them.
            clips: `(N, 3, T, H, W)` float32 in [0, 1], on the classifier's device.
            labels: `(N,)`; None takes the classifier's own answers.
        """
        self._probe("answer", keys, lambda rows: probes.answers(
            self.classifier, clips[rows], [keys[row] for row in rows], self.seed))  # fmt: skip
        bench = self._bench = self._bench or self._set_up(clips)
        clean = bench.judge.logits(clips, keys)
        predictions = clean.argmax(1)
        truths = predictions if labels is None else labels
        right = (predictions == truths) & torch.isfinite(clean).all(1)
        grey = bench.judge.logits(torch.full_like(clips, 0.5), keys).argmax(1) == truths
        self._probe("clean", keys, lambda rows: [
            {"label": int(truths[row]), "pred": int(predictions[row]), "correct": bool(right[row]),
             "grey": bool(grey[row])} for row in rows
        ])  # fmt: skip
        self._probe("gradient", keys, lambda rows: probes.gradients(
            self.classifier, clips[rows], truths[rows], [keys[row] for row in rows], self.seed, self.random
        ))  # fmt: skip
        connected = any(self.store.by_key[key("gradient", clip)]["connected"] for clip in keys)
        if connected:
            self._try(bench, UNBOUNDED, None, keys, clips, truths, right)
        for eps in self.sweep:
            for trial in chosen_trials(bench, connected):
                self._try(bench, trial, eps, keys, clips, truths, right)
        for clip in keys:
            self.store.append({"key": key("done", clip), "clip": clip})

    def _probe(self, check: str, keys: Sequence[str], measure: Any) -> None:
        rows = [row for row, clip in enumerate(keys) if key(check, clip) not in self.store.by_key]
        if rows:
            for row, facts in zip(rows, measure(rows), strict=True):
                self.store.append({"key": key(check, keys[row]), "check": check, "clip": keys[row], **facts})

    def _try(
        self, bench: Bench, trial: Trial, eps: Eps | None, keys: Sequence[str], clips: Tensor, truths: Tensor,
        right: Tensor,
    ) -> None:  # fmt: skip
        """An attack on the clips that have no record of it; those that are wrong already are not attacked."""
        open_rows = [row for row, clip in enumerate(keys) if key(trial.name, clip, eps) not in self.store.by_key]
        tried = [row for row in open_rows if bool(right[row])]
        found: dict[int, Json] = {}
        if tried:
            given = Clips([keys[row] for row in tried], clips[tried], truths[tried])
            found = dict(zip(tried, attempt(bench, trial, given, (eps or WHOLE_RANGE).value), strict=True))
        for row in open_rows:
            base: Json = {"key": key(trial.name, keys[row], eps), "check": trial.name, "clip": keys[row]}
            base |= {"eps": eps.text} if eps else {}
            self.store.append(base | ({"attacked": True, **found[row]} if row in found else
                                      {"attacked": False, "robust": False}))  # fmt: skip

    def _set_up(self, clips: Tensor) -> Bench:
        """The targets: the model, its undefended part, and itself with the identity where gradients are concealed."""
        scan = self._scan(clips)
        random = self.random
        draws = self.draws if random else 1
        layers: dict[str, Classifier] = {"own": self.classifier}
        if isinstance(self.classifier, Defended):
            layers["undefended"] = self.classifier.undefended
        targets = {
            name: self._target(self._laid_out(layer), draws if name == "own" else 1, random and name == "own")
            for name, layer in layers.items()
        }
        if scan["paths"]:
            passed = self._laid_out(self.classifier)
            if isinstance(passed, Defended):
                passed = passed.identity_backward()
            if scan["modules"]:
                passed = with_identity_backward(passed, scan["modules"])
            targets["bypass"] = self._target(passed.requires_grad_(False), draws, random)
        judge_ = Judge(self.classifier, self.width, random, draws, self.seed)
        return Bench(
            judge_, targets, self.classifier.num_classes, self.norm, self.steps, self.queries, self.seed, self.width
        )

    def _scan(self, clips: Tensor) -> Json:
        """What conceals gradients, found on the first clips and kept: defences by name, modules by path."""
        if SCAN in self.store.by_key:
            return self.store.by_key[SCAN]
        seen: Classifier = self.classifier
        defences: list[str] = []
        if isinstance(seen, Defended):
            defences = [seen.text]
            seen = seen.identity_backward()
        modules = [found.path for found in near_identity_modules(seen, clips[: self.width])]
        record: Json = {
            "key": SCAN, "check": "scan", "paths": [*defences, *modules], "modules": modules,
            **probes.calls(self.classifier, clips),
        }  # fmt: skip
        self.store.append(record)
        return record

    def _laid_out(self, classifier: Classifier) -> Classifier:
        return fast_layout(classifier) if self.layout == "fast" else classifier

    def _target(self, classifier: Classifier, draws: int, random: bool) -> Target:
        return Target(classifier.logits, classifier.num_classes, draws=draws, random=random)

    def findings(self, clips: Sequence[str], reported: Reported | None = None) -> Findings:
        """What the records say of these clips, those that were read."""
        scan = self.store.by_key.get(SCAN, {"paths": []})
        defended = isinstance(self.classifier, Defended)
        sources = ["the undefended model"] if defended else []
        sources += ["the model with the identity in its backward pass"] if scan["paths"] else []
        return Findings(
            self.store.by_key, [clip for clip in clips if self.done(clip)], self.sweep, self.classifier.num_classes,
            self.steps, self.queries, self.draws if self.random else 1, self.random, sources, reported,
        )  # fmt: skip


def verdict(found: Findings) -> Json:
    """The verdict on measurements: status, figures, flags, and the table of attacks.

    `reported_ra` is the figure under judgement by radius: that of the run, of the same clips, or, for a model alone,
    what all attacks by its own gradients leave. `best_known_ra` counts a clip as robust that withstood everything.
    """
    counts, flags = found.counts(), gravest_first(found.flags())
    reported: dict[str, float | None] = {}
    strongest: dict[str, str | None] = {}
    for eps, at in zip(found.sweep, counts.radii, strict=True):
        white = at.robust.get("white-box")
        count = found.reported.robust(eps, found.clips) if found.reported else white
        reported[eps.text] = None if count is None or not counts.clips else counts.share(count)
        left, name = min(((at.robust[name], name) for name in found.names), default=(counts.clean, None))
        strongest[eps.text] = name if left < counts.clean else None
    return {
        "status": judge(flags),
        "reported_ra": reported,
        "best_known_ra": {at.eps: counts.share(at.robust["best"]) for at in counts.radii},
        "strongest": strongest,
        "evaluated": counts.clips,
        "clean_accuracy": counts.share(counts.clean) if counts.clips else None,
        "flags": [flag.as_dict() for flag in flags if flag.severity != "pass"],
        "passed": [flag.as_dict() for flag in flags if flag.severity == "pass"],
        "attacks": found.attacks(),
    }


def _summary(
    request: VerifyRequest, asked: SubjectRequest, subject: Subject, items: Sequence[ClipItem], work: Verification,
    reported: Reported | None,
) -> Json:  # fmt: skip
    found = work.findings([item.key for item in items], reported)
    failed = [item for item in items if not work.done(item.key)]
    reasons: Mapping[str, Json] = work.store.by_key
    if not found.clips:
        raise InputError("no clip could be read", str(reasons[key("read", failed[0].key)]["reason"]) if failed else "")
    return {
        "kind": "verify",
        **verdict(found),
        "subject": str(request.run) if request.run else _named(asked),
        "model": subject.model.reference,
        "architecture": subject.model.architecture,
        "defence": asked.defence,
        "run": str(request.run) if request.run else None,
        "norm": work.norm,
        "reference": "labels" if subject.by_labels else "predictions",
        "steps": work.steps,
        "queries": work.queries,
        "draws": found.draws,
        "listed": subject.clips.listed,
        "clips": len(items),
        "failed": len(failed),
        "failures": [{"path": item.name, "reason": reasons[key("read", item.key)]["reason"]} for item in failed],
    }


def _named(asked: SubjectRequest) -> str:
    return f"{asked.model} behind {asked.defence}" if asked.defence else asked.model
