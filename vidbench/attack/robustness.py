"""What a robustness run found: figures that are a function of its records alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vidbench.model.metrics import wilson

Json = dict[str, Any]


def curve(records: Sequence[Mapping[str, Any]], reference: str) -> list[Json]:
    """One point per eps, ascending: robust accuracy with a 95 % interval, and what goes with it.

    * robust accuracy: right (or unchanged) after the attack, of all clips;
    * conditional: right after the attack, of those that were right before (RobustART's AR);
    * fooling rate: no longer right after the attack, of those that were right before.

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
            "mean_linf": math.fsum(record["linf"] for record in here) / len(here),
            "mean_l2": math.fsum(record["l2"] for record in here) / len(here),
            "forwards": sum(record["forwards"] for record in here),
            "backwards": sum(record["backwards"] for record in here),
        }
        if "target" in here[0]:
            point["target_rate"] = sum(record["adv_pred"] == record["target"] for record in here) / len(here)
        points.append(point)
    return points


def clean_accuracy(records: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of clips that are right before any attack, each clip counted once."""
    clips = {record["clip"]: record["clean_correct"] for record in records}
    return sum(clips.values()) / len(clips) if clips else None
