"""`vidbench model finetune`: train a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import (
    DecoderOpt,
    DeviceOpt,
    JsonOpt,
    LimitOpt,
    ListArg,
    ModelArg,
    OutOpt,
    OverwriteOpt,
    PullOpt,
    RootOpt,
    SeedOpt,
    WorkersOpt,
)

if TYPE_CHECKING:
    from vidbench.model.finetune import FinetuneResult


def finetune(
    model: ModelArg,
    clips: ListArg,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="classify|multilabel", help="One class per clip, or any number; default: the model's own."
        ),
    ] = None,
    init: Annotated[
        str, typer.Option("--init", metavar="scratch|pretrained|FILE", help="Weights to start from.")
    ] = "scratch",
    out: OutOpt = None,
    val: Annotated[
        Path | None, typer.Option("--val", metavar="LIST", help="Measure each epoch on it; the best is kept.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", metavar="FILE", help="Class names, one per line.")
    ] = None,
    root: RootOpt = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the list.")] = 30,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips that go through the network at once.")] = 16,
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, metavar="N", help="Batches whose gradients make one step.")
    ] = 1,
    lr: Annotated[float, typer.Option("--lr", help="Largest learning rate.")] = 2e-3,
    base_batch: Annotated[
        int | None,
        typer.Option(
            "--base-batch",
            min=1,
            metavar="N",
            help="Clips per step that --lr is meant for: it is scaled to those here.",
        ),
    ] = None,
    schedule: Annotated[
        str, typer.Option("--schedule", metavar="cosine|steps", help="How the learning rate falls.")
    ] = "cosine",
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="E,E,...", help="Epochs at which factors begin, as 0,41,49.")
    ] = None,
    step_factors: Annotated[
        str | None,
        typer.Option("--step-factors", metavar="F,F,...", help="Of --lr, one for each of --steps, as 1,0.1,0.01."),
    ] = None,
    final_lr: Annotated[float, typer.Option("--final-lr", help="Where a cosine ends; scaled as --lr is.")] = 0.0,
    warmup: Annotated[float, typer.Option("--warmup", help="Epochs, or parts of one, of rising learning rate.")] = 2.0,
    warmup_start: Annotated[
        float | None,
        typer.Option("--warmup-start", metavar="F", help="Share of --lr to rise from; default: near 0.1 / --warmup."),
    ] = None,
    optimizer: Annotated[str, typer.Option("--optimizer", metavar="adamw|sgd", help="Optimizer.")] = "adamw",
    momentum: Annotated[
        float | None, typer.Option("--momentum", help="Of sgd, which is Nesterov's; default: 0.9.")
    ] = None,
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="On weights, not on biases and norms.")] = 0.05,
    layer_decay: Annotated[
        float, typer.Option("--layer-decay", metavar="F", help="Factor of the rate from layer to layer down; 1 is off.")
    ] = 1.0,
    clip_norm: Annotated[
        float, typer.Option("--clip-norm", help="Largest L2 norm of the gradients; 0 does not clip.")
    ] = 5.0,
    freeze: Annotated[
        str | None,
        typer.Option("--freeze", metavar="PART,...", help="Parts not to train, as blocks.0,blocks.1, or backbone."),
    ] = None,
    freeze_bn: Annotated[
        bool, typer.Option("--freeze-bn", help="Keep the statistics of batch normalisations.")
    ] = False,
    precise_bn: Annotated[
        int,
        typer.Option(
            "--precise-bn", min=0, metavar="N", help="Batches to take their statistics from after each epoch; 0 is off."
        ),
    ] = 0,
    ema: Annotated[
        float, typer.Option("--ema", metavar="DECAY", help="Measure and keep an average of the weights; 0 is off.")
    ] = 0.0,
    precision: Annotated[str, typer.Option("--precision", metavar="fp32|bf16|fp16", help="Of the network.")] = "fp32",
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Compute activations twice, to save memory.")
    ] = False,
    smoothing: Annotated[float, typer.Option("--smoothing", help="Label smoothing.")] = 0.0,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            "--augment",
            metavar="NAME[:VALUE]",
            help="As randaugment, mixup:0.8, erasing:0.25 or w4; repeatable. `model augment` shows all.",
        ),
    ] = None,
    flip: Annotated[
        float, typer.Option("--flip", help="Probability of a flip; 0 where left and right are classes.")
    ] = 0.5,
    jitter: Annotated[float, typer.Option("--jitter", help="Largest short side as a multiple of the crop.")] = 1.25,
    pull: PullOpt = False,
    device: DeviceOpt = "auto",
    decoder: DecoderOpt = "pyav",
    workers: WorkersOpt = 0,
    cache_mb: Annotated[int, typer.Option("--cache-mb", min=0, help="Memory for decoded videos.")] = 2048,
    save_every: Annotated[
        str | None,
        typer.Option(
            "--save-every", metavar="STEPS|MINUTESm", help="Store the state within epochs, too, as 200 or 10m."
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write events for TensorBoard, too; its extra is needed.")
    ] = False,
    seed: SeedOpt = 0,
    limit: LimitOpt = None,
    overwrite: OverwriteOpt = False,
    json: JsonOpt = False,
) -> None:
    """Train a model on a list of clips. Running it again resumes where its state was last stored."""
    from vidbench.cli.requests import ask, weights_at_hand

    values = {name: value for name, value in locals().items() if value is not None}
    weights_at_hand(model, init, pull)
    from vidbench.model.finetune import FinetuneRequest
    from vidbench.model.finetune import finetune as train

    result = train(ask(FinetuneRequest, values), console.reporter())
    console.show(result, json, _show_finetune)
    console.end(result.summary["failed"], result.out / "summary.json")


def _show_finetune(result: FinetuneResult) -> None:
    found = result.summary
    name, figure = ("best_val_top1", "top-1") if found["task"] == "classify" else ("best_val_mean_ap", "mAP")
    best = "-" if found[name] is None else f"{found[name]:.2%}"
    console.table(
        ("model", "start", "clips", "failed", "epochs", "loss", "best epoch", f"its val {figure}", "seconds"),
        [
            (
                found["model"],
                found["init"],
                found["clips"],
                found["failed"],
                found["epochs"],
                f"{found['final_train_loss']:.4f}",
                found["best_epoch"],
                best,
                f"{found['seconds']:.0f}",
            )
        ],
    )
    console.out(f"run: {result.out}")
