"""The section on evaluation runs: accuracies, classes, confusions, worst misses, failed clips."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from vidbench.report.folders import Image, Run
from vidbench.report.markup import MISSING, Html, count, escape, interval, join, percent, plural, scroll_box, table, tag
from vidbench.report.plots import bar, confusion_matrix, scale
from vidbench.report.summaries import Confused, EvalSummary, Failure, PerClass
from vidbench.report.verdict import verdict_panel

MATRIX_CLASSES = 50
_BARS = 30
_WORST = 20
_FAILURES = 200
_PAIRS = 8
_PAIRS_ALONE = 20
_WIDE = 560
Strips = tuple[Run, tuple[Image, ...], tuple[str, ...]]


def eval_labels(runs: Sequence[Run]) -> list[tuple[str, Run, EvalSummary]]:
    """Finished evaluations, each with the shortest label that tells it from the others."""
    found = [(run, run.summary) for run in runs if isinstance(run.summary, EvalSummary)]
    models = [summary.short for _, summary in found]
    return [
        (summary.short if models.count(summary.short) == 1 else f"{summary.short} ({run.name})", run, summary)
        for run, summary in found
    ]


def state_notice(run: Run) -> Html:
    """What is known of a run that has no figures yet."""
    status = run.manifest.status
    said = "it is marked as done, but holds no summary" if status == "done" else f"its status is “{status}”"
    unit = "epoch" if run.kind == "finetune" else "record"
    counts = f"{plural(run.records, unit)} so far" + (f", {count(run.failed)} of them failed" if run.failed else "")
    text = f" is not finished: {said}, with {counts}. Its figures are left out; the same command resumes it."
    return tag("p", tag("strong", run.name), text, class_="notice")


def failures(found: Sequence[Failure], failed: int, what: str = "clip") -> Html | None:
    """What could not be used, with the reasons; nothing where all could."""
    if not failed and not found:
        return None
    shown = found[:_FAILURES]
    title = f"{plural(failed, what)} failed"
    grid = table(
        (what.capitalize(), "Reason"),
        [(one.path, one.reason or MISSING) for one in shown],
        caption=f"Failed {what}s",
        seen=False,
    )
    missing = max(failed, len(found)) - len(shown)
    more = tag("p", f"{count(missing)} more: see the records of the run.", class_="note") if missing else None
    body = tag("div", grid, more, class_="paths")
    if len(shown) <= 10:
        return join([tag("h3", title), body])
    return join([tag("h3", title), tag("details", tag("summary", "Show the list"), body)])


def evaluation_section(runs: Sequence[Run], images: Sequence[Strips]) -> Html:
    """Every evaluation: a row of figures, then its classes, confusions, worst misses and failed clips.

    Args:
        runs: All runs of the page.
        images: Their film strips and remarks.
    """
    found = eval_labels(runs)
    pictures = {run.folder: (strips, remarks) for run, strips, remarks in images}
    parts: list[Html | None] = [state_notice(run) for run in runs if run.kind == "eval" and run.summary is None]
    if found:
        parts += [_figures([one for one in found if one[2].several is several], several) for several in (False, True)]
        parts.append(different_lists([run for _, run, _ in found]))
    for label, run, summary in found:
        suffix = f": {label}" if len(found) > 1 else ""
        parts += [
            verdict_panel(summary, suffix),
            _classes(summary, suffix),
            _confusions(summary, suffix),
            _misses(summary, suffix, *pictures.get(run.folder, ((), ()))),
            failures(summary.failures, summary.failed),
        ]
    return join(parts)


def different_lists(runs: Sequence[Run]) -> Html | None:
    """A caution where runs side by side do not measure the same clips."""
    lists = {repr(run.manifest.resolved.get("list_sha256")) for run in runs}
    if len(lists) <= 1:
        return None
    return tag(
        "p", "These runs do not use the same list of clips: their figures are not directly comparable.", class_="notice"
    )


def coverage(clips: int, listed: int | None) -> str:
    """How many clips a run took, and of how many, where a limit or a manifest left some out."""
    return count(clips) if listed in (None, clips) else f"{count(clips)} of {count(listed)} listed"


def _figures(found: Sequence[tuple[str, Run, EvalSummary]], several: bool) -> Html | None:
    if not found:
        return None
    rows: list[tuple[str, ...]] = []
    for _, run, summary in found:
        start = (
            summary.full,
            run.name,
            f"{count(summary.evaluated)} / {count(summary.clips if summary.listed is None else summary.listed)}",
            count(summary.failed),
            _protocol(summary),
            summary.precision or MISSING,
        )
        if several:
            spread = interval(summary.mean_ap_low, summary.mean_ap_high)
            rows.append((*start, percent(summary.mean_ap), spread or MISSING))
        else:
            spread = interval(summary.top1_low, summary.top1_high)
            rest = (percent(summary.top5), percent(summary.mean_class_accuracy))
            rows.append((*start, percent(summary.top1), spread or MISSING, *rest))
    columns: tuple[str, ...] = ("Model", "Run", "Evaluated / listed", "Failed", "Protocol", "Precision")
    if several:
        columns += ("Mean average precision", _unbroken("95% interval"))
        caption = "Average precision on the clips as they are, each of which may have several labels"
    else:
        columns += (
            *(tag("span", name, class_="whole") for name in ("Top-1", "95% interval", "Top-5")),
            "Mean class accuracy",
        )
        caption = "Accuracy on the clips as they are"
    return table(columns, rows, numeric=(2, 3, *range(6, len(columns))), caption=caption)


def _unbroken(head: str) -> Html:
    return tag("span", head, class_="whole")


def _protocol(summary: EvalSummary) -> Html:
    """Rule and views, and below them the network's input; of older runs the views alone."""
    used, views = summary.protocol, summary.views
    if used is None:
        return escape(f"{views.temporal} \u00d7 {views.spatial}" if views else MISSING)
    size = [f"{used.frames} frames" if used.stride is None else f"{used.frames} frames, every {_nth(used.stride)}"]
    size = [] if used.frames is None else size
    size += [f"side {used.short_side}"] if used.short_side is not None else []
    size += [f"crop {used.crop}"] if used.crop is not None else []
    size += [f"resize {used.resize}"] if used.resize else []
    size += [f"{used.ensemble} over views"] if used.ensemble else []
    named = used.rule + " " + used.views.replace("x", " \u00d7 ")
    return join([named, tag("span", ", ".join(size), class_="under") if size else None])


