"""`vidbench weights import --layout START`, and training and evaluation that go on from what it wrote."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from vidbench.cli.app import main
from vidbench.model.checkpoint import read_model, read_state
from vidbench.model.resolve import load_model
from vidbench.model.starts import find_start, recognise
from vidbench.model.torchvision_video import build_torchvision
from vidbench.model.train.start import starting
from vidbench.model.variant import UNCHANGED, Variant, apply_variant
from vidbench.model.zoo import MODELS
from vidbench.progress import SilentReporter

PYVRL = (
    (r"stem\.0", "stem.conv_s"),
    (r"stem\.1", "stem.bn_s"),
    (r"stem\.3", "stem.conv_t"),
    (r"stem\.4", "stem.bn_t"),
    (r"(conv[12])\.0\.0", r"\1.conv_s"),
    (r"(conv[12])\.0\.1", r"\1.bn_s"),
    (r"(conv[12])\.0\.3", r"\1.conv_t"),
    (r"conv([12])\.1\.", r"bn\1."),
    (r"downsample\.0", "downsample.conv"),
    (r"downsample\.1", "downsample_bn"),
)


def trunk(variant: Variant = UNCHANGED) -> dict[str, Tensor]:
    torch.manual_seed(1)
    net = build_torchvision("r2plus1d_18", 2)
    apply_variant(net, variant)
    return {name: held for name, held in net.state_dict().items() if not name.startswith("fc.")}


@pytest.fixture(scope="module")
def ctp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = {}
    for name, held in trunk().items():
        for pattern, theirs in PYVRL:
            name = re.sub(pattern, theirs, name)
        state[f"backbone.{name}"] = held
    path = tmp_path_factory.mktemp("ctp") / "ctp.pth"
    torch.save({"state_dict": {**state, "head.fc1.weight": torch.ones(2, 2)}, "meta": {"epoch": 90}}, path)
    return path


@pytest.fixture(scope="module")
def tclr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = {f"module.0.{name}": held for name, held in trunk(Variant(layers="tclr")).items()}
    path = tmp_path_factory.mktemp("tclr") / "tclr.pth"
    torch.save({"state_dict": {**state, "module.1.fc1.weight": torch.ones(2, 2)}, "epoch": 1}, path)
    return path


def words(file: Path, *more: str) -> list[str]:
    return ["weights", "import", str(file), "--model", "r2plus1d_18", *more]


def test_import_says_what_was_done(ctp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ctp"
    assert main(words(ctp, "--layout", "CtP", "--task", "charades", "--out", str(out))) == 0

    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert re.fullmatch(
        rf"ctp: 222 tensors for r2plus1d_18, 1 left over, sha256 [0-9a-f]{{12}}, {re.escape(str(out))}", first
    )
    assert second == (
        "input for charades: 32 frames x 8 at 24 per second, 112 px, mean 0.45/0.45/0.45, std 0.225/0.225/0.225"
    )
    assert "batch normalisation has epsilon 0.001" in said.err
    assert "left over: head*" in said.err
    document = json.loads((out / "model.json").read_text())
    assert document["variant"] == {"bn_eps": 0.001, "layers": "", "head": False}
    assert document["trained"]["start"] == "ctp"
    assert document["preprocess"]["stride"] == 8


def test_json_tells_all(tclr: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tclr, "--layout", "tclr", "--task", "ava", "--out", str(tmp_path / "o"), "--json")) == 0

    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["layout"], told["loaded"], told["left_over"]) == ("tclr", 216, ["module.1.fc1.weight"])
    assert told["variant"] == {"bn_eps": None, "layers": "tclr", "head": False, "classifier": ""}
    assert (told["preprocess"]["mean"], told["preprocess"]["std"]) == ([0.0] * 3, [1.0] * 3)


def test_file_of_another_start_is_told(ctp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o"
    assert main(words(ctp, "--layout", "gdt", "--out", str(out))) == 3

    said = capsys.readouterr().err
    assert "is not the file of gdt: by its names it is that of ctp or tubelet_contrast" in said
    assert "--layout ctp or --layout tubelet_contrast" in said
    assert not out.exists()


def test_without_layout_the_start_is_recognised(tclr: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tclr, "--out", str(tmp_path / "o"))) == 3

    said = capsys.readouterr().err
    assert "It looks like the published start tclr of r2plus1d_18" in said
    assert f"vidbench weights import {tclr} --model r2plus1d_18 --layout tclr --out FOLDER" in said


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--layout", "tclr"), 2, "--layout needs --out FOLDER"),
        (("--layout", "tclr", "--out", "o", "--inflate"), 2, "do not go with --layout"),
        (("--layout", "tclr", "--out", "o", "--task", "sports"), 2, "--task 'sports'"),
        (("--task", "ava"), 2, "go with --layout"),
        (("--leave", "head."), 2, "go with --layout"),
        (("--layout", "tlcr", "--out", "o"), 3, "Did you mean tclr?"),
    ],
    ids=["out", "inflate", "task", "task-alone", "leave-alone", "name"],
)
def test_options_that_do_not_go_together(
    more: tuple[str, ...], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path / "none.pth", *more)) == code

    assert said in capsys.readouterr().err


def test_more_leftovers_need_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gdt.pth"
    state = {f"video_network.base.{name}": held for name, held in trunk().items()}
    torch.save({"model": {**state, "clock.weight": torch.ones(1)}}, path)
    ask = words(path, "--layout", "gdt", "--out", str(tmp_path / "o"))
    assert recognise(state, trunk()) == ("gdt",)

    assert main(ask) == 3
    assert "not expected to hold: clock.weight" in capsys.readouterr().err
    assert main([*ask, "--leave", "clock."]) == 0
    assert "left over: clock*" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ctp", "tclr"])
def test_training_begins_with_the_layers_and_input_of_the_start(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    start = tmp_path / "start"
    assert main(words(request.getfixturevalue(name), "--layout", name, "--out", str(start))) == 0

    begun = starting(MODELS.get("r2plus1d_18"), str(start), ("a", "b", "c"), 0, False, False, SilentReporter())
    classifier = begun.model

    published = find_start(name)
    assert begun.replaced == ("fc.weight", "fc.bias")
    assert begun.variant == replace(published.variant, head=True)
    assert set(begun.resolved) == {"init_sha256", "init_variant", "init_preprocess"}
    assert classifier.preprocess == published.input("recognition").preprocess
    assert classifier.mean.flatten().tolist() == pytest.approx(list(classifier.preprocess.mean))
    norms = {module.eps for module in classifier.net.modules() if isinstance(module, _BatchNorm)}
    assert norms == {published.variant.bn_eps or 1e-5}
    kept = read_state(start / "model.safetensors").tensors
    assert all(torch.equal(classifier.net.state_dict()[key], held) for key, held in kept.items())


@pytest.mark.slow
def test_trained_model_keeps_the_layers_of_its_start(tclr: Path, tmp_path: Path, make_video: Any) -> None:
    clips, start, run = tmp_path / "clips.txt", tmp_path / "start", tmp_path / "run"
    clips.write_text("".join(f"{make_video(f'{label}.mp4', frames=40)} {label}\n" for label in range(2)))
    assert main(words(tclr, "--layout", "tclr", "--out", str(start))) == 0
    train = ["model", "finetune", "r2plus1d_18", str(clips), "--init", str(start), "--out", str(run)]
    assert main([*train, "--epochs", "1", "--batch", "2", "--jitter", "1", "--device", "cpu"]) == 0

    about = read_model(run)[0]
    assert about.variant == Variant(layers="tclr")
    assert about.preprocess == read_model(start)[0].preprocess
    loaded = load_model(str(run)).classifier
    assert loaded.net.get_submodule("layer4.0.conv1.0").dilation == (2, 1, 1)
    assert loaded.std.flatten().tolist() == [1.0] * 3
    evaluated = ["model", "eval", str(run), str(clips), "--views", "1x1", "--out", str(tmp_path / "eval")]
    assert main([*evaluated, "--device", "cpu"]) == 0
