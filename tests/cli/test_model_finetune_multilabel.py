"""`vidbench model finetune --task multilabel`: it learns, is measured by mean average precision, and reads frames."""

import json
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidbench.cli.app import main
from vidbench.formats.framelist import FrameLine, save_frames
from vidbench.video.encode import encode


def moving(right: int, red: int, seed: int, frames: int = 40) -> list[np.ndarray]:
    """A square before noise: it moves to the right or to the left, and it is red or blue."""
    draw = np.random.default_rng(seed)
    x, y = draw.integers(0, 72, 2)
    noise = draw.integers(60, 110, (72, 72, 3), dtype=np.uint8)
    pictures = []
    for number in range(frames):
        picture = noise.copy()
        across = (np.arange(20) + x + (number if right else -number)) % 72
        picture[np.ix_((np.arange(20) + y) % 72, across)] = (220, 40, 40) if red else (40, 60, 220)
        pictures.append(picture)
    return pictures


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists of videos of two classes that have nothing to do with each other: to the right, and red."""
    folder = tmp_path_factory.mktemp("moving")
    for name, each, seed in (("train", 8, 0), ("val", 3, 1000)):
        lines = []
        for number, (_, right, red) in enumerate(product(range(each), (0, 1), (0, 1))):
            path = folder / f"{name}{number}.mp4"
            encode(path, iter(moving(right, red, seed + number)), Fraction(30))
            labels = ",".join(str(label) for label, there in enumerate((right, red)) if there)
            lines.append(f"{path.name} {labels or '-'}\n")
        (folder / f"{name}.txt").write_text("".join(lines))
    (folder / "classes.txt").write_text("to the right\nred\n")
    return folder


def train(clips: Path, out: Path, *more: str) -> int:
    words = ["model", "finetune", "x3d_tiny", str(clips), "--task", "multilabel", "--flip", "0", "--device", "cpu"]
    return main([*words, "--workers", "1", "--warmup", "1", "--batch", "8", "--lr", "0.01", "--out", str(out), *more])


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def epochs(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "epochs.jsonl").read_text().splitlines()]


def steps(out: Path) -> list[str]:
    return (out / "steps.csv").read_text().splitlines()


def test_two_classes_of_a_video_are_learnt_at_once(videos, tmp_path, capsys) -> None:
    more = ("--val", str(videos / "val.txt"), "--classes", str(videos / "classes.txt"), "--epochs", "12")
    assert train(videos / "train.txt", tmp_path / "run", *more) == 0
    assert "mAP" in capsys.readouterr().out
    found = summary(tmp_path / "run")
    assert found["task"] == "multilabel"
    assert found["best_val_mean_ap"] >= 0.9
    records = epochs(tmp_path / "run")
    assert found["best_val_mean_ap"] == max(record["val_mean_ap"] for record in records)
    assert all(0 <= record["data_seconds"] <= record["seconds"] for record in records)
    assert "train_top1" not in records[0]

    # the folder is a model of several classes, and its evaluation the same figure
    words = ["model", "eval", str(tmp_path / "run"), str(videos / "val.txt"), "--views", "1x1", "--device", "cpu"]
    assert main([*words, "--workers", "1", "--out", str(tmp_path / "eval")]) == 0
    assert "mAP" in capsys.readouterr().out
    measured = summary(tmp_path / "eval")
    assert measured["task"] == "multilabel"
    assert measured["mean_ap"] == pytest.approx(found["best_val_mean_ap"], abs=0.05)
    assert [one["class"] for one in measured["per_class"]] == ["to the right", "red"]

    assert main(["report", str(tmp_path / "run"), str(tmp_path / "eval"), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Mean average precision over epochs" in page
    assert "a validation mean average precision of" in page
    assert "no accuracy on held-out clips" not in page


def test_options_reach_the_network(videos, tmp_path) -> None:
    losses = set()
    for number, more in enumerate(
        (
            (),
            ("--augment", "mixup:0.8", "--smoothing", "0.1"),
            ("--augment", "cutmix:1.0", "--augment", "smoothing:0.1"),
            ("--crop", "random-resized:0.5..1"),
            ("--repeat", "2"),
            ("--jitter", "64-80", "--jitter-rule", "inverse"),
        )
    ):
        out = tmp_path / str(number)
        assert train(videos / "train.txt", out, "--epochs", "1", "--limit", "4", *more) == 0
        (_, step) = steps(out)
        losses.add(step)
        assert epochs(out)[0]["clips"] == (8 if "--repeat" in more else 4)
    assert len(losses) == 6


@pytest.fixture(scope="module")
def frame_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos as frames that begin and end with a class, and one without a class."""
    folder = tmp_path_factory.mktemp("frames")
    rows = []
    for place, ends in enumerate((((0,), (1,)), ((1,), (0, 2)), ((), ()))):
        (folder / f"v{place}").mkdir()
        for number, picture in enumerate(moving(place % 2, 1, place, 60)):
            name = f"v{place}/{number:03d}.jpg"
            Image.fromarray(picture).save(folder / name)
            labels = ends[0] if number < 10 else ends[1] if number >= 50 else ()
            rows.append(FrameLine(f"v{place}", place, number, name, labels))
    save_frames(folder / "list.csv", rows)
    return folder / "list.csv"


