"""The worst misses of an evaluation as film strips, with the heat of Grad-CAM where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from vidbench.data.dataset import NO_LABEL, ClipItem
from vidbench.errors import disk_errors
from vidbench.model.classifier import Classifier
from vidbench.model.gradcam import HeatMaps, gradcam, heat_colours, overlay_heat
from vidbench.records import Json, Records
from vidbench.video.clip import VideoError
from vidbench.video.overlay import load_face
from vidbench.video.strip import film_strip, save_png, strip_frames

FOLDER = "misses"
PRODUCTS = (f"{FOLDER}/*.png",)
"""Patterns of what is written into a run folder, for `RunDir.open`."""
_LEAST_SIDE = 158
_ALONE = 316
_BETWEEN = 2
_GREY = 128
_TOGETHER = "together"
_LETTERS = 15
_MOST_MAPS = 4


class ViewedVideo(Protocol):
    """A decoded video and its views, as `vidbench.model.views.VideoViews` is one."""

    @property
    def places(self) -> Sequence[object]:
        """One for each temporal view."""

    @property
    def boxes(self) -> Sequence[object]:
        """One for each spatial view."""

    def clip(self, view: int) -> Tensor:
        """`(3, T, S, S)` in [0, 1] of view `k * spatial + s`."""


@dataclass(frozen=True)
class Misses:
    """The strips that were written.

    Attributes:
        examples: Worst first: `file`, relative to the run folder, `caption`, `heat` (whether a row of it is),
            `path`, `key`, the names `true` and `predicted`, and their scores `true_score` and `predicted_score`,
            in [0, 1]; of several maps also `maps`, their names from the upper row to the lower one.
        remarks: What was left out, and why.
    """

    examples: tuple[Json, ...]
    remarks: tuple[str, ...]


def worst_misses(items: Sequence[ClipItem], records: Records, count: int) -> list[tuple[ClipItem, Json]]:
    """The wrong predictions by falling margin: the score of the class given less that of the true one.

    Equal margins stand in the order of their keys, so that the choice depends on the records alone. Failed items and
    those without one true class are passed over.

    Returns:
        At most `count` items with their whole records.
    """
    found: list[tuple[float, str, ClipItem]] = []
    for item in items:
        short = records.by_key.get(item.key, {})
        if short.get("status") == "ok" and item.label != NO_LABEL and short["pred"] != item.label:
            scores = records.read(item.key)["scores"]
            found.append((scores[item.label] - scores[short["pred"]], item.key, item))
    found.sort(key=lambda one: one[:2])
    # scores of all classes stay on disk but for these
    return [(item, records.read(key)) for _, key, item in found[:count]]


def write_misses(
    folder: Path,
    items: Sequence[ClipItem],
    records: Records,
    read: Callable[[ClipItem], ViewedVideo],
    names: Sequence[str],
    count: int,
    classifier: Classifier | None = None,
    layers: Sequence[str] | None = None,
) -> Misses:
    """Write a film strip of each of the worst misses, and remove strips of earlier runs that are none any more.

    A strip shows 8 frames, spread evenly, of the middle view, which is the middle crop of the middle clip; below them,
    with a classifier, the same frames under the heat of Grad-CAM for the predicted class. Of two pathways, or several
    layers, that is the heat of all together, and the heat of each stands below by itself, at most 4 of them, without
    the frames, so that the file stays small. Small crops are enlarged.

    Args:
        folder: The run folder; strips are `misses/<key>.png` in it.
        items: The clips of the run.
        records: With `status`, `pred`, and `scores` of all classes, in [0, 1].
        read: Decodes an item once more, as the evaluation did.
        names: Of the classes.
        count: How many at most; a video that cannot be decoded again is left out with a remark, not replaced.
        classifier: In the reference layout and evaluation mode, for Grad-CAM; None for none.
        layers: What Grad-CAM looks at; None chooses by the network.

    Raises:
        UsageError: Grad-CAM cannot be had of this network; `cam_layers` says so before an evaluation.
    """
    examples: list[Json] = []
    remarks: list[str] = []
    with disk_errors(folder / FOLDER):
        for item, record in worst_misses(items, records, count):
            try:
                video = read(item)
            except VideoError as error:
                remarks.append(f"{item.name}: no strip: {error}")
                continue
            clip = middle_clip(video)
            file = Path(FOLDER) / f"{item.key}.png"
            found = None if classifier is None else gradcam(classifier, clip[None], [record["pred"]], layers)
            _draw(folder / file, clip, found)
            examples.append(_example(file, item, record, names, found))
        kept = {Path(example["file"]).name for example in examples}
        for old in (folder / FOLDER).glob("*.png"):
            if old.name not in kept:
                old.unlink()
    return Misses(tuple(examples), tuple(remarks))


def middle_clip(video: ViewedVideo) -> Tensor:
    """`(3, T, S, S)` of the middle crop of the middle clip over time; of an even number the later one."""
    return video.clip(len(video.places) // 2 * len(video.boxes) + len(video.boxes) // 2)


def _draw(path: Path, clip: Tensor, found: HeatMaps | None) -> None:
    chosen = list(strip_frames(clip.shape[1]))
    frames = (clip[:, chosen].permute(1, 2, 3, 0).clamp(0, 1) * 255).round().byte().cpu().numpy()
    rows = [frames]
    said: list[str] = []
    if found is not None:
        rows.append(overlay_heat(frames, _heat(found.combined, chosen)))
        said = _rows_by_themselves(found)
        rows += [heat_colours(_heat(one, chosen)) for one in found.maps[: len(said)]]
    # a single image, of a list of images, has the place of two
    side = _LEAST_SIDE if len(chosen) > 1 else _ALONE
    strip = film_strip(rows, between=_BETWEEN, shade=_GREY, least_side=side)
    save_png(path, _labelled(strip, len(rows), ["", _TOGETHER, *said]) if said else strip)


def _rows_by_themselves(found: HeatMaps) -> list[str]:
    """The names of the maps that are drawn apart; of one map none, as it is drawn already."""
    return list(found.names[:_MOST_MAPS]) if len(found.names) > 1 else []


def _heat(maps: Tensor, chosen: Sequence[int]) -> NDArray[np.float64]:
    return maps[0, list(chosen)].cpu().numpy().astype(np.float64)


def _labelled(strip: Image.Image, rows: int, names: Sequence[str]) -> Image.Image:
    """The names at the left ends of the rows, light on dark whatever lies below."""
    font = load_face().at(_LETTERS)
    draw = ImageDraw.Draw(strip)
    for row, name in enumerate(names):
        if name:
            place = (6, round(row * strip.height / rows) + 6)
            left, top, right, bottom = draw.textbbox(place, name, font=font)
            draw.rectangle((left - 5, top - 4, right + 5, bottom + 4), fill=(20, 23, 26))
            draw.text(place, name, font=font, fill=(255, 255, 255))
    return strip


def _example(file: Path, item: ClipItem, record: Json, names: Sequence[str], found: HeatMaps | None) -> Json:
    true, predicted = names[item.label], names[record["pred"]]
    own, other = float(record["scores"][item.label]), float(record["scores"][record["pred"]])
    caption = f"{item.name}: {true} ({_share(own)}) taken for {predicted} ({_share(other)})"
    if found is not None and not found.combined.any():
        caption += f"; no evidence for {predicted} in this view"
    example: Json = {
        "file": file.as_posix(),
        "caption": caption,
        "heat": found is not None,
        "path": item.name,
        "key": item.key,
        "true": true,
        "predicted": predicted,
        "true_score": own,
        "predicted_score": other,
    }
    if found is not None and (apart := _rows_by_themselves(found)):
        example["maps"] = apart
    return example


def _share(score: float) -> str:
    return f"{score:.1%}"
