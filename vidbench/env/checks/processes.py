"""Checks of what processes share: shared memory, open files, threads, job managers."""

from __future__ import annotations

from vidbench.env.facts import Facts
from vidbench.env.findings import GIB, NETWORKS, Check, Outcome, known

GROUP = "Processes"

SHARED = "/dev/shm"  # noqa: S108 - looked at, nothing is written
_LOCAL = ("/tmp", "/var/tmp", SHARED)  # noqa: S108 - likewise

# a clip of 32 frames of 256 x 340 pixels as floats, and what torch's own loaders keep ahead for each worker
_CLIP_BYTES = 32 * 3 * 256 * 340 * 4
_AHEAD = 2
_BATCH = 8
_OPEN_FILES = 4096


def _shared_memory(facts: Facts) -> Outcome:
    limits, processors = known(facts.limits), known(facts.processors)
    size = limits.shared_memory_bytes
    if size is None:
        return Outcome("skip", "there is no /dev/shm")
    workers = max(1, int(processors.usable_cpus))
    wanted = workers * _AHEAD * _BATCH * _CLIP_BYTES
    said = f"{SHARED} holds {size / GIB:.2f} GiB"
    if size < wanted:
        return Outcome(
            "warn",
            f"{said}; {workers} workers with {_AHEAD} batches of {_BATCH} clips each may want {wanted / GIB:.2f} GiB",
            "docker run --shm-size=8g ...",
        )
    return Outcome("ok", f"{said}, {workers} workers may want {wanted / GIB:.2f} GiB")


def _open_files(facts: Facts) -> Outcome:
    limits = known(facts.limits)
    if limits.open_files is None:
        return Outcome("ok", "no limit of open files")
    if limits.open_files < _OPEN_FILES:
        hard = limits.open_files_hard
        reach = 65536 if hard is None else min(65536, hard)
        remedy = f"ulimit -n {reach}" if reach >= _OPEN_FILES else ""
        return Outcome("warn", f"{limits.open_files} open files, {_OPEN_FILES} or more are good for workers", remedy)
    return Outcome("ok", f"{limits.open_files} open files")


def _threads(facts: Facts) -> Outcome:
    variables, processors = known(facts.surroundings).variables, known(facts.processors)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        value = variables.get(name, "")
        if value and not value.isdigit():
            return Outcome("warn", f"{name} is {value!r}, no number", f"unset {name}")
        if value and int(value) > max(1, int(processors.usable_cpus)):
            return Outcome(
                "warn",
                f"{name} is {value}, this process may use {processors.usable_cpus:g} CPUs",
                f"export {name}={max(1, int(processors.usable_cpus))}",
            )
    set_to = variables.get("OMP_NUM_THREADS")
    return Outcome("ok", f"OMP_NUM_THREADS is {set_to}" if set_to else "libraries take a thread per CPU")


def _slurm(facts: Facts) -> Outcome:
    around = known(facts.surroundings)
    if not around.slurm:
        return Outcome("skip", "this is no job of Slurm")
    folder = around.variables.get("SLURM_SUBMIT_DIR", "")
    if folder.startswith(_LOCAL):
        return Outcome(
            "warn",
            f"the job was submitted from {folder}, which other nodes do not see",
            "cd /a/shared/folder && sbatch ...",
        )
    return Outcome(
        "ok", f"job {around.variables.get('SLURM_JOB_ID', '')}, submitted from {folder or 'a folder not told'}"
    )


def _ray(facts: Facts) -> Outcome:
    around = known(facts.surroundings)
    if around.ray_owner and around.variables.get("RAY_ADDRESS") != "local":
        return Outcome(
            "warn",
            f"a cluster of Ray that belongs to {around.ray_owner} runs here, and Ray would join it",
            "export RAY_ADDRESS=local",
        )
    return Outcome("skip", "no cluster of Ray of another user")


CHECKS = (
    Check(
        "H1",
        "shared memory",
        GROUP,
        ("limits", "processors"),
        _shared_memory,
        ("model",),
        why=(
            "Loaders of other programs hand batches over in /dev/shm, of which a container has 64 MB. What does not "
            "fit "
            "ends a worker with `Bus error`."
        ),
    ),
    Check(
        "H2",
        "open files",
        GROUP,
        ("limits",),
        _open_files,
        ("data", "model"),
        why="Each worker keeps videos, pipes and shared tensors open: `Too many open files`.",
    ),
    Check(
        "H4",
        "threads",
        GROUP,
        ("surroundings", "processors"),
        _threads,
        NETWORKS,
        why="More threads than CPUs wait for each other: a network is then several times slower.",
    ),
    Check(
        "I3",
        "Slurm",
        GROUP,
        ("surroundings",),
        _slurm,
        ("model", "attack"),
        why="Every node of a job reads the folder that it was submitted from; a local one is there on one node alone.",
    ),
    Check(
        "I4",
        "Ray",
        GROUP,
        ("surroundings",),
        _ray,
        ("model",),
        why="Ray joins whichever cluster it finds on the machine, also that of another user.",
    ),
)
