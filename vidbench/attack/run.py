"""`vidbench attack run`: attack a model's clips over a sweep of eps and record every clip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vidbench import cache
from vidbench.attack import art_bridge
from vidbench.attack.examples import save_strip
from vidbench.attack.gradient import Goal
from vidbench.attack.methods import ATTACKS, Batch, Method, Settings, parse_settings
from vidbench.attack.robustness import clean_accuracy, curve
from vidbench.attack.threat import Budget, Eps, Norm, parse_sweep
from vidbench.data import synthetic
from vidbench.data.dataset import ClipItem, ClipList, read_clips
from vidbench.errors import InputError, UsageError, disk_errors
from vidbench.model.classifier import Classifier
from vidbench.model.device import resolve_device
from vidbench.model.evaluate import check_labels, preprocess_for
from vidbench.model.layout import fast_layout
from vidbench.model.protocol import Protocol
from vidbench.model.reading import Reader, read_ahead
from vidbench.model.resolve import LoadedModel, load_model
from vidbench.model.views import video_views
from vidbench.progress import Reporter, SilentReporter
from vidbench.provenance import provenance
from vidbench.runs import RunDir, content_hash, default_run_dir
from vidbench.seeds import seed_for
from vidbench.video.clip import VideoError
from vidbench.video.decoder import AUTO, choose

Json = dict[str, Any]
DEFAULT_EPS = "8/255"
BUILT_IN = "built-in"
EXAMPLES = 4


class AttackRequest(BaseModel):
    """What `attack run` is asked.

    Attributes:
        model: Catalogue name, run folder or file.
        attack: Name in the catalogue of attacks.
        data: The list or manifest; None for the built-in synthetic clips.
        norm: Of the budget, over the whole clip.
        eps: One radius or several, "0,4/255,8/255"; None for 8/255 (Linf only).
        settings: The attack's own, `name -> text`.
        target: None, "random", "least-likely" or a class index: the class to reach.
        engine: "native", or "art" for the Adversarial Robustness Toolbox.
        limit: Clips to attack.
        layout: "fast" or "reference": how the attack is computed. Results are always verified by
            the reference layout.
        batch: Clips per gradient step.
        argv: The command line, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    attack: str = "pgd"
    data: Path | None = None
    root: Path | None = None
    out: Path | None = None
    norm: Norm = "linf"
    eps: str | None = None
    attack_settings: dict[str, str] = {}
    target: str | None = None
    engine: Literal["native", "art"] = "native"
    weights: str = "pretrained"
    pull: bool = False
    layout: Literal["fast", "reference"] = "fast"
    device: str = "auto"
    decoder: str = "pyav"
    batch: int = Field(4, ge=1)
    workers: int = Field(0, ge=0)
    seed: int = 0
    limit: int = Field(16, ge=1)
    overwrite: bool = False
    argv: tuple[str, ...] = ()

    def settings(self) -> Json:
        """The part that decides the result."""
        aside = ("out", "pull", "device", "workers", "overwrite", "argv")
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in aside}


@dataclass(frozen=True)
class AttackResult:
    """What `attack run` found: `summary.json`, and where it is."""

    out: Path
    resumed: int
    summary: Json


