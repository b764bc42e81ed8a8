"""The live table of `vidbench env watch`; plain lines where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vidbench.cli import console
from vidbench.env.watch import Device, Log, Sample

if TYPE_CHECKING:
    from rich.table import Table

_HEADS = ("device", "name", "busy", "memory", "temperature", "power", "processes")


def show(samples: Iterable[Sample], log: Log | None) -> None:
    """Draw each sample over the one before; Ctrl-C ends it as a success, the samples so far are shown and written."""
    from rich.live import Live

    told = ""
    try:
        if not sys.stdout.isatty():
            for sample in samples:
                _take(sample, log)
                if sample.problem != told:
                    console.remark(f"warning: {sample.problem}; CPU and memory instead")
                    told = sample.problem
                for one in sample.devices:
                    console.out("  ".join((f"{sample.at:%H:%M:%S}", *(cell for cell in _cells(one) if cell))))
                sys.stdout.flush()
            return
        with Live(auto_refresh=False) as screen:
            for sample in samples:
                _take(sample, log)
                screen.update(_table(sample), refresh=True)
    except KeyboardInterrupt:
        return


def _take(sample: Sample, log: Log | None) -> None:
    if log is not None:
        log.add(sample)


def _table(sample: Sample) -> Table:
    from rich.table import Table
    from rich.text import Text

    caption = Text(f"{sample.problem}; CPU and memory instead") if sample.problem else None
    table = Table(title=f"{sample.at:%Y-%m-%d %H:%M:%S} UTC", caption=caption)
    for head in _HEADS:
        table.add_column(head)
    for one in sample.devices:
        # names come from other programs: no markup in them
        table.add_row(*(Text(cell) for cell in _cells(one)))
    return table


def _cells(one: Device) -> tuple[str, ...]:
    used, total = one.memory_used_mib, one.memory_total_mib
    return (
        one.device,
        one.name,
        "" if one.utilisation is None else f"{one.utilisation:.0f} %",
        "" if used is None or total is None else f"{used / 1024:.1f} of {total / 1024:.1f} GiB",
        "" if one.temperature_c is None else f"{one.temperature_c:.0f} C",
        "" if one.power_w is None else f"{one.power_w:.0f} W",
        ", ".join(f"{process.name} {_memory(process.memory_mib)}".strip() for process in one.processes),
    )


def _memory(mib: int | None) -> str:
    return "" if mib is None else f"{mib / 1024:.1f} GiB"
