"""Checks of detectron2, which nothing of vidbench needs: whether it is there, fits torch, and could be built."""

from __future__ import annotations

from vidbench.env.facts import Build, Facts, Torch
from vidbench.env.findings import GIB, Check, Outcome, known, listed
from vidbench.env.requirements import release

GROUP = "detectron2"
WANTED = ("detectron2",)

SOURCE = "git+https://github.com/facebookresearch/detectron2@02b5c4e2"
"""A commit that was built with current torch; there are no wheels of current versions."""

_NOT_NEEDED = "vidbench does without: torchvision brings RoIAlign and detectors of persons"
# a compilation of one of its files takes about as much memory
_JOB_BYTES = 4 * GIB


def _present(facts: Facts) -> Outcome:
    stage = known(facts.detectron2)
    if stage.status == "absent":
        return Outcome("fail", f"detectron2 is not installed; {_NOT_NEEDED}", _build_command(facts))
    if stage.status != "ok":
        return Outcome("fail", f"detectron2 does not import ({stage.error})", _build_command(facts))
    version, path = stage.data["version"], stage.data["path"]
    if "site-packages" not in path and "dist-packages" not in path:
        return Outcome(
            "warn",
            f"detectron2 {version} is imported from {path}, a source tree, not from what is installed",
            "cd / && pip show detectron2",
        )
    return Outcome("ok", f"detectron2 {version} in {path}")


def _extension(facts: Facts) -> Outcome:
    stage, torch = known(facts.detectron2), known(facts.torch)
    if stage.status != "ok":
        return Outcome("skip", "detectron2 is not there")
    broken = stage.data["extension_error"]
    if broken:
        why = ", as after each change of torch" if "undefined symbol" in broken else ""
        return Outcome(
            "fail",
            f"its compiled part does not load with torch {torch.version} ({broken}); it has to be built again{why}",
            _build_command(facts),
        )
    if stage.data["operator_error"]:
        return Outcome("fail", f"its operators do not run ({stage.data['operator_error']})", _build_command(facts))
    return Outcome("ok", f"its compiled part loads with torch {torch.version} and runs nms_rotated")


def _cuda(facts: Facts) -> Outcome:
    stage, torch, gpus = known(facts.detectron2), known(facts.torch), known(facts.gpus)
    if stage.status != "ok" or stage.data["extension_error"]:
        return Outcome("skip", "its compiled part does not load")
    ours, theirs = stage.data["cuda"], torch.cuda
    if not theirs:
        return Outcome("skip", "torch is built without CUDA")
    if release(ours)[:1] != release(theirs)[:1]:
        said = f"built for CUDA {ours}" if release(ours) else "built without CUDA"
        return Outcome(
            "fail" if gpus.gpus else "info",
            f"detectron2 is {said}, torch {torch.version} for CUDA {theirs}",
            _build_command(facts),
        )
    if release(ours)[:2] != release(theirs)[:2]:
        return Outcome("warn", f"detectron2 is built for CUDA {ours}, torch {torch.version} for CUDA {theirs}")
    return Outcome("ok", f"detectron2 and torch are both built for CUDA {theirs}")


def _kernels(facts: Facts) -> Outcome:
    build, torch = known(facts.build), known(facts.torch)
    if build.architectures is None or not torch.devices:
        return Outcome("skip", "cuobjdump is not there, or no GPU is")
    held = {name.removeprefix("sm_") for name in build.architectures}
    lacking = [one.capability for one in torch.devices if one.capability.replace(".", "") not in held]
    if lacking:
        return Outcome(
            "fail",
            f"detectron2 has kernels for {listed(sorted(build.architectures))}, not for {listed(lacking)}",
            _build_command(facts),
        )
    return Outcome("ok", f"detectron2 has kernels for {listed(sorted(build.architectures))}")


def _tools(facts: Facts) -> Outcome:
    stage, build, torch = known(facts.detectron2), known(facts.build), known(facts.torch)
    if stage.status == "ok" and not stage.data["extension_error"]:
        return Outcome("skip", "detectron2 is built")
    if torch.stage.status != "ok":
        return Outcome(
            "fail", "torch does not load, and detectron2 is built against it", "pip install torch torchvision"
        )
    if not build.compiler:
        return Outcome("fail", "no C++ compiler (g++)", "sudo apt install g++")
    said = [build.compiler, f"ninja {build.ninja}" if build.ninja else "no ninja (slower)"]
    if torch.cuda_available:
        return _cuda_tools(build, torch, said)
    return Outcome("ok", f"{listed(said)}; without a GPU it is built for the CPU")


