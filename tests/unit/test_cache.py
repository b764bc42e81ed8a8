"""Where the cache is."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidbench import cache


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIDBENCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert cache.home() == tmp_path / ".cache" / "vidbench"
    assert cache.weights_dir() == tmp_path / ".cache" / "vidbench" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache.home() == Path("/var/cache/me/vidbench")
    # relative ones are to be ignored
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert cache.home() == tmp_path / ".cache" / "vidbench"


def test_macos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache.home() == tmp_path / "Library" / "Caches" / "vidbench"


def test_the_variable_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIDBENCH_HOME", "/big/disk")
    assert cache.weights_dir() == Path("/big/disk/weights")
    monkeypatch.setenv("VIDBENCH_HOME", "~/elsewhere")
    assert cache.home() == tmp_path / "elsewhere"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDBENCH_HOME", "here")
    assert cache.home() == tmp_path / "here"
    monkeypatch.setenv("VIDBENCH_HOME", "")
    monkeypatch.setattr("sys.platform", "linux")
    assert cache.home() == tmp_path / ".cache" / "vidbench"
