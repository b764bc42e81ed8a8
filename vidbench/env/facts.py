"""What is recorded of a machine: all that the checks judge by, as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vidbench.env.processes import Stage
from vidbench.env.requirements import Requirements

CODECS = ("h264", "av1")
BACKENDS = {"pyav": "PyAV", "torchcodec": "torchcodec", "decord": "decord", "opencv": "OpenCV"}


@dataclass(frozen=True)
class Machine:
    """The platform: `system` as "Linux" or "Darwin"; `libc` as "glibc 2.36"; `macos` as "14.5" or ""."""

    system: str
    architecture: str
    release: str
    libc: str = ""
    macos: str = ""


@dataclass(frozen=True)
class Processors:
    """CPUs and memory: what there is, and what this process may take of it.

    Attributes:
        cpus: CPUs of the machine.
        allowed: CPUs that the process may run on.
        quota: CPUs' worth of time that its control group allows; None for no limit.
        memory_bytes: RAM of the machine.
        memory_limit_bytes: RAM that its control group allows; None for no limit.
    """

    cpus: int
    allowed: int
    quota: float | None
    memory_bytes: int | None
    memory_limit_bytes: int | None

    @property
    def usable_cpus(self) -> float:
        """CPUs' worth of time that the process gets."""
        return self.allowed if self.quota is None else min(self.allowed, self.quota)

    @property
    def usable_memory_bytes(self) -> int | None:
        """RAM that the process gets."""
        known = [size for size in (self.memory_bytes, self.memory_limit_bytes) if size is not None]
        return min(known, default=None)


@dataclass(frozen=True)
class Folder:
    """A folder that vidbench writes to, or the nearest one above it that exists.

    Attributes:
        role: "working", "runs", "cache" or "temporary".
        path: The folder.
        free_bytes: Space left; None where it cannot be told.
        free_inodes: Files that can still be made; None where the file system does not count them.
        problem: Why no file can be made and renamed there; empty where it can.
    """

    role: str
    path: str
    free_bytes: int | None
    free_inodes: int | None
    problem: str = ""


@dataclass(frozen=True)
class Python:
    """The interpreter: `version` as "3.11.7"; `bits` of a pointer; `environment`: venv, conda or system."""

    version: str
    bits: int
    executable: str
    environment: str


@dataclass(frozen=True)
class Shadow:
    """A file of the working folder with the name of a module; `searched`: Python looks there first."""

    module: str
    path: str
    searched: bool


@dataclass(frozen=True)
class Packages:
    """Installed versions by distribution, and modules that can be found though nothing was imported."""

    versions: Mapping[str, str]
    has_pkg_resources: bool
    has_packaging: bool


@dataclass(frozen=True)
class Gpu:
    """One line of nvidia-smi; `capability` as "9.0" or "" for not told."""

    name: str
    driver: str
    memory_mib: int | None
    capability: str
    free_mib: int | None = None


@dataclass(frozen=True)
class Gpus:
    """What nvidia-smi says: `tool`: it is there; `error`: why it does not answer; `cuda`: the driver's limit."""

    tool: bool
    error: str = ""
    gpus: tuple[Gpu, ...] = ()
    cuda: str = ""


@dataclass(frozen=True)
class TorchDevice:
    """A GPU as torch sees it."""

    name: str
    capability: str
    memory_bytes: int


@dataclass(frozen=True)
class Torch:
    """The `torch` stage and what it told; the rest is empty unless `stage.status` is ok.

    Attributes:
        stage: How loading went.
        version: As "2.15.0+cu132".
        cuda: The CUDA that it was built for, as "13.2"; empty for none.
        hip: The ROCm that it was built for; empty for none.
        cuda_available: Whether it can use a GPU.
        cuda_remark: Its warning on not being able to.
        devices: The GPUs that it sees.
        architectures: What its kernels were compiled for, as "sm_90" or "compute_90".
        bf16: Whether the GPU computes in bfloat16.
        mps_built: Whether it was built with Metal.
        mps_available: Whether it can use Metal.
        cuda_visible_devices: The variable of that name; None where unset.
    """

    stage: Stage
    version: str = ""
    cuda: str = ""
    hip: str = ""
    cuda_available: bool = False
    cuda_remark: str = ""
    devices: tuple[TorchDevice, ...] = ()
    architectures: tuple[str, ...] = ()
    bf16: bool = False
    mps_built: bool = False
    mps_available: bool = False
    cuda_visible_devices: str | None = None


@dataclass(frozen=True)
class Decoding:
    """A decoder on the test clip of a codec: `frames` read of `expected`, `problem` where it stopped."""

    backend: str
    codec: str
    stage: Stage
    expected: int
    frames: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class Clip:
    """The test clip of a codec: `frames` written by PyAV, None where it was not."""

    codec: str
    stage: Stage
    frames: int | None = None
    encoder: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Tool:
    """A command-line tool: `version` as it calls itself; empty `path` where it is not on the PATH."""

    name: str
    path: str
    version: str


