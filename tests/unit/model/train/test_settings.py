"""Settings as typed: what is understood, what is refused, what decides the result."""

import pytest
from pydantic import ValidationError

from vidbench.model.train.settings import TrainSettings, deciding


def settings(**values: object) -> TrainSettings:
    return TrainSettings.model_validate(values)


def test_lists_as_typed() -> None:
    found = settings(schedule="steps", steps="0, 41,49", step_factors="1,0.1,0.01", freeze="blocks.0, blocks.1")
    assert (found.steps, found.step_factors) == ((0, 41, 49), (1, 0.1, 0.01))
    assert found.freeze == ("blocks.0", "blocks.1")


def test_augmentation_as_typed() -> None:
    found = settings(augment=["mixup:0.8", "erasing", "randaugment:m7-n4"]).augment
    assert (found.mixup, found.erasing, found.randaugment) == (0.8, 0.25, "m7-n4")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"momentum": 0.9}, "only --optimizer sgd"),
        ({"steps": "0,1"}, "only --schedule steps has steps"),
        ({"step_factors": "1"}, "only --schedule steps has factors"),
        ({"schedule": "steps"}, "needs --steps"),
        ({"schedule": "steps", "steps": "0,3", "step_factors": "1"}, "each of its 2 steps"),
        ({"schedule": "steps", "steps": "1,3", "step_factors": "1,1"}, "rise from 0"),
        ({"schedule": "steps", "steps": "0,3,3", "step_factors": "1,1,1"}, "rise from 0"),
        ({"schedule": "steps", "steps": "0", "step_factors": "1", "final_lr": 1e-6}, "only --schedule cosine"),
        ({"final_lr": 1.0}, "above --lr"),
        ({"warmup": 0, "warmup_start": 0.1}, "--warmup is 0"),
        ({"freeze_bn": True, "precise_bn": 5}, "--freeze-bn keeps"),
        ({"freeze": "blocks.0,"}, "an empty name"),
        ({"save_every": "10h"}, "pattern"),
        ({"augment": ["smoothing:0.1"], "smoothing": 0.1}, "given here and by --smoothing"),
    ],
)
def test_contradictions(values, message) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        settings(**values)
    # the first part of the place is the option's name
    assert caught.value.errors()[0]["loc"][0] in values or "schedule" in values


@pytest.mark.parametrize(
    ("text", "expected"), [(None, (None, None)), ("20", (20, None)), ("1.5m", (None, 90.0)), ("10 m", (None, 600.0))]
)
def test_when_to_save(text, expected) -> None:
    assert settings(save_every=text).saves() == expected


def test_what_decides_the_result() -> None:
    plain = deciding(settings().model_dump(mode="json"))
    assert plain == deciding(settings(save_every="1", tensorboard=True).model_dump(mode="json"))
    assert sorted(plain) == ["batch", "epochs", "lr", "optimizer", "smoothing", "warmup", "weight_decay"]
    changed = deciding(settings(ema=0.99, augment=["mixup:0.8"]).model_dump(mode="json"))
    assert changed["ema"] == 0.99
    assert changed["augment"]["mixup"] == 0.8
