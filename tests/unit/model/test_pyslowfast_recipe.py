"""PySlowFast's configuration files: every key has a fate, and what the file leaves open is as PySlowFast has it."""

from __future__ import annotations

import pytest

from vidbench.errors import InputError
from vidbench.model.finetune_request import FinetuneRequest
from vidbench.model.pyslowfast_recipe import effective_steps, read_pyslowfast

# as the custom AVA sets are trained, with the faults that such files have
AVA = """\
TRAIN:
  ENABLE: True
  DATASET: ava
  BATCH_SIZE: 16
  CHECKPOINT_FILE_PATH: /nowhere/SLOWFAST_32x2_R101_50_50.pkl
DATA:
  NUM_FRAMES: 32
  SAMPLING_RATE: 2
  TRAIN_CROP_SIZE: 224
  TEST_CROP_SIZE: 256
DETECTION:
  ENABLE: True
AVA:
  DETECTION_SCORE_THRESH: 0.8
  FRAME_DIR: "/data/frames"
SLOWFAST:
  ALPHA: 4
RESNET:
  DEPTH: 101
  NUM_BLOCK_TEMP_KERNEL: [[3, 3], [4, 4], [6, 6], [3, 3]]
SOLVER:
  BASE_LR: 0.1
  LR_POLICY: steps_with_relative_lrs
  STEPS: [0, 10, 15, 20]
  LRS: [1, 0.1, 0.01, 0.001]
  MAX_EPOCH: 100
  MAX_EPOCH: 20
  WEIGHT_DECAY: 1e-7
  WARMUP_EPOCHS: 5
  WARMUP_START_LR: 0.000125
  NESTEROV: True
TENSORBOARD:
  MODEL_VIS:
    TOPK: 2
NUM_GPUS: 8
PREFETCH: 1
"""
MVIT = """\
TRAIN: {DATASET: kinetics, BATCH_SIZE: 16}
DATA:
  NUM_FRAMES: 16
  SAMPLING_RATE: 4
  TRAIN_CROP_SIZE: 224
  TRAIN_JITTER_SCALES_RELATIVE: [0.08, 1.0]
  TRAIN_JITTER_ASPECT_RELATIVE: [0.75, 1.3333]
  USE_OFFSET_SAMPLING: True
MVIT:
  DEPTH: 16
  USE_ABS_POS: False
  PATCH_KERNEL: (3, 7, 7)
AUG: {ENABLE: True, NUM_SAMPLE: 2, AA_TYPE: rand-m7-n4-mstd0.5-inc1}
MIXUP: {ENABLE: True}
SOLVER:
  BASE_LR: 0.0001
  BASE_LR_SCALE_NUM_SHARDS: True
  COSINE_AFTER_WARMUP: True
  COSINE_END_LR: 1e-6
  WARMUP_START_LR: 1e-6
  WARMUP_EPOCHS: 30.0
  MAX_EPOCH: 200
  CLIP_GRAD_L2NORM: 1.0
  ZERO_WD_1D_PARAM: True
  OPTIMIZING_METHOD: adamw
MODEL: {ARCH: mvit, MODEL_NAME: MViT}
TEST: {NUM_SPATIAL_CROPS: 1, NUM_ENSEMBLE_VIEWS: 5}
NUM_SHARDS: 8
"""


def test_every_key_of_a_file_has_one_fate() -> None:
    found = read_pyslowfast(AVA, "a.yaml")

    assert found.unknown == {"TENSORBOARD.MODEL_VIS.TOPK": 34, "PREFETCH": 36}
    assert found.twice == {"SOLVER.MAX_EPOCH": (26, 27)}
    assert found.applied["SOLVER.MAX_EPOCH"] == "epochs"
    assert set(found.same) == {"TRAIN.ENABLE", "SOLVER.NESTEROV"}
    assert set(found.idle) == {"TRAIN.CHECKPOINT_FILE_PATH", "AVA.FRAME_DIR", "NUM_GPUS"}
    assert "--init says" in found.idle["TRAIN.CHECKPOINT_FILE_PATH"]
    assert found.assumed["momentum"] == ("SOLVER.MOMENTUM",)
    told = "\n".join(found.lines())
    assert "unknown keys: TENSORBOARD.MODEL_VIS.TOPK (line 34), PREFETCH (line 36)" in told
    assert "SOLVER.MAX_EPOCH stands twice, on lines 26 and 27: the last counts" in told


