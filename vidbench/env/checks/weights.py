"""Checks of published weights."""

from __future__ import annotations

from vidbench.env.facts import Facts
from vidbench.env.findings import (
    Check,
    Outcome,
    known,
    listed,
    number,
)

GROUP = "Weights"
_NAMED = 3


def _weights(facts: Facts) -> Outcome:
    weights = known(facts.weights)
    if not weights.files:
        return Outcome("skip", "no model of the catalogue has published weights")
    here = [file for file in weights.files if file.size_bytes is not None]
    gone = [file for file in weights.files if file.size_bytes is None]
    damaged = [file for file in here if file.problem]
    if damaged:
        first = damaged[0]
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        return Outcome(
            "warn",
            f"{weights.folder}/{first.file} {first.problem}{more}",
            f"vidbench weights verify && vidbench weights pull {first.model}",
        )
    broken_off = [file for file in gone if file.part_bytes is not None]
    if broken_off:
        first = broken_off[0]
        return Outcome(
            "warn",
            f"the download of {first.file} was broken off after {(first.part_bytes or 0) / 1e6:.1f} MB",
            f"vidbench weights pull {first.model}",
        )
    said = f"{len(here)} of {number(len(weights.files), 'published file')} in {weights.folder}"
    if here:
        named = [f"{file.file} {(file.size_bytes or 0) / 1e6:.1f} MB" for file in here[:_NAMED]]
        said += f": {', '.join(named)}" + (f" and {len(here) - _NAMED} more" if len(here) > _NAMED else "")
    if weights.unhashed:
        said += f"; {number(weights.unhashed, 'file')} by size alone, `vidbench weights verify` reads them"
    if not gone:
        return Outcome("ok", said)
    wanted = next((file.model for file in gone if file.model == "x3d_m"), gone[0].model)
    return Outcome("info", said, f"vidbench weights pull {wanted}")


def _offline(facts: Facts) -> Outcome:
    variables, weights = known(facts.surroundings).variables, known(facts.weights)
    said = [name for name in ("VIDBENCH_OFFLINE", "HF_HUB_OFFLINE") if variables.get(name) not in (None, "", "0")]
    if not said:
        return Outcome("skip", "nothing says that this machine is offline")
    gone = [file for file in weights.files if file.size_bytes is None]
    if len(gone) == len(weights.files):
        return Outcome(
            "info",
            f"{listed(said)} is set and {weights.folder} holds no published weights",
            f"rsync -a another-machine:.cache/vidbench/weights/ {weights.folder}/",
        )
    return Outcome("ok", f"{listed(said)} is set; {len(weights.files) - len(gone)} published files are here")


CHECKS = (
    Check(
        "J2",
        "offline",
        GROUP,
        ("surroundings", "weights"),
        _offline,
        ("model", "attack"),
        why="A machine without a network needs the cache of another one.",
    ),
    Check(
        "J1",
        "published weights",
        GROUP,
        ("weights",),
        _weights,
        ("model", "attack"),
        why=(
            "Networks without their published weights answer at random. Nothing is downloaded unless it is asked for. "
            "Files that are here are compared with size and sha256 of their download, 300 MB at most; `weights verify` "
            "reads all. Whether a file of your own fits a model is said by `weights import` and `model eval`."
        ),
    ),
)
