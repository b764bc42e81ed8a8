"""Grad-CAM: where in a clip the evidence for a class lies, and its heat laid over the frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vidbench.errors import UsageError
from vidbench.model.classifier import Classifier

Grid = tuple[int, int, int]
# classes of networks whose features have the channels as their last axis
_CHANNELS_LAST = frozenset({"SwinTransformer3d", "SwinTransformer"})

# nine steps from black over red to pale yellow, lightness rising evenly: anchors of the map "inferno" (CC0)
_COLOURS = np.array(
    [
        (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
        (249, 201, 50), (252, 255, 164),
    ],
    dtype=np.float64,
)  # fmt: skip
_STRONGEST = 0.75


@dataclass(frozen=True)
class HeatMaps:
    """Grad-CAM of a batch of clips.

    Attributes:
        names: What each map is of: the module, or "slow" and "fast" for two pathways.
        raw: Per name `(N, t, h, w)`, the ReLU of the weighted activations, as they come.
        maps: Per name `(N, T, H, W)` in [0, 1]: `raw` at the clip's size, divided by the clip's largest value; a
            map without positive evidence stays zero.
        combined: `(N, T, H, W)` in [0, 1]: of one map, that map; of several, their evidence added up.
    """

    names: tuple[str, ...]
    raw: tuple[Tensor, ...]
    maps: tuple[Tensor, ...]
    combined: Tensor


def gradcam(
    classifier: Classifier, clips: Tensor, targets: Sequence[int] | Tensor, layers: Sequence[str] | None = None
) -> HeatMaps:
    """Where in the clips the evidence for the target classes lies.

    The weight of a channel is the mean over positions of the gradient of the class logit, taken before softmax, with
    respect to the channel's activations; the map is the ReLU of the weighted sum of the channels (Selvaraju 2017,
    arXiv:1610.02391, eq. 1 and 2, with time as a third axis). Of a head that gives logits at several positions, the
    logit is their mean. Where maps of several layers or pathways are combined, each counts as much as the logit
    depends on it: weighted sums times their number of positions, brought to the clip's size, are added and then
    cut at zero. For a linear head on pooled features that sum's mean over the clip is the logit less its bias.

    Of transformers the class token is dropped and the others are put on their grid.

    Args:
        classifier: In evaluation mode. Its parameters are left as they are, gradients and `requires_grad` included.
        clips: `(N, 3, T, H, W)` in [0, 1].
        targets: N classes.
        layers: Names of modules inside `classifier.net` whose output is looked at; None for `cam_layers`.

    Raises:
        UsageError: No such layer, or one whose output does not lie on a grid or does not reach the logit.
    """
    if classifier.training:
        raise ValueError("Grad-CAM wants a classifier in evaluation mode")
    names = cam_layers(classifier, layers)
    with torch.inference_mode(False), torch.enable_grad(), _frozen(classifier):
        # a copy: what was made in inference mode may not take part in a graph
        clips = clips.detach().clone().to(classifier.device)
        chosen = torch.as_tensor(targets, device=clips.device).long().clone()
        if chosen.shape != clips.shape[:1]:
            raise ValueError(f"{len(clips)} clips, but {tuple(chosen.shape) = }")
        if ((chosen < 0) | (chosen >= classifier.num_classes)).any():
            raise ValueError(f"a target outside 0 to {classifier.num_classes - 1}: {chosen.tolist()}")
        watch = _Watch(classifier.net, names)
        with watch:
            classifier(clips)
        logits = watch.logits.flatten(2).mean(2) if watch.logits.ndim > 2 else watch.logits
        score = logits.gather(1, chosen[:, None]).sum()
        signed = watch.weighted(score, len(clips))
    size = (clips.shape[2], clips.shape[3], clips.shape[4])
    raw = tuple(functional.relu(one) for one in signed.values())
    maps = tuple(_normalised(_resized(one, size)) for one in raw)
    if len(maps) == 1:
        return HeatMaps(tuple(signed), raw, maps, maps[0])
    evidence = torch.stack([_resized(one, size) * one[0].numel() for one in signed.values()]).sum(0)
    return HeatMaps(tuple(signed), raw, maps, _normalised(functional.relu(evidence)))


def cam_layers(classifier: Classifier, layers: Sequence[str] | None = None) -> tuple[str, ...]:
    """The modules of `classifier.net` that Grad-CAM looks at; cheap, so that a request can be refused early.

    Chosen by the network's build: the last stage of convolutions before the head, both pathways of it; of
    transformers of one token list the normalised input of the last block, behind which no token but the class token
    reaches the logit; of Swin networks the normalised tokens before pooling; of others the last convolution.

    Raises:
        UsageError: No such layer, or none can be chosen.
    """
    net = classifier.net
    known = dict(net.named_modules())
    if layers is not None:
        missing = [name for name in layers if name not in known or not name]
        if missing or not layers:
            raise UsageError(
                f"Grad-CAM: the network has no layer {missing[0]!r}" if missing else "Grad-CAM: no layer is named",
                f"Name a module as torch does, such as {', '.join(list(dict(net.named_modules()))[1:4])}.",
            )
        return tuple(layers)
    # wrappers hold the network proper under a name of their own
    for prefix, module in known.items():
        if prefix.count(".") > 1:
            continue
        found = _stage(module)
        if found:
            return (f"{prefix}.{found}" if prefix else found,)
    convolutions = [name for name, module in known.items() if isinstance(module, nn.Conv3d | nn.Conv2d)]
    if not convolutions:
        raise UsageError(
            f"Grad-CAM cannot choose a layer of a {type(net).__name__}: it has no convolution",
            "Name the layers to look at.",
        )
    return (convolutions[-1],)


def _stage(net: nn.Module) -> str:
    """The name inside `net` of its last stage, empty where its build is not known."""
    parts = dict(net.named_children())
    blocks = parts.get("blocks")
    if isinstance(blocks, nn.ModuleList | nn.Sequential) and len(blocks) > 1:
        last = len(blocks) - 1
        if hasattr(blocks[last], "attn") and hasattr(blocks[last], "norm1"):
            return f"blocks.{last}.norm1"
        if len(parts) == 1:
            # pytorchvideo's: the last block is the head, and before it there may be one that only pools
            return next((f"blocks.{index}" for index in range(last - 1, -1, -1) if _convolves(blocks[index])), "")
    if type(net).__name__ in _CHANNELS_LAST:
        return "norm"
    if type(net).__name__ == "EfficientX3d":
        return "s5"
    # residual networks, ConvNeXt, and S3D and DenseNet
    return next((name for name in ("layer4", "stages", "features") if name in parts and _convolves(parts[name])), "")


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(one, nn.Conv3d | nn.Conv2d) for one in module.modules())


@contextmanager
def _frozen(classifier: Classifier) -> Iterator[None]:
    """No parameter asks for a gradient meanwhile: the graph starts at the layers, and the rest takes no memory."""
    wanting = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    try:
        for parameter in wanting:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in wanting:
            parameter.requires_grad_(True)


@dataclass
class _Seen:
    """An activation, whose module gave it, and the grid that its tokens lie on where the network said so."""

    name: str
    values: Tensor
    channels_last: bool
    grid: Grid | None


class _Watch(ExitStack):
    """Watches one pass through a network: activations of the layers, the logits, sizes of grids."""

    def __init__(self, net: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.net = net
        self.names = names
        self.seen: list[_Seen] = []
        self.grids: list[tuple[int, ...]] = []
        self.said: dict[str, Grid] = {}
        self.logits = torch.empty(0)

    def __enter__(self) -> _Watch:
        super().__enter__()
        self._hold(self.net.register_forward_hook(self._keep_logits))
        for module in self.net.modules():
            if isinstance(module, nn.Conv3d | nn.Conv2d):
                self._hold(module.register_forward_hook(self._keep_grid))
        for name in self.names:
            for above in _ancestors(name):
                self._hold(self.net.get_submodule(above).register_forward_pre_hook(self._listen(name)))
            self._hold(self.net.get_submodule(name).register_forward_hook(self._take(name)))
        return self

    def _hold(self, handle: Any) -> None:
        self.callback(handle.remove)

    def _keep_logits(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.logits = output

    def _keep_grid(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.grids.append(tuple(output.shape[2:]))

    def _listen(self, name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            grid = next((found for found in map(_grid_of, args) if found), None)
            if grid:
                self.said[name] = grid

        return hook

    def _take(self, name: str) -> Any:
        last = any(type(self.net.get_submodule(one)).__name__ in _CHANNELS_LAST for one in ["", *_ancestors(name)])

        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            parts = list(output) if isinstance(output, list | tuple) else [output]
            grid = next((found for found in map(_grid_of, parts) if found), self.said.get(name))
            tensors = [index for index, part in enumerate(parts) if isinstance(part, Tensor)]
            for order, index in enumerate(tensors):
                values = parts[index]
                # behind an earlier one of the layers the graph goes on; else it starts here
                values = values if values.requires_grad else values.detach().requires_grad_()
                label = name if len(tensors) == 1 else f"{name}[{order}]"
                label = ("slow", "fast")[order] if len(tensors) == 2 and len(self.names) == 1 else label
                channels_last = isinstance(module, nn.LayerNorm) or (last and not isinstance(module, nn.Conv3d))
                self.seen.append(_Seen(label, values, channels_last, grid))
                # a copy goes on, as what follows may overwrite it
                parts[index] = values.clone()
            return type(output)(parts) if isinstance(output, list | tuple) else parts[0]

        return hook

    def weighted(self, score: Tensor, clips: int) -> dict[str, Tensor]:
        """Per activation `(N, t, h, w)`: its channels weighted by their mean gradient and added up; signed."""
        if not self.seen:
            raise UsageError(f"Grad-CAM: {', '.join(self.names)} took no part in the network's answer")
        unreached = UsageError(
            "Grad-CAM: the class score does not depend on what that layer gives",
            "Name an earlier layer; in a transformer with a class token, a part of the last block's input.",
        )
        if not score.requires_grad:
            raise unreached
        gradients = torch.autograd.grad(score, [one.values for one in self.seen], allow_unused=True)
        found: dict[str, Tensor] = {}
        for one, gradient in zip(self.seen, gradients, strict=True):
            if gradient is None:
                raise unreached
            values, slopes = (self._on_grid(one, tensor.detach().float(), clips) for tensor in (one.values, gradient))
            if one.values.ndim == 3 and not slopes.any():
                raise unreached
            name = one.name if one.name not in found else f"{one.name} ({len(found)})"
            found[name] = (values * slopes.mean((2, 3, 4), keepdim=True)).sum(1)
        return found

    def _on_grid(self, one: _Seen, tensor: Tensor, clips: int) -> Tensor:
        """`(N, C, t, h, w)` of an activation in any of the layouts that networks use."""
        if tensor.ndim == 5 and len(tensor) == clips:
            return tensor.permute(0, 4, 1, 2, 3) if one.channels_last else tensor
        frames, left = divmod(len(tensor), clips)
        if tensor.ndim == 4 and not left:
            # one picture after the other: frames of a clip stand together
            pictures = tensor.permute(0, 3, 1, 2) if one.channels_last else tensor
            return _per_clip(pictures, clips)
        if tensor.ndim == 3 and not left:
            grid = self._token_grid(one, tensor.shape[1], frames)
            if grid:
                cells = tensor[:, -math.prod(grid) :].transpose(1, 2)
                cells = cells.reshape(*cells.shape[:2], *grid)
                return cells if len(grid) == 3 else _per_clip(cells, clips)
        raise UsageError(
            f"Grad-CAM: the output of {one.name}, {tuple(tensor.shape)} for {clips} clips, lies on no grid of time,"
            " height and width",
            "Name another layer.",
        )

    def _token_grid(self, one: _Seen, tokens: int, frames: int) -> tuple[int, ...] | None:
        """The grid of the tokens, the first maybe a class token: as told, else as some convolution gave it.

        Of a clip `(t, h, w)`; of frames by themselves, of which there are `frames`, `(h, w)`.
        """
        grids: list[tuple[int, ...]] = [one.grid] if one.grid else []
        grids += reversed(self.grids)
        fitting = (grid for grid in grids if len(grid) == 2 or frames == 1)
        return next((grid for grid in fitting if math.prod(grid) in (tokens, tokens - 1)), None)


def _per_clip(pictures: Tensor, clips: int) -> Tensor:
    """`(N * T, C, h, w)` to `(N, C, T, h, w)`."""
    return pictures.reshape(clips, -1, *pictures.shape[1:]).transpose(1, 2)


def _ancestors(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _grid_of(value: Any) -> Grid | None:
    """Three whole numbers, as transformers' blocks hand on the size of their grid."""
    if isinstance(value, list | tuple | torch.Size) and len(value) == 3 and all(type(one) is int for one in value):
        return (value[0], value[1], value[2])
    return None