def _nth(step: int) -> str:
    ending = "th" if step % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(step % 10, "th")
    return f"{step}{ending}"


def _classes(summary: EvalSummary, suffix: str) -> Html | None:
    filled = [(share, one) for one in summary.per_class if one.clips and (share := one.share) is not None]
    if not filled:
        return None
    filled.sort(key=lambda entry: (entry[0], entry[1].label))
    figure = "Average precision" if summary.several else "Accuracy"
    empty = summary.num_classes - len(filled)
    without = (
        f" {plural(empty, 'class')} of {count(summary.num_classes)} {'has' if empty == 1 else 'have'} no clip here."
    )
    without = without if empty > 0 else ""
    parts = [tag("h3", f"{figure} per class{suffix}")]
    if len(filled) <= _BARS:
        parts.append(_bars(filled, f"Lowest first.{without}", figure))
        return join(parts)
    parts.append(_bars(filled[:_WORST], f"The {_WORST} classes of lowest {figure.lower()}.{without}", figure))
    rest = _bars(filled[_WORST:], "The other classes", figure)
    parts.append(tag("details", tag("summary", f"Show the other {plural(len(filled) - _WORST, 'class')}"), rest))
    return join(parts)


def _bars(classes: Sequence[tuple[float, PerClass]], caption: str, figure: str) -> Html:
    rows = []
    for share, one in classes:
        if one.correct is None:
            clips, said = count(one.clips), f"{one.name}: {percent(share)}"
        else:
            clips = f"{count(one.correct)} / {count(one.clips)}"
            said = f"{one.name}: {clips} right"
        rows.append((one.name, bar(share, said), clips, percent(share)))
    columns = ("Class", "", "Clips" if figure != "Accuracy" else "Right", figure)
    return tag("div", table(columns, rows, numeric=(2, 3), caption=caption), class_="bars")


