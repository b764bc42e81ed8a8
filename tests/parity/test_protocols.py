"""Every protocol takes the frames and crops that the reference program takes, index for index."""

import gzip
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.datasets.samplers import UniformClipSampler
from torchvision.datasets.video_utils import VideoClips

from vidbench.model.slowfast import slow_indices
from vidbench.video import sampling

HERE = Path(__file__).parent / "data" / "protocol"
RATES = {
    name: Fraction(*pair)
    for name, pair in (
        ("24", (24, 1)), ("25", (25, 1)), ("29.97", (30000, 1001)), ("30", (30, 1)), ("50", (50, 1)), ("60", (60, 1)),
    )
}  # fmt: skip


def table(name: str) -> Any:
    return json.loads(gzip.decompress((HERE / f"{name}.json.gz").read_bytes()))


PYSLOWFAST, PYTORCHVIDEO, MMACTION2 = "pyslowfast_temporal_whole_video", "pytorchvideo_temporal", "mmaction2_temporal"


@pytest.mark.parametrize(
    ("name", "column", "rule", "views", "rows"),
    [
        (PYSLOWFAST, "uniform10", sampling.temporal_views, 10, 144),
        (PYSLOWFAST, "uniform1", sampling.temporal_views, 1, 144),
        (PYSLOWFAST, "offset5", sampling.offset_views, 5, 144),
        (PYSLOWFAST, "offset1", sampling.offset_views, 1, 144),
        (PYTORCHVIDEO, "clips10", sampling.pytorchvideo_views, 10, 144),
        (PYTORCHVIDEO, "clips5", sampling.pytorchvideo_views, 5, 144),
        (PYTORCHVIDEO, "clips1", sampling.pytorchvideo_views, 1, 144),
        (MMACTION2, "clips10", sampling.mmaction2_views, 10, 24),
        (MMACTION2, "clips5", sampling.mmaction2_views, 5, 24),
        (MMACTION2, "clips1", sampling.mmaction2_views, 1, 24),
        (MMACTION2, "clips10_target30", sampling.mmaction2_fps_views, 10, 144),
        (MMACTION2, "clips5_target30", sampling.mmaction2_fps_views, 5, 144),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_frames_equal_the_reference(
    name: str, column: str, rule: Callable[..., sampling.Indices], views: int, rows: int
) -> None:
    compared = 0
    for row in table(name)["rows"]:
        if column in row:
            found = rule(row["frames"], RATES[row["fps"]], row["T"], row["tau"], views)
            where = f"{row['fps']} fps, {row['frames']} frames, {row['T']}x{row['tau']}"
            assert [list(view) for view in found] == row[column]["index"], where
            compared += 1
    assert compared == rows


def test_mmaction2_does_not_look_at_the_rate() -> None:
    for row in table(MMACTION2)["rows"]:
        if "clips10" in row:
            for rate in RATES.values():
                found = sampling.mmaction2_views(row["frames"], rate, row["T"], row["tau"], 10, 15)
                assert [list(view) for view in found] == row["clips10"]["index"]


def test_starts_and_ends_equal_pyslowfast() -> None:
    for row in table(PYSLOWFAST)["rows"]:
        span = sampling.clip_span(row["T"], row["tau"], RATES[row["fps"]])
        assert span == pytest.approx(row["clip_size"], abs=1e-9)
        for column, views in (("uniform10", 10), ("uniform1", 1)):
            starts = sampling.view_starts(row["frames"], span, views)
            assert [[start, start + span - 1] for start in starts] == [
                pytest.approx(pair, abs=1e-9) for pair in row[column]["start_end"]
            ]
        for column in ("offset5", "offset1"):
            for (start, end), indices in zip(row[column]["start_end"], row[column]["index"], strict=True):
                assert start + span - 1 == pytest.approx(end, abs=1e-9)
                assert list(sampling.frame_indices(start, span, row["T"], row["frames"])) == indices


def test_pytorchvideo_seconds_hold_the_frames() -> None:
    for row in table(PYTORCHVIDEO)["rows"]:
        rate = RATES[row["fps"]]
        found = sampling.pytorchvideo_views(row["frames"], rate, row["T"], row["tau"], 10)
        for view, (start, end) in zip(found, row["clips10"]["start_end_sec"], strict=True):
            assert start - 1e-9 <= float(view[0] / rate) <= float(view[-1] / rate) < end + 1e-9


def test_trimming_before_sampling_moves_an_index_by_one_at_most() -> None:
    # what PySlowFast does with long videos; the rule here is that of a fully decoded one
    rules = {
        "uniform10": (sampling.temporal_views, 10),
        "uniform1": (sampling.temporal_views, 1),
        "offset5": (sampling.offset_views, 5),
        "offset1": (sampling.offset_views, 1),
    }
    moved = []
    for row in table("pyslowfast_temporal_selective")["rows"]:
        for column, (rule, views) in rules.items():
            found = rule(row["frames"], RATES[row["fps"]], row["T"], row["tau"], views)
            for ours, theirs in zip(found, row[column]["index"], strict=True):
                moved += [there - here for here, there in zip(ours, theirs, strict=True)]
    assert len(moved) == 36312
    assert (moved.count(1), moved.count(-1), moved.count(0)) == (3937, 2, 36312 - 3939)


def test_charades_frames_equal_pyslowfast() -> None:
    rows = table("charades_temporal")
    for row in rows:
        found = sampling.charades_views(row["frames"], Fraction(24), row["T"], row["tau"], 10)
        assert [list(view) for view in found] == row["index"]
    assert len(rows) == 15


def test_something_something_frames_equal_pyslowfast() -> None:
    rows = table("ssv2_temporal")
    for row in rows:
        for stride in (1, 8):
            found = sampling.segment_views(row["frames"], Fraction(12), row["T"], stride, 2)
            assert [list(view) for view in found] == [row["index"]] * 2
    assert len(rows) == 15


def test_slow_pathway_equals_pyslowfast() -> None:
    rows = table("slow_pathway_index")
    for row in rows:
        assert slow_indices(row["T"], row["alpha"]).tolist() == row["slow"]
    assert len(rows) == 5


def test_scaling_and_crops_equal_pyslowfast_and_pytorchvideo() -> None:
    compared = 0
    for row in table("spatial_scale_crop")["rows"]:
        width, height = sampling.scaled_size(*row["frame"], row["short_side"])
        assert [width, height] == row["scaled"]
        for view in row["views"]:
            assert list(sampling.spatial_crop(width, height, row["crop"], view["spatial_idx"])) == view["box"]
            compared += 1
    assert compared > 100


@pytest.mark.parametrize("frames", [4, 8, 13, 16, 32, 40, 64])
def test_short_videos_are_stretched_as_pytorchvideo_does(frames: int) -> None:
    # its subsample is torch's linspace, cut to integers; its module does not load with a present torchvision
    for total in range(1, 400):
        expected = torch.linspace(0, total - 1, frames).clamp(0, total - 1).long().tolist()
        assert sampling.pytorchvideo_views(total, Fraction(30), frames, 500, 3) == (tuple(expected),) * 3


@pytest.mark.filterwarnings("ignore:There aren't enough frames")
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize(("stride", "wanted"), [(1, 30), (2, 15), (4, 7.5)])
@pytest.mark.parametrize(("frames", "views"), [(16, 5), (32, 12), (16, 1), (8, 10)])
def test_torchvision_clips_equal_its_own_sampler(
    rate: Fraction, stride: int, wanted: float, frames: int, views: int
) -> None:
    compared = 0
    for total in (1, 10, 31, 64, 65, 100, 250, 299, 300, 1000, 9001):
        clips = VideoClips(
            ["a video"], frames, 1, wanted,
            _precomputed_metadata={
                "video_paths": ["a video"], "video_pts": [torch.arange(total)], "video_fps": [float(rate)],
            },
        )  # fmt: skip
        if clips.num_clips() == 0:  # skipped there, kept here
            found = sampling.torchvision_views(total, rate, frames, stride, views)
            assert len(found) == views
            assert all(view[0] == 0 and view[-1] < total for view in found)
            continue
        expected = [clips.clips[0][clip].tolist() for clip in UniformClipSampler(clips, views)]
        found = sampling.torchvision_views(total, rate, frames, stride, views)
        assert [list(view) for view in found] == expected, total
        compared += 1
    assert compared >= 4