def _cuda_tools(build: Build, torch: Torch, said: list[str]) -> Outcome:
    major, minor = (*release(torch.cuda), 0)[:2]
    toolkit = f"sudo apt install cuda-toolkit-{major}-{minor}"
    if not build.nvcc:
        return Outcome("fail", f"{listed(said)}, but no nvcc; torch was built for CUDA {torch.cuda}", toolkit)
    if release(build.nvcc)[:1] != (major,):
        return Outcome("fail", f"nvcc {build.nvcc}, but torch was built for CUDA {torch.cuda}", toolkit)
    if not build.headers:
        return Outcome("fail", f"nvcc {build.nvcc}, but no cuda_runtime.h in {build.cuda_home}/include", toolkit)
    if release(build.nvcc)[:2] != (major, minor):
        return Outcome(
            "warn",
            f"nvcc {build.nvcc}, torch was built for CUDA {torch.cuda}: the compiler's own headers have to come first",
            f"export CPATH={build.cuda_home}/include",
        )
    return Outcome("ok", f"{listed([*said, f'nvcc {build.nvcc}'])}")


def _zoo(facts: Facts) -> Outcome:
    stage = known(facts.detectron2)
    if stage.status != "ok" or stage.data["extension_error"]:
        return Outcome("skip", "detectron2 does not load")
    broken = stage.data["zoo_error"]
    if "pkg_resources" in broken:
        return Outcome(
            "fail", "detectron2.model_zoo needs pkg_resources, gone from setuptools 82", "pip install 'setuptools<81'"
        )
    if broken:
        return Outcome("fail", f"detectron2.model_zoo does not import ({broken})")
    return Outcome("ok", "detectron2.model_zoo imports")


def _build_command(facts: Facts) -> str:
    """The commands that build it on this machine: for its GPUs, with as many jobs as fit."""
    processors, torch = facts.processors, facts.torch
    memory = processors.usable_memory_bytes if processors else None
    cpus = int(processors.usable_cpus) if processors else 1
    jobs = max(1, min(cpus, memory // _JOB_BYTES if memory else cpus))
    settings = [f"MAX_JOBS={jobs}"]
    if torch is not None and torch.cuda and torch.devices:
        capabilities = sorted({one.capability for one in torch.devices})
        settings += ["FORCE_CUDA=1", f'TORCH_CUDA_ARCH_LIST="{";".join(capabilities)}"']
    return (
        "pip install 'setuptools<81' wheel ninja 'iopath<0.1.10' && "
        f"{' '.join(settings)} pip install --no-build-isolation '{SOURCE}'"
    )


CHECKS = (
    Check(
        "E1",
        "detectron2",
        GROUP,
        ("detectron2", "torch", "processors"),
        _present,
        WANTED,
        why=(
            "PySlowFast's detection needs detectron2. There are no wheels of it for current torch: it is built from "
            "source, without build isolation, as its setup imports torch."
        ),
    ),
    Check(
        "E2",
        "compiled part",
        GROUP,
        ("detectron2", "torch", "processors"),
        _extension,
        WANTED,
        why="Its compiled part fits the torch that it was built with. After a change of torch: `undefined symbol`.",
    ),
    Check(
        "E3",
        "CUDA of detectron2",
        GROUP,
        ("detectron2", "torch", "gpus", "processors"),
        _cuda,
        WANTED,
        why="Built without CUDA, or for another one, its operators fail on GPUs: `Not compiled with GPU support`.",
    ),
    Check(
        "E4",
        "kernels of detectron2",
        GROUP,
        ("detectron2", "torch", "build", "processors"),
        _kernels,
        WANTED,
        why="Like torch, it holds kernels for some GPUs, those of the machine that it was built on.",
    ),
    Check(
        "E5",
        "tools to build it",
        GROUP,
        ("detectron2", "torch", "build"),
        _tools,
        WANTED,
        why=(
            "Building it takes a C++ compiler and, for GPUs, nvcc of the CUDA that torch was built for: `The detected "
            "CUDA version mismatches the version that was used to compile PyTorch`."
        ),
    ),
    Check(
        "E6",
        "model zoo",
        GROUP,
        ("detectron2",),
        _zoo,
        WANTED,
        why="Its model zoo finds its files by pkg_resources, which setuptools dropped.",
    ),
)