def _resized(maps: Tensor, size: Grid) -> Tensor:
    return functional.interpolate(maps[:, None], size=size, mode="trilinear", align_corners=False)[:, 0]


def _normalised(maps: Tensor) -> Tensor:
    largest = maps.amax((1, 2, 3), keepdim=True)
    return torch.where(largest > 0, maps / largest.clamp_min(torch.finfo(maps.dtype).tiny), 0.0).clamp(0, 1)


def heat_colours(heat: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """`(..., 3)` RGB of values in [0, 1]: black, purple, red, orange, pale yellow, with lightness rising evenly."""
    at = np.clip(heat, 0, 1) * (len(_COLOURS) - 1)
    below = np.minimum(at.astype(int), len(_COLOURS) - 2)
    part = (at - below)[..., None]
    return np.asarray(np.rint(_COLOURS[below] * (1 - part) + _COLOURS[below + 1] * part), dtype=np.uint8)


def overlay_heat(frame: NDArray[np.uint8], heat: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Heat over a frame, which turns grey so that all colour is heat; where there is none, the grey frame stays.

    Args:
        frame: `(..., H, W, 3)` RGB in [0, 255].
        heat: `(..., H, W)` in [0, 1].
    """
    if frame.shape[:-1] != heat.shape or frame.shape[-1] != 3:
        raise ValueError(f"{frame.shape = } and {heat.shape = } do not fit")
    # luma of Rec. 601
    grey = (frame.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))[..., None]
    share = _STRONGEST * np.clip(heat, 0, 1)[..., None]
    return np.asarray(np.rint(grey * (1 - share) + heat_colours(heat) * share), dtype=np.uint8)
