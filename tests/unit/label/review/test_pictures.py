"""Pictures of a real set: they show what they say, and say why where they cannot."""

import dataclasses
import io
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidbench.formats.labelset import Row, SetVideo
from vidbench.label.review.pictures import Cache, NoPictureError, Pictures
from vidbench.label.store import LabelSet
from vidbench.video.encode import encode


def seen(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB")).astype(int)


def red_edge(image: np.ndarray) -> float:
    """Where the red block begins, in fractions of the width."""
    red = image[:, :, 0] - image[:, :, 1] > 90
    columns = np.flatnonzero(red.mean(axis=0) > 0.3)
    return float(columns[0] / image.shape[1])


@pytest.fixture
def pictures(finished_set: Path) -> Pictures:
    return Pictures(LabelSet(finished_set))


def test_a_clip_shows_each_moment(finished_set: Path, pictures: Pictures) -> None:
    labels = LabelSet(finished_set)
    video = labels.load().video("one")
    clip = pictures.clip(video, 3, list(labels.rows("one")))
    assert clip["fps"] == 15
    assert clip["numbers"] == list(range(46, 136, 2))
    assert (clip["width"], clip["height"]) == (320, 240)
    for index, number in enumerate(clip["numbers"]):
        image = seen(pictures.clip_picture(video, 3, index))
        assert image.shape == (240, 320, 3)
        assert image[5, 5, 0] == pytest.approx(40 + number // 3, abs=3)
        assert red_edge(image) == pytest.approx(0.1 + number * 0.001, abs=0.01)
        assert clip["boxes"][0][index][0] == pytest.approx(0.1 + number * 0.001, abs=0.002)
    assert clip["boxes"][1][clip["numbers"].index(90)] == [0.7, 0.2, 0.9, 0.9]
    with pytest.raises(NoPictureError, match="45 pictures"):
        pictures.clip_picture(video, 3, 45)


def test_a_clip_ends_with_the_video(pictures: Pictures, finished_set: Path) -> None:
    video = dataclasses.replace(LabelSet(finished_set).load().video("one"), first=0, last=7)
    assert pictures.clip(video, 7, [])["numbers"] == list(range(166, 240, 2))
    assert pictures.clip(video, 0, [])["numbers"] == list(range(0, 46, 2))
    assert seen(pictures.clip_picture(video, 0, 0))[5, 5, 0] == pytest.approx(40, abs=3)


def test_large_frames_are_made_smaller_and_fewer(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    encode(path, (np.full((1088, 1920, 3), 90, dtype=np.uint8) for _ in range(20)), Fraction(30))
    video = SetVideo("large", path.name, path.stat().st_size, 1920, 1088, "30", 20, 0, 0)
    pictures = Pictures(LabelSet(tmp_path))
    clip = pictures.clip(video, 0, [])
    assert (clip["fps"], clip["width"], clip["height"]) == (10, 960, 544)
    assert clip["numbers"] == list(range(0, 20, 3))
    assert seen(pictures.clip_picture(video, 0, 6)).shape == (544, 960, 3)
    # the keyframe that no file holds comes from the video, whole
    assert seen(pictures.keyframe(video, 0)).shape == (1088, 1920, 3)


def test_a_crop_shows_the_person_and_a_little_more(finished_set: Path, pictures: Pictures) -> None:
    video = LabelSet(finished_set).load().video("one")
    box = (0.19, 0.2, 0.39, 0.8)
    image = seen(pictures.crop(video, 3, box, 160))
    # 1.2 times 64 x 144 pixels
    assert image.shape == (160, 71, 3)
    assert image[80, 35, 0] > 180
    assert image[80, 35, 1] < 70
    assert all(abs(image[y, x, 0] - image[y, x, 1]) < 40 for y, x in ((3, 3), (156, 3), (3, 67), (80, 1)))
    assert pictures.crop(video, 3, box, 160) is pictures.crop(video, 3, box, 160)


def test_a_crop_at_the_edge_and_a_very_wide_one(finished_set: Path, pictures: Pictures) -> None:
    video = LabelSet(finished_set).load().video("one")
    assert seen(pictures.crop(video, 3, (0.0, 0.0, 1.0, 1.0), 60)).shape == (60, 80, 3)
    assert seen(pictures.crop(video, 3, (0.0, 0.5, 1.0, 0.51), 50)).shape == (2, 200, 3)


def test_a_crop_of_a_sixth_is_sharp(tmp_path: Path, finished_set: Path) -> None:
    labels = LabelSet(tmp_path)
    video = LabelSet(finished_set).load().video("one")
    stripes = np.zeros((480, 640, 3), dtype=np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = 255
    path = labels.keyframe("one", 3)
    path.parent.mkdir(parents=True)
    Image.fromarray(stripes).save(path, quality=95)
    image = seen(Pictures(labels).crop(video, 3, (0.25, 0.25, 0.5, 0.75), 288))
    assert image.shape == (288, 192, 3)
    assert image[140].max() - image[140].min() > 200


def test_without_the_video_stills_are_there_and_playing_says_why_not(label_set: LabelSet) -> None:
    video = label_set.load().video("one")
    file = label_set.file(video)
    away = file.rename(file.with_name("away.mp4"))
    pictures = Pictures(label_set)
    assert seen(pictures.keyframe(video, 3)).shape == (240, 320, 3)
    assert pictures.crop(video, 3, (0.1, 0.1, 0.3, 0.9), 100)
    for wish in (lambda: pictures.clip(video, 3, []), lambda: pictures.clip_picture(video, 3, 0)):
        with pytest.raises(NoPictureError, match=r"one\.mp4: no such file"):
            wish()
    label_set.keyframe("one", 4).unlink()
    with pytest.raises(NoPictureError, match="no such file"):
        pictures.keyframe(video, 4)
    file.write_bytes(b"another one")
    with pytest.raises(NoPictureError, match="another file: 11 bytes"):
        pictures.clip(video, 3, [])
    # once it is back, so are its pictures
    away.replace(file)
    assert len(pictures.clip(video, 3, [])["numbers"]) == 45
    assert seen(pictures.keyframe(video, 4))[5, 5, 0] == pytest.approx(80, abs=3)


def test_a_damaged_video_says_so(label_set: LabelSet) -> None:
    video = label_set.load().video("one")
    file = label_set.file(video)
    file.write_bytes(b"no video at all" * 100)
    video = dataclasses.replace(video, size_bytes=file.stat().st_size)
    pictures = Pictures(label_set)
    with pytest.raises(NoPictureError, match=r"one\.mp4"):
        pictures.clip(video, 3, [])


def test_damaged_and_foreign_keyframes_say_so(label_set: LabelSet) -> None:
    video = label_set.load().video("one")
    pictures = Pictures(label_set)
    for second, data in ((3, b"\xff\xd8\xff\xe0 torn"), (4, label_set.keyframe("one", 4).read_bytes()[:900])):
        label_set.keyframe("one", second).write_bytes(data)
        with pytest.raises(NoPictureError, match=f"second {second} is damaged"):
            pictures.crop(video, second, (0.1, 0.1, 0.3, 0.9), 100)
    for second in (1, 7, 100):
        for wish in (pictures.keyframe, lambda video, second: pictures.clip(video, second, [])):
            with pytest.raises(NoPictureError, match="no keyframe"):
                wish(video, second)


def test_many_who_ask_at_once_share_one_decoding(finished_set: Path) -> None:
    video = LabelSet(finished_set).load().video("two")
    pictures = Pictures(LabelSet(finished_set))
    found: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: pictures.clip_picture(video, 4, i)})) for i in range(45)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(45))
    assert all(pictures.clip_picture(video, 4, i) is data for i, data in found.items())


