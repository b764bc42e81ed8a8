"""Run folders of `model finetune` and `model eval` as entries of a benchmark's table: figure, start, what marks it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidbench.errors import InputError
from vidbench.model.checkpoint import MODEL_FILE
from vidbench.model.starts import NETWORK, SCRATCH, find_start, names
from vidbench.runs import MANIFEST, SUMMARY, read_json

Json = dict[str, Any]
FINETUNE, EVAL = "model finetune", "model eval"
EPOCHS = "epochs.jsonl"


@dataclass(frozen=True)
class Entry:
    """A run that stands in the table.

    Attributes:
        run: The folder that was given.
        trained: The run of the training that it measures, or is.
        init: The start, by its name where it has one.
        recipe: The name of the recipe; empty for none.
        figures: Of its summary, by name, as they stand there; empty where it is not finished.
        tested: Whether it is a test, and not the validation within a training.
        marks: In what it is not the published protocol, or not done; empty for a run that is comparable.
    """

    run: Path
    trained: Path
    init: str
    recipe: str
    figures: dict[str, float | None]
    tested: bool
    marks: tuple[str, ...]


def read_entry(run: Path, recipes: Json) -> Entry:
    """One run folder.

    Args:
        run: Of `model finetune`, or of `model eval` of a model that one trained.
        recipes: Of the published recipes by name: whether they can be followed faithfully, and how they test:
            `{"faithful": bool, "test": {...}}`.

    Raises:
        InputError: It is no such folder; the message says what it is.
    """
    manifest = read_json(run / MANIFEST)
    command = manifest.get("command")
    if command == FINETUNE:
        return _trained(run, manifest, recipes)
    if command != EVAL:
        raise InputError(f"{run}: a run of {command!r}", "Give run folders of `model finetune` and `model eval`.")
    asked = manifest["request"]
    trained = _folder(str(asked["model"]), run)
    if trained is None:
        raise InputError(
            f"{run}: measures {asked['model']}, which is not here as a run of `model finetune`",
            "Give the runs of models that were fine-tuned, and keep their folders.",
        )
    base = _trained(trained, read_json(trained / MANIFEST), recipes)
    summary = read_json(run / SUMMARY) if (run / SUMMARY).is_file() else None
    marks = [mark for mark in base.marks if not mark.startswith(_VALIDATED)]
    marks += ["its test is not finished"] if summary is None else _tested_otherwise(summary, asked, base, recipes)
    figures = ("mean_ap", "top1", "mean_class_accuracy")
    found = {} if summary is None else {name: summary.get(name) for name in figures}
    return Entry(run, trained, base.init, base.recipe, found, True, tuple(marks))


_VALIDATED = "validation within the training"


def _trained(run: Path, manifest: Json, recipes: Json) -> Entry:
    request = manifest["request"]
    record = request.get("recipe") or {}
    recipe = str(record.get("name") or "")
    marks = []
    if request["model"] != NETWORK:
        marks.append(f"network {request['model']}")
    if recipe not in recipes:
        marks.append(f"recipe {recipe}" if recipe else "no recipe")
    elif recipes[recipe]["faithful"] and not record.get("faithful"):
        marks.append("not --faithful")
    for name, (theirs, ours) in (record.get("overridden") or {}).items():
        if name != "model":
            marks.append(f"{name} {'left out' if ours is None else ours} for {theirs}")
    if request.get("limit"):
        marks.append(f"the first {request['limit']} of the list alone")
    init = _init(str(request["init"]), run, str(request["model"]))
    if not (run / SUMMARY).is_file():
        done = len((run / EPOCHS).read_text(encoding="utf-8").splitlines()) if (run / EPOCHS).is_file() else 0
        marks.insert(0, f"unfinished: {done} of {request['epochs']} epochs")
        return Entry(run, run, init, recipe, {}, False, tuple(marks))
    summary = read_json(run / SUMMARY)
    if summary.get("failed"):
        marks.append(f"{summary['failed']} clips could not be read in training")
    best = {name.removeprefix("best_val_"): value for name, value in summary.items() if name.startswith("best_val_")}
    marks.append(
        f"{_VALIDATED}: one view, the {'last' if request.get('best') == 'last' else 'best'} epoch"
        if any(value is not None for value in best.values())
        else f"{_VALIDATED}: there was none"
    )
    return Entry(run, run, init, recipe, best, False, tuple(marks))


def _tested_otherwise(summary: Json, asked: Json, base: Entry, recipes: Json) -> list[str]:
    """In what a test differs from that of the recipe's authors."""
    marks = []
    wanted = recipes.get(base.recipe, {}).get("test", {})
    protocol = summary.get("protocol") or {}
    for name, key in (("protocol", "rule"), ("views", "views")):
        if name in wanted and protocol.get(key) != wanted[name]:
            marks.append(f"tested with {name} {protocol.get(key)} for {wanted[name]}")
    for name, key in (("boxes", "boxes_from"), ("min_score", "min_score"), ("scorer", "scorer")):
        if name in wanted and str(summary.get(key)) != wanted[name]:
            marks.append(f"tested with {name} {summary.get(key)} for {wanted[name]}")
    if asked.get("limit"):
        marks.append(f"tested on the first {asked['limit']} alone")
    if summary.get("failed"):
        marks.append(f"{summary['failed']} could not be read in the test")
    if asked.get("defence"):
        marks.append(f"tested behind {asked['defence']}")
    return marks


def _folder(reference: str, run: Path) -> Path | None:
    """The folder of the training that a test names: as it is written, or beside the test."""
    path = Path(reference)
    for folder in (path, path.parent, run.parent / path.name, run.parent / path.parent.name):
        manifest = folder / MANIFEST
        if manifest.is_file() and read_json(manifest).get("command") == FINETUNE:
            return folder
    return None


def _init(init: str, run: Path, model: str) -> str:
    """The name of a start: as typed, of an imported one by its folder, "supervised" for published weights."""
    plain = init.strip().lower().replace("-", "_")
    if plain in names():
        return find_start(init).name
    if init == "pretrained" and model == NETWORK:
        return "supervised"
    if init in (SCRATCH, "pretrained"):
        return init
    for folder in (Path(init), run.parent / Path(init).name):
        if (folder / MODEL_FILE).is_file():
            start = (read_json(folder / MODEL_FILE).get("trained") or {}).get("start")
            return str(start) if start in names() else init
    return init
