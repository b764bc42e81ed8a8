"""Augmentations as typed."""

import pytest

from vidbench.errors import UnknownNameError, UsageError
from vidbench.model.augment.operations import BY_NAME, OPERATIONS, Rain
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.augment.specs import describe, settings_from


def test_names_alone_are_the_published_values() -> None:
    found = settings_from(["randaugment", "erasing", "mixup", "cutmix", "smoothing"])
    wanted = AugmentSettings(randaugment="m7-n4-mstd0.5-inc1", erasing=0.25, mixup=0.8, cutmix=1.0, smoothing=0.1)
    assert found == wanted
    assert found.mixes
    assert settings_from([]) == AugmentSettings()


def test_values() -> None:
    found = settings_from(["jitter-hue:0.2", "jitter-probability:0.8", "erasing:0.5", "erasing-mode:const", "mixup:0"])
    assert (found.hue, found.colour_probability, found.erasing, found.erasing_mode) == (0.2, 0.8, 0.5, "const")
    assert not found.mixes


def test_the_whole_list() -> None:
    found = settings_from(["w4:0.1", "rain:beta=0.5..0.6"])
    assert [type(one) for one in found.w4] == list(OPERATIONS)
    assert {one.probability for one in found.w4} == {0.1}
    assert settings_from(["rain:beta=0.5..0.6", "w4:0.1"]) == found
    (rain,) = [one for one in found.w4 if isinstance(one, Rain)]
    assert rain.beta == (0.5, 0.6)


def test_single_operations() -> None:
    found = settings_from(["fog:severity=2..3,probability=0.5", "hflip:0.3", "rotate"])
    assert [(one.name, one.probability) for one in found.w4] == [("fog", 0.5), ("hflip", 0.3), ("rotate", 0.05)]


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        (["mixup:two"], "mixup"),
        (["mixup:"], "after the colon"),
        (["mixup", "mixup:1"], "twice"),
        (["mix-switch"], "needs a value"),
        (["fog:grade=2"], "has no grade"),
        (["fog:severity"], "fog"),
        (["fog:severity=2..3,severity=1..1"], "twice"),
        (["fog:severity=2..9"], "fog.severity"),
        (["rain:beta=0.9..0.1"], "rain"),
        (["randaugment:m70"], "magnitudes"),
        (["rotate:name=fog"], "has no name"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_specs(specs: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        settings_from(specs)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean"):
        settings_from(["rains"])


def test_the_list_describes_itself() -> None:
    rows = describe()
    assert [row["name"] for row in rows] == list(BY_NAME)
    assert all(row["summary"] for row in rows)
    assert next(row for row in rows if row["name"] == "rotate")["parameters"] == "degrees 5"
