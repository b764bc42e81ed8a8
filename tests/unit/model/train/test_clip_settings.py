"""What is asked for of clips in place of a network's own."""

from __future__ import annotations

from vidbench.model.card import Preprocess
from vidbench.model.train.clip_settings import ClipSettings

OWN = Preprocess(frames=16, stride=5, short_side=256, crop=224, wide=256)


def test_three_crops_grow_and_shrink_with_the_crop() -> None:
    size = ClipSettings(crop_size=112, short_side=128).applied(OWN)

    assert (size.crop, size.short_side, size.wide) == (112, 128, 128)


def test_what_is_said_of_three_crops_is_taken() -> None:
    assert ClipSettings(crop_size=112, wide=120).applied(OWN).wide == 120
    assert ClipSettings(frames=8).applied(OWN).wide == 256
