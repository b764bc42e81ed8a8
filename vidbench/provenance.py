"""Where a number comes from: versions, source revision, machine, environment; nothing heavy is imported."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
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


VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG", "LD_LIBRARY_PATH",
    "LD_PRELOAD", "PYTHONPATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", "TORCH_HOME",
    "TORCH_CUDA_ARCH_LIST", "NCCL_DEBUG", "NCCL_P2P_DISABLE", "NCCL_SOCKET_IFNAME", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "SLURM_JOB_ID", "SLURM_JOB_PARTITION", "VIDBENCH_HOME", "XDG_CACHE_HOME", "TMPDIR", "YOLO_CONFIG_DIR",
    "YOLO_AUTOINSTALL", "YOLO_OFFLINE", "HF_HUB_OFFLINE", "SSL_CERT_FILE",
)  # fmt: skip
"""Environment variables that change what programs of this field do; none of them holds a secret."""


def environment() -> dict[str, Any]:
    """What this process runs in, without loading anything: for run folders and bug reports.

    Paths below the home folder are written with `~`. Neither user nor host are named.
    """
    return {
        "vidbench": vidbench.__version__,
        "python": platform.python_version(),
        "executable": redact(sys.executable),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()).strip() if sys.platform == "linux" else "",
        "cpus": os.cpu_count(),
        "memory_bytes": _memory(),
        "driver": _driver(Path("/proc/driver/nvidia")),
        "gpus": _gpus(Path("/proc/driver/nvidia/gpus")),
        "variables": {name: redact(os.environ[name]) for name in VARIABLES if name in os.environ},
        "packages": dict(installed()),
    }


@cache
def installed() -> Mapping[str, str]:
    """The version of every installed distribution by its name in lower case with dashes; the one that is imported.

    Looked for once in a process: what is imported does not change when something is installed meanwhile.
    """
    found: dict[str, str] = {}
    for one in metadata.distributions():
        # a damaged entry has no name
        name = one.metadata["Name"] if one.metadata else None
        if name:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), one.version)
    return MappingProxyType(dict(sorted(found.items())))


def redact(text: str) -> str:
    """The text with the home folder as `~`."""
    home = str(Path.home())
    return re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _driver(folder: Path) -> str:
    """As "580.95.05"; empty without NVIDIA's driver."""
    found = re.search(r"Kernel Module\D*?(\d+(?:\.\d+)+)", _text(folder / "version"))
    return found[1] if found else ""


def _gpus(folder: Path) -> list[str]:
    found = [re.search(r"Model:\s*(.+)", _text(path / "information")) for path in sorted(folder.glob("*"))]
    return [match[1].strip() for match in found if match]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
