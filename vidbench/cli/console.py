"""What the terminal sees: results on stdout; progress, remarks and errors on stderr."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vidbench.errors import FindingsError, VidbenchError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from vidbench.progress import Reporter, Task

R = TypeVar("R")

_quiet = False
_argv: tuple[str, ...] = ()


def set_quiet(quiet: bool) -> None:
    """Silence progress and remarks (`-q`); results and errors stay."""
    global _quiet
    _quiet = quiet


def set_argv(argv: Sequence[str]) -> None:
    """Remember the command line, for the manifest of a run."""
    global _argv
    _argv = ("vidbench", *argv)


def argv() -> tuple[str, ...]:
    """The command line that is being run."""
    return _argv


def jsonable(value: object) -> Any:
    """A result as JSON values: dataclasses by field, paths and fractions as text, NaN as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path | Fraction):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def show(result: R, as_json: bool, text: Callable[[R], None], document: Callable[[R], object] | None = None) -> None:
    """Print a result: one JSON document, or as `text` writes it; `document` says what of it is JSON."""
    if as_json:
        value = document(result) if document else result
        print(json.dumps(jsonable(value), indent=2, ensure_ascii=False))
    else:
        text(result)


def out(line: str = "") -> None:
    """One plain line of a result."""
    print(line)


def share(value: float | None, digits: int = 1) -> str:
    """A fraction as per cent, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}%}"


def place(path: Path) -> str:
    """A path as it is shown: from the working folder where it lies in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def duration(seconds: float) -> str:
    """A time as `45 s`, `12 min` or `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """A table of a result; columns whose cells are all numbers are set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [[str(cell) for cell in row] for row in rows]
    grid = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for index, name in enumerate(columns):
        numeric = bool(cells) and all(_is_number(row[index]) for row in cells)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        grid.add_row(*(Text(cell) for cell in row))
    _stdout().print(grid)


def _is_number(text: str) -> bool:
    return bool(text) and text.strip("%").replace(".", "", 1).replace("-", "", 1).isdigit()


def _stdout() -> Console:
    from rich.console import Console

    # a pipe has no width of its own; 80 columns would fold figures that a script wants to read
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 140, soft_wrap=False)


def end(failed: int, where: Path) -> None:
    """End a finished command: with exit code 6 and the file that has the reasons when items of it failed."""
    if failed:
        items = "item" if failed == 1 else "items"
        raise FindingsError(f"finished, but {failed} {items} failed", f"The reasons are in {where}.")


def error(failure: VidbenchError) -> None:
    """One of our own errors: what failed, and the way out."""
    print(f"vidbench: {failure.message}", file=sys.stderr)
    if failure.remedy:
        print(f"  {failure.remedy}", file=sys.stderr)


def remark(message: str) -> None:
    """A line on stderr that `-q` does not silence."""
    print(message, file=sys.stderr)


def note(message: str) -> None:
    """A line on stderr that `-q` silences, at once: nothing is loaded for it."""
    if not _quiet:
        print(message, file=sys.stderr, flush=True)


def reporter() -> Reporter:
    """Progress for a person: bars on a terminal, a plain line now and then elsewhere."""
    if _quiet:
        from vidbench.progress import SilentReporter

        return SilentReporter()
    if sys.stderr.isatty():
        return BarReporter()
    return LineReporter()


class BarReporter:
    """Rich progress bars on stderr with rate and time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def task(self, title: str, total: float | None, unit: str) -> Iterator[Task]:
        """Open a bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self._console) as progress:
            yield _Bar(progress, title, total, unit)

    def info(self, message: str) -> None:
        """A plain line."""
        self._console.print(message, markup=False)

    def warn(self, message: str) -> None:
        """A line that stands out."""
        self._console.print(f"warning: {message}", style="yellow", markup=False)


class _Bar:
    def __init__(self, progress: Progress, title: str, total: float | None, unit: str) -> None:
        self._progress = progress
        self._unit = unit
        self._started = time.monotonic()
        self._done = 0.0
        self._note = ""
        self._id = progress.add_task(title, total=total, rate="", note="")

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._done += amount
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        self._note = note or self._note
        self._progress.update(self._id, advance=amount, rate=f"{rate:.3g} {self._unit}/s", note=self._note)

    def skip(self, amount: float, note: str = "") -> None:
        self._note = note or self._note
        completed = self._progress.tasks[self._id].completed + amount
        self._progress.reset(self._id, rate="", note=self._note)
        self._progress.update(self._id, completed=completed)


class LineReporter:
    """Plain lines on stderr: at the start, now and then, and at the end of a task."""

    def __init__(self, every_s: float = 15.0) -> None:
        self._every_s = every_s

    @contextmanager
    def task(self, title: str, total: float | None, unit: str) -> Iterator[Task]:
        """Open a task; long ones say how far they are every few seconds."""
        lines = _Lines(title, total, unit, self._every_s)
        yield lines
        lines.finish()

    def info(self, message: str) -> None:
        """A plain line."""
        print(message, file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        """A line marked as a warning."""
        print(f"warning: {message}", file=sys.stderr, flush=True)


class _Lines:
    def __init__(self, title: str, total: float | None, unit: str, every_s: float) -> None:
        self._title, self._total, self._unit, self._every_s = title, total, unit, every_s
        self._started = self._spoke = time.monotonic()
        self._done = self._before = 0.0
        self._note = ""

    def skip(self, amount: float, note: str = "") -> None:
        self._done += amount
        self._before += amount
        self._note = note or self._note

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._done += amount
        self._note = note or self._note
        if time.monotonic() - self._spoke >= self._every_s:
            self._spoke = time.monotonic()
            self._say()

    def finish(self) -> None:
        self._say()

    def _say(self) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = (self._done - self._before) / seconds
        of = f"/{self._total:g}" if self._total is not None else ""
        left = (
            f", {(self._total - self._done) / rate:.0f} s left"
            if self._total is not None and rate > 0 and self._done < self._total
            else f", {seconds:.1f} s"
        )
        note = f" ({self._note})" if self._note else ""
        speed = f", {rate:.3g}/s" if rate > 0 else ""
        print(f"{self._title}: {self._done:g}{of} {self._unit}{speed}{left}{note}", file=sys.stderr, flush=True)
