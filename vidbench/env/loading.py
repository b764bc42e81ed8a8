"""Facts that child processes tell: libraries that are loaded, tools that are asked."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidbench.env.facts import (
    CODECS,
    Build,
    Clip,
    Decoding,
    Gpu,
    Gpus,
    Tool,
    Torch,
    TorchDevice,
)
from vidbench.env.processes import Processes, Stage


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
