"""Images as clips of one frame: folders of classes, and lists of `image label`."""

from __future__ import annotations

import hashlib
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidbench.data.dataset import NO_LABEL, ClipItem, clip_key, decode_item, read_clips
from vidbench.errors import InputError, UsageError
from vidbench.runs import content_hash
from vidbench.video.clip import Frames, VideoError, VideoInfo


def paint(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (level, level, level)).save(path, format="PNG")
    return path


def no_video(path: Path, wanted: object) -> Frames:
    raise AssertionError(f"{path} is an image")


def level_of(item: ClipItem) -> tuple[int, int]:
    """Process, and grey level of an item's only frame."""
    frames = decode_item(item, lambda info: [0], no_video)
    return os.getpid(), int(frames.data[0, 0, 0, 0])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: beside the other folders of a test, and empty."""
    folder = tmp_path.resolve() / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def top(here: Path) -> Path:
    return here.parent


@pytest.fixture
def folder(top: Path) -> Path:
    """Three classes; the sorting of names is that of code points."""
    root = top / "set"
    for level, name in enumerate(("cat/b.JPEG", "cat/a 1.png", "Dog/x.webp", "Dog/deep/y.bmp", "ant/z.JPG"), start=1):
        paint(root / name, level)
    return root


def test_class_folders(folder: Path) -> None:
    for other in ("cat/readme.txt", "cat/.hidden.png", "notes.md", ".cache/x.png"):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).touch()
    clips = read_clips(folder)
    assert (clips.kind, clips.classes, clips.several) == ("images", ("Dog", "ant", "cat"), False)
    assert [(item.name, item.label, item.line) for item in clips.items] == [
        ("Dog/x.webp", 0, 1),
        ("Dog/deep/y.bmp", 0, 2),
        ("ant/z.JPG", 1, 3),
        ("cat/a 1.png", 2, 4),
        ("cat/b.JPEG", 2, 5),
    ]
    assert (clips.source, clips.root, clips.root_rule, clips.listed) == (folder, folder, "folder", 5)
    assert [level_of(item)[1] for item in clips.items] == [3, 4, 5, 2, 1]
    item = clips.items[3]
    assert (item.path, item.labels, item.kind, item.key) == (
        folder / "cat" / "a 1.png",
        (2,),
        "images",
        clip_key("cat/a 1.png", 2),
    )
    lines = "".join(f"{item.name} {item.label}\n" for item in clips.items)
    assert clips.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_class_folders_are_those_of_torchvision(folder: Path) -> None:
    from torchvision.datasets import ImageFolder

    theirs = ImageFolder(str(folder))
    clips = read_clips(folder)
    assert list(clips.classes) == theirs.classes
    assert [(str(item.path), item.label) for item in clips.items] == theirs.samples
    for index, item in enumerate(clips.items):
        frames = decode_item(item, lambda info: range(info.frames), no_video)
        assert (frames.data[0] == np.asarray(theirs[index][0])).all()


def test_a_limit_of_a_folder(folder: Path) -> None:
    whole, part = read_clips(folder), read_clips(folder, limit=2)
    assert part.items == whole.items[:2]
    assert (part.listed, part.sha256, part.classes) == (5, whole.sha256, whole.classes)


def test_links_are_followed_once(folder: Path, top: Path) -> None:
    paint(top / "far" / "f.png")
    (folder / "linked").symlink_to(top / "far")
    (top / "far" / "round").symlink_to(top / "far")
    assert [item.name for item in read_clips(folder).items if item.label == 3] == ["linked/f.png"]


def test_folders_that_are_refused(folder: Path, top: Path) -> None:
    with pytest.raises(UsageError, match="--root"):
        read_clips(folder, root=top)
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="no image in the class folder empty") as caught:
        read_clips(folder)
    assert "would count as a class" in caught.value.remedy
    (folder / "empty" / "v.mp4").touch()
    with pytest.raises(InputError, match=r"empty/v\.mp4 is a video") as caught:
        read_clips(folder)
    assert "vidbench data list" in caught.value.remedy
    paint(folder / "loose.png")
    with pytest.raises(InputError, match="1 images of no class beside its class folders"):
        read_clips(folder)
    (top / "bare").mkdir()
    with pytest.raises(InputError, match="a folder, not a list, and no folder of images in it"):
        read_clips(top / "bare")
    with pytest.raises(InputError, match="1 images of no class and no class folder"):
        read_clips(paint(top / "bare" / "x.png").parent)


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    bad = os.fsencode(folder) + b"/cat/\xff.png"
    with open(bad, "wb"):
        pass
    with pytest.raises(InputError, match="not UTF-8"):
        read_clips(folder)


@pytest.fixture
def w4(top: Path) -> Path:
    """`train_phase1/` of the CSIG robustness track: names with `.JPEG`, one blank, LF; the images a folder below."""
    home = top / "data" / "train_phase1"
    labels = [5, 18, 15, 14, 6]
    for index in range(len(labels)):
        paint(home / "images" / f"{index}.JPEG", 10 * index)
    (home / "label.txt").write_text("".join(f"{index}.JPEG {label}\n" for index, label in enumerate(labels)))
    return home


def test_the_w4_list(w4: Path) -> None:
    clips = read_clips(w4 / "label.txt")
    assert (clips.kind, clips.root, clips.root_rule, clips.classes) == ("images", w4 / "images", "images folder", ())
    assert [item.label for item in clips.items] == [5, 18, 15, 14, 6]
    assert [item.labels for item in clips.items] == [(5,), (18,), (15,), (14,), (6,)]
    assert clips.items[1].key == clip_key("1.JPEG", 18)
    assert [level_of(item)[1] for item in clips.items] == [0, 10, 20, 30, 40]
    info = decode_item(clips.items[0], lambda info: [0], no_video).info
    assert info == VideoInfo(w4 / "images" / "0.JPEG", "images", 8, 6, info.fps, 1)


def test_the_w4_test_images_by_root(w4: Path, top: Path) -> None:
    """`data/test_label.txt` names images of `data/track1_test1/`."""
    paint(top / "data" / "track1_test1" / "0.png", 7)
    (top / "data" / "test_label.txt").write_text("0.png 18\n1.png 14\n")
    with pytest.raises(InputError, match="none of its files exists"):
        read_clips(top / "data" / "test_label.txt")
    clips = read_clips(top / "data" / "test_label.txt", root=top / "data" / "track1_test1")
    assert (clips.kind, clips.root_rule, len(clips.items)) == ("images", "--root", 2)
    assert level_of(clips.items[0])[1] == 7
    with pytest.raises(VideoError, match=r"^no such file$"):
        level_of(clips.items[1])


def test_images_beside_the_list_or_in_the_working_folder(here: Path, top: Path) -> None:
    (top / "a").mkdir()
    source = top / "a" / "label.txt"
    source.write_text("x.png 0\ny.png 1\n")
    paint(here / "y.png")
    assert read_clips(source).root_rule == "working folder"
    (here / "y.png").unlink()
    paint(top / "a" / "y.png")
    assert read_clips(source).root_rule == "list folder"
    paint(top / "a" / "images" / "x.png")
    with pytest.raises(InputError, match="fit two folders") as caught:
        read_clips(source)
    assert f"the list's, {top / 'a'}, has y.png" in caught.value.message
    assert f"the images folder beside it, {top / 'a' / 'images'}, has x.png" in caught.value.message
    assert read_clips(source, root=top / "a" / "images").items[0].path == top / "a" / "images" / "x.png"


def test_the_images_folder_serves_lists_of_images_alone(top: Path) -> None:
    (top / "a" / "images").mkdir(parents=True)
    (top / "a" / "images" / "x.mp4").touch()
    (top / "a" / "list.txt").write_text("x.mp4 0\n")
    with pytest.raises(InputError, match="none of its files exists"):
        read_clips(top / "a" / "list.txt")


def test_an_image_among_videos_is_a_clip_of_one_frame(top: Path) -> None:
    paint(top / "a" / "x.png", 9)
    (top / "a" / "list.txt").write_text("x.png 0\nv.mp4 1\n")
    clips = read_clips(top / "a" / "list.txt", limit=1)
    assert (clips.kind, [item.kind for item in clips.items]) == ("videos", ["images"])
    assert level_of(clips.items[0])[1] == 9


def test_items_are_opened_in_a_worker_process(w4: Path) -> None:
    items = read_clips(w4 / "label.txt").items
    assert pickle.loads(pickle.dumps(items)) == items
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        results = list(pool.map(level_of, items))
    assert [level for _, level in results] == [0, 10, 20, 30, 40]
    assert os.getpid() not in {process for process, _ in results}


def several(top: Path, *lines: str) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        paint(top / "a" / name)
    (top / "a" / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    return top / "a" / "list.txt"


def test_several_labels_per_item(top: Path) -> None:
    source = several(top, "a.png 42,3,17", "b.png 5", "c.png -")
    clips = read_clips(source, several=True)
    assert clips.several
    assert [item.labels for item in clips.items] == [(3, 17, 42), (5,), ()]
    assert [item.label for item in clips.items] == [NO_LABEL, 5, NO_LABEL]
    assert [item.key for item in clips.items] == [
        content_hash(["a.png", [3, 17, 42], None])[:16],
        content_hash(["b.png", 5, None])[:16],
        content_hash(["c.png", [], None])[:16],
    ]
    # the same video has the same key in a list of one label each
    assert read_clips(several(top, "b.png 5")).items[0].key == clips.items[1].key


def test_several_labels_where_one_is_meant(top: Path) -> None:
    source = several(top, "b.png 5", "a.png 3,17,42", "c.png -")
    with pytest.raises(InputError) as caught:
        read_clips(source)
    assert caught.value.message.splitlines() == [
        f"{source}:2: a.png has 3 labels, 3,17,42, where one is meant",
        f"{source}:3: c.png has no label, where one is meant",
    ]
    assert caught.value.remedy
    # another fault of the list is told as before
    with pytest.raises(InputError, match=r"list\.txt:1: no label after 'b\.png'"):
        read_clips(several(top, "b.png", "a.png 3,17"))
    with pytest.raises(InputError, match=r"list\.txt:1: comma separated"):
        read_clips(several(top, "a.png 3,,17"))
    with pytest.raises(InputError, match="with label 3,17, here with -"):
        read_clips(several(top, "a.png 3,17", "./a.png -"), several=True)


def test_a_caller_that_works_on_videos_alone(folder: Path, w4: Path) -> None:
    with pytest.raises(InputError, match="a folder, not a list\n"):
        read_clips(folder, kinds=("videos",))
    with pytest.raises(InputError, match="it lists images; this works on videos only"):
        read_clips(w4 / "label.txt", kinds=("videos",))