def run_attack(request: AttackRequest, reporter: Reporter | None = None) -> AttackResult:
    """Attack the centre view of every clip, for every eps, and verify each result afresh.

    The clip is the one of `model eval --views 1x1`, so that both commands tell the same clean
    accuracy. Clips that are wrong before an untargeted attack count as broken and are not attacked.

    Raises:
        UsageError: Options that contradict each other, or eps out of range.
        InputError: The list, or a label beyond the model's classes.
        MissingError: Weights, device, or ART.
        RunConflictError: `out` holds a run of other settings.
    """
    reporter = reporter or SilentReporter()
    method = ATTACKS.get(request.attack)
    settings = parse_settings(method, request.attack_settings)
    sweep = _sweep(request, method)
    device = resolve_device(request.device)
    if request.engine not in method.engines:
        raise UsageError(f"--engine {request.engine} has no {method.name}", f"It has {', '.join(method.engines)}.")
    model = load_model(
        request.model, weights=request.weights, pull=request.pull, seed=request.seed, device=device, reporter=reporter
    )
    classifier = model.classifier
    if classifier.several:
        raise InputError(
            f"{request.model} gives several classes per clip, which no attack here takes",
            "Attack a model of one class.",
        )
    out = request.out or default_run_dir("attack", f"{request.model}-{request.attack}", request.settings())
    clips = _clips(request, classifier, reporter)
    decoder = choose(request.decoder, (item.path for item in clips.items if item.kind == "videos"))
    by_labels = request.data is not None or classifier.classes == synthetic.CLASSES
    target = _target(request.target, classifier.num_classes)
    if not by_labels:
        reporter.info(
            "The built-in clips carry no label of this model's classes: "
            "its own predictions are attacked, and the figure is the fooling rate."
        )
    resolved = {
        "architecture": model.architecture,
        "weights_sha256": model.weights_sha256,
        "list_sha256": clips.sha256,
        "root": str(clips.root) if request.data else BUILT_IN,
        "root_rule": clips.root_rule if request.data else BUILT_IN,
        "eps": [str(eps.exact) for eps in sweep],
        "attack": {"name": method.name, **settings.model_dump(mode="json")},
    }
    if request.decoder == AUTO:
        resolved["decoder"] = decoder
    with RunDir.open(
        out,
        command="attack run",
        request=request.model_dump(mode="json"),
        settings=request.settings(),
        resolved=resolved,
        provenance=provenance(str(device), request.seed),
        overwrite=request.overwrite,
        products=("examples/*.png",),
    ) as run:
        work = _Work(request, method, settings, sweep, model, by_labels, target, run, device)
        todo = [item for item in clips.items if work.open_radii(item)]
        resumed = len(clips.items) - len(todo)
        if resumed:
            reporter.info(f"{out}: {resumed} of {len(clips.items)} clips are done")
        protocol = Protocol.choose(model.card, None, "1x1", model.weights)
        reader = Reader(decoder, preprocess_for(model, clips), protocol)
        with (
            reporter.task("Attacking", total=len(todo), unit="clips") as task,
            closing(read_ahead(reader, todo, request.workers or os.cpu_count() or 1)) as decoded,
        ):
            pending: list[tuple[ClipItem, Tensor]] = []
            for item, outcome in decoded:
                if isinstance(outcome, VideoError):
                    run.append(work.failed(item, str(outcome)))
                    task.advance()
                    continue
                clip = video_views(outcome, reader.preprocess, reader.protocol).clip(0)
                pending.append((item, clip.contiguous()))
                if len(pending) == request.batch:
                    work.attack(pending)
                    task.advance(len(pending), work.note())
                    pending = []
            if pending:
                work.attack(pending)
                task.advance(len(pending), work.note())
        summary = work.summary(clips.items, clips.listed)
        run.finish(summary)
    return AttackResult(out, resumed, summary)


def _sweep(request: AttackRequest, method: Method) -> tuple[Eps, ...]:
    if request.norm not in method.norms:
        raise UsageError(f"{method.name} has no norm {request.norm}", f"It has {', '.join(method.norms)}.")
    if request.eps is None and request.norm != "linf":
        raise UsageError(
            f"--norm {request.norm} needs --eps",
            "8/255 is a radius per value; an l2 radius is over the whole clip and grows with its size.",
        )
    return parse_sweep(request.eps or DEFAULT_EPS, request.norm)


