"""Frame lists as videos: labels of all rows, frames read when opened, flat memory, changes noticed."""

from __future__ import annotations

import hashlib
import os
import pickle
import tracemalloc
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidbench.data.dataset import NO_LABEL, ClipItem, clip_key, decode_item, read_clips
from vidbench.errors import InputError
from vidbench.formats.framelist import HEADER, FrameLine, save_frames
from vidbench.runs import content_hash
from vidbench.video.clip import Frames, VideoError
from vidbench.video.jpeg import JpegOptions, write_jpegs
from vidbench.video.pyav import decode


def no_video(path: Path, wanted: object) -> Frames:
    raise AssertionError(f"{path} is an image")


def frames_of(item: ClipItem, wanted: Sequence[int]) -> Frames:
    return decode_item(item, lambda info: wanted, no_video)


def levels(frames: Frames) -> list[float]:
    return [float(image.mean()) for image in frames.data]


@pytest.fixture
def charades(tmp_path: Path, make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three rendered videos as folders of JPEG files, and a list of them with classes by frame."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    classes = {"46GP8": [(92,), (92, 147), ()], "N11GT": [()], "0IH69": [(5,)]}
    rows = []
    for place, (name, cycle) in enumerate(classes.items()):
        video = make_video(f"{name}.mp4", frames=12 - place)
        (tmp_path / "rgb" / name).mkdir(parents=True)
        number = write_jpegs(
            video, tmp_path / "rgb" / name, lambda number, name=name: f"{name}-{number:06d}.jpg", JpegOptions(fps=None)
        ).frames
        rows += [
            FrameLine(name, place, index, f"{name}/{name}-{index + 1:06d}.jpg", cycle[index % len(cycle)])
            for index in range(number)
        ]
    save_frames(tmp_path / "val.csv", rows)
    return tmp_path / "val.csv"


def test_one_item_per_video(charades: Path, tmp_path: Path) -> None:
    clips = read_clips(charades, tmp_path / "rgb", several=True)
    assert (clips.kind, clips.several, clips.classes, clips.listed) == ("frames", True, (), 3)
    assert (clips.root, clips.root_rule) == (tmp_path / "rgb", "--root")
    assert clips.sha256 == hashlib.sha256(charades.read_bytes()).hexdigest()
    assert [(item.name, item.label, item.labels, item.line) for item in clips.items] == [
        ("46GP8", NO_LABEL, (92, 147), 2),
        ("N11GT", NO_LABEL, (), 14),
        ("0IH69", 5, (5,), 25),
    ]
    assert [item.key for item in clips.items] == [
        content_hash(["46GP8", [92, 147], None])[:16],
        content_hash(["N11GT", [], None])[:16],
        clip_key("0IH69", 5),
    ]
    assert clips.items[0].path == tmp_path / "rgb" / "46GP8" / "46GP8-000001.jpg"
    assert [item.kind for item in clips.items] == ["frames"] * 3
    part = read_clips(charades, tmp_path / "rgb", limit=1, several=True)
    assert (part.items, part.listed, part.sha256) == (clips.items[:1], 3, clips.sha256)


def test_the_frames_are_those_of_the_video(charades: Path, tmp_path: Path) -> None:
    for item, count in zip(read_clips(charades, tmp_path / "rgb", several=True).items, (12, 11, 10), strict=True):
        frames = frames_of(pickle.loads(pickle.dumps(item)), [0, 4, count - 1])
        info = frames.info
        assert (info.codec, info.fps, info.frames, info.width, info.height) == ("images", Fraction(30), count, 64, 48)
        rendered = decode(tmp_path / f"{item.name}.mp4", lambda info, last=count - 1: [0, 4, last])
        assert np.abs(np.subtract(levels(frames), levels(rendered))).max() < 2
        assert frames.indices == rendered.indices == (0, 4, count - 1)
        with pytest.raises(VideoError, match=f"{count} image files of a frame list"):
            item.file()


def test_labels_where_one_is_meant(charades: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_clips(charades, tmp_path / "rgb")
    assert caught.value.message.splitlines() == [
        f"{charades}:2: 46GP8 has 2 labels, 92,147, where one is meant",
        f"{charades}:14: N11GT has no label, where one is meant",
    ]
    assert caught.value.remedy
    unlabelled = read_clips(charades, tmp_path / "rgb", labelled=False)
    assert [item.label for item in unlabelled.items] == [NO_LABEL, NO_LABEL, 5]
    with pytest.raises(InputError, match="it lists the frames of videos as image files; this works on videos only"):
        read_clips(charades, tmp_path / "rgb", kinds=("videos",))


def test_one_label_per_video_as_in_something_something(charades: Path, tmp_path: Path) -> None:
    rows = [FrameLine("7", 0, index, f"0IH69/0IH69-{index + 1:06d}.jpg", (173,)) for index in range(3)]
    save_frames(tmp_path / "rgb" / "ssv2.csv", rows)
    clips = read_clips(tmp_path / "rgb" / "ssv2.csv")
    assert clips.root_rule == "list folder"
    assert [(item.name, item.label, item.labels) for item in clips.items] == [("7", 173, (173,))]
    assert frames_of(clips.items[0], [2]).info.frames == 3


def test_a_list_that_changed_is_noticed(charades: Path, tmp_path: Path) -> None:
    first, _, last = read_clips(charades, tmp_path / "rgb", several=True).items
    before = charades.read_bytes()
    # what comes after a video's rows is none of its business
    with charades.open("ab") as stream:
        stream.write(b'new 3 0 new/1.jpg ""\n')
    os.utime(charades, (0, 0))
    assert frames_of(first, [0]).info.frames == 12
    assert frames_of(last, [9]).info.frames == 10
    charades.write_bytes(before.replace(b"0IH69-000004", b"0IH69-000005"))
    assert frames_of(first, [0]).info.frames == 12
    with pytest.raises(VideoError, match="changed since it was read"):
        frames_of(last, [0])
    charades.write_bytes(before.replace(HEADER.encode() + b"\n", HEADER.encode() + b"\r\n"))
    with pytest.raises(VideoError, match="changed since it was read"):
        frames_of(first, [0])
    charades.write_bytes(b"")
    with pytest.raises(VideoError, match="changed since it was read"):
        frames_of(last, [0])
    charades.unlink()
    with pytest.raises(VideoError, match="cannot be read: No such file"):
        frames_of(first, [0])


def test_a_missing_frame_is_named(charades: Path, tmp_path: Path) -> None:
    item = read_clips(charades, tmp_path / "rgb", several=True).items[0]
    gone = tmp_path / "rgb" / "46GP8" / "46GP8-000003.jpg"
    gone.unlink()
    assert frames_of(item, [0, 1, 3]).indices == (0, 1, 3)
    with pytest.raises(VideoError) as caught:
        frames_of(item, [1, 2])
    assert str(caught.value) == f"frame 2, {gone}: no such file"


def test_line_ends_and_a_last_line_without_one(charades: Path, tmp_path: Path) -> None:
    charades.write_bytes(charades.read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n"))
    items = read_clips(charades, tmp_path / "rgb", several=True).items
    assert [frames_of(item, [0]).info.frames for item in items] == [12, 11, 10]
    assert items[0].labels == (92, 147)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{HEADER}\n", "the frame list has no row after its header"),
        (
            f'{HEADER}\na 0 0 a/1.jpg "1"\nb 1 0 b/1.jpg "1"\na 0 1 a/2.jpg "1"\n',
            "4: a goes on here; it began at line 2",
        ),
        (f'{HEADER}\na 0 0 a/1.jpg "1;2"\n', "2: labels '\"1;2\"', not"),
        (f"{HEADER}\na 0 0 a/1.jpg 3\n", "2: labels '3', not"),
        ('original_vido_id video_id path labels\na 0 0 a/1.jpg "1"\n', "1: the header is missing"),
        (f'{HEADER}\na 0 0 a/1.jpg "1"\n', "none of its files exists; the first is a/1.jpg"),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_clips(tmp_path / "l.csv")
    assert reason in caught.value.message


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(HEADER.encode() + b'\na\xff 0 0 a/1.jpg "1"\n')
    with pytest.raises(InputError, match=r"l\.csv:2: not UTF-8"):
        read_clips(tmp_path / "l.csv")


@pytest.mark.parametrize("rows_each", [80, pytest.param(400, marks=pytest.mark.slow)])
def test_memory_stays_flat_on_a_long_list(tmp_path: Path, rows_each: int) -> None:
    """Up to 200 000 rows take the memory of 5000 of as many videos; each that is kept would take 200 bytes or more."""

    def growth(rows_each: int) -> tuple[int, int]:
        source = tmp_path / f"{rows_each}.csv"
        with source.open("w") as stream:
            stream.write(HEADER + "\n")
            for video in range(500):
                stream.writelines(
                    f'{video:05d} {video} {row} v/{video:05d}/{row:06d}.jpg "{video % 174}"\n'
                    for row in range(rows_each)
                )
        tracemalloc.start()
        clips = read_clips(source)
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [len(clips.items), clips.items[-1].frames and clips.items[-1].frames.count] == [500, rows_each]
        return held, peak

    (tmp_path / "v" / "00000").mkdir(parents=True)
    (tmp_path / "v" / "00000" / "000000.jpg").touch()
    growth(1)
    short, long = growth(10), growth(rows_each)
    for few, many in zip(short, long, strict=True):
        assert many < few + 100_000
    assert long[1] < 1_500_000
