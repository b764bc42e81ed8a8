"""`vidbench model`: list and show; the other commands have a file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.complete import complete_model
from vidbench.cli.model_augment import augment
from vidbench.cli.model_eval import eval_
from vidbench.cli.model_finetune import finetune
from vidbench.cli.model_predict import predict
from vidbench.cli.model_profile import profile
from vidbench.cli.model_score import score
from vidbench.cli.model_table import table
from vidbench.cli.options import JsonOpt

if TYPE_CHECKING:
    from vidbench.model.config_names import ConfigName
    from vidbench.model.zoo import ModelCard, Published

app = typer.Typer(no_args_is_help=True, help="Networks: what there is, how good they are, and training them.")

# what a model of each task does; one table of the list each
_TASKS = {
    "classify": "one class per clip",
    "multilabel": "any number of classes per clip",
    "detect": "any number of actions per person",
    "persons": "boxes of persons in images",
}


@app.command("list")
def list_(
    task: Annotated[
        str | None, typer.Option("--task", metavar="|".join(_TASKS), help="Only models that do this.")
    ] = None,
    family: Annotated[
        str | None, typer.Option("--family", metavar="TEXT", help="Only families whose name holds this, as slow.")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Show the catalogue of models, a table for each task."""
    from vidbench.errors import UnknownNameError, UsageError
    from vidbench.model.zoo import MODELS

    if task is not None and task not in _TASKS:
        raise UsageError(f"--task {task!r} is none of {', '.join(_TASKS)}")
    cards = [entry.load() for entry in MODELS]
    if family is not None and not any(family.lower() in card.family.lower() for card in cards):
        raise UnknownNameError("family", family, tuple(sorted({card.family for card in cards})))
    cards = [card for card in cards if task in (None, card.task) and (family or "").lower() in card.family.lower()]
    console.show(cards, json, _show_cards, lambda found: list(map(_card_json, found)))


def _show_cards(cards: list[ModelCard]) -> None:
    if not cards:
        console.out("no model of that task and family")
    for task, meaning in _TASKS.items():
        some = [card for card in cards if card.task == task]
        figure = "top-1 % (views) set" if task == "classify" else "mAP (views) set"
        if task == "persons":
            heads: tuple[str, ...] = ("model", "family", "short side", figure)
            rows: list[tuple[object, ...]]
            rows = [(card.name, card.family, card.preprocess.short_side, _figure_cell(card)) for card in some]
        else:
            heads = ("model", "family", "clip", "crop", "classes", figure)
            rows = [(*_clip_cells(card), _figure_cell(card)) for card in some]
        if rows:
            console.table(heads, rows, title=f"{task}: {meaning}")


def _clip_cells(card: ModelCard) -> tuple[object, ...]:
    # the rest of a long name stands in `model show`: columns must fit beside each other
    family = card.family.removeprefix("frame-wise ").partition(" with ")[0]
    size = card.preprocess
    crop = "whole" if card.task == "detect" else size.crop
    return card.name, family, f"{size.frames}x{size.stride}", crop, card.num_classes


def _figure_cell(card: ModelCard) -> str:
    best = card.published
    if best is None:
        return "-"
    return f"{best.headline.removeprefix('mAP ')} {best.data.replace('something-something-v2', 'ssv2')}"


@app.command()
def show(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Catalogue name, or a PySlowFast configuration name to be explained.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    json: JsonOpt = False,
) -> None:
    """Show one model: its input, its protocol, its published figures and its weights."""
    from vidbench.model.config_names import explain
    from vidbench.model.zoo import MODELS

    config = None if model in MODELS else explain(model)
    if config is not None:
        console.show(config, json, _show_config, _config_json)
        return
    card = MODELS.get(model)

    def text(facts: dict[str, object]) -> None:
        rows = [(fact, value) for fact, value in facts.items() if fact != "files"]
        console.table(("", model), rows)
        _show_files(card)

    console.show(_card_json(card), json, text)


