"""The synthetic data set: exact files, and classes that only time tells apart."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from vidbench.data import synthetic
from vidbench.data.synthetic import (
    CLASSES,
    QUANTITIES,
    SyntheticRequest,
    SyntheticResult,
    draw,
    frames,
    render,
)
from vidbench.errors import InputError

Floats = npt.NDArray[np.float32]
CHANCE = 1 / len(CLASSES)


def decode(path: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


# --- what is drawn


def test_a_clip_depends_on_its_own_coordinates_alone() -> None:
    spec = draw(3, "train", 2, 5)
    draw(3, "train", 2, 6)
    assert draw(3, "train", 2, 5) == spec
    others = [draw(4, "train", 2, 5), draw(3, "val", 2, 5), draw(3, "train", 3, 5), draw(3, "train", 2, 6)]
    assert len({spec.start, *(other.start for other in others)}) == 5


def test_splits_share_no_clip() -> None:
    starts = {
        split: {draw(0, split, label, index).start for label in range(len(CLASSES)) for index in range(40)}
        for split in synthetic.SPLITS
    }
    assert len(starts["train"]) == len(starts["val"]) == 40 * len(CLASSES)
    assert not starts["train"] & starts["val"]


@pytest.mark.parametrize("label", range(len(CLASSES)))
def test_one_quantity_advances_without_aliasing(label: int) -> None:
    for index in range(50):
        spec = draw(0, "train", label, index)
        moving = [abs(speed) for speed in spec.velocity if speed]
        assert len(moving) == 1
        # Eight frames spread over the whole clip are less than half a cycle apart.
        assert moving[0] * spec.count / float(spec.fps) / 8 < 0.5
        assert spec.width % 2 == spec.height % 2 == 0
        assert 40 <= spec.count <= 72


def test_every_quantity_is_uniform_for_every_class_at_every_time() -> None:
    count = 400
    for label in range(len(CLASSES)):
        states = np.stack([draw(1, "train", label, index).states()[[0, 13, 39]] for index in range(count)])
        assert states.shape == (count, 3, len(QUANTITIES))
        ordered = np.sort(states, axis=0)
        ranks = (np.arange(count)[:, None, None] + 0.5) / count
        # Kolmogorov and Smirnov's distance; 0.115 has a chance of 5e-5 each, and there are 72.
        assert np.abs(ordered - ranks).max() < 0.115


def test_appearance_is_drawn_alike_for_every_class() -> None:
    rows = np.array(
        [
            [
                (
                    *(spec.width, spec.height, spec.count, float(spec.fps), spec.radius, spec.ball, spec.arm),
                    *(spec.swell, *spec.figure, *spec.background[0]),
                )
                for spec in (draw(2, "train", label, index) for index in range(300))
            ]
            for label in range(len(CLASSES))
        ]
    )
    every = rows.reshape(-1, rows.shape[-1])
    z = (rows.mean(axis=1) - every.mean(axis=0)) / (every.std(axis=0) / np.sqrt(rows.shape[1]))
    assert np.abs(z).max() < 4


@pytest.mark.parametrize("shape", sorted(synthetic._SHAPES))
def test_a_shape_keeps_within_its_radius_and_shows_its_turning(shape: str) -> None:
    outline, eye = (values.reshape(synthetic._TABLE, -1) for values in synthetic._distances(shape))
    axis = ((np.arange(synthetic._TABLE) + 0.5) / synthetic._TABLE * 2 - 1) * synthetic._REACH
    far = np.hypot(axis[None, :], axis[:, None])
    inside = outline < 0
    assert 0.9 < far[inside].max() <= 1
    assert (inside & (eye < 0)).sum() == (eye < 0).sum() > 0
    for quarter in (1, 2, 3):
        turned = np.rot90(inside, quarter)
        assert (inside ^ turned).sum() > 0.15 * inside.sum()


def test_frames_are_what_the_spec_says() -> None:
    for label in range(len(CLASSES)):
        spec = draw(0, "val", label, 0)
        pictures = list(frames(spec))
        assert len(pictures) == spec.count
        assert {(picture.shape, picture.dtype.name) for picture in pictures} == {
            ((spec.height, spec.width, 3), "uint8")
        }
        assert any((pictures[0] != picture).any() for picture in pictures[1:])


def test_the_figure_tiles_the_plane() -> None:
    spec = next(
        spec for spec in (draw(0, "train", 0, index) for index in range(99)) if spec.width == 128 == spec.height + 32
    )
    flat = np.asarray(next(frames(spec)), int) - np.rint(synthetic._background(spec)).astype(int)
    shown = np.abs(flat).max(axis=-1) > 60
    assert shown.any()
    assert (shown[:, :32] == shown[:, 96:]).mean() > 0.98


# --- what is written


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SyntheticResult:
    out = tmp_path_factory.mktemp("small") / "set"
    return render(SyntheticRequest(out=out, train_per_class=2, val_per_class=1, seed=7))


def test_files_and_lists_are_exact(small: SyntheticResult) -> None:
    assert small.classes == CLASSES
    assert small.videos == {"train": 2 * len(CLASSES), "val": len(CLASSES)}
    wanted = [
        f"./train/{name}/{name}_{index:04d}.mp4 {label}\n" for label, name in enumerate(CLASSES) for index in range(2)
    ]
    assert small.lists["train"].read_bytes() == "".join(wanted).encode()
    wanted = [f"./val/{name}/{name}_0000.mp4 {label}\n" for label, name in enumerate(CLASSES)]
    assert small.lists["val"].read_bytes() == "".join(wanted).encode()
    assert (small.out / "classes.txt").read_bytes() == "".join(f"{name}\n" for name in CLASSES).encode()
    listed = {small.out / line.split(" ")[0] for path in small.lists.values() for line in path.read_text().splitlines()}
    files = {path for path in small.out.rglob("*") if path.is_file()}
    assert files - listed == {small.out / name for name in ("trainlist.txt", "vallist.txt", "classes.txt")} | {
        small.out / "synthetic.json"
    }
    assert sum(path.stat().st_size for path in listed) == small.bytes


def test_a_video_is_its_spec(small: SyntheticResult) -> None:
    spec = draw(7, "train", 4, 1)
    path = small.out / "train" / "spin" / "spin_0001.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == spec.fps
        assert isinstance(spec.fps, Fraction)
    decoded = decode(path)
    assert decoded.shape == (spec.count, spec.height, spec.width, 3)
    assert np.abs(decoded.astype(int) - np.stack(list(frames(spec)))).mean() < 6


def test_a_clip_does_not_depend_on_how_many_there_are(small: SyntheticResult, tmp_path: Path) -> None:
    other = render(SyntheticRequest(out=tmp_path / "set", train_per_class=1, val_per_class=1, seed=7))
    for path in sorted(other.out.rglob("*.mp4")):
        assert path.read_bytes() == (small.out / path.relative_to(other.out)).read_bytes()


def test_an_interrupted_render_goes_on_where_it_stopped(tmp_path: Path) -> None:
    request = SyntheticRequest(out=tmp_path / "set", train_per_class=1, val_per_class=1)
    first = render(request)
    lost = first.out / "train" / "spin" / "spin_0000.mp4"
    kept = first.out / "train" / "pulse" / "pulse_0000.mp4"
    before, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    lost.with_name(lost.name + ".part").write_bytes(b"half a video")
    first.lists["val"].unlink()
    assert render(request) == first
    assert lost.read_bytes() == before
    assert kept.stat().st_mtime_ns == stamp
    assert first.lists["val"].exists()
    assert not list(first.out.rglob("*.part"))


@pytest.mark.parametrize("change", [{"seed": 8}, {"train_per_class": 3}, {"val_per_class": 2}])
def test_another_request_is_refused(small: SyntheticResult, change: dict[str, int]) -> None:
    request = SyntheticRequest(out=small.out, train_per_class=2, val_per_class=1, seed=7)
    with pytest.raises(InputError, match=next(iter(change))) as caught:
        render(request.model_copy(update=change))
    assert str(small.out) in caught.value.remedy


def test_another_content_version_is_refused(small: SyntheticResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "CONTENT_VERSION", synthetic.CONTENT_VERSION + 1)
    with pytest.raises(InputError, match="content"):
        render(SyntheticRequest(out=small.out, train_per_class=2, val_per_class=1, seed=7))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="train"):
        render(SyntheticRequest(out=tmp_path))
    assert not (tmp_path / "synthetic.json").exists()
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="not a folder"):
        render(SyntheticRequest(out=file))


def test_a_failing_clip_stops_the_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> int:
        raise RuntimeError("the encoder broke")

    monkeypatch.setattr(synthetic, "encode", breaks)
    with pytest.raises(RuntimeError, match="the encoder broke"):
        render(SyntheticRequest(out=tmp_path / "set", train_per_class=1, val_per_class=1))
    assert not list((tmp_path / "set").glob("*list.txt"))


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    for bad in ({"train_per_class": 0}, {"seed": -1}, {"clips": 3}):
        with pytest.raises(ValidationError):
            SyntheticRequest.model_validate({"out": tmp_path, **bad})


def test_importing_it_stays_light() -> None:
    code = "import sys, vidbench.data.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- what the classes can be told by


Split = tuple[list[Floats], npt.NDArray[np.int64]]


@pytest.fixture(scope="module")
def drawn() -> dict[str, Split]:
    """Per split, clips as (frames, 32, 32, 3) in 0..1, cut to the centre square, and their labels."""
    return {
        split: (
            [
                _small(np.stack(list(frames(draw(0, split, label, index)))))
                for label in range(len(CLASSES))
                for index in range(count)
            ],
            np.repeat(np.arange(len(CLASSES)), count),
        )
        for split, count in (("train", 16), ("val", 12))
    }


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Split]:
    """The same from the videos that are written, with more of them for training."""
    request = SyntheticRequest(out=tmp_path_factory.mktemp("set") / "set", train_per_class=24, val_per_class=12)
    result = render(request)
    splits = {}
    for split, path in result.lists.items():
        clips, labels = [], []
        for line in path.read_text().splitlines():
            name, label = line.split(" ")
            clips.append(_small(decode(result.out / name)))
            labels.append(int(label))
        splits[split] = (clips, np.array(labels))
    return splits


def _small(clip: npt.NDArray[np.uint8], size: int = 32) -> Floats:
    height, width = clip.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = clip[:, top : top + side, left : left + side].astype(np.float32) / 255
    edges = np.linspace(0, side, size + 1).round().astype(int)
    for axis in (1, 2):
        square = np.add.reduceat(square, edges[:-1], axis=axis)
    area = np.diff(edges)
    small: Floats = (square / (area[:, None] * area)[..., None]).astype(np.float32)
    return small


def _stills(clips: list[Floats], labels: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Six frames of each clip, spread over it: (clips * 6, 32, 32, 3), and their labels."""
    picked = [clip[np.linspace(0, len(clip) - 1, 6).astype(int)] for clip in clips]
    return np.concatenate(picked), np.repeat(labels, 6)