def _clips(request: AttackRequest, classifier: Classifier, reporter: Reporter) -> ClipList:
    if request.data is not None:
        clips = read_clips(request.data, request.root, request.limit)
        check_labels(clips, classifier.num_classes, request.model)
        return clips
    per_class = -(-request.limit // len(synthetic.CLASSES))
    folder = cache.home() / "synthetic" / f"v{synthetic.CONTENT_VERSION}-seed{request.seed}-{per_class}"
    rendered = synthetic.render(
        synthetic.SyntheticRequest(out=folder, train_per_class=1, val_per_class=per_class, seed=request.seed), reporter
    )
    clips = read_clips(rendered.lists["val"], folder)
    # one clip of each class in turn, so that a small limit still shows every motion
    items = sorted(clips.items, key=lambda item: (item.line - 1) % per_class)[: request.limit]
    return replace(clips, items=tuple(items))


def _target(text: str | None, num_classes: int) -> str | int | None:
    if text is None or text in ("random", "least-likely"):
        return text
    if not text.isdecimal() or int(text) >= num_classes:
        raise UsageError(
            f"--target {text!r} is no class", f"Give random, least-likely, or an index from 0 to {num_classes - 1}."
        )
    return int(text)


@dataclass
class _Work:
    """One run's constants, and what is done with a batch of clips."""

    request: AttackRequest
    method: Method
    settings: Settings
    sweep: Sequence[Eps]
    model: LoadedModel
    by_labels: bool
    target: str | int | None
    run: RunDir
    device: torch.device

    def __post_init__(self) -> None:
        reference = self.model.classifier.requires_grad_(False)
        self._reference = reference
        self._attacked = fast_layout(reference) if self.request.layout == "fast" else reference
        self._wrapped: Any = None

    def key(self, item: ClipItem, eps: Eps) -> str:
        """The record's key: the clip, the attack and the radius."""
        settings = self.settings.model_dump(mode="json")
        return content_hash([item.key, self.method.name, settings, self.request.norm, str(eps.exact)])[:16]

    def open_radii(self, item: ClipItem) -> list[Eps]:
        """The radii that a clip has no result for."""
        return [eps for eps in self.sweep if self.run.records.get(self.key(item, eps), {}).get("status") != "ok"]

    def failed(self, item: ClipItem, reason: str) -> Json:
        """The record of a clip that could not be read, under its first open radius."""
        return {
            "key": self.key(item, self.open_radii(item)[0]),
            "clip": item.key,
            "path": item.name,
            "label": item.label,
            "status": "failed",
            "reason": reason,
        }

    def note(self) -> str:
        """Robust accuracy so far at the largest radius."""
        here = [r for r in self.run.records.values() if r.get("eps_value") == self.sweep[-1].value]
        return f"robust {sum(r['robust'] for r in here) / len(here):.1%}" if here else ""

    def attack(self, pending: Sequence[tuple[ClipItem, Tensor]]) -> None:
        """Attack a batch at all its open radii and append the records."""
        clips = torch.stack([clip for _, clip in pending]).to(self.device)
        with torch.no_grad():
            clean = self._reference(clips).float()
        for eps in self.sweep:
            chosen = [index for index, (item, _) in enumerate(pending) if eps in self.open_radii(item)]
            if chosen:
                self._attack_at(eps, [pending[index][0] for index in chosen], clips[chosen], clean[chosen])

    def _attack_at(self, eps: Eps, items: Sequence[ClipItem], clips: Tensor, clean: Tensor) -> None:
        predictions = clean.argmax(dim=1)
        truths = torch.tensor([item.label for item in items], device=self.device) if self.by_labels else predictions
        targets = self._targets(items, clean, truths)
        goal = Goal(truths) if targets is None else Goal(targets, targeted=True)
        # a clip that is wrong already, or already where it should go, needs no attack
        open_clips = (~goal.reached(clean)).nonzero().flatten()
        attacked = clips.clone()
        counts = torch.zeros(len(items), 2, dtype=torch.long)
        restarts = [0] * len(items)
        if len(open_clips) and eps.exact > 0:
            where = open_clips.tolist()
            batch = Batch(clips[open_clips], goal.of(open_clips), [items[i].key for i in where], self.request.seed)
            budget = Budget(self.request.norm, eps.value)
            outcome, tries = self._craft(batch, budget)
            budget.audit(batch.clips, outcome.clips)
            attacked[open_clips] = outcome.clips
            counts[where, 0], counts[where, 1] = outcome.forwards, outcome.backwards
            for index, restart in zip(where, tries, strict=True):
                restarts[index] = restart
        with torch.no_grad():
            final = self._reference(attacked).float()
        linf, l2 = Budget(self.request.norm, eps.value).sizes(attacked.double() - clips.double())
        before, after = torch.softmax(clean, 1), torch.softmax(final, 1)
        for index, item in enumerate(items):
            truth, guess = int(truths[index]), int(final[index].argmax())
            record: Json = {
                "key": self.key(item, eps),
                "clip": item.key,
                "path": item.name,
                "label": item.label if self.by_labels else None,
                "eps": eps.text,
                "eps_value": eps.value,
                "status": "ok",
                "clean_pred": int(predictions[index]),
                "clean_correct": int(predictions[index]) == truth,
                "adv_pred": guess,
                # a clip that was wrong before is not robust, wherever the attack pushed it
                "robust": guess == truth and int(predictions[index]) == truth,
                "linf": linf[index],
                "l2": l2[index],
                "clean_confidence": round(float(before[index, truth]), 6),
                "adv_confidence": round(float(after[index, truth]), 6),
                "restart": restarts[index],
                "forwards": int(counts[index, 0]),
                "backwards": int(counts[index, 1]),
            }
            if targets is not None:
                record["target"] = int(targets[index])
            self._keep_example(record, eps, clips[index], attacked[index])
            self.run.append(record)

    def _craft(self, batch: Batch, budget: Budget) -> tuple[Any, list[int]]:
        if self.request.engine == "native":
            return self.method.run(self._attacked.logits, batch, budget, self.settings)
        if self._wrapped is None:
            self._wrapped = art_bridge.wrap(self._attacked, tuple(batch.clips.shape[1:]))
        outcome = art_bridge.attack(self._wrapped, self.method.name, batch, budget, self.settings)
        return outcome, [0] * len(batch.clips)

    def _targets(self, items: Sequence[ClipItem], clean: Tensor, truths: Tensor) -> Tensor | None:
        if self.target is None:
            return None
        if self.target == "least-likely":
            return clean.argmin(dim=1)
        if isinstance(self.target, int):
            return torch.full_like(truths, self.target)
        classes = self.model.classifier.num_classes
        shifts = [1 + seed_for(self.request.seed, item.key, "target") % (classes - 1) for item in items]
        return (truths + torch.tensor(shifts, device=self.device)) % classes

    def _keep_example(self, record: Json, eps: Eps, clean: Tensor, attacked: Tensor) -> None:
        folder = self.run.path / "examples"
        if eps != self.sweep[-1] or record["robust"] or not record["clean_correct"]:
            return
        if len(list(folder.glob("*.png"))) >= EXAMPLES:
            return
        with disk_errors(folder):
            save_strip(folder / f"{record['clip']}.png", clean, attacked)

    def summary(self, items: Sequence[ClipItem], listed: int) -> Json:
        """The figures of the run, from its records."""
        keys = {self.key(item, eps) for item in items for eps in self.sweep}
        records = [record for key, record in self.run.records.items() if key in keys]
        good = [record for record in records if record["status"] == "ok"]
        mended = {record["clip"] for record in good}
        failures = [r for r in records if r["status"] != "ok" and r["clip"] not in mended]
        reference = "labels" if self.by_labels else "predictions"
        settings = self.settings.model_dump(mode="json")
        return {
            "kind": "attack",
            "model": self.model.reference,
            "architecture": self.model.architecture,
            "attack": self.method.name,
            "settings": settings,
            "steps": settings.get("steps", 1),
            "restarts": settings.get("restarts", 1),
            "engine": self.request.engine,
            "norm": self.request.norm,
            "targeted": self.target is not None,
            "target": self.target,
            "reference": reference,
            "listed": listed,
            "clips": len(items),
            "evaluated": len(mended),
            "failed": len(failures),
            "clean_accuracy": clean_accuracy(good) if self.by_labels else None,
            "curve": curve(good, reference),
            "failures": [{"path": record["path"], "reason": record["reason"]} for record in failures],
            "examples": self._examples(good),
        }

    def _examples(self, good: Sequence[Json]) -> list[Json]:
        names = self.model.classifier.classes

        def name(index: int) -> str:
            return names[index] if names else f"class {index}"

        found = []
        for record in good:
            file = Path("examples") / f"{record['clip']}.png"
            if record["eps_value"] == self.sweep[-1].value and (self.run.path / file).exists():
                caption = (
                    f"{record['path']}: {name(record['clean_pred'])} becomes {name(record['adv_pred'])} "
                    f"at {self.request.norm} {record['eps']}"
                )
                found.append({"file": str(file), "caption": caption})
        return sorted(found, key=lambda example: example["file"])
