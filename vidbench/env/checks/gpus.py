"""Checks of graphics cards: driver, CUDA and kernels against torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from vidbench.env.facts import Facts, Gpu, Gpus, Torch
from vidbench.env.findings import (
    NETWORKS,
    WHEELS,
    Check,
    Outcome,
    known,
    number,
)
from vidbench.env.requirements import release

GROUP = "GPUs"


def _nvidia(facts: Facts) -> Outcome:
    if known(facts.machine).system == "Darwin":
        return Outcome("skip", "macOS has no NVIDIA driver")
    gpus = known(facts.gpus)
    if not gpus.tool:
        return Outcome("info", "no NVIDIA GPU: nvidia-smi is not there")
    if gpus.error:
        mismatch = "mismatch" in gpus.error
        return Outcome("warn", f"nvidia-smi does not answer: {gpus.error}", "sudo reboot" if mismatch else "")
    if not gpus.gpus:
        return Outcome("info", "nvidia-smi lists no GPU")
    kinds = Counter(_gpu(gpu) for gpu in gpus.gpus)
    said = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    cuda = f", which supports CUDA {gpus.cuda}" if gpus.cuda else ""
    return Outcome("ok", f"{said}; driver {gpus.gpus[0].driver}{cuda}")


def _gpu(gpu: Gpu) -> str:
    memory = f" ({gpu.memory_mib / 1024:.0f} GiB)" if gpu.memory_mib is not None else ""
    return gpu.name + memory


def _driver(facts: Facts) -> Outcome:
    torch, gpus = known(facts.torch), known(facts.gpus)
    if unfit := _no_cuda_question(torch, gpus):
        return unfit
    if not torch.cuda:
        return Outcome("skip", f"torch {torch.version} is built without CUDA")
    if not gpus.cuda:
        return Outcome("skip", "nvidia-smi does not tell which CUDA the driver supports")
    said = (
        f"driver {gpus.gpus[0].driver} supports CUDA {gpus.cuda}, torch {torch.version} was built for CUDA {torch.cuda}"
    )
    # within a major version an older driver serves (CUDA's minor version compatibility)
    if release(gpus.cuda)[:1] < release(torch.cuda)[:1]:
        return Outcome("warn", f"{said}; it runs on the CPU alone", _install_for(gpus))
    return Outcome("ok", said)


def _cpu_build(facts: Facts) -> Outcome:
    torch, gpus = known(facts.torch), known(facts.gpus)
    if unfit := _no_cuda_question(torch, gpus):
        return unfit
    if torch.cuda or torch.hip:
        return Outcome("ok", f"torch {torch.version} is built for CUDA {torch.cuda or 'by ROCm'}")
    return Outcome(
        "warn",
        f"torch {torch.version} is built without CUDA, though this machine has {number(len(gpus.gpus), 'GPU')} "
        f"({gpus.gpus[0].name})",
        _install_for(gpus),
    )


def _device(facts: Facts) -> Outcome:
    torch, gpus = known(facts.torch), known(facts.gpus)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if torch.cuda_available:
        kinds = Counter(device.name for device in torch.devices)
        return Outcome("ok", "cuda: " + ", ".join(f"{count} x {name}" for name, count in kinds.items()))
    if torch.mps_available:
        return Outcome("ok", "mps: the GPU of this Mac")
    fits = not gpus.cuda or release(gpus.cuda)[:1] >= release(torch.cuda)[:1]
    if gpus.gpus and torch.cuda and fits:
        # neither of the other checks explains it
        hidden = torch.cuda_visible_devices
        why = f"CUDA_VISIBLE_DEVICES is {hidden!r}" if hidden is not None else torch.cuda_remark
        return Outcome(
            "warn",
            f"cpu: nvidia-smi lists {number(len(gpus.gpus), 'GPU')}, torch {torch.version} sees none"
            + (f" ({why})" if why else ""),
            "unset CUDA_VISIBLE_DEVICES" if hidden is not None else "",
        )
    return Outcome("info", "cpu: torch sees no GPU that it can use")


def _kernels(facts: Facts) -> Outcome:
    torch, gpus = known(facts.torch), known(facts.gpus)
    if unfit := _no_cuda_question(torch, gpus):
        return unfit
    if not torch.cuda or not torch.architectures:
        return Outcome("skip", f"torch {torch.version} is built without CUDA")
    seen = {device.name: device.capability for device in torch.devices}
    seen |= {gpu.name: gpu.capability for gpu in gpus.gpus if gpu.capability}
    if not seen:
        return Outcome("skip", "the compute capability of the GPU is not told")
    compiled = ", ".join(_dotted(name) for name in torch.architectures)
    for name, capability in seen.items():
        if not _covered(capability, torch.architectures):
            return Outcome(
                "fail",
                f"{name} has compute capability {capability}, torch {torch.version} has kernels for {compiled}"
                + _last_for(capability),
                _install_for(gpus, capability),
            )
    has = ", ".join(f"{name} {capability}" for name, capability in seen.items())
    return Outcome("ok", f"compute capability: {has}; torch {torch.version} has kernels for {compiled}")


def _last_for(capability: str) -> str:
    """The last torch that has kernels for an old GPU, as a part of a sentence."""
    if release(capability) < (5, 0):
        return "; no torch that vidbench works with has them"
    return "; torch 2.14 for CUDA 12.6 is the last that has them" if release(capability) < (7, 5) else ""


def _covered(capability: str, architectures: Iterable[str]) -> bool:
    """Whether code compiled for one of these runs: `sm_80` on 8.x from 8.0 on, `compute_80` on all from 8.0 on."""
    device = release(capability)
    for name in architectures:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name)
        if found is None:
            continue
        built = (int(found[2]), int(found[3]))
        if built <= device and (found[1] == "compute" or built[0] == device[0]):
            return True
    return False


def _dotted(architecture: str) -> str:
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
    if found is None:
        return architecture
    return f"{found[2]}.{found[3]}{found[4]}" + (" and later" if found[1] == "compute" else "")


def _precision(facts: Facts) -> Outcome:
    torch = known(facts.torch)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if torch.cuda_available:
        return Outcome("info", f"bfloat16 on the GPU: {'yes' if torch.bf16 else 'no'}")
    if torch.mps_built:
        return Outcome("info", f"Metal (mps): {'yes' if torch.mps_available else 'built in, not available'}")
    return Outcome("skip", "no GPU")


def _no_cuda_question(torch: Torch, gpus: Gpus) -> Outcome | None:
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if not gpus.gpus:
        return Outcome("skip", "no NVIDIA GPU")
    return None


def _install_for(gpus: Gpus, capability: str = "") -> str:
    """The torch that fits a driver and a GPU; empty where there is none.

    The package index has torch for CUDA 13. The builds for CUDA 12.6 end with torch 2.14 and are the last
    with kernels for Pascal and Volta (pytorch/pytorch#157517); those for CUDA 12.8 are the first for Blackwell.
    """
    capabilities = [capability] if capability else [gpu.capability for gpu in gpus.gpus if gpu.capability]
    oldest = min((release(one) for one in capabilities), default=(9, 0))
    newest = max((release(one) for one in capabilities), default=(9, 0))
    driver = release(gpus.cuda) or (13, 0)
    install = "pip install --force-reinstall torch torchvision"
    if oldest < (5, 0) or driver < (12,):
        return ""
    if oldest < (7, 5):
        return f"pip install --force-reinstall 'torch<2.15' torchvision --index-url {WHEELS}/cu126"
    if driver >= (13,):
        return install
    return f"{install} --index-url {WHEELS}/{'cu128' if newest >= (10, 0) else 'cu126'}"


def _visible(facts: Facts) -> Outcome:
    value, gpus = known(facts.surroundings).variables.get("CUDA_VISIBLE_DEVICES"), known(facts.gpus)
    if value is None:
        return Outcome("skip", "CUDA_VISIBLE_DEVICES is not set")
    if not gpus.gpus:
        return Outcome("info", f"CUDA_VISIBLE_DEVICES is {value!r}; there is no GPU to choose from")
    named = [part.strip() for part in value.split(",")]
    numbers = [int(part) for part in named if part.lstrip("-").isdigit()]
    if not value.strip() or any(one < 0 for one in numbers):
        return Outcome("warn", f"CUDA_VISIBLE_DEVICES is {value!r} and hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    beyond = [one for one in numbers if one >= len(gpus.gpus)]
    if beyond:
        return Outcome(
            "warn",
            f"CUDA_VISIBLE_DEVICES is {value!r}; of {number(len(gpus.gpus), 'GPU')} the last is {len(gpus.gpus) - 1}, "
            "and what follows a number that is not there is hidden",
            "unset CUDA_VISIBLE_DEVICES",
        )
    return Outcome("ok", f"CUDA_VISIBLE_DEVICES is {value!r}")


def _libraries(facts: Facts) -> Outcome:
    foreign = known(facts.surroundings).foreign_libraries
    if not foreign:
        return Outcome("ok", "LD_LIBRARY_PATH and LD_PRELOAD bring no library of CUDA, cuDNN or C++")
    preloaded = "LD_PRELOAD" in known(facts.surroundings).variables
    more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
    return Outcome(
        "warn",
        f"{foreign[0]}{more} comes before the libraries that torch brings along",
        "unset LD_LIBRARY_PATH" + (" LD_PRELOAD" if preloaded else ""),
    )


_FREE_MIB = 4096
"""What a batch of a few clips takes with gradients; `model profile` measures it."""


def _free_memory(facts: Facts) -> Outcome:
    gpus = [(index, gpu) for index, gpu in enumerate(known(facts.gpus).gpus) if gpu.free_mib is not None]
    if not gpus:
        return Outcome("skip", "no NVIDIA GPU tells its free memory")
    told = [
        f"GPU {index} has {(gpu.free_mib or 0) / 1024:.1f} of {(gpu.memory_mib or 0) / 1024:.1f} GiB free"
        for index, gpu in gpus
    ]
    low = [index for index, gpu in gpus if (gpu.free_mib or 0) < _FREE_MIB]
    if not low:
        return Outcome("ok", ", ".join(told))
    return Outcome(
        "warn",
        f"{', '.join(told)}; less than {_FREE_MIB / 1024:.0f} GiB is little for clips with gradients: lower --batch, "
        "or see who holds it",
        "vidbench env watch --count 1",
    )


CHECKS = (
    Check(
        "C9",
        "free GPU memory",
        GROUP,
        ("gpus",),
        _free_memory,
        NETWORKS,
        why="Programs of others, and dead ones of one's own, hold memory of the GPU: `CUDA out of memory`.",
    ),
    Check(
        "C7",
        "CUDA_VISIBLE_DEVICES",
        GROUP,
        ("surroundings", "gpus"),
        _visible,
        NETWORKS,
        why="The variable chooses GPUs by number; an empty one, -1, or a number that is not there hides them.",
    ),
    Check(
        "C8",
        "foreign libraries",
        GROUP,
        ("surroundings",),
        _libraries,
        NETWORKS,
        why=(
            "torch brings CUDA and cuDNN along. Others that LD_LIBRARY_PATH puts first are loaded in their place, and "
            "fail with unknown symbols or wrong versions."
        ),
    ),
    Check(
        "C1",
        "GPUs",
        GROUP,
        ("machine", "gpus"),
        _nvidia,
        NETWORKS,
        why=(
            "nvidia-smi tells what the driver sees. Where it does not answer, the driver is not loaded, or its "
            "module and library are of different versions: after an update only a restart brings them together."
        ),
    ),
    Check(
        "C2",
        "driver",
        GROUP,
        ("torch", "gpus"),
        _driver,
        NETWORKS,
        why=(
            "A driver supports CUDA up to a version. torch built for a newer one says that the driver is too old,"
            " and computes on the CPU."
        ),
    ),
    Check(
        "C3",
        "CUDA build",
        GROUP,
        ("torch", "gpus"),
        _cpu_build,
        NETWORKS,
        why=(
            "The package index and the platform decide whether torch comes with CUDA. A CPU-only torch never uses"
            " the GPU, whatever the driver."
        ),
    ),
    Check("C4", "device", GROUP, ("torch", "gpus"), _device, NETWORKS, why="What torch computes on in the end."),
    Check(
        "C5",
        "kernels",
        GROUP,
        ("torch", "gpus"),
        _kernels,
        NETWORKS,
        why=(
            "torch holds compiled kernels for some compute capabilities. A GPU beyond them fails with `no kernel "
            "image is available for execution on the device`."
        ),
    ),
    Check(
        "C10",
        "precision",
        GROUP,
        ("torch",),
        _precision,
        NETWORKS,
        why="bfloat16 halves memory and time where the GPU computes in it.",
    ),
)
