"""HTML and SVG text that is escaped unless it was built here."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from itertools import groupby

MISSING = "\u2013"
_VOID = frozenset({"meta", "link", "img", "br"})
# control characters, lone surrogates and marks that reorder the text around them
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


class Html(str):
    """Text that is markup already; any other text is escaped when it is put into a page."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Text as it may stand between tags and inside quoted attributes."""
    return text if isinstance(text, Html) else Html(html.escape(_UNFIT.sub("\ufffd", text), quote=True))


def tag(name: str, *children: str | None, **attributes: str | float | bool | None) -> Html:
    """One element.

    Args:
        name: Of the element.
        children: Markup as it is, other text escaped, None left out.
        attributes: `class_` stands for `class`, `_` for `-`; None and False leave an attribute out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(_attribute(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    opening = f"<{name}{written}>"
    return Html(opening if name in _VOID else f"{opening}{join(children)}</{name}>")


def _attribute(value: str | float) -> str:
    return value if isinstance(value, str) else number(value)


def join(parts: Iterable[str | None]) -> Html:
    """Parts side by side, each escaped unless it is markup."""
    return Html("".join(escape(part) for part in parts if part is not None))


def number(value: float, digits: int = 2) -> str:
    """A number for an attribute: at most `digits` decimals, no exponent, no negative zero."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def percent(fraction: float | None) -> str:
    """A fraction in [0, 1] as per cent with one decimal; a dash where there is none."""
    return MISSING if fraction is None else f"{100 * fraction:.1f}%"


def interval(low: float | None, high: float | None) -> str:
    """The bounds of an interval of fractions as `71.3 to 90.8%`; empty where there are none."""
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}%"


def figure(value: float | None, digits: int = 3) -> str:
    """A measured value with `digits` significant digits; a diverged one as `NaN` or `inf`."""
    if value is None:
        return MISSING
    if math.isnan(value):
        return "NaN"
    return f"{value:#.{digits}g}".rstrip(".")


def count(value: int | None) -> str:
    """A whole number with thin spaces between thousands."""
    return MISSING if value is None else f"{value:,}".replace(",", "\u2009")


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plural(amount: int, word: str) -> str:
    """`1 clip`, `2 clips`, `3 classes`."""
    ending = "" if amount == 1 else "es" if word.endswith(("s", "x")) else "s"
    return f"{count(amount)} {word}{ending}"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    numeric: Iterable[int] = (),
    seen: bool = True,
    grouped: bool = False,
) -> Html:
    """A table in a box of its own that scrolls when it is wider than the page.

    Args:
        columns: The heads.
        rows: Cells, text or markup; the first of a row names it.
        caption: What the table says.
        numeric: Indices of the columns that are set to the right.
        seen: Show the caption; where a heading says the same it is for screen readers alone.
        grouped: Set rows of another first cell apart.
    """
    right = frozenset(numeric)

    def cell(index: int, content: str) -> Html:
        kind = "num" if index in right else None
        if index == 0:
            return tag("th", content, scope="row", class_=kind)
        return tag("td", content, class_=kind)

    head = tag(
        "tr",
        *(tag("th", name, scope="col", class_="num" if i in right else None) for i, name in enumerate(columns)),
    )
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row[0] if grouped else "")] or [[]]
    bodies = (
        tag("tbody", *(tag("tr", *(cell(i, content) for i, content in enumerate(row))) for row in group))
        for group in groups
    )
    grid = tag(
        "table",
        tag("caption", caption, class_=None if seen else "unseen"),
        tag("thead", head),
        *bodies,
        class_="grouped" if grouped else None,
    )
    return scroll_box(grid, caption)


def scroll_box(content: Html, name: str) -> Html:
    """A box that scrolls by itself, by keyboard too, when its content is wider than the page."""
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=name)
