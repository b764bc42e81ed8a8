import json
from copy import deepcopy
from fractions import Fraction
from typing import Any

import pytest

from vidbench.errors import InputError
from vidbench.formats.coco import dump, parse
from vidbench.formats.given import GivenBox, VideoShape

WALK = VideoShape("walk", 200, 100, Fraction(25))
RUN = VideoShape("run", 64, 48, Fraction(30))
SHAPES = {"walk": WALK, "walk.mp4": WALK}


def document(**image: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "x.jpg", "width": 400, "height": 200, "video_id": "walk", **image}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [40, 20, 120, 160]}],
        "categories": [{"id": 3, "name": "Person"}, {"id": 4, "name": "dog"}],
    }


@pytest.mark.parametrize(
    ("image", "span"),
    [
        ({"second": 2}, range(60, 61)),
        ({"time": 0.5}, range(15, 16)),
        ({"frame": 3}, range(2, 4)),
        ({"frame_id": 2}, range(2, 4)),
        ({"number": 8, "time": 99}, range(8, 9)),
        ({"second": 1, "video_id": "walk.mp4"}, range(30, 31)),
    ],
    ids=["second", "time", "frame", "frame_id", "number", "file"],
)
def test_images_say_their_moment_and_scale(image: dict[str, Any], span: range) -> None:
    given = parse(document(**image), "c.json", SHAPES)
    assert given.boxes == (GivenBox("walk", span.start, (0.1, 0.1, 0.4, 0.9)),)
    assert given.spans == {"walk": (span,)}


def test_the_layout_of_cocovid_is_read() -> None:
    told = document(video_id=5, frame_id=0)
    told["videos"] = [{"id": 5, "name": "walk"}]
    told["annotations"][0] |= {"instance_id": 9, "score": 0.5}
    assert parse(told, "c.json", SHAPES).boxes == (GivenBox("walk", 0, (0.1, 0.1, 0.4, 0.9), 0.5, 9),)


def test_attributes_hold_actions_and_track() -> None:
    told = document(second=0)
    told["annotations"][0]["attributes"] = {"track_id": 4, "actions": [80, 12]}
    assert parse(told, "c.json", SHAPES).boxes[0].actions == (12, 80)
    assert parse(told, "c.json", SHAPES).boxes[0].person == 4


def test_others_are_counted_and_named() -> None:
    told = document(second=1)
    told["images"] += [
        {"id": 8, "width": 5, "height": 5, "video_id": "walk", "second": 3},
        {"id": 9, "width": 5, "height": 5, "video_id": "run", "second": 3},
    ]
    told["annotations"] += [
        {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0, 0, 9, 9]},
        {"id": 3, "image_id": 7, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"id": 4, "image_id": 7, "category_id": 3, "bbox": [0, 0, 0, 9]},
        {"id": 5, "image_id": 9, "category_id": 3, "bbox": [0, 0, 9, 9]},
    ]
    given = parse(told, "c.json", SHAPES)
    assert len(given.boxes) == 1
    assert (given.not_persons, given.flat, given.others) == (2, 1, ("run",))
    assert given.spans == {"walk": (range(30, 31), range(90, 91))}


BAD: dict[str, tuple[tuple[str, int, str, Any], str]] = {
    "size": (("images", 0, "width", 0), "images[0]: width 0 is not a whole number from 1 on"),
    "video": (("images", 0, "video_id", 5), "images[0]: video_id 5 is neither"),
    "negative": (("images", 0, "second", -1), "images[0]: second -1"),
    "no image": (("annotations", 0, "image_id", 1), "annotations[0]: image_id 1: no such image"),
    "three": (("annotations", 0, "bbox", [1, 2, 3]), "annotations[0]: bbox [1, 2, 3]"),
    "nan": (("annotations", 0, "bbox", [1, 2, float("nan"), 3]), "annotations[0]: bbox nan is not a number"),
    "reversed": (("annotations", 0, "bbox", [1, 2, -3, 3]), "a negative size"),
    "score": (("annotations", 0, "score", 3), "score 3 is not from 0 to 1"),
    "track": (("annotations", 0, "track_id", "a"), "track_id 'a' is not a whole number"),
    "actions": (("annotations", 0, "attributes", {"actions": ["sit"]}), "actions 'sit' is not a whole number"),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_entries_are_named(name: str) -> None:
    (part, place, key, value), reason = BAD[name]
    told = document(second=2)
    told[part][place][key] = value
    with pytest.raises(InputError) as caught:
        parse(told, "c.json", SHAPES)
    assert caught.value.message.startswith("c.json: ")
    assert reason in caught.value.message


def test_images_need_a_moment_and_an_own_id() -> None:
    with pytest.raises(InputError, match="none of second, time, frame"):
        parse(document(), "c.json", SHAPES)
    told = document(second=1)
    told["images"] *= 2
    with pytest.raises(InputError, match=r"images\[1\]: id 7 is there twice"):
        parse(told, "c.json", SHAPES)
    told = document(second=1)
    told["annotations"][0]["track_id"] = 1
    told["annotations"].append(deepcopy(told["annotations"][0]))
    with pytest.raises(InputError, match=r"annotations\[1\]: the person has a box at this moment"):
        parse(told, "c.json", SHAPES)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([{"image_id": 1}], "a list, as of COCO's results"),
        ({"images": []}, "no list `annotations`"),
        ("text", "no list `images`"),
        ({"images": [], "annotations": [], "categories": [{"id": 1, "name": "dog"}]}, "no category is called person"),
        ({"images": [3], "annotations": [4], "categories": [{"id": 1, "name": "person"}]}, "images[0]: not an object"),
    ],
    ids=["results", "no annotations", "text", "no person", "numbers"],
)
def test_other_documents_are_refused(told: object, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(told, "c.json", SHAPES)
    assert reason in caught.value.message


def test_a_written_document_has_what_others_ask_for() -> None:
    boxes = [
        GivenBox("run", 15, (0.5, 0.5, 1.0, 1.0)),
        GivenBox("walk", 60, (0.1, 0.1, 0.4, 0.9), 0.5, 2, (12,)),
    ]
    told = dump(boxes, [WALK, RUN], moments={"walk": [60, 90]}, actions={80: "watch", 12: "stand"})
    assert json.loads(json.dumps(told)) == told
    assert told["images"] == [
        {"id": 1, "file_name": "walk_000061.jpg", "width": 200, "height": 100, "video_id": "walk", "number": 60,
         "second": 2},
        {"id": 2, "file_name": "walk_000091.jpg", "width": 200, "height": 100, "video_id": "walk", "number": 90,
         "second": 3},
        {"id": 3, "file_name": "run_000016.jpg", "width": 64, "height": 48, "video_id": "run", "number": 15,
         "time": 0.5},
    ]  # fmt: skip
    assert told["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20.0, 10.0, 60.0, 80.0], "area": 4800.0, "iscrowd": 0,
         "score": 0.5, "track_id": 2, "attributes": {"actions": [12]}},
        {"id": 2, "image_id": 3, "category_id": 1, "bbox": [32.0, 24.0, 32.0, 24.0], "area": 768.0, "iscrowd": 0},
    ]  # fmt: skip
    assert told["categories"] == [{"id": 1, "name": "person", "supercategory": "person"}]
    assert told["actions"] == [{"id": 12, "name": "stand"}, {"id": 80, "name": "watch"}]


def test_boxes_of_an_unknown_video_are_refused() -> None:
    with pytest.raises(InputError, match="boxes of jump"):
        dump([GivenBox("jump", 0, (0, 0, 1, 1))], [WALK])
