"""Where a number comes from: versions, source revision, machine; nothing heavy is imported."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import vidbench

PACKAGES = ("torch", "torchvision", "pytorchvideo", "av", "numpy", "adversarial-robustness-toolbox")


def versions() -> dict[str, str | None]:
    """The installed version of each package that decides a result; None where absent."""
    found: dict[str, str | None] = {"vidbench": vidbench.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def git_revision(folder: Path) -> str | None:
    """The commit of the checkout that holds `folder`, with `+changes` when it is not clean."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def provenance(device: str, seed: int) -> dict[str, Any]:
    """The facts of a manifest: versions, revision of vidbench, platform, device, seed."""
    return {
        "versions": versions(),
        "git": git_revision(Path(vidbench.__file__).parent),
        "platform": platform.platform(),
        "device": device,
        "seed": seed,
    }
