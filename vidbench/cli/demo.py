"""`vidbench demo`: the main job on a small data set of its own, command by command."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import SeedOpt

SWEEP = "0,1/255,2/255,4/255,8/255"


def commands(out: Path, seed: int) -> list[list[str]]:
    """The command lines of the demo, in order, without the leading `vidbench`."""
    data, model, scores = out / "data", out / "model", out / "eval"
    fgsm, pgd, page = out / "attack-fgsm", out / "attack-pgd", out / "report.html"
    lists = data / "lists"
    attack: list[object] = ["attack", "run", "--model", model, "--data", lists / "test_raw.csv", "--limit", 64]
    attack += ["--eps", SWEEP]
    lines: list[list[object]] = [
        ["data", "synthetic", "--out", data, "--train-per-class", 50, "--val-per-class", 16, "--seed", seed],
        ["data", "csv", data / "vallist.txt", "--out-dir", lists],
        [
            "model",
            "finetune",
            "x3d_tiny",
            data / "trainlist.txt",
            "--init",
            "scratch",
            "--out",
            model,
            "--classes",
            data / "classes.txt",
            "--epochs",
            16,
            "--lr",
            0.01,
            "--jitter",
            1,
            "--flip",
            0,
            "--seed",
            seed,
        ],
        ["model", "eval", model, lists / "test_raw.csv", "--views", "4x3", "--batch", 12, "--out", scores],
        [*attack, "--attack", "fgsm", "--batch", 16, "--out", fgsm],
        [*attack, "--attack", "pgd", "--batch", 16, "--out", pgd],
        ["report", model, scores, fgsm, pgd, "--out", page, "--title", "vidbench demo"],
    ]
    return [[str(word) for word in line] for line in lines]


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the demo works.")] = Path("demo"),
    seed: SeedOpt = 0,
) -> None:
    """Render videos, train a small X3D, evaluate it, attack it and report: the main job in a few minutes."""
    from vidbench.cli.app import main

    started = time.monotonic()
    for line in commands(out, seed):
        console.out(f"\n$ vidbench {shlex.join(line)}")
        code = main(line)
        if code:
            raise typer.Exit(code)
    console.out(f"\nAll of this took {time.monotonic() - started:.0f} s. Open {out / 'report.html'} in a browser.")
