"""The top of the page: what the figures say, in a paragraph and in tiles."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.report.attack_verdict import best_known, status_words, verify_labels
from vidbench.report.detect_summary import DetectSummary
from vidbench.report.detection import detect_labels, scorer_name
from vidbench.report.evaluation import eval_labels
from vidbench.report.folders import Run
from vidbench.report.markup import Html, count, figure, interval, join, percent, plural, tag
from vidbench.report.robustness import (
    attack_labels,
    fooling_interval,
    headline,
    worst_headlines,
    worst_words,
)
from vidbench.report.summaries import (
    AttackRun,
    AttackSummary,
    CurvePoint,
    EvalSummary,
    FinetuneSummary,
    VerifySummary,
    WorstPoint,
    budget,
)
from vidbench.report.verdict import verdict_sentence, verdict_words

_FEW = 4
_TILES = 12


def lead(runs: Sequence[Run]) -> Html:
    """One paragraph that states the main figures with their uncertainty."""
    sentences = []
    for found in (_training(runs), _evaluation(runs), _detection(runs), _changed(runs)):
        sentences += found[:_FEW]
        if len(found) > _FEW:
            sentences.append(f"{plural(len(found) - _FEW, 'further run')} of this kind: see the tables below.")
    if held := _held(runs):
        more = f"; {count(len(held) - _FEW)} more are in the tables below" if len(held) > _FEW else ""
        listed = "; ".join(held[:_FEW])
        sentences.append(f"Robust accuracy, which a stronger attack can only lower, is {listed}{more}.")
    sentences += _verified(runs)[:_FEW]
    failed = sum(map(_failed, runs))
    if failed:
        units = {"keyframe" if isinstance(run.summary, DetectSummary) else "clip" for run in runs if _failed(run)}
        unit = units.pop() if len(units) == 1 else "item"
        sentences.append(f"{plural(failed, unit)} could not be used; below, each is listed with its reason.")
    unfinished = sum(run.summary is None for run in runs)
    if unfinished:
        verb = "is not finished and gives" if unfinished == 1 else "are not finished and give"
        sentences.append(f"{count(unfinished)} of {plural(len(runs), 'run')} {verb} no figures yet.")
    return tag("p", " ".join(sentences), class_="lead")


def _failed(run: Run) -> int:
    return 0 if run.summary is None else run.summary.failed


def _training(runs: Sequence[Run]) -> list[str]:
    sentences = []
    for summary in (run.summary for run in runs):
        if not isinstance(summary, FinetuneSummary):
            continue
        how = f" with attacked clips ({summary.adversarial.method})" if summary.adversarial else ""
        how += f" behind {summary.defence}" if summary.defence else ""
        clips, epochs = plural(summary.clips, "clip"), plural(summary.epochs, "epoch")
        text = f"{summary.short} was fine-tuned{how} on {clips} for {epochs}"
        if summary.best_val is not None:
            what = "mean average precision" if summary.ranked else "top-1 accuracy"
            text += f" and reached a validation {what} of {percent(summary.best_val)}"
            text += f", of {percent(summary.attacked_val)} under attack," if summary.attacked_val is not None else ""
            text += f" in epoch {summary.best_epoch}" if summary.best_epoch is not None else ""
        elif summary.final_train_loss is not None:
            text += f" to a training loss of {figure(summary.final_train_loss)}; no clips were held out for validation"
        sentences.append(text + ".")
    return sentences


def _evaluation(runs: Sequence[Run]) -> list[str]:
    sentences = []
    for label, _, summary in eval_labels(runs):
        value, low, high = _figure(summary)
        if value is None:
            what = "average precision" if summary.several else "accuracy"
            sentences.append(f"{label} was run on {plural(summary.evaluated, 'clip')}; no {what} was measured.")
            continue
        span = interval(low, high)
        clips = plural(summary.evaluated, "clip")
        if summary.several:
            text = f"{label} reaches a mean average precision of {percent(value)} on {clips}"
        else:
            text = f"{label} answers {percent(value)} of {clips} right"
        sentences.append(text + (f" (95% interval {span})." if span else "."))
        if summary.verdict is not None and (said := verdict_sentence(summary.verdict)):
            sentences[-1] += f" {said}"
    return sentences


def _detection(runs: Sequence[Run]) -> list[str]:
    sentences = []
    for label, _, summary in detect_labels(runs):
        over = f"on {plural(summary.boxes, 'box')} of {plural(summary.evaluated, 'keyframe')}"
        if summary.mean_ap is None:
            sentences.append(f"{label} was run {over}; no average precision was measured.")
            continue
        sentences.append(
            f"{label} reaches a mean average precision of {percent(summary.mean_ap)} {over}, as the mean of"
            f" {plural(summary.classes_in_mean, 'class')} by the rules of {scorer_name(summary)}'s scorer."
        )
    return sentences


def _figure(summary: EvalSummary) -> tuple[float | None, float | None, float | None]:
    """What the evaluation measured, and its interval; in [0, 1]."""
    if summary.several:
        return summary.mean_ap, summary.mean_ap_low, summary.mean_ap_high
    return summary.top1, summary.top1_low, summary.top1_high


def _changed(runs: Sequence[Run]) -> list[str]:
    sentences = []
    for label, _, summary in attack_labels(runs):
        point = headline(summary)
        if point is None:
            sentences.append(f"{label} was run with no budget above zero.")
        elif summary.reference == "predictions":
            sentences.append(
                f"{percent(point.fooling_rate)} of {plural(point.clips, 'prediction')} change under {label}"
                f" ({budget(summary.norm, point.eps)}); the clips carry no label of the model's classes."
            )
    return sentences


def _held(runs: Sequence[Run]) -> list[str]:
    """Robust accuracies: of several attacks that share a budget that of the worst case alone."""
    phrases = []
    united: set[tuple[int, str]] = set()
    for run, point in _worst_cases(runs):
        united |= {(id(run), name) for name in point.attacks}
        phrases.append(_phrase(point, f"under {worst_words(run, point, runs)} ({budget(point.norm, point.eps)})"))
    for label, run, summary in attack_labels(runs):
        found = headline(summary)
        if found is None or summary.reference == "predictions" or (id(run), summary.column.label) in united:
            continue
        phrases.append(_phrase(found, f"under {label} ({budget(summary.norm, found.eps)})"))
    return phrases


def _worst_cases(runs: Sequence[Run]) -> list[tuple[Run, WorstPoint]]:
    return [
        (run, point)
        for run in runs
        if isinstance(run.summary, AttackRun) and run.summary.reference == "labels"
        for point in worst_headlines(run.summary)
    ]


def _phrase(point: CurvePoint | WorstPoint, where: str) -> str:
    span = interval(point.low, point.high)
    behind = f"{count(point.robust)} of {plural(point.clips, 'clip')}" + (f", 95% interval {span}" if span else "")
    return f"{percent(point.robust_accuracy)} {where}: {behind}"


def _verified(runs: Sequence[Run]) -> list[str]:
    sentences = []
    for label, _, summary in verify_labels(runs):
        best = best_known(summary)
        said = ""
        if best is not None:
            what = "robust accuracy" if summary.reference == "labels" else "share of unchanged predictions"
            said = f"; the best known {what} at {budget(summary.norm, best[0])} is {percent(best[1])}"
            if summary.run and (reported := summary.reported_ra.get(best[0])) is not None:
                said += f", against {percent(reported)} reported"
        sentences.append(f"Verdict on the robustness of {label}: {status_words(summary).lower()}{said}.")
    return sentences


def tiles(runs: Sequence[Run]) -> Html:
    """The headline figures, each with its interval and the number of clips behind it."""
    found = [_training_tile(run.summary) for run in runs if isinstance(run.summary, FinetuneSummary)]
    evals = eval_labels(runs)
    for label, _, summary in evals:
        value, low, high = _figure(summary)
        title = "Mean average precision" if summary.several else "Clean top-1 accuracy"
        beside = verdict_words(summary.verdict) if summary.verdict is not None else ""
        remarks = (_range(low, high), plural(summary.evaluated, "clip"), beside)
        found.append(_tile(title, percent(value), label, *remarks))
    for label, _, detect in detect_labels(runs):
        classes = f"{plural(detect.classes_in_mean, 'class')}, {scorer_name(detect)}'s scorer"
        over = f"{plural(detect.evaluated, 'keyframe')}, {plural(detect.boxes, 'box')}"
        found.append(_tile("mAP at IoU 0.5", percent(detect.mean_ap), label, classes, over))
    found += [_worst_tile(worst_words(run, point, runs), point) for run, point in _worst_cases(runs)]
    for label, _, attack in attack_labels(runs):
        found += _attack_tiles(label, attack)
    found += [_verify_tile(label, one) for label, _, one in verify_labels(runs)]
    if len(evals) == 1:
        ((label, _, summary),) = evals
        left_out = f"{count(summary.failed)} failed" if summary.failed else "none failed"
        in_list = summary.clips if summary.listed is None else summary.listed
        listed = f"of {count(in_list)} in the list, {left_out}"
        found.append(_tile("Clips evaluated", count(summary.evaluated), label, listed))
    return tag("dl", *found[:_TILES], class_="tiles") if found else Html("")


def _training_tile(summary: FinetuneSummary) -> Html:
    if summary.best_val is None:
        loss = figure(summary.final_train_loss)
        what = "mean average precision" if summary.ranked else "accuracy"
        return _tile("Final training loss", loss, summary.short, f"no {what} on held-out clips")
    when = f"epoch {summary.best_epoch} of {summary.epochs}" if summary.best_epoch is not None else ""
    title = "Best validation mAP" if summary.ranked else "Best validation top-1"
    return _tile(title, percent(summary.best_val), summary.short, when)


def _attack_tiles(label: str, summary: AttackSummary) -> list[Html]:
    point = headline(summary)
    if point is None:
        return []
    subject = f"{label}, {budget(summary.norm, point.eps)}"
    clips = plural(point.clips, "clip")
    if summary.reference == "predictions":
        return [_tile("Fooling rate", percent(point.fooling_rate), subject, _range(*fooling_interval(point)), clips)]
    largest = summary.points[-1]
    if largest is not point:
        clips += f"; {percent(largest.robust_accuracy)} at {largest.eps}"
    return [_tile("Robust accuracy", percent(point.robust_accuracy), subject, _range(point.low, point.high), clips)]


def _worst_tile(name: str, point: WorstPoint) -> Html:
    subject = f"{name}, {budget(point.norm, point.eps)}"
    span, clips = _range(point.low, point.high), plural(point.clips, "clip")
    return _tile("Worst-case robust accuracy", percent(point.robust_accuracy), subject, span, clips)


def _verify_tile(label: str, summary: VerifySummary) -> Html:
    best = best_known(summary)
    verdict = f"Verdict: {status_words(summary).lower()}"
    if best is None:
        return _tile("Verdict", status_words(summary), label, plural(summary.evaluated, "clip"))
    subject = f"{label}, {budget(summary.norm, best[0])}"
    title = "Best known robust accuracy" if summary.reference == "labels" else "Best known unchanged share"
    return _tile(title, percent(best[1]), subject, verdict, plural(summary.evaluated, "clip"))


def _range(low: float | None, high: float | None) -> str:
    span = interval(low, high)
    return f"95% CI {span}" if span else ""


def _tile(title: str, value: str, subject: str, *remarks: str) -> Html:
    lines = join(tag("dd", remark) for remark in remarks if remark)
    return tag(
        "div",
        tag("dt", title),
        tag("dd", value, class_="value"),
        tag("dd", subject, class_="subject"),
        lines,
        class_="tile",
    )


def models(runs: Sequence[Run]) -> list[str]:
    """The models on the page, each once, in order; runs that are not done name theirs in the manifest."""
    found: dict[str, None] = {}
    for run in runs:
        if run.summary is not None:
            found[run.summary.short] = None
        else:
            named = run.manifest.resolved.get("model", run.manifest.request.get("model"))
            if isinstance(named, str):
                found[named] = None
    return list(found)