def _motion(clip: Floats) -> Floats:
    """How the picture moves between every other frame, summed up over the clip."""
    grey = clip.mean(axis=-1)
    rows = []
    for before, after in pairwise(grey[:40:2]):
        down, across = np.gradient((before + after) / 2)
        change = after - before
        slopes = np.stack([across.ravel(), down.ravel()], axis=1)
        moved = np.abs(change) > 0.02
        slopes, change = slopes[moved.ravel()], change[moved]
        flow = -np.linalg.solve(slopes.T @ slopes + 1e-4 * np.eye(2), slopes.T @ change)
        energy = float((change**2).sum())
        rest = float(((change + slopes @ flow) ** 2).sum()) / (energy + 1e-6)
        contrast = np.abs(after - np.median(after)).sum() / np.abs(before - np.median(before)).sum() - 1
        rows.append([*flow, rest, energy, contrast])
    table = np.array(rows)
    return np.concatenate([table.mean(axis=0), table.std(axis=0)]).astype(np.float32)


def test_a_single_frame_tells_nothing_and_motion_does(drawn: dict[str, Split]) -> None:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    stills, labels = _stills(*drawn["train"])
    held, truth = _stills(*drawn["val"])
    linear = make_pipeline(StandardScaler(), RidgeClassifier(alpha=100.0))
    trees = ExtraTreesClassifier(60, min_samples_leaf=2, random_state=0)
    for model in (linear, trees):
        model.fit(stills[:, ::2, ::2].reshape(len(stills), -1), labels)
        seen = model.score(stills[:, ::2, ::2].reshape(len(stills), -1), labels)
        accuracy = model.score(held[:, ::2, ::2].reshape(len(held), -1), truth)
        print(type(model).__name__, "single frame: train", seen, "held out", accuracy)
        assert seen > 3 * CHANCE, "the model is too weak to find a leak"
        assert accuracy <= CHANCE + 0.10

    motion = {split: np.stack([_motion(clip) for clip in clips]) for split, (clips, _) in drawn.items()}
    trees = ExtraTreesClassifier(100, random_state=0).fit(motion["train"], drawn["train"][1])
    accuracy = trees.score(motion["val"], drawn["val"][1])
    print("motion: held out", accuracy)
    assert accuracy >= 0.8


