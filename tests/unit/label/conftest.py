"""What the tests of labelled sets share: a small set with pictures, made without a video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo, TrackPath
from vidbench.label.actions import load_actions
from vidbench.label.store import LabelSet

MakeSet = Callable[..., LabelSet]


@pytest.fixture
def make_set(tmp_path: Path) -> MakeSet:
    """Write a set of given rows: each video has 320 x 180 pixels, 10 s at 25 fps and the keyframes 2 to 8."""

    def make(
        rows: Mapping[str, Sequence[Row]],
        name: str = "set",
        *,
        actions: Sequence[SetAction] | None = None,
        paths: Mapping[str, Sequence[TrackPath]] | None = None,
        pictures: bool = True,
    ) -> LabelSet:
        labels = LabelSet(tmp_path / name)
        videos = tuple(SetVideo(one, f"../{name}_{one}.mp4", 1000, 320, 180, "25", 300, 2, 8) for one in rows)
        labels.save(SetFile(tuple(actions or load_actions("ava_80")), videos))
        for video in videos:
            labels.save_rows(video.id, rows[video.id])
            labels.save_paths(video.id, (paths or {}).get(video.id, ()))
            for second in video.keyframes if pictures else ():
                path = labels.keyframe(video.id, second)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (320, 180), (second * 20, 0, 0)).save(path)
        return labels

    return make
