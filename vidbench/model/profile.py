"""`vidbench model profile`: what a network costs: parameters, multiply-adds, memory, clips per second."""

from __future__ import annotations

import copy
import logging
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vidbench.model.classifier import Classifier
from vidbench.model.device import resolve_device
from vidbench.model.layout import fast_layout, training_layout
from vidbench.model.resolve import LoadedModel, load_model
from vidbench.model.zoo import MODELS
from vidbench.progress import Reporter, SilentReporter


class ProfileRequest(BaseModel):
    """What `model profile` is asked.

    Attributes:
        model: Catalogue name, run folder or file.
        batch: Clips per forward pass.
        layout: "fast" (channels-last, folded normalisation) or "reference".
        precision: "fp32", or "bf16" by autocast.
        budget_s: Seconds that each of the two timings may take, about; one slow pass is finished.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    device: str = "auto"
    batch: int = Field(1, ge=1)
    layout: Literal["fast", "reference"] = "fast"
    precision: Literal["fp32", "bf16"] = "fp32"
    budget_s: float = Field(5.0, gt=0, allow_inf_nan=False)


@dataclass(frozen=True)
class ModuleCost:
    """A part of the network.

    Attributes:
        name: Its name in the network.
        kind: Its class.
        parameters: Numbers that are learnt.
        macs: Multiply-adds of one clip.
    """

    name: str
    kind: str
    parameters: int
    macs: int


@dataclass(frozen=True)
class Timing:
    """How long a pass takes.

    Attributes:
        passes: How many were timed, after `warm_up`.
        warm_up: Passes before these.
        median_s: Seconds of a pass of one batch.
        clips_per_s: Batch over median.
        peak_bytes: The most memory during the passes; see `ProfileResult.memory`. None where it cannot be told.
    """

    passes: int
    warm_up: int
    median_s: float
    clips_per_s: float
    peak_bytes: int | None


@dataclass(frozen=True)
class ProfileResult:
    """What a network costs on this device.

    Attributes:
        model: As typed.
        architecture: The catalogue name of the network.
        weights: What it was measured with; random for catalogue models, since the cost is the same.
        input_shape: `(N, 3, T, H, W)`, with the crop of one centre view.
        num_classes: Outputs.
        parameters: Numbers that are learnt.
        weights_bytes: Of parameters and buffers, as they are kept in a file.
        macs: Multiply-adds of one clip, as fvcore counts them. Papers and model zoos call this number FLOPs; an
            operation count with multiplication and addition apart is about twice as much.
        uncounted: Operators that fvcore has no rule for, and how often they are called in one forward pass.
        modules: The parts of the network; they add up to `parameters` and `macs`.
        device: The device's name.
        threads: Threads of a CPU; None elsewhere.
        layout: Of the forward pass, as asked.
        backward_layout: Of the training pass: as asked, but "reference" for bf16, for which the fast layout has no
            backward pass.
        precision: As asked.
        memory: What `peak_bytes` is: "process", the largest resident set of this process so far, Python and torch
            with it; "allocated", the most that torch had allocated on the device; "unknown".
        forward: The inference pass.
        forward_backward: A training pass: forward, cross-entropy, backward; no optimizer.
    """

    model: str
    architecture: str
    weights: str
    input_shape: tuple[int, ...]
    num_classes: int
    parameters: int
    weights_bytes: int
    macs: int
    uncounted: dict[str, int]
    modules: tuple[ModuleCost, ...]
    device: str
    threads: int | None
    layout: str
    backward_layout: str
    precision: str
    memory: Literal["process", "allocated", "unknown"]
    forward: Timing
    forward_backward: Timing


def profile(request: ProfileRequest, reporter: Reporter | None = None) -> ProfileResult:
    """Measure what a network costs on a device. Nothing is downloaded: a catalogue model gets random weights.

    The forward pass is measured first and the training pass second, as the peak of a process never falls.

    Raises:
        UnknownNameError: No such model.
        InputError: A run folder or file that holds no model.
        MissingError: The device is not there.
    """
    reporter = reporter or SilentReporter()
    device = resolve_device(request.device)
    model = load_model(request.model, weights="random" if request.model in MODELS else "pretrained", device=device)
    classifier, size = model.classifier, model.classifier.preprocess
    shape = (request.batch, 3, size.frames, size.crop, size.crop)
    clips = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    with reporter.task("Profiling", total=3, unit="steps") as task:
        forward = _forward(classifier, clips, request)
        task.advance(note="forward")
        backward = _forward_backward(classifier, clips, request)
        task.advance(note="backward")
        macs, modules, uncounted = count_macs(model)
        task.advance(note="multiply-adds")
    tensors = [*classifier.net.parameters(), *classifier.net.buffers()]
    return ProfileResult(
        model=model.reference,
        architecture=model.architecture,
        weights=model.weights,
        input_shape=shape,
        num_classes=classifier.num_classes,
        parameters=_parameters(classifier.net),
        weights_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        macs=macs,
        uncounted=uncounted,
        modules=modules,
        device=_device_name(device),
        threads=torch.get_num_threads() if device.type == "cpu" else None,
        layout=request.layout,
        backward_layout=_backward_layout(request),
        precision=request.precision,
        memory=_memory_kind(device),
        forward=forward,
        forward_backward=backward,
    )


def count_macs(model: LoadedModel) -> tuple[int, tuple[ModuleCost, ...], dict[str, int]]:
    """Multiply-adds of one clip by fvcore: in all, by part of the network, and the operators it could not count.

    Counted on the network as it was built, whatever the layout; normalisation of the input is not part of it.
    """
    from fvcore.nn import FlopCountAnalysis

    classifier, size = model.classifier, model.classifier.preprocess
    clip = torch.zeros(1, 3, size.frames, size.crop, size.crop, device=classifier.device)
    # fvcore tells of jit's traces and of its own doubts by logging; what it could not count is in the result
    for name in ("fvcore.nn.jit_analysis", "fvcore.nn.jit_handles"):
        logging.getLogger(name).setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(classifier.net, clip)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with torch.no_grad():
        by_module = analysis.by_module()
    parts = top_modules(classifier.net)
    costs = [ModuleCost(name, kind, _parameters(part), round(by_module[name])) for name, kind, part in parts]
    total = round(analysis.total())
    rest = (_parameters(classifier.net) - sum(one.parameters for one in costs), total - sum(one.macs for one in costs))
    if any(rest):
        # operations and parameters of the network itself, outside its parts
        costs.append(ModuleCost("", type(classifier.net).__name__, *rest))
    return total, tuple(costs), dict(sorted(analysis.unsupported_ops().items()))


def top_modules(net: nn.Module) -> list[tuple[str, str, nn.Module]]:
    """Name, class and module of a network's parts: its children, or those of its only child, and so on."""
    prefix, here = "", net
    children = list(here.named_children())
    while len(children) == 1 and list(children[0][1].children()):
        name, here = children[0]
        prefix += f"{name}."
        children = list(here.named_children())
    return [(prefix + name, type(child).__name__, child) for name, child in children]


