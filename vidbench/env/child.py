"""Run in a process of its own: load one library after the other and say on stdout how each went.

Started by path (`python -P child.py REQUEST`), it needs nothing but the standard library, so that a broken
package can break this process alone. REQUEST is JSON:
`{"stages": [...], "folder": "...", "lazy": true, "limit_s": 60}`.
Each stage gives a line when it begins and one when it ends; a stage with no second line took the process down.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Data = dict[str, Any]

FRAMES = 12
WIDTH, HEIGHT = 64, 48
ENCODERS = {"h264": ("libx264", "libopenh264"), "av1": ("libsvtav1", "libaom-av1", "librav1e")}


class Absent(Exception):
    """The library of a stage is not installed."""


def _load(module: str) -> Any:
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == top:
            raise Absent(f"{top} is not installed") from error
        raise


def clip_path(folder: str, codec: str) -> Path:
    """Where the test clip of a codec is."""
    return Path(folder) / f"{codec}.mp4"


def load_torch(folder: str) -> Data:
    """What torch is and which devices it sees."""
    torch = _load("torch")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = bool(torch.cuda.is_available())
    remark = one_line(str(said[0].message)) if said else ""
    devices: list[Data] = []
    bf16 = False
    if available:
        try:
            for index in range(torch.cuda.device_count()):
                properties = torch.cuda.get_device_properties(index)
                capability = f"{properties.major}.{properties.minor}"
                devices.append(
                    {"name": properties.name, "capability": capability, "memory_bytes": properties.total_memory}
                )
            bf16 = bool(torch.cuda.is_bf16_supported())
        except RuntimeError as error:
            # a GPU that is there and cannot be used, as one that another process holds alone
            available, remark = False, describe(error)
    mps = getattr(torch.backends, "mps", None)
    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda or "",
        "hip": getattr(torch.version, "hip", None) or "",
        "cuda_available": available,
        "cuda_remark": remark,
        "devices": devices,
        "architectures": list(torch.cuda.get_arch_list()),
        "bf16": bf16,
        "mps_built": mps is not None and bool(mps.is_built()),
        "mps_available": mps is not None and bool(mps.is_available()),
    }


def load_torchvision(folder: str) -> Data:
    """Run a compiled operator: versions that do not fit fail here and nowhere earlier."""
    torch = _load("torch")
    torchvision = _load("torchvision")
    ops = _load("torchvision.ops")
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 9.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    kept = ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
    if kept != [0, 2]:
        raise RuntimeError(f"torchvision.ops.nms kept boxes {kept}, expected [0, 2]")
    return {"version": str(torchvision.__version__), "video_io": hasattr(torchvision.io, "read_video")}


def load_pytorchvideo(folder: str) -> Data:
    """Build the network that the catalogue's models are made of; nothing is downloaded."""
    hub = _load("pytorchvideo.models.hub")
    network = hub.x3d_xs(pretrained=False)
    try:
        gathers = hasattr(importlib.import_module("pytorchvideo.layers.distributed"), "cat_all_gather")
    except ImportError:
        gathers = False
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "cat_all_gather": gathers,
    }


