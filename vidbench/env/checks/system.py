"""Checks of the machine: platform, memory, disk, folders."""

from __future__ import annotations

import dataclasses

from vidbench.env.facts import Facts, Folder
from vidbench.env.findings import (
    GB,
    GIB,
    Check,
    Outcome,
    gigabytes,
    known,
    listed,
    number,
)
from vidbench.env.requirements import release

GROUP = "System"


_INSIDE = {
    "docker": "in a container of Docker",
    "podman": "in a container of Podman",
    "kubernetes": "in a pod of Kubernetes",
    "colab": "on Colab, whose disk is lost with the session",
    "wsl": "in WSL",
}


def _platform(facts: Facts) -> Outcome:
    inside = _INSIDE.get(known(facts.surroundings).container)
    outcome = _system(facts)
    return dataclasses.replace(outcome, message=f"{outcome.message}; {inside}") if inside else outcome


def _system(facts: Facts) -> Outcome:
    machine = known(facts.machine)
    if machine.system == "Darwin":
        said = f"macOS {machine.macos} on {machine.architecture}"
        if machine.architecture != "arm64":
            return Outcome("fail", f"{said}; torch 2.2.2 was the last for Intel Macs, vidbench needs 2.10")
        if release(machine.macos) < (14,):
            return Outcome("fail", f"{said}; the wheels of torch and PyAV need macOS 14 or newer")
        return Outcome("ok", said)
    if machine.system != "Linux":
        return Outcome("fail", f"{machine.system}; vidbench runs on Linux and macOS")
    name, _, version = machine.libc.partition(" ")
    said = f"Linux {machine.release} on {machine.architecture}, {machine.libc or 'a C library that is not glibc'}"
    if name != "glibc":
        return Outcome("fail", f"{said}; the wheels of torch need glibc 2.28 or newer")
    if release(version) < (2, 28):
        return Outcome("fail", f"{said}; the wheels of torch need glibc 2.28 or newer")
    if machine.architecture not in ("x86_64", "aarch64"):
        return Outcome("warn", f"{said}; there are wheels for x86_64 and aarch64 alone")
    return Outcome("ok", said)


def _processors(facts: Facts) -> Outcome:
    processors = known(facts.processors)
    usable = processors.usable_cpus
    cpus = f"{usable:g} of {number(processors.cpus, 'CPU')}"
    memory = processors.usable_memory_bytes
    if memory is None:
        return Outcome("info", f"{cpus}; the memory could not be told")
    said = f"{cpus}, {memory / GIB:.1f} GiB of memory"
    if memory < 8 * GIB:
        return Outcome("warn", f"{said}; 8 GiB or more are good for video, fewer --workers take less")
    return Outcome("ok", said)


# what each folder should have free; a clip of 10 s is about 1 MB, the weights of X3D 15 to 30 MB each
_FOLDER_NEEDS = {"working": 5 * GB, "cache": 2 * GB, "temporary": 1 * GB}
# about four of AVA's 15-minute videos as frames
_FILES_NEEDED = 100_000
_MOVES = {
    "working": "cd /path/on/a/larger/disk",
    "runs": "cd /path/to/a/folder/of/yours",
    "cache": "export VIDBENCH_HOME=/path/on/a/larger/disk/vidbench",
    "temporary": "export TMPDIR=/path/on/a/larger/disk/tmp",
}


def _disk(facts: Facts) -> Outcome:
    folders = [folder for folder in known(facts.folders) if folder.role in _FOLDER_NEEDS]
    said = ", ".join(f"{folder.role} folder {gigabytes(folder.free_bytes)}" for folder in folders)
    for folder in folders:
        wanted = _FOLDER_NEEDS[folder.role]
        if folder.free_bytes is not None and folder.free_bytes < wanted:
            return Outcome(
                "warn",
                f"{folder.path} ({folder.role} folder) has {gigabytes(folder.free_bytes)} free, "
                f"{gigabytes(wanted)} or more are good",
                _MOVES[folder.role],
            )
        if folder.role == "working" and folder.free_inodes is not None and folder.free_inodes < _FILES_NEEDED:
            return Outcome(
                "warn",
                f"{folder.path} (working folder) has room for {folder.free_inodes} more files, "
                f"{_FILES_NEEDED} or more are good for frames",
                _MOVES[folder.role],
            )
    return Outcome("ok", f"free: {said}")


def _writable(facts: Facts) -> Outcome:
    folders = [folder for folder in known(facts.folders) if folder.role != "working"]
    bad = [folder for folder in folders if folder.problem]
    if bad:
        said = "; ".join(f"{folder.path} ({folder.role} folder): {folder.problem}" for folder in bad)
        return Outcome("fail", f"no file can be made and renamed in {said}", _make_writable(bad[0]))
    return Outcome("ok", f"{listed([folder.role for folder in folders])} folders can be written")


def _make_writable(folder: Folder) -> str:
    return _MOVES[folder.role].replace("/path/on/a/larger/disk", "/path/to/a/folder/of/yours")


CHECKS = (
    Check(
        "A1",
        "platform",
        GROUP,
        ("machine", "surroundings"),
        _platform,
        why=(
            "torch, torchvision and PyAV come as wheels for certain platforms only: Linux with glibc 2.28 or "
            "newer, macOS 14 or newer on Apple silicon. Elsewhere pip finds no file, or an old one."
        ),
    ),
    Check(
        "A2",
        "CPUs and memory",
        GROUP,
        ("processors",),
        _processors,
        why=(
            "Decoding takes a process or thread per CPU that this process may use, which in a container is fewer "
            "than the machine has. Below 8 GiB of memory, 1080p videos and attacks on several clips at once may "
            "not fit."
        ),
    ),
    Check(
        "A3",
        "disk space",
        GROUP,
        ("folders",),
        _disk,
        why=(
            "Weights, runs and temporary files need space, and frames of videos need many files: a 15-minute "
            "video of AVA makes 27 000 of them."
        ),
    ),
    Check(
        "A4",
        "folders",
        GROUP,
        ("folders",),
        _writable,
        why=(
            "Results are written under a temporary name and renamed when they are whole. A folder where that does"
            " not work would lose them."
        ),
    ),
)
