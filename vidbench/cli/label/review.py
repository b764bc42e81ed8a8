"""`vidbench label review`: people say what the persons do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.label.options import SetArg
from vidbench.cli.options import JsonOpt

if TYPE_CHECKING:
    from vidbench.label.review.serving import ReviewResult

PortOpt = Annotated[int, typer.Option("--port", min=0, max=65535, help="Of 127.0.0.1; 0 takes any that is free.")]
VideoOpt = Annotated[
    str | None, typer.Option("--video", metavar="ID", help="Show this video first.", show_default=False)
]
OpenOpt = Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")]


def review(
    set_: SetArg, video: VideoOpt = None, port: PortOpt = 0, open_browser: OpenOpt = True, json: JsonOpt = False
) -> None:
    """Label a set by keyboard in a page of this machine alone. Every key is saved; Ctrl-C ends it.

    The page shows one person after the other: crops of the keyframes, and the 1.5 s around them. `?` lists the keys.
    """
    from vidbench.cli.requests import ask
    from vidbench.label.review.serving import ReviewRequest
    from vidbench.label.review.serving import review as serve

    request = ask(ReviewRequest, {**locals(), "set": set_}, {"set": "SET", "open_browser": "--open"})
    result = serve(request, console.reporter(), _ready)
    console.show(result, json, _text)


def _ready(url: str) -> None:
    console.remark(f"{url}\nCtrl-C ends the review.")


def _text(result: ReviewResult) -> None:
    console.out(
        f"{result.set}: {result.edits} changes; {result.answered} of {result.rows} boxes answered, "
        f"{result.checked} checked"
    )
    if result.rows and result.answered < result.rows:
        console.out(f"To go on: vidbench label review {result.set}")
    elif result.rows:
        console.out(f"Next: vidbench label export {result.set}")
