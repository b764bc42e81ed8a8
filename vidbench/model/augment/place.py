"""What stands where in the frames of a clip: flips, turns, parts moved, covered, cut out or bent."""

from __future__ import annotations

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from vidbench.model.augment.draws import chance, field, pixels, uniform, whole
from vidbench.model.augment.frames import turned
from vidbench.model.augment.kernels import looked_up, resized
from vidbench.model.augment.operations import (
    BlockShuffle,
    Elastic,
    Extend,
    HorizontalFlip,
    LocalShuffle,
    Mosaic,
    RandomCut,
    RandomPadding,
    Rotate,
    VerticalFlip,
)

# by severity, as shares of the short side: size and sigma of the displacement, size of the affine change
_ELASTIC = ((2.0, 0.7, 0.1), (2.0, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))


def mosaic(clip: Tensor, given: Mosaic, generator: torch.Generator) -> Tensor:
    """The square keeps twice its side from the edges where the frame allows it."""
    height, width = clip.shape[2:]
    side = min(max(1, round(pixels(whole(generator, *given.side), clip))), height, width)
    margin = min(2 * side, (height - side) // 2, (width - side) // 2)
    top = whole(generator, margin, height - side - margin)
    left = whole(generator, margin, width - side - margin)
    if chance(generator, given.noise):
        filling = field(generator, 3, 1, side, side)
    else:
        filling = torch.tensor((0.0, 1.0, 127 / 255))[whole(generator, 0, 2)].view(1, 1, 1, 1)
    changed = clip.clone()
    changed[..., top : top + side, left : left + side] = filling
    return changed


def rotate(clip: Tensor, given: Rotate, generator: torch.Generator) -> Tensor:
    """About the middle, by the nearest pixel, as the original."""
    degrees = uniform(generator, -given.degrees, given.degrees)
    return turned(clip, degrees, smooth=False, fill=0.0)


def horizontal_flip(clip: Tensor, given: HorizontalFlip, generator: torch.Generator) -> Tensor:
    """Mirrored; nothing is drawn."""
    return clip.flip(3)


def vertical_flip(clip: Tensor, given: VerticalFlip, generator: torch.Generator) -> Tensor:
    """Upside down; nothing is drawn."""
    return clip.flip(2)


def extend(clip: Tensor, given: Extend, generator: torch.Generator) -> Tensor:
    """Pixels taken from beyond the edge are those of the edge."""
    reach = max(1, round(pixels(whole(generator, *given.reach), clip)))
    height, width = clip.shape[2:]
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    moves = torch.randint(0, reach, (2, height, width), generator=generator)
    return clip[..., (down + moves[0]).clamp_(max=height - 1), (across + moves[1]).clamp_(max=width - 1)]


def block_shuffle(clip: Tensor, given: BlockShuffle, generator: torch.Generator) -> Tensor:
    """Cut across or upright, equally often."""
    axis = whole(generator, 2, 3)
    split = int(uniform(generator, *given.split) * clip.shape[axis])
    return clip.roll(-split, axis)


def local_shuffle(clip: Tensor, given: LocalShuffle, generator: torch.Generator) -> Tensor:
    """Tiles laid from the top left, in a random order."""
    height, width = clip.shape[2:]
    side = min(max(1, round(pixels(whole(generator, *given.side), clip))), height, width)
    places = [(top, left) for top in _tiles(height, side) for left in _tiles(width, side)]
    order = torch.randperm(len(places), generator=generator).tolist()
    changed = clip.clone()
    for (top, left), source in zip(places, order, strict=True):
        there, beside = places[source]
        changed[..., top : top + side, left : left + side] = clip[..., there : there + side, beside : beside + side]
    return changed


def _tiles(length: int, side: int) -> list[int]:
    starts = list(range(0, length - side + 1, side))
    return starts if starts[-1] == length - side else [*starts, length - side]


def random_padding(clip: Tensor, given: RandomPadding, generator: torch.Generator) -> Tensor:
    """Smaller, at a uniform place."""
    height, width = clip.shape[2:]
    scale = uniform(generator, *given.scale)
    high, wide = max(1, int(height * scale)), max(1, int(width * scale))
    if chance(generator, 0.5):
        canvas = torch.full_like(clip, uniform(generator, 0.0, 1.0))
    else:
        canvas = field(generator, 3, 1, height, width).expand_as(clip).contiguous()
    top, left = whole(generator, 0, height - high), whole(generator, 0, width - wide)
    canvas[..., top : top + high, left : left + wide] = resized(clip, high, wide)
    return canvas.clamp_(0, 1)


def random_cut(clip: Tensor, given: RandomCut, generator: torch.Generator) -> Tensor:
    """A part at a uniform place, of the frame's aspect ratio."""
    height, width = clip.shape[2:]
    scale = uniform(generator, *given.scale)
    high, wide = max(1, int(height * scale)), max(1, int(width * scale))
    top, left = whole(generator, 0, height - high), whole(generator, 0, width - wide)
    return resized(clip[..., top : top + high, left : left + wide], height, width).clamp_(0, 1)


def elastic(clip: Tensor, given: Elastic, generator: torch.Generator) -> Tensor:
    """Three points of the middle moved at random, and all points by smoothed noise; mirrored at the edges."""
    height, width = clip.shape[2:]
    side = min(height, width)
    size, sigma, affine = (side * share for share in _ELASTIC[whole(generator, *given.severity) - 1])
    noise = torch.stack([
        torch.from_numpy(
            gaussian_filter((2 * field(generator, height, width) - 1).numpy(), sigma, mode="reflect", truncate=3)
        )
        for _ in range(2)
    ])  # fmt: skip
    third = side // 3
    offsets = torch.tensor(((third, third), (third, -third), (-third, third)), dtype=torch.float32)
    points = torch.tensor(((width - 1) / 2, (height - 1) / 2)) + offsets
    moved = points + affine * (2 * field(generator, 3, 2) - 1)
    ones = torch.ones(3, 1)
    # where a point of the new frame comes from: the inverse of points -> moved
    matrix = torch.linalg.lstsq(torch.cat((moved, ones), 1), points).solution
    down, across = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    x = across * matrix[0, 0] + down * matrix[1, 0] + matrix[2, 0]
    y = across * matrix[0, 1] + down * matrix[1, 1] + matrix[2, 1]
    return looked_up(clip, x + size * noise[0], y + size * noise[1]).clamp_(0, 1)