def load_detectron2(folder: str) -> Data:
    """Where detectron2 is, what its compiled part was built for, and whether that runs."""
    torch = _load("torch")
    package = _load("detectron2")
    told: Data = {
        "version": str(getattr(package, "__version__", "")),
        "path": str(Path(package.__file__ or "").parent),
        "extension": "", "cuda": "", "compiler": "", "extension_error": "", "operator_error": "", "zoo_error": "",
    }  # fmt: skip
    try:
        compiled = importlib.import_module("detectron2._C")
    except ImportError as error:
        told["extension_error"] = describe(error)
        return told
    told["extension"] = str(compiled.__file__ or "")
    told["cuda"] = str(compiled.get_cuda_version())
    told["compiler"] = str(compiled.get_compiler_version())
    try:
        boxes = torch.tensor([[5.0, 5.0, 10.0, 10.0, 0.0], [5.0, 5.0, 9.0, 10.0, 0.0], [50.0, 50.0, 4.0, 4.0, 0.0]])
        kept = torch.ops.detectron2.nms_rotated(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
        if kept != [0, 2]:
            told["operator_error"] = f"nms_rotated kept boxes {kept}, expected [0, 2]"
    except Exception as error:
        told["operator_error"] = describe(error)
    try:
        importlib.import_module("detectron2.model_zoo")
    except Exception as error:
        told["zoo_error"] = describe(error)
    return told


def encode(folder: str, codec: str) -> Data:
    """Write a tiny clip of a codec with PyAV."""
    av = _load("av")
    for name in ENCODERS[codec]:
        try:
            av.codec.Codec(name, "w")
        except ValueError:
            continue
        break
    else:
        return {"frames": None, "problem": f"this PyAV has no encoder for it ({', '.join(ENCODERS[codec])})"}
    with av.open(str(clip_path(folder, codec)), "w") as container:
        stream = container.add_stream(name, rate=FRAMES)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(FRAMES):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for number, plane in enumerate(frame.planes):
                grey = (16 + 16 * index) if number == 0 else 128
                plane.update(bytes([grey]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return {"frames": FRAMES, "encoder": name}


def _count(frames: Iterable[object]) -> Data:
    read = 0
    problem = ""
    try:
        for _ in frames:
            read += 1
    except Exception as error:
        problem = describe(error)
    return {"frames": read, "problem": problem}


def _read_pyav(path: Path) -> Data:
    av = _load("av")
    with av.open(str(path)) as container:
        return _count(container.decode(video=0))


def _read_torchcodec(path: Path) -> Data:
    decoder = _load("torchcodec.decoders").VideoDecoder(str(path))
    return _count(decoder)


def _read_decord(path: Path) -> Data:
    reader = _load("decord").VideoReader(str(path))
    return _count(reader[index].asnumpy() for index in range(len(reader)))


def _read_opencv(path: Path) -> Data:
    capture = _load("cv2").VideoCapture(str(path))

    def frames() -> Iterator[object]:
        while True:
            good, frame = capture.read()
            if not good:
                return
            yield frame

    return _count(frames())


READERS: dict[str, Callable[[Path], Data]] = {
    "pyav": _read_pyav,
    "torchcodec": _read_torchcodec,
    "decord": _read_decord,
    "opencv": _read_opencv,
}
LOADERS: dict[str, Callable[[str], Data]] = {
    "torch": load_torch,
    "torchvision": load_torchvision,
    "pytorchvideo": load_pytorchvideo,
    "detectron2": load_detectron2,
}


def work(stage: str, folder: str) -> Data:
    """Do one stage: `torch`, `torchvision`, `pytorchvideo`, `detectron2`, `encode:CODEC` or `BACKEND:CODEC`."""
    name, _, codec = stage.partition(":")
    if name == "encode":
        return encode(folder, codec)
    if name in READERS:
        return READERS[name](clip_path(folder, codec))
    return LOADERS[name](folder)


def one_line(text: str) -> str:
    """The first line that says something, at most 300 characters."""
    for line in text.splitlines():
        if line.strip():
            return line.strip()[:300]
    return ""


def describe(error: BaseException) -> str:
    """An exception in one line; a C++ library that is too old is told wherever the text names it."""
    text = f"{type(error).__name__}: {error}"
    line = one_line(text)
    wanted = re.search(r"version `\w+_[\d.]+' not found", text)
    return f"{line}; {wanted[0]}" if wanted and wanted[0] not in line else line


class _Lazy(types.ModuleType):
    """Stands for a module until one of its functions is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "disallow_in_graph":
            # what torchcodec says of its operators to the compiler, and changes nothing of them
            return lambda function: function

        def call(*arguments: Any, **named: Any) -> Any:
            for stand_in in _STAND_INS:
                sys.modules.pop(stand_in, None)
            return getattr(importlib.import_module(self.__name__), name)(*arguments, **named)

        return call


_STAND_INS = ("torch._dynamo", "torch._dynamo.utils")
_COMPILER_NEEDS = ("sympy", "networkx")


def stand_in_for_the_compiler() -> None:
    """Keep torchvision and torchcodec from loading the compiler of torch, which takes longer than all the rest.

    torchvision takes a function of it that is called on a GPU alone, torchcodec one that changes nothing here. Where
    a package is missing that the compiler needs and torch itself does not, nothing is kept from failing.
    """
    if any(importlib.util.find_spec(name) is None for name in _COMPILER_NEEDS):
        return
    for name in _STAND_INS:
        module = _Lazy(name)
        module.__path__ = []
        sys.modules[name] = module


def main(argument: str) -> None:
    """Run the stages of a request."""
    request = json.loads(argument)
    # an abort is an answer here, not something to leave a core file in the user's folder for
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # libraries print while they load; only our own lines may reach the reader of stdout
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    if request.get("lazy"):
        # whoever asks repeats a failure without the stand-in
        stand_in_for_the_compiler()
    # whoever started this ends it at the limit; without them it must not hang for ever
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for stage in request["stages"]:
        signal.alarm(int(request["limit_s"]) + 5)
        lines.write(json.dumps({"begin": stage}) + "\n")
        started = time.monotonic()
        end: Data = {"end": stage, "status": "ok", "error": "", "data": {}}
        try:
            end["data"] = work(stage, request["folder"])
        except Absent as error:
            end.update(status="absent", error=str(error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # a package may also leave by SystemExit
            end.update(status="error", error=describe(error))
        end["seconds"] = round(time.monotonic() - started, 3)
        lines.write(json.dumps(end) + "\n")
    lines.flush()
    # some libraries crash while they unload; all that was asked is said by now
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
