"""What a run does with clips: radii, precisions, targets, and a model that misbehaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.columns import Column, single, suite
from vidbench.attack.confirm import Judge
from vidbench.attack.examples import Keeper
from vidbench.attack.realism import Realism
from vidbench.attack.target import Target
from vidbench.attack.threat import parse_sweep
from vidbench.attack.work import Part, Work
from vidbench.data.dataset import ClipItem
from vidbench.errors import UsageError

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")


def part(net: nn.Module, count: int = 12) -> Part:
    clips, labels = torch.from_numpy(CLIPS["x"])[:count], torch.from_numpy(CLIPS["y"])[:count]
    items = [ClipItem(f"{row}.mp4", Path(f"{row}.mp4"), int(labels[row]), row + 1, f"k{row}") for row in range(count)]
    with torch.no_grad():
        return Part(items, clips, net(clips), labels)


def work(net: nn.Module, tmp_path: Path, column: Column, **more: Any) -> Work:
    target = Target(net, 5)
    given = {"crafted": target, "careful": target, "target": None, "realism": Realism("none"), **more}
    return Work(
        column, judge=Judge(net, 4), seed=0, width=4, by_labels=True, keeper=Keeper(tmp_path, frozenset()), learnt={},
        **given,
    )  # fmt: skip


def pgd(eps: str, **given: str) -> Column:
    return Column("pgd", "pgd", "linf", parse_sweep(eps, "linf"), given)


def left(records: list[dict[str, Any]], eps: str) -> set[str]:
    return {record["clip"] for record in records if record["eps"] == eps and record["robust"]}


def test_what_is_broken_stays_broken_by_the_same_clip(net: nn.Module, tmp_path: Path) -> None:
    records = list(work(net, tmp_path, pgd("2/255,6/255,16/255")).attack(part(net)))
    assert left(records, "2/255") >= left(records, "6/255") >= left(records, "16/255")
    by = {(record["clip"], record["eps"]): record for record in records}
    for record in records:
        if record["broken_at"] and record["broken_at"] != record["eps"]:
            first = by[record["clip"], record["broken_at"]]
            assert (record["linf"], record["forwards"]) == (first["linf"], first["forwards"])


def test_every_radius_anew_uses_all_of_it(net: nn.Module, tmp_path: Path) -> None:
    column = pgd("2/255,16/255", keep="best")
    records = list(work(net, tmp_path, column, anew=True).attack(part(net)))
    right = [record for record in records if record["clean_correct"] and record["eps"] == "16/255"]
    assert all(record["linf"] > 8 / 255 for record in right)
    carried = list(work(net, tmp_path, column).attack(part(net)))
    assert any(record["linf"] < 3 / 255 for record in carried if record["broken_at"] == "2/255")


def test_one_search_for_the_nearest_serves_every_radius(net: nn.Module, tmp_path: Path) -> None:
    sweep = parse_sweep("0.2,0.5,1,3", "l2")
    calls = []

    def counting(clips: Tensor) -> Tensor:
        calls.append(len(clips))
        return net(clips)

    column = Column("ddn", "ddn", "l2", sweep, {"steps": "40"})
    target = Target(counting, 5)
    records = list(work(net, tmp_path, column, crafted=target, careful=target).attack(part(net)))
    once = sum(calls)
    assert once <= 12 * 42
    for record in records:
        assert record["l2"] <= record["eps_value"] * (1 + 1e-5)
        assert record["step"] == -1
    assert len(left(records, "0.2")) > len(left(records, "3")) == 0


class Overflowing(nn.Module):
    """As another network, but with numbers on the way that half precision does not hold."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.widen = nn.Linear(5, 5, bias=False)
        self.widen.weight = nn.Parameter(torch.eye(5) * 1e6, requires_grad=False)

    def forward(self, clips: Tensor) -> Tensor:
        return self.widen(self.net(clips)) / 1e6


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_precision_that_overflows_makes_no_clip_robust(net: nn.Module, tmp_path: Path, precision: str) -> None:
    wide = Overflowing(net)
    low, full = Target(wide, 5, precision=precision), Target(wide, 5)
    assert bool(torch.isfinite(low(part(net).clips)).all()) == (precision == "bf16")
    eps = "8/255"
    expected = left(list(work(wide, tmp_path, pgd(eps)).attack(part(wide))), eps)
    found = left(list(work(wide, tmp_path, pgd(eps), crafted=low, careful=full).attack(part(wide))), eps)
    assert len(found ^ expected) <= 1
    assert len(expected) < 12


def test_targets_differ_from_labels_or_the_clip_is_left_out(net: nn.Module, tmp_path: Path) -> None:
    held = part(net)
    for kind in ("random", "least-likely"):
        records = list(work(net, tmp_path, pgd("8/255"), target=kind).attack(held))
        assert all(record["target"] != record["label"] for record in records)
    records = list(work(net, tmp_path, pgd("8/255"), target=2).attack(held))
    excluded = {record["clip"] for record in records if record["status"] == "excluded"}
    assert excluded == {item.key for item in held.items if item.label == 2}
    assert all("robust" not in record for record in records if record["status"] == "excluded")


def test_an_answer_that_is_no_number_is_a_failure(net: nn.Module, tmp_path: Path) -> None:
    def breaking(clips: Tensor) -> Tensor:
        logits = net(clips)
        moved = (clips - held.clips[: len(clips)]).abs().amax((1, 2, 3, 4)) if len(clips) == 4 else None
        return logits if moved is None else torch.where((moved > 0)[:, None], logits * torch.nan, logits)

    held = part(net, 4)
    column = Column("noise", "noise", "linf", parse_sweep("8/255", "linf"))
    target = Target(net, 5)
    broken = work(net, tmp_path, column, crafted=target, careful=target)
    broken.judge = Judge(breaking, 4)  # type: ignore[arg-type]
    records = list(broken.attack(held))
    attacked = [record for record in records if record["forwards"]]
    assert attacked
    assert all(record["status"] == "failed" and "not finite" in record["reason"] for record in attacked)


def test_suites_scale_their_radii_with_the_frames() -> None:
    image, clip = suite("robustart", "linf", None, 1), suite("robustart", "linf", None, 16)
    assert [column.label for column in image] == [
        "FGSM Linf 8/255", "PGD L1 1600", "PGD L2 8", "PGD Linf 8/255", "C&W L2 8",
    ]  # fmt: skip
    assert [column.label for column in clip][1:3] == ["PGD L1 25600", "PGD L2 32"]
    steps = [column.given.get("step") for column in image]
    values = [float(parse_sweep(step, "l1")[0].exact) if step else None for step in steps]
    assert values == [None, 120.0, pytest.approx(0.6), pytest.approx(3 / 40 * 8 / 255), None]
    for columns in (image, clip, suite("quick", "l1", "100", 4), suite("video", "linf", None, 8)):
        for column in columns:
            column.settings(column.method())


def test_what_suites_and_single_attacks_refuse() -> None:
    with pytest.raises(UsageError, match="'fast'"):
        suite("fast", "linf", None, 8)
    with pytest.raises(UsageError, match="radii of its own"):
        suite("robustart", "linf", "8/255", 8)
    with pytest.raises(UsageError, match="norms of its own"):
        suite("video", "l2", "1", 8)
    with pytest.raises(UsageError, match="needs --eps"):
        single("pgd", "l1", None, {}, "native", "all")
    (column,) = single("cw", "linf", "8/255", {}, "native", "all")
    with pytest.raises(UsageError, match="no norm linf"):
        column.method()
