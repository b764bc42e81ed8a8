"""Recipes: the published rates at named points, what is typed before them, and files that are refused by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vidbench.errors import InputError, UnknownNameError, UsageError
from vidbench.model.finetune_request import FinetuneRequest
from vidbench.model.recipe import Resolved, published, read_recipe, read_toml, resolve
from vidbench.model.train.schedules import Schedule, scaled_rate

TYPED = {"clips": "list.txt"}


def resolved(name: str, typed: dict[str, Any] | None = None, faithful: bool = False) -> Resolved:
    recipe = read_recipe(name)
    return resolve(recipe, {"model": recipe.values["model"], **TYPED, **(typed or {})}, faithful)


def rate(values: dict[str, Any], at: float) -> float:
    """The learning rate at an epoch, as the training has it."""
    kinds = {"kind": values["schedule"], "epochs": values["epochs"], "warmup": float(values["warmup"])}
    share = Schedule(
        **kinds,
        start=values.get("warmup_start"),
        final=values.get("final_lr", 0.0) / values["lr"],
        steps=tuple(values.get("steps", ())),
        factors=tuple(values.get("step_factors", ())),
    ).factor(at)
    return scaled_rate(values["lr"], values["batch"], values.get("base_batch")) * share


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("severe-ava", 0, 1.25e-4),
        ("severe-ava", 5, 0.1),
        ("severe-ava", 9.99, 0.1),
        ("severe-ava", 10, 0.01),
        ("severe-ava", 15, 1e-3),
        ("severe-ava", 19.999, 1e-3),
        ("severe-charades", 0, 1e-4),
        ("severe-charades", 4, 0.0375),
        ("severe-charades", 40.99, 0.0375),
        ("severe-charades", 41, 0.00375),
        ("severe-charades", 49, 0.000375),
        ("severe-charades", 56.99, 0.000375),
        ("kinetics-mvit", 0, 1e-6),
        ("kinetics-mvit", 30, 1e-4),
        ("kinetics-mvit", 115, (1e-4 + 1e-6) / 2),
        ("kinetics-mvit", 200, 1e-6),
        ("kinetics-x3d", 35, 0.1),
        ("kinetics-slowfast", 0, 0.01),
    ],
)
def test_rates_at_named_points(name: str, at: float, expected: float) -> None:
    assert rate(resolved(name).values, at) == pytest.approx(expected, rel=1e-6)


def test_severe_values_are_the_published_ones() -> None:
    ava, charades = resolved("severe-ava").values, resolved("severe-charades").values

    shared = {
        "optimizer": "sgd", "momentum": 0.9, "dropout": 0.5, "frames": 32, "crop_size": 112, "short_side": 112,
        "mean": [0.45] * 3, "std": [0.225] * 3, "flip": 0.5, "clip_norm": 0, "jitter_rule": "inverse",
    }  # fmt: skip
    assert shared.items() <= ava.items()
    assert shared.items() <= charades.items()
    own = ("task", "epochs", "batch", "weight_decay", "stride", "fps", "precise_bn")
    assert [ava[name] for name in own] == ["detect", 20, 32, 1e-7, 2, 30, 0]
    assert [charades[name] for name in own] == ["multilabel", 57, 16, 1e-4, 8, 24, 200]
    assert ava["min_score"] == 0.9
    assert read_recipe("severe-charades").test == {"protocol": "charades", "views": "10x3"}


@pytest.mark.parametrize("name", published())
def test_every_published_recipe_is_a_request(name: str) -> None:
    found = resolved(name)

    request = FinetuneRequest.model_validate(found.values)

    assert request.recipe == found.record
    assert "recipe" not in request.settings()


def test_faithful_takes_the_published_scale_and_boxes() -> None:
    fixed, faithful = resolved("severe-ava"), resolved("severe-ava", faithful=True)

    assert (fixed.values["jitter"], faithful.values["jitter"]) == ("112-140", "256-320")
    assert (fixed.values.get("faithful", False), faithful.values["faithful"]) == (False, True)
    assert [line.partition(":")[0] for line in fixed.lines if "(--faithful)" in line] == ["scale", "boxes"]
    assert not any("(--faithful)" in line for line in faithful.lines)
    assert faithful.record.faithful
    assert resolved("severe-charades", faithful=True).values["jitter"] == "256-340"


def test_faithful_needs_something_to_follow() -> None:
    with pytest.raises(UsageError, match="nothing that is done otherwise"):
        resolved("kinetics-x3d", faithful=True)


def test_what_is_typed_wins_and_is_named() -> None:
    found = resolved("severe-charades", {"batch": 4, "epochs": 57, "flip": 0.0})

    assert (found.values["batch"], found.values["flip"]) == (4, 0.0)
    # the same value typed overrides nothing
    assert found.record.overridden == {"batch": (16, 4), "flip": (0.5, 0.0)}
    assert "--batch 4 instead of the recipe's 16" in found.lines
    # a smaller batch has its part of the rate
    assert rate(found.values, 4) == pytest.approx(0.0375 / 4)


def test_settings_that_hang_on_another_go_with_it() -> None:
    found = resolved("severe-ava", {"schedule": "cosine", "optimizer": "adamw", "lr": 0.01, "warmup": 0})

    assert "min_score" not in resolved("severe-ava", {"task": "multilabel"}).values
    left = ("steps", "step_factors", "momentum", "base_batch", "warmup_start")
    assert not set(left) & found.values.keys()
    assert all(found.record.overridden[name][1] is None for name in left)
    assert any(line.startswith("--steps 0,10,15,20 of the recipe is left out") for line in found.lines)
    assert rate({**found.values, "epochs": 20}, 0) == pytest.approx(0.01)


def test_a_start_keeps_its_own_normalisation() -> None:
    named, scratch = resolved("severe-ava", {"init": "tclr"}), resolved("severe-ava")

    assert "mean" not in named.values
    assert "mean and std of the input: those that the comparison feeds tclr with" in named.lines
    assert scratch.values["mean"] == [0.45] * 3
    assert resolved("severe-ava", {"init": "tclr", "mean": "0,0,0"}).values["mean"] == "0,0,0"


def test_unknown_recipe_names_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean severe-ava"):
        read_recipe("severe-avaa")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title = 'a'\n[settings]\nlr = 1\nlearning = 2\n", r"a\.toml:4: learning is no setting"),
        ("[settings]\nepochs = 2\nout = 'x'\n", r"a\.toml:3: out belongs to no recipe"),
        ("colour = 1\n", r"a\.toml:1: unknown key 'colour'"),
        ("[settings]\nlr = 1\nlr = 2\n", r"a\.toml:3: not TOML"),
        ("[notes]\nother = []\n", r"a\.toml:2: unknown key 'other'"),
        ("[settings]\nwarmup_start_lr = 0.1\n", "needs lr"),
        ("settings = 3\n", r"a\.toml:1: settings is a table"),
        ("[notes]\nalways = 'one'\n", r"a\.toml:2: always is a list of sentences"),
        ("[settings]\nlr = 1\nwarmup_start_lr = 'x'\n", "'x' is no rate"),
        (f"a = {'[' * 5000}\n", "nested too deeply"),
    ],
    ids=["unknown", "own", "table", "twice", "note", "rate", "kind", "sentence", "rate-text", "deep"],
)
def test_refused_files_are_named_by_line(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_toml(text, "a", "a.toml")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("title = 'mine'\n[settings]\nepochs = 3\nlr = 0.5\nwarmup = 1\nwarmup_start_lr = 0.1\n")

    found = resolve(read_recipe(str(path)), {"model": "x3d_tiny", **TYPED})

    assert found.values["warmup_start"] == pytest.approx(0.2)
    assert FinetuneRequest.model_validate(found.values).epochs == 3


def test_authors_test_of_detection_is_told_whole() -> None:
    found = resolved("severe-ava")

    whole = "RUN SET --task detect --boxes detected --min-score 0.9 --scorer pyslowfast"
    assert any(line.endswith(whole) for line in found.lines)
    # as the comparison does, the last epoch is kept
    assert (found.values["best"], resolved("severe-charades").values["best"]) == ("last", "last")
    assert FinetuneRequest.model_validate(found.values).val_every == 4


def test_what_is_said_of_a_setting_that_is_typed_is_true() -> None:
    typed = resolved("severe-ava", {"jitter": "32-40", "crop_size": 32})
    faithful = resolved("severe-ava", {"jitter": "32-40"}, faithful=True)

    assert [line.partition(":")[0] for line in typed.lines if "(--faithful)" in line] == ["boxes"]
    assert "as published: --jitter 32-40, --faithful" not in faithful.lines
    assert "as published: --faithful" in faithful.lines
    # a test of three crops goes with the crop
    assert typed.record.overridden["wide"] == (112, None)


def test_changes_are_of_settings_that_are_faithful_otherwise() -> None:
    with pytest.raises(InputError, match=r"flip is no setting of \[faithful\]"):
        read_toml("[notes]\nfixed.flip = 'one'\n", "a", "a.toml")
    with pytest.raises(InputError, match=r"a\.toml:2: fixed is a table"):
        read_toml("[notes]\nfixed = ['one']\n", "a", "a.toml")
