"""The section on fine-tuning runs: curves over epochs and their figures."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.report.evaluation import failures, state_notice
from vidbench.report.folders import Run
from vidbench.report.markup import MISSING, Html, count, duration, figure, join, percent, table, tag
from vidbench.report.plots import Axis, Point, Series, key, line_plot, percent_axis, value_axis, whole_axis
from vidbench.report.summaries import Epoch, FinetuneSummary


def training_section(runs: Sequence[Run]) -> Html:
    """Every fine-tuning run: its settings and result, its curves, its epochs."""
    found = [run for run in runs if run.kind == "finetune"]
    rows = [_row(run, run.summary) for run in found if isinstance(run.summary, FinetuneSummary)]
    columns = (
        "Run", "Model", "Started from", "Classes", "Clips", "Epochs", "Best epoch", _best_of(found),
        "Final train loss", "Parameters", "Time",
    )  # fmt: skip
    overview = table(columns, rows, numeric=range(3, 11), caption="Fine-tuning runs") if rows else None
    return join([overview, *(_one(run, len(found) > 1) for run in found)])


def _best_of(runs: Sequence[Run]) -> str:
    """The heading over the best validation figures, which are those of the runs' tasks."""
    kinds = {run.summary.ranked for run in runs if isinstance(run.summary, FinetuneSummary)}
    return {frozenset((True,)): "Best val. mAP", frozenset((True, False)): "Best val. top-1 or mAP"}.get(
        frozenset(kinds), "Best val. top-1"
    )


def _row(run: Run, summary: FinetuneSummary) -> tuple[str, ...]:
    return (
        run.name,
        summary.full,
        summary.init or MISSING,
        count(len(summary.classes)),
        count(summary.clips),
        count(summary.epochs),
        count(summary.best_epoch),
        percent(summary.best_val),
        figure(summary.final_train_loss),
        count(summary.parameters),
        duration(summary.seconds),
    )


def _one(run: Run, several: bool) -> Html:
    parts: list[Html | None] = [tag("h3", run.name) if several else None]
    if run.summary is None:
        parts.append(state_notice(run))
    if run.epochs:
        parts += [_curves(run.epochs), _epochs(run.epochs)]
    else:
        parts.append(tag("p", "The run folder holds no finished epochs, so there are no curves.", class_="note"))
    if isinstance(run.summary, FinetuneSummary):
        parts.append(failures(run.summary.failures, run.summary.failed))
    return join(parts)


def _curves(epochs: Sequence[Epoch]) -> Html:
    x = whole_axis("Epoch", [epoch.epoch for epoch in epochs])
    loss = [
        Series(
            "training", tuple(_point(e.epoch, e.train_loss, f"epoch {e.epoch}: {figure(e.train_loss)}") for e in epochs)
        )
    ]
    ranked = _ranked(epochs)
    figures = (
        [("validation", [e.val_mean_ap for e in epochs])]
        if ranked
        else [("training", [e.train_top1 for e in epochs]), ("validation", [e.val_top1 for e in epochs])]
    )
    figures.append(("validation, attacked", [e.attacked_val for e in epochs]))
    measured = [
        Series(name, tuple(_share(e, value) for e, value in zip(epochs, values, strict=True)))
        for name, values in figures
        if any(value is not None for value in values)
    ]
    what = "Mean average precision" if ranked else "Top-1 accuracy"
    losses = value_axis("Loss", [e.train_loss for e in epochs if e.train_loss is not None])
    return tag(
        "div",
        _plot("Training loss over epochs", loss, x, losses),
        _plot(f"{what} over epochs", measured, x, percent_axis(what)),
        class_="pair",
    )


def _point(epoch: int, value: float | None, title: str) -> Point:
    return Point(float(epoch), value, title=title)


def _ranked(epochs: Sequence[Epoch]) -> bool:
    """Whether the epochs have a mean average precision in place of an accuracy."""
    return any(epoch.val_mean_ap is not None for epoch in epochs)


def _share(epoch: Epoch, value: float | None) -> Point:
    return _point(epoch.epoch, value, f"epoch {epoch.epoch}: {percent(value)}")


def _plot(title: str, series: Sequence[Series], x: Axis, y: Axis) -> Html:
    legend = tag("ul", *(tag("li", key(i), one.name) for i, one in enumerate(series)), class_="legend")
    return tag(
        "figure",
        tag("h3", title),
        legend,
        line_plot(title, series, x, y, width=500, height=300, labels=False, variant="wide half"),
        line_plot(title, series, x, y, width=360, height=270, labels=False, variant="narrow"),
    )


def _epochs(epochs: Sequence[Epoch]) -> Html:
    shown: list[tuple[str, list[str]]] = [
        ("Epoch", [str(e.epoch) for e in epochs]),
        ("Learning rate", [figure(e.lr) for e in epochs]),
        ("Training loss", [figure(e.train_loss, 4) for e in epochs]),
    ]
    if _ranked(epochs):
        shown.append(("Validation mAP", [percent(e.val_mean_ap) for e in epochs]))
    else:
        shown.append(("Training top-1", [percent(e.train_top1) for e in epochs]))
        shown.append(("Validation top-1", [percent(e.val_top1) for e in epochs]))
    if any(e.attacked_val is not None for e in epochs):
        shown.append(
            (f"Validation {'mAP' if _ranked(epochs) else 'top-1'}, attacked", [percent(e.attacked_val) for e in epochs])
        )
    shown.append(("Time", [duration(e.seconds) for e in epochs]))
    if any(e.data_seconds is not None for e in epochs):
        shown.append(("Of it waiting for clips", [duration(e.data_seconds) for e in epochs]))
    columns = tuple(name for name, _ in shown)
    rows = list(zip(*(cells for _, cells in shown), strict=True))
    return tag(
        "details",
        tag("summary", "All epochs as a table"),
        table(columns, rows, numeric=range(len(columns)), caption="Epochs", seen=False),
    )