@pytest.mark.slow
def test_a_network_learns_the_clips_but_not_the_stills(decoded: dict[str, Split]) -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)

    def accuracy(length: int, epochs: int) -> float:
        """Train a small 3-D CNN on `length` frames 0.16 s or so apart; return its held-out accuracy."""
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        nn = torch.nn
        layers: list[object] = []
        for before, after in ((3, 16), (16, 32), (32, 48)):
            layers += [nn.Conv3d(before, after, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False)]
            layers += [nn.BatchNorm3d(after), nn.ReLU()]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(48, len(CLASSES)))
        clips, labels = decoded["train"]

        def batch(clips: list[Floats], places: list[float]) -> object:
            span = 4 * (length - 1)
            starts = [int(place * (len(clip) - span)) for clip, place in zip(clips, places, strict=True)]
            picked = [clip[start : start + span + 1 : 4] for clip, start in zip(clips, starts, strict=True)]
            return torch.from_numpy(np.stack(picked)).permute(0, 4, 1, 2, 3).mul(4).sub(2)

        optimizer = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=0.02)
        steps = epochs * (len(clips) // 16)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
        for _ in range(epochs):
            order = rng.permutation(len(clips))
            for some in order.reshape(-1, 16):
                scores = net(batch([clips[place] for place in some], list(rng.random(16))))
                loss = nn.functional.cross_entropy(scores, torch.from_numpy(labels[some]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        net.eval()
        held, truth = decoded["val"]
        with torch.no_grad():
            found = [net(batch(held, [place] * len(held))).argmax(1).numpy() == truth for place in (0.0, 0.5, 0.99)]
        return float(np.mean(found))

    still, moving = accuracy(1, 40), accuracy(8, 40)
    print("network: one frame", still, "eight frames", moving)
    assert still <= CHANCE + 0.10
    assert moving >= 0.6
