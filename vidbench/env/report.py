"""`vidbench env report`: what a bug report needs, as text to paste, without names of people and machines."""

from __future__ import annotations

import getpass
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidbench.env.check import EnvCheckResult
from vidbench.provenance import environment

# the packages whose versions matter in almost every report; the others are in the JSON
_NAMED = (
    "torch", "torchvision", "torchcodec", "pytorchvideo", "av", "decord", "numpy", "scipy", "safetensors", "pydantic",
    "typer", "adversarial-robustness-toolbox", "ultralytics", "deep-sort-realtime", "detectron2", "opencv-python",
    "opencv-python-headless", "timm", "tensorboard", "yt-dlp", "setuptools",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What to paste.

    Attributes:
        environment: As `vidbench.provenance.environment` gives it, redacted.
        findings: Lines of the findings that are not ok.
        verdict: The check's last line.
        text: All of it as Markdown.
    """

    environment: dict[str, Any]
    findings: tuple[str, ...]
    verdict: str
    text: str


def report(checked: EnvCheckResult) -> Report:
    """Write the report of a check that was done."""
    facts = anonymous(environment())
    told = tuple(
        anonymous(f"{one.status:<5} {one.id:<9} {one.title}: {one.message}")
        for one in checked.findings
        if one.status not in ("ok", "skip")
    )
    rows = [(name, facts[name]) for name in ("vidbench", "python", "platform", "libc", "cpus")]
    memory = facts["memory_bytes"]
    rows += [("memory", f"{memory / 2**30:.1f} GiB" if memory else "")]
    rows += [("driver", facts["driver"]), ("GPUs", ", ".join(facts["gpus"]))]
    rows += [(name, facts["packages"][name]) for name in _NAMED if name in facts["packages"]]
    rows += sorted(facts["variables"].items())
    lines = ["Copy-and-paste the text below into your issue.", "", "```text"]
    lines += [f"{name:<32} {value}" for name, value in rows if value not in ("", None)]
    lines += ["", *told, anonymous(checked.verdict), "```"]
    return Report(facts, told, checked.verdict, "\n".join(lines))


def anonymous(value: Any) -> Any:
    """The same value with the names of user and host replaced in every text."""
    if isinstance(value, str):
        for word, instead in _secrets():
            value = re.sub(rf"(?<![\w]){re.escape(word)}(?![\w])", instead, value)
        return value
    if isinstance(value, dict):
        return {key: anonymous(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(anonymous(item) for item in value)
    return value


def _secrets() -> list[tuple[str, str]]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    host = platform.node()
    # sudo and a changed LOGNAME leave the home folder's name behind
    people = {user, Path.home().name, *(os.environ.get(name, "") for name in ("SUDO_USER", "LOGNAME", "USER"))}
    found = [(host, "HOST"), (host.partition(".")[0], "HOST"), *((name, "USER") for name in sorted(people))]
    # a user called root or a host called localhost tells nothing, and stands in many paths
    return [(word, instead) for word, instead in found if len(word) > 2 and word not in ("root", "localhost")]
