"""Items: one door to a video, an image or single frames; labels and keys."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from vidbench.data.dataset import NO_LABEL, ClipItem, clip_key, decode_item, read_clips
from vidbench.runs import content_hash
from vidbench.video.clip import VideoError
from vidbench.video.pyav import decode


def test_one_label_is_all_labels() -> None:
    item = ClipItem("a.mp4", Path("/a.mp4"), 7, 1, clip_key("a.mp4", 7))
    assert (item.labels, item.kind, item.frames) == ((7,), "videos", None)
    assert ClipItem("a.mp4", Path("/a.mp4"), NO_LABEL, 1, "k").labels == ()
    assert pickle.loads(pickle.dumps(item)) == item


def test_keys_of_one_label_are_what_they_were() -> None:
    assert clip_key("a.mp4", (7,)) == clip_key("a.mp4", 7) == content_hash(["a.mp4", 7, None])[:16]
    keys = {clip_key("a.mp4", label) for label in (7, (), (7, 8), NO_LABEL)}
    assert len(keys) == 4
    assert clip_key("a.mp4", (7, 8), (0.0, 1.0)) == content_hash(["a.mp4", [7, 8], [0.0, 1.0]])[:16]


def test_a_video_goes_to_the_decoder(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    path = make_video("a.mp4", frames=9)
    (tmp_path / "list.txt").write_text("a.mp4 3\n")
    clips = read_clips(tmp_path / "list.txt")
    assert (clips.kind, clips.classes, clips.several) == ("videos", (), False)
    frames = decode_item(clips.items[0], lambda info: [0, 8], decode)
    whole = decode(path, lambda info: [0, 8])
    assert (frames.info, frames.indices) == (whole.info, (0, 8))
    assert (frames.data == whole.data).all()


@pytest.mark.parametrize("name", ["a.mp4", "a.png"])
def test_a_file_that_is_not_the_one_of_the_manifest_is_not_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"12345")
    item = ClipItem(name, path, 0, 1, "k", bytes=4)
    with pytest.raises(VideoError, match="changed since the manifest: 5 bytes, 4 when it was checked"):
        decode_item(item, lambda info: [0], decode)
    os.unlink(path)
    with pytest.raises(VideoError, match="no such file"):
        decode_item(item, lambda info: [0], decode)
