"""Recorded machines, each with all that `env check` finds wrong on it, word for word."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.machines import ABSENT, BASE, CPU_TORCH, GB, H200, OK, TORCH, decoding, requirement
from vidbench.env.check import CHECKS, judge, purposes
from vidbench.env.facts import (
    Build,
    Clip,
    Facts,
    Folder,
    Gpu,
    Gpus,
    Host,
    Limits,
    Machine,
    Packages,
    Processors,
    Python,
    Shadow,
    Surroundings,
    Tool,
    TorchDevice,
    Trial,
    WeightFile,
    Weights,
)
from vidbench.env.processes import Stage
from vidbench.env.requirements import Requirements

V100 = Gpu("Tesla V100-SXM2-16GB", "580.95.05", 16384, "7.0")
P100 = Gpu("Tesla P100-PCIE-16GB", "535.183.01", 16384, "6.0")
B200 = Gpu("NVIDIA B200", "575.57.08", 183359, "10.0")


def part(name: str, **changes: Any) -> Any:
    """A part of the healthy machine with some of its fields otherwise."""
    return dataclasses.replace(getattr(BASE, name), **changes)


def versions(**named: str | None) -> Packages:
    base: Packages = BASE.packages  # type: ignore[assignment]
    changed = dict(base.versions) | {name.replace("_", "-"): version for name, version in named.items()}
    return dataclasses.replace(base, versions={name: version for name, version in changed.items() if version})


def around(**variables: str) -> Surroundings:
    return Surroundings(variables=variables, day="2026-11-22")


def of_detectron2(**told: str) -> Stage:
    base: Stage = BASE.detectron2  # type: ignore[assignment]
    return dataclasses.replace(base, data=base.data | told)


NO_TORCH: dict[str, Any] = {
    "torch": dataclasses.replace(CPU_TORCH, stage=ABSENT, version=""),
    "torchvision": Stage("unreached", "torch does not load"),
    "pytorchvideo": Stage("unreached", "torch does not load"),
}
UNDEFINED = "ImportError: detectron2/_C.so: undefined symbol: _ZNK3c1010TensorImpl15incref_pyobjectEv"

NO_GLIBCXX = "OSError: libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by libtorchcodec_core7.so)"

MACHINES: dict[str, dict[str, Any]] = {
    "V100 with a torch that left it out": {
        "gpus": Gpus(True, "", (V100,), "13.0"),
        "torch": dataclasses.replace(TORCH, devices=(TorchDevice(V100.name, "7.0", 17 * 10**9),)),
    },
    "P100 of an old cluster": {
        "gpus": Gpus(True, "", (P100,), "12.2"),
        "torch": dataclasses.replace(TORCH, cuda_available=False, devices=(), cuda_remark="driver too old"),
    },
    "B200 with a driver before CUDA 13": {
        "gpus": Gpus(True, "", (B200,), "12.9"),
        "torch": dataclasses.replace(TORCH, cuda_available=False, devices=()),
    },
    "CPU-only torch on a GPU host": {
        "torch": CPU_TORCH,
        "torchvision": Stage("ok", data={"version": "0.29.2+cpu"}),
        "detectron2": ABSENT,
    },
    "laptop without a GPU": {
        "gpus": Gpus(False),
        "torch": dataclasses.replace(TORCH, cuda_available=False, devices=()),
        "detectron2": ABSENT,
    },
    "driver module and library differ after an update": {
        "gpus": Gpus(True, "Failed to initialize NVML: Driver/library version mismatch"),
        "torch": dataclasses.replace(TORCH, cuda_available=False, devices=()),
    },
    "GPUs hidden by a variable": {
        "torch": dataclasses.replace(TORCH, cuda_available=False, devices=(), cuda_visible_devices="-1"),
        "surroundings": around(CUDA_VISIBLE_DEVICES="-1"),
    },
    "a GPU number that is not there": {"surroundings": around(CUDA_VISIBLE_DEVICES="0,4")},
    "torchvision of another index": {
        "torchvision": Stage("error", "RuntimeError: operator torchvision::nms does not exist"),
        "pytorchvideo": Stage("error", "RuntimeError: operator torchvision::nms does not exist"),
    },
    "torch and torchvision built apart": {"torchvision": Stage("ok", data={"version": "0.29.2+cpu"})},
    "nothing installed yet": {
        **NO_TORCH,
        "packages": versions(torch=None, torchvision=None),
        "requirements": Requirements("metadata", (requirement("torch", ">=2.10", "", False),)),
        "detectron2": ABSENT,
    },
    "torch that does not import": {
        "torch": dataclasses.replace(
            CPU_TORCH, stage=Stage("error", "ImportError: libcudnn.so.9: cannot open shared object file"), version=""
        ),
        "torchvision": Stage("unreached", "torch does not load"),
        "pytorchvideo": Stage("unreached", "torch does not load"),
        "detectron2": Stage("error", "ImportError: libcudnn.so.9: cannot open shared object file"),
    },
    "torch that aborts on import": {
        "torch": dataclasses.replace(CPU_TORCH, stage=Stage("died", "ended by SIGABRT"), version=""),
        "torchvision": Stage("unreached", "torch does not load"),
        "pytorchvideo": Stage("unreached", "torch does not load"),
        "detectron2": Stage("died", "ended by SIGABRT"),
    },
    "torch from before the safe loader": {
        "torch": dataclasses.replace(TORCH, version="2.5.1+cu124", cuda="12.4"),
        "packages": versions(torch="2.5.1"),
        "requirements": Requirements("metadata", (requirement("torch", ">=2.10", "2.5.1", False),)),
        "detectron2": ABSENT,
    },
    "no shared libraries of FFmpeg": {
        "decoders": (
            decoding("pyav", "h264", 12),
            decoding("torchcodec", "h264", None, Stage("error", "RuntimeError: Could not load libtorchcodec.")),
            decoding("pyav", "av1", 12),
            decoding("torchcodec", "av1", None, Stage("error", "RuntimeError: Could not load libtorchcodec.")),
        ),
        "tools": (Tool("ffmpeg", "", ""), Tool("ffprobe", "", ""), Tool("deno", "", ""), Tool("node", "", "")),
    },
    "PyAV that is not there": {"clips": (Clip("h264", ABSENT), Clip("av1", ABSENT)), "decoders": ()},
    "detectron2 built for another torch": {"detectron2": of_detectron2(extension_error=UNDEFINED)},
    "detectron2 built without CUDA": {"detectron2": of_detectron2(cuda="not available")},
    "detectron2 built on another GPU": {"build": part("build", architectures=("sm_70", "sm_80"))},
    "detectron2 to be built without nvcc": {
        "detectron2": ABSENT,
        "build": Build("g++ 12.2.0", "1.11.1"),
    },
    "detectron2 to be built with another CUDA": {
        "detectron2": ABSENT,
        "build": Build("g++ 12.2.0", "", "12.4", "/usr/local/cuda-12.4", True),
    },
    "detectron2 beside a new setuptools": {
        "detectron2": of_detectron2(zoo_error="ModuleNotFoundError: No module named 'pkg_resources'"),
        "packages": dataclasses.replace(
            versions(setuptools="82.0.0", detectron2="0.6", iopath="0.1.10"), has_pkg_resources=False
        ),
    },
    "container with a tiny /dev/shm": {
        "limits": Limits(1024, 1_048_576, 64 * 2**20),
        "processors": Processors(64, 64, 8.0, 512 * 2**30, 6 * 2**30),
        "surroundings": Surroundings({"OMP_NUM_THREADS": "64"}, container="docker", day="2026-11-22"),
    },
    "shell of a PySlowFast user": {
        "surroundings": Surroundings(
            {"PYTHONPATH": "/work/SlowFast", "LD_LIBRARY_PATH": "/usr/local/cuda-12.1/lib64"},
            python_path=(("/work/SlowFast", "slowfast"),),
            foreign_libraries=("/usr/local/cuda-12.1/lib64/libcudart.so", "/usr/local/cuda-12.1/lib64/libcublas.so"),
            day="2026-11-22",
        ),
    },
    "two OpenCVs and old packages": {
        "packages": versions(opencv_python_headless="4.12.0.88", yt_dlp="2024.5.1", pillow="10.1.0", urllib3="2.2.0"),
    },
    "a release by an attacker": {"packages": versions(ultralytics="8.3.42")},
    "working folder with an art.py": {"shadows": (Shadow("art", "art.py", True),)},
    "full disk and a cache of another user": {
        "folders": (
            Folder("working", "/data/me", 300_000_000, 50_000_000),
            Folder("runs", "/data/me", 300_000_000, 50_000_000),
            Folder("cache", "/srv/cache", 900 * GB, 50_000_000, "Permission denied"),
            Folder("temporary", "/tmp", 64 * GB, 50_000_000),
        ),
    },
    "old Python on an old Linux": {
        "machine": Machine("Linux", "x86_64", "3.10.0", "glibc 2.17"),
        "python": Python("3.9.2", 64, "/usr/bin/python3", "system"),
    },
    "two GPUs of which one is broken": {
        "gpus": Gpus(True, "", (H200, H200), "13.0"),
        "torch": dataclasses.replace(TORCH, devices=TORCH.devices * 2),
        "compute": Trial("ok", told={"devices": {"cpu": "", "cuda:0": "", "cuda:1": "its answer is off by 0.3"}}),
        "nccl": Trial("timeout", "no answer within 30 s", 30.0),
    },
    "decoders that lose frames, and no way out": {
        "codecs": Trial(
            "ok",
            told={"rows": {"H.264": {"pyav": "30/30", "decord": "30/30"}, "AV1": {"pyav": "30/30", "decord": "0/30"}}},
        ),
        "clip": Trial("error", "vidbench: /tmp/h264.mp4: moov atom not found"),
        "attack": Trial("died", "ended by signal 11"),
        "gloo": Trial("timeout", "no answer within 180 s"),
        "hosts": (
            Host("https://a.example.org/x", "certificate verify failed: self-signed certificate", 0.1),
            Host("https://b.example.org/y", "", 0.2),
        ),
    },
    "GPU full of other people's programs": {
        "gpus": Gpus(True, "", (dataclasses.replace(H200, free_mib=1500),), "13.0"),
    },
    "conda with an old C++ library and a PyAV of its own": {
        "clips": (Clip("h264", OK, 12, "libopenh264"), Clip("av1", OK, 12, "libsvtav1")),
        "decoders": (
            decoding("pyav", "h264", 12),
            decoding("torchcodec", "h264", None, Stage("error", NO_GLIBCXX)),
            decoding("pyav", "av1", 12),
        ),
    },
    "cache after a copy that was broken off": {
        "weights": Weights("~/w", (WeightFile("x3d_m", "X3D_M.pyth", 9, None, "has 9 of 30850000 bytes"),)),
    },
    "machine of an institute without a network": {
        "hosts": (Host("https://a.example.org/x", "no such host", 0.1),),
        "surroundings": around(VIDBENCH_OFFLINE="1"),
    },
    "job of Slurm beside a cluster of Ray": {
        "surroundings": Surroundings(
            {"SLURM_JOB_ID": "12", "SLURM_SUBMIT_DIR": "/tmp/job"}, slurm=True, ray_owner="ben", day="2026-11-22"
        ),
    },
}
EXPECTED: dict[str, dict[str, dict[str, str]]] = json.loads(Path(__file__).with_name("machines.json").read_text())


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine(name: str) -> None:
    facts = dataclasses.replace(BASE, **MACHINES[name])
    found = [judge(one, facts, (*purposes(""), "detectron2")) for one in CHECKS]
    bad = [one for one in found if one.status in ("warn", "fail", "crash")]
    wrong = {one.id: {"status": one.status, "finding": one.message, "remedy": one.remedy} for one in bad}
    assert wrong == EXPECTED[name]


def test_there_are_machines_of_many_kinds() -> None:
    assert len(MACHINES) >= 25
    assert set(MACHINES) == set(EXPECTED)
    judged: set[str] = set().union(*EXPECTED.values())
    # a check that no machine breaks is broken elsewhere, or has nothing to break
    assert {one.id for one in CHECKS} - judged <= {"B4-extras", "B8", "C10", "D3", "D5", "F1", "J2"}


def test_what_is_not_wanted_is_less_bad() -> None:
    facts = dataclasses.replace(BASE, **MACHINES["nothing installed yet"])
    by_purpose = {
        purpose: {judge(one, facts, purposes(purpose)).status for one in CHECKS if one.id in ("D0", "E1")}
        for purpose in ("fetch", "attack", "detectron2")
    }
    assert by_purpose == {"fetch": {"warn", "info"}, "attack": {"fail", "info"}, "detectron2": {"warn", "fail"}}


def test_facts_stay_what_they_were() -> None:
    before = Facts(**{one.name: getattr(BASE, one.name) for one in dataclasses.fields(Facts)})
    for one in CHECKS:
        judge(one, BASE)
    assert before == BASE
