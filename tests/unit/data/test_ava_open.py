"""Where pictures come from: second N of an export is second N of the film, by frames and straight from it."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from vidbench.data.ava_set import read_ava_set
from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo, Split
from vidbench.label.export_ava import ExportAvaRequest, export_ava
from vidbench.label.store import LabelSet
from vidbench.video.encode import encode

LEFT = (0.1, 0.2, 0.3, 0.9)
RIGHT = (0.5, 0.2, 0.7, 0.95)


def level(second: int) -> int:
    """The grey level of all frames of a second; neighbours differ by at least 18."""
    return 30 + 18 * (second % 11)


def labelled(folder: Path, videos: dict[str, tuple[int, int, Split, list[Row]]]) -> Path:
    """A labelled set of films whose grey tells the second: seconds, frames a second, part and rows of each."""
    labels, held = LabelSet(folder), []
    (folder / "films").mkdir(parents=True)
    for name, (seconds, fps, split, _) in videos.items():
        path = folder / "films" / f"{name}.mp4"
        frames = (np.full((32, 32, 3), level(index // fps), np.uint8) for index in range(seconds * fps))
        encode(path, frames, Fraction(fps))
        size = path.stat().st_size
        held.append(SetVideo(name, f"films/{name}.mp4", size, 32, 32, str(fps), seconds * 30, 2, seconds - 2, split))
    labels.save(SetFile((SetAction(1, "stand"), SetAction(12, "walk")), tuple(held), {}))
    for name, (_, _, _, rows) in videos.items():
        labels.save_rows(name, rows)
    return folder


def test_frames_and_films_of_a_set_give_the_same_second(tmp_path) -> None:
    rows = [
        Row(2, 0, LEFT, actions=(1, 12)),
        Row(2, 1, RIGHT, actions=()),
        Row(4, 0, LEFT, actions=(12,)),
        Row(5, 0, LEFT, actions=None),
    ]
    folder = labelled(tmp_path / "set", {"walk": (8, 30, "train", rows), "sit": (8, 25, "val", rows)})
    export_ava(ExportAvaRequest(folder=folder, jobs=1))
    for part in ("train", "val"):
        found = read_ava_set(folder, part, boxes="both")
        # the person who does nothing is there, the one without an answer is not
        assert [(one.second, one.labels) for one in found.keyframes] == [(902, ((1, 12), ())), (904, ((12,),))]
        straight = read_ava_set(folder, part, boxes="both", videos=folder / "films")
        assert [one.key for one in straight.keyframes] == [one.key for one in found.keyframes]
        for one in found.keyframes:
            clip = [one.centre - 14, one.centre + 14]
            for data in (found, straight):
                shown = data.sources[one.video].read([one.centre, *clip]).data.mean(axis=(1, 2, 3))
                assert np.abs(shown[[0, 2]] - level(one.second - 900)).max() < 3
                assert abs(shown[1] - level(one.second - 901)) < 3


def test_the_second_part_of_a_long_film_is_read_straight_from_it(tmp_path) -> None:
    rows = [Row(second, 0, LEFT, actions=(1,)) for second in (3, 898, 899, 905)]
    folder = labelled(tmp_path / "set", {"film": (910, 1, "train", rows)})
    export_ava(ExportAvaRequest(folder=folder, jobs=1, frames=False))
    found = read_ava_set(folder, "train")
    assert [(one.video, one.second) for one in found.keyframes] == [
        ("film_p01", 903), ("film_p01", 1798), ("film_p02", 902), ("film_p02", 908),
    ]  # fmt: skip
    assert (found.sources["film_p01"].from_s, found.sources["film_p02"].from_s) == (0, 897)
    for one, second in zip(found.keyframes, (3, 898, 899, 905), strict=True):
        shown = found.sources[one.video].read([one.centre - 29, one.centre - 1, one.centre, one.centre + 29]).data
        levels = [level(second - 1), level(second - 1), level(second), level(second)]
        assert np.abs(shown.mean(axis=(1, 2, 3)) - levels).max() < 3