@dataclass(frozen=True)
class PublishedFile:
    """A published file of weights: `model` as `weights pull` takes it; its size and sha256 where they are known."""

    model: str
    file: str
    size_bytes: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights in the cache.

    Attributes:
        model: As `weights pull` takes it.
        file: Its name.
        size_bytes: What is there; None where it is absent.
        part_bytes: What is there of a download that was broken off; None for no such download.
        problem: How it differs from what was published, or from what once came; empty where it does not.
    """

    model: str
    file: str
    size_bytes: int | None
    part_bytes: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class Weights:
    """The published weights, the folder where they are looked for, and of how many the size alone was compared."""

    folder: str
    files: tuple[WeightFile, ...]
    unhashed: int = 0


@dataclass(frozen=True)
class Surroundings:
    """What the process was started in.

    Attributes:
        variables: Environment variables that matter, those that are set.
        python_path: Entries of PYTHONPATH that hold a checkout or a package that hides an installed one, with the
            module's name.
        user_site: The user's own site-packages is searched although this is a virtual environment.
        foreign_libraries: Libraries of CUDA, cuDNN or C++ in folders of LD_LIBRARY_PATH, or named by LD_PRELOAD.
        slurm: A job of Slurm.
        ray_owner: Who owns Ray's folder of a running cluster on this machine; "" for nobody or this user.
        container: "docker", "podman", "kubernetes", "colab", "wsl" or "".
        day: Today in UTC, as "2026-11-22"; "" for not told.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    python_path: tuple[tuple[str, str], ...] = ()
    user_site: bool = False
    foreign_libraries: tuple[str, ...] = ()
    slurm: bool = False
    ray_owner: str = ""
    container: str = ""
    day: str = ""


@dataclass(frozen=True)
class Limits:
    """What the system allows: open files (soft, hard; None for no limit), bytes of /dev/shm (None without one)."""

    open_files: int | None
    open_files_hard: int | None
    shared_memory_bytes: int | None


@dataclass(frozen=True)
class Build:
    """What there is to build detectron2 with; versions as the tools call themselves, "" where they are not there.

    Attributes:
        compiler: Of C++, as "g++ 12.2.0".
        ninja: The builder.
        nvcc: CUDA's compiler, as "13.2".
        cuda_home: The folder that nvcc is in, or that CUDA_HOME names.
        headers: Whether cuda_runtime.h is in its include folder.
        architectures: What detectron2's compiled part holds kernels for, as "sm_90"; None where cuobjdump does not
            tell.
    """

    compiler: str = ""
    ninja: str = ""
    nvcc: str = ""
    cuda_home: str = ""
    headers: bool = False
    architectures: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Trial:
    """How something was tried out in child processes.

    Attributes:
        status: "ok"; "error": it failed; "died": a signal ended it; "timeout": it was ended by us.
        error: One line on anything but "ok".
        seconds: What it took, loading libraries included.
        told: The JSON document that it printed.
    """

    status: Literal["ok", "error", "died", "timeout"]
    error: str = ""
    seconds: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Host:
    """An address that was asked for: `problem` why it gave no answer, empty where it did; `seconds` it took."""

    address: str
    problem: str
    seconds: float


@dataclass(frozen=True)
class Facts:
    """All that the checks judge by; a part is None where no check asked for it or gathering it failed.

    `problems` says, by the part's name, why it failed.
    """

    machine: Machine | None = None
    processors: Processors | None = None
    folders: tuple[Folder, ...] | None = None
    python: Python | None = None
    shadows: tuple[Shadow, ...] | None = None
    packages: Packages | None = None
    requirements: Requirements | None = None
    gpus: Gpus | None = None
    torch: Torch | None = None
    torchvision: Stage | None = None
    pytorchvideo: Stage | None = None
    clips: tuple[Clip, ...] | None = None
    decoders: tuple[Decoding, ...] | None = None
    tools: tuple[Tool, ...] | None = None
    weights: Weights | None = None
    surroundings: Surroundings | None = None
    limits: Limits | None = None
    detectron2: Stage | None = None
    build: Build | None = None
    compute: Trial | None = None
    codecs: Trial | None = None
    clip: Trial | None = None
    attack: Trial | None = None
    gloo: Trial | None = None
    nccl: Trial | None = None
    hosts: tuple[Host, ...] | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


PARTS = tuple(part.name for part in dataclasses.fields(Facts) if part.name != "problems")
# parts that take child processes; the others take milliseconds
SLOW_PARTS = frozenset(
    {
        "gpus",
        "torch",
        "torchvision",
        "pytorchvideo",
        "clips",
        "decoders",
        "tools",
        "detectron2",
        "build",
        "compute",
        "codecs",
        "clip",
        "attack",
        "gloo",
        "nccl",
        "hosts",
    }
)
