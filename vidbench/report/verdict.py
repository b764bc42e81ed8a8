"""The panel of an evaluation that puts the measured figure beside the published one."""

from __future__ import annotations

import re

from vidbench.report.markup import Html, count, join, plural, tag
from vidbench.report.summaries import EvalSummary, VerdictCause, VerdictFound

_SHOWN = 12
_GOOD = frozenset({"within tolerance"})
_OPEN = frozenset({"no published figure", "not comparable"})
_REMARKS = frozenset({"missing-videos", "part-of-the-list", "class-subset"})
_LONGEST = 200
_OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]{0,30})")
_CERTAINTY = {"certain": "Certain", "likely": "Likely", "possible": "Possible"}


def verdict_panel(summary: EvalSummary, suffix: str = "") -> Html | None:
    """Measured figure with interval, published one with its source, judgement, causes; None of older runs.

    Args:
        summary: Of the run.
        suffix: What tells this heading from those of other runs.
    """
    found = summary.verdict
    if found is None:
        return None
    calm = found.verdict in _OPEN and all(one.id in _REMARKS for one in found.causes)
    kind = "good" if found.verdict in _GOOD else "open" if calm else "bad"
    facts: list[tuple[str, Html]] = [("Measured", _measured(found))]
    if found.published is not None:
        facts.append(("Published", _published(found)))
    if found.difference is not None:
        facts.append(("Difference", _difference(found)))
    judged = tag("p", tag("strong", _capital(found.verdict), "."), " ", coded(found.reason), class_="judgement")
    body = [judged, _scale(found), tag("dl", *(_fact(*fact) for fact in facts), class_="facts"), _causes(found)]
    return join([tag("h3", f"Verdict{suffix}"), tag("div", *body, class_=f"verdict {kind}")])


def verdict_words(found: VerdictFound) -> str:
    """The judgement in a few words: `published 76.00%: below`; empty without a published figure."""
    return "" if found.published is None else f"published {_per_cent(found.published)}: {found.verdict}"


def verdict_sentence(found: VerdictFound) -> str:
    """The judgement for people, and what is most likely wrong; empty where there is nothing to tell."""
    causes = [one for one in found.causes if one.certainty != "possible" and one.id not in _REMARKS]
    # another protocol costs points; whatever else is wrong as a rule costs more
    likely = min(causes, key=lambda one: one.id == "preset", default=None)
    if found.published is None and likely is None and found.verdict != "at chance":
        return ""
    beside = "" if found.published is None else f" beside the published {_per_cent(found.published)}"
    said = f"Verdict{beside}: {found.verdict}."
    if likely is None:
        return said
    short = likely.text if len(likely.text) <= _LONGEST else likely.text[: _LONGEST - 1] + "…"
    return f"{said} {_CERTAINTY[likely.certainty]}: {_sentence(short)}"


def coded(text: str) -> Html:
    """Text whose parts in backticks, and whose `--options`, are code; an odd backtick is left as it is."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _optioned(text)
    return join(tag("code", part) if index % 2 else _optioned(part) for index, part in enumerate(parts))


def _optioned(text: str) -> Html:
    # a per-cent sign stays with its number
    parts = enumerate(_OPTION.split(text.replace(" %", "\u00a0%")))
    return join(tag("code", part, class_="whole") if index % 2 else part for index, part in parts)


def _measured(found: VerdictFound) -> Html:
    if found.measured is None:
        return join(["nothing"])
    after = []
    if found.interval is not None:
        after.append(f"95% interval {found.interval[0]:.1f} to {found.interval[1]:.1f}%")
    after.append(f"{plural(found.evaluated, 'clip')}" + (f", {found.protocol}" if found.protocol else ""))
    if found.top5 is not None:
        after.append(f"top-5 {_per_cent(found.top5)}")
    return join([tag("strong", f"{found.metric} {_per_cent(found.measured)}"), f" ({'; '.join(after)})"])


def _published(found: VerdictFound) -> Html:
    after = [found.published_by] if found.published_by else []
    if found.published_top5 is not None:
        after.append(f"top-5 {_per_cent(found.published_top5)}")
    said = tag("strong", f"{found.metric} {_per_cent(found.published)}")
    return join([said, f" ({'; '.join(after)})" if after else None])


def _difference(found: VerdictFound) -> Html:
    difference = found.difference or 0.0
    way = "below" if difference < 0 else "above" if difference > 0 else "equal"
    said = tag("strong", f"{abs(difference):.2f} points {way}" if difference else "none")
    if found.tolerance is None:
        return said
    down, up = found.tolerance
    why = f": {found.tolerance_why}" if found.tolerance_why else ""
    return join([said, f" (tolerance \u2212{down:.1f} to +{up:.1f} points round the measured figure{why})"])


def _scale(found: VerdictFound) -> Html | None:
    """Both figures on a scale from 0 to 100 per cent."""
    if found.measured is None or found.published is None:
        return None
    low, high = found.interval or (found.measured, found.measured)
    said = f"measured {_per_cent(found.measured)}, published {_per_cent(found.published)}"
    drawn = tag(
        "svg",
        tag("title", said),
        tag("rect", x=0, y=2, width=100, height=7, class_="track"),
        tag("rect", x=0, y=2, width=found.measured, height=7, class_="fill"),
        tag("rect", x=low, y=11, width=max(high - low, 0.2), height=2, class_="span"),
        tag("rect", x=min(max(found.published - 0.2, 0), 99.6), y=0, width=0.4, height=14, class_="goal"),
        viewBox="0 0 100 14",
        preserveAspectRatio="none",
        role="img",
        class_="beside",
        aria_label=said,
    )
    key = "0 to 100%. Bar: measured; line below it: its 95% interval; upright line: published."
    return tag("figure", drawn, tag("figcaption", key))


def _causes(found: VerdictFound) -> Html | None:
    if not found.causes:
        return None
    shown = found.causes[:_SHOWN]
    more = len(found.causes) - len(shown)
    left = tag("p", f"{count(more)} more in the summary of the run.", class_="note") if more else None
    heading = tag("p", tag("strong", "What the records and settings show"), class_="shows")
    return join([heading, tag("ol", *(_cause(one) for one in shown)), left])


def _cause(cause: VerdictCause) -> Html:
    evidence = tag("span", coded(_sentence(cause.evidence)), class_="evidence") if cause.evidence else None
    remedy = tag("p", tag("strong", "Remedy: "), coded(cause.remedy), class_="remedy") if cause.remedy else None
    said = [tag("strong", coded(_sentence(cause.text))), " ", evidence]
    return tag("li", tag("span", _CERTAINTY[cause.certainty], class_="state"), " ", *said, remedy)


def _fact(name: str, value: Html) -> Html:
    return join([tag("dt", name), tag("dd", value)])


def _sentence(text: str) -> str:
    return _capital(text) + ("" if text.endswith((".", "!", "?")) else ".")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _per_cent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}%"
