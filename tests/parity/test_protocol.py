"""Frame indices and crops equal those that PySlowFast's own code gives."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from vidbench.video.sampling import clip_span, frame_indices, scaled_size, spatial_crop, temporal_views, view_starts

HERE = Path(__file__).parent / "protocol"
TEMPORAL = json.loads((HERE / "pyslowfast_temporal_whole_video.json").read_text())
SPATIAL = json.loads((HERE / "spatial_scale_crop.json").read_text())


def fps_of(name: str) -> Fraction:
    return Fraction(*TEMPORAL["fps"][name])


@pytest.mark.parametrize(
    "row", TEMPORAL["rows"], ids=lambda row: f"{row['fps']}fps-{row['frames']}f-{row['T']}x{row['tau']}"
)
def test_temporal_views_equal_pyslowfast(row: dict) -> None:
    fps, total, frames, stride = fps_of(row["fps"]), row["frames"], row["T"], row["tau"]
    span = clip_span(frames, stride, fps)
    assert span == pytest.approx(row["clip_size"], abs=1e-9)
    for name, views in (("uniform10", 10), ("uniform1", 1)):
        starts = view_starts(total, span, views)
        assert [[start, start + span - 1] for start in starts] == [
            pytest.approx(pair, abs=1e-9) for pair in row[name]["start_end"]
        ]
        assert [list(view) for view in temporal_views(total, fps, frames, stride, views)] == row[name]["index"]


def test_frame_indices_equal_pyslowfast_for_other_starts_too() -> None:
    compared = 0
    for row in TEMPORAL["rows"]:
        span = clip_span(row["T"], row["tau"], fps_of(row["fps"]))
        for (start, _), indices in zip(row["offset5"]["start_end"], row["offset5"]["index"], strict=True):
            assert list(frame_indices(start, span, row["T"], row["frames"])) == indices
            compared += 1
    assert compared == 5 * len(TEMPORAL["rows"]) > 500


@pytest.mark.parametrize("row", SPATIAL["rows"], ids=lambda row: f"{row['frame']}-{row['short_side']}-{row['crop']}")
def test_scaling_and_crops_equal_pyslowfast(row: dict) -> None:
    width, height = scaled_size(*row["frame"], row["short_side"])
    assert [width, height] == row["scaled"]
    for view in row["views"]:
        assert list(spatial_crop(width, height, row["crop"], view["spatial_idx"])) == view["box"]
