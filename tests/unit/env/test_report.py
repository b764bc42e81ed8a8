"""What a bug report says, and what it does not."""

from __future__ import annotations

import getpass
import platform
from pathlib import Path

import pytest

from vidbench.env.check import EnvCheckRequest, check
from vidbench.env.report import anonymous, report
from vidbench.provenance import environment


def test_no_names_of_people_and_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(platform, "node", lambda: "engine.example.org")
    told = anonymous({"a": "/scratch/ada/x on engine.example.org", "b": ["engine", "adapter"]})
    assert told == {"a": "/scratch/USER/x on HOST", "b": ["HOST", "adapter"]}


def test_the_home_folder_is_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{Path.home()}/lib:/opt/lib")
    assert environment()["variables"]["LD_LIBRARY_PATH"] == "~/lib:/opt/lib"


def test_a_report_says_versions_and_findings() -> None:
    found = report(check(EnvCheckRequest(only=("B1", "B4-extras"))))
    lines = found.text.splitlines()
    assert lines[0] == "Copy-and-paste the text below into your issue."
    assert any(line.split() == ["numpy", found.environment["packages"]["numpy"]] for line in lines)
    assert any(line.startswith("info  B4-extras") for line in lines)
    assert not any("B1 " in line for line in lines)
    assert lines[-2] == found.verdict
