"""Checks of published weights."""

from __future__ import annotations

from vidbench.env.facts import Facts
from vidbench.env.findings import (
    Check,
    Outcome,
    known,
    number,
)

GROUP = "Weights"


def _weights(facts: Facts) -> Outcome:
    weights = known(facts.weights)
    if not weights.files:
        return Outcome("skip", "no model of the catalogue has published weights")
    here = [file for file in weights.files if file.size_bytes is not None]
    gone = [file for file in weights.files if file.size_bytes is None]
    empty = [file for file in here if file.size_bytes == 0]
    if empty:
        return Outcome(
            "warn", f"{weights.folder}/{empty[0].file} is an empty file", f"vidbench weights pull {empty[0].model}"
        )
    said = f"{len(here)} of {number(len(weights.files), 'published file')} in {weights.folder}"
    if here:
        said += f": {', '.join(f'{file.file} {(file.size_bytes or 0) / 1e6:.1f} MB' for file in here)}"
    if not gone:
        return Outcome("ok", said)
    wanted = next((file.model for file in gone if file.model == "x3d_m"), gone[0].model)
    return Outcome("info", said, f"vidbench weights pull {wanted}")


CHECKS = (
    Check(
        "J1",
        "published weights",
        GROUP,
        ("weights",),
        _weights,
        ("model", "attack"),
        why="Networks without their published weights answer at random. Nothing is downloaded unless it is asked for.",
    ),
)
