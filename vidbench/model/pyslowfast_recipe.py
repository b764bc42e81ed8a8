"""PySlowFast's configuration files as settings of ours, and what became of each of their keys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidbench.errors import InputError
from vidbench.model.protocol import RULES
from vidbench.model.pyslowfast_keys import DEFAULTS, SAME, idle_reason
from vidbench.model.pyslowfast_model import catalogue_model
from vidbench.model.pyslowfast_yaml import Config, read_config

Json = dict[str, Any]
YAML = (".yaml", ".yml")
_RESIDUAL = ("slow", "slowfast", "c2d", "i3d")
_SETS = {"ava": "detect", "charades": "multilabel"}
_OPTIMIZERS = {"sgd": "sgd", "adamw": "adamw", "mt_adamw": "adamw"}


@dataclass(frozen=True)
class Setting:
    """A setting and the keys that it was made of."""

    value: Any
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """What a configuration file means.

    Attributes:
        values: Fields of `FinetuneRequest`.
        test: How it tests, as options of `model eval`.
        applied: Keys of the file and the settings that they decide.
        same: Keys that say what is done here anyway, and what that is.
        assumed: Settings that the file leaves to PySlowFast's defaults, and the keys.
        idle: Known keys without effect, and why.
        unknown: Keys that PySlowFast does not have, and their lines.
        twice: Keys that stand more than once, with all lines; the last one counts.
    """

    values: Json
    test: dict[str, str]
    applied: dict[str, str]
    same: dict[str, str]
    assumed: dict[str, tuple[str, ...]]
    idle: dict[str, str]
    unknown: dict[str, int]
    twice: dict[str, tuple[int, ...]]

    def lines(self) -> tuple[str, ...]:
        """What the user is told, a line for each kind; idle keys are grouped by their reason."""
        told = []
        if self.applied:
            told.append("applied: " + ", ".join(f"{key} ({setting})" for key, setting in self.applied.items()))
        if self.assumed:
            told.append(
                "not in the file, so as PySlowFast has it: "
                + ", ".join(f"{'/'.join(keys)} ({name})" for name, keys in self.assumed.items())
            )
        if self.same:
            told.append("the same here anyway: " + ", ".join(self.same))
        reasons: dict[str, list[str]] = {}
        for key, reason in self.idle.items():
            reasons.setdefault(reason, []).append(key)
        told += [f"without effect here: {', '.join(keys)}: {reason}" for reason, keys in reasons.items()]
        if self.unknown:
            told.append("unknown keys: " + ", ".join(f"{key} (line {line})" for key, line in self.unknown.items()))
        told += [
            f"{key} stands twice, on lines {' and '.join(map(str, lines))}: the last counts"
            for key, lines in self.twice.items()
        ]
        return tuple(told)


def read_pyslowfast(text: str, source: str) -> Reading:
    """Read a configuration file of PySlowFast.

    What the file does not say is as PySlowFast's defaults say it, for the file means that.

    Args:
        text: The file.
        source: Its name, for messages.

    Raises:
        InputError: It is no YAML, or a value cannot be used; `file:line` is named.
    """
    config = read_config(text, source)
    reader = _Reader(config, source)
    settings = reader.settings()
    used = {key: name for name, setting in settings.items() for key in setting.keys}
    applied = {key: used[key] for key in config.values if key in used and key not in reader.refused}
    same, idle, unknown = {}, dict(reader.refused), {}
    for key, value in config.values.items():
        if key in used or key in idle:
            continue
        if key in SAME:
            values, meaning = SAME[key]
            if any(_equal(value, one) for one in values):
                same[key] = meaning
            else:
                idle[key] = meaning
        elif key in DEFAULTS:
            idle[key] = "nothing that the file asks for reads it"
        elif (reason := idle_reason(key)) is not None:
            idle[key] = reason
        else:
            unknown[key] = config.lines[key]
    assumed = {
        name: missing
        for name, setting in settings.items()
        if (missing := tuple(key for key in setting.keys if key not in config.values))
        and len(missing) == len(setting.keys)
    }
    return Reading(
        values={name: setting.value for name, setting in settings.items()},
        test=reader.test(),
        applied=applied,
        same=same,
        assumed=assumed,
        idle=idle,
        unknown=unknown,
        twice=config.twice,
    )


class _Reader:
    """Makes settings of a configuration; `refused` are keys whose value cannot be followed, and why."""

    def __init__(self, config: Config, source: str) -> None:
        self._config, self._source = config, source
        self._values = DEFAULTS | {key: value for key, value in config.values.items() if key in DEFAULTS}
        self.refused: dict[str, str] = {}

    def settings(self) -> dict[str, Setting]:
        """Fields of `FinetuneRequest` by name."""
        made: dict[str, Setting] = {}
        for part in (self._task, self._model, self._solver, self._clips, self._augment, self._others):
            made |= part()
        return made

    def test(self) -> dict[str, str]:
        """Options of `model eval`."""
        task = self._which()
        if task == "detect":
            least = self._number("AVA.DETECTION_SCORE_THRESH")
            return {"task": task, "boxes": "detected", "min_score": f"{least:g}", "scorer": "pyslowfast"}
        rule = str(self._values["TRAIN.DATASET"])
        if rule not in RULES:
            rule = "pyslowfast-offset" if self._values["DATA.USE_OFFSET_SAMPLING"] else "pyslowfast"
        views = f"{self._whole('TEST.NUM_ENSEMBLE_VIEWS')}x{self._whole('TEST.NUM_SPATIAL_CROPS')}"
        return {"protocol": rule, "views": views}

    def _which(self) -> str:
        if self._values["DETECTION.ENABLE"]:
            return "detect"
        found = _SETS.get(str(self._values["TRAIN.DATASET"]), "classify")
        return "multilabel" if self._values["DATA.MULTI_LABEL"] else found

    def _task(self) -> dict[str, Setting]:
        return {"task": Setting(self._which(), ("DETECTION.ENABLE", "DATA.MULTI_LABEL", "TRAIN.DATASET"))}

    def _model(self) -> dict[str, Setting]:
        keys = (
            "MODEL.ARCH", "RESNET.DEPTH", "RESNET.NUM_BLOCK_TEMP_KERNEL", "NONLOCAL.LOCATION", "SLOWFAST.ALPHA",
            "MVIT.DEPTH", "MVIT.USE_ABS_POS", "MVIT.REV.ENABLE",
        )  # fmt: skip
        for key in ("DATA.NUM_FRAMES", "DATA.SAMPLING_RATE", "SLOWFAST.ALPHA", "RESNET.DEPTH", "MVIT.DEPTH"):
            self._whole(key)
        try:
            name = catalogue_model(self._values)
        except (TypeError, IndexError) as error:
            raise self._bad(
                "MODEL.ARCH", f"the settings of the network are not those of PySlowFast: {error}"
            ) from error
        if name is None:
            why = "no network of the catalogue has these settings: MODEL is the one that is typed"
            self.refused |= {key: why for key in keys if key in self._config.values}
            return {}
        return {"model": Setting(name, keys)}

    def _solver(self) -> dict[str, Setting]:
        lr = self._number("SOLVER.BASE_LR", above=0.0)
        policy, method = self._values["SOLVER.LR_POLICY"], str(self._values["SOLVER.OPTIMIZING_METHOD"])
        batch = self._whole("TRAIN.BATCH_SIZE") * self._whole("AUG.NUM_SAMPLE")
        scaled = self._values["SOLVER.BASE_LR_SCALE_NUM_SHARDS"]
        meant = batch if scaled else batch * self._whole("NUM_SHARDS")
        clip = 0.0 if self._values["SOLVER.CLIP_GRAD_L2NORM"] is None else self._number("SOLVER.CLIP_GRAD_L2NORM")
        made = {
            "epochs": Setting(self._whole("SOLVER.MAX_EPOCH"), ("SOLVER.MAX_EPOCH",)),
            "batch": Setting(batch, ("TRAIN.BATCH_SIZE",)),
            "repeat": Setting(self._whole("AUG.NUM_SAMPLE"), ("AUG.NUM_SAMPLE",)),
            "base_batch": Setting(meant, ("NUM_SHARDS", "SOLVER.BASE_LR_SCALE_NUM_SHARDS")),
            "lr": Setting(lr, ("SOLVER.BASE_LR",)),
            "weight_decay": Setting(self._number("SOLVER.WEIGHT_DECAY"), ("SOLVER.WEIGHT_DECAY",)),
            "clip_norm": Setting(clip, ("SOLVER.CLIP_GRAD_L2NORM",)),
            "layer_decay": Setting(self._number("SOLVER.LAYER_DECAY"), ("SOLVER.LAYER_DECAY",)),
            "warmup": Setting(self._number("SOLVER.WARMUP_EPOCHS"), ("SOLVER.WARMUP_EPOCHS",)),
        }
        if made["warmup"].value > 0:
            start = self._number("SOLVER.WARMUP_START_LR") / lr
            if start > 1:
                raise self._bad("SOLVER.WARMUP_START_LR", "above SOLVER.BASE_LR: the rise would be a fall")
            made["warmup_start"] = Setting(start, ("SOLVER.WARMUP_START_LR",))
        if method in _OPTIMIZERS:
            made["optimizer"] = Setting(_OPTIMIZERS[method], ("SOLVER.OPTIMIZING_METHOD",))
        else:
            self.refused["SOLVER.OPTIMIZING_METHOD"] = (
                f"there is no {method}, only adamw, which is taken, and sgd: --optimizer says which"
            )
        if method == "sgd":
            made["momentum"] = Setting(self._number("SOLVER.MOMENTUM"), ("SOLVER.MOMENTUM",))
        if policy == "steps_with_relative_lrs":
            return made | self._steps()
        if policy != "cosine":
            raise self._bad("SOLVER.LR_POLICY", f"{policy!r}: there are cosine and steps_with_relative_lrs")
        made["schedule"] = Setting("cosine", ("SOLVER.LR_POLICY",))
        made["final_lr"] = Setting(self._number("SOLVER.COSINE_END_LR"), ("SOLVER.COSINE_END_LR",))
        key = "SOLVER.COSINE_AFTER_WARMUP"
        if self._values[key]:
            made["schedule"] = Setting("cosine", ("SOLVER.LR_POLICY", key))
        elif made["warmup"].value:
            self.refused[key] = "a cosine begins after the rise here, at its largest rate; PySlowFast's in epoch 0"
        return made

    def _steps(self) -> dict[str, Setting]:
        steps, shares = self._values["SOLVER.STEPS"], self._values["SOLVER.LRS"]
        if not (_numbers(steps) and _numbers(shares)) or len(shares) < len(steps) or steps[0] != 0:
            raise self._bad("SOLVER.STEPS", "begins with 0 and has a share in SOLVER.LRS for each of its steps")
        rising, factors = effective_steps(steps, shares, self._whole("SOLVER.MAX_EPOCH"))
        return {
            "schedule": Setting("steps", ("SOLVER.LR_POLICY",)),
            "steps": Setting(rising, ("SOLVER.STEPS",)),
            "step_factors": Setting(factors, ("SOLVER.LRS",)),
        }

    def _clips(self) -> dict[str, Setting]:
        low_high, crop = self._values["DATA.TRAIN_JITTER_SCALES"], self._whole("DATA.TRAIN_CROP_SIZE")
        area = self._values["DATA.TRAIN_JITTER_SCALES_RELATIVE"]
        test, boxes = self._whole("DATA.TEST_CROP_SIZE"), self._which() == "detect"
        if not _numbers(low_high) or len(low_high) != 2:
            raise self._bad("DATA.TRAIN_JITTER_SCALES", "the least and the largest short side, as [256, 320]")
        scales = ("DATA.TRAIN_JITTER_SCALES",)
        short = Setting(test, ("DATA.TEST_CROP_SIZE",)) if boxes else Setting(int(low_high[0]), scales)
        made = {
            "frames": Setting(self._whole("DATA.NUM_FRAMES"), ("DATA.NUM_FRAMES",)),
            "stride": Setting(self._whole("DATA.SAMPLING_RATE"), ("DATA.SAMPLING_RATE",)),
            "fps": Setting(self._whole("DATA.TARGET_FPS"), ("DATA.TARGET_FPS",)),
            "crop_size": Setting(crop, ("DATA.TRAIN_CROP_SIZE",)),
            "short_side": short,
            "wide": Setting(test, ("DATA.TEST_CROP_SIZE",)),
            "mean": Setting(self._three("DATA.MEAN"), ("DATA.MEAN",)),
            "std": Setting(self._three("DATA.STD"), ("DATA.STD",)),
            "flip": Setting(0.5 if self._values["DATA.RANDOM_FLIP"] else 0.0, ("DATA.RANDOM_FLIP",)),
        }
        if area:
            if not _numbers(area) or len(area) != 2:
                raise self._bad("DATA.TRAIN_JITTER_SCALES_RELATIVE", "the least and the largest share of the area")
            resized = f"random-resized:{area[0]:g}..{area[1]:g}"
            return made | {"crop": Setting(resized, ("DATA.TRAIN_JITTER_SCALES_RELATIVE",))}
        inverse = self._values["DATA.INV_UNIFORM_SAMPLE"] or (boxes and self._values["AVA.IMG_PROC_BACKEND"] == "cv2")
        rule = Setting("inverse" if inverse else "uniform", ("DATA.INV_UNIFORM_SAMPLE", "AVA.IMG_PROC_BACKEND"))
        jitter = Setting(f"{int(low_high[0])}-{int(low_high[1])}", scales)
        return made | {"crop": Setting("jitter", ()), "jitter": jitter, "jitter_rule": rule}

    def _augment(self) -> dict[str, Setting]:
        words: list[str] = []
        keys: list[str] = []
        if self._values["AUG.ENABLE"]:
            keys += ["AUG.ENABLE", "AUG.AA_TYPE", "AUG.RE_PROB", "AUG.RE_MODE"]
            words += [f"randaugment:{str(self._values['AUG.AA_TYPE']).removeprefix('rand-')}"]
            if share := self._number("AUG.RE_PROB"):
                words += [f"erasing:{share:g}", f"erasing-mode:{self._values['AUG.RE_MODE']}"]
        if self._values["MIXUP.ENABLE"]:
            names = {"MIXUP.ALPHA": "mixup", "MIXUP.CUTMIX_ALPHA": "cutmix", "MIXUP.PROB": "mix-probability",
                     "MIXUP.SWITCH_PROB": "mix-switch", "MIXUP.LABEL_SMOOTH_VALUE": "smoothing"}  # fmt: skip
            keys += ["MIXUP.ENABLE", *names]
            words += [f"{name}:{self._number(key):g}" for key, name in names.items()]
        if grey := self._number("DATA.COLOR_RND_GRAYSCALE"):
            keys.append("DATA.COLOR_RND_GRAYSCALE")
            words.append(f"grey:{grey:g}")
        return {"augment": Setting(words, tuple(keys))} if words else {}

    def _others(self) -> dict[str, Setting]:
        precise = self._whole("BN.NUM_BATCHES_PRECISE") if self._values["BN.USE_PRECISE_STATS"] else 0
        made = {
            "dropout": Setting(self._number("MODEL.DROPOUT_RATE"), ("MODEL.DROPOUT_RATE",)),
            "precise_bn": Setting(precise, ("BN.USE_PRECISE_STATS", "BN.NUM_BATCHES_PRECISE")),
            "seed": Setting(self._whole("RNG_SEED", least=0), ("RNG_SEED",)),
        }
        flags: tuple[tuple[str, str, Any], ...] = (
            ("TRAIN.MIXED_PRECISION", "precision", "fp16"), ("MODEL.FROZEN_BN", "freeze_bn", True),
            ("MODEL.ACT_CHECKPOINT", "checkpointing", True),
        )  # fmt: skip
        made |= {name: Setting(value, (key,)) for key, name, value in flags if self._values[key]}
        if self._which() == "detect":
            score = self._number("AVA.DETECTION_SCORE_THRESH")
            made["min_score"] = Setting(score, ("AVA.DETECTION_SCORE_THRESH",))
            made["aligned"] = Setting(bool(self._values["DETECTION.ALIGNED"]), ("DETECTION.ALIGNED",))
            strides = self._config.values.get("RESNET.SPATIAL_STRIDES")
            if self._values["MODEL.ARCH"] in _RESIDUAL and _last_is(strides, 1):
                made["dilated"] = Setting(True, ("RESNET.SPATIAL_STRIDES", "RESNET.SPATIAL_DILATIONS"))
        key = "TRAIN.CHECKPOINT_FILE_PATH"
        if path := str(self._values[key]):
            if _exists(path):
                made["init"] = Setting(path, (key,))
            else:
                self.refused[key] = f"there is no {path} here: --init says what training starts from"
        return made

    def _number(self, key: str, above: float | None = None) -> float:
        value = self._values[key]
        if not _is_number(value) or (above is not None and value <= above):
            raise self._bad(key, f"{value!r}: a number{'' if above is None else f' above {above:g}'} is wanted")
        return float(value)

    def _whole(self, key: str, least: int = 1) -> int:
        value = self._values[key]
        if not _is_number(value) or value != int(value) or value < least:
            raise self._bad(key, f"{value!r}: a whole number from {least} is wanted")
        return int(value)

    def _three(self, key: str) -> list[float]:
        value = self._values[key]
        if not _numbers(value) or len(value) != 3:
            raise self._bad(key, f"{value!r}: three numbers are wanted")
        return [float(one) for one in value]

    def _bad(self, key: str, reason: str) -> InputError:
        line = self._config.lines.get(key)
        return InputError(f"{self._source}{f':{line}' if line else ''}: {key}: {reason}")


def effective_steps(steps: list[float], shares: list[float], epochs: int) -> tuple[list[float], list[float]]:
    """Rising steps and their shares for what PySlowFast makes of any: `get_step_index` of `lr_policy.py`.

    It takes the share before the first step that is still to come, in the order of the list, so that steps that do
    not rise skip shares.
    """
    ends = [*steps, epochs]
    rising: list[float] = []
    factors: list[float] = []
    for at in sorted({step for step in steps if step < epochs}):
        place = next(index for index, end in enumerate(ends) if at < end) - 1
        share = float(shares[place])
        if not rising or share != factors[-1]:
            rising.append(float(at))
            factors.append(share)
    return rising, factors


def _last_is(stages: Any, value: int) -> bool:
    """Whether the last stage has the value on all its pathways."""
    last = stages[-1] if isinstance(stages, list | tuple) and stages else ()
    return isinstance(last, list | tuple) and bool(last) and all(one == value for one in last)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_number, value))


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        # no path at all: too long, or with a zero in it
        return False


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return list(one) == list(two)
    return bool(one == two) and isinstance(one, bool) == isinstance(two, bool)
