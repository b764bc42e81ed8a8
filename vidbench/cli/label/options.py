"""Arguments and options that commands on a set share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SetArg = Annotated[Path, typer.Argument(metavar="SET", help="Folder of the set.", show_default=False)]
VideosOpt = Annotated[
    list[str] | None, typer.Option("--video", metavar="ID", help="This video only; repeatable.", show_default=False)
]
