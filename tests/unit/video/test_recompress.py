"""Frames through JPEG and H.264 and back: real files' worth of loss, the same every time."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from vidbench.video.recompress import through_h264, through_jpeg


def frames(count: int = 6, height: int = 48, width: int = 64) -> np.ndarray:
    t, y, x = np.mgrid[:count, :height, :width]
    channels = [127 + 100 * np.sin((x + 3 * t) / 9 + colour) * np.cos(y / 7) for colour in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


@pytest.mark.parametrize("through", [through_jpeg, through_h264])
@pytest.mark.parametrize("shape", [(1, 16, 16), (5, 15, 17), (1, 1, 1), (3, 2, 7), (40, 24, 32)])
def test_any_shape_comes_back(through, shape: tuple[int, int, int]) -> None:
    given = frames(*shape)
    before = given.copy()
    out = through(given, 30)
    assert out.shape == given.shape
    assert out.dtype == np.uint8
    assert np.array_equal(given, before)
    assert np.array_equal(out, through(given, 30))


def test_frames_stay_in_their_order() -> None:
    given = np.stack([np.full((32, 32, 3), 20 + 6 * number, np.uint8) for number in range(36)])
    for out in (through_jpeg(given, 90), through_h264(given, 20)):
        assert np.abs(out.astype(int) - given).max() <= 3


def test_error_falls_with_quality() -> None:
    given = frames()
    error = [np.square(through_jpeg(given, quality).astype(float) - given).mean() for quality in (5, 20, 50, 80, 95)]
    assert error == sorted(error, reverse=True)
    error = [np.square(through_h264(given, crf).astype(float) - given).mean() for crf in (51, 40, 30, 23, 10)]
    assert error == sorted(error, reverse=True)
    assert error[-1] > 0


def test_colour_is_halved() -> None:
    # columns of red and blue of one brightness: 4:2:0 cannot keep them apart
    given = np.zeros((1, 32, 32, 3), np.uint8)
    given[:, :, ::2, 0], given[:, :, 1::2, 2] = 96, 250
    for out in (through_jpeg(given, 95), through_h264(given, 1)):
        assert np.ptp(out[0, 16, 8:24, 0].astype(int)) < 60


def test_h264_looks_across_frames() -> None:
    given = frames(8)
    together = through_h264(given, 35)
    alone = np.concatenate([through_h264(given[at : at + 1], 35) for at in range(8)])
    assert not np.array_equal(together, alone)
    assert np.array_equal(through_jpeg(given, 35), np.concatenate([through_jpeg(one[None], 35) for one in given]))


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import hashlib, numpy as np; from vidbench.video.recompress import through_h264; "
        "t, y, x = np.mgrid[:6, :48, :64]; "
        "given = np.stack([127 + 100 * np.sin((x + 3 * t) / 9 + c) * np.cos(y / 7) for c in range(3)], -1);"
        "print(hashlib.sha256(through_h264(given.astype(np.uint8), 28).tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(through_h264(frames(), 28).tobytes()).hexdigest()


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    for through in (through_jpeg, through_h264):
        with pytest.raises(ValueError, match="frames must be"):
            through(wrong, 30)
