"""Errors of the libraries that vidbench stands on, by their words: what causes them and which check tells more."""

from __future__ import annotations

import dataclasses
import re
import sys
from dataclasses import dataclass
from importlib import metadata

from vidbench.env.findings import reinstall


@dataclass(frozen=True)
class KnownError:
    """An error that has a known cause.

    Attributes:
        pattern: Regular expression, found anywhere in the error's text.
        check: The check of `env check` that looks at the cause.
        cause: One line.
        remedy: One command to copy, or a sentence where no one command mends it. For D1 `recognise` names the index
            that the installed torch is from.
    """

    pattern: str
    check: str
    cause: str
    remedy: str


KNOWN_ERRORS = (
    KnownError(
        r"operator torchvision::\w+ does not exist|Couldn't load custom C\+\+ ops",
        "D1",
        "torch and torchvision come from different indexes",
        "pip install --force-reinstall torch torchvision",
    ),
    KnownError(
        r"no kernel image is available for execution",
        "C5",
        "this torch has no kernels for this GPU",
        "vidbench env check --only C5",
    ),
    KnownError(
        r"driver on your system is too old|CUDA driver version is insufficient",
        "C2",
        "the driver is older than the CUDA that torch was built for",
        "vidbench env check --only C2",
    ),
    KnownError(
        r"No module named 'torch'",
        "D0",
        "torch is not installed in the environment that this runs in",
        "pip install torch torchvision",
    ),
    KnownError(
        r"No module named 'torch\._six'",
        "B4",
        "a package was written for torch 1",
        "Upgrade the package that the lines above name.",
    ),
    KnownError(
        r"No module named '(?:torchvision|av|numpy|scipy|PIL|safetensors|pytorchvideo|fvcore|art|urllib3|psutil)'",
        "B4",
        "a package that vidbench needs is not installed",
        "vidbench env check --only B4",
    ),
    KnownError(
        r"CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        "C9",
        "the memory of the GPU is full",
        "Lower --batch, or see by `vidbench env watch --count 1` who holds the memory.",
    ),
    KnownError(
        r"Weights only load failed",
        "D6",
        "a file of weights holds more than tensors, and torch runs nothing that comes with one",
        "Where you trust it, load it with the program that wrote it and save the state dict alone.",
    ),
    KnownError(
        r"No module named 'pkg_resources'",
        "B5",
        "setuptools 82 and newer have no pkg_resources",
        "pip install 'setuptools<81'",
    ),
    KnownError(
        r"No module named 'packaging'",
        "B8",
        "the adversarial robustness toolbox needs packaging and does not declare it",
        "pip install packaging",
    ),
    KnownError(
        r"No module named 'torchvision\.transforms\.functional_tensor'",
        "D4",
        "the transforms of the released pytorchvideo do not fit this torchvision; vidbench does without them",
        "vidbench env check --only D4",
    ),
    KnownError(
        r"cannot import name 'cat_all_gather'|No module named 'pytorchvideo\.losses'",
        "D5",
        "the released pytorchvideo lacks what PySlowFast takes from its repository",
        "pip install --no-deps 'git+https://github.com/facebookresearch/pytorchvideo'",
    ),
    KnownError(
        r"Could not load libtorchcodec|libavutil\.so[.\d]*: cannot open",
        "F3",
        "torchcodec finds no shared libraries of FFmpeg",
        "Take --decoder pyav, or install FFmpeg 4 to 9.",
    ),
    KnownError(
        r"_ARRAY_API not found|numpy\.core\.multiarray failed to import|compiled using NumPy 1\.x",
        "B4",
        "a package was compiled for an older numpy",
        "Upgrade the package that the lines above name.",
    ),
    KnownError(
        r"libGL\.so\.1: cannot open",
        "B6",
        "OpenCV with windows needs libGL, which servers lack",
        "pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless",
    ),
    KnownError(
        r"killed by signal: Bus error|ended by SIGBUS|insufficient shared memory \(shm\)|unable to \w+ shared memory",
        "H1",
        "the shared memory of this container is too small for so many workers",
        "Start the container with --shm-size=8g, or lower --workers.",
    ),
    KnownError(
        r"received 0 items of ancdata|\[Errno 24\] Too many open files|Too many open files\. Communication with",
        "H2",
        "the limit of open files is too low for so many workers",
        "ulimit -n 65536",
    ),
    KnownError(
        r"(?:GLIBCXX|CXXABI)_[\d.]+' not found",
        "F5",
        "the C++ library of the system is older than what a package was built with",
        "conda install -c conda-forge libstdcxx-ng",
    ),
    KnownError(
        r"detected CUDA version .* mismatches",
        "E5",
        "the CUDA compiler is not of the version that torch was built for",
        "vidbench env check --for detectron2",
    ),
    KnownError(
        r"detectron2/_C\S*: undefined symbol|detectron2\S* undefined symbol",
        "E2",
        "detectron2 was built for another torch",
        "vidbench env check --for detectron2",
    ),
    KnownError(
        r"Not compiled with GPU support",
        "E3",
        "detectron2 was built without CUDA",
        "vidbench env check --for detectron2",
    ),
    KnownError(
        r"undefined symbol: _Z\w+",
        "D2",
        "a compiled package was built for another torch",
        "Build or install it again for the torch that is installed.",
    ),
    KnownError(
        r"NCCL error in:|nccl(?:System|UnhandledCuda|Internal|Remote)Error",
        "I2",
        "the GPUs cannot reach each other",
        "NCCL_DEBUG=INFO tells why; NCCL_P2P_DISABLE=1 tells whether it is their direct link.",
    ),
)


# a name or path that is quoted may hold any words
_QUOTED_PATH = re.compile(r"""(?<![\w`])(['"])(?:(?!\1)[^\n])*[/\\](?:(?!\1)[^\n])*\1""")


def recognise(text: str) -> KnownError | None:
    """The first known error whose words are in a text, outside of quoted paths; None where none is."""
    told = _QUOTED_PATH.sub("''", text)
    found = next((one for one in KNOWN_ERRORS if re.search(one.pattern, told)), None)
    if found is None or found.check != "D1":
        return found
    return dataclasses.replace(found, remedy=reinstall("--force-reinstall torch torchvision", _torch_version()))


def _torch_version() -> str:
    """With the local version, as "2.15.0+cpu", that tells the index; without importing torch."""
    loaded = getattr(sys.modules.get("torch"), "__version__", "")
    if loaded:
        return str(loaded)
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""
