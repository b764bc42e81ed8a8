"""The figures of an evaluation: a function of its list, its records and what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidbench.data.dataset import ClipItem, ClipList
from vidbench.model.defences import Defended
from vidbench.model.metrics import confused_pairs, confusion, mean_class_accuracy, wilson
from vidbench.model.multilabel import average_precision, mean_ap_interval
from vidbench.model.reading import Reader
from vidbench.model.resolve import LoadedModel
from vidbench.model.verdict import Outcome, judge, lines, published_for
from vidbench.records import Json, Records

LARGEST_CONFUSION = 50
CONFUSED = 20
TOP = 5


def summarise(clips: ClipList, store: Records, model: LoadedModel, reader: Reader, precision: str) -> Json:
    """What `summary.json` holds, in the order of the list, whatever the order of the work was."""
    classifier = model.classifier
    taken = [(item, store.by_key[item.key]) for item in clips.items if item.key in store.by_key]
    good = [(item, record) for item, record in taken if record["status"] == "ok"]
    views, rule, size = reader.protocol.views, reader.protocol.rule, reader.preprocess
    short_side, crop = views.side(size)
    names = class_names(model)
    summary: Json = {
        "kind": "eval",
        # what it was trained for, which need not be what the catalogue's network of that name is for
        "task": "multilabel" if classifier.several else "classify",
        "model": model.reference,
        "architecture": model.architecture,
        "weights": model.weights,
        "classes": list(model.names) or None,
        "num_classes": classifier.num_classes,
        "listed": clips.listed,
        "clips": len(clips.items),
        "evaluated": len(good),
        "failed": len(taken) - len(good),
        "views": {"temporal": views.temporal, "spatial": views.spatial},
        "protocol": {
            "rule": rule.name,
            "views": str(views),
            "ensemble": rule.ensemble,
            "resize": reader.resize or rule.resize,
            "frames": size.frames,
            "stride": size.stride,
            "short_side": short_side,
            "crop": crop,
        },
        "precision": precision,
        "defence": classifier.text if isinstance(classifier, Defended) else None,
    }
    figures = _several(good, store, names) if classifier.several else _single(good, names)
    verdict = _verdict(clips, good, store, model, reader, summary, figures)
    failures = [{"path": item.name, "reason": record["reason"]} for item, record in taken if record["status"] != "ok"]
    return summary | figures | {"verdict": verdict, "failures": failures}


def _verdict(
    clips: ClipList,
    good: Sequence[tuple[ClipItem, Json]],
    store: Records,
    model: LoadedModel,
    reader: Reader,
    counts: Json,
    figures: Json,
) -> Json:
    """The measured figure beside the published one, which a model of the user's own does not have."""
    several = model.classifier.several
    outcome = Outcome(
        listed=clips.listed,
        clips=len(clips.items),
        evaluated=counts["evaluated"],
        failed=counts["failed"],
        num_classes=model.classifier.num_classes,
        labels=() if several else [item.label for item, _ in good],
        predictions=() if several else [int(record["pred"]) for _, record in good],
        scores=() if several else (store.read(item.key)["scores"] for item, _ in good),
        classes=model.names,
        list_classes=dict(enumerate(clips.classes)),
        mean_ap=figures.get("mean_ap"),
        mean_ap_interval=(figures.get("mean_ap_low", 0.0), figures.get("mean_ap_high", 1.0)),
    )
    # what a published figure says of a network it does not say of the network behind a defence
    own = model.reference != model.architecture or isinstance(model.classifier, Defended)
    found = judge(
        outcome,
        None if own else published_for(model.card, model.weights),
        card=None if own else model.card,
        protocol=reader.protocol,
        weights="" if own else model.weights,
        preprocess=reader.preprocess,
    )
    return found.as_dict() | {"lines": lines(found)}


def class_names(model: LoadedModel) -> tuple[str, ...]:
    """The names of a model's outputs, or their numbers where it has none."""
    return model.names or tuple(map(str, range(model.classifier.num_classes)))


def _single(good: Sequence[tuple[ClipItem, Json]], names: Sequence[str]) -> Json:
    classes = len(names)
    labels = [item.label for item, _ in good]
    predictions = [int(record["pred"]) for _, record in good]
    right = sum(record["rank"] == 0 for _, record in good)
    within = sum(record["rank"] < min(TOP, classes) for _, record in good)
    low, high = wilson(right, len(good))
    clips = np.bincount(labels, minlength=classes) if labels else np.zeros(classes, int)
    hits = np.bincount(
        [label for label, guess in zip(labels, predictions, strict=True) if label == guess] or [0], minlength=classes
    )
    if not right:
        hits[:] = 0
    figures: dict[str, Any] = {
        "top1": right / len(good) if good else None,
        "top1_low": low,
        "top1_high": high,
        "top5": within / len(good) if good else None,
        "mean_class_accuracy": mean_class_accuracy(labels, predictions),
        "per_class": [
            {"label": label, "class": names[label], "clips": int(clips[label]), "correct": int(hits[label])}
            for label in np.flatnonzero(clips).tolist()
        ],
        "confused": confused_pairs(labels, predictions, names, CONFUSED),
    }
    if classes <= LARGEST_CONFUSION:
        figures["confusion"] = confusion(labels, predictions, classes)
    return figures


def _several(good: Sequence[tuple[ClipItem, Json]], store: Records, names: Sequence[str]) -> Json:
    """Mean average precision over the classes with positives, as PySlowFast's test of Charades counts it."""
    if not good:
        return {"mean_ap": None, "mean_ap_low": 0.0, "mean_ap_high": 1.0, "per_class": []}
    scores = np.empty((len(good), len(names)), np.float32)
    positives = np.zeros(scores.shape, bool)
    for row, (item, _) in enumerate(good):
        scores[row] = store.read(item.key)["scores"]
        positives[row, list(item.labels)] = True
    precisions, mean = average_precision(scores, positives)
    low, high = mean_ap_interval(scores, positives)
    return {
        "mean_ap": None if np.isnan(mean) else mean,
        "mean_ap_low": low,
        "mean_ap_high": high,
        "per_class": [
            {
                "label": label,
                "class": names[label],
                "clips": int(positives[:, label].sum()),
                "average_precision": float(precisions[label]),
            }
            for label in np.flatnonzero(positives.any(axis=0)).tolist()
        ],
    }
