"""A video of a set as a project of VIA: what VIA needs to open it, show it and keep what we need."""

from __future__ import annotations

import json
from collections.abc import Callable

from vidbench.formats.labelset import Row, SetAction, SetVideo
from vidbench.formats.via import dump_via
from vidbench.label.actions import load_actions
from vidbench.label.store import LabelSet
from vidbench.label.via import picture_name, project_of

MakeSet = Callable[..., LabelSet]

VIDEO = SetVideo("-5KQ66", "a.mp4", 1, 320, 180, "25", 300, 2, 8)
ROWS = (
    Row(2, 3, (0.1, 0.2, 0.35, 1.0), 0.9, (12, 17, 80), 7),
    Row(2, 4, (0.5, 0.2, 0.7, 0.9), 0.9, (), 8),
    Row(8, 3, (0.1, 0.2, 0.3, 1.0), None, None),
)


def test_a_project_as_via_needs_it() -> None:
    document = dump_via(project_of(VIDEO, load_actions("ava_80"), ROWS, range(2, 9), 5))
    assert list(document) == ["project", "config", "attribute", "file", "view", "metadata"]
    attributes = {one["aname"]: (key, one) for key, one in document["attribute"].items()}
    assert list(attributes) == ["person", "pose", "object", "people", "answer"]
    assert [one["type"] for _, one in attributes.values()] == [1, 2, 2, 2, 2]
    assert all(one["anchor_id"] == "FILE1_Z0_XY1" and one["default_option_id"] == "" for _, one in attributes.values())
    # VIA fails when it draws an attribute of ticks at a box
    assert document["config"]["ui"]["spatial_region_label_attribute_id"] == attributes["person"][0]
    assert attributes["pose"][1]["options"]["12"] == "stand"
    assert list(attributes["people"][1]["options"]) == [str(number) for number in range(64, 81)]
    assert attributes["answer"][1]["options"] == {"none": "none"}
    assert len(document["file"]) == len(document["view"]) == len(document["project"]["vid_list"]) == 7
    assert document["file"]["1"] == {
        "fid": "1",
        "fname": "-5KQ66_000061.jpg",
        "type": 2,
        "loc": 3,
        "src": "frames/-5KQ66_000061.jpg",
    }
    assert document["metadata"] == {
        "1_s0002_p3_t7": {
            "vid": "1",
            "flg": 0,
            "z": [],
            "xy": [2, 32.0, 36.0, 80.0, 144.0],
            "av": {"1": "3", "2": "12", "3": "17", "4": "80", "5": ""},
        },
        "1_s0002_p4_t8": {
            "vid": "1",
            "flg": 0,
            "z": [],
            "xy": [2, 160.0, 36.0, 64.0, 126.0],
            "av": {"1": "4", "2": "", "3": "", "4": "", "5": "none"},
        },
        "7_s0008_p3": {
            "vid": "7",
            "flg": 0,
            "z": [],
            "xy": [2, 32.0, 36.0, 64.0, 144.0],
            "av": {"1": "3", "2": "", "3": "", "4": "", "5": ""},
        },
    }
    json.dumps(document, allow_nan=False)


def test_a_group_without_actions_has_no_attribute() -> None:
    document = dump_via(project_of(VIDEO, [SetAction(3, "write", "object")], (), range(2, 3), 5))
    assert [one["aname"] for one in document["attribute"].values()] == ["person", "object", "answer"]


def test_a_name_of_a_picture_is_that_of_its_frame() -> None:
    assert picture_name("a_1", 2) == "a_1_000061.jpg"
    assert picture_name("a", 40_000) == "a_1200001.jpg"