def _parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def _forward(classifier: Classifier, clips: Tensor, request: ProfileRequest) -> Timing:
    network = fast_layout(classifier) if request.layout == "fast" else classifier

    def run() -> None:
        with torch.inference_mode(), _precision(request, clips.device):
            network(clips)

    return _timed(run, clips, request.budget_s)


def _forward_backward(classifier: Classifier, clips: Tensor, request: ProfileRequest) -> Timing:
    network = copy.deepcopy(classifier).requires_grad_(True)
    if _backward_layout(request) == "fast":
        network = training_layout(network)
    network.train()
    truth = torch.zeros(len(clips), dtype=torch.long, device=clips.device)

    def run() -> None:
        network.zero_grad(set_to_none=True)
        with _precision(request, clips.device):
            loss = nn.functional.cross_entropy(network(clips).float(), truth)
        loss.backward()  # type: ignore[no-untyped-call]

    return _timed(run, clips, request.budget_s)


def _backward_layout(request: ProfileRequest) -> str:
    # the fast layout's own depthwise gradient wants one precision throughout, which autocast does not give it
    return "reference" if request.precision == "bf16" else request.layout


def _precision(request: ProfileRequest, device: torch.device) -> Any:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=request.precision == "bf16")


def _timed(run: Callable[[], None], clips: Tensor, budget_s: float) -> Timing:
    """Time passes for about so many seconds, a fifth of them to warm up; at least one each, three of quick ones."""
    device = clips.device
    wait = _synchroniser(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def passes(seconds: float, least: int, most: int) -> list[float]:
        taken: list[float] = []
        while len(taken) < most and (len(taken) < least or sum(taken) + taken[-1] <= seconds):
            started = time.perf_counter()
            run()
            wait()
            taken.append(time.perf_counter() - started)
        return taken

    warm_up = passes(budget_s / 5, 1, 20)
    timed = passes(budget_s * 4 / 5, 3 if 3 * warm_up[-1] <= budget_s else 1, 200)
    median = statistics.median(timed)
    return Timing(len(timed), len(warm_up), median, len(clips) / median, _peak_bytes(device))


def _synchroniser(device: torch.device) -> Callable[[], None]:
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if device.type == "mps":
        return torch.mps.synchronize
    return lambda: None


def _memory_kind(device: torch.device) -> Literal["process", "allocated", "unknown"]:
    if device.type == "cuda":
        return "allocated"
    return "process" if device.type == "cpu" and sys.platform != "win32" else "unknown"


def _peak_bytes(device: torch.device) -> int | None:
    kind = _memory_kind(device)
    if kind == "allocated":
        return int(torch.cuda.max_memory_allocated(device))
    if kind == "unknown":
        return None
    import resource

    # Linux tells KiB, macOS bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    return str(device)
