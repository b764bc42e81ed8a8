"""`vidbench demo`: the promises of the README, measured."""

import json
import re
import time

import pytest

from vidbench.cli.app import main
from vidbench.cli.demo import commands


@pytest.mark.timeout(900)
def test_the_demo_keeps_its_promises(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    shown = capsys.readouterr().out
    found = {name: json.loads((tmp_path / "demo" / name / "summary.json").read_text()) for name in
             ("model", "eval", "attack-fgsm", "attack-pgd")}  # fmt: skip
    assert found["eval"]["failed"] == 0
    assert found["eval"]["top1"] >= 0.9
    curve = {point["eps"]: point for point in found["attack-pgd"]["columns"][0]["curve"]}
    assert curve["8/255"]["robust_accuracy"] <= 0.1
    assert curve["0"]["robust_accuracy"] == found["attack-pgd"]["clean_accuracy"]
    # each command is printed as it would be typed, and the figures shown are those that were measured
    typed = re.findall(r"^\$ (vidbench .*)$", shown, re.MULTILINE)
    assert len(typed) == len(commands(tmp_path, 0))
    assert f"{found['eval']['top1']:.2%}" in shown
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert "data:image/png;base64," in page
    # a second call redoes nothing
    started = time.monotonic()
    assert main(["demo"]) == 0
    assert time.monotonic() - started < 60
    again = json.loads((tmp_path / "demo" / "eval" / "summary.json").read_text())
    assert again == found["eval"]
