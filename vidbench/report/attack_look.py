"""What attacks did to clips: step by step, frame by frame, class by class, after storing, and for the eye."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from vidbench.report.evaluation import film
from vidbench.report.folders import Image, Run
from vidbench.report.markup import MISSING, Html, count, join, percent, plural, scroll_box, table, tag
from vidbench.report.plots import (
    Axis,
    Point,
    Series,
    confusion_matrix,
    key,
    line_plot,
    percent_axis,
    scale,
    value_axis,
    whole_axis,
)
from vidbench.report.summaries import Answered, AttackRun, AttackSummary, budget

MATRIX_CLASSES = 20
_MATRICES = 6
_PAIRS = 6
_TREATMENTS = {"uint8": "8-bit frames", "resize": "H.264 CRF 23, scaled"}
Labelled = tuple[str, Run, AttackSummary]


def chart(title: str, series: Sequence[Series], x: Axis, narrow: Axis, y: Axis, note: str) -> Html:
    """A line plot for wide pages and one for narrow ones, with a legend.

    Args:
        title: The heading, and what the plot shows for those who cannot see it.
        series: One per attack; one without points keeps its colour for other plots, and is not drawn.
        x: The horizontal axis of the wide plot.
        narrow: That of the narrow one.
        y: The vertical axis.
        note: What to know of the lines.
    """
    return _figure(
        title,
        series,
        line_plot(title, series, x, y, width=1000, height=400, labels=True, variant="wide"),
        line_plot(title, series, narrow, y, width=360, height=290, labels=False, variant="narrow"),
        note,
    )


def _figure(title: str, series: Sequence[Series], *rest: str) -> Html:
    *drawn, note = rest
    names = (tag("li", key(i), one.name) for i, one in enumerate(series) if one.points)
    return tag("figure", tag("h3", title), tag("ul", *names, class_="legend"), *drawn, tag("figcaption", note))


def course_charts(members: Sequence[Labelled], what: str, suffix: str) -> Html | None:
    """Side by side, at the largest budget: the figure step by step, and the perturbation frame by frame.

    Args:
        members: Attacks of one norm.
        what: The figure: robust accuracy, or unchanged predictions.
        suffix: What tells these headings from those of other norms.
    """
    charts = [one for one in (_steps_chart(members, what, suffix), _frames_chart(members, suffix)) if one is not None]
    return tag("div", *charts, class_="pair") if charts else None


def _steps_chart(members: Sequence[Labelled], what: str, suffix: str) -> Html | None:
    """The figure as an attack takes its steps; None where no attack broke a clip."""
    series = [Series(label, _course(one), stepped=True) for label, _, one in members]
    steps = [int(point.x) for one in series for point in one.points]
    if not steps:
        return None
    note = (
        "Each attack at its largest budget; steps are counted through all restarts, and a clip that a smaller budget"
        " broke counts at the step of that one. A line that still falls near its end says that more steps would find"
        " more, unless the attack looks at its last step alone."
    )
    title = f"{what} by steps{suffix}"
    x = whole_axis("Steps of the attack", [0, max(steps)])
    plot = line_plot(title, series, x, percent_axis(what), width=520, height=300, labels=False, variant="half")
    return _figure(title, series, plot, note)


def _course(one: AttackSummary) -> tuple[Point, ...]:
    found = sorted(one.column.by_steps, key=lambda point: point.step)
    points = [
        Point(p.step, p.robust_accuracy, title=f"after {plural(p.step, 'step')}: {percent(p.robust_accuracy)}")
        for p in found
    ]
    taken = (one.column.steps or 0) * (one.column.restarts or 1)
    if len(points) > 1 and taken > points[-1].x:
        value = points[-1].y
        points.append(Point(taken, value, title=f"after all {plural(taken, 'step')}: {percent(value)}"))
    return tuple(points) if len(points) > 1 else ()


def _frames_chart(members: Sequence[Labelled], suffix: str) -> Html | None:
    """Which frames carry the perturbation; None of images, and where nothing was perturbed."""
    series = []
    for label, _, one in members:
        shares = one.column.frames if len(one.column.frames) > 1 else ()
        points = tuple(Point(i, 100 * s, title=f"frame {i}: {percent(s)}") for i, s in enumerate(shares))
        series.append(Series(label, points))
    drawn = [point for one in series for point in one.points]
    if not drawn:
        return None
    y = value_axis("Share of the perturbation", [point.y or 0.0 for point in drawn])
    y = Axis(y.title, y.low, y.high, tuple((value, f"{text}%") for value, text in y.ticks))
    x = whole_axis("Frame of the clip", [int(point.x) for point in drawn])
    note = (
        "The share of a frame in the squared L2 norm of the perturbation, mean over clips, at the largest budget."
        " A level line is a perturbation spread evenly."
    )
    title = f"Perturbation by frame{suffix}"
    plot = line_plot(title, series, x, y, width=520, height=300, labels=False, variant="half")
    return _figure(title, series, plot, note)


def stored_table(members: Sequence[Labelled], what: str) -> Html | None:
    """The figure beside that of the same clips once they are stored and read again; None where nobody looked.

    Args:
        members: Attacks of one reference.
        what: The figure, as the head of its column.
    """
    points = [(label, one.norm, point) for label, _, one in members for point in one.points if point.after]
    names = list(dict.fromkeys(name for _, _, point in points for name in point.after))
    if not names:
        return None
    rows = [
        (
            label,
            budget(norm, point.eps),
            percent(point.robust_accuracy),
            *(percent(point.after.get(name)) for name in names),
        )
        for label, norm, point in points
    ]
    note = (
        "An attack lives on small values, which storing changes. Each column judges the same attacked clips again after"
        " rounding to 8 bits, after H.264 at a rate factor (CRF), or after H.264 and reading at another size, as a"
        " pipeline reads a video. A figure far above the first says that the attack does not survive a file; it is no"
        " sign of robustness, since an attacker who knows of it can attack through it."
    )
    columns = ("Attack", "Budget", what, *(_treatment(name) for name in names))
    grid = table(
        columns,
        rows,
        numeric=range(2, len(columns)),
        caption="Figures after storing and reading again",
        seen=False,
        grouped=True,
    )
    return join([tag("h3", "After storing"), grid, tag("p", note, class_="note")])


def _treatment(name: str) -> str:
    return _TREATMENTS.get(name, f"H.264 CRF {name.removeprefix('h264-')}" if name.startswith("h264-") else name)


def cascades_table(members: Sequence[Labelled]) -> Html | None:
    """Which part of an attack of several parts broke how many clips; None without such an attack."""
    rows = []
    for label, _, one in members:
        broken = sum(one.column.broken_by.values())
        rows += [
            (label, part, count(clips), percent(clips / broken))
            for part, clips in one.column.broken_by.items()
            if broken
        ]
    if not rows:
        return None
    columns = ("Attack", "Broken by", "Clips", "Share of broken clips")
    note = "Parts run one after the other, each on the clips that those before it left."
    grid = table(
        columns, rows, numeric=(2, 3), caption="Parts of attacks and the clips they broke", seen=False, grouped=True
    )
    return join([tag("h3", "Which part of an attack broke the clips"), grid, tag("p", note, class_="note")])


def confusions(members: Sequence[Labelled], suffix: str = "") -> Html | None:
    """Classes answered for classes before and after the attacks of one run; None without labels.

    Args:
        members: The attacks of one run.
        suffix: What tells this heading from those of other runs.
    """
    told = [(label, one) for label, _, one in members if one.column.confusion.clean or one.column.confusion.attacked]
    if not told:
        return None
    run = told[0][1].run
    tables = [("before the attacks", told[0][1].column.confusion.clean)]
    tables += [(f"after {label} ({_largest(one)})", one.column.confusion.attacked) for label, one in told]
    shown = [(name, counts) for name, found in tables[: _MATRICES + 1] if (counts := _matrix(run, found))]
    figures = [
        tag(
            "figure",
            scroll_box(confusion_matrix(run.classes, counts), f"Confusions {name}"),
            tag("figcaption", _capital(name)),
        )
        for name, counts in shown
    ]
    left = len(tables) - len(shown) if shown else 0
    key_note = tag(
        "p",
        "Rows are true classes, columns answers. The shade is the share of the row: ",
        tag("span", "none", scale(), "all", class_="whole"),
        f". {count(left)} more are in the table alone." if left else ".",
        class_="note",
    )
    rows = [row for name, found in tables for row in _pairs(run, name, found)]
    columns = ("When", "True class", "Answer", "Clips", "of", "Share")
    grid = table(columns, rows, numeric=(3, 4, 5), caption="Largest confusions before and after", grouped=True)
    return join(
        [
            tag("h3", f"Confusions before and after{suffix}"),
            tag("div", *figures, class_="pair matrices") if figures else None,
            key_note if figures else None,
            grid if rows else tag("p", "No class is taken for another one.", class_="note"),
        ]
    )


def _largest(one: AttackSummary) -> str:
    return budget(one.norm, one.points[-1].eps) if one.points else MISSING


def _matrix(run: AttackRun, found: Sequence[Answered]) -> list[list[int]]:
    """Counts as rows of true classes; empty of too many classes to be drawn, and of classes without a name."""
    size = len(run.classes)
    if not 0 < size <= MATRIX_CLASSES or any(max(truth, answer) >= size for truth, answer, _ in found):
        return []
    counts = [[0] * size for _ in range(size)]
    for truth, answer, clips in found:
        counts[truth][answer] += clips
    return counts


def _pairs(run: AttackRun, name: str, found: Sequence[Answered]) -> list[tuple[str, ...]]:
    of: dict[int, int] = {}
    for truth, _, clips in found:
        of[truth] = of.get(truth, 0) + clips
    wrong = sorted((one for one in found if one[0] != one[1] and one[2]), key=lambda one: (-one[2], one[:2]))
    return [
        (
            _capital(name),
            run.class_name(truth),
            run.class_name(answer),
            count(clips),
            count(of[truth]),
            percent(clips / of[truth]),
        )
        for truth, answer, clips in wrong[:_PAIRS]
    ]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def pictures(title: str, strips: Sequence[Image], remarks: Sequence[str]) -> Html | None:
    """Attacked clips as film strips, and in motion beside the clean ones; None where there is nothing to show."""
    if not strips and not remarks:
        return None
    note = "Rows: the clean clip, the perturbation (amplified), the attacked clip. Time runs to the right."
    if any(image.video for image in strips):
        note += (
            " Videos, slowed down: the clean clip, the attacked clip, and their difference, enlarged eight times round"
            " grey."
        )
    left_out = tag("ul", *(tag("li", remark) for remark in remarks), class_="note") if remarks else None
    figures = (_attacked(image) for image in strips)
    return join([tag("h3", title), tag("p", note, class_="note") if strips else None, *figures, left_out])


def _attacked(image: Image) -> Html:
    if not image.video:
        return film(image)
    source = "data:video/mp4;base64," + base64.b64encode(image.video).decode("ascii")
    video = tag(
        "video",
        src=source,
        controls=True,
        muted=True,
        loop=True,
        playsinline=True,
        preload="metadata",
        aria_label=f"In motion: {image.caption}",
    )
    return tag("div", film(image), video, class_="moving")
