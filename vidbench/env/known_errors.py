"""Errors of the libraries that vidbench stands on, by their words: what causes them and which check tells more."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownError:
    """An error that has a known cause.

    Attributes:
        pattern: Regular expression, found anywhere in the error's text.
        check: The check of `env check` that looks at the cause.
        cause: One line.
        remedy: One command to copy, or a sentence where no one command mends it.
    """

    pattern: str
    check: str
    cause: str
    remedy: str


KNOWN_ERRORS = (
    KnownError(
        r"operator torchvision::nms does not exist",
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
        r"functional_tensor|cannot import name 'cat_all_gather'|No module named 'pytorchvideo\.losses'",
        "D4",
        "the released pytorchvideo does not fit this torchvision, or lacks what PySlowFast takes from its repository",
        "vidbench env check --only D4",
    ),
    KnownError(
        r"Could not load libtorchcodec|libavutil\.so",
        "F3",
        "torchcodec finds no shared libraries of FFmpeg",
        "Take --decoder pyav, or install FFmpeg 4 to 9.",
    ),
    KnownError(
        r"_ARRAY_API not found|numpy\.core\.multiarray failed to import|compiled using NumPy 1\.x",
        "B4",
        "a package was compiled for an older numpy",
        "pip install --upgrade --force-reinstall the package that the lines above name",
    ),
    KnownError(
        r"libGL\.so\.1",
        "B6",
        "OpenCV with windows needs libGL, which servers lack",
        "pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless",
    ),
    KnownError(
        r"[Bb]us error|insufficient shared memory|unable to (?:open|allocate) shared memory",
        "H1",
        "the shared memory of this container is too small for so many workers",
        "Start the container with --shm-size=8g, or lower --workers.",
    ),
    KnownError(
        r"received 0 items of ancdata|[Tt]oo many open files",
        "H2",
        "the limit of open files is too low for so many workers",
        "ulimit -n 65536",
    ),
    KnownError(
        r"GLIBCXX_[\d.]+' not found",
        "A1",
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
        r"NCCL error|ncclSystemError|ncclUnhandledCudaError",
        "C4",
        "the GPUs cannot reach each other",
        "NCCL_DEBUG=INFO tells why; NCCL_P2P_DISABLE=1 tells whether it is their direct link.",
    ),
)


def recognise(text: str) -> KnownError | None:
    """The first known error whose words are in a text; None where none is."""
    return next((one for one in KNOWN_ERRORS if re.search(one.pattern, text)), None)
