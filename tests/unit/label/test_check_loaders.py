"""What label check says of PyTorchVideo, held against the real loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytorchvideo.data.ava import AvaLabeledVideoFramePaths

from vidbench.label.check import CheckRequest, check

HEADER = "original_vido_id video_id frame_id path labels\n"
ROW = "v1,0902,0.100,0.100,0.300,0.900,1,0"
OTHER = "v1,0902,0.500,0.100,0.700,0.900,2,1"
ITEMS = 'item {\n  name: "sit"\n  id: 1\n}\nitem {\n  name: "stand"\n  id: 2\n}\n'


def lay(root: Path, rows: list[str], items: str = ITEMS, listed: str = "v1") -> Path:
    (root / "annotations").mkdir(exist_ok=True)
    (root / "frame_lists").mkdir(exist_ok=True)
    (root / "annotations/ava_train_v2.2.csv").write_text("".join(f"{row}\n" for row in rows))
    (root / "annotations/ava_action_list_v2.2.pbtxt").write_text(items)
    lines = "".join(f'{listed} 0 {n} {listed}/img_{n + 1:05d}.jpg ""\n' for n in range(122))
    (root / "frame_lists/train.csv").write_text(HEADER + lines)
    return root


def load(root: Path, labels: bool = False) -> list[Any]:
    return AvaLabeledVideoFramePaths.from_csv(
        str(root / "frame_lists/train.csv"),
        str(root / "annotations/ava_train_v2.2.csv"),
        str(root / "frames"),
        str(root / "annotations/ava_action_list_v2.2.pbtxt") if labels else None,
    )


def told(root: Path) -> dict[str, str]:
    """What it is said to do, by rule."""
    result = check(CheckRequest(folder=root, loaders=("pytorchvideo",), frames=False))
    return {one.rule: effect.text for one in result.findings for effect in one.effects}


RAISES: list[tuple[str, type[Exception], list[str]]] = [
    ("labels-columns-seven", IndexError, [ROW[:-2]]),
    ("labels-columns-few", IndexError, ["v1,0902,0.1,0.1,0.3,0.9"]),
    ("labels-second-alone", IndexError, ["v1,0902"]),
    ("second-unreadable", ValueError, [ROW.replace("0902", "15:02")]),
    ("box-unreadable", ValueError, [ROW.replace("0.300", "")]),
    ("action-unreadable", ValueError, [ROW.replace(",1,0", ",sit,0")]),
    ("person-unreadable", ValueError, [ROW[:-1]]),
    ("labels-video-unlisted", KeyError, [ROW, ROW.replace("v1", "v2")]),
    ("text-blank-line", KeyError, [ROW, ""]),
]


@pytest.mark.parametrize(("rule", "error", "rows"), RAISES, ids=[one[0] for one in RAISES])
def test_rows_that_are_said_to_end_the_loader_do(
    tmp_path: Path, rule: str, error: type[Exception], rows: list[str]
) -> None:
    root = lay(tmp_path, rows)
    with pytest.raises(error):
        load(root)
    assert error.__name__ in told(root)[rule]


@pytest.mark.parametrize(
    "row",
    [
        ROW.replace("0902", "902"),
        ROW.replace("0902", "902.0"),
        ROW + ",9",
        ROW[:-1] + "0.0",
        ROW.replace(",1,0", ",81,0"),
        "v1,0902,0.1,0.1,0.3,0.9,1,0",
    ],
)
def test_rows_that_are_not_said_to_trouble_it_load(tmp_path: Path, row: str) -> None:
    root = lay(tmp_path, [row])
    assert len(load(root)) == 1
    assert not [text for text in told(root).values() if "Error" in text]


def test_rows_out_of_range_are_passed_over_without_a_word(tmp_path: Path) -> None:
    root = lay(tmp_path, [ROW.replace("0902", "0002")])
    assert load(root) == []
    assert told(root)["second-range"] == "passes over the row without a word"


def test_boxes_that_are_close_become_one_person(tmp_path: Path) -> None:
    root = lay(tmp_path, [ROW, "v1,0902,0.101,0.100,0.302,0.900,2,1"])
    ((_, found),) = load(root)
    assert found["labels"] == [[1, 2]]
    assert "boxes-close" in told(root)
    apart = lay(tmp_path, [ROW, OTHER])
    ((_, found),) = load(apart)
    assert found["labels"] == [[1], [2]]
    assert "boxes-close" not in told(apart)


def test_a_person_of_two_boxes_becomes_two(tmp_path: Path) -> None:
    root = lay(tmp_path, [ROW, "v1,0902,0.120,0.100,0.320,0.900,2,0"])
    ((_, found),) = load(root)
    assert len(found["boxes"]) == 2
    assert "box-differs" in told(root)


@pytest.mark.parametrize(
    ("rule", "items"),
    [
        ("actions-indent", ITEMS.replace("  id: 2", "\tid: 2")),
        ("actions-indent", 'item { name: "sit" id: 2 }\n' + ITEMS.replace("  id: 2", "    id: 2")),
    ],
)
def test_lines_of_the_action_list_that_are_said_to_be_passed_over_are(tmp_path: Path, rule: str, items: str) -> None:
    root = lay(tmp_path, [ROW, OTHER], items)
    _, ids = AvaLabeledVideoFramePaths.read_label_map(str(root / "annotations/ava_action_list_v2.2.pbtxt"))
    assert ids == {1}
    assert rule in told(root)
    ((_, found),) = load(root, labels=True)
    assert found["labels"] == [[1]]


@pytest.mark.parametrize(
    ("rule", "error", "items"),
    [
        ("actions-quote", IndexError, ITEMS.replace('"sit"', "'sit'")),
        ("actions-id", ValueError, ITEMS.replace("id: 2", "id:2")),
    ],
)
def test_lines_of_the_action_list_that_are_said_to_end_it_do(
    tmp_path: Path, rule: str, error: type[Exception], items: str
) -> None:
    root = lay(tmp_path, [ROW, OTHER], items)
    with pytest.raises(error):
        load(root, labels=True)
    assert error.__name__ in told(root)[rule]


def test_a_list_of_four_fields_ends_it(tmp_path: Path) -> None:
    root = lay(tmp_path, [ROW])
    path = root / "frame_lists/train.csv"
    path.write_text(path.read_text().replace(' ""', ""))
    with pytest.raises(AssertionError):
        load(root)
    assert told(root)["list-fields"] == "AssertionError"
