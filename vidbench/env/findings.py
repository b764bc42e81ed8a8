"""What a check is and what it finds; the words that findings share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from vidbench.env.facts import Facts
from vidbench.env.processes import Stage

T = TypeVar("T")

Status = Literal["ok", "info", "warn", "fail", "skip", "crash"]
STATUSES: tuple[Status, ...] = ("ok", "info", "warn", "fail", "skip", "crash")

EVERYTHING = ("data", "model", "attack", "label", "demo")
NETWORKS = ("model", "attack", "demo")
PURPOSES: dict[str, tuple[str, ...]] = {
    "attack": ("attack",),
    "finetune": ("model",),
    "eval": ("model",),
    "fetch": ("data",),
    "label": ("label",),
    "demo": ("demo",),
    "detectron2": ("detectron2",),
}
"""What vidbench may be wanted for, and the command groups that this takes."""

GB = 10**9
GIB = 2**30
WHEELS = "https://download.pytorch.org/whl"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        id: The check, as "D1"; stable.
        title: What it looks at.
        group: The heading that it stands under.
        status: `ok`; `info`: worth knowing; `warn`: works, though worse than it could; `fail`: a command
            cannot work or is unsafe; `skip`: does not apply here; `crash`: the check itself broke.
        message: One line with the numbers compared.
        remedy: One command to copy; empty where there is none.
        affects: The command groups that suffer from `warn` and `fail`.
    """

    id: str
    title: str
    group: str
    status: Status
    message: str
    remedy: str
    affects: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What the function of a check gives: a finding without what the table knows already."""

    status: Status
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """A line of the table.

    Attributes:
        id: As "D1"; stable.
        title: What it looks at.
        group: The heading that it stands under.
        needs: The facts that it judges by.
        judge: A pure function of these facts.
        affects: The command groups that suffer where it does not hold.
        why: Why it is looked at, and what goes wrong otherwise, for `env explain`.
        when: "deep": only where computing, decoding and starting processes is asked for; "net": only where asking
            hosts is.
    """

    id: str
    title: str
    group: str
    needs: tuple[str, ...]
    judge: Callable[[Facts], Outcome]
    affects: tuple[str, ...] = EVERYTHING
    why: str = ""
    when: Literal["always", "deep", "net"] = "always"


def known(part: T | None) -> T:
    """A part that the check names in `needs`; `judge` sees to it that it is there."""
    if part is None:
        raise LookupError("a check uses facts that it does not name")
    return part


def listed(words: Sequence[str], last: str = "and") -> str:
    """As "a, b and c"."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), "".join(words[-1:])) if part)


def number(count: int, noun: str) -> str:
    """As "1 GPU" and "2 GPUs"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def gigabytes(size: int | None) -> str:
    """As "5.2 GB"; "not told" for None."""
    if size is None:
        return "not told"
    return f"{size / GB:.1f} GB" if size < 100 * GB else f"{size / GB:.0f} GB"


def went(stage: Stage, name: str) -> str:
    """Why loading failed, in one line."""
    how = {
        "absent": f"{name} is not installed",
        "error": f"{name} fails while it loads: {stage.error}",
        "died": f"{name} takes its process down: {stage.error}",
        "timeout": f"{name} hangs: {stage.error}",
        "unreached": stage.error,
    }
    return how.get(stage.status, f"{name} loads")


def reinstall(what: str, version: str) -> str:
    """Install from where this torch is from, as its local version tells; indexes of old CUDA hold old torch alone."""
    tag = version.partition("+")[2]
    known = re.fullmatch(r"cpu|cu12[689]|cu1[3-9]\d|rocm[\d.]+", tag)
    return f"pip install {what} --index-url {WHEELS}/{tag}" if known else f"pip install {what}"
