import importlib.util
from pathlib import Path

import pytest

from vidbench.errors import MissingError
from vidbench.label.detectors import DETECTORS


@pytest.mark.skipif(importlib.util.find_spec("detectron2") is not None, reason="detectron2 is installed")
def test_without_the_package_the_remedy_builds_it() -> None:
    with pytest.raises(MissingError, match="needs the package 'detectron2', which is built from source") as caught:
        DETECTORS.get("detectron2")
    assert "git+https://github.com/facebookresearch/detectron2.git" in caught.value.remedy
    assert caught.value.exit_code == 4


def test_the_class_person_is_found_by_name_or_by_the_order_of_coco() -> None:
    from vidbench.errors import InputError
    from vidbench.label.detectron import _person

    config = Path("net.yaml")
    assert _person(("dog", "Person"), 2, config) == 1
    assert _person((), 80, config) == _person((), 1, config) == 0
    for names, classes in (((), 3), (("dog", "cat"), 2), (("dog",), 1)):
        with pytest.raises(InputError, match="which of the network"):
            _person(names, classes, config)
