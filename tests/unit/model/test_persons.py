"""Boxes of persons: read from AVA's files, and found by torchvision's detectors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import get_model_weights

from vidbench.errors import InputError, MissingError, UnknownNameError
from vidbench.model.checkpoint import load_strict
from vidbench.model.persons import (
    Person,
    build_persons,
    find_persons,
    load_persons,
    named_now,
    person_detectors,
    read_persons,
)
from vidbench.model.zoo import MODELS

SSD = "ssdlite320_mobilenet_v3_large"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "boxes.csv"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_predicted_boxes_are_kept_by_score_and_area(tmp_path) -> None:
    path = write(
        tmp_path,
        "a,0902,0.1,0.2,0.5,0.9,,0.95",
        "a,0902,0.5,0.2,0.9,0.9,-1,0.8",
        "a,0903,0.5,0.2,0.9,0.9,12,0.79",
        "a,0904,0.5,0.2,0.5,0.9,12,0.99",
        "b,0902,0.000,0.000,1.000,1.000,,1",
    )
    found = read_persons(path, ids=False, score=0.8)
    assert found.videos["a"][902] == (Person((0.1, 0.2, 0.5, 0.9), 0.95), Person((0.5, 0.2, 0.9, 0.9), 0.8))
    assert found.videos["a"][903] == found.videos["a"][904] == ()
    assert found.videos["b"] == {902: (Person((0, 0, 1, 1), 1.0),)}
    assert (found.low, found.flat) == (1, 1)


def test_labels_give_persons_their_numbers_and_several_actions_one_box(tmp_path) -> None:
    path = write(tmp_path, "a,5,0.1,0.2,0.5,0.9,12,3", "a,5,0.1,0.2,0.5,0.9,80,3", "a,5,0.5,0.2,0.9,0.9,12,7", "a,6")
    found = read_persons(path, ids=True, score=0.8)
    assert found.videos == {
        "a": {5: (Person((0.1, 0.2, 0.5, 0.9), None, 3), Person((0.5, 0.2, 0.9, 0.9), None, 7)), 6: ()}
    }
    twice = write(tmp_path, "a,5,0.1,0.2,0.5,0.9,12,3", "a,5,0.1,0.2,0.6,0.9,80,3")
    with pytest.raises(InputError, match="second 5: person 3 has two boxes"):
        read_persons(twice, ids=True, score=0.8)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,1,0.1,0.2,1.01,0.9,,0.9", "x2 '1.01' is not a number from 0 to 1"),
        ("a,1,-0.1,0.2,1,0.9,,0.9", "x1"),
        ("a,1,nan,0.2,1,0.9,,0.9", "x1 'nan'"),
        ("a,1,0.1,0.2,1,0.9,,nan", "score 'nan'"),
        ("a,1,0.9,0.2,0.1,0.9,,0.9", "x1 0.9 is not less than x2 0.1"),
        ("a,1.5,0.1,0.2,0.5,0.9,,0.9", "second '1.5'"),
        ("a,1,0.1,0.2,0.5,0.9,0.9", "7 columns"),
    ],
)
def test_what_is_no_box_is_refused_with_its_line(tmp_path, line, reason) -> None:
    with pytest.raises(InputError, match=r"boxes\.csv:2: ") as caught:
        read_persons(write(tmp_path, "a,1,0.1,0.2,0.5,0.9,,0.9", line), ids=False, score=0.5)
    assert reason in str(caught.value)


def test_numbers_in_the_place_of_scores_are_told_and_an_empty_file_is_none(tmp_path) -> None:
    with pytest.raises(InputError, match="score '12'") as caught:
        read_persons(write(tmp_path, "a,1,0.1,0.2,0.5,0.9,3,12"), ids=False, score=0.5)
    assert "--person-ids" in (caught.value.remedy or "")
    with pytest.raises(InputError, match="no boxes"):
        read_persons(write(tmp_path), ids=False, score=0.5)


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", SSD])
def test_cards_say_what_torchvision_says(name) -> None:
    card = MODELS.get(name)
    weights = get_model_weights(name).DEFAULT
    published = card.published
    assert published is not None
    assert published.urls == (weights.url,)
    assert published.mean_ap == weights.meta["_metrics"]["COCO-val2017"]["box_map"]
    assert weights.meta["categories"][1] == "person"
    assert card.num_classes == len(weights.meta["categories"])
    assert card.parameters_m == round(weights.meta["num_params"] / 1e6, 2)
    assert card.task == "persons"
    assert name in person_detectors()


def test_faster_rcnn_takes_the_names_of_its_old_file_and_has_no_epsilon() -> None:
    net = build_persons("fasterrcnn_resnet50_fpn", 91)
    own = net.state_dict()
    # what the file of 2019 holds: 53 frozen normalisations of four tensors, and no counters
    assert len(own) == 295
    assert not any("num_batches" in name for name in own)
    assert all(module.eps == 0.0 for module in net.modules() if type(module).__name__ == "FrozenBatchNorm2d")
    old = {}
    for name, value in own.items():
        for new, before in (("_blocks.", "_blocks."), ("rpn.head.conv.0.0.", "rpn.head.conv.")):
            name = name.replace(new, before)
        if ".fpn." in name:
            name = name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        old[name] = value + 1 if value.is_floating_point() else value
    assert {"backbone.fpn.inner_blocks.0.weight", "backbone.fpn.layer_blocks.3.bias", "rpn.head.conv.bias"} <= set(old)
    load_strict(net, named_now(old, net), source="old")
    assert torch.equal(net.state_dict()["rpn.head.conv.0.0.bias"], old["rpn.head.conv.bias"])
    # torchvision's own loader takes the same names for the same tensors
    other = build_persons("fasterrcnn_resnet50_fpn", 91)
    other.load_state_dict(old)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_detector_loads_a_file_strictly_and_gives_boxes_within_the_frame(tmp_path) -> None:
    net = build_persons(SSD, 91)
    state = net.state_dict()
    for name, value in state.items():
        if name.startswith("head.classification_head") and name.endswith(".1.bias"):
            # persons, rather than 90 other classes that are as likely
            value[1::91] += 4.0
    path = tmp_path / "ssd.pth"
    torch.save(state, path)
    loaded = load_persons(SSD, weights=str(path))
    assert loaded.weights == str(path)
    images = [np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8) for size in ((48, 65, 3), (33, 20, 3))]
    found = find_persons(loaded, images, 0.0)
    assert len(found) == 2
    assert sum(map(len, found)) > 0
    for persons in found:
        assert [one.score for one in persons] == sorted((one.score for one in persons), reverse=True)
        for one in persons:
            assert 0 <= one.box[0] < one.box[2] <= 1
            assert 0 <= one.box[1] < one.box[3] <= 1
    # the same boxes as torchvision's, of class 1 alone, as fractions
    with torch.inference_mode():
        told = loaded.net([torch.from_numpy(images[0]).permute(2, 0, 1) / 255])[0]
    ours = sorted(one.score for one in found[0])
    theirs = told["scores"][told["labels"] == 1].double()
    assert 0 < len(ours) <= len(theirs)
    assert set(ours) <= set(theirs.tolist())
    assert find_persons(loaded, images, 1.0) == ((), ())
    assert find_persons(loaded, [], 0.5) == ()
    state.pop("head.classification_head.module_list.0.1.weight")
    torch.save(state, path)
    with pytest.raises(InputError, match="does not fit the network; missing"):
        load_persons(SSD, weights=str(path))


def test_missing_weights_and_wrong_names_are_told(tmp_path) -> None:
    with pytest.raises(MissingError, match="ssdlite320"):
        load_persons(SSD)
    with pytest.raises(InputError, match="no such weights file"):
        load_persons(SSD, weights=str(tmp_path / "none.pth"))
    with pytest.raises(UnknownNameError):
        load_persons("ssdlite")
    with pytest.raises(InputError, match="no detector of persons"):
        load_persons("x3d_s")
