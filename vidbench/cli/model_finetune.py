"""`vidbench model finetune`: train a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import (
    DecoderOpt,
    DefenceOpt,
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
    context: typer.Context,
    model: ModelArg,
    clips: ListArg,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="classify|multilabel|detect",
            help="One class per clip, any number, or any number for each person; default: the model's own.",
        ),
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            "--init",
            metavar="scratch|pretrained|NAME|FILE",
            help="Weights to start from: published ones, a published start by its name, or a file.",
        ),
    ] = "scratch",
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="The published file of the start --init names.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", metavar="NAME|FILE", help="Settings of others: severe-ava, ..., .toml or PySlowFast's .yaml."
        ),
    ] = None,
    faithful: Annotated[
        bool, typer.Option("--faithful", help="Take what a recipe's authors contradict themselves in, too.")
    ] = False,
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
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", help="Of a clip; default: the model's.")
    ] = None,
    stride: Annotated[int | None, typer.Option("--stride", metavar="N", help="Frames between two of a clip.")] = None,
    crop_size: Annotated[
        int | None, typer.Option("--crop-size", metavar="PX", help="Side of the square crop; default: the model's.")
    ] = None,
    short_side: Annotated[
        int | None, typer.Option("--short-side", metavar="PX", help="That the centre crop of a test is taken from.")
    ] = None,
    dropout: Annotated[
        float | None, typer.Option("--dropout", metavar="P", help="Before the head; default: the model's own.")
    ] = None,
    flip: Annotated[
        float, typer.Option("--flip", help="Probability of a flip; 0 where left and right are classes.")
    ] = 0.5,
    jitter: Annotated[
        str,
        typer.Option(
            "--jitter", metavar="F|LOW-HIGH", help="Largest short side as a multiple of the crop, or pixels: 256-320."
        ),
    ] = "1.25",
    jitter_rule: Annotated[
        str, typer.Option("--jitter-rule", metavar="uniform|inverse", help="What is uniform: the side, or its inverse.")
    ] = "uniform",
    crop: Annotated[
        str,
        typer.Option(
            "--crop",
            metavar="jitter|random-resized[:LOW..HIGH]",
            help="Scale and crop, or scale a random part of this share of the area.",
        ),
    ] = "jitter",
    repeat: Annotated[
        int, typer.Option("--repeat", min=1, metavar="N", help="Clips of each video in an epoch; they share a batch.")
    ] = 1,
    clip_labels: Annotated[
        str | None,
        typer.Option(
            "--clip-labels",
            metavar="clip|video",
            help="Classes of a training clip: of its frames, or of its video; default: of its frames where known.",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", metavar="linear|ml-decoder|ml-decoder-learnt", help="Classifying layer; default: the start's."
        ),
    ] = None,
    adversarial: Annotated[
        str | None,
        typer.Option(
            "--adversarial",
            metavar="fgsm|pgd|trades|w4[:SETTING=VALUE,...]",
            help="Train on attacked clips, as pgd:eps=8/255,steps=10,step=2/255.",
        ),
    ] = None,
    eps_warmup: Annotated[
        str | None,
        typer.Option(
            "--eps-warmup",
            metavar="EPOCHS|E=SHARE,...",
            help="Epochs in which their eps rises from 0, or shares of it from epochs on, as 0=0.5,4=1.",
        ),
    ] = None,
    robust_val: Annotated[
        str | None,
        typer.Option(
            "--robust-val",
            metavar="pgd[:SETTING=VALUE,...]|none",
            help="Attack --val after each epoch; default: as --adversarial, with ten steps.",
        ),
    ] = None,
    robust_val_clips: Annotated[
        int, typer.Option("--robust-val-clips", min=1, metavar="N", help="At most so many of its clips.")
    ] = 64,
    best: Annotated[
        str,
        typer.Option(
            "--best", metavar="clean|robust|last", help="Epoch to keep: best in validation, best under attack, or last."
        ),
    ] = "clean",
    defence: DefenceOpt = None,
    boxes: Annotated[
        str | None, typer.Option("--boxes", metavar="truth|detected|both", help="detect: boxes to train on.")
    ] = None,
    val_boxes: Annotated[
        str | None, typer.Option("--val-boxes", metavar="truth|detected", help="detect: boxes to validate on.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="detect: least score of detected boxes; default: 0.9.")
    ] = None,
    negatives: Annotated[
        bool, typer.Option("--negatives/--no-negatives", help="detect: train on persons without an action, too.")
    ] = True,
    val_every: Annotated[
        int, typer.Option("--val-every", min=1, metavar="N", help="detect: validate on every Nth second.")
    ] = 1,
    min_visible: Annotated[
        float, typer.Option("--min-visible", help="detect: share of a box that a random crop has to show.")
    ] = 0.25,
    videos: Annotated[
        Path | None, typer.Option("--videos", metavar="DIR", help="detect: read frames straight from these videos.")
    ] = None,
    frame_dir: Annotated[
        Path | None, typer.Option("--frame-dir", metavar="DIR", help="detect: where paths of frame lists start.")
    ] = None,
    first_second: Annotated[
        int, typer.Option("--first-second", metavar="S", help="detect: the second that the first frame shows.")
    ] = 900,
    video_start: Annotated[
        int | None, typer.Option("--video-start", metavar="S", help="detect: where that is in the video files.")
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="detect: leave out what has no frames, instead of refusing.")
    ] = False,
    scorer: Annotated[
        str, typer.Option("--scorer", metavar="activitynet|pyslowfast|mmaction2", help="detect: whose rules of mAP.")
    ] = "pyslowfast",
    dilated: Annotated[
        bool | None, typer.Option("--dilated/--not-dilated", help="detect: last stage at twice the resolution.")
    ] = None,
    aligned: Annotated[
        bool | None, typer.Option("--aligned/--not-aligned", help="detect: RoIAlign's half-pixel shift.")
    ] = None,
    pull: PullOpt = False,
    device: DeviceOpt = "auto",
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices", metavar="N|cuda:0,cuda:1|cpu:N", help="A process on each; --batch is that of all together."
        ),
    ] = None,
    sync_bn: Annotated[
        bool, typer.Option("--sync-bn/--no-sync-bn", help="Batch normalisation over the clips of all processes.")
    ] = True,
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
    from vidbench.cli.requests import ask, typed, weights_at_hand
    from vidbench.errors import UsageError

    values = {name: value for name, value in locals().items() if value is not None}
    weights_at_hand(model, "pretrained" if init == "supervised" and checkpoint is None else init, pull)
    if recipe is not None:
        from vidbench.model.recipe import read_recipe, resolve

        found = resolve(read_recipe(recipe), typed(context, values), faithful)
        for line in found.lines:
            console.reporter().info(line)
        values |= found.values
    elif faithful and task != "detect":
        raise UsageError("--faithful is for recipes that contradict themselves", "Say --recipe severe-ava, for one.")
    from vidbench.model.finetune import finetune as train
    from vidbench.model.finetune_request import FinetuneRequest

    result = train(ask(FinetuneRequest, values), console.reporter())
    if not result.first:
        return
    console.show(result, json, _show_finetune)
    console.end(result.summary["failed"], result.out / "summary.json")


def _show_finetune(result: FinetuneResult) -> None:
    found = result.summary
    name, figure = ("best_val_top1", "top-1") if found["task"] == "classify" else ("best_val_mean_ap", "mAP")
    best = "-" if found[name] is None else f"{found[name]:.2%}"
    attacked = found.get(name.replace("val_", "val_robust_"))
    robust = () if attacked is None else ((f"{figure} under attack", f"{attacked:.2%}"),)
    console.table(
        (
            "model",
            "start",
            "clips",
            "failed",
            "epochs",
            "loss",
            "best epoch",
            f"its val {figure}",
            *(title for title, _ in robust),
            "seconds",
        ),
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
                *(value for _, value in robust),
                f"{found['seconds']:.0f}",
            )
        ],
    )
    console.out(f"run: {result.out}")
