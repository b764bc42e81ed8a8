"""Projects of VIA 3: what is read, kept, written and refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidbench.errors import InputError
from vidbench.formats.via import (
    CHECKBOX,
    TEXT,
    ViaAttribute,
    ViaFile,
    ViaMark,
    dump_via,
    load_via,
    new_project,
    parse_via,
)

# a project as VIA 3.0.11 saves it
SAVED: dict[str, Any] = {
    "project": {
        "pid": "__VIA_PROJECT_ID__",
        "rev": "__VIA_PROJECT_REV_ID__",
        "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
        "pname": "v1",
        "data_format_version": "3.1.1",
        "creator": "VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)",
        "created": 1588343615019,
        "vid_list": ["1", "2"],
    },
    "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": {"file_content_align": "center"}},
    "attribute": {
        "1": {
            "aname": "person",
            "anchor_id": "FILE1_Z0_XY1",
            "type": 1,
            "desc": "",
            "options": {},
            "default_option_id": "",
        },
        "2": {
            "aname": "pose",
            "anchor_id": "FILE1_Z0_XY1",
            "type": 2,
            "desc": "",
            "options": {"11": "sit", "12": "stand"},
            "default_option_id": "",
        },
    },
    "file": {
        "1": {"fid": "1", "fname": "v1_000061.jpg", "type": 2, "loc": 3, "src": "frames/v1_000061.jpg"},
        "2": {"fid": "2", "fname": "v1_000091.jpg", "type": 2, "loc": 3, "src": "frames/v1_000091.jpg"},
    },
    "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
    "metadata": {
        "1_p1": {"vid": "1", "flg": 0, "z": [], "xy": [2, 111.0, 60.0, 100.0, 240.0], "av": {"1": "3", "2": ""}},
        "2_k3x9ab": {"vid": "2", "flg": 0, "z": [], "xy": [2, 1.12345, 2, 3, 4], "av": {}},
    },
}


def test_what_a_project_says() -> None:
    project = parse_via(SAVED, "p.json")
    assert (project.version, project.shared) == ("3.1.1", False)
    assert project.attributes["1"] == ViaAttribute("person", TEXT)
    assert project.attributes["2"] == ViaAttribute("pose", CHECKBOX, {"11": "sit", "12": "stand"})
    assert project.files["2"] == ViaFile("v1_000091.jpg", src="frames/v1_000091.jpg")
    assert project.views["2"].files == ("2",)
    assert project.marks["1_p1"] == ViaMark("1", (2, 111.0, 60.0, 100.0, 240.0), (), {"1": "3", "2": ""})
    assert project.marks["1_p1"].rectangle == (111.0, 60.0, 211.0, 300.0)
    assert dump_via(project) == SAVED


def test_a_file_is_read_with_or_without_a_mark_of_its_encoding(tmp_path: Path) -> None:
    for name, text in (("a.json", ""), ("b.json", "\ufeff")):
        (tmp_path / name).write_text(text + json.dumps(SAVED), encoding="utf-8")
        assert dump_via(load_via(tmp_path / name)) == SAVED


NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
FRESH = st.text("abcdefghij", min_size=5, max_size=8).map(lambda text: "x" + text)
MORE = st.dictionaries(FRESH, st.one_of(st.integers(), NAMES, st.lists(st.booleans()), st.none()), max_size=2)
NUMBERS = st.floats(-1000, 5000).map(lambda value: round(value, 5))


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents with fields at all places that nobody here knows."""
    document = copy.deepcopy(SAVED)
    for part in (document, document["project"], document["config"], *document["attribute"].values()):
        part.update(draw(MORE))
    for name in ("file", "view", "metadata"):
        for entry in document[name].values():
            entry.update(draw(MORE))
    document["attribute"]["2"]["options"] = draw(st.dictionaries(NAMES, NAMES))
    document["metadata"]["1_p1"]["xy"] = draw(st.lists(NUMBERS, max_size=7))
    document["metadata"]["1_p1"]["z"] = draw(st.lists(NUMBERS, max_size=2))
    document["metadata"]["1_p1"]["av"] = draw(st.dictionaries(NAMES, NAMES))
    return document


@given(documents())
def test_every_project_comes_back_with_all_that_is_unknown(document: dict[str, Any]) -> None:
    held = copy.deepcopy(document)
    assert dump_via(parse_via(document, "p")) == held


def changed(*path: str, to: object) -> dict[str, Any]:
    document = copy.deepcopy(SAVED)
    part = document
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = to
    return document


def without(*path: str) -> dict[str, Any]:
    document = copy.deepcopy(SAVED)
    part = document
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return document


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "not a JSON object"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, "VIA 2"),
        ({"a.jpg123": {"filename": "a.jpg", "regions": []}}, "VIA 2"),
        ({"images": [], "annotations": [], "categories": []}, "COCO"),
        (without("metadata"), "metadata is missing"),
        (changed("project", "data_format_version", to="4.0.0"), "'4.0.0'"),
        (changed("project", "data_format_version", to=3), "3"),
        (changed("project", to=[]), "project is no object"),
        (changed("file", to=[]), "file is no object"),
        (changed("view", "1", to=["1"]), "view '1': no object"),
        (changed("view", "1", "fid_list", to="1"), "fid_list"),
        (changed("file", "1", "type", to="2"), "file '1': type is no whole number"),
        (without("attribute", "1", "aname"), "aname is missing"),
        (changed("attribute", "2", "options", to=["sit"]), "options"),
        (changed("metadata", "1_p1", "av", to={"1": 3}), "av must be an object of texts"),
        (changed("metadata", "1_p1", "xy", to=[2, 1, 1, "1", 1]), "xy must be a list of numbers"),
        (changed("metadata", "1_p1", "xy", to=[2, 1, 1, float("inf"), 1]), "xy must be a list of numbers"),
        (without("metadata", "1_p1", "vid"), "vid is missing"),
    ],
    ids=range(18),
)
def test_what_is_refused(document: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        parse_via(document, "p.json")
    assert "p.json" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["", "{", "NaN", "\x00", "[" * 100_000, '{"a": "\ud800"}'], ids=range(6))
def test_files_that_are_no_json_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="not JSON"):
        load_via(path)


def test_all_faults_are_told_at_once() -> None:
    document = copy.deepcopy(SAVED)
    document["metadata"] = {str(number): {"vid": "1", "av": 1} for number in range(30)}
    with pytest.raises(InputError) as caught:
        parse_via(document, "p.json")
    assert caught.value.message.count("av must be") == 20
    assert "10 more" in caught.value.message


def test_a_shared_project_and_one_without_a_version_are_read() -> None:
    assert parse_via(changed("project", "pid", to="9d3f"), "p").shared
    assert parse_via(without("project", "data_format_version"), "p").version is None


def test_a_new_project_has_the_markers_that_keep_it_on_the_disk() -> None:
    files = {"1": ViaFile("v_000061.jpg", src="frames/v_000061.jpg")}
    document = dump_via(new_project("v", 5, {"1": ViaAttribute("person", TEXT)}, files, {}, "1"))
    for name in ("pid", "rev", "rev_timestamp"):
        assert document["project"][name] == SAVED["project"][name]
    assert document["project"]["vid_list"] == ["1"]
    assert document["view"] == {"1": {"fid_list": ["1"]}}
    assert document["config"]["ui"]["spatial_region_label_attribute_id"] == "1"
    assert list(document) == list(SAVED)
