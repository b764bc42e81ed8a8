"""Clips around keyframes: after scale, crop and flip a box is where its person is; and the figure of a validation."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.ava_data import HEIGHT, WIDTH, annotate, ava_folder, box, render
from vidbench.data.ava_set import AvaSet, read_ava_set
from vidbench.errors import InputError, UsageError
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.footage import Shrunk
from vidbench.model.score import ScoreRequest, score
from vidbench.model.train.ava_data import AvaData
from vidbench.model.train.ava_pictures import PictureStore
from vidbench.model.train.ava_placing import AvaPlacing
from vidbench.model.train.ava_samples import AvaSamples
from vidbench.model.train.ava_settings import AvaSettings
from vidbench.model.train.batch import Batch
from vidbench.model.train.feed import Feed
from vidbench.model.train.placing import Placing
from vidbench.model.zoo import Preprocess
from vidbench.video.encode import encode
from vidbench.video.fit import Fit

CLIP = Preprocess(frames=4, stride=2, short_side=48, crop=40, wide=48)
NO_AUGMENT = AugmentSettings.model_validate({})
CENTRE = 2
FAR = "0.900,0.800,0.990,0.990"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    return ava_folder(tmp_path_factory.mktemp("ava"))


@pytest.fixture(scope="module")
def data(rendered) -> AvaSet:
    return read_ava_set(rendered, "train")


def samples(
    data: AvaSet,
    *,
    faithful: bool = False,
    min_visible: float = 0.25,
    augment: AugmentSettings = NO_AUGMENT,
    budget: int = 2**24,
    **placing: object,
) -> AvaSamples:
    placed = replace(Placing(crop=CLIP.crop, low=44, high=60), **placing)
    return AvaSamples(
        data,
        train=PictureStore(Shrunk(placed.short_side, "exact"), budget),
        centre=PictureStore(Fit(CLIP.short_side, "exact"), budget),
        preprocess=CLIP,
        placing=AvaPlacing(placed, min_visible, faithful),
        augment=augment,
    )


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def red(clip: torch.Tensor) -> tuple[float, float, float, float]:
    """Where the square is in the centre frame of a clip, edges between pixels interpolated."""
    reds = (clip[0, CENTRE] - clip[1, CENTRE]).clamp(0, 0.8) / 0.8
    across, down = reds.max(0).values, reds.max(1).values
    xs, ys = (torch.nonzero(line > 0.5).flatten() for line in (across, down))
    return float(xs[0]), float(ys[0]), float(xs[-1]), float(ys[-1])


@pytest.mark.parametrize(
    "placing",
    [{"flip": 0.0}, {"flip": 1.0}, {"inverse": True}, {"area": (0.3, 1.0)}],
    ids=["plain", "flipped", "inverse", "part"],
)
def test_the_box_holds_the_square_after_scale_crop_and_flip(data, placing) -> None:
    ours = samples(data, **placing)
    for number in range(12):
        sample = ours.random(number % len(ours), seeded(number))
        assert sample.clip.shape == (3, 4, 40, 40)
        assert sample.clip.is_contiguous()
        assert sample.boxes is not None
        assert sample.boxes.shape == (1, 4)
        np.testing.assert_allclose(sample.boxes[0].numpy(), red(sample.clip), atol=2.6)
    assert ours.shown == 12


def test_a_clip_is_random_by_its_generator_alone_and_the_same_without_memory(data) -> None:
    ours, bare = samples(data), samples(data, budget=0)
    first = ours.random(3, seeded(1))
    for other in (ours.random(3, seeded(1)), bare.random(3, seeded(1))):
        assert torch.equal(first.clip, other.clip)
        assert torch.equal(first.boxes, other.boxes)
    assert not torch.equal(first.clip, ours.random(3, seeded(2)).clip)


def test_neighbouring_keyframes_share_pictures_and_memory_is_bounded(data) -> None:
    source = data.sources["one"]
    asked: list[list[int]] = []

    class Counted(PictureStore):
        def clip(self, source, indices):
            asked.append(sorted(set(indices) - {number for _, number in self._kept}))
            return super().clip(source, indices)

    store = Counted(Fit(48, "exact"), 3 * 48 * 72 * 3 * 4)
    store.clip(source, (10, 12, 14))
    store.clip(source, (12, 14, 16))
    store.clip(source, (14, 16))
    assert asked == [[10, 12, 14], [16], [16]]


def test_targets_are_by_rising_class_id(data) -> None:
    ours = samples(data)
    assert ours.centre(0).target.tolist() == [[1.0, 1.0]]
    assert ours.centre(4).target.tolist() == [[0.0, 1.0]]
    assert ours.name(4) == "two,0902"


def test_the_centre_is_the_whole_frame(data) -> None:
    sample = samples(data).centre(2)
    assert sample.clip.shape == (3, 4, 48, 72)
    scale = 48 / HEIGHT
    expected = np.array([float(value) for value in box(904).split(",")]) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    np.testing.assert_allclose(sample.boxes[0].numpy(), expected * scale, atol=1e-4)
    np.testing.assert_allclose(sample.boxes[0].numpy(), red(sample.clip), atol=2.1)


def far_set(rendered, tmp_path) -> AvaSet:
    """The square, and a person in the far corner, where few crops reach."""
    (tmp_path / "videos_15min").symlink_to(rendered / "videos_15min")
    annotate(tmp_path, "ava_train_v2.2.csv", [f"one,0902,{box(902)},1,0", f"one,0902,{FAR},4,1"])
    return read_ava_set(tmp_path, "train")


def test_boxes_outside_the_crop_are_left_out_and_faithfully_kept_without_area(rendered, tmp_path) -> None:
    data = far_set(rendered, tmp_path)
    ours, theirs = samples(data, flip=0.0), samples(data, flip=0.0, faithful=True)
    flat = 0
    for number in range(20):
        sample = ours.random(0, seeded(number))
        sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
        assert len(sample.boxes) == len(sample.target) >= 1
        assert (sides >= 1).all()
        kept = theirs.random(0, seeded(number))
        assert kept.boxes.shape == (2, 4)
        sides = kept.boxes[:, 2:] - kept.boxes[:, :2]
        flat += int((sides.prod(1) == 0).sum())
        assert (kept.boxes >= 0).all()
        assert (kept.boxes <= 39).all()
    assert flat > 5
    assert ours.left_out >= 10
    assert (theirs.shown, theirs.left_out) == (40, 0)


def test_a_crop_without_a_box_is_drawn_again_and_at_last_laid_around_one(rendered, tmp_path) -> None:
    (tmp_path / "videos_15min").symlink_to(rendered / "videos_15min")
    tiny = "0.990,0.985,0.995,0.990"
    annotate(tmp_path, "ava_train_v2.2.csv", [f"one,0902,{tiny},1,0"])
    data = read_ava_set(tmp_path, "train")
    ours = samples(data, flip=0.0)
    for number in range(5):
        sample = ours.random(0, seeded(number))
        # less than a pixel wide, so no crop is good enough; it is in the last one all the same
        assert sample.boxes.shape == (1, 4)
        assert (sample.boxes[0] > 36).all()
        assert torch.equal(sample.clip, ours.random(0, seeded(number)).clip)


@pytest.mark.parametrize(
    ("augment", "named"),
    [
        ({"randaugment": "m7-n4"}, "randaugment"),
        ({"mixup": 0.8}, "mixup"),
        ({"cutmix": 1.0}, "cutmix"),
        ({"w4": [{"name": "rotate"}, {"name": "rain"}]}, "rotate"),
    ],
    ids=["randaugment", "mixup", "cutmix", "rotate"],
)
def test_what_moves_pixels_is_refused(data, augment, named) -> None:
    with pytest.raises(UsageError, match=named):
        samples(data, augment=AugmentSettings.model_validate(augment))


def test_colour_changes_the_clip_and_not_the_boxes(data) -> None:
    plain = samples(data).random(0, seeded(5))
    bright = samples(data, augment=AugmentSettings.model_validate({"brightness": 0.4})).random(0, seeded(5))
    assert torch.equal(plain.boxes, bright.boxes)
    assert not torch.equal(plain.clip, bright.clip)


# --- a whole task -------------------------------------------------------------------------------------------------


def sampling(**more: object) -> SimpleNamespace:
    asked = {
        "model": "x", "decoder": "pyav", "jitter": 1.25, "jitter_rule": "uniform", "crop": "jitter", "flip": 0.5,
        "repeat": 1, "clip_labels": None, "augment": NO_AUGMENT, "cache_mb": 16,
    }  # fmt: skip
    return SimpleNamespace(**asked | more)


@pytest.fixture
def two_shapes(rendered, tmp_path) -> Path:
    """A folder whose second video is higher than the first."""
    (tmp_path / "videos_15min").mkdir()
    render(tmp_path / "videos_15min" / "one.mp4")
    tall = (np.full((96, 64, 3), 40 + number // 4, np.uint8) for number in range(240))
    encode(tmp_path / "videos_15min" / "two.mp4", tall, Fraction(30))
    for path in (rendered / "annotations").iterdir():
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_validation_batches_have_one_shape_and_training_batches_mix_videos(two_shapes) -> None:
    task = AvaData(two_shapes, None, AvaSettings())
    assert (task.names, task.ids) == (("stand", "walk"), (1, 4))
    train, val = task.open(CLIP, sampling())
    assert val is not None
    with ThreadPoolExecutor(2) as pool:
        feed = Feed(seed=0, batch=3, pool=pool)
        shapes = [(len(batch), tuple(batch.clips.shape[3:])) for batch in feed.centre(val)]
        batches = list(feed.training(train, 1, 0))
        again = list(Feed(seed=0, batch=3, pool=pool).training(train, 1, 0))
    assert shapes == [(3, (48, 72)), (1, (48, 72)), (3, (72, 48)), (1, (72, 48))]
    assert [len(batch) for batch in batches] == [3, 3, 2]
    for one, other in zip(batches, again, strict=True):
        assert torch.equal(one.clips, other.clips)
        assert one.boxes is not None
        assert other.boxes is not None
        assert torch.equal(one.boxes, other.boxes)
        assert one.boxes[:, 0].tolist() == sorted(one.boxes[:, 0].tolist())


def logits_for(batch: Batch, seed: int) -> torch.Tensor:
    assert batch.boxes is not None
    return torch.randn(len(batch.boxes), 2, generator=seeded(seed))


def test_the_figure_is_that_of_model_score(rendered, tmp_path) -> None:
    (tmp_path / "videos_15min").symlink_to(rendered / "videos_15min")
    (tmp_path / "annotations").mkdir()
    for path in (rendered / "annotations").iterdir():
        (tmp_path / "annotations" / path.name).write_bytes(path.read_bytes())
    rows = [f"{video},{second:04d},{place},-1,0.95" for video in ("one", "two") for second in (902, 903, 904)
            for place in (box(second), FAR)]  # fmt: skip
    # a second without ground truth, and one of the ground truth (905) without a detected box
    annotate(tmp_path, "ava_val_predicted_boxes.csv", [*rows, f"one,0906,{FAR},-1,0.95", f"one,0906,{FAR},-1,0.1"])
    excluded = annotate(tmp_path, "ava_val_excluded_timestamps_v2.2.csv", ["two,0902"])
    task = AvaData(tmp_path, None, AvaSettings())
    _, val = task.open(CLIP, sampling())
    assert val is not None
    assert len(val) == 6
    meter, parts = task.objective.meter(), [task.objective.meter() for _ in range(2)]
    lines = []
    with ThreadPoolExecutor(1) as pool:
        for place, batch in enumerate(Feed(seed=0, batch=2, pool=pool).centre(val)):
            logits = logits_for(batch, place)
            meter.add(logits, batch)
            parts[place // 2].add(logits, batch)
            assert batch.boxes is not None
            scores = torch.sigmoid(logits).double().tolist()
            row = 0
            for name in batch.names:
                for corners in next(one for one in task.val.keyframes if f"{one.video},{one.second:04d}" == name).boxes:
                    where = ",".join(repr(float(value)) for value in corners)
                    lines += [f"{name},{where},{k},{score!r}" for k, score in zip((1, 4), scores[row], strict=True)]
                    row += 1
    detections = annotate(tmp_path, "detections.csv", lines)
    expected = score(
        ScoreRequest(
            detections=detections,
            groundtruth=tmp_path / "annotations" / "ava_val_v2.2.csv",
            labels=str(tmp_path / "annotations" / "ava_action_list_v2.2_for_activitynet_2019.pbtxt"),
            exclude=excluded,
            scorer="pyslowfast",
        )
    ).mean_ap
    found = meter.result()["mean_ap"]
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 < expected < 1
    joint = task.objective.meter()
    joint.merge([part.state() for part in parts])
    assert joint.result()["mean_ap"] == found


def test_keyframes_that_could_not_be_read_count_neither_way(rendered) -> None:
    task = AvaData(rendered, None, AvaSettings(boxes="truth", val_boxes="truth"))
    _, val = task.open(CLIP, sampling())
    assert val is not None
    meter = task.objective.meter()
    with ThreadPoolExecutor(1) as pool:
        batch = next(iter(Feed(seed=0, batch=2, pool=pool).centre(val)))
    meter.add(batch.targets * 8 - 4, batch)
    assert meter.result() == {"mean_ap": pytest.approx(1.0)}
    assert task.objective.meter().result() == {"mean_ap": None}
    loss = task.objective.loss(batch.targets * 20 - 10, batch.targets)
    assert float(loss) < 1e-3


def test_a_resumed_run_has_to_find_the_same_data(rendered, tmp_path) -> None:
    one = AvaData(rendered, None, AvaSettings()).resolved()
    assert one == AvaData(rendered, None, AvaSettings()).resolved()
    assert one["train_sha256"] != AvaData(rendered, None, AvaSettings(negatives=False)).resolved()["train_sha256"]
    assert one["train_keyframes"] == 8


def test_parts_with_other_classes_and_networks_with_another_rate(rendered, tmp_path) -> None:
    (tmp_path / "videos_15min").symlink_to(rendered / "videos_15min")
    annotate(tmp_path, "ava_val_v2.2.csv", [f"one,0902,{box(902)},1,0"])
    with pytest.raises(InputError, match="same classes"):
        AvaData(rendered, tmp_path, AvaSettings())
    assert AvaData(rendered, tmp_path, AvaSettings(), validate=False).val is None
    with pytest.raises(UsageError, match="24 frames a second"):
        AvaData(rendered, None, AvaSettings()).open(replace(CLIP, target_fps=24), sampling())