def _show_files(card: ModelCard) -> None:
    """Every published file in full; the text of an address is for copying, so it stands on a line of its own."""
    from vidbench.model.weights import files_of

    for place, file in enumerate(files_of(card)):
        name = f"{card.name}@{file.tag}" if place else card.name
        rule = f", protocol {file.protocol}" if card.task in ("classify", "multilabel") else ""
        console.out(f"{name}: {file.headline} on {file.data}{rule}; {file.source}; {file.licence}")
        for url in file.urls:
            console.out(f"  {url}")


def _show_config(config: ConfigName) -> None:
    console.table(("part", config.name), config.parts)
    if config.model:
        console.out(f"catalogue model: {config.model}")
    else:
        console.out("catalogue model: none with these settings")
    if config.remark:
        console.out(config.remark)


def _config_json(config: ConfigName) -> dict[str, object]:
    parts = [{"part": part, "meaning": meaning} for part, meaning in config.parts]
    return {"pyslowfast": config.name, "parts": parts, "model": config.model, "remark": config.remark}


def _card_json(card: ModelCard) -> dict[str, object]:
    size, best = card.preprocess, card.published
    facts: dict[str, object] = {
        "name": card.name,
        "family": card.family,
        "frames": size.frames,
        **_input(card),
        "mean": ", ".join(map(str, size.mean)),
        "std": ", ".join(map(str, size.std)),
        "classes": f"{card.num_classes} {card.labels}".strip(),
    }
    if card.parameters_m:
        facts["parameters"] = f"{card.parameters_m} M"
    if card.head:
        facts["head"] = f"{card.head}*"
    facts["task"] = card.task
    if card.extra:
        facts["extra"] = card.extra
    if best and card.task in ("classify", "multilabel"):
        facts["protocol"] = f"{best.protocol} {best.views}"
    if best:
        facts |= {
            "data set": best.data,
            "published": f"{', '.join(_figures(best))} ({best.source})",
            "weights": best.file,
            "url": best.urls[0],
            "licence": best.licence,
        }
        if best.urls[1:]:
            facts["mirrors"] = ", ".join(best.urls[1:])
        if best.sha256:
            facts["sha256"] = best.sha256
        facts["files"] = [
            {
                "name": f"{card.name}@{file.tag}" if place else card.name,
                "tag": file.tag,
                "file": file.file,
                "top1": file.top1,
                "top5": file.top5,
                "mean_ap": file.mean_ap,
                "views": file.views,
                "protocol": file.protocol,
                "data": file.data,
                "source": file.source,
                "licence": file.licence,
                "urls": list(file.urls),
                "sha256": file.sha256,
                "bytes": file.bytes,
            }
            for place, file in enumerate((best, *card.others))
        ]
    if card.note:
        facts["note"] = card.note
    return facts


def _input(card: ModelCard) -> dict[str, object]:
    """What becomes of a video before the network sees it."""
    size = card.preprocess
    if card.task == "persons":
        return {"input": f"single images, short side {size.short_side}, no crop"}
    facts: dict[str, object] = {"stride": f"{size.stride} at {size.target_fps} fps"}
    if card.framewise:
        facts["length"] = "any number of frames; `frames` are taken of a video"
    if card.task == "detect":
        return facts | {"input": f"whole frame, short side {size.short_side}"}
    if size.fixed:
        facts["fixed"] = f"every frame is scaled to {size.fixed[0]} x {size.fixed[1]}, whatever its shape"
    one, three = ("", "") if size.fixed else (f"short side {side}, " for side in (size.short_side, size.wide))
    return facts | {"one crop": f"{one}crop {size.crop}", "three crops": f"{three}crop {size.wide}"}


def _figures(file: Published) -> list[str]:
    figures = (("top-1", file.top1, " %"), ("top-5", file.top5, " %"), ("mAP", file.mean_ap, ""))
    views = [f"{file.views} views"] if file.views else []
    return [f"{name} {value}{unit}" for name, value, unit in figures if value is not None] + views


app.command("eval")(eval_)
app.command()(finetune)
app.command()(predict)
app.command()(profile)
app.command()(augment)
app.command()(score)
app.command()(table)
