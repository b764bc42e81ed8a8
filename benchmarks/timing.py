"""Time functions in turns and report medians and ratios."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata


def in_turns(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each function, called in turns so that a drifting machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, call in work.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def report(title: str, seconds: dict[str, list[float]], peer: str, notes: list[str]) -> None:
    """A Markdown table: median, range and ratio to the peer, round by round."""
    print(f"## {title}\n")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {metadata.version('torch')}\n")
    print("| | median s | min to max s | times as fast as the peer |\n|---|---|---|---|")
    for name, values in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(seconds[peer], values, strict=True)]
        ratio = "the peer" if name == peer else f"{statistics.median(ratios):.2f}"
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} to {max(values):.2f} | {ratio} |")
    print()
    for note in notes:
        print(f"- {note}")
    print(flush=True)
