"""What an edited project of VIA says: all that VIA's editor does to one, and projects of other programs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo, box_of
from vidbench.formats.via import dump_via, parse_via
from vidbench.label.actions import load_actions
from vidbench.label.reconcile import Merged, replaced
from vidbench.label.via import project_of
from vidbench.label.via_reading import Taken, UnchangedTicks, take

VIDEO = SetVideo("clip_1", "a.mp4", 1, 320, 180, "25", 300, 2, 8)
AVA = load_actions("ava_80")
SET = SetFile(AVA, (VIDEO, replace(VIDEO, id="other")))
ROWS = (
    Row(2, 0, (0.1, 0.2, 0.35, 1.0), 0.9, (12, 29, 80), 7, True, ("weak",)),
    Row(2, 1, (0.5, 0.2, 0.7, 0.9), 0.8, (), 8),
    Row(3, 0, (0.1, 0.2, 0.3, 1.0), 0.7, None, 7),
    Row(8, 0, (0.1, 0.2, 0.3, 1.0), None, (11,), None, False, ("drawn",)),
)
Document = dict[str, Any]


def exported(rows: tuple[Row, ...] = ROWS, actions: tuple[SetAction, ...] = AVA, video: SetVideo = VIDEO) -> Document:
    return copy.deepcopy(dump_via(project_of(video, actions, rows, video.keyframes, 5)))


def taken(
    document: Document,
    rows: tuple[Row, ...] = ROWS,
    content: SetFile = SET,
    unchanged: UnchangedTicks = "refuse",
    ignore: tuple[str, ...] = (),
) -> Taken:
    return take(parse_via(document, "p"), content, lambda _: rows, unchanged, ignore)


def merged(document: Document, rows: tuple[Row, ...] = ROWS, content: SetFile = SET, **more: Any) -> Merged:
    found = taken(document, rows, content, **more)
    assert not found.problems
    (video,) = found.seconds
    result = replaced(rows, found.seconds[video], found.offered.get(video, ()))
    assert not result.problems
    return result


def edit_options(document: Document, name: str, text: str) -> None:
    """What VIA does when the list of options is edited: cut at commas, numbered from 0, ticks left as they are."""
    attribute = next(one for one in document["attribute"].values() if one["aname"] == name)
    attribute["options"] = {str(place): part.strip().removeprefix("*") for place, part in enumerate(text.split(","))}


def as_csv(document: Document, name: str) -> str:
    attribute = next(one for one in document["attribute"].values() if one["aname"] == name)
    return ",".join(attribute["options"].values())


# properties

ACTIONS = st.lists(st.integers(1, 80), min_size=1, max_size=12, unique=True).flatmap(
    lambda ids: st.builds(
        lambda groups: tuple(
            SetAction(number, f"does {number}, or so", group) for number, group in zip(sorted(ids), groups, strict=True)
        ),
        st.lists(st.sampled_from(["pose", "object", "person"]), min_size=len(ids), max_size=len(ids)),
    )
)
EDGES = st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True).map(sorted)


@st.composite
def sets(draw: st.DrawFn) -> tuple[SetFile, tuple[Row, ...]]:
    actions = draw(ACTIONS)
    width, height = draw(st.integers(1, 8000)), draw(st.integers(1, 8000))
    ids = [one.id for one in actions]
    keys = draw(st.lists(st.tuples(st.integers(2, 8), st.integers(0, 9999)), max_size=8, unique=True))
    rows = []
    for second, person in sorted(keys):
        (x1, x2), (y1, y2) = draw(EDGES), draw(EDGES)
        told = draw(st.none() | st.lists(st.sampled_from(ids), unique=True).map(sorted).map(tuple))
        track = draw(st.none() | st.integers(0, 10**9))
        score = draw(st.none() | st.integers(0, 10**4).map(lambda value: value / 10**4))
        doubts = draw(st.sampled_from([(), ("weak",), ("joined", "drawn")]))
        box = (x1 / 1000, y1 / 1000, x2 / 1000, y2 / 1000)
        rows.append(Row(second, person, box, score, told, track, draw(st.booleans()), doubts))
    video = replace(VIDEO, width=width, height=height)
    return SetFile(actions, (video,)), tuple(rows)


@settings(max_examples=40)
@given(sets())
def test_a_set_comes_back_as_it_went(held: tuple[SetFile, tuple[Row, ...]]) -> None:
    content, rows = held
    result = merged(exported(rows, content.actions, content.videos[0]), rows, content)
    assert result.rows == rows
    assert (result.added, result.removed, result.changed, result.new_persons) == ((), (), (), ())


@settings(max_examples=40)
@given(sets(), st.randoms(use_true_random=False))
def test_lists_that_via_numbered_anew_shift_no_action(held: tuple[SetFile, tuple[Row, ...]], random: Any) -> None:
    """Every list is edited, whereby names are cut at commas and their order changes; then all is ticked again."""
    content, rows = held
    document = exported(rows, content.actions, content.videos[0])
    for key, attribute in document["attribute"].items():
        if attribute["aname"] not in ("pose", "object", "people"):
            continue
        names = list(attribute["options"].items())
        random.shuffle(names)
        edit_options(document, attribute["aname"], ",".join(name for _, name in names))
        # each name is two pieces now, and either may be ticked
        moved = {old: str(2 * place + random.randrange(2)) for place, (old, _) in enumerate(names)}
        for mark in document["metadata"].values():
            value = mark["av"][key]
            mark["av"][key] = ",".join(moved[one] for one in value.split(",")) if value else ""
    found = taken(document, rows, content, unchanged="read")
    assert not found.problems
    assert replaced(rows, found.seconds["clip_1"], found.offered.get("clip_1", ())).rows == rows


@settings(max_examples=40)
@given(sets(), st.data())
def test_boxes_that_moved_keep_their_persons(held: tuple[SetFile, tuple[Row, ...]], data: st.DataObject) -> None:
    content, rows = held
    video = content.videos[0]
    document = exported(rows, content.actions, video)
    wanted = []
    for row, mark in zip(rows, document["metadata"].values(), strict=True):
        (x1, x2), (y1, y2) = data.draw(EDGES), data.draw(EDGES)
        box = (x1 / 1000, y1 / 1000, x2 / 1000, y2 / 1000)
        width, height = video.width, video.height
        xy = (box[0] * width, box[1] * height, (box[2] - box[0]) * width, (box[3] - box[1]) * height)
        mark["xy"] = [2, *(round(one, 5) for one in xy)]
        wanted.append((row.second, row.person, row.track, row.actions, box_of(*box)))
    result = merged(document, rows, content)
    assert [(one.second, one.person, one.track, one.actions, one.box) for one in result.rows] == wanted
    assert (result.added, result.removed) == ((), ())


# what people do in VIA


def test_a_new_box_has_no_values_and_gets_a_new_person() -> None:
    document = exported()
    document["metadata"]["1_k3x9ab"] = {"vid": "1", "flg": 0, "z": [], "xy": [2, 288, 18, 16, 90], "av": {}}
    result = merged(document)
    assert result.rows[:2] == ROWS[:2]
    assert result.rows[2] == Row(2, 2, (0.9, 0.1, 0.95, 0.6), None, None, None, False, ("drawn",))
    assert (result.added, result.new_persons) == (((2, 2),), (2,))


def test_a_new_box_may_say_who_it_is() -> None:
    document = exported()
    document["metadata"]["2_k3x9ab"] = {"vid": "2", "xy": [2, 288, 18, 16, 90], "av": {"1": " 1 ", "2": "11"}}
    result = merged(document)
    assert result.added == ((3, 1),)
    assert result.new_persons == ()


def test_a_deleted_box_is_a_deleted_row_and_one_drawn_again_is_the_same_person() -> None:
    document = exported()
    del document["metadata"]["1_s0002_p1_t8"]
    del document["metadata"]["2_s0003_p0_t7"]
    document["metadata"]["2_k3x9ab"] = {"vid": "2", "xy": [2, 33, 37, 63, 143], "av": {}}
    result = merged(document)
    assert result.removed == ((2, 1),)
    assert result.changed == ((3, 0),)
    assert result.rows[1].track == 7


def test_another_number_is_another_person() -> None:
    document = exported()
    document["metadata"]["1_s0002_p0_t7"]["av"]["1"] = "1"
    document["metadata"]["1_s0002_p1_t8"]["av"]["1"] = "0"
    result = merged(document)
    assert [(one.person, one.track) for one in result.rows[:2]] == [(0, 8), (1, 7)]
    document["metadata"]["1_s0002_p1_t8"]["av"]["1"] = "1"
    found = taken(document)
    assert "person 1 is there twice" in replaced(ROWS, {2}, found.offered["clip_1"][:2]).problems[0]


def test_untouched_none_and_ticked_are_three_answers() -> None:
    document = exported()
    document["metadata"]["1_s0002_p0_t7"]["av"].update({"2": "", "3": "", "4": ""})
    document["metadata"]["2_s0003_p0_t7"]["av"]["5"] = "none"
    document["metadata"]["1_s0002_p1_t8"]["av"].update({"5": "", "2": "12,11"})
    assert [one.actions for one in merged(document).rows] == [None, (11, 12), (), (11,)]
    document["metadata"]["1_s0002_p1_t8"]["av"]["5"] = "none"
    assert taken(document).problems == ("box 1_s0002_p1_t8: ticks 'none' and actions as well",)


def test_ticks_from_before_an_edit_of_the_list_are_not_read_as_other_actions() -> None:
    document = exported()
    edit_options(document, "pose", as_csv(document, "pose"))
    # "12" was "stand" and is "swim" in the list as it is numbered now
    (problem,) = taken(document).problems
    assert "edited in VIA" in problem
    assert "1_s0002_p0_t7" in problem
    assert merged(document, unchanged="keep").rows == ROWS
    assert AVA[12].name == "swim"
    assert merged(document, unchanged="read").rows[0].actions == (13, 29, 80)
    # ticked again, it is told by its name
    document["metadata"]["1_s0002_p0_t7"]["av"]["2"] = "11"
    document["metadata"]["7_s0008_p0"]["av"]["2"] = "10"
    assert merged(document).rows == ROWS


def test_names_that_via_cut_at_their_commas_are_put_together() -> None:
    document = exported()
    edit_options(document, "people", as_csv(document, "people"))
    options = document["attribute"]["4"]["options"]
    assert "talk to (e.g." in options.values()
    piece = next(key for key, name in options.items() if name == "talk to (e.g.")
    # the same words end the name of "sing to"; the pieces after this one are its own
    piece = str(int(piece) + 1)
    assert options[piece] == "self"
    document["metadata"]["1_s0002_p0_t7"]["av"]["4"] = piece
    number = next(one.id for one in AVA if one.name.startswith("talk to (e.g."))
    assert merged(document).rows[0].actions == tuple(sorted((12, 29, number)))


def test_options_without_an_action_are_refused_with_their_names() -> None:
    document = exported()
    edit_options(document, "pose", "stand, sitt, juggle")
    (problem,) = (one for one in taken(document).problems if "no action" in one)
    assert problem == """options that are no action of the set: "sitt" of 'pose' (is it "sit"?), "juggle" of 'pose'"""


def test_an_attribute_of_one_s_own_can_be_left_out() -> None:
    document = exported()
    document["attribute"]["6"] = {"aname": "mood", "type": 2, "options": {"0": "glad"}, "anchor_id": "FILE1_Z0_XY1"}
    document["metadata"]["1_s0002_p0_t7"]["av"]["6"] = "0"
    assert '"glad" of' in taken(document).problems[0]
    assert merged(document, ignore=("mood",)).rows == ROWS
    assert "the attribute 'mood'" in taken(document, ignore=("mood",)).notes[0]
    assert taken(document, ignore=("mood", "moot")).problems == ("there is no attribute 'moot' to ignore",)


def test_pictures_are_told_by_their_names_not_by_their_order() -> None:
    document = exported()
    names = [one["fname"] for one in document["file"].values()]
    for file, name in zip(document["file"].values(), reversed(names), strict=True):
        file["fname"] = file["src"] = name
    offered = taken(document).offered["clip_1"]
    assert [one.second for one in offered] == [8, 8, 7, 2]
    # an id of a box that lies at another second is not believed
    assert all(one.origin is None for one in offered)


def whiffe() -> Document:
    """As scripts of the field write one: no version, pictures of no place, ids of options from 0 in each attribute."""
    options = {"1": {"0": "stand", "1": "sit"}, "2": {"0": "answer phone"}}
    return {
        "project": {"pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__", "pname": "1", "vid_list": ["1"]},
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}},
        "attribute": {
            key: {
                "aname": name,
                "type": 2,
                "options": options[key],
                "anchor_id": "FILE1_Z0_XY1",
                "desc": "",
                "default_option_id": "0",
            }
            for key, name in (("1", "body"), ("2", "limbs"))
        },
        "file": {"1": {"fname": "clip_1_000061.jpg", "type": 2, "fid": "1", "loc": 1, "src": ""}},
        "view": {"1": {"fid_list": [1]}},
        "metadata": {
            "image1_1": {"vid": "1", "xy": [2, 32, 36, 80, 144], "av": {"1": "0", "2": "0"}, "flg": 0, "z": []},
            "image1_2": {"vid": "1", "xy": [2, 300, 36, 10, 144], "av": {"1": "1", "2": ""}, "flg": 0, "z": []},
        },
    }


def test_the_dialect_of_the_field_is_read_by_names() -> None:
    result = merged(whiffe())
    phone = next(one.id for one in AVA if one.name == "answer phone")
    assert [(one.person, one.actions) for one in result.rows if one.second == 2] == [(0, (12, phone)), (2, (11,))]
    assert result.removed == ((2, 1),)
    assert any("has a default" in note for note in taken(whiffe()).notes)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda d: d["file"]["1"].update(fname="cat.jpg", src="cat.jpg"), "'cat.jpg' is no name of a keyframe"),
        (lambda d: d["file"]["1"].update(fname="film_000061.jpg", src=""), "no video 'film' in the set"),
        (lambda d: d["file"]["1"].update(fname="clip_1_000062.jpg", src=""), "frame 62 is no keyframe of clip_1"),
        (lambda d: d["file"]["1"].update(fname="clip_1_000001.jpg", src=""), "frame 1 is no keyframe of clip_1"),
        (lambda d: d["file"]["1"].update(type=4), "is not an image"),
        (lambda d: d["file"].pop("1"), "the file '1' is missing"),
        (lambda d: d["view"].pop("1"), "its view '1' is missing"),
        (lambda d: d["view"]["1"].update(fid_list=["1", "2"]), "a view of 2 files"),
        (lambda d: d["view"]["2"].update(fid_list=["1"]), "clip_1_000061.jpg is in two views, 1 and 2"),
        (lambda d: d["metadata"]["1_s0002_p0_t7"].update(xy=[3, 5, 5, 5]), "not a rectangle"),
        (lambda d: d["metadata"]["1_s0002_p0_t7"].update(z=[1.5]), "not a rectangle in an image"),
        (lambda d: d["metadata"]["1_s0002_p0_t7"].update(xy=[2, 10, 10, 0, 50]), "has no area"),
        (lambda d: d["metadata"]["1_s0002_p0_t7"].update(xy=[2, 400, 10, 50, 50]), "has no area within the picture"),
        (lambda d: d["metadata"]["1_s0002_p0_t7"]["av"].update({"1": "Anna"}), "person 'Anna' is no number"),
        (lambda d: d["metadata"]["1_s0002_p0_t7"]["av"].update({"2": "90"}), "ticks '90' of 'pose'"),
        (lambda d: d["attribute"].pop("2"), "the attribute 2, which is missing"),
    ],
    ids=range(16),
)
def test_what_is_refused(spoil: Callable[[Document], None], reason: str) -> None:
    document = exported()
    spoil(document)
    assert any(reason in problem for problem in taken(document).problems)


def test_views_and_marks_that_say_nothing_are_left_out_aloud() -> None:
    document = exported()
    document["file"]["8"] = {"fid": "8", "fname": "cat.jpg", "type": 2, "loc": 2, "src": "http://127.0.0.1/cat.jpg"}
    document["view"]["8"] = {"fid_list": ["8"]}
    document["attribute"]["6"] = {"aname": "light", "type": 1, "anchor_id": "FILE1_Z0_XY0"}
    document["metadata"]["1_abc"] = {"vid": "1", "z": [], "xy": [], "av": {"6": "dim"}}
    document["project"]["pid"] = "5f0e"
    assert merged(document).rows == ROWS
    told = " ".join(taken(document).notes)
    assert "cat.jpg" in told
    assert "whole pictures" in told
    assert "'light'" in told
    assert "shared" in told


def test_a_project_of_something_else_is_refused() -> None:
    document = exported()
    document["file"], document["view"], document["metadata"] = {}, {}, {}
    assert taken(document).problems == ("no picture of a keyframe of the set: no views",)
