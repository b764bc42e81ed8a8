"""What all tests share: no real home or cache, capabilities that CI may require, small videos."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from torch import nn

# the gate must give the same answer twice; at a desk new examples are welcome
settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile("desk", deadline=None)
settings.load_profile("gate" if os.environ.get("CI") else "desk")

REQUIRED = set(os.environ.get("VIDBENCH_REQUIRE", "").replace(",", " ").split())


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, or fail where the machine was promised to run it."""
    for marker, there in (("cuda", _has_cuda), ("chromium", _has_chromium), ("ffmpeg", _has_ffmpeg)):
        if item.get_closest_marker(f"needs_{marker}") and not there():
            if marker in REQUIRED:
                pytest.fail(f"VIDBENCH_REQUIRE names {marker}, and it is not here")
            pytest.skip(f"needs {marker}")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_chromium() -> bool:
    return any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))


def _has_ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's caches."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VIDBENCH_HOME", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    monkeypatch.delenv("VIDBENCH_OFFLINE", raising=False)
    monkeypatch.delenv("VIDBENCH_MIRROR", raising=False)
    monkeypatch.delenv("VIDBENCH_DATA_MIRROR", raising=False)


MakeVideo = Callable[..., Path]


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Encode a small H.264 video whose frame number can be read off its grey level."""

    def make(name: str = "clip.mp4", *, frames: int = 30, size: tuple[int, int] = (64, 48), fps: str = "30") -> Path:
        from vidbench.video.encode import encode

        width, height = size
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images = (
            np.full((height, width, 3), 40 + index * 160 // max(frames - 1, 1), dtype=np.uint8)
            for index in range(frames)
        )
        encode(path, images, Fraction(fps))
        return path

    return make


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training and two validation videos of each synthetic class, with their lists."""
    from vidbench.data.synthetic import SyntheticRequest, render

    folder = tmp_path_factory.mktemp("small") / "data"
    render(SyntheticRequest(out=folder, train_per_class=2, val_per_class=2))
    return folder


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained x3d_tiny for the synthetic classes, as `model finetune` leaves one."""
    from vidbench.data.synthetic import CLASSES
    from vidbench.model.checkpoint import ModelInfo, save_model
    from vidbench.model.resolve import build
    from vidbench.model.zoo import MODELS

    card = MODELS.get("x3d_tiny")
    classifier = build(card, len(CLASSES), CLASSES, seed=0)
    folder = tmp_path_factory.mktemp("model")
    info = ModelInfo(architecture="x3d_tiny", classes=CLASSES, preprocess=card.preprocess, init="scratch")
    save_model(folder, classifier.net.state_dict(), info)
    return folder


@pytest.fixture(scope="session")
def net() -> "nn.Module":
    """The small network of `tests/parity/attacks`, trained on moving gratings; 47 of its 48 clips are right."""
    import torch
    from torch import nn

    layers = nn.Sequential(
        nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool3d((1, 2, 2)),
        nn.Conv3d(8, 12, 3, padding=1), nn.ReLU(), nn.AvgPool3d((2, 4, 4)),
        nn.Flatten(), nn.Linear(96, 5),
    )  # fmt: skip
    weights = np.load(Path(__file__).parent / "parity" / "attacks" / "model.npz")
    layers.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return layers.eval().requires_grad_(False)


def _beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    key = f"vidbench_tests_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[key] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[key])
    return sys.modules[key]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A `Web` of `tests/server.py`: a local server that misbehaves as told; no proxy stands before it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = _beside("server").Web()
    yield server
    server.close()


@pytest.fixture
def mirror(web: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The server with small editions of Kinetics-400 (val), AVA and Charades under their published paths."""
    sets = _beside("mirror")
    folder = tmp_path_factory.mktemp("mirror")
    sets.kinetics(web, folder)
    sets.ava(web, folder)
    sets.charades(web)
    return web
