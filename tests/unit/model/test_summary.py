"""The figures of an evaluation from made-up records."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidbench.data.dataset import NO_LABEL, ClipItem, ClipList
from vidbench.model.card import ModelCard, Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.metrics import argmax, rank_of
from vidbench.model.protocol import RULES, Protocol, Views
from vidbench.model.reading import Reader
from vidbench.model.resolve import LoadedModel
from vidbench.model.shards import LARGE
from vidbench.model.summary import class_names, summarise
from vidbench.records import Records

SIZE = Preprocess(4, 3, 32, 32, 32)
READER = Reader("pyav", SIZE, Protocol(RULES["pyslowfast"], Views(2, 3)))


def model(classes: int, names: tuple[str, ...] = (), several: bool = False) -> LoadedModel:
    task = "multilabel" if several else "classify"
    card = ModelCard("made_up", "made up", SIZE, classes, "", 0.0, lambda count: nn.Linear(3, count), task=task)
    classifier = Classifier(nn.Linear(3, classes), SIZE, classes, names, several)
    return LoadedModel(classifier, "folder", "made_up", "file", "0" * 64, card)


def listed(labels: list[int | tuple[int, ...]], several: bool = False) -> ClipList:
    items = []
    for place, label in enumerate(labels):
        every = label if isinstance(label, tuple) else (label,)
        only = every[0] if len(every) == 1 else NO_LABEL
        items.append(ClipItem(f"{place}.mp4", Path(f"/{place}.mp4"), only, place + 1, f"{place:016}", labels=every))
    return ClipList(Path("list.txt"), Path("/"), "--root", tuple(items), "", len(items), several=several)


def scored(store: Records, item: ClipItem, scores: list[float]) -> None:
    record = {"key": item.key, "path": item.name, "label": item.label, "status": "ok", "pred": argmax(scores)}
    if item.label != NO_LABEL:
        record["rank"] = rank_of(item.label, scores)
    store.append({**record, "scores": scores, "frames": 30, "fps": str(Fraction(30))})


def failed(store: Records, item: ClipItem) -> None:
    store.append(
        {"key": item.key, "path": item.name, "label": item.label, "status": "failed", "reason": "no such file"}
    )


def test_accuracies_of_single_labels(tmp_path: Path) -> None:
    clips = listed([0, 0, 1, 2, 2])
    store = Records(tmp_path / "clips.jsonl", LARGE)
    for item, guess in zip(clips.items, (0, 1, 1, 0), strict=False):
        scores = [0.1, 0.1, 0.1]
        scores[guess] = 0.8
        scored(store, item, scores)
    failed(store, clips.items[4])
    found = summarise(clips, store, model(3, ("a", "b", "c")), READER, "fp32")
    assert (found["listed"], found["clips"], found["evaluated"], found["failed"]) == (5, 5, 4, 1)
    assert found["top1"] == 0.5
    assert found["top1_low"] < 0.5 < found["top1_high"]
    # of three classes the label is among the first three always
    assert found["top5"] == 1
    assert found["mean_class_accuracy"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found["per_class"] == [
        {"label": 0, "class": "a", "clips": 2, "correct": 1},
        {"label": 1, "class": "b", "clips": 1, "correct": 1},
        {"label": 2, "class": "c", "clips": 1, "correct": 0},
    ]
    assert found["failures"] == [{"path": "4.mp4", "reason": "no such file"}]
    json.dumps(found, allow_nan=False)


def test_fifth_of_six_is_within_five_and_sixth_is_not(tmp_path: Path) -> None:
    clips = listed([1, 0])
    store = Records(tmp_path / "clips.jsonl", LARGE)
    for item in clips.items:
        scored(store, item, [0.05, 0.1, 0.15, 0.2, 0.23, 0.27])
    found = summarise(clips, store, model(6), READER, "fp32")
    assert (found["top1"], found["top5"]) == (0, 0.5)
    assert found["per_class"][0] == {"label": 0, "class": "0", "clips": 1, "correct": 0}


def test_a_run_without_one_score_has_no_accuracy(tmp_path: Path) -> None:
    for several in (False, True):
        clips = listed([0, 1], several)
        store = Records(tmp_path / f"{several}.jsonl", LARGE)
        for item in clips.items:
            failed(store, item)
        found = summarise(clips, store, model(3, several=several), READER, "fp32")
        assert (found["evaluated"], found["failed"]) == (0, 2)
        assert found["mean_ap" if several else "top1"] is None
        assert found["per_class"] == []
        assert found["verdict"]["lines"]
        json.dumps(found, allow_nan=False)


def test_the_order_of_the_work_changes_nothing(tmp_path: Path) -> None:
    clips = listed([0, 1, 2, 1])
    rows = torch.rand(4, 3, generator=torch.Generator().manual_seed(1)).tolist()
    found = []
    for order in ((0, 1, 2, 3), (2, 0, 3, 1)):
        store = Records(tmp_path / f"{order[0]}.jsonl", LARGE)
        for place in order:
            scored(store, clips.items[place], rows[place])
        found.append(summarise(clips, store, model(3), READER, "fp32"))
    assert found[0] == found[1]


def test_records_of_other_videos_do_not_count(tmp_path: Path) -> None:
    clips = listed([0, 1, 2])
    store = Records(tmp_path / "clips.jsonl", LARGE)
    for item in clips.items:
        scored(store, item, [0.2, 0.5, 0.3])
    fewer = ClipList(Path("list.txt"), Path("/"), "--root", clips.items[1:2], "", 3)
    found = summarise(fewer, store, model(3), READER, "fp32")
    assert (found["listed"], found["clips"], found["evaluated"], found["top1"]) == (3, 1, 1, 1)


def test_mean_average_precision_of_several_labels(tmp_path: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    labels: list[int | tuple[int, ...]] = [(0, 2), (), (2,), (1, 2), ()]
    clips = listed(labels, several=True)
    store = Records(tmp_path / "clips.jsonl", LARGE)
    rows = torch.rand(5, 4, generator=torch.Generator().manual_seed(2)).tolist()
    for item, scores in zip(clips.items, rows, strict=True):
        scored(store, item, scores)
    found = summarise(clips, store, model(4, several=True), READER, "fp32")
    truth = np.zeros((5, 4), int)
    for row, every in enumerate(labels):
        truth[row, list(every)] = 1  # type: ignore[arg-type]
    scores = np.float32(rows)
    expected = [metrics.average_precision_score(truth[:, label], scores[:, label]) for label in range(3)]
    assert found["mean_ap"] == pytest.approx(np.mean(expected))
    # no video has class 3, so it has no figure and is not in the mean
    assert [row["label"] for row in found["per_class"]] == [0, 1, 2]
    assert [row["clips"] for row in found["per_class"]] == [1, 1, 3]
    assert "top1" not in found


def test_classes_without_names_are_numbered() -> None:
    assert class_names(model(3)) == ("0", "1", "2")
    assert class_names(model(2, ("walk", "run"))) == ("walk", "run")
