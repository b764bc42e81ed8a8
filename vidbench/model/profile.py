"""`vidbench model profile`: what a network costs: parameters, multiply-adds, memory, clips per second."""

from __future__ import annotations

import copy
import logging
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vidbench.errors import InputError
from vidbench.model.classifier import Classifier
from vidbench.model.detection import ActionDetector, LoadedDetector, load_detector
from vidbench.model.device import resolve_device
from vidbench.model.layout import fast_layout, training_layout
from vidbench.model.resolve import LoadedModel, load_model
from vidbench.model.scoring import autocast
from vidbench.model.zoo import MODELS
from vidbench.progress import Reporter, SilentReporter

# in each clip that a detector is measured with; their share of the cost is small
BOXES = 4


class ProfileRequest(BaseModel):
    """What `model profile` is asked.

    Attributes:
        model: Catalogue name, run folder or file.
        batch: Clips per forward pass.
        layout: "fast" (channels-last, folded normalisation) or "reference".
        precision: "fp32", or "bf16" or "fp16" by autocast, as in `model eval`.
        budget_s: Seconds that each of the two timings may take, about; one slow pass is finished.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    device: str = "auto"
    batch: int = Field(1, ge=1)
    layout: Literal["fast", "reference"] = "fast"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
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
        input_shape: `(N, 3, T, H, W)`, with the crop of one centre view; of a detector, a square frame of its short
            side.
        boxes: In each clip, of a detector; 0 for a classifier.
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
        backward_layout: Of the training pass: as asked, but "reference" for bf16 and fp16, for which the fast layout
            has no backward pass.
        precision: As asked.
        memory: What `peak_bytes` is: "process", the largest resident set of this process so far, Python and torch
            with it; "allocated", the most that torch had allocated on the device; "unknown".
        forward: The inference pass.
        forward_backward: A training pass: forward, cross-entropy (of each class by itself where there may be
            several), backward; no optimizer.
    """

    model: str
    architecture: str
    weights: str
    input_shape: tuple[int, ...]
    boxes: int
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
        InputError: A run folder or file that holds no model, or a detector of persons.
        MissingError: The device is not there.
    """
    reporter = reporter or SilentReporter()
    device = resolve_device(request.device)
    model = _load(request.model, device)
    network, size = _network(model), _network(model).preprocess
    shape = (request.batch, 3, size.frames, size.crop, size.crop)
    clips = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    inputs = _inputs(network, clips)
    with reporter.task("Profiling", total=3, unit="steps") as task:
        forward = _forward(network, inputs, request)
        task.advance(note="forward")
        backward = _forward_backward(network, inputs, request)
        task.advance(note="backward")
        macs, modules, uncounted = count_macs(model)
        task.advance(note="multiply-adds")
    tensors = [*network.net.parameters(), *network.net.buffers()]
    return ProfileResult(
        model=model.reference,
        architecture=model.architecture,
        weights=model.weights,
        input_shape=shape,
        boxes=BOXES if isinstance(network, ActionDetector) else 0,
        num_classes=network.num_classes,
        parameters=_parameters(network.net),
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


def _load(name: str, device: torch.device) -> LoadedModel | LoadedDetector:
    task = MODELS.get(name).task if name in MODELS else "classify"
    if task == "persons":
        raise InputError(
            f"{name} finds persons in images of any size: its cost depends on what is in them",
            "profile measures classifiers of clips and action detectors.",
        )
    if task == "detect":
        return load_detector(name, weights="random", device=device)
    return load_model(name, weights="random" if name in MODELS else "pretrained", device=device)


def _network(model: LoadedModel | LoadedDetector) -> Classifier | ActionDetector:
    return model.detector if isinstance(model, LoadedDetector) else model.classifier


def _inputs(network: Classifier | ActionDetector, clips: Tensor) -> tuple[Tensor, ...]:
    """The clips, and for a detector `BOXES` boxes in each: upright rectangles side by side, as persons are."""
    if not isinstance(network, ActionDetector):
        return (clips,)
    height, width = clips.shape[3:]
    left = torch.arange(BOXES) * width / BOXES
    box = torch.stack([left, torch.full((BOXES,), height / 8), left + width / BOXES, torch.full((BOXES,), height)], 1)
    owner = torch.arange(len(clips)).repeat_interleave(BOXES).float()
    return clips, torch.cat([owner[:, None], box.repeat(len(clips), 1)], 1).to(clips.device)


def count_macs(
    model: LoadedModel | LoadedDetector, side: int | None = None
) -> tuple[int, tuple[ModuleCost, ...], dict[str, int]]:
    """Multiply-adds of one clip by fvcore: in all, by part of the network, and the operators it could not count.

    Counted on the network as it was built, whatever the layout; normalisation of the input is not part of it.

    Args:
        model: A classifier, or a detector, which gets `BOXES` boxes.
        side: Pixels of the square clip; the crop of one centre view where None.
    """
    from fvcore.nn import FlopCountAnalysis

    classifier, size = _network(model), _network(model).preprocess
    clip = torch.zeros(1, 3, size.frames, side or size.crop, side or size.crop, device=classifier.device)
    # fvcore tells of jit's traces and of its own doubts by logging; what it could not count is in the result
    for name in ("fvcore.nn.jit_analysis", "fvcore.nn.jit_handles"):
        logging.getLogger(name).setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(classifier.net, _inputs(classifier, clip))
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
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


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply-adds of `scaled_dot_product_attention`, for which fvcore has no rule.

    Its two matrix products, queries by keys and weights by values, for every head of every item: L x S x E + L x S x V
    with L queries of E numbers, S keys, values of V numbers; softmax and scale are not counted, as fvcore counts none
    elsewhere. `torch.utils.flop_counter.sdpa_flop_count` counts the same, twice: each multiply-add as two operations.
    """
    query, key, value = (one.type().sizes() for one in inputs[:3])
    return int(prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


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


def _forward(classifier: Classifier | ActionDetector, inputs: tuple[Tensor, ...], request: ProfileRequest) -> Timing:
    network = fast_layout(classifier) if request.layout == "fast" else classifier

    def run() -> None:
        with torch.inference_mode(), autocast(inputs[0].device, request.precision):
            network(*inputs)

    return _timed(run, inputs[0], request.budget_s)


def _forward_backward(
    classifier: Classifier | ActionDetector, inputs: tuple[Tensor, ...], request: ProfileRequest
) -> Timing:
    network = copy.deepcopy(classifier).requires_grad_(True)
    if _backward_layout(request) == "fast":
        network = training_layout(network)
    network.train()
    several = isinstance(network, ActionDetector) or network.several

    def run() -> None:
        network.zero_grad(set_to_none=True)
        with autocast(inputs[0].device, request.precision):
            logits = network(*inputs).float()
        if several:
            loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
        else:
            loss = nn.functional.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
        loss.backward()  # type: ignore[no-untyped-call]

    return _timed(run, inputs[0], request.budget_s)


def _backward_layout(request: ProfileRequest) -> str:
    # the fast layout's own depthwise gradient wants one precision throughout, which autocast does not give it
    return request.layout if request.precision == "fp32" else "reference"


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
