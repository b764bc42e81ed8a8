"""The devices of a training on several processes, as they are written on a command line."""

from __future__ import annotations

import torch

from vidbench.errors import UsageError
from vidbench.model.device import resolve_device
from vidbench.model.shards import Team

_FORMS = "Say how many (2), or which: cuda:0,cuda:1, cuda for all GPUs, or cpu:2 for processes without one."


def several_devices(text: str) -> tuple[str, ...]:
    """A device for each process: of "2" the first two GPUs, or two processes on the CPU where there is none.

    Raises:
        UsageError: Not such a text, or a GPU that stands twice: each process has its own.
        MissingError: A device is not there.
    """
    text = text.strip()
    kind, _, number = text.partition(":")
    if text.isdecimal():
        count = int(text)
        found = [f"cuda:{index}" for index in range(count)] if torch.cuda.is_available() else ["cpu"] * count
    elif text == "cuda":
        found = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or [text]
    elif kind == "cpu" and number.isdecimal():
        found = ["cpu"] * int(number)
    else:
        found = [part.strip() for part in text.split(",")]
    named = [name for name in found if name != "cpu"]
    if not found or any(name not in ("cpu", "cuda") and not name.startswith("cuda:") for name in found):
        raise UsageError(f"--devices {text}: no devices", _FORMS)
    if len(set(named)) < len(named) or (named and len(named) < len(found)):
        raise UsageError(f"--devices {text}: each process needs a GPU of its own, or all work on the CPU", _FORMS)
    for name in named:
        resolve_device(name)
    return tuple(found)


def own_device(name: str, devices: tuple[str, ...], team: Team) -> torch.device:
    """Where this process's network runs.

    Args:
        name: The device of a single process; of several, "auto" and "cuda" mean a GPU each.
        devices: Those of this machine's processes, by their number; empty where they were not named.
        team: The processes.

    Raises:
        UsageError: Other devices than processes.
        MissingError: The device is not there.
    """
    if devices and team.size > 1:
        if len(devices) != team.here:
            raise UsageError(
                f"{len(devices)} devices for the {team.here} processes that were started on this machine",
                "Leave out --devices under torchrun, or name one for each process.",
            )
        return resolve_device(devices[team.local])
    if team.size > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        return resolve_device(f"cuda:{team.local}")
    return resolve_device(devices[0] if devices else name)