def test_settings_of_a_detection_file() -> None:
    values = read_pyslowfast(AVA, "a.yaml").values

    expected = {
        "model": "slowfast_32x2_r101_50_50_ava", "task": "detect", "epochs": 20, "batch": 16, "base_batch": 16,
        "lr": 0.1, "weight_decay": 1e-7, "schedule": "steps", "steps": [0, 10, 15], "step_factors": [1, 0.1, 0.01],
        "warmup": 5.0, "optimizer": "sgd", "momentum": 0.9, "frames": 32, "stride": 2, "crop_size": 224,
        "short_side": 256, "jitter": "256-320", "jitter_rule": "inverse", "dropout": 0.5, "min_score": 0.8,
        "precise_bn": 0, "clip_norm": 0.0, "flip": 0.5,
    }  # fmt: skip
    assert expected.items() <= values.items()
    assert values["warmup_start"] == pytest.approx(0.00125)


def test_regions_and_the_test_of_a_detection_file() -> None:
    strides = "RESNET: {SPATIAL_STRIDES: [[1, 1], [2, 2], [2, 2], [1, 1]]}\nDETECTION: {ENABLE: True, ALIGNED: False}\n"
    found = read_pyslowfast(f"MODEL: {{ARCH: slowfast}}\nTRAIN: {{DATASET: ava}}\n{strides}", "a.yaml")

    assert (found.values["aligned"], found.values["dilated"]) == (False, True)
    assert found.test == {"task": "detect", "boxes": "detected", "min_score": "0.9", "scorer": "pyslowfast"}
    plain = read_pyslowfast(AVA, "a.yaml")
    assert plain.values["aligned"]
    assert "dilated" not in plain.values


def test_settings_of_a_transformer_file() -> None:
    found = read_pyslowfast(MVIT, "m.yaml")

    expected = {
        "model": "mvit_v2_s", "task": "classify", "batch": 32, "repeat": 2, "base_batch": 32, "lr": 1e-4,
        "final_lr": 1e-6, "clip_norm": 1.0, "optimizer": "adamw", "crop": "random-resized:0.08..1",
    }  # fmt: skip
    assert expected.items() <= found.values.items()
    assert not {"jitter", "jitter_rule", "momentum"} & found.values.keys()
    assert found.test == {"protocol": "pyslowfast-offset", "views": "5x1"}
    assert found.unknown == {}
    request = FinetuneRequest.model_validate({**found.values, "clips": "list.txt"})
    assert (request.augment.mixup, request.augment.cutmix, request.augment.erasing) == (0.8, 1.0, 0.25)
    assert (request.augment.randaugment, request.augment.smoothing) == ("m7-n4-mstd0.5-inc1", 0.1)


def test_machines_that_the_rate_is_not_scaled_by_are_in_the_base() -> None:
    text = "TRAIN: {BATCH_SIZE: 64}\nNUM_SHARDS: 4\nSOLVER: {BASE_LR_SCALE_NUM_SHARDS: %s}\n"

    assert read_pyslowfast(text % "True", "a").values["base_batch"] == 64
    assert read_pyslowfast(text % "False", "a").values["base_batch"] == 256


