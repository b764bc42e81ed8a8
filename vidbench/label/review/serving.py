"""`vidbench label review`: a set on a local page until somebody ends it."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vidbench.label.review.pictures import Pictures
from vidbench.label.review.server import Server
from vidbench.label.review.session import Session
from vidbench.label.store import LabelSet
from vidbench.progress import Reporter, SilentReporter


class ReviewRequest(BaseModel):
    """Which set to review, and where.

    Attributes:
        set: The set's folder.
        port: Of 127.0.0.1; 0 for any that is free.
        video: The video that the page shows first; None for where somebody worked last.
        open_browser: Open the page in a browser.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: Path
    port: int = Field(default=0, ge=0, le=65_535)
    video: str | None = None
    open_browser: bool = True


@dataclass(frozen=True)
class ReviewResult:
    """What a review came to.

    Attributes:
        set: The set's folder.
        edits: Changes made: edits, undos and redos.
        rows: Boxes of the set at its end.
        answered: Those on which somebody has looked.
        checked: Those that a second look confirmed.
    """

    set: Path
    edits: int
    rows: int
    answered: int
    checked: int


def review(
    request: ReviewRequest,
    reporter: Reporter,
    on_ready: Callable[[str], None],
    stop: threading.Event | None = None,
) -> ReviewResult:
    """Serve the page until Ctrl-C, or until `stop` is set. Every edit is on disk when the page says so.

    Args:
        request: Which set.
        reporter: Told of videos that cannot be reviewed, and of faults.
        on_ready: Given the address of the page when it answers.
        stop: Ends the review when it is set.

    Raises:
        InputError: There is no such set or video, or `set.json` is malformed.
        RunConflictError: Another process works on the set.
        UsageError: The port cannot be had.
    """
    ended = stop or threading.Event()
    with _serving(request, reporter) as server:
        with server.running() as url:
            try:
                on_ready(url)
                if request.open_browser:
                    _open(url, reporter)
                ended.wait()
            except KeyboardInterrupt:
                reporter.info("the review has ended; everything is saved")
        for fault in dict.fromkeys(server.faults):
            reporter.warn(f"a fault of the program: {fault}")
        figures = server.session.overview()["videos"]
        rows, answered, checked = (sum(one[name] for one in figures) for name in ("rows", "answered", "checked"))
        return ReviewResult(request.set, server.session.edits, rows, answered, checked)


@contextmanager
def serve(folder: Path, port: int = 0, reporter: Reporter | None = None) -> Iterator[str]:
    """Serve a set while the context lasts; gives the address of the page."""
    request = ReviewRequest(set=folder, port=port, open_browser=False)
    with _serving(request, reporter or SilentReporter()) as server, server.running() as url:
        yield url


@contextmanager
def _serving(request: ReviewRequest, reporter: Reporter) -> Iterator[Server]:
    labels = LabelSet.open(request.set)
    with labels.hold():
        session = Session(labels, reporter, request.video)
        yield Server(session, Pictures(labels), request.port)


def _open(url: str, reporter: Reporter) -> None:
    # without a screen, a browser of text would take the terminal
    screen = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if not screen or not webbrowser.open(url):
        reporter.info("no browser could be opened here: open the address yourself")
