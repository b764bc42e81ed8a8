"""Frames made small in the decoder: which size, which filter, and what other programs give."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch.nn import functional

from vidbench.video.clip import Frames, VideoInfo
from vidbench.video.fit import Fit
from vidbench.video.pyav import decode
from vidbench.video.transforms import scale


@pytest.fixture
def textured(tmp_path: Path) -> Path:
    """24 frames of 96x64 whose picture has smooth structure in both directions and in time."""
    path = tmp_path / "t.mp4"
    rows, columns = np.mgrid[0:64, 0:96]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(24):
            waves = [np.sin(columns / (6 + c) + rows / 9 + index / 5) for c in range(3)]
            picture = (127 + 100 * np.stack(waves, axis=2)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_exact_is_interpolation_of_the_full_frames(textured: Path) -> None:
    full = decode(textured, lambda info: [0, 11, 23])
    small = decode(textured, lambda info: [0, 11, 23], Fit(40, "exact"))
    assert small.data.dtype == np.float32
    expected = scale(full, 40).permute(0, 2, 3, 1).numpy() * 255
    assert small.data.shape == expected.shape == (3, 40, 60, 3)
    assert np.abs(small.data - expected).max() < 1e-4
    assert small.data.max() > 150
    assert np.abs(small.data - np.round(small.data)).max() > 0.3, "it is not rounded"


def test_decode_is_ffmpegs_bilinear_scaler(textured: Path) -> None:
    small = decode(textured, lambda info: [0, 11, 23], Fit(40))
    with av.open(str(textured)) as container:
        frames = [frame for index, frame in enumerate(container.decode(video=0)) if index in (0, 11, 23)]
        expected = [
            frame.reformat(width=60, height=40, format="rgb24", interpolation="BILINEAR").to_ndarray()
            for frame in frames
        ]
    assert np.array_equal(small.data, np.stack(expected))


def test_both_show_the_same_picture(textured: Path) -> None:
    indices = [0, 11, 23]
    one = decode(textured, lambda info: indices, Fit(40)).data.astype(float)
    other = decode(textured, lambda info: indices, Fit(40, "exact")).data
    assert np.abs(one - other).mean() < 6
    assert np.abs(one - other)[:, 5:-5, 5:-5].mean() < 6
    shifted = functional.pad(torch.from_numpy(other).permute(0, 3, 1, 2), (3, 0)).numpy()[..., :-3]
    assert np.abs(one - other).mean() < np.abs(one - shifted.transpose(0, 2, 3, 1)).mean() / 3


def test_images_and_frames_of_the_right_size_pass_unchanged(textured: Path) -> None:
    full = decode(textured, lambda info: [5])
    same = decode(textured, lambda info: [5], Fit(64))
    assert np.array_equal(full.data, same.data)
    assert np.array_equal(Fit(64).image(full.data[0]), full.data[0])
    assert np.array_equal(Fit(64, "exact").image(full.data[0]), full.data[0])


def test_rounding_of_the_longer_side_is_the_rules(textured: Path) -> None:
    frame = decode(textured, lambda info: [0]).data[0][:, :95]
    assert Fit(41).image(frame).shape == (41, 60, 3)
    assert Fit(41, "exact", "mmaction2").image(frame).shape == (41, 61, 3)


def test_float_frames_are_frames() -> None:
    info = VideoInfo(Path("a"), "h264", 4, 4, 30, 1)  # type: ignore[arg-type]
    assert "float32" not in repr(Frames(info, (0,), np.zeros((1, 4, 4, 3), np.float32)))
