"""What a robustness run found: figures that are a function of its records alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vidbench.model.metrics import wilson

Json = dict[str, Any]
Record = Mapping[str, Any]


def curve(records: Sequence[Record], reference: str) -> list[Json]:
    """One point per eps, ascending: robust accuracy with a 95 % interval, and what goes with it.

    * robust accuracy: right (or unchanged) after the attack, of all clips;
    * conditional: right after the attack, of those that were right before (RobustART's AR);
    * fooling rate: no longer right after the attack, of those that were right before;
    * after: robust accuracy once attacked clips are stored and read again, by treatment. A clip counts that was
      right before and is right after attack and treatment.

    With reference "predictions" every clip counts as right before, so both rates speak of all clips.

    Args:
        records: Lines with status "ok".
        reference: "labels" or "predictions".
    """
    points = []
    for eps in sorted({record["eps_value"] for record in records}):
        here = [record for record in records if record["eps_value"] == eps]
        robust = sum(record["robust"] for record in here)
        before = len(here) if reference == "predictions" else sum(record["clean_correct"] for record in here)
        low, high = wilson(robust, len(here))
        point: Json = {
            "eps": here[0]["eps"],
            "eps_value": eps,
            "clips": len(here),
            "robust": robust,
            "robust_accuracy": robust / len(here),
            "low": low,
            "high": high,
            "conditional": robust / before if before else None,
            "fooling_rate": (before - robust) / before if before else None,
            **{f"mean_{norm}": math.fsum(record[norm] for record in here) / len(here) for norm in ("linf", "l2", "l1")},
            "forwards": sum(record["forwards"] for record in here),
            "backwards": sum(record["backwards"] for record in here),
            "after": _after(here),
        }
        if "target" in here[0]:
            point["target_rate"] = sum(record["adv_pred"] == record["target"] for record in here) / len(here)
        points.append(point)
    return points


def _after(records: Sequence[Record]) -> Json:
    names = [name for name in records[0]["after"] if all(name in record["after"] for record in records)]
    return {name: sum(_stays(record, record["after"][name]) for record in records) / len(records) for name in names}


def _stays(record: Record, prediction: int) -> bool:
    truth = record["clean_pred"] if record["label"] is None else record["label"]
    return bool(record["clean_correct"] and prediction == truth)


def by_steps(records: Sequence[Record]) -> list[Json]:
    """Robust accuracy after so many iterations: a point wherever a clip was first broken.

    Args:
        records: Lines of one radius.
    """
    total = len(records)
    left = sum(record["clean_correct"] for record in records)
    found = Counter(record["step"] for record in records if record["clean_correct"] and not record["robust"])
    # without a step of its own, as from a search for the nearest: at the end
    points = [{"step": 0, "robust_accuracy": (left - found.pop(0, 0)) / total}]
    left = round(points[0]["robust_accuracy"] * total)
    for step in sorted(step for step in found if step > 0):
        left -= found[step]
        points.append({"step": step, "robust_accuracy": left / total})
    return points


def clean_accuracy(records: Sequence[Record]) -> float | None:
    """The share of clips that are right before any attack, each clip counted once."""
    clips = {record["clip"]: record["clean_correct"] for record in records}
    return sum(clips.values()) / len(clips) if clips else None


def worst_case(columns: Sequence[tuple[str, Sequence[Record]]], reference: str) -> list[Json]:
    """Per norm and eps that several attacks share: clips that withstand all of them.

    Args:
        columns: The name of each attack, and its records.
        reference: "labels" or "predictions".
    """
    cells: dict[tuple[str, float], dict[str, Sequence[Record]]] = {}
    for label, records in columns:
        for norm, value in {(record["norm"], record["eps_value"]) for record in records}:
            here = [record for record in records if (record["norm"], record["eps_value"]) == (norm, value)]
            cells.setdefault((norm, value), {})[label] = here
    points = []
    for (norm, value), attacks in sorted(cells.items()):
        if len(attacks) < 2:
            continue
        clips = set.intersection(*({record["clip"] for record in records} for records in attacks.values()))
        if not clips:
            continue
        robust = set(clips)
        for records in attacks.values():
            robust -= {record["clip"] for record in records if not record["robust"]}
        first = next(iter(attacks.values()))
        before = {record["clip"] for record in first if record["clean_correct"] or reference == "predictions"} & clips
        low, high = wilson(len(robust), len(clips))
        points.append(
            {
                "norm": norm,
                "eps": first[0]["eps"],
                "eps_value": value,
                "attacks": list(attacks),
                "clips": len(clips),
                "robust": len(robust),
                "robust_accuracy": len(robust) / len(clips),
                "low": low,
                "high": high,
                "conditional": len(robust) / len(before) if before else None,
            }
        )
    return points


def confusion(records: Sequence[Record]) -> Json:
    """How often a class was answered for a class, before and after: `[truth, answer, count]`, most frequent first.

    Args:
        records: Lines of one attack and radius, with labels.
    """
    result = {}
    for name, field in (("clean", "clean_pred"), ("attacked", "adv_pred")):
        pairs = Counter((record["label"], record[field]) for record in records if record["label"] is not None)
        result[name] = [[*pair, count] for pair, count in sorted(pairs.items(), key=lambda one: (-one[1], one[0]))]
    return result


def frame_shares(records: Sequence[Record]) -> list[float]:
    """Per frame: the mean over clips of its share of the squared perturbation; empty where nothing was perturbed."""
    rows = []
    for record in records:
        squares = [value * value for value in record["frames"]]
        total = math.fsum(squares)
        if total > 0:
            rows.append([value / total for value in squares])
    if not rows or len({len(row) for row in rows}) != 1:
        return []
    return [round(math.fsum(column) / len(rows), 6) for column in zip(*rows, strict=True)]


def column_summary(facts: Json, records: Sequence[Record], reference: str) -> Json:
    """The figures of one attack.

    Args:
        facts: What the attack is: label, attack, engine, norm, support, settings.
        records: Its lines, of whatever status.
        reference: "labels" or "predictions".
    """
    good = [record for record in records if record["status"] == "ok"]
    points = curve(good, reference)
    last = [record for record in good if points and record["eps_value"] == points[-1]["eps_value"]]
    broken = Counter(record["broken_by"] for record in last if record["broken_by"])
    return {
        **facts,
        "steps": facts["settings"].get("steps", 1),
        "restarts": facts["settings"].get("restarts", 1),
        "curve": points,
        "by_steps": by_steps(last) if last else [],
        "broken_by": dict(broken.most_common()),
        "frames": frame_shares(last),
        "confusion": confusion(last),
        "excluded": len({record["clip"] for record in records if record["status"] == "excluded"}),
    }


def summarise(
    columns: Sequence[tuple[Json, Sequence[Record]]], records: Sequence[Record], clips: int, *, by_labels: bool
) -> Json:
    """The figures of a run.

    Args:
        columns: Each attack's facts, and the records of its radii, one line per clip and radius.
        records: All lines of the run.
        clips: How many were to be attacked.
        by_labels: Whether the list's labels are the model's classes.
    """
    reference = "labels" if by_labels else "predictions"
    good = [record for record in records if record["status"] == "ok"]
    mended = {record["clip"] for record in records if record["status"] in ("ok", "excluded")}
    failures = [record for record in records if record["status"] == "failed" and record["clip"] not in mended]
    examples = [
        {"file": f"{record['example']}.png", "video": f"{record['example']}.mp4", "column": record["column"],
         "path": record["path"], "clean_pred": record["clean_pred"], "adv_pred": record["adv_pred"],
         "norm": record["norm"], "eps": record["eps"]}
        for record in good if "example" in record
    ]  # fmt: skip
    shown = [facts["label"] for facts, _ in columns]
    pairs = [(facts["label"], [one for one in mine if one["status"] == "ok"]) for facts, mine in columns]
    return {
        "reference": reference,
        "clips": clips,
        "evaluated": len({record["clip"] for record in good}),
        "failed": len(failures),
        "clean_accuracy": clean_accuracy(good) if by_labels else None,
        "columns": [column_summary(facts, mine, reference) for facts, mine in columns],
        "worst": worst_case(pairs, reference),
        "failures": [{"path": record["path"], "reason": record["reason"]} for record in failures],
        # a few of each attack: the others are in the folder
        "examples": [example for label in shown for example in [e for e in examples if e["column"] == label][:4]],
    }
