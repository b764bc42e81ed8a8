"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidbench.cli.complete import complete_decoder, complete_defence, complete_model, complete_protocol

OutOpt = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Run folder; without it runs/<verb>-<model>-<hash>, so that the same command resumes.",
    ),
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, and nothing else there.")]
SeedOpt = Annotated[int, typer.Option("--seed", help="Seed of everything that is random.")]
DeviceOpt = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda:N|mps", help="Where the network runs.")]
DecoderOpt = Annotated[
    str,
    typer.Option(
        "--decoder",
        metavar="pyav|torchcodec|decord|auto",
        help="What reads the videos; torchcodec and decord are extras, auto tries which reads the first videos.",
        autocompletion=complete_decoder,
    ),
]
ProtocolOpt = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="Whose rule views are taken by: pyslowfast, pyslowfast-offset, pytorchvideo, mmaction2, mmaction2-fps, "
        "torchvision, charades or ssv2; default: that of the published figure.",
        autocompletion=complete_protocol,
    ),
]
DefenceOpt = Annotated[
    str | None,
    typer.Option(
        "--defence",
        metavar="NAME[:SETTING],...",
        help="Defences before the model, in the order in which clips meet them: gcm, resize-pad:218, jpeg:75, "
        "h264:23, bits:5, smooth-time:3, smooth-space:3 or drop:0.25.",
        autocompletion=complete_defence,
    ),
]
WorkersOpt = Annotated[int, typer.Option("--workers", min=0, help="Threads that decode; 0 takes one per core.")]
JobsOpt = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0 takes one per core.")]
LimitOpt = Annotated[int | None, typer.Option("--limit", min=1, help="Take the first N items only.")]
OverwriteOpt = Annotated[bool, typer.Option("--overwrite", help="Replace a run of other settings in the run folder.")]
DryRunOpt = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
RootOpt = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="DIR", help="Folder of relative paths; without it the list's folder, else this one."
    ),
]
WeightsOpt = Annotated[
    str,
    typer.Option("--weights", metavar="pretrained|random|FILE", help="Weights of a catalogue model."),
]
PullOpt = Annotated[bool, typer.Option("--pull", help="Download missing weights first.")]

ModelArg = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Catalogue name, run folder or file.", show_default=False, autocompletion=complete_model
    ),
]
ListArg = Annotated[Path, typer.Argument(metavar="LIST", help="Lines of `path label`.", show_default=False)]