def test_frame_lists_with_the_classes_of_the_clip_or_of_the_video(frame_list, tmp_path, capsys) -> None:
    for out, more in (("frames", ()), ("clip", ("--clip-labels", "clip")), ("video", ("--clip-labels", "video"))):
        words = ("--epochs", "2", "--val", str(frame_list), *more)
        assert train(frame_list, tmp_path / out, *words) == 0
    # a clip of 36 frames shows one end of a video of 60, or none
    assert steps(tmp_path / "frames") == steps(tmp_path / "clip")
    assert steps(tmp_path / "frames") != steps(tmp_path / "video")
    words = ["model", "eval", str(tmp_path / "video"), str(frame_list), "--protocol", "charades", "--views", "1x1"]
    assert main([*words, "--device", "cpu", "--workers", "1", "--out", str(tmp_path / "eval")]) == 0
    best = summary(tmp_path / "video")["best_val_mean_ap"]
    assert summary(tmp_path / "eval")["mean_ap"] == pytest.approx(best, abs=1e-6)


def test_lists_that_lack_something(videos, tmp_path, capsys) -> None:
    (tmp_path / "none.txt").write_text(f"{videos / 'train0.mp4'} -\n{videos / 'train1.mp4'} -\n")
    (tmp_path / "one.txt").write_text(f"{videos / 'train0.mp4'} 1\n{videos / 'train1.mp4'} -\n")
    assert train(tmp_path / "none.txt", tmp_path / "run") == 3
    assert "no clip of it has a class" in capsys.readouterr().err
    (tmp_path / "empty.txt").write_text("")
    assert train(tmp_path / "one.txt", tmp_path / "run", "--val", str(tmp_path / "empty.txt")) == 3
    assert "empty.txt" in capsys.readouterr().err

    # classes that nothing shows are said, and the training goes on; a validation without any has no figure
    more = ("--classes", str(videos / "classes.txt"), "--val", str(tmp_path / "none.txt"), "--epochs", "1")
    assert train(tmp_path / "one.txt", tmp_path / "run", *more) == 0
    told = capsys.readouterr().err
    assert "one.txt: class to the right of 2 without a clip: they cannot be learnt" in told
    assert "none.txt: classes to the right, red of 2 without a clip" in told
    assert summary(tmp_path / "run")["best_val_mean_ap"] is None
    assert summary(tmp_path / "run")["best_epoch"] == 1


def test_one_video_of_one_class(videos, tmp_path) -> None:
    (tmp_path / "one.txt").write_text(f"{videos / 'train0.mp4'} 0\n")
    assert train(tmp_path / "one.txt", tmp_path / "run", "--epochs", "1", "--val", str(tmp_path / "one.txt")) == 0
    assert summary(tmp_path / "run")["best_val_mean_ap"] == 1


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--clip-labels", "clip"], 2, "its lines are videos"),
        (["--clip-labels", "frame"], 2, "--clip-labels"),
        (["--repeat", "3"], 2, "--repeat"),
        (["--jitter", "32-64"], 2, "does not fit into a short side of 32"),
        (["--jitter", "large"], 2, "--jitter"),
        (["--crop", "random-resized", "--jitter", "64-80"], 2, "no short side"),
        (["--crop", "random-resized", "--jitter-rule", "inverse"], 2, "--jitter-rule"),
        (["--crop", "random-resized:2..3"], 2, "--crop"),
    ],
)
def test_wrong_options(videos, tmp_path, capsys, more, code, message) -> None:
    assert train(videos / "train.txt", tmp_path / "run", *more) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_clips_of_one_class_have_that_of_their_video(frame_list, tmp_path, capsys) -> None:
    rows = [line.rsplit(" ", 1)[0] for line in frame_list.read_text().splitlines()[1:61]]
    (tmp_path / "one.csv").write_text(
        "original_vido_id video_id frame_id path labels\n" + "".join(f'{row} "0"\n' for row in rows)
    )
    words = ["model", "finetune", "x3d_tiny", str(tmp_path / "one.csv"), "--root", str(frame_list.parent)]
    words += ["--epochs", "1", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert main([*words, "--clip-labels", "clip", "--out", str(tmp_path / "other")]) == 2
    assert "a clip has one class" in capsys.readouterr().err