def test_a_cosine_from_the_first_epoch_is_told() -> None:
    found = read_pyslowfast("SOLVER: {WARMUP_EPOCHS: 34, COSINE_AFTER_WARMUP: False}\n", "a")

    assert "begins after the rise" in found.idle["SOLVER.COSINE_AFTER_WARMUP"]
    assert found.values["warmup_start"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("steps", "shares", "epochs", "expected"),
    [
        ([0, 41, 49], [1, 0.1, 0.01], 57, ([0, 41, 49], [1, 0.1, 0.01])),
        # an older file of PySlowFast: from 10 on no later step is to come, so that the last share holds
        ([0, 10, 5, 5], [1, 0.1, 0.01, 0.001], 20, ([0, 10], [1, 0.001])),
        ([0, 10, 15, 20], [1, 0.1, 0.01, 0.001], 20, ([0, 10, 15], [1, 0.1, 0.01])),
    ],
    ids=["rising", "not-rising", "at-the-end"],
)
def test_steps_as_pyslowfast_counts_them(
    steps: list[float], shares: list[float], epochs: int, expected: tuple[list[float], list[float]]
) -> None:
    assert effective_steps(steps, shares, epochs) == expected


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("MODEL: {ARCH: slow}\nDATA: {NUM_FRAMES: 4, SAMPLING_RATE: 16}\n", "slow_r50_4x16"),
        ("MODEL: {ARCH: slowfast}\nSLOWFAST: {ALPHA: 4}\nDATA: {NUM_FRAMES: 32, SAMPLING_RATE: 2}\n", "slowfast_r50"),
        ("MODEL: {ARCH: x3d}\nDATA: {NUM_FRAMES: 16, SAMPLING_RATE: 5, TRAIN_CROP_SIZE: 312}\n", "x3d_l"),
        ("MODEL: {ARCH: i3d}\nNONLOCAL: {LOCATION: [[[]], [[1]], [[1]], [[]]]}\n", "i3d_nln_r50"),
        ("MODEL: {ARCH: r2plus1d_18, MODEL_NAME: VSSL}\n", "r2plus1d_18"),
        ("MODEL: {ARCH: other}\n", None),
    ],
    ids=["slow", "slowfast", "x3d", "nonlocal", "name", "none"],
)
def test_networks_of_the_catalogue(text: str, model: str | None) -> None:
    found = read_pyslowfast(text, "a.yaml")

    assert found.values.get("model") == model
    assert ("MODEL.ARCH" in found.idle) == (model is None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SOLVER:\n  BASE_LR: fast\n", r"a\.yaml:2: SOLVER\.BASE_LR: 'fast'"),
        ("SOLVER:\n  LR_POLICY: exp\n", r"a\.yaml:2: SOLVER\.LR_POLICY"),
        ("SOLVER: {WARMUP_EPOCHS: 1, WARMUP_START_LR: 1}\n", "would be a fall"),
        ("SLOWFAST: {ALPHA: 0}\n", "whole number from 1"),
        ("A: [1\n", r"a\.yaml:2: not YAML"),
        ("- 1\n", "no configuration"),
        ("A: !!python/object/apply:os.system [ls]\n", r"a\.yaml:1: not YAML"),
        ("A: &x [1]\nB: *x\n", "aliases"),
        ("_BASE_: other.yaml\n", "builds on"),
        ("A:\n  B: 2001-99-99\n", r"a\.yaml:2: no value: month"),
        ("SOLVER:\n  MAX_EPOCH: .inf\n", r"a\.yaml:2: SOLVER\.MAX_EPOCH: inf"),
        ("DATA:\n  TRAIN_JITTER_SCALES: [.inf, 3]\n", r"a\.yaml:2: DATA\.TRAIN_JITTER_SCALES"),
        ("DATA:\n  MEAN: [.nan, 0, 0]\n", "three numbers"),
    ],
    ids=[
        "number",
        "policy",
        "fall",
        "alpha",
        "broken",
        "list",
        "tag",
        "alias",
        "base",
        "date",
        "endless",
        "scales",
        "mean",
    ],
)
def test_refused_files(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_pyslowfast(text, "a.yaml")


def test_a_section_that_stands_twice_is_told_and_the_last_read() -> None:
    found = read_pyslowfast("SOLVER:\n  BASE_LR: 0.5\nTRAIN: {BATCH_SIZE: 8}\nSOLVER:\n  MAX_EPOCH: 3\n", "a.yaml")

    # as yaml does: the first section is gone whole
    assert (found.values["lr"], found.values["epochs"]) == (0.1, 3)
    assert found.twice == {"SOLVER": (1, 4)}


def test_an_empty_file_is_pyslowfasts_defaults() -> None:
    found = read_pyslowfast("", "a.yaml")

    assert (found.values["epochs"], found.values["batch"], found.values["lr"]) == (300, 64, 0.1)
    assert found.applied == {}


def test_a_start_that_is_no_path_is_told() -> None:
    for path in ("a" * 5000, "a\\0b"):
        found = read_pyslowfast(f'TRAIN:\n  CHECKPOINT_FILE_PATH: "{path}"\n', "a.yaml")

        assert "init" not in found.values
        assert "--init says what" in found.idle["TRAIN.CHECKPOINT_FILE_PATH"]
