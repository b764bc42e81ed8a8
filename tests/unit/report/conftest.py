"""Run folders as the other commands write them, made by hand for the tests of the report."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]
VOID = {"meta", "link", "img", "br"}


def wilson(k: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Bounds of the Wilson interval of k of n."""
    centre = (k + z * z / 2) / (n + z * z)
    half = z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return max(0.0, centre - half), min(1.0, centre + half)


def png(width: int, height: int) -> bytes:
    """A real PNG of a colour ramp."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + bytes(c for x in range(width) for c in (x * 255 // width, y * 255 // height, 90)) for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Tree(HTMLParser):
    """Collects what a browser would see, and fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)
        if self.cells and any(tag in ("td", "th") for tag in self.open) and "svg" not in self.open:
            self.cells[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def row(self, *start: str) -> list[str]:
        """The row that starts with these cells; there must be one."""
        found = [row for row in self.cells if row[: len(start)] == list(start)]
        assert len(found) == 1, (start, self.cells)
        return found[0]


def look(address: str, folder: Path, width: int) -> str:
    """What a headless browser says about a page, once it has drawn it into `folder`."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        if "chromium" in os.environ.get("VIDBENCH_REQUIRE", ""):
            pytest.fail("VIDBENCH_REQUIRE names chromium, and there is none")
        pytest.skip("no chromium")
    arguments = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},2000",
        f"--screenshot={folder / 'shot.png'}",
    ]  # fmt: skip
    done = subprocess.run([browser, *arguments, address], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


class RunMaker:
    """Writes run folders under one root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def manifest(self, name: str, command: str, *, status: str = "done", **changes: object) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        value: Json = {
            "schema_version": 1,
            "command": command,
            "request": {
                "argv": [*command.split(), "x3d_tiny", "clips of mine.csv", "--out", f"runs/{name}"],
                "views": 10,
            },
            "settings": {"views": 10},
            "resolved": {"model": "x3d_tiny", "weights_sha256": "ab" * 32, "list_sha256": "cd" * 32},
            "provenance": {
                "versions": {"vidbench": "0.1.0", "python": "3.11.2", "torch": "2.15.0", "av": None},
                "git": "0123456789abcdef0123456789abcdef01234567",
                "platform": "Linux-6.1-x86_64",
                "device": "cpu",
                "seed": 7,
            },
            "created": "2026-03-04T05:06:07+00:00",
            "updated": "2026-03-04T05:16:07+00:00",
            "status": status,
            "noted": {},
        }
        value.update(changes)
        self.json(folder / "manifest.json", value)
        return folder

    def json(self, path: Path, value: object) -> None:
        path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")

    def lines(self, path: Path, values: list[Json]) -> None:
        path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")

    def eval(
        self,
        name: str,
        confusion: list[list[int]],
        classes: list[str] | None = None,
        *,
        summary: Json | None = None,
        **manifest: object,
    ) -> Path:
        """An evaluation whose figures follow from its confusion matrix."""
        folder = self.manifest(name, "model eval", **manifest)  # type: ignore[arg-type]
        size = len(confusion)
        names = [f"class {k}" for k in range(size)] if classes is None else classes
        total = sum(map(sum, confusion))
        right = sum(confusion[k][k] for k in range(size))
        low, high = wilson(right, total) if total else (None, None)
        shares = [confusion[k][k] / sum(confusion[k]) for k in range(size) if sum(confusion[k])]
        value: Json = {
            "kind": "eval",
            "model": "x3d_tiny",
            "classes": names,
            "num_classes": size,
            "clips": total,
            "evaluated": total,
            "failed": 0,
            "top1": right / total if total else None,
            "top1_low": low,
            "top1_high": high,
            "top5": 1.0 if total else None,
            "mean_class_accuracy": sum(shares) / len(shares) if shares else None,
            "views": {"temporal": 10, "spatial": 3},
            "per_class": [
                {"label": k, "class": names[k], "clips": sum(confusion[k]), "correct": confusion[k][k]}
                for k in range(size)
            ],
            "failures": [],
        }
        if size <= 50:
            value["confusion"] = confusion
        value.update(summary or {})
        self.json(folder / "summary.json", value)
        return folder

    def finetune(
        self, name: str, losses: list[float], *, val: bool = True, summary: Json | None = None, **manifest: object
    ) -> Path:
        """A training run of the given losses."""
        folder = self.manifest(name, "model finetune", **manifest)  # type: ignore[arg-type]
        epochs = [
            {
                "key": f"epoch-{k:04d}",
                "epoch": k,
                "lr": 0.01 / k,
                "train_loss": loss,
                "train_top1": 1 - 0.9 / k,
                "val_top1": 1 - 0.95 / k if val else None,
                "seconds": 12.5,
            }
            for k, loss in enumerate(losses, start=1)
        ]
        self.lines(folder / "epochs.jsonl", epochs)
        value: Json = {
            "kind": "finetune",
            "model": "x3d_tiny",
            "init": "random",
            "classes": ["circle", "square", "line"],
            "epochs": len(losses),
            "clips": 120,
            "best_epoch": len(losses),
            "best_val_top1": 1 - 0.95 / len(losses) if val and losses else None,
            "final_train_loss": losses[-1] if losses else None,
            "seconds": 12.5 * len(losses),
            "parameters": 123456,
            "failed": 0,
            "failures": [],
        }
        value.update(summary or {})
        self.json(folder / "summary.json", value)
        return folder

    def attack(
        self,
        name: str,
        robust: dict[str, int],
        clips: int,
        *,
        examples: int = 0,
        summary: Json | None = None,
        columns: list[Json] | None = None,
        **manifest: object,
    ) -> Path:
        """An attack run: right clips for each budget.

        Args:
            name: Of the folder.
            robust: Right clips by budget.
            clips: How many were attacked.
            examples: Film strips.
            summary: Changes of the run's figures, or of its first column's.
            columns: Further attacks, by what tells them from the first.
            manifest: Changes of the manifest.
        """
        folder = self.manifest(name, "attack run", **manifest)  # type: ignore[arg-type]
        clean = max(robust.values(), default=0)
        curve = []
        for eps, k in robust.items():
            low, high = wilson(k, clips) if clips else (None, None)
            value = float(Fraction(eps))
            curve.append(
                {
                    "eps": eps,
                    "eps_value": round(value, 4),
                    "clips": clips,
                    "robust": k,
                    "robust_accuracy": k / clips if clips else None,
                    "low": low,
                    "high": high,
                    "fooling_rate": (clean - k) / clean if clean else None,
                    "conditional": k / clean if clean else None,
                    "mean_linf": value * 0.99,
                    "mean_l2": value * 300,
                    "mean_l1": value * 9000,
                    "after": {},
                }
            )
        strips = []
        for index in range(examples):
            (folder / "examples").mkdir(exist_ok=True)
            (folder / "examples" / f"strip{index}.png").write_bytes(png(320 + index, 96))
            strips.append({
                "file": f"examples/strip{index}.png", "video": "", "column": "pgd", "path": f"clip{index}.mp4",
                "clean_pred": 0, "adv_pred": 1, "norm": "linf", "eps": "8/255",
            })  # fmt: skip
        column: Json = {
            "label": "pgd",
            "attack": "pgd",
            "engine": "native",
            "norm": "linf",
            "support": "all",
            "settings": {},
            "targeted": False,
            "steps": 20,
            "restarts": 2,
            "curve": curve,
            "by_steps": [],
            "broken_by": {},
            "frames": [],
            "confusion": {"clean": [], "attacked": []},
            "excluded": 0,
        }
        stored: Json = {
            "kind": "attack",
            "model": "x3d_tiny",
            "classes": ["circle", "square", "line"],
            "defence": None,
            "suite": None,
            "reference": "labels",
            "clips": clips,
            "evaluated": clips,
            "failed": 0,
            "clean_accuracy": clean / clips if clips else None,
            "worst": [],
            "failures": [],
            "examples": strips,
        }
        changes = summary or {}
        column.update({name: value for name, value in changes.items() if name in column})
        stored.update({name: value for name, value in changes.items() if name not in column})
        stored["columns"] = [column, *({**column, **other} for other in columns or [])]
        self.json(folder / "summary.json", stored)
        return folder

    def verify(self, name: str, *, summary: Json | None = None, **manifest: object) -> Path:
        """A verification of a run that reported more than is left."""
        folder = self.manifest(name, "attack verify", **manifest)  # type: ignore[arg-type]
        stored: Json = {
            "kind": "verify",
            "status": "INVALID",
            "reported_ra": {"4/255": 0.5, "8/255": 0.375},
            "best_known_ra": {"4/255": 0.25, "8/255": 0.125},
            "strongest": {"4/255": "pgd", "8/255": "square"},
            "evaluated": 16,
            "clean_accuracy": 0.9375,
            "flags": [
                {"id": "R1", "title": "reported figure", "severity": "E", "evidence": "6/16 reported, 2/16 left.",
                 "remedy": "Report the smaller figure."},
                {"id": "C5", "title": "iterations pay", "severity": "W", "evidence": "FGSM beats PGD.", "remedy": "?"},
                {"id": "C26", "title": "views", "severity": "I", "evidence": "One view.", "remedy": ""},
            ],
            "passed": [{"id": "C18", "title": "budget", "severity": "pass", "evidence": "All inside.", "remedy": ""}],
            "attacks": [
                {"name": name_, "eps": eps, "eps_value": value, "clips": 16, "robust": robust,
                 "robust_accuracy": robust / 16, "unconfirmed": 1, "forwards": 1600, "backwards": 800}
                for eps, value, rows in (("4/255", 4 / 255, {"pgd": 4, "square": 6}),
                                         ("8/255", 8 / 255, {"pgd": 3, "square": 2}))
                for name_, robust in rows.items()
            ],
            "subject": "runs/attack",
            "model": "x3d_tiny",
            "architecture": "x3d_tiny",
            "defence": None,
            "run": "runs/attack",
            "norm": "linf",
            "reference": "labels",
            "steps": 100,
            "queries": 1000,
            "draws": 1,
            "listed": 240,
            "clips": 16,
            "failed": 0,
            "failures": [],
        }  # fmt: skip
        stored.update(summary or {})
        self.json(folder / "summary.json", stored)
        return folder


@pytest.fixture
def runs(tmp_path: Path) -> RunMaker:
    """Makes run folders under this test's own folder."""
    return RunMaker(tmp_path / "runs")


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., str]:
    """Writes a report on the folders and gives its text."""
    from vidbench.report.page import ReportRequest, write_report

    def write(*folders: Path, title: str = "") -> str:
        out = tmp_path / "out" / "report.html"
        write_report(ReportRequest(runs=folders, out=out, title=title))
        return out.read_text(encoding="utf-8")

    return write


@pytest.fixture
def parse() -> Callable[[str], Tree]:
    """Reads a page as a browser would."""
    return Tree


@pytest.fixture
def browse() -> Callable[[str, Path, int], str]:
    """Opens a page in a headless browser."""
    return look