def _confusions(summary: EvalSummary, suffix: str) -> Html | None:
    counts = summary.confusion
    if not counts or len(counts) > MATRIX_CLASSES:
        return _pairs_alone(summary, suffix)
    names = [summary.class_name(label) for label in range(summary.num_classes)]
    caption = tag(
        "figcaption",
        "Rows are true classes, columns predicted ones. The shade is the share of the row: ",
        tag("span", "none", scale(), "all", class_="whole"),
        ". Point at a field for its figures.",
    )
    box = scroll_box(confusion_matrix(names, counts), "Confusion matrix")
    pairs = _pairs(_largest(names, counts), _PAIRS)
    return join([tag("h3", f"Confusions{suffix}"), tag("figure", box, caption), pairs])


def _pairs_alone(summary: EvalSummary, suffix: str) -> Html | None:
    """The largest confusions where there is no matrix, of a large class table."""
    many = summary.num_classes > MATRIX_CLASSES
    size = count(summary.num_classes)
    note = tag(
        "p",
        f"No confusion matrix: it is drawn for up to {MATRIX_CLASSES} classes, and there are {size}.",
        class_="note",
    )
    if summary.confused is None:
        return note if many else None
    if not summary.evaluated:
        return None
    pairs = _pairs(summary.confused, _PAIRS_ALONE)
    return join([tag("h3", f"Confusions{suffix}"), note if many else None, pairs])


def _largest(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[Confused]:
    wrong = [
        (amount, row, column)
        for row, line in enumerate(counts)
        for column, amount in enumerate(line)
        if amount and row != column
    ]
    wrong.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [
        Confused(true=names[row], predicted=names[column], clips=amount, of=sum(counts[row]))
        for amount, row, column in wrong
    ]


def _pairs(found: Sequence[Confused], most: int) -> Html:
    if not found:
        return tag("p", "No class is taken for another one.", class_="note")
    rows = [
        (one.true, one.predicted, count(one.clips), count(one.of), percent(one.clips / one.of)) for one in found[:most]
    ]
    columns = ("True class", "Predicted class", "Clips", "of", "Share")
    return tag("div", table(columns, rows, numeric=(2, 3, 4), caption="Largest confusions"), class_="paths")


def _misses(summary: EvalSummary, suffix: str, strips: Sequence[Image], remarks: Sequence[str]) -> Html | None:
    if not strips and not remarks:
        return None
    note = (
        "Wrong answers by falling margin: the score of the class given less that of the true one, both over"
        " all views. A strip shows frames of one view, the middle one; time runs to the right."
    )
    if any(image.heat for image in strips):
        note += (
            " The second row is Grad-CAM for the class given: colour marks what speaks for it, from dark, weak, to"
            " bright, the strongest of the clip."
        )
    if any(image.maps for image in strips):
        names = list(dict.fromkeys(name for image in strips for name in image.maps))
        note += (
            f" Below it is the heat of each part by itself ({', '.join(names[:8])}), each relative to its own"
            " strongest; it lies where it does in the frames above."
        )
    left_out = tag("ul", *(tag("li", remark) for remark in remarks), class_="note") if remarks else None
    figures = [film(image) for image in strips]
    return join(
        [tag("h3", f"Worst misses{suffix}"), tag("p", note, class_="note") if strips else None, *figures, left_out]
    )


def film(image: Image) -> Html:
    """A film strip with its caption, its bytes in the page."""
    source = "data:image/png;base64," + base64.b64encode(image.data).decode("ascii")
    picture = tag("img", src=source, alt=image.caption, width=image.width, height=image.height)
    # a wide strip scrolls on a narrow page; it would be too small to see there
    box = scroll_box(tag("div", picture, class_="strip wide" if image.width > _WIDE else "strip"), "Film strip")
    return tag("figure", box, tag("figcaption", image.caption))
