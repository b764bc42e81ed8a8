"""Attacked clips, stored and read again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vidbench.attack.confirm import Judge
from vidbench.attack.examples import Keeper, side_by_side
from vidbench.attack.realism import Realism, from_frames, to_frames
from vidbench.video.encode import encode_lossless
from vidbench.video.pyav import decode


class Level(nn.Module):
    """Answers by the mean grey level, so that a shift of a whole clip shows and noise does not."""

    def forward(self, clips: Tensor) -> Tensor:
        level = clips.mean((1, 2, 3, 4))
        return torch.stack([0.5 - level, level - 0.5], 1)


def clips(level: float, side: int = 32) -> Tensor:
    noise = torch.rand(1, 3, 4, side, side, generator=torch.Generator().manual_seed(0)) * 0.1
    return noise - noise.mean() + level


def test_frames_round_to_the_nearest_and_come_back() -> None:
    values = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.0]).view(1, 1, 1, 1, 4).expand(1, 3, 1, 1, 4)
    frames = to_frames(values)
    assert frames.shape == (1, 1, 1, 4, 3)
    assert frames[0, 0, 0, :, 0].tolist() == [0, 0, 1, 255]
    assert torch.equal(to_frames(from_frames(frames)), frames)


def test_a_shift_of_less_than_a_grey_level_does_not_survive_rounding() -> None:
    both = torch.cat([torch.full((1, 3, 2, 32, 32), 0.5 + shift) for shift in (0.2 / 255, 0.7 / 255)])
    judge = Judge(Level(), 1)
    assert judge.logits(both, ["a", "b"]).argmax(1).tolist() == [1, 1]
    # 127.5 + 0.2 rounds up like 127.5 + 0.7; below 127.5 both fall
    lower = both - 0.5 / 255
    assert Realism("uint8").predictions(lower, judge, ["a", "b"]) == {"uint8": [0, 1]}


def test_a_large_shift_survives_everything_and_odd_sides_are_no_trouble() -> None:
    both = torch.cat([clips(0.3, 33), clips(0.7, 33)]).clamp(0, 1)
    found = Realism("all").predictions(both, Judge(Level(), 4), ["a", "b"])
    assert found == {name: [0, 1] for name in ("uint8", "h264-18", "h264-23", "h264-28", "resize")}
    assert Realism("none").predictions(both, Judge(Level(), 4), ["a", "b"]) == {}


def test_videos_without_loss_of_any_size_and_rate(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 33, 45, 3), dtype=np.uint8)
    assert encode_lossless(tmp_path / "a.mkv", frames, Fraction(30000, 1001)) == 5
    found = decode(tmp_path / "a.mkv", lambda info: range(info.frames))
    assert np.array_equal(found.data, frames)
    assert found.info.fps == Fraction(30000, 1001)


def test_side_by_side_shows_clean_attacked_and_difference() -> None:
    clean = torch.full((3, 2, 8, 9), 0.25)
    attacked = clean + 0.05
    shown = side_by_side(clean, attacked, gain=8)
    assert shown.shape == (2, 8, 36, 3)
    assert shown[0, 4, 4].tolist() == [64, 64, 64]
    assert shown[0, 4, 17].tolist() == [76, 76, 76]
    assert shown[0, 4, 30].tolist() == [230, 230, 230]


def test_nothing_is_kept_of_a_failure(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, frozenset("a"), "png")
    keeper.keep({"status": "failed", "clip": "a", "column": "x"}, clips(0.5)[0], clips(0.5)[0])
    assert list(tmp_path.iterdir()) == []