def test_after_the_end_nothing_is_decoded(finished_set: Path) -> None:
    video = LabelSet(finished_set).load().video("one")
    pictures = Pictures(LabelSet(finished_set))
    first = threading.Thread(target=lambda: pictures.clip(video, 3, []))
    first.start()
    first.join()
    pictures.close()
    with pytest.raises(NoPictureError, match="ended"):
        pictures.clip(video, 5, [])


def test_a_cache_forgets_what_was_not_used_for_longest() -> None:
    cache: Cache[str] = Cache(10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), cache.size) == ("A", None, "C", 8)
    cache.put("a", "AA", 9)
    assert (cache.get("a"), cache.get("c"), cache.size) == ("AA", None, 9)
    cache.put("d", "D", 11)
    assert (cache.get("a"), cache.get("d"), cache.size) == (None, None, 0)


def test_rows_carry_their_boxes_into_the_clip(finished_set: Path, pictures: Pictures) -> None:
    video = LabelSet(finished_set).load().video("one")
    drawn = Row(3, 9, (0.5, 0.5, 0.6, 0.6))
    boxes = pictures.clip(video, 3, [drawn])["boxes"]
    assert list(boxes) == [9]
    assert [box for box in boxes[9] if box is not None] == [[0.5, 0.5, 0.6, 0.6]]
