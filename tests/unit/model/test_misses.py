"""The worst misses are those with the largest margins, each a strip of what the network saw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vidbench.data.dataset import ClipItem
from vidbench.errors import UsageError
from vidbench.model.classifier import Classifier
from vidbench.model.misses import middle_clip, worst_misses, write_misses
from vidbench.model.zoo import Preprocess
from vidbench.records import Records
from vidbench.video.clip import VideoError

NAMES = ("red", "green", "blue")
PLAIN = Preprocess(8, 1, 16, 16, 16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Painted:
    """A video of 3 x 3 views, of which the middle one alone is red in its upper half."""

    places, boxes = (0, 1, 2), (0, 1, 2)

    def clip(self, view: int) -> Tensor:
        clip = torch.full((3, 8, 16, 16), 0.2)
        if view == 4:
            clip[0, :, :8] = 1.0
        return clip


def item(key: str, label: int) -> ClipItem:
    return ClipItem(f"{key}.mp4", Path(f"/{key}.mp4"), label, 1, key)


def stored(folder: Path, *rows: tuple[str, int, list[float]]) -> tuple[list[ClipItem], Records]:
    """Items and their records, with the scores on disk as an evaluation has them."""
    records = Records(folder / "clips.jsonl", ["scores"])
    for key, label, scores in rows:
        best = max(range(3), key=scores.__getitem__)
        records.append({"key": key, "label": label, "status": "ok", "pred": best, "scores": scores})
    return [item(key, label) for key, label, _ in rows], records


def channel_means() -> Classifier:
    net = nn.Sequential(nn.Conv3d(3, 3, 1, bias=False), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(3)[:, :, None, None, None])
    return Classifier(net, PLAIN, 3).eval()


def two_pathways() -> Classifier:
    """Two pathways, as a SlowFast network's last stage gives them: one sees red, one sees blue."""

    class Pathways(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slow, self.fast = (nn.Conv3d(3, 3, 1, bias=False) for _ in range(2))

        def forward(self, clips: Tensor) -> list[Tensor]:
            return [self.slow(clips), self.fast(clips)]

    class Sum(nn.Module):
        def forward(self, parts: list[Tensor]) -> Tensor:
            return sum((part.mean((2, 3, 4)) for part in parts), torch.zeros(()))

    stage = Pathways()
    with torch.no_grad():
        for part, channel in ((stage.slow, 0), (stage.fast, 2)):
            part.weight.zero_()
            part.weight[0, channel] = 1.0
    net = nn.Sequential()
    net.add_module("layer4", stage)
    net.add_module("head", Sum())
    return Classifier(net, PLAIN, 3).eval()


def test_the_order_is_that_of_the_margins(tmp_path: Path) -> None:
    items, records = stored(
        tmp_path,
        ("b", 0, [0.2, 0.5, 0.3]),
        ("right", 1, [0.0, 1.0, 0.0]),
        ("worst", 2, [0.9, 0.1, 0.0]),
        ("a", 1, [0.5, 0.2, 0.3]),
    )
    records.append({"key": "lost", "label": 0, "status": "failed", "reason": "no such file"})
    items = [*items, item("lost", 0), item("never", 1)]
    for order in (items, items[::-1]):
        assert [one.key for one, _ in worst_misses(order, records, 9)] == ["worst", "a", "b"]
    assert [record["scores"][0] for _, record in worst_misses(items, records, 1)] == [0.9]


def test_items_of_several_labels_have_no_one_miss(tmp_path: Path) -> None:
    _, records = stored(tmp_path, ("a", -1, [0.9, 0.1, 0.0]))
    assert worst_misses([item("a", -1)], records, 5) == []


def test_a_strip_shows_the_middle_view_and_its_caption_the_scores(tmp_path: Path) -> None:
    items, records = stored(tmp_path, ("k", 1, [0.625, 0.25, 0.125]))
    found = write_misses(tmp_path, items, records, lambda _: Painted(), NAMES, 3)
    assert found.remarks == ()
    assert found.examples == (
        {
            "file": "misses/k.png",
            "caption": "k.mp4: green (25.0%) taken for red (62.5%)",
            "heat": False,
            "path": "k.mp4",
            "key": "k",
            "true": "green",
            "predicted": "red",
            "true_score": 0.25,
            "predicted_score": 0.625,
        },
    )
    with Image.open(tmp_path / "misses/k.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == (158, 8 * 160 - 2, 3)
    assert pixels[20, 20].tolist() == [255, 51, 51]
    assert pixels[140, 20].tolist() == [51, 51, 51]
    assert torch.equal(middle_clip(Painted()), Painted().clip(4))


def test_heat_lies_below_and_where_the_evidence_is(tmp_path: Path) -> None:
    items, records = stored(tmp_path, ("k", 1, [0.6, 0.3, 0.1]))
    classifier = channel_means()
    found = write_misses(tmp_path, items, records, lambda _: Painted(), NAMES, 3, classifier)
    assert found.examples[0]["heat"] is True
    with Image.open(tmp_path / "misses/k.png") as image:
        pixels = np.asarray(image).astype(int)
    assert pixels.shape == (2 * 158 + 4, 8 * 160 - 2, 3)
    assert pixels[20, 20].tolist() == [255, 51, 51]
    hot, cold = pixels[162 + 20, 20], pixels[162 + 140, 20]
    assert hot[0] - hot[2] > 50
    assert hot.sum() > 2 * cold.sum()
    with pytest.raises(UsageError, match="no layer 'x'"):
        write_misses(tmp_path, items, records, lambda _: Painted(), NAMES, 3, classifier, ["x"])


def test_several_maps_stand_below_by_themselves_with_their_names(tmp_path: Path) -> None:
    items, records = stored(tmp_path, ("k", 1, [0.6, 0.3, 0.1]))
    (example,) = write_misses(tmp_path, items, records, lambda _: Painted(), NAMES, 3, two_pathways()).examples
    assert example["maps"] == ["slow", "fast"]
    with Image.open(tmp_path / "misses/k.png") as image:
        pixels = np.asarray(image).astype(int)
    assert pixels.shape == (4 * 158 + 12, 8 * 160 - 2, 3)
    together, slow, fast = (pixels[row * 162 : row * 162 + 158] for row in (1, 2, 3))
    # the slow part looks at red, which is above, the fast one at what is left of it, which is everywhere
    assert slow[60, 80].sum() > 2 * slow[140, 80].sum()
    assert abs(fast[60, 80] - fast[140, 80]).sum() < 30
    assert together[60, 80].sum() > together[140, 80].sum()
    for row in (together, slow, fast):
        corner = row[4:22, 4:60]
        # white letters on a dark ground, each row with its own
        assert (corner.min(2) > 240).any()
        assert (corner.max(2) < 40).mean() > 0.3
    assert not (pixels[4:22, 4:60].max(2) < 40).any()
    assert (slow[4:22, 4:60] != fast[4:22, 4:60]).any()


def test_one_map_has_no_names(tmp_path: Path) -> None:
    items, records = stored(tmp_path, ("k", 1, [0.6, 0.3, 0.1]))
    (example,) = write_misses(tmp_path, items, records, lambda _: Painted(), NAMES, 3, channel_means()).examples
    assert "maps" not in example


def test_a_view_without_evidence_is_said(tmp_path: Path) -> None:
    class Black(Painted):
        def clip(self, view: int) -> Tensor:
            return torch.zeros(3, 8, 16, 16)

    items, records = stored(tmp_path, ("k", 1, [0.6, 0.3, 0.1]))
    found = write_misses(tmp_path, items, records, lambda _: Black(), NAMES, 3, channel_means())
    assert found.examples[0]["caption"].endswith("; no evidence for red in this view")


def test_an_unreadable_video_is_left_out_and_old_strips_go(tmp_path: Path) -> None:
    items, records = stored(tmp_path, ("gone", 1, [0.9, 0.05, 0.05]), ("k", 1, [0.6, 0.3, 0.1]))
    (tmp_path / "misses").mkdir()
    for name in ("old.png", "notes.txt"):
        (tmp_path / "misses" / name).write_text("of an earlier run")

    def read(one: ClipItem) -> Painted:
        if one.key == "gone":
            raise VideoError("no such file")
        return Painted()

    found = write_misses(tmp_path, items, records, read, NAMES, 2)
    assert found.remarks == ("gone.mp4: no strip: no such file",)
    assert [example["key"] for example in found.examples] == ["k"]
    assert sorted(path.name for path in (tmp_path / "misses").iterdir()) == ["k.png", "notes.txt"]
    before = (tmp_path / "misses/k.png").read_bytes()
    assert write_misses(tmp_path, items, records, read, NAMES, 2) == found
    assert (tmp_path / "misses/k.png").read_bytes() == before


def test_without_misses_there_is_no_folder(tmp_path: Path) -> None:
    items, records = stored(tmp_path, ("k", 0, [0.6, 0.3, 0.1]))
    assert write_misses(tmp_path, items, records, lambda _: Painted(), NAMES, 2).examples == ()
    assert not (tmp_path / "misses").exists()
