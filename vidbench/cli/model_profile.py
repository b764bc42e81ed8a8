"""`vidbench model profile`: what a network costs on this device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.complete import complete_model
from vidbench.cli.options import DeviceOpt, JsonOpt

if TYPE_CHECKING:
    from vidbench.model.profile import ProfileResult


def profile(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Catalogue name, run folder or file.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    device: DeviceOpt = "auto",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips per forward pass.")] = 1,
    layout: Annotated[str, typer.Option("--layout", metavar="fast|reference", help="Memory layout.")] = "fast",
    precision: Annotated[
        str, typer.Option("--precision", metavar="fp32|bf16|fp16", help="The latter by autocast.")
    ] = "fp32",
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Time for each of the two timings.")] = 5.0,
    json: JsonOpt = False,
) -> None:
    """Measure parameters, multiply-adds, memory and speed. Needs no weights: random ones cost the same."""
    from vidbench.cli.requests import ask

    values = {**locals(), "budget_s": seconds}
    from vidbench.model.profile import ProfileRequest
    from vidbench.model.profile import profile as measure

    request = ask(ProfileRequest, values, {"budget_s": "--seconds"})
    console.show(measure(request, console.reporter()), json, _show)


def _show(result: ProfileResult) -> None:
    console.table(
        ("part", "kind", "parameters", "M MACs per clip"),
        [
            *((one.name or "-", one.kind, one.parameters, f"{one.macs / 1e6:.1f}") for one in result.modules),
            ("all", "", result.parameters, f"{result.macs / 1e6:.1f}"),
        ],
    )
    memory = {"process": "peak of the process", "allocated": "peak on the device", "unknown": "memory"}[result.memory]
    passes = (("forward", result.forward), ("forward + backward", result.forward_backward))
    console.table(
        ("pass", "clips per s", "s per pass", "passes", memory),
        [
            (
                name,
                f"{one.clips_per_s:.3g}",
                f"{one.median_s:.4f}",
                one.passes,
                "-" if one.peak_bytes is None else f"{one.peak_bytes / 2**20:.0f} MiB",
            )
            for name, one in passes
        ],
    )
    shape = " x ".join(map(str, result.input_shape))
    threads = f", {result.threads} threads" if result.threads else ""
    boxes = f", {result.boxes} boxes per clip" if result.boxes else ""
    console.out(f"input {shape}{boxes}, {result.precision}, {result.layout} layout, on {result.device}{threads}")
    if result.backward_layout != result.layout:
        console.out(f"forward + backward: {result.backward_layout} layout, the fast one has none in {result.precision}")
    console.out(f"weights: {result.weights}, {result.weights_bytes / 1e6:.1f} MB")
    console.out("MACs are multiply-adds as fvcore counts them; papers call this number FLOPs.")
    if result.uncounted:
        listed = ", ".join(f"{name} {times}" for name, times in result.uncounted.items())
        console.out(f"not counted, calls per clip: {listed}")
